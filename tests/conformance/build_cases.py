"""Builds the cases of tests/data/build with buildah and compares flat trees and configs with what the cases expect.

    build_cases.py list                 names of the cases
    build_cases.py setup WORK           the base image as an OCI layout, and in a storage of buildah's own
    build_cases.py judge WORK CASE      one case: exit status 0 alike, 1 different, 77 not to be judged; differences on standard output
    build_cases.py bless WORK [CASE...] writes CASE/expected from buildah

A case is a directory with a Dockerfile and its context; case.toml (all keys are optional, see README.md there) is no part of the context.
Layers are read and merged here, so that no program stands between an image and what is compared. Times are not compared.
"""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = os.path.join(os.path.dirname(HERE), "data", "build")
APPLETS = ("sh ash cat echo ls true false sleep id env pwd touch rm mkdir ln mv cp stat find grep sed awk head tail wc sort tr cut test [ "
           "chmod chown dd seq date readlink printf expr xargs mkfifo uname basename dirname ip umask").split()
# What buildah leaves in a tree where it mounted something for RUN; the base has none of it.
LEAKS = {"etc/hosts", "etc/hostname", "etc/resolv.conf", "run", "run/.containerenv", "run/secrets", "run/lock"}
CONFIG = ["User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal", "Healthcheck", "Shell", "OnBuild"]
SECONDS = 120


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


# ---- the base image

def base_layer():
    out = io.BytesIO()
    tar = tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT)

    def add(name, kind=tarfile.REGTYPE, mode=0o644, data=b"", link=""):
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.size, entry.linkname, entry.mtime = kind, mode, len(data), link, 1_700_000_000
        tar.addfile(entry, io.BytesIO(data))

    for name in ["bin", "etc", "dev", "proc", "sys", "root", "var", "usr", "home"]:
        add(name, tarfile.DIRTYPE, 0o755)
    add("tmp", tarfile.DIRTYPE, 0o1777)
    with open("/bin/busybox", "rb") as busybox:
        add("bin/busybox", mode=0o755, data=busybox.read())
    for applet in APPLETS:
        add("bin/" + applet, tarfile.SYMTYPE, 0o777, link="busybox")
    add("etc/passwd", data=b"root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1001:Bob:/home/bob:/bin/sh\n")
    add("etc/group", data=b"root:x:0:\nbob:x:1001:\nstaff:x:50:bob\nwheel:x:10:root,bob\n")
    add("etc/not-executable", data=b"no program\n")
    tar.close()
    return out.getvalue()


BASE_CONFIG = {"Env": ["PATH=/bin", "FROM_IMAGE=yes"], "Cmd": ["sh", "-c", "echo from the image"], "WorkingDir": "/",
               "Labels": {"org.example.maker": "ctr-tests"}}


def write_layout(directory):
    os.makedirs(directory + "/blobs/sha256")

    def blob(kind, data):
        with open(f"{directory}/blobs/sha256/{digest(data)[7:]}", "wb") as file:
            file.write(data)
        return {"mediaType": "application/vnd.oci.image." + kind, "digest": digest(data), "size": len(data)}

    layer = base_layer()
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    config = {"architecture": machine, "os": "linux", "config": BASE_CONFIG, "rootfs": {"type": "layers", "diff_ids": [digest(layer)]},
              "history": [{"created": "2023-11-14T22:13:20Z", "created_by": "base"}]}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": blob("config.v1+json", json.dumps(config).encode()), "layers": [blob("layer.v1.tar", layer)]}
    described = blob("manifest.v1+json", json.dumps(manifest).encode())
    described["annotations"] = {"org.opencontainers.image.ref.name": "1"}
    with open(directory + "/index.json", "w") as file:
        json.dump({"schemaVersion": 2, "manifests": [described]}, file)
    with open(directory + "/oci-layout", "w") as file:
        file.write('{"imageLayoutVersion":"1.0.0"}')


# ---- images as flat trees

class Entry(tarfile.TarInfo):
    """With its content."""

    __slots__ = ("data",)


