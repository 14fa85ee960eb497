//! File calls by descriptor that the launcher needs on both sides of clone: no allocation.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use crate::raw::{RawResult, call, owned, retry};

/// The current directory, where a directory descriptor is asked for (`AT_FDCWD`).
// SAFETY: AT_FDCWD is not -1 and never closed; every call that takes a directory descriptor takes it.
pub const CWD: BorrowedFd<'static> = unsafe { BorrowedFd::borrow_raw(libc::AT_FDCWD) };

/// How [`open_in_root`] opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenAs {
    /// As a location only (`O_PATH`), not following a symbolic link at the end.
    Location,
    /// As a location, following links within the root.
    LocationFollow,
    /// A directory, as a location.
    Directory,
    /// A file to read; never blocks on a fifo.
    Read,
    /// A file that is there, to write; never blocks on a fifo.
    Write,
    /// A new file to write, which must not be there (`O_EXCL`).
    CreateNew,
}

impl OpenAs {
    fn flags(self) -> i32 {
        match self {
            Self::Location => libc::O_PATH | libc::O_NOFOLLOW,
            Self::LocationFollow => libc::O_PATH,
            Self::Directory => libc::O_PATH | libc::O_DIRECTORY,
            Self::Read => libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY,
            Self::Write => libc::O_WRONLY | libc::O_NONBLOCK | libc::O_NOCTTY,
            Self::CreateNew => libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW,
        }
    }
}

/// Opens `path` as a process whose root directory is `root` would see it: absolute links and `..` stay inside, magic links
/// are refused (openat2(2) with `RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS`).
pub fn open_in_root(root: BorrowedFd<'_>, path: &CStr, open: OpenAs, mode: u32) -> RawResult<OwnedFd> {
    // SAFETY: open_how is plain integers, all zeroes is valid.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (open.flags() | libc::O_CLOEXEC) as u64;
    how.mode = if open == OpenAs::CreateNew { u64::from(mode) } else { 0 };
    how.resolve = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS;
    let (fd, size) = (root.as_raw_fd(), size_of::<libc::open_how>());
    // EAGAIN: a rename raced with the resolution of "..", the kernel asks to try again (openat2(2)).
    for _ in 0..32 {
        match retry(|| call!(libc::SYS_openat2, fd, path.as_ptr(), ptr::from_ref(&how), size)) {
            Err(crate::Errno::EAGAIN) => {}
            result => return result.map(owned),
        }
    }
    Err(crate::Errno::EAGAIN)
}

/// Opens one component of a tree that only the caller writes, as a location, not following a link at the end.
pub fn open_location(dir: BorrowedFd<'_>, path: &CStr) -> RawResult<OwnedFd> {
    let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    retry(|| call!(libc::SYS_openat, dir.as_raw_fd(), path.as_ptr(), flags, 0)).map(owned)
}

/// Opens a file as a location, following every link, magic ones too.
pub fn open_path(path: &CStr) -> RawResult<OwnedFd> {
    let flags = libc::O_PATH | libc::O_CLOEXEC;
    retry(|| call!(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0)).map(owned)
}

/// Opens a directory as a location, following every link, magic ones too: `/proc/PID/root` is meant.
pub fn open_directory(path: &CStr) -> RawResult<OwnedFd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    retry(|| call!(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0)).map(owned)
}

/// Opens a file below `dir` to read; the last component is not followed.
pub fn open_read_only(dir: BorrowedFd<'_>, path: &CStr) -> RawResult<OwnedFd> {
    let flags = libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NOCTTY;
    retry(|| call!(libc::SYS_openat, dir.as_raw_fd(), path.as_ptr(), flags, 0)).map(owned)
}

/// Opens a file of procfs to write, below the root of a procfs mount: no link out of it, no magic link, nothing that is
/// mounted over it is followed, and what was opened is on procfs (CVE-2025-52881).
pub fn open_in_procfs(proc: BorrowedFd<'_>, path: &CStr) -> RawResult<OwnedFd> {
    // SAFETY: open_how is plain data, all zeroes is valid.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (libc::O_WRONLY | libc::O_CLOEXEC) as u64;
    how.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_XDEV | libc::RESOLVE_NO_MAGICLINKS;
    let size = size_of::<libc::open_how>();
    let file = retry(|| call!(libc::SYS_openat2, proc.as_raw_fd(), path.as_ptr(), std::ptr::from_ref(&how), size))
        .map(owned)?;
    let mut stat = MaybeUninit::<libc::statfs>::zeroed();
    call!(libc::SYS_fstatfs, file.as_raw_fd(), stat.as_mut_ptr())?;
    // SAFETY: zeroed; plain integers.
    let kind = unsafe { stat.assume_init() }.f_type as u64;
    if kind == libc::PROC_SUPER_MAGIC as u64 { Ok(file) } else { Err(crate::Errno::EXDEV) }
}

