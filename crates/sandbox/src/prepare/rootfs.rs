//! The root filesystem: one overlay over the layers, mounted detached, so that the host's namespace never has it.

use std::ffi::CStr;
use std::fs::DirBuilder;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use ctr_core::container::ContainerError;
use ctr_core::launch::LayerId;
use ctr_sys::files::{self, CWD, OpenAs};
use ctr_sys::mount::{self, MountAttr};
use ctr_sys::process::{self, Namespaces};
use ctr_sys::{Errno, RawResult};

use super::{Places, c_path, c_string};
use crate::error::SandboxError;
use crate::plan::{Plan, ProcessPlan};
use crate::user::{self, ACCOUNT_FILE_MAX, Identity};

/// Layers that the overlay file system takes (spec/limits.md).
const LAYERS_MAX: usize = 127;
/// What the kernel reads of mount(2)'s options, less the room for the other options.
const OLD_OPTIONS_MAX: usize = 3500;

/// The overlay of `plan`, detached. The current directory becomes the layers directory: idmapped, where the container's ids
/// are not those on disk, by one detached copy of it that all lookups of layers go through. That copy is returned too: it is
/// gone for good when its descriptor is.
pub(super) fn mount(
    plan: &Plan,
    places: Places<'_>,
    userns: Option<BorrowedFd<'_>>,
) -> Result<(OwnedFd, OwnedFd), SandboxError> {
    let layers = &plan.rootfs.layers;
    if layers.len() > LAYERS_MAX {
        let what = format!("the image has {} layers, an overlay takes {LAYERS_MAX}", layers.len());
        return Err(SandboxError::request_hint(what, "build the image with fewer layers"));
    }
    let Some(top) = layers.last() else { return Err(SandboxError::request("the image has no layers")) };
    let lower = match userns.filter(|_| plan.userns.idmapped) {
        Some(userns) => idmapped(places.layers, userns)?,
        None => directory(places.layers)?,
    };
    enter(&lower, places.layers)?;
    make_upper(top, plan, places.container)?;
    let volatile = plan.rootfs.volatile;
    let root = match overlay(layers, places, &lower, volatile) {
        Ok(root) => root,
        // Kernels before 6.8 know no lowerdir+, and some refuse a detached overlay.
        Err(Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOSYS) => {
            old_overlay(layers, places, userns.is_some_and(|_| plan.userns.idmapped).then_some(&lower), volatile)?
        }
        Err(errno) => return Err(failed("fsopen", errno)),
    };
    Ok((root, lower))
}

fn directory(path: &Path) -> Result<OwnedFd, SandboxError> {
    files::open_location(CWD, &c_path(path)?)
        .map_err(|errno| SandboxError::host("open the store's layers", "openat2", path.display().to_string(), errno))
}

fn enter(dir: &OwnedFd, path: &Path) -> Result<(), SandboxError> {
    files::enter_dir(dir.as_fd())
        .map_err(|errno| SandboxError::host("enter the store's layers", "fchdir", path.display().to_string(), errno))
}

/// One detached copy of the layers directory under the ids of `userns`.
fn idmapped(layers: &Path, userns: BorrowedFd<'_>) -> Result<OwnedFd, SandboxError> {
    let shown = layers.display().to_string();
    let host =
        |call, errno| SandboxError::host("show the image's files under the container's ids", call, &shown, errno);
    let copy = mount::open_tree_clone(CWD, &c_path(layers)?, false).map_err(|errno| host("open_tree", errno))?;
    mount::idmap(copy.as_fd(), false, userns).map_err(|errno| match errno {
        Errno::EINVAL | Errno::EOPNOTSUPP => host("mount_setattr", errno).hinted(
            "the file system of the store cannot be idmapped: put --root on ext4, xfs, btrfs or tmpfs, or run with --userns=host",
        ),
        _ => host("mount_setattr", errno),
    })?;
    Ok(copy)
}

fn failed(call: &'static str, errno: Errno) -> SandboxError {
    let error = SandboxError::host("mount the root filesystem", call, "overlay", errno);
    match errno {
        Errno::EPERM | Errno::EACCES => error.hinted("mounting an overlay needs CAP_SYS_ADMIN: run as root"),
        Errno::ENODEV => error.hinted("this kernel has no overlay file system: modprobe overlay"),
        Errno::ENOENT | Errno::ESTALE => error.hinted("a layer is missing: ctr-gc --check tells which, ctr-fetch brings it again"),
        Errno::EINVAL => error.hinted(
            "the store's file system may not carry an overlay (another overlay, NFS): put --root on ext4, xfs, btrfs or tmpfs",
        ),
        _ => error,
    }
}

