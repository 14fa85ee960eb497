//! File calls relative to a directory fd: what a tree of foreign content is touched with.
//!
//! Names are bytes. None of these calls follows a symbolic link in the last component unless its name says so; paths of
//! more than one component go through [`openat2`] with a [`Resolve`] that keeps them below the directory.

use std::ffi::CString;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::fcntl::{AtFlags, OpenHow};
use nix::sys::stat::{Mode, SFlag, UtimensatFlags};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags};

pub use nix::fcntl::{OFlag as OpenFlags, ResolveFlag as Resolve};

use crate::raw::call;
use crate::{Errno, Result, SysError};

/// Resolution that stays below the directory and follows no symbolic link at all (openat2(2)).
pub const BENEATH_NO_LINKS: Resolve =
    Resolve::RESOLVE_BENEATH.union(Resolve::RESOLVE_NO_SYMLINKS).union(Resolve::RESOLVE_NO_MAGICLINKS);

/// Resolution that takes the directory for `/`, as chroot(2) would: links and `..` cannot leave it.
pub const IN_ROOT: Resolve = Resolve::RESOLVE_IN_ROOT.union(Resolve::RESOLVE_NO_MAGICLINKS);

/// What a file is (inode(7), "The file type and mode").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// Regular file.
    Regular,
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
    /// Character device.
    CharDevice,
    /// Block device.
    BlockDevice,
    /// Named pipe.
    Fifo,
    /// Socket.
    Socket,
}

/// Result of stat(2), the parts that ctr uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: FileKind,
    /// The twelve permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Number of names.
    pub nlink: u64,
    /// Device that holds it.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// For a device: its number; see [`major`] and [`minor`].
    pub rdev: u64,
    /// Blocks of 512 bytes that it takes.
    pub blocks: u64,
    /// Last modification.
    pub mtime: Timestamp,
    /// Last change of the inode: content, owner, mode, names.
    pub ctime: Timestamp,
}

impl Stat {
    /// An overlay whiteout: a character device 0:0 (kernel Documentation/filesystems/overlayfs.rst, "whiteouts").
    pub fn is_whiteout_device(&self) -> bool {
        self.kind == FileKind::CharDevice && self.rdev == 0
    }
}

/// A point in time: seconds since 1970 and nanoseconds after them (0 to 999,999,999).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Timestamp {
    /// Whole seconds, negative before 1970.
    pub secs: i64,
    /// Nanoseconds after `secs`.
    pub nanos: u32,
}

/// Major part of a device number.
pub fn major(dev: u64) -> u32 {
    u32::try_from(nix::sys::stat::major(dev)).unwrap_or(u32::MAX)
}

/// Minor part of a device number.
pub fn minor(dev: u64) -> u32 {
    u32::try_from(nix::sys::stat::minor(dev)).unwrap_or(u32::MAX)
}

/// Device number of `major` and `minor`.
pub fn makedev(major: u32, minor: u32) -> u64 {
    nix::sys::stat::makedev(u64::from(major), u64::from(minor))
}

fn show(name: &[u8]) -> String {
    format!("\"{}\"", name.escape_ascii())
}

fn mode_bits(mode: u32) -> Mode {
    Mode::from_bits_truncate(mode & 0o7777)
}

/// openat2(2): opens `path` below `dir` by the rules of `resolve`. `mode` counts only when a file is made.
pub fn openat2(dir: BorrowedFd<'_>, path: &[u8], flags: OpenFlags, mode: u32, resolve: Resolve) -> Result<OwnedFd> {
    let how = OpenHow::new().flags(flags | OpenFlags::O_CLOEXEC).mode(mode_bits(mode)).resolve(resolve);
    loop {
        match nix::fcntl::openat2(dir, path, how) {
            // A rename raced with the lookup (openat2(2), EAGAIN), or a signal came.
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => return Err(SysError::new("openat2", format!("{}, {flags:?}", show(path)), errno)),
            Ok(fd) => return Ok(fd),
        }
    }
}

/// openat(2) of one component, never through a symbolic link. `mode` counts only when a file is made.
pub fn open_child(dir: BorrowedFd<'_>, name: &[u8], flags: OpenFlags, mode: u32) -> Result<OwnedFd> {
    let flags = flags | OpenFlags::O_NOFOLLOW | OpenFlags::O_CLOEXEC;
    loop {
        match nix::fcntl::openat(dir, name, flags, mode_bits(mode)) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(SysError::new("openat", format!("{}, {flags:?}", show(name)), errno)),
            Ok(fd) => return Ok(fd),
        }
    }
}

/// mkdirat(2).
pub fn mkdirat(dir: BorrowedFd<'_>, name: &[u8], mode: u32) -> Result<()> {
    nix::sys::stat::mkdirat(dir, name, mode_bits(mode))
        .map_err(|errno| SysError::new("mkdirat", format!("{}, {mode:#o}", show(name)), errno))
}

