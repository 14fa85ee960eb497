//! Volumes that ctr keeps: named ones in the store, those that go with the container, tmpfs that begin with content, and
//! other images.

use std::ffi::CStr;
use std::fs::DirBuilder;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use ctr_core::container::ContainerError;
use ctr_sys::dirfd::OpenFlags;
use ctr_sys::files;
use ctr_sys::mount::{self, MountAttr};
use ctr_sys::{Errno, RawResult};

use super::{Places, content, mountinfo, userns, volume};
use crate::error::SandboxError;
use crate::idmap::Extent;
use crate::plan::{BindPlan, MountedImage, Plan, PlannedMount, TmpfsPlan};
use crate::script::Leaf;

/// A named volume, with what the image has at its place if it is empty.
pub(super) fn named(
    plan: &Plan,
    mount: &PlannedMount,
    bind: &BindPlan,
    copy: bool,
    rootfs: BorrowedFd<'_>,
    idmap: Option<BorrowedFd<'_>>,
) -> Result<(OwnedFd, Leaf), SandboxError> {
    let data = Path::new(&bind.source);
    if copy && let Some(filling) = ctr_core::volume::begin_filling(data)? {
        let into = open_dir(data)?;
        // On disk are the ids of the image, as everywhere in idmapped volumes; our view of the image is mapped.
        let map = &plan.userns.map;
        let owner = |uid, gid| {
            if bind.idmap { (inside(&map.uids, uid), inside(&map.gids, gid)) } else { (uid, gid) }
        };
        let written = content::copy(rootfs, &mount.target, into.as_fd(), &owner)?;
        filling.done(written)?;
    }
    volume::open(bind, mount, idmap)
}

fn inside(extents: &[Extent], outside: u32) -> u32 {
    let extent = extents.iter().find(|e| outside >= e.outside && outside - e.outside < e.count);
    extent.map_or(outside, |e| e.inside + (outside - e.outside))
}

fn open_dir(path: &Path) -> Result<OwnedFd, SandboxError> {
    ctr_sys::durable::open_dir(path).map_err(|cause| SandboxError::Host {
        action: format!("open the volume {}", path.display()),
        cause,
        hint: None,
    })
}

/// A directory of the container's own. Its files have the ids that the container's have outside, as the upper layer has:
/// nothing of it is ever another container's.
pub(super) fn anonymous(
    plan: &Plan,
    mount: &PlannedMount,
    directory: &str,
    copy: bool,
    places: Places<'_>,
    rootfs: BorrowedFd<'_>,
) -> Result<OwnedFd, SandboxError> {
    let path = own_directory(places.container, "volumes", directory, 0o755)?;
    let into = open_dir(&path)?;
    let (uid, gid) = userns::outside(&plan.userns, 0, 0);
    files::change_owner(into.as_fd(), uid, gid)
        .map_err(|errno| SandboxError::host("give the volume to the container", "fchown", uid.to_string(), errno))?;
    if copy {
        content::copy(rootfs, &mount.target, into.as_fd(), &|uid, gid| (uid, gid))?;
    }
    volume::own(&path, mount)
}

/// `containers/.../ID/PLACE/NAME`, made.
fn own_directory(container: &Path, place: &str, name: &str, mode: u32) -> Result<std::path::PathBuf, SandboxError> {
    let place = container.join(place);
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| ContainerError::Io { action: "create", path, source }
    };
    DirBuilder::new().mode(0o700).recursive(true).create(&place).map_err(io(&place))?;
    let path = place.join(name);
    DirBuilder::new().mode(mode).create(&path).map_err(io(&path))?;
    Ok(path)
}

/// A tmpfs that begins with what the image has at its place: made here, because the container cannot read the image yet.
pub(super) fn filled_tmpfs(
    plan: &Plan,
    mount: &PlannedMount,
    tmpfs: &TmpfsPlan,
    rootfs: BorrowedFd<'_>,
) -> Result<OwnedFd, SandboxError> {
    let failed = |call, errno| SandboxError::host(format!("make the tmpfs for {}", mount.target), call, "tmpfs", errno);
    let (uid, gid) = userns::outside(&plan.userns, tmpfs.uid, tmpfs.gid);
    let made = (|| -> RawResult<OwnedFd> {
        let fs = mount::fsopen(c"tmpfs")?;
        let set = |key: &CStr, value: String| {
            let value = std::ffi::CString::new(value).map_err(|_| Errno::EINVAL)?;
            mount::fsconfig_string(fs.as_fd(), key, &value)
        };
        set(c"mode", format!("{:o}", tmpfs.mode))?;
        set(c"uid", uid.to_string())?;
        set(c"gid", gid.to_string())?;
        tmpfs.size.map_or(Ok(()), |size| set(c"size", size.to_string()))?;
        tmpfs.inodes.map_or(Ok(()), |inodes| set(c"nr_inodes", inodes.to_string()))?;
        mount::fsconfig_create(fs.as_fd())?;
        mount::fsmount(fs.as_fd(), MountAttr::NONE)
    })()
    .map_err(|errno| failed("fsmount", errno))?;
    // The descriptor of a new mount is a location only (fsmount(2)).
    let into = ctr_sys::dirfd::open_child(made.as_fd(), b".", OpenFlags::O_RDONLY | OpenFlags::O_DIRECTORY, 0);
    let into = into.map_err(|cause| failed(cause.call, cause.errno))?;
    content::copy(rootfs, &mount.target, into.as_fd(), &|uid, gid| (uid, gid))?;
    mount::mount_setattr(made.as_fd(), false, volume::attributes(mount), MountAttr::NONE, None)
        .map_err(|errno| failed("mount_setattr", errno))?;
    Ok(made)
}

