//! Removing a container that has ended.

use ctr_cli::{Context as _, Failure};
use ctr_core::container::{Container, Containers, groups};
use ctr_sys::tree;

use crate::failure;

/// To be called before the first removal: gives an ordinary user power over files of the subordinate ids. Nothing that runs can
/// be signalled afterwards but with the user's own id.
pub fn prepare() {
    if ctr_sys::ids::effective_uid() != 0
        && let Err(error) = ctr_sys::userns::enter_storage_map()
    {
        ctr_cli::note(format!("files of subordinate user ids cannot be removed: {error}"));
    }
}

/// Removes the directory, the name and the control groups; `false` if another process does.
pub fn container(containers: &Containers, container: &Container) -> Result<bool, Failure> {
    let Some(garbage) = containers.discard(container).map_err(failure)? else { return Ok(false) };
    let record = &container.record;
    groups::remove_all(&record.id, &containers.root_hash(), &record.cgroups)
        .context(|| "cannot remove a control group".to_owned())?;
    tree::remove_tree(&garbage).context(|| format!("cannot remove {}", garbage.display()))?;
    Ok(true)
}