/// mknodat(2). `dev` counts for devices only.
pub fn mknodat(dir: BorrowedFd<'_>, name: &[u8], kind: FileKind, mode: u32, dev: u64) -> Result<()> {
    let flag = match kind {
        FileKind::CharDevice => SFlag::S_IFCHR,
        FileKind::BlockDevice => SFlag::S_IFBLK,
        FileKind::Fifo => SFlag::S_IFIFO,
        FileKind::Socket => SFlag::S_IFSOCK,
        FileKind::Regular | FileKind::Directory | FileKind::Symlink => SFlag::S_IFREG,
    };
    nix::sys::stat::mknodat(dir, name, flag, mode_bits(mode), dev).map_err(|errno| {
        SysError::new("mknodat", format!("{}, {kind:?}, {mode:#o}, {}:{}", show(name), major(dev), minor(dev)), errno)
    })
}

/// symlinkat(2): makes `name` in `dir` a link to `target`.
pub fn symlinkat(target: &[u8], dir: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    nix::unistd::symlinkat(target, dir, name)
        .map_err(|errno| SysError::new("symlinkat", format!("{}, {}", show(target), show(name)), errno))
}

/// readlinkat(2).
pub fn readlinkat(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Vec<u8>> {
    nix::fcntl::readlinkat(dir, name)
        .map(std::os::unix::ffi::OsStringExt::into_vec)
        .map_err(|errno| SysError::new("readlinkat", show(name), errno))
}

/// linkat(2) without following a symbolic link: `new` in `new_dir` becomes another name of `old` in `old_dir`.
pub fn linkat(old_dir: BorrowedFd<'_>, old: &[u8], new_dir: BorrowedFd<'_>, new: &[u8]) -> Result<()> {
    nix::unistd::linkat(old_dir, old, new_dir, new, AtFlags::empty())
        .map_err(|errno| SysError::new("linkat", format!("{}, {}", show(old), show(new)), errno))
}

/// unlinkat(2) of anything but a directory.
pub fn unlinkat(dir: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    nix::unistd::unlinkat(dir, name, UnlinkatFlags::NoRemoveDir)
        .map_err(|errno| SysError::new("unlinkat", show(name), errno))
}

/// unlinkat(2) of an empty directory.
pub fn rmdirat(dir: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    nix::unistd::unlinkat(dir, name, UnlinkatFlags::RemoveDir)
        .map_err(|errno| SysError::new("rmdir", show(name), errno))
}

/// renameat(2).
pub fn renameat(old_dir: BorrowedFd<'_>, old: &[u8], new_dir: BorrowedFd<'_>, new: &[u8]) -> Result<()> {
    nix::fcntl::renameat(old_dir, old, new_dir, new)
        .map_err(|errno| SysError::new("renameat", format!("{}, {}", show(old), show(new)), errno))
}

/// fstatat(2) of `name` in `dir`, not following a symbolic link.
pub fn statat(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Stat> {
    nix::sys::stat::fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)
        .map(|stat| Stat::from_raw(&stat))
        .map_err(|errno| SysError::new("fstatat", show(name), errno))
}

/// fstat(2). Works on `O_PATH` fds too.
pub fn fstat(fd: BorrowedFd<'_>) -> Result<Stat> {
    nix::sys::stat::fstat(fd)
        .map(|stat| Stat::from_raw(&stat))
        .map_err(|errno| SysError::new("fstat", fd.as_raw_fd().to_string(), errno))
}

/// When the file was made (statx(2), `STATX_BTIME`); `None` where the file system does not say. Works on `O_PATH` fds too.
pub fn birth(fd: BorrowedFd<'_>) -> Result<Option<Timestamp>> {
    let mut found = std::mem::MaybeUninit::<libc::statx>::zeroed();
    call!(libc::SYS_statx, fd.as_raw_fd(), c"".as_ptr(), libc::AT_EMPTY_PATH, libc::STATX_BTIME, found.as_mut_ptr())
        .map_err(|errno| SysError::new("statx", fd.as_raw_fd().to_string(), errno))?;
    // SAFETY: zeroed; plain integers.
    let found = unsafe { found.assume_init() };
    let time = Timestamp { secs: found.stx_btime.tv_sec, nanos: found.stx_btime.tv_nsec };
    Ok((found.stx_mask & libc::STATX_BTIME != 0).then_some(time))
}

/// fchmod(2).
pub fn fchmod(fd: BorrowedFd<'_>, mode: u32) -> Result<()> {
    nix::sys::stat::fchmod(fd, mode_bits(mode)).map_err(|errno| SysError::new("fchmod", format!("{mode:#o}"), errno))
}

/// Sets the mode of `name` in `dir`. The kernel call follows a symbolic link, so the caller must have made `name`
/// itself, as something that is none, in a directory that no one else writes.
pub fn fchmodat_own(dir: BorrowedFd<'_>, name: &[u8], mode: u32) -> Result<()> {
    nix::sys::stat::fchmodat(dir, name, mode_bits(mode), nix::sys::stat::FchmodatFlags::FollowSymlink)
        .map_err(|errno| SysError::new("fchmodat", format!("{}, {mode:#o}", show(name)), errno))
}

/// fchown(2).
pub fn fchown(fd: BorrowedFd<'_>, uid: u32, gid: u32) -> Result<()> {
    nix::unistd::fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
        .map_err(|errno| SysError::new("fchown", format!("{uid}, {gid}"), errno))
}

/// fchownat(2), not following a symbolic link.
pub fn chownat(dir: BorrowedFd<'_>, name: &[u8], uid: u32, gid: u32) -> Result<()> {
    let (owner, group) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    nix::unistd::fchownat(dir, name, owner, group, AtFlags::AT_SYMLINK_NOFOLLOW)
        .map_err(|errno| SysError::new("fchownat", format!("{}, {uid}, {gid}", show(name)), errno))
}

/// futimens(3): sets access and modification time to `mtime`.
pub fn set_times(fd: BorrowedFd<'_>, mtime: Timestamp) -> Result<()> {
    let time = timespec(mtime);
    nix::sys::stat::futimens(fd, &time, &time)
        .map_err(|errno| SysError::new("futimens", format!("{}.{:09}", mtime.secs, mtime.nanos), errno))
}

/// utimensat(2), not following a symbolic link: sets access and modification time to `mtime`.
pub fn set_times_at(dir: BorrowedFd<'_>, name: &[u8], mtime: Timestamp) -> Result<()> {
    let time = timespec(mtime);
    nix::sys::stat::utimensat(dir, name, &time, &time, UtimensatFlags::NoFollowSymlink).map_err(|errno| {
        SysError::new("utimensat", format!("{}, {}.{:09}", show(name), mtime.secs, mtime.nanos), errno)
    })
}

// `time_t` and `long` differ between targets; a time that does not fit is cut, as the kernel itself cuts it.
#[allow(clippy::cast_possible_truncation, clippy::unnecessary_cast, trivial_numeric_casts)]
fn timespec(time: Timestamp) -> TimeSpec {
    TimeSpec::new(time.secs as _, i64::from(time.nanos) as _)
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name, one component.
    pub name: Vec<u8>,
    /// What it is, where the file system tells.
    pub kind: Option<FileKind>,
}

/// All entries of the directory `dir` but `.` and `..`, in no order (getdents64(2)). `dir` may be an `O_PATH` fd.
pub fn read_dir(dir: BorrowedFd<'_>) -> Result<Vec<DirEntry>> {
    let flags = OpenFlags::O_RDONLY | OpenFlags::O_DIRECTORY;
    let fail = |errno| SysError::new("getdents64", dir.as_raw_fd().to_string(), errno);
    let mut stream = nix::dir::Dir::from_fd(open_child(dir, b".", flags, 0)?).map_err(fail)?;
    let mut entries = Vec::new();
    for entry in stream.iter() {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            entries.push(DirEntry { name: name.to_vec(), kind: entry.file_type().map(kind_of_entry) });
        }
    }
    Ok(entries)
}

