//! How overlay is told of whiteouts and opaque directories (kernel Documentation/filesystems/overlayfs.rst).

use std::os::fd::{AsFd as _, BorrowedFd};

use ctr_core::store::XattrDialect;
use ctr_sys::dirfd::{self, FileKind, OpenFlags, Stat};
use ctr_sys::xattr::{self, Target};
use ctr_sys::{Errno, process};

use crate::tar::EntryKind;

/// Attribute in which the owner and mode are kept that a store of a single id cannot give to files (read by
/// fuse-overlayfs, written by containers/storage too): `UID:GID:0MODE`.
pub const OVERRIDE_STAT: &[u8] = b"user.containers.override_stat";

/// The attribute that marks an opaque directory with `y`.
pub(crate) fn opaque(dialect: XattrDialect) -> &'static [u8] {
    match dialect {
        XattrDialect::Trusted => b"trusted.overlay.opaque",
        XattrDialect::User => b"user.overlay.opaque",
    }
}

/// The attribute of whiteouts that are empty regular files (Linux 6.7).
fn whiteout(dialect: XattrDialect) -> &'static [u8] {
    match dialect {
        XattrDialect::Trusted => b"trusted.overlay.whiteout",
        XattrDialect::User => b"user.overlay.whiteout",
    }
}

/// Does the directory hide what is below it?
pub fn is_opaque(dialect: XattrDialect, dir: BorrowedFd<'_>) -> ctr_sys::Result<bool> {
    Ok(xattr::get(Target::Fd(dir), opaque(dialect))?.as_deref() == Some(b"y"))
}

/// Is `name` in `dir`, which has this `stat`, a whiteout in one of the two forms?
pub fn is_whiteout(dialect: XattrDialect, dir: BorrowedFd<'_>, name: &[u8], stat: &Stat) -> ctr_sys::Result<bool> {
    if stat.is_whiteout_device() {
        return Ok(true);
    }
    if stat.kind != FileKind::Regular || stat.size != 0 {
        return Ok(false);
    }
    Ok(xattr::get(Target::Child(dir, name), whiteout(dialect))?.is_some())
}

/// Hides what is below the directory.
pub fn set_opaque(dialect: XattrDialect, dir: BorrowedFd<'_>) -> ctr_sys::Result<()> {
    xattr::set(Target::Fd(dir), opaque(dialect), b"y")
}

/// The inverse of [`set_opaque`].
pub fn clear_opaque(dialect: XattrDialect, dir: BorrowedFd<'_>) -> ctr_sys::Result<()> {
    xattr::remove(Target::Fd(dir), opaque(dialect))
}

/// Makes the whiteout `name` in `dir`: a device 0:0, which Linux lets everybody make since 5.8. Overlay itself, as the file
/// system of a nested store, does not, nor do some sandboxes: there it is an empty file with an attribute, in a directory that
/// is marked to have such files (Linux 6.7).
pub fn make_whiteout(dialect: XattrDialect, dir: BorrowedFd<'_>, name: &[u8]) -> ctr_sys::Result<()> {
    match dirfd::mknodat(dir, name, FileKind::CharDevice, 0, 0) {
        Err(error)
            if matches!(error.errno, Errno::EPERM | Errno::EOPNOTSUPP) && process::kernel_version() >= (6, 7) => {}
        made => return made,
    }
    let file = dirfd::open_child(dir, name, OpenFlags::O_WRONLY | OpenFlags::O_CREAT | OpenFlags::O_EXCL, 0)?;
    xattr::set_open(file.as_fd(), whiteout(dialect), b"y")?;
    if is_opaque(dialect, dir)? { Ok(()) } else { xattr::set(Target::Fd(dir), opaque(dialect), b"x") }
}

/// Is `name` an attribute by which overlay is told what to show? Layers may not bring those.
pub fn is_overlay_attribute(name: &[u8]) -> bool {
    [&b"trusted.overlay."[..], b"user.overlay."].iter().any(|prefix| name.starts_with(prefix))
}

/// Attributes that say something of the machine that packed the layer, not of the image: labels, signatures. Of
/// `security.*` only file capabilities are the image's own.
pub fn is_foreign_attribute(name: &[u8]) -> bool {
    match name.strip_prefix(b"security.") {
        Some(rest) => rest != b"capability",
        None => name == b"system.nfs4_acl",
    }
}

/// What [`OVERRIDE_STAT`] keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Override {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// The twelve permission bits.
    pub mode: u32,
    /// For a device that is an empty file: what it is.
    pub device: Option<(EntryKind, u32, u32)>,
}

/// `UID:GID:0MODE`, for a device with `:char-MAJOR-MINOR` or `:block-MAJOR-MINOR`.
pub fn override_value(record: &Override) -> Vec<u8> {
    let device = match record.device {
        None => String::new(),
        Some((EntryKind::BlockDevice, major, minor)) => format!(":block-{major}-{minor}"),
        Some((_, major, minor)) => format!(":char-{major}-{minor}"),
    };
    format!("{}:{}:0{:o}{device}", record.uid, record.gid, record.mode).into_bytes()
}

/// What an empty file of a store of this dialect stands for, if not for itself: a device, where devices cannot be made.
pub fn recorded_device(dialect: XattrDialect, file: Target<'_>) -> ctr_sys::Result<Option<(EntryKind, u32, u32)>> {
    if dialect != XattrDialect::User {
        return Ok(None);
    }
    Ok(xattr::get(file, OVERRIDE_STAT)?.as_deref().and_then(parse_override).and_then(|record| record.device))
}

/// The inverse of [`override_value`]; kinds other than devices, which containers/storage writes too, are left out.
pub fn parse_override(value: &[u8]) -> Option<Override> {
    let mut fields = std::str::from_utf8(value).ok()?.split(':');
    let (uid, gid, mode) = (fields.next()?, fields.next()?, fields.next()?);
    let device = fields.next().and_then(|text| {
        let mut parts = text.split('-');
        let kind = match parts.next()? {
            "char" => EntryKind::CharDevice,
            "block" => EntryKind::BlockDevice,
            _ => return None,
        };
        let (major, minor): (u32, u32) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        // A program can write the attribute: no whiteout, and no device that no archive may have.
        let is_device = major < 1 << 12 && minor < 1 << 20 && (major, minor) != (0, 0);
        is_device.then_some((kind, major, minor))
    });
    let mode = u32::from_str_radix(mode, 8).ok()? & 0o7777;
    Some(Override { uid: uid.parse().ok()?, gid: gid.parse().ok()?, mode, device })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_round_trip() {
        let plain = Override { uid: 1, gid: 4_294_967_294, mode: 0o4755, device: None };
        assert_eq!(override_value(&plain), b"1:4294967294:04755");
        let device = Override { device: Some((EntryKind::BlockDevice, 8, 1)), ..plain };
        assert_eq!(override_value(&device), b"1:4294967294:04755:block-8-1");
        for record in [plain, device] {
            assert_eq!(parse_override(&override_value(&record)), Some(record));
        }
        assert_eq!(parse_override(b"1:2:0100644:file"), Some(Override { uid: 1, gid: 2, mode: 0o644, device: None }));
        for bad in ["char-0-0", "char-4096-1", "char-1-1048576", "block-8", "char--1-1"] {
            let value = format!("1:2:0644:{bad}");
            assert_eq!(parse_override(value.as_bytes()).unwrap().device, None, "{bad}");
        }
        for bad in [&b""[..], b"1:2", b"a:2:3", b"1:2:9", b"\xff:1:2"] {
            assert_eq!(parse_override(bad), None);
        }
    }
}
