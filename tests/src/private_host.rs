//! A view of the host in which a test may change what belongs to all: `/etc/subuid`, `/etc/subgid`, `/run/ctr`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::scratch::Root;

/// The calling thread, and what it starts, goes on in a mount namespace of its own where `root` has a `/run/ctr` of its own
/// and these texts stand in `/etc/subuid` and `/etc/subgid`. The host sees nothing of it.
pub fn enter(root: &Root, subuid: &str, subgid: &str) {
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).expect("private");
    fs::create_dir_all("/run/ctr").expect("/run/ctr");
    let run = root.file("run-ctr");
    fs::create_dir(&run).expect("create");
    cover(&run, "/run/ctr");
    for (path, text) in [("/etc/subuid", subuid), ("/etc/subgid", subgid)] {
        let file = root.write(path.trim_start_matches("/etc/"), text);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("mode");
        cover(&file, path);
    }
}

/// Mounts `from` on `place`, in the namespace of [`enter`].
pub fn cover(from: &Path, place: &str) {
    mount(Some(from), place, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .unwrap_or_else(|error| panic!("{} on {place}: {error}", from.display()));
}

/// The first host id of the range `START` that a container sees in its own map, which must have one line.
pub fn start_of(map: &str) -> u32 {
    let fields: Vec<u32> = map.split_whitespace().map(|word| word.parse().expect("a number")).collect();
    let [0, start, 65536] = fields[..] else { panic!("not a map of one range: {map}") };
    start
}