def merged(layers):
    """path -> Entry; later layers over earlier ones."""
    tree = {}

    def forget(path, itself=True):
        for name in [name for name in tree if (itself and name == path) or name.startswith(path + "/")]:
            del tree[name]

    for layer in layers:
        with tarfile.open(layer, tarinfo=Entry) as tar:
            added = set()
            for entry in tar:
                name = os.path.normpath("/" + entry.name).lstrip("/")
                parent, last = os.path.split(name)
                if last == ".wh..wh..opq":
                    for path in [path for path in tree if path.startswith(parent + "/") and path not in added]:
                        del tree[path]
                    continue
                if last.startswith(".wh."):
                    forget(os.path.join(parent, last[4:]))
                    continue
                if not name:
                    continue
                if not entry.isdir():
                    forget(name)
                entry.data = tar.extractfile(entry).read() if entry.isreg() else b""
                if entry.islnk():
                    target = tree[os.path.normpath("/" + entry.linkname).lstrip("/")]
                    entry.data, entry.type, entry.mode, entry.uid, entry.gid = target.data, target.type, target.mode, target.uid, target.gid
                    entry.linkname, entry.pax_headers = target.linkname, target.pax_headers
                tree[name] = entry
                added.add(name)
    return tree


KINDS = {tarfile.DIRTYPE: "directory", tarfile.REGTYPE: "file", tarfile.AREGTYPE: "file", tarfile.SYMTYPE: "link", tarfile.FIFOTYPE: "fifo",
         tarfile.CHRTYPE: "character", tarfile.BLKTYPE: "block"}


def shown(text):
    return json.dumps(text, ensure_ascii=False)


def line(entry):
    kind = KINDS[entry.type]
    text = f"{kind} {'0777' if kind == 'link' else format(entry.mode & 0o7777, '04o')} {entry.uid}:{entry.gid}"
    if kind == "link":
        text += " -> " + shown(entry.linkname)
    elif kind == "file":
        content = entry.data.decode("utf-8", "replace")
        small = len(entry.data) <= 200 and content.encode() == entry.data
        text += " " + (shown(content) if small else f"{len(entry.data)} {digest(entry.data)}")
    elif kind in ("character", "block"):
        text += f" {entry.devmajor}:{entry.devminor}"
    attributes = sorted((key[13:], value) for key, value in entry.pax_headers.items() if key.startswith("SCHILY.xattr."))
    return text + "".join(f" {key}={shown(value)}" for key, value in attributes)


def listing(tree):
    return {name: line(entry) for name, entry in tree.items() if not name.startswith("dev/")}


def described(layers, config, base):
    """The lines in which an image differs from its base (the busybox image, or nothing), and its config."""
    tree = listing(merged(layers))
    below = base if "bin/busybox" in tree else {}
    for name in LEAKS - set(below):
        if name in tree and (tree[name].startswith("directory") or " \"\"" in tree[name]):
            del tree[name]
    lines = [f"{shown('/' + name)} {tree[name]}" for name in sorted(tree) if below.get(name) != tree[name]]
    lines += [f"{shown('/' + name)} gone" for name in sorted(below) if name not in tree]
    config = config.get("config") or {}
    # buildah signs what it builds.
    (config.get("Labels") or {}).pop("io.buildah.version", None)
    for key in CONFIG:
        value = config.get(key)
        if value not in (None, "", [], {}):
            lines.append(f"{key}: {json.dumps(value, sort_keys=True, ensure_ascii=False)}")
    return lines


def read_directory(directory):
    """An image that was pushed to dir:DIRECTORY."""
    with open(directory + "/manifest.json") as file:
        manifest = json.load(file)
    path = lambda blob: f"{directory}/{blob['digest'].partition(':')[2]}"
    with open(path(manifest["config"])) as file:
        return [path(blob) for blob in manifest["layers"]], json.load(file)


# ---- cases

def names():
    return sorted(name for name in os.listdir(CASES) if os.path.isdir(os.path.join(CASES, name)))