/// Opens an existing file to read and write, not following a link.
pub fn open_read_write(dir: BorrowedFd<'_>, path: &CStr) -> RawResult<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NOCTTY;
    retry(|| call!(libc::SYS_openat, dir.as_raw_fd(), path.as_ptr(), flags, 0)).map(owned)
}

/// Opens an existing file to write.
pub fn open_write(dir: BorrowedFd<'_>, path: &CStr) -> RawResult<OwnedFd> {
    let flags = libc::O_WRONLY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    retry(|| call!(libc::SYS_openat, dir.as_raw_fd(), path.as_ptr(), flags, 0)).map(owned)
}

/// mkdirat(2).
pub fn make_dir(dir: BorrowedFd<'_>, name: &CStr, mode: u32) -> RawResult<()> {
    call!(libc::SYS_mkdirat, dir.as_raw_fd(), name.as_ptr(), mode).map(drop)
}

/// An empty regular file (mknodat(2)).
pub fn make_file(dir: BorrowedFd<'_>, name: &CStr, mode: u32) -> RawResult<()> {
    call!(libc::SYS_mknodat, dir.as_raw_fd(), name.as_ptr(), libc::S_IFREG | mode, 0).map(drop)
}

/// Whether the effective user may open a path so (faccessat2(2)).
pub fn may_open(path: &CStr, read: bool, write: bool) -> RawResult<()> {
    let mode = if read { libc::R_OK } else { 0 } | if write { libc::W_OK } else { 0 };
    call!(libc::SYS_faccessat2, libc::AT_FDCWD, path.as_ptr(), mode, libc::AT_EACCESS).map(drop)
}

/// What is behind a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileFacts {
    /// Type and permission bits (inode(7)).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Device number, for a device node.
    pub device: (u32, u32),
    /// The file system that it lies in (`st_dev`).
    pub filesystem: u64,
}

impl FileFacts {
    /// Whether it is a directory.
    pub const fn is_dir(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFDIR
    }

    /// Whether it is a regular file.
    pub const fn is_file(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFREG
    }

    /// Whether it is a character device.
    pub const fn is_char_device(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFCHR
    }

    /// Whether it is a character or block device.
    pub const fn is_device(&self) -> bool {
        matches!(self.mode & libc::S_IFMT, libc::S_IFCHR | libc::S_IFBLK)
    }

    /// Whether it is a block device.
    pub const fn is_block_device(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFBLK
    }

    /// Whether it is a symbolic link.
    pub const fn is_link(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFLNK
    }
}

/// fstat(2).
pub fn facts(fd: BorrowedFd<'_>) -> RawResult<FileFacts> {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the buffer is a whole struct stat and lives over the call.
    if unsafe { libc::fstat(fd.as_raw_fd(), stat.as_mut_ptr()) } != 0 {
        return Err(crate::Errno::last());
    }
    // SAFETY: zeroed and then filled by the kernel; plain integers.
    let stat = unsafe { stat.assume_init() };
    let device = (libc::major(stat.st_rdev), libc::minor(stat.st_rdev));
    Ok(FileFacts {
        mode: stat.st_mode,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: stat.st_size as u64,
        device,
        filesystem: stat.st_dev as u64,
    })
}

/// Options of the mount that a descriptor is on (statvfs(3), `f_flag`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MountedAs {
    /// Read-only, the mount or its file system.
    pub read_only: bool,
    /// Set-user-ID bits are ignored.
    pub nosuid: bool,
    /// Programs cannot be executed.
    pub noexec: bool,
}

