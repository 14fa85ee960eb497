"""Builds the cases of tests/data/build with buildah and compares flat trees and configs with what the cases expect, or with ctr-build's.

    build_cases.py list                      names of the cases
    build_cases.py setup WORK                the base image as an OCI layout, and in a storage of buildah's own
    build_cases.py judge WORK CASE           one case: exit status 0 alike, 1 different, 77 not to be judged; differences on standard output
    build_cases.py bless WORK [CASE...]      writes CASE/expected from buildah
    build_cases.py against JUDGE PROGRAM WORK CASE      one case by JUDGE (-), which is buildah or buildkit, and by PROGRAM, a ctr-build with
                                                        ctr-fetch beside it (+), as for judge
    build_cases.py table JUDGE PROGRAM WORK [CASE...]   the same of all cases, as a table

BuildKit is that of a Docker daemon in the namespaces of the process DOCKER_PID, which has WORK where we have it; DOCKER_HOST is where it listens.

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


def described(layers, config, base, leaks=frozenset()):
    """The lines in which an image differs from its base (the busybox image, or nothing), and its config. `leaks` are no part of it."""
    tree = listing(merged(layers))
    below = base if "bin/busybox" in tree else {}
    for name in leaks - set(below):
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


def read_layout(directory):
    """The image of an OCI layout; statements about it do not count."""
    path = lambda blob: f"{directory}/blobs/{blob['digest'].replace(':', '/')}"
    with open(directory + "/index.json") as file:
        images = [one for one in json.load(file)["manifests"] if "vnd.docker.reference.type" not in one.get("annotations", {})]
    with open(path(images[0])) as file:
        manifest = json.load(file)
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
    lines = described(*read_directory(at), base, LEAKS)
    shutil.rmtree(at)
    run(["buildah", *storage(work), "rmi", "--force", image], env=env)
    return lines, ""


def docker(*words):
    inside = ["nsenter", "--target", os.environ["DOCKER_PID"], "--mount", "--wd=/", "env", "PATH=/usr/sbin:/usr/bin", "HOME=/root"]
    return run([*inside, "DOCKER_HOST=" + os.environ["DOCKER_HOST"], "docker", *words])


def read_archive(archive):
    """The image of a `docker save`, unpacked beside it."""
    at = archive.removesuffix(".tar")
    shutil.rmtree(at, ignore_errors=True)
    with tarfile.open(archive) as tar:
        tar.extractall(at)
    with open(at + "/manifest.json") as file:
        manifest = json.load(file)[0]
    with open(f"{at}/{manifest['Config']}") as file:
        return [f"{at}/{layer}" for layer in manifest["Layers"]], json.load(file)


def buildkit(work, case, base):
    """Lines, or None and what BuildKit said."""
    directory, image, at = context(work, case, "buildkit"), "case/" + case, os.path.join(work, "images", "buildkit-" + case)
    words = ["--progress=plain", "--network=host", "--no-cache", "--provenance=false", "--tag", image, *options(case, directory), directory]
    done = docker("buildx", "build", *words)
    if done.returncode:
        return None, done.stdout.decode(errors="replace")
    saved = docker("save", "--output", at + ".tar", image)
    if saved.returncode:
        raise OSError(saved.stdout.decode(errors="replace"))
    lines = described(*read_archive(at + ".tar"), base)
    shutil.rmtree(at)
    os.remove(at + ".tar")
    docker("rmi", "--force", image)
    return lines, ""


def ctr_build(work, case, base, program):
    """Lines, or None and what ctr-build said."""
    directory, at = context(work, case, "ctr-build"), os.path.join(work, "images", "ctr-build-" + case)
    root = ["--root", work + "/ctr"]
    if not os.path.isdir(work + "/ctr"):
        run([os.path.join(os.path.dirname(program), "ctr-fetch"), *root, "--name", "base/busybox:1", f"oci:{work}/base:1"], check=True)
    shutil.rmtree(at, ignore_errors=True)
    # This Python does not read zstd.
    words = [program, *root, "--pull=never", "--network=host", "--no-cache", "--compression=gzip", "--tag", "case/" + case, "--output", "type=oci,dest=" + at]
    done = run([*words, *options(case, directory), directory])
    if done.returncode:
        return None, done.stdout.decode(errors="replace")
    lines = described(*read_layout(at), base)
    shutil.rmtree(at)
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


def no_judgement(told, judge):
    """Why the judge cannot be asked for this case, or nothing."""
    missing = [program for program in told.get("programs", []) if not shutil.which(program)]
    if missing:
        return "no program " + missing[0]
    return told.get("skip", {}).get(judge, "")


def base_listing(work):
    return listing(merged([work + "/base/blobs/sha256/" + digest(base_layer())[7:]]))


def differences(one, other):
    """The lines of one that the other lacks, after a -, and the reverse, after a +."""
    return [f"- {line}" for line in one if line not in other] + [f"+ {line}" for line in other if line not in one]


def spoken(judge, lines):
    """Lines as a judge says them: buildah leaves out a working directory that is what none means too."""
    return [line for line in lines if judge != "buildah" or line != 'WorkingDir: "/"']


def last_line(text):
    return (text.strip().splitlines() or [""])[-1]


def against(judge, program, work, case):
    """One case by a judge and by ctr-build: a status as of `judge`, and lines that say why."""
    why = no_judgement(settings(case), judge)
    if why:
        return 77, [why]
    base = base_listing(work)
    theirs, they_said = {"buildah": buildah, "buildkit": buildkit}[judge](work, case, base)
    ours, we_said = ctr_build(work, case, base, program)
    if theirs is None and ours is None:
        return 0, [f"{judge}: " + last_line(they_said), "ctr-build: " + last_line(we_said)]
    if theirs is None or ours is None:
        who, said = (judge, they_said) if theirs is None else ("ctr-build", we_said)
        return 1, [f"only {who} fails: {' '.join(said.strip()[-400:].split())}"]
    theirs, ours = spoken(judge, theirs), spoken(judge, ours)
    found = differences(theirs, ours)
    return (0 if theirs == ours else 1), found or (["the same lines in another order"] if theirs != ours else [])


def table(judge, program, work, cases):
    """All lines of a failure under its row; the numbers at the end."""
    counts = {0: 0, 1: 0, 77: 0}
    width = max(map(len, cases))
    for case in cases:
        try:
            status, lines = against(judge, program, work, case)
        except (OSError, subprocess.SubprocessError, KeyError, tarfile.TarError, ValueError) as error:
            status, lines = 1, [f"{type(error).__name__}: {error}"]
        counts[status] += 1
        word = {0: "alike", 1: "different", 77: "not judged"}[status]
        print(f"{case:{width}}  {word:10}  {lines[0] if status == 77 else ''}".rstrip(), flush=True)
        for line in lines if status == 1 else []:
            print("    " + line, flush=True)
    print(f"\n{len(cases)} cases: {counts[0]} alike, {counts[1]} different, {counts[77]} not judged")
    return 1 if counts[1] else 0


def judge(work, case, bless=False):
    told = settings(case)
    why = no_judgement(told, "buildah")
    if why:
        print(why)
        return 77
    lines, said = buildah(work, case, base_listing(work))
    if told.get("expect") == "error":
        print("buildah builds it" if lines is not None else last_line(said))
        return 0 if lines is None else 1
    if lines is None:
        print(said.strip()[-600:])
        return 1
    if bless:
        with open(os.path.join(CASES, case, "expected"), "w") as file:
            file.write("".join(line + "\n" for line in lines))
        return 0
    wanted, lines = spoken("buildah", expected(case) or []), spoken("buildah", lines)
    for line in differences(wanted, lines):
        print(line)
    return 0 if wanted == lines else 1


def main(words):
    if words[0] == "list":
        print("\n".join(names()))
    elif words[0] == "setup":
        setup(words[1])
    elif words[0] == "judge":
        return judge(words[1], words[2])
    elif words[0] == "against":
        status, lines = against(*words[1:5])
        print("\n".join(lines))
        return status
    elif words[0] == "table":
        return table(*words[1:4], words[4:] or names())
    elif words[0] == "bless":
        for case in words[2:] or names():
            print(f"== {case}", flush=True)
            code = judge(words[1], case, bless=True)
            print(f"-> {code}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
