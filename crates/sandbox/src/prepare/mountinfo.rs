//! `/proc/self/mountinfo` (proc(5)): read only where an option or an error needs to know what is mounted where.

use std::ffi::OsString;
use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mounted {
    id: u64,
    /// Where.
    pub(super) point: PathBuf,
    /// Its file system: `ext4`, `fuse.sshfs` ...
    pub(super) kind: String,
    /// Mounts on it are seen by its peers.
    pub(super) shared: bool,
    /// It receives mounts.
    pub(super) slave: bool,
}

/// All mounts of our namespace; none where procfs cannot be read.
pub(super) fn all() -> Vec<Mounted> {
    let text = fs::read("/proc/self/mountinfo").unwrap_or_default();
    text.split(|byte| *byte == b'\n').filter_map(parse).collect()
}

/// The mount that a descriptor is on.
pub(super) fn of<'a>(fd: BorrowedFd<'_>, mounts: &'a [Mounted]) -> Option<&'a Mounted> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()?;
    let id = text.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse::<u64>().ok()?;
    mounts.iter().find(|mount| mount.id == id)
}

/// Mounts below the directory `path`.
pub(super) fn below<'a>(path: &'a Path, mounts: &'a [Mounted]) -> impl Iterator<Item = &'a Mounted> {
    mounts.iter().filter(move |mount| mount.point != path && mount.point.starts_with(path))
}

/// Whether something is mounted below the directory that `path` leads to.
pub(super) fn has_below(path: &Path) -> bool {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    below(&real, &all()).next().is_some()
}

/// `ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAG]... - TYPE SOURCE OPTIONS`.
fn parse(line: &[u8]) -> Option<Mounted> {
    let mut fields = line.split(|byte| *byte == b' ');
    let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse().ok();
    let id = number(fields.next()?)?;
    let point = PathBuf::from(OsString::from_vec(unescape(fields.nth(3)?)));
    fields.next()?;
    let (mut shared, mut slave) = (false, false);
    for tag in fields.by_ref().take_while(|field| *field != b"-") {
        shared |= tag.starts_with(b"shared:");
        slave |= tag.starts_with(b"master:");
    }
    let kind = String::from_utf8_lossy(fields.next()?).into_owned();
    Some(Mounted { id, point, kind, shared, slave })
}

/// Space, tab, newline and backslash are written as three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, more)) = rest.split_first() {
        let octal = more.get(..3).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match octal {
            Some(byte) if *first == b'\\' => {
                plain.push(byte);
                rest = more.get(3..).unwrap_or_default();
            }
            _ => {
                plain.push(*first);
                rest = more;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let line = br"36 35 98:0 /mnt1 /mnt\0402 rw,noatime master:1 shared:7 - fuse.sshfs host:/x rw";
        let found = parse(line).unwrap();
        assert_eq!((found.id, found.point.to_str(), found.kind.as_str()), (36, Some("/mnt 2"), "fuse.sshfs"));
        assert!(found.shared && found.slave);
        let plain = parse(b"1 1 0:1 / / rw - ext4 /dev/x rw").unwrap();
        assert!(!plain.shared && !plain.slave && plain.kind == "ext4");
        for bad in [&b""[..], b"x", b"1 2 3", b"1 1 0:1 / / rw"] {
            assert_eq!(parse(bad), None);
        }
    }

    #[test]
    fn our_own_root_is_found() {
        let mounts = all();
        let root = ctr_sys::files::open_location(ctr_sys::files::CWD, c"/").unwrap();
        let found = of(std::os::fd::AsFd::as_fd(&root), &mounts).unwrap();
        assert_eq!(found.point, Path::new("/"));
        assert!(below(Path::new("/"), &mounts).any(|mount| mount.point == Path::new("/proc")));
    }
}