def settings(case):
    try:
        with open(os.path.join(CASES, case, "case.toml"), "rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        return {}


def context(work, case, side):
    """A copy of the case with the modes that a checkout may have lost, prepared."""
    directory = os.path.join(work, "contexts", side, case)
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(os.path.join(CASES, case), directory, ignore=lambda at, found: {"case.toml", "expected"} & set(found) if at.endswith("/" + case) else set())
    for at, directories, files in os.walk(directory):
        os.chmod(at, 0o755)
        for name in files:
            os.chmod(os.path.join(at, name), 0o644)
    os.umask(0o022)
    subprocess.run(["sh", "-euc", settings(case).get("prepare", ":")], cwd=directory, check=True)
    return directory


def options(case, directory):
    told = settings(case)
    words = [f"--build-arg={value}" for value in told.get("args", [])] + told.get("options", [])
    words += ["--target=" + told["target"]] if "target" in told else []
    words += [f"--secret={value.replace('src=', 'src=' + directory + '/')}" for value in told.get("secrets", [])]
    words += [f"--build-context={name}={directory}/{path}" for name, path in told.get("contexts", {}).items()]
    return words + ["--file", os.path.join(directory, told.get("file", "Dockerfile"))]


def storage(work):
    return ["--root", work + "/graph", "--runroot", work + "/run", "--storage-driver", "overlay"]


def run(words, **more):
    return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS, **more)


def environment(work):
    return dict(os.environ, TMPDIR=work + "/tmp", CONTAINERS_REGISTRIES_CONF=work + "/registries.conf", BUILDAH_ISOLATION="oci")


def buildah(work, case, base):
    """Lines, or None and what buildah said."""
    directory, image = context(work, case, "buildah"), "localhost/case/" + case
    env = environment(work)
    words = ["buildah", *storage(work), "bud", "--isolation", "oci", "--runtime", "runc", "--network", "host", "--pull=never", "--format", "docker",
             "--no-cache", "--tag", image, *options(case, directory), directory]
    done = run(words, env=env)
    if done.returncode:
        return None, done.stdout.decode(errors="replace")
    at = os.path.join(work, "images", "buildah-" + case)
    shutil.rmtree(at, ignore_errors=True)
    run(["buildah", *storage(work), "push", "--signature-policy", work + "/policy.json", image, "dir:" + at], env=env, check=True)
    lines = described(*read_directory(at), base)
    shutil.rmtree(at)
    run(["buildah", *storage(work), "rmi", "--force", image], env=env)
    return lines, ""


def setup(work):
    for name in ["tmp", "images", "contexts"]:
        os.makedirs(os.path.join(work, name), exist_ok=True)
    write_layout(work + "/base")
    with open(work + "/registries.conf", "w") as file:
        file.write('unqualified-search-registries = ["docker.io"]\n')
    with open(work + "/policy.json", "w") as file:
        file.write('{"default":[{"type":"insecureAcceptAnything"}]}')
    target = f"containers-storage:[overlay@{work}/graph+{work}/run]docker.io/base/busybox:1"
    run(["skopeo", "--insecure-policy", "copy", f"oci:{work}/base:1", target], check=True, env=environment(work))


def expected(case):
    try:
        with open(os.path.join(CASES, case, "expected")) as file:
            return file.read().splitlines()
    except FileNotFoundError:
        return None


def judge(work, case, bless=False):
    told = settings(case)
    if not told.get("judge", True):
        print(told["differs"])
        return 77
    missing = [program for program in told.get("programs", []) if not shutil.which(program)]
    if missing:
        print("no program " + missing[0])
        return 77
    base = listing(merged([work + "/base/blobs/sha256/" + digest(base_layer())[7:]]))
    lines, said = buildah(work, case, base)
    if told.get("expect") == "error":
        print("buildah builds it" if lines is not None else said.strip().splitlines()[-1])
        return 0 if lines is None else 1
    if lines is None:
        print(said.strip()[-600:])
        return 1
    if bless:
        with open(os.path.join(CASES, case, "expected"), "w") as file:
            file.write("".join(line + "\n" for line in lines))
        return 0
    wanted = expected(case) or []
    for line in [f"- {line}" for line in wanted if line not in lines] + [f"+ {line}" for line in lines if line not in wanted]:
        print(line)
    return 0 if wanted == lines else 1


def main(words):
    if words[0] == "list":
        print("\n".join(names()))
    elif words[0] == "setup":
        setup(words[1])
    elif words[0] == "judge":
        return judge(words[1], words[2])
    elif words[0] == "bless":
        for case in words[2:] or names():
            print(f"== {case}", flush=True)
            code = judge(words[1], case, bless=True)
            print(f"-> {code}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
