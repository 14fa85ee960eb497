//! The container's control groups as it sees them (`cgroup` mounts).

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use ctr_core::container::groups::MOUNTS;
use ctr_sys::mount::{self, MountAttr, Propagation};
use ctr_sys::{Errno, RawResult, dirfd, files};

use super::plan::{Bundle, BundleMount};
use crate::error::SandboxError;
use crate::prepare::c_string;
use crate::script::{Leaf, Step, Target};

/// On a v2 host one hierarchy, from the container's group down. On v1 and hybrid hosts a tmpfs with a directory for each
/// hierarchy, which shows the container's group, and the links that controllers mounted together have there.
pub(super) fn steps(
    bundle: &Bundle,
    mount: &BundleMount,
    groups: &[PathBuf],
    place: &mut dyn FnMut(&str, Leaf) -> Result<Target, SandboxError>,
) -> Result<Vec<Step>, SandboxError> {
    let attributes = mount.attributes.set;
    let top = Path::new(MOUNTS);
    if is_pure() {
        if bundle.namespaces.contains(&"cgroup") {
            let target = place(&mount.target, Leaf::Dir)?;
            return Ok(vec![Step::Mount {
                kind: c_string("cgroup2")?,
                options: Vec::new(),
                attributes,
                propagation: Vec::new(),
                target,
                keep: None,
            }]);
        }
        let own = groups.first().map_or(top, PathBuf::as_path);
        return Ok(vec![attach(own, attributes, place(&mount.target, Leaf::Dir)?)?]);
    }
    let shown = |errno| SandboxError::host("make the directory of the control groups", "fsmount", "tmpfs", errno);
    let (made, names) = directory(groups, attributes).map_err(shown)?;
    let mut steps =
        vec![Step::Attach { mount: made, target: place(&mount.target, Leaf::Dir)?, keep: None, in_turn: false }];
    for (name, group) in names {
        let target = place(&format!("{}/{name}", mount.target), Leaf::Dir)?;
        steps.push(attach(group, attributes, target)?);
    }
    Ok(steps)
}

/// Whether the host has nothing but cgroup v2.
pub(super) fn is_pure() -> bool {
    c_string(MOUNTS).is_ok_and(|mounts| files::is_cgroup2(&mounts))
}

/// A tmpfs with a directory for each hierarchy, by the name that it has on the host, and the host's links between them.
fn directory(groups: &[PathBuf], attributes: MountAttr) -> RawResult<(OwnedFd, Vec<(String, &Path)>)> {
    let fs = mount::fsopen(c"tmpfs")?;
    mount::fsconfig_string(fs.as_fd(), c"mode", c"755")?;
    mount::fsconfig_string(fs.as_fd(), c"size", c"65536")?;
    mount::fsconfig_create(fs.as_fd())?;
    let made = mount::fsmount(fs.as_fd(), attributes.without(MountAttr::RDONLY))?;
    let mut names = Vec::new();
    for group in groups {
        let below = group.strip_prefix(MOUNTS).ok().and_then(|below| below.components().next());
        let Some(name) = below.map(|name| name.as_os_str().to_string_lossy().into_owned()) else { continue };
        dirfd::mkdirat(made.as_fd(), name.as_bytes(), 0o755).map_err(|error| error.errno)?;
        names.push((name, group.as_path()));
    }
    for entry in std::fs::read_dir(MOUNTS).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_symlink())
            && let Ok(points_to) = std::fs::read_link(entry.path())
            && names.iter().any(|(name, _)| points_to.as_os_str() == name.as_str())
        {
            let (to, name) = (points_to.as_os_str().as_encoded_bytes(), entry.file_name());
            dirfd::symlinkat(to, made.as_fd(), name.as_encoded_bytes()).map_err(|error| error.errno)?;
        }
    }
    if attributes.has(MountAttr::RDONLY) {
        mount::mount_setattr(made.as_fd(), false, MountAttr::RDONLY, MountAttr::NONE, None)?;
    }
    Ok((made, names))
}

fn attach(group: &Path, attributes: MountAttr, target: Target) -> Result<Step, SandboxError> {
    let shown = group.display();
    let host =
        |call, errno| SandboxError::host(format!("show the control group {shown}"), call, shown.to_string(), errno);
    let path = CString::new(group.as_os_str().as_bytes()).map_err(|_| host("open_tree", Errno::EINVAL))?;
    let copy = mount::open_tree_clone(files::CWD, &path, false).map_err(|errno| host("open_tree", errno))?;
    mount::mount_setattr(copy.as_fd(), false, attributes, MountAttr::NONE, Some(Propagation::Private))
        .map_err(|errno| host("mount_setattr", errno))?;
    Ok(Step::Attach { mount: copy, target, keep: None, in_turn: false })
}