/// `upper` shows through as the root directory itself, so it has the mode and owner of the top layer's: the owner as the
/// current directory, which may be idmapped, shows it.
fn make_upper(top: &LayerId, plan: &Plan, container: &Path) -> Result<(), SandboxError> {
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| ContainerError::Io { action, path, source }
    };
    let layer = Path::new(&top.to_string()).join("fs");
    let facts = std::fs::metadata(&layer).map_err(io("read the layer", &layer))?;
    let (upper, work) = (container.join("upper"), container.join("work"));
    DirBuilder::new().mode(0o700).create(&work).map_err(io("create", &work))?;
    // The launcher's umask is 0; mkdir(2) may leave out the set-ID and sticky bits.
    let mode = facts.mode() & 0o7777;
    DirBuilder::new().mode(mode & 0o777).create(&upper).map_err(io("create", &upper))?;
    if mode > 0o777 {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&upper, mode).map_err(io("set the mode of", &upper))?;
    }
    let chown = |path: &Path, (uid, gid): (u32, u32)| match (uid, gid) {
        (0, 0) => Ok(()),
        _ => std::os::unix::fs::chown(path, Some(uid), Some(gid)).map_err(io("change the owner of", path)),
    };
    chown(&upper, (facts.uid(), facts.gid()))?;
    chown(&work, super::userns::outside(&plan.userns, 0, 0))?;
    Ok(())
}

fn overlay(layers: &[LayerId], places: Places<'_>, lower: &OwnedFd, volatile: bool) -> RawResult<OwnedFd> {
    let fs = mount::fsopen(c"overlay")?;
    let set = |key: &CStr, value: &str| {
        let value = std::ffi::CString::new(value).map_err(|_| Errno::EINVAL)?;
        mount::fsconfig_string(fs.as_fd(), key, &value)
    };
    // Names are looked up as they are set, and are short wherever the store is: the kernel takes 255 bytes of each.
    std::env::set_current_dir(places.container).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))?;
    set(c"upperdir", "upper")?;
    set(c"workdir", "work")?;
    files::enter_dir(lower.as_fd())?;
    // The first lowerdir+ is the topmost.
    for layer in layers.iter().rev() {
        set(c"lowerdir+", &format!("{layer}/fs"))?;
    }
    if volatile {
        mount::fsconfig_flag(fs.as_fd(), c"volatile")?;
    }
    if places.user_xattrs {
        mount::fsconfig_flag(fs.as_fd(), c"userxattr")?;
    }
    mount::fsconfig_create(fs.as_fd())?;
    mount::fsmount(fs.as_fd(), MountAttr::NODEV)
}

/// mount(2) in a mount namespace of the launcher's own, then a detached copy of that: same result, nothing on the host.
///
/// `idmapped` is attached over the layers directory there, so that its paths lead through it.
fn old_overlay(
    layers: &[LayerId],
    places: Places<'_>,
    idmapped: Option<&OwnedFd>,
    volatile: bool,
) -> Result<OwnedFd, SandboxError> {
    process::unshare(Namespaces::MOUNT)
        .and_then(|()| mount::make_all_slave())
        .map_err(|errno| SandboxError::host("make a mount namespace", "unshare", "CLONE_NEWNS", errno))?;
    if let Some(idmapped) = idmapped {
        let place = directory(places.layers)?;
        mount::move_mount(idmapped.as_fd(), place.as_fd()).map_err(|errno| failed("move_mount", errno))?;
    }
    enter(&directory(places.layers)?, places.layers)?;
    let lower = lower_names(layers, places)?;
    let (upper, work) = (places.container.join("upper"), places.container.join("work"));
    let escape = |path: &Path| path.to_string_lossy().replace('\\', "\\\\").replace(',', "\\,").replace(':', "\\:");
    let mut options = format!("lowerdir={lower},upperdir={},workdir={}", escape(&upper), escape(&work));
    if volatile {
        options.push_str(",volatile");
    }
    if places.user_xattrs {
        options.push_str(",userxattr");
    }
    let (target, options) = (c_path(&upper)?, c_string(&options)?);
    mount::mount_old(c"overlay", &target, c"overlay", mount::MS_NODEV, &options)
        .map_err(|errno| failed("mount", errno))?;
    let root = files::open_location(CWD, &target)
        .and_then(|mounted| mount::open_tree_clone(mounted.as_fd(), c"", false))
        .map_err(|errno| failed("open_tree", errno))?;
    // The launcher that stays with --wait removes `upper`, which must be no mount point then.
    mount::detach(&target).map_err(|errno| failed("umount2", errno))?;
    Ok(root)
}

