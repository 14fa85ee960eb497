//! Removing a container that was started with `--rm` and has ended.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::thread;
use std::time::Duration;

use ctr_cli::{Context as _, Failure};
use ctr_core::container::{Container, Containers};
use ctr_sys::tree;

use crate::failure;
use crate::group::groups_below;

/// How often a control group is tried that the kernel still holds: it counts a process a moment longer than it is seen.
const TRIES: u32 = 20;

/// Removes the directory, the name and the control groups; `false` if another process does.
pub(crate) fn container(containers: &Containers, container: &Container) -> Result<bool, Failure> {
    let Some(garbage) = containers.discard(container).map_err(failure)? else { return Ok(false) };
    for group in &container.record.cgroups {
        remove_group(Path::new(group), 0).context(|| format!("cannot remove control group {group}"))?;
    }
    tree::remove_tree(&garbage).context(|| format!("cannot remove {}", garbage.display()))?;
    Ok(true)
}

/// Removes a control group and those below it. It is empty: the container has ended.
fn remove_group(dir: &Path, depth: usize) -> std::io::Result<()> {
    if depth < 32 {
        for below in groups_below(dir) {
            remove_group(&below, depth + 1)?;
        }
    }
    for attempt in 0..=TRIES {
        match fs::remove_dir(dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == ErrorKind::ResourceBusy && attempt < TRIES => {
                thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
    Ok(())
}