/// A read-only volume that the container cannot make writable, whatever it does to its mounts: an overlay over it, and over
/// an empty directory because there must be two, without an upper layer. Mounts below would not be seen through it.
pub(super) fn sealed(
    mount: &PlannedMount,
    bind: &BindPlan,
    number: usize,
    (volume, leaf): (OwnedFd, Leaf),
    places: Places<'_>,
) -> Result<(OwnedFd, Leaf), SandboxError> {
    let shown = &bind.source;
    let refuse = |why: &str, hint: &str| {
        let what = format!("the volume {shown} cannot be kept read-only from a container with CAP_SYS_ADMIN: {why}");
        Err(SandboxError::request_hint(what, hint))
    };
    if leaf == Leaf::File {
        return refuse("it is a file", "mount its directory, or run without --cap-add SYS_ADMIN");
    }
    if bind.recursive && mountinfo::has_below(Path::new(shown)) {
        return refuse(
            "there are mounts below it",
            "mount it with bind-nonrecursive, or run without --cap-add SYS_ADMIN",
        );
    }
    let empty = own_directory(places.container, "sealed", &number.to_string(), 0o755)?;
    let empty = open_dir(&empty)?;
    let made = (|| -> RawResult<OwnedFd> {
        let fs = mount::fsopen(c"overlay")?;
        for lower in [&volume, &empty] {
            let path = format!("/proc/self/fd/{}", lower.as_raw_fd());
            let path = std::ffi::CString::new(path).map_err(|_| Errno::EINVAL)?;
            mount::fsconfig_string(fs.as_fd(), c"lowerdir+", &path)?;
        }
        if places.user_xattrs {
            mount::fsconfig_flag(fs.as_fd(), c"userxattr")?;
        }
        mount::fsconfig_create(fs.as_fd())?;
        mount::fsmount(fs.as_fd(), volume::attributes(mount))
    })();
    let made = made.map_err(|errno| {
        SandboxError::host(format!("keep the volume {shown} read-only"), "fsopen", "overlay", errno).hinted(
            "its file system may not carry an overlay, or the kernel is older than Linux 6.8: run without --cap-add SYS_ADMIN",
        )
    })?;
    Ok((made, leaf))
}

/// The root filesystem of another image. `layers` is the directory of layers, idmapped where it has to be; it becomes the
/// current directory.
pub(super) fn image(
    plan: &Plan,
    mount: &PlannedMount,
    image: &MountedImage,
    places: Places<'_>,
    layers: BorrowedFd<'_>,
) -> Result<OwnedFd, SandboxError> {
    let failed = |errno| {
        let error = SandboxError::host(
            format!("mount the image {} on {}", image.image, mount.target),
            "fsopen",
            "overlay",
            errno,
        );
        match errno {
            Errno::EINVAL => error.hinted("images as mounts need Linux 6.8"),
            Errno::ENOENT | Errno::ESTALE => error.hinted("a layer is missing: ctr-gc --check tells which"),
            _ => error,
        }
    };
    let own = own_directory(places.container, "images", &image.directory, 0o700)?;
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| ContainerError::Io { action, path, source }
    };
    for name in ["upper", "work"] {
        let path = own.join(name);
        DirBuilder::new().mode(0o755).create(&path).map_err(io("create", &path))?;
        let (uid, gid) = userns::outside(&plan.userns, 0, 0);
        std::os::unix::fs::chown(&path, Some(uid), Some(gid)).map_err(io("change the owner of", &path))?;
    }
    std::env::set_current_dir(&own).map_err(io("enter", &own))?;
    let made = overlay(image, mount.read_only, layers, &own, places.user_xattrs, volume::attributes(mount));
    files::enter_dir(layers).map_err(failed)?;
    made.map_err(failed)
}

/// The current directory is `own`.
fn overlay(
    image: &MountedImage,
    read_only: bool,
    layers: BorrowedFd<'_>,
    own: &Path,
    user_xattrs: bool,
    attributes: MountAttr,
) -> RawResult<OwnedFd> {
    let fs = mount::fsopen(c"overlay")?;
    let set = |key: &CStr, value: &str| {
        let value = std::ffi::CString::new(value).map_err(|_| Errno::EINVAL)?;
        mount::fsconfig_string(fs.as_fd(), key, &value)
    };
    if !read_only {
        set(c"upperdir", "upper")?;
        set(c"workdir", "work")?;
        mount::fsconfig_flag(fs.as_fd(), c"volatile")?;
    }
    files::enter_dir(layers)?;
    for layer in image.layers.iter().rev() {
        set(c"lowerdir+", &format!("{layer}/fs"))?;
    }
    if read_only {
        // Without an upper layer there must be two lower ones: the last is an empty directory.
        std::env::set_current_dir(own).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))?;
        set(c"lowerdir+", "upper")?;
    }
    if user_xattrs {
        mount::fsconfig_flag(fs.as_fd(), c"userxattr")?;
    }
    mount::fsconfig_create(fs.as_fd())?;
    mount::fsmount(fs.as_fd(), attributes)
}
