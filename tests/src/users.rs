//! Ordinary users for the rootless tests.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::User;

use crate::bins;
use crate::scratch::{Cmd, Root};

/// An ordinary user of this machine.
#[derive(Debug, Clone)]
pub struct Ordinary {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// A user with a range of subordinate ids: the one of `CTR_TEST_USER`, else made.
pub fn with_range() -> Ordinary {
    let name = std::env::var("CTR_TEST_USER").unwrap_or_else(|_| "ctr-test".to_owned());
    let user = ensure(&name);
    for file in ["/etc/subuid", "/etc/subgid"] {
        let text = fs::read_to_string(file).unwrap_or_default();
        if !text.lines().any(|line| line.starts_with(&format!("{name}:"))) {
            fs::write(file, format!("{text}{name}:2000000:65536\n")).expect("subordinate ids");
        }
    }
    user
}

/// A user without subordinate ids.
pub fn without_range() -> Ordinary {
    let user = ensure("ctr-test-plain");
    for file in ["/etc/subuid", "/etc/subgid"] {
        let text = fs::read_to_string(file).unwrap_or_default();
        let kept: String =
            text.lines().filter(|line| !line.starts_with("ctr-test-plain:")).flat_map(|line| [line, "\n"]).collect();
        if kept != text {
            fs::write(file, kept).expect("subordinate ids");
        }
    }
    user
}

fn ensure(name: &str) -> Ordinary {
    let lock = fs::File::create(bins::work_dir().join("users.lock")).expect("lock");
    lock.lock().expect("lock");
    if User::from_name(name).expect("users").is_none() {
        Cmd::new("useradd").args(["--create-home", "--shell", "/bin/sh", name]).ok();
    }
    let user = User::from_name(name).expect("users").expect("just made");
    Ordinary { name: name.to_owned(), uid: user.uid.as_raw(), gid: user.gid.as_raw() }
}

impl Ordinary {
    /// A root that belongs to the user, below a directory that does too.
    pub fn root(&self) -> Root {
        let root = Root::new();
        let dir = root.file("");
        std::os::unix::fs::chown(&dir, Some(self.uid), Some(self.gid)).expect("chown");
        root
    }

    /// `ctr-NAME` in `root`, as the user.
    pub fn ctr(&self, root: &Root, name: &str) -> Cmd {
        let path = self.program(&format!("ctr-{name}"));
        self.command(&path.display().to_string()).env("CTR_ROOT", root.path())
    }

    /// Another program, as the user.
    pub fn command(&self, program: &str) -> Cmd {
        Cmd::new(program)
            .env("HOME", format!("/home/{}", self.name))
            .env("USER", self.name.as_str())
            .as_user(self.uid, self.gid)
    }

    /// A directory with all binaries that the user can reach.
    pub fn bin_dir(&self) -> PathBuf {
        let entries = fs::read_dir(bins::dir()).expect("the binaries");
        let names = entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned());
        let ours = names.filter(|name| name.starts_with("ctr-") && !name.contains('.'));
        let paths: Vec<PathBuf> = ours.map(|name| self.program(&name)).collect();
        paths.first().and_then(|path| path.parent()).expect("a directory").to_owned()
    }

    /// A path of the binary that the user can reach.
    pub fn program(&self, name: &str) -> PathBuf {
        let path = bins::binary(name);
        let open = |dir: &Path| dir.metadata().is_ok_and(|meta| meta.permissions().mode() & 1 != 0);
        if path.ancestors().all(open) {
            return path;
        }
        let copy = PathBuf::from(format!("/var/tmp/ctr-test-bin-{}", std::process::id())).join(name);
        bins::once(&copy, |half| {
            fs::copy(&path, half).expect("copy");
        });
        copy
    }
}

/// A copy of a file or directory that everyone may read.
pub fn readable(root: &Root, from: &Path, name: &str) -> PathBuf {
    let to = root.file(name);
    Cmd::new("cp").arg("-r").arg(from).arg(&to).ok();
    Cmd::new("chmod").args(["-R", "a+rX"]).arg(&to).ok();
    to
}