/// Layer names for mount(2), topmost first. Many layers get short links, because the kernel reads one page of options.
fn lower_names(layers: &[LayerId], places: Places<'_>) -> Result<String, SandboxError> {
    let names: Vec<String> = layers.iter().rev().map(|layer| format!("{layer}/fs")).collect();
    let joined = names.join(":");
    if joined.len() <= OLD_OPTIONS_MAX {
        return Ok(joined);
    }
    let links = places.container.join("l");
    let io = |action: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source| ContainerError::Io { action, path, source }
    };
    DirBuilder::new().mode(0o700).create(&links).map_err(io("create", &links))?;
    for (number, name) in names.iter().enumerate() {
        symlink(places.layers.join(name), links.join(number.to_string())).map_err(io("create a link in", &links))?;
    }
    std::env::set_current_dir(&links).map_err(io("enter", &links))?;
    Ok((0..names.len()).map(|number| number.to_string()).collect::<Vec<_>>().join(":"))
}

/// Who the program runs as, by the image's own files, which are read as a process inside would see them.
pub(super) fn identity(plan: &Plan, rootfs: &OwnedFd) -> Result<Identity, SandboxError> {
    // A device cannot be opened on this mount, and a fifo gives nothing.
    look_up(&plan.process, |path| files::open_in_root(rootfs.as_fd(), path, OpenAs::Read, 0))
}

/// The same in a container that runs. Its files may be devices, and change while they are looked at: what is opened to read
/// is the very file that was seen to be a regular one.
pub(crate) fn running_identity(process: &ProcessPlan, root: &OwnedFd) -> Result<Identity, SandboxError> {
    look_up(process, |path| {
        let place = files::open_in_root(root.as_fd(), path, OpenAs::LocationFollow, 0)?;
        if files::facts(place.as_fd())?.is_file() {
            ctr_sys::small::reopen(place.as_fd(), false)
        } else {
            Err(Errno::ENOENT)
        }
    })
}

fn look_up(process: &ProcessPlan, open: impl Fn(&CStr) -> RawResult<OwnedFd>) -> Result<Identity, SandboxError> {
    let passwd = account_file(c"etc/passwd", &open)?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (user, group) = process.user.split_once(':').map_or((process.user.as_str(), ""), |(user, group)| (user, group));
    // Numbers for everything leave nothing to look up in /etc/group.
    let settled =
        is_number(user) && !group.is_empty() && is_number(group) && process.groups.iter().all(|g| is_number(g));
    let group_file = if settled { Vec::new() } else { account_file(c"etc/group", &open)? };
    user::resolve(&process.user, &process.groups, &passwd, &group_file).map_err(|error| {
        SandboxError::request_hint(error.to_string(), "give numbers, as in --user 1000:1000, or a user of the image")
    })
}

/// The bytes of an account file; none if it is missing, no regular file, or larger than [`ACCOUNT_FILE_MAX`].
fn account_file(path: &CStr, open: impl Fn(&CStr) -> RawResult<OwnedFd>) -> Result<Vec<u8>, SandboxError> {
    let shown = path.to_string_lossy();
    let file = match open(path) {
        Ok(file) => file,
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::ENXIO | Errno::ENODEV | Errno::EACCES) => {
            return Ok(Vec::new());
        }
        Err(errno) => return Err(SandboxError::host(format!("read the image's {shown}"), "openat2", shown, errno)),
    };
    let read = |errno| SandboxError::host(format!("read the image's {shown}"), "read", shown.clone(), errno);
    match ctr_sys::small::read_open(file.as_fd(), ACCOUNT_FILE_MAX) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(SandboxError::request_hint(
            format!("the image's /{shown} has more than the {ACCOUNT_FILE_MAX} bytes that are read"),
            "give an image with smaller account files",
        )),
        Err(Errno::EISDIR | Errno::EAGAIN) => Ok(Vec::new()),
        Err(errno) => Err(read(errno)),
    }
}