/// fstatvfs(3), the options only.
pub fn mounted_as(fd: BorrowedFd<'_>) -> RawResult<MountedAs> {
    let mut stat = MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: the buffer is a whole struct statvfs and lives over the call.
    if unsafe { libc::fstatvfs(fd.as_raw_fd(), stat.as_mut_ptr()) } != 0 {
        return Err(crate::Errno::last());
    }
    // SAFETY: zeroed and then filled by the C library; plain integers.
    let flags = unsafe { stat.assume_init() }.f_flag;
    let has = |flag: libc::c_ulong| flags & flag != 0;
    Ok(MountedAs { read_only: has(libc::ST_RDONLY), nosuid: has(libc::ST_NOSUID), noexec: has(libc::ST_NOEXEC) })
}

/// fchown(2).
pub fn change_owner(fd: BorrowedFd<'_>, uid: u32, gid: u32) -> RawResult<()> {
    call!(libc::SYS_fchown, fd.as_raw_fd(), uid, gid).map(drop)
}

/// fchown(2) of the user alone.
pub fn change_user(fd: BorrowedFd<'_>, uid: u32) -> RawResult<()> {
    change_owner(fd, uid, u32::MAX)
}

/// Whether the file system at `path` is the unified control group hierarchy (statfs(2)).
pub fn is_cgroup2(path: &CStr) -> bool {
    let mut stat = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the path is a C string and the buffer a whole struct statfs.
    let failed = unsafe { libc::statfs(path.as_ptr(), stat.as_mut_ptr()) } != 0;
    // SAFETY: zeroed; plain integers.
    !failed && unsafe { stat.assume_init() }.f_type as u64 == libc::CGROUP2_SUPER_MAGIC as u64
}

/// Whether the mount that `path` is on is read-only (statvfs(3), `ST_RDONLY`).
pub fn is_on_read_only_mount(path: &CStr) -> bool {
    let mut stat = MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: the path is a C string and the buffer a whole struct statvfs.
    let failed = unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) } != 0;
    // SAFETY: zeroed; plain integers.
    !failed && unsafe { stat.assume_init() }.f_flag as u64 & libc::ST_RDONLY as u64 != 0
}

/// Whether an open file is of procfs.
pub fn is_procfs(fd: BorrowedFd<'_>) -> bool {
    filesystem(fd) == Some(libc::PROC_SUPER_MAGIC as u64)
}

/// Whether an open file is of sysfs.
pub fn is_sysfs(fd: BorrowedFd<'_>) -> bool {
    filesystem(fd) == Some(libc::SYSFS_MAGIC as u64)
}

/// Whether an open file is of an overlay, which another overlay cannot write to.
pub fn is_on_overlay(fd: BorrowedFd<'_>) -> bool {
    filesystem(fd) == Some(libc::OVERLAYFS_SUPER_MAGIC as u64)
}

/// Whether an open file is of a file system through which the kernel is told what to do, or that has terminals or message queues.
pub fn is_kernels(fd: BorrowedFd<'_>) -> bool {
    /// `MQUEUE_MAGIC` of Linux, ipc/mqueue.c.
    const MQUEUE: u64 = 0x1980_0202;
    let found = filesystem(fd);
    [
        libc::PROC_SUPER_MAGIC as u64,
        libc::SYSFS_MAGIC as u64,
        libc::CGROUP_SUPER_MAGIC as u64,
        libc::CGROUP2_SUPER_MAGIC as u64,
        libc::DEVPTS_SUPER_MAGIC as u64,
        MQUEUE,
    ]
    .into_iter()
    .any(|magic| found == Some(magic))
}

/// The magic number of the file system (statfs(2)).
fn filesystem(fd: BorrowedFd<'_>) -> Option<u64> {
    let mut stat = MaybeUninit::<libc::statfs>::zeroed();
    call!(libc::SYS_fstatfs, fd.as_raw_fd(), stat.as_mut_ptr()).ok()?;
    // SAFETY: zeroed; plain integers.
    Some(unsafe { stat.assume_init() }.f_type as u64)
}

/// Makes an open directory the current one.
pub fn enter_dir(dir: BorrowedFd<'_>) -> RawResult<()> {
    call!(libc::SYS_fchdir, dir.as_raw_fd()).map(drop)
}

/// chdir(2).
pub fn change_dir(path: &CStr) -> RawResult<()> {
    call!(libc::SYS_chdir, path.as_ptr()).map(drop)
}

/// Makes the current directory the root directory (chroot(2)).
pub fn chroot_here() -> RawResult<()> {
    call!(libc::SYS_chroot, c".".as_ptr()).map(drop)
}

