//! `ctr-run` inside a container of `ctr-run`, and inside one of podman: it works, or says why not and what to do. docs/nested.md has the table.

use std::fs;
use std::path::PathBuf;

use ctr_tests::scratch::{Cmd, Done, Root};
use ctr_tests::{bins, images, need};

/// What the inner container is started with and prints.
const INNER: &str = "export CTR_ROOT=/inner PATH=/bin:/n/bin
    ctr-fetch -q oci:/n/image:latest --name busybox >/dev/null && ctr-run --wait --rm busybox sh -c 'echo inside; hostname; awk \"{print \\$3}\" /proc/self/uid_map; id -u'";

/// A directory with the binaries and the image, for `/n`; and what a dynamically linked binary needs.
struct Payload {
    root: Root,
    dir: PathBuf,
}

impl Payload {
    fn new() -> Self {
        let root = Root::with_busybox();
        let dir = root.file("payload");
        fs::create_dir_all(dir.join("bin")).unwrap();
        for name in ["ctr-run", "ctr-fetch"] {
            fs::copy(bins::binary(name), dir.join("bin").join(name)).unwrap();
        }
        Cmd::new("cp").arg("-r").arg(images::busybox_dir()).arg(dir.join("image")).ok();
        Self { root, dir }
    }

    fn mounts(&self) -> Vec<String> {
        let mut mounts = vec!["-v".to_owned(), format!("{}:/n:ro", self.dir.display())];
        for (from, to) in [("/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu"), ("/usr/lib64", "/lib64")] {
            if fs::metadata(from).is_ok() {
                mounts.extend(["-v".to_owned(), format!("{from}:{to}:ro")]);
            }
        }
        mounts
    }

    /// Inside a container of ours that is started with these options.
    fn ours(&self, options: &[&str]) -> Done {
        let run = self.root.ctr("run").args(["--wait", "--rm", "--log=inherit"]).args(self.mounts());
        run.args(options.iter().copied()).args(["busybox", "sh", "-c", INNER]).run()
    }
}

/// It printed what it should: its own host name and 65536 ids, as root of them.
#[track_caller]
fn assert_works(done: &Done, what: &str) {
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert_eq!(done.code, 0, "{what}: {done}");
    assert_eq!(lines.len(), 4, "{what}: {done}");
    assert_eq!((lines[0], lines[1].len(), lines[2], lines[3]), ("inside", 12, "65536", "0"), "{what}: {done}");
}

#[track_caller]
fn assert_refused(done: &Done, what: &str, texts: &[&str]) {
    assert_eq!(done.code, 125, "{what}: {done}");
    for text in texts {
        assert!(done.stderr.contains(text), "{what}: no {text:?} in: {done}");
    }
}

#[test]
fn in_a_container_of_ours() {
    need!(root);
    let payload = Payload::new();
    // The store on a tmpfs or a volume: an overlay does not carry the upper directory of another one.
    assert_works(&payload.ours(&["--privileged", "--tmpfs", "/inner:exec"]), "privileged, tmpfs");
    assert_works(
        &payload.ours(&["--privileged", "--userns=host", "--tmpfs", "/inner:exec"]),
        "privileged on the host's ids",
    );
    let disk = payload.root.file("disk");
    fs::create_dir(&disk).unwrap();
    let volume = format!("{}:/inner", disk.display());
    assert_works(&payload.ours(&["--privileged", "-v", &volume]), "privileged, volume");
    let options = [
        "--cap-add",
        "SYS_ADMIN",
        "--security-opt",
        "unmask=ALL",
        "--security-opt",
        "seccomp=unconfined",
        "--tmpfs",
        "/inner:exec",
    ];
    assert_works(&payload.ours(&options), "only what it takes");
}

#[test]
fn in_a_container_of_ours_that_is_held_too_tight() {
    // spec: OVR-5
    need!(root);
    let payload = Payload::new();
    let tmpfs = ["--tmpfs", "/inner:exec"];
    let with = |options: &[&'static str]| payload.ours(&[&tmpfs[..], options].concat());
    assert_refused(&with(&[]), "all defaults", &["CLONE_NEWUSER", "ENOSYS", "--privileged"]);
    assert_refused(&with(&["--cap-add", "SYS_ADMIN"]), "masks", &["mount proc", "unmask=ALL"]);
    let unmasked = ["--cap-add", "SYS_ADMIN", "--security-opt", "unmask=ALL"];
    assert_refused(&with(&unmasked), "filter", &["change to the root", "seccomp=unconfined"]);
    let done = payload.ours(&["--privileged"]);
    assert_refused(&done, "overlay on overlay", &["overlay", "put --root on"]);
}

/// podman with a store of its own, where the v2 mount of a hybrid host is not in sight: crun refuses it.
struct Podman {
    store: PathBuf,
    run: PathBuf,
}

impl Podman {
    fn new(payload: &Payload) -> Self {
        let podman = Self { store: payload.root.file("podman"), run: payload.root.file("podman-run") };
        let archive = payload.root.file("busybox.tar");
        let from = format!("oci:{}:latest", images::busybox_dir().display());
        images::skopeo_copy(&[], &from, &format!("oci-archive:{}:busybox", archive.display()));
        podman.command(&["load", "-q", "-i", &archive.display().to_string()]).ok();
        podman
    }

    fn command(&self, words: &[&str]) -> Cmd {
        let script = "umount /sys/fs/cgroup/unified 2>/dev/null; exec podman \"$@\"";
        let command = Cmd::new("unshare").args(["-m", "--propagation", "private", "sh", "-c", script, "podman"]);
        command.arg("--root").arg(&self.store).arg("--runroot").arg(&self.run).args(words.iter().copied())
    }

    fn run(&self, payload: &Payload, options: &[&str]) -> Done {
        // Its defaults raise limits, which takes a privilege that a sandboxed machine lacks.
        let usual = ["run", "--rm", "--network", "none", "--ulimit", "nofile=1024:4096", "--ulimit", "nproc=1024:2048"];
        let command = self.command(&usual).args(payload.mounts()).args(options.iter().copied());
        command.args(["localhost/busybox", "sh", "-c", INNER]).run()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.command(&["rm", "--all", "--force"]).run();
        Cmd::new("umount").arg(self.store.join("overlay")).run();
    }
}

#[test]
fn in_a_container_of_podman() {
    need!(root, "podman", "skopeo");
    let payload = Payload::new();
    let podman = Podman::new(&payload);
    let tmpfs = ["--tmpfs", "/inner:exec"];
    let with = |options: &[&'static str]| podman.run(&payload, &[&tmpfs[..], options].concat());
    assert_works(&with(&["--privileged"]), "privileged");
    assert_works(&with(&["--cap-add", "SYS_ADMIN", "--security-opt", "unmask=ALL"]), "only what it takes");
    assert_refused(&with(&[]), "all defaults", &["open_tree", "EPERM"]);
    assert_refused(&podman.run(&payload, &["--privileged"]), "overlay on overlay", &["put --root on"]);
}
