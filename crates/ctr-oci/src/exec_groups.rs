//! The control groups of a program that is executed in a container: the container's, or some below them (`--cgroup`).

use std::path::{Component, Path, PathBuf};

use ctr_cli::Failure;

use crate::cgroup::facts::Hierarchies;
use crate::state::Known;

/// The directories. Each of `below` is `[CONTROLLER,...:]PATH`: without controllers the group of the unified hierarchy is
/// meant, and every group of a host that has none.
pub(crate) fn dirs(known: &Known, below: &[String]) -> Result<Vec<PathBuf>, Failure> {
    let dirs = known.oci.cgroup.dirs().to_vec();
    if below.is_empty() { Ok(dirs) } else { moved(dirs, below, &Hierarchies::of_host()) }
}

fn moved(mut dirs: Vec<PathBuf>, below: &[String], host: &Hierarchies) -> Result<Vec<PathBuf>, Failure> {
    for text in below {
        let bad = |why: &str| Failure::new(format!("--cgroup {text}: {why}"));
        let (controllers, path) = text.split_once(':').map_or(("", text.as_str()), |(names, path)| (names, path));
        let relative = Path::new(path.trim_start_matches('/'));
        if relative.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(bad("the path leads out of the container's groups"));
        }
        let mounts: Vec<&Path> = if controllers.is_empty() {
            match &host.unified {
                Some(unified) => vec![&unified.mount],
                None => host.v1.iter().map(|v1| v1.mount.as_path()).collect(),
            }
        } else {
            let known = |name: &str| host.v1_of(name).map(|v1| v1.mount.as_path());
            let mounts = controllers.split(',').map(|name| known(name).ok_or(name)).collect::<Result<_, _>>();
            mounts.map_err(|name| bad(&format!("the host has no v1 hierarchy of {name}")))?
        };
        let mut any = false;
        for dir in dirs.iter_mut().filter(|dir| mounts.iter().any(|mount| dir.starts_with(mount))) {
            any = true;
            dir.push(relative);
            if !dir.is_dir() {
                return Err(bad(&format!("there is no group {}", dir.display())));
            }
        }
        if !any {
            return Err(bad("the container has no group there"));
        }
    }
    Ok(dirs)
}