/// Whether this process could execute the file at `path`: it is regular, and its effective ids may (faccessat2(2),
/// `AT_EACCESS`). EACCES if not.
pub fn may_execute(path: &CStr) -> RawResult<()> {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    call!(libc::SYS_newfstatat, libc::AT_FDCWD, path.as_ptr(), stat.as_mut_ptr(), 0)?;
    // SAFETY: zeroed; plain integers.
    if unsafe { stat.assume_init() }.st_mode & libc::S_IFMT != libc::S_IFREG {
        return Err(crate::Errno::EACCES);
    }
    call!(libc::SYS_faccessat2, libc::AT_FDCWD, path.as_ptr(), libc::X_OK, libc::AT_EACCESS).map(drop)
}

/// Whether the current directory can be reached from the root: getcwd(2) answers "(unreachable)..." where it cannot.
pub fn cwd_is_reachable() -> bool {
    let mut path = [0u8; libc::PATH_MAX as usize];
    call!(libc::SYS_getcwd, path.as_mut_ptr(), path.len()).is_ok() && path[0] == b'/'
}

/// A pipe: the end to read, the end to write; both close on exec.
pub fn pipe() -> RawResult<(OwnedFd, OwnedFd)> {
    let mut ends = [-1i32; 2];
    call!(libc::SYS_pipe2, ends.as_mut_ptr(), libc::O_CLOEXEC)?;
    Ok((owned(ends[0].into()), owned(ends[1].into())))
}

/// Makes reads of `fd` return at once when there is nothing.
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> RawResult<()> {
    let flags = call!(libc::SYS_fcntl, fd.as_raw_fd(), libc::F_GETFL, 0)?;
    call!(libc::SYS_fcntl, fd.as_raw_fd(), libc::F_SETFL, flags as libc::c_int | libc::O_NONBLOCK).map(drop)
}

/// read(2), repeated when a signal interrupted it.
pub fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> RawResult<usize> {
    let (pointer, len) = (buffer.as_mut_ptr(), buffer.len());
    retry(|| call!(libc::SYS_read, fd.as_raw_fd(), pointer, len)).map(|count| count as usize)
}

/// One read from the beginning of a file (pread(2)); the file's position stays.
pub fn read_at_start(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> RawResult<usize> {
    retry(|| call!(libc::SYS_pread64, fd.as_raw_fd(), buffer.as_mut_ptr(), buffer.len(), 0)).map(|count| count as usize)
}

/// write(2), repeated when a signal interrupted it.
pub fn write(fd: BorrowedFd<'_>, buffer: &[u8]) -> RawResult<usize> {
    retry(|| call!(libc::SYS_write, fd.as_raw_fd(), buffer.as_ptr(), buffer.len())).map(|count| count as usize)
}

/// Writes all of `buffer`.
pub fn write_all(fd: BorrowedFd<'_>, mut buffer: &[u8]) -> RawResult<()> {
    while !buffer.is_empty() {
        let count = write(fd, buffer)?;
        buffer = buffer.get(count..).unwrap_or_default();
    }
    Ok(())
}

/// The type of a directory entry that is a directory.
pub const DT_DIR: u8 = libc::DT_DIR;

/// Reads directory entries into `buffer` (getdents64(2)) and returns how many bytes they take, 0 at the end.
pub fn read_entries(dir: BorrowedFd<'_>, buffer: &mut [u8]) -> RawResult<usize> {
    let (pointer, len) = (buffer.as_mut_ptr(), buffer.len());
    call!(libc::SYS_getdents64, dir.as_raw_fd(), pointer, len).map(|count| count as usize)
}

/// Names and types (`DT_*`) of what [`read_entries`] read.
pub fn entries(mut buffer: &[u8]) -> impl Iterator<Item = (&CStr, u8)> {
    // struct linux_dirent64: inode (8), offset (8), length (2), type (1), name.
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes([*buffer.get(16)?, *buffer.get(17)?]));
        let kind = *buffer.get(18)?;
        let name = CStr::from_bytes_until_nul(buffer.get(19..length)?).ok()?;
        buffer = buffer.get(length..)?;
        Some((name, kind))
    })
}

/// Goes back to the beginning of a file, or to the first entry of a directory.
pub fn rewind(file: BorrowedFd<'_>) -> RawResult<()> {
    call!(libc::SYS_lseek, file.as_raw_fd(), 0, libc::SEEK_SET).map(drop)
}