fn kind_of_entry(kind: nix::dir::Type) -> FileKind {
    match kind {
        nix::dir::Type::Fifo => FileKind::Fifo,
        nix::dir::Type::CharacterDevice => FileKind::CharDevice,
        nix::dir::Type::Directory => FileKind::Directory,
        nix::dir::Type::BlockDevice => FileKind::BlockDevice,
        nix::dir::Type::File => FileKind::Regular,
        nix::dir::Type::Symlink => FileKind::Symlink,
        nix::dir::Type::Socket => FileKind::Socket,
    }
}

/// [`crate::tree::remove_tree_at`] for a name in bytes.
pub fn remove_tree(dir: BorrowedFd<'_>, name: &[u8]) -> Result<()> {
    let name = CString::new(name).map_err(|_| SysError::new("unlinkat", show(name), Errno::EINVAL))?;
    crate::tree::remove_tree_at(dir, &name)
}

impl Stat {
    // The width of these fields differs between targets.
    #[allow(clippy::cast_sign_loss, clippy::cast_possible_truncation, clippy::unnecessary_cast)]
    fn from_raw(raw: &libc::stat) -> Self {
        let kind = match raw.st_mode & libc::S_IFMT {
            libc::S_IFDIR => FileKind::Directory,
            libc::S_IFLNK => FileKind::Symlink,
            libc::S_IFCHR => FileKind::CharDevice,
            libc::S_IFBLK => FileKind::BlockDevice,
            libc::S_IFIFO => FileKind::Fifo,
            libc::S_IFSOCK => FileKind::Socket,
            _ => FileKind::Regular,
        };
        Self {
            kind,
            mode: raw.st_mode as u32 & 0o7777,
            uid: raw.st_uid,
            gid: raw.st_gid,
            size: raw.st_size as u64,
            nlink: raw.st_nlink as u64,
            dev: raw.st_dev as u64,
            ino: raw.st_ino as u64,
            rdev: raw.st_rdev as u64,
            blocks: raw.st_blocks as u64,
            mtime: Timestamp { secs: raw.st_mtime as i64, nanos: raw.st_mtime_nsec as u32 },
            ctime: Timestamp { secs: raw.st_ctime as i64, nanos: raw.st_ctime_nsec as u32 },
        }
    }
}
