//! Removing a container that was started with `--rm` and has ended.

use ctr_cli::{Context as _, Failure};
use ctr_core::container::{Container, Containers, groups};
use ctr_sys::tree;

use crate::failure;

/// Removes the directory, the name and the control groups; `false` if another process does.
pub(crate) fn container(containers: &Containers, container: &Container) -> Result<bool, Failure> {
    let Some(garbage) = containers.discard(container).map_err(failure)? else { return Ok(false) };
    let record = &container.record;
    groups::remove_all(&record.id, &containers.root_hash(), &record.cgroups)
        .context(|| "cannot remove a control group".to_owned())?;
    tree::remove_tree(&garbage).context(|| format!("cannot remove {}", garbage.display()))?;
    Ok(true)
}
