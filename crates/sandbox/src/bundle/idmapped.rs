//! Mounts that show their files under other ids (mount_setattr(2), `MOUNT_ATTR_IDMAP`).

use std::os::fd::{AsFd, OwnedFd};

use ctr_sys::{Errno, mount};

use super::plan::MountIdmap;
use crate::error::SandboxError;
use crate::prepare::userns;

/// Maps the ids of a detached copy; `container` is the container's own user namespace.
pub(super) fn apply(copy: &OwnedFd, idmap: &MountIdmap, container: Option<&OwnedFd>) -> Result<(), SandboxError> {
    let own;
    let userns = match (&idmap.map, container) {
        (Some(map), _) => {
            own = userns::create_mapped(map)?;
            &own
        }
        (None, Some(userns)) => userns,
        (None, None) => {
            return Err(SandboxError::request_hint(
                "idmap without uidMappings and gidMappings means those of the container, which has no user namespace",
                "give the mount mappings of its own",
            ));
        }
    };
    mount::idmap(copy.as_fd(), idmap.recursive, userns.as_fd()).map_err(|errno| {
        let error = SandboxError::host("map the ids", "mount_setattr", "MOUNT_ATTR_IDMAP", errno);
        match errno {
            Errno::EINVAL | Errno::EOPNOTSUPP => error.hinted("its file system cannot show mapped ids"),
            _ => error,
        }
    })
}
