//! Control groups as the tests look at them, and a view of the host as one of pure cgroup v2.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::scratch::{Cmd, Root};

/// The mount point of the v2 hierarchy.
pub fn unified() -> PathBuf {
    let beside = PathBuf::from("/sys/fs/cgroup/unified");
    if beside.join("cgroup.procs").exists() { beside } else { PathBuf::from("/sys/fs/cgroup") }
}

/// Whether this host has cgroup v2 alone.
pub fn is_pure() -> bool {
    unified() == Path::new("/sys/fs/cgroup")
}

/// Whether a controller can be had in this host, in either version.
pub fn has_controller(v1: &str, v2: &str) -> bool {
    let list = fs::read_to_string(unified().join("cgroup.controllers")).unwrap_or_default();
    Path::new("/sys/fs/cgroup").join(v1).is_dir() || list.split_whitespace().any(|name| name == v2)
}

/// `cmd` where the v2 hierarchy is all that is mounted at `/sys/fs/cgroup`, in a mount namespace of its own. On a host of
/// pure v2 that is how it is.
pub fn in_v2_view(cmd: Cmd) -> Cmd {
    let script = "mount --make-rprivate / && { [ ! -e /sys/fs/cgroup/unified ] || mount --bind /sys/fs/cgroup/unified /sys/fs/cgroup; } \
                  && exec \"$@\"";
    cmd.under(["unshare", "--mount", "sh", "-c", script, "sh"])
}

/// `ctr-run` in the view of [`in_v2_view`], to its end.
pub fn run_in_v2(root: &Root, options: &[&str], command: &[&str]) -> crate::scratch::Done {
    let run = root.ctr("run").args(["--wait", "--rm", "--log=inherit"]).args(options.iter().copied());
    in_v2_view(run.arg("busybox").args(command.iter().copied())).run()
}

/// The groups that a container's record names, as this process sees them: a record made in [`in_v2_view`] leaves the name
/// of the hierarchy out.
pub fn recorded(root: &Root, id: &str) -> Vec<PathBuf> {
    let path = root.path().join("containers/run").join(id).join("container.json");
    let record: Value = serde_json::from_str(&fs::read_to_string(path).expect("record")).expect("json");
    let groups = record["cgroups"].as_array().expect("cgroups").iter();
    let here = |path: &str| {
        let below = path.strip_prefix("/sys/fs/cgroup/").expect("below the mounts");
        let seen = PathBuf::from(path);
        if seen.is_dir() { seen } else { unified().join(below) }
    };
    groups.map(|group| here(group.as_str().expect("path"))).collect()
}

/// The content of a file in one of the container's groups.
pub fn read(root: &Root, id: &str, file: &str) -> Option<String> {
    let text = recorded(root, id).iter().find_map(|group| fs::read_to_string(group.join(file)).ok());
    text.map(|text| text.trim().to_owned())
}

/// A group of the v2 hierarchy that was delegated to an ordinary user, as systemd does it. Removed when dropped.
#[derive(Debug)]
pub struct Delegated {
    /// Its name below the root of the hierarchy.
    pub name: String,
}

impl Delegated {
    /// A new one, with the controllers that v2 has here.
    pub fn new(uid: u32, gid: u32) -> Self {
        let delegated = Self { name: format!("ctr-test-{}", std::process::id()) };
        let dir = delegated.dir();
        fs::create_dir_all(dir.join("session")).expect("group");
        let list = fs::read_to_string(unified().join("cgroup.controllers")).expect("controllers");
        for controller in list.split_whitespace() {
            fs::write(unified().join("cgroup.subtree_control"), format!("+{controller}")).ok();
        }
        for file in ["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "session", "session/cgroup.procs"]
        {
            std::os::unix::fs::chown(dir.join(file), Some(uid), Some(gid)).expect("chown");
        }
        delegated
    }

    /// Its directory.
    pub fn dir(&self) -> PathBuf {
        unified().join(&self.name)
    }

    /// `cmd` in a group below it, in the view of [`in_v2_view`].
    pub fn session(&self, cmd: Cmd) -> Cmd {
        let procs = self.dir().join("session/cgroup.procs").display().to_string();
        in_v2_view(cmd).under(["sh", "-c", "echo $$ >\"$0\" && exec \"$@\"", &procs])
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        let mut dirs = vec![self.dir()];
        let mut at = 0;
        while let Some(dir) = dirs.get(at) {
            let below = fs::read_dir(dir).into_iter().flatten().flatten();
            let below: Vec<PathBuf> = below
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path())
                .collect();
            dirs.extend(below);
            at += 1;
        }
        for dir in dirs.iter().rev() {
            fs::remove_dir(dir).ok();
        }
    }
}