/// Empties a regular file (ftruncate(2)); the caller's offset is not moved.
pub fn truncate(fd: BorrowedFd<'_>) -> RawResult<()> {
    call!(libc::SYS_ftruncate, fd.as_raw_fd(), 0).map(drop)
}

/// Another descriptor of the same open file, which exec closes.
pub fn duplicate(fd: BorrowedFd<'_>) -> RawResult<OwnedFd> {
    call!(libc::SYS_fcntl, fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3).map(owned)
}

/// [`duplicate`] with a number from `lowest` on.
pub fn duplicate_from(fd: BorrowedFd<'_>, lowest: i32) -> RawResult<OwnedFd> {
    call!(libc::SYS_fcntl, fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, lowest).map(owned)
}

/// Makes descriptor `number` a copy of `fd` that survives exec.
pub fn duplicate_to(fd: BorrowedFd<'_>, number: i32) -> RawResult<()> {
    if fd.as_raw_fd() == number {
        return call!(libc::SYS_fcntl, number, libc::F_SETFD, 0).map(drop);
    }
    retry(|| call!(libc::SYS_dup3, fd.as_raw_fd(), number, 0)).map(drop)
}

/// Makes descriptor `number`, which is not `fd`, a copy of `fd` that closes on exec.
pub fn duplicate_to_closing(fd: BorrowedFd<'_>, number: i32) -> RawResult<()> {
    retry(|| call!(libc::SYS_dup3, fd.as_raw_fd(), number, libc::O_CLOEXEC)).map(drop)
}

/// The descriptor with this number, which the caller has just made and keeps open for the rest of the process.
pub fn numbered(number: i32) -> BorrowedFd<'static> {
    // SAFETY: it is open by the caller's word and, as max sees to, not -1; at worst a call on it fails with EBADF.
    unsafe { BorrowedFd::borrow_raw(number.max(0)) }
}

/// Closes every descriptor from `first` to `last`.
pub fn close_range(first: u32, last: u32) -> RawResult<()> {
    call!(libc::SYS_close_range, first, last, 0).map(drop)
}

/// What [`poll`] looks at, and the answer. Hang-up and error are always answered.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub struct PollEntry(libc::pollfd);

impl PollEntry {
    /// Waits until `fd` can be read; `None` waits for nothing.
    pub fn readable(fd: Option<BorrowedFd<'_>>) -> Self {
        let number = fd.map_or(-1, |fd| fd.as_raw_fd());
        Self(libc::pollfd { fd: number, events: libc::POLLIN, revents: 0 })
    }

    /// Waits until `fd` can be read or written, as asked; with neither until it is hung up.
    pub fn of(fd: BorrowedFd<'_>, read: bool, write: bool) -> Self {
        let events = if read { libc::POLLIN } else { 0 } | if write { libc::POLLOUT } else { 0 };
        Self(libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 })
    }

    /// Waits until the other end of `fd` is closed; `None` waits for nothing.
    pub fn hung_up(fd: Option<BorrowedFd<'_>>) -> Self {
        Self(libc::pollfd { fd: fd.map_or(-1, |fd| fd.as_raw_fd()), events: 0, revents: 0 })
    }

    /// Whether a write would not wait, or would tell an error.
    pub const fn is_writable(&self) -> bool {
        self.0.revents & (libc::POLLOUT | libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0
    }

    /// Whether a read would not wait, or would tell an error.
    pub const fn is_readable(&self) -> bool {
        self.0.revents & (libc::POLLIN | libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0
    }

    /// Whether there is an answer: something to read, or the other end is gone.
    pub const fn is_ready(&self) -> bool {
        self.0.revents != 0
    }
}

/// poll(2) without an end if `timeout_ms` is `None`; returns how many are ready, 0 also after a signal.
pub fn poll(entries: &mut [PollEntry], timeout_ms: Option<i32>) -> RawResult<usize> {
    let timeout = timeout_ms.unwrap_or(-1);
    // SAFETY: PollEntry is a transparent pollfd, and the length matches.
    let count = unsafe { libc::poll(entries.as_mut_ptr().cast(), entries.len() as libc::nfds_t, timeout) };
    match count {
        -1 if crate::Errno::last() == crate::Errno::EINTR => Ok(0),
        -1 => Err(crate::Errno::last()),
        count => Ok(count as usize),
    }
}
