//! An ordinary user's launcher goes on as root of the user's own user namespace.

use std::path::Path;

use ctr_cli::Failure;
use ctr_sandbox::host::SINGLE_ID_VARIABLE;
use ctr_sys::process::{self, Namespaces};
use ctr_sys::userns::{self, StorageMap};

/// Enters the user namespace of the caller's store, with a mount namespace that belongs to it, and executes this program
/// again there. Returns at once for root.
///
/// The second execution is what makes the memory of this process, and so of the container's init, belong to that namespace:
/// its owner may join the container from outside (ptrace(2), "Ptrace access mode checking"), and the container, which gets a
/// namespace of its own below it, may look into nothing of ours.
pub(crate) fn enter(root: &Path) -> Result<(), Failure> {
    if ctr_sys::ids::effective_uid() == 0 {
        return Ok(());
    }
    let map = userns::enter_storage_map().map_err(|error| {
        let hint = userns::hint(&error);
        Failure::new("cannot make a user namespace").caused_by(&error).hint(hint)
    })?;
    process::unshare(Namespaces::MOUNT)
        .map_err(|errno| Failure::new("cannot make a mount namespace").because(errno.desc()))?;
    // In the namespace the caller's id is 0, from which the caller's store could not be found any more.
    let mut variables = vec![("CTR_ROOT", root.as_os_str().to_owned())];
    if let StorageMap::Single { reason } = map {
        variables.push((SINGLE_ID_VARIABLE, reason.into()));
    }
    let Err(error) = ctr_sys::sealed::execute_again(&variables);
    Err(Failure::new("cannot go on in the caller's user namespace").caused_by(&error))
}
