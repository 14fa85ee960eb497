//! Which system call changes what on the disk.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};

use nix::libc;
use nix::unistd::Pid;

/// What a system call is about to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A new file (`open` with `O_CREAT` of a name that is free, or `O_TMPFILE`).
    Create(PathBuf),
    /// File content.
    Write(PathBuf),
    /// Mode, owner, times or extended attributes.
    Meta(PathBuf),
    /// One name for another.
    Rename {
        /// The old name.
        from: PathBuf,
        /// The new name.
        to: PathBuf,
    },
    /// A second name.
    Link {
        /// The name that exists.
        from: PathBuf,
        /// The new name.
        to: PathBuf,
    },
    /// A symbolic link.
    Symlink(PathBuf),
    /// A device, fifo or socket.
    Mknod(PathBuf),
    /// A directory.
    Mkdir(PathBuf),
    /// A file's name taken away.
    Unlink(PathBuf),
    /// A directory taken away.
    Rmdir(PathBuf),
    /// The data of a file, or the entries of a directory, made durable.
    Fsync(PathBuf),
    /// A whole filesystem made durable.
    Syncfs,
    /// Bytes on standard output of the traced command: what it tells its caller.
    Report(Vec<u8>),
    /// A change of the mount tree.
    Mount,
    /// A new process (not a thread).
    Process,
}

impl Change {
    /// The path that is changed (the new one of two).
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Create(p)
            | Self::Write(p)
            | Self::Meta(p)
            | Self::Symlink(p)
            | Self::Mknod(p)
            | Self::Mkdir(p)
            | Self::Unlink(p)
            | Self::Rmdir(p)
            | Self::Fsync(p)
            | Self::Rename { to: p, .. }
            | Self::Link { to: p, .. } => Some(p),
            Self::Syncfs | Self::Report(_) | Self::Mount | Self::Process => None,
        }
    }

    /// Whether the call takes space, so that a full disk can refuse it.
    pub fn takes_space(&self) -> bool {
        matches!(
            self,
            Self::Create(_)
                | Self::Write(_)
                | Self::Rename { .. }
                | Self::Link { .. }
                | Self::Symlink(_)
                | Self::Mknod(_)
                | Self::Mkdir(_)
        )
    }

    /// Whether the call is a promise of durability.
    pub fn is_sync(&self) -> bool {
        matches!(self, Self::Fsync(_) | Self::Syncfs)
    }
}

/// The registers of a thread that is about to enter a system call.
pub(super) struct Entry<'a> {
    pub(super) pid: Pid,
    /// The file that is the command's standard output.
    pub(super) output: &'a Path,
    pub(super) number: i64,
    pub(super) args: [u64; 6],
}

impl Entry<'_> {
    fn fd(&self, n: usize) -> i32 {
        self.args[n] as i32
    }

    fn text(&self, n: usize) -> Option<PathBuf> {
        let bytes = read_text(self.pid, self.args[n])?;
        Some(PathBuf::from(String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn fd_path(&self, n: usize) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/fd/{}", self.pid, self.fd(n))).ok()
    }

    /// The path of argument `name`, below the directory of argument `dir`.
    fn at(&self, dir: usize, name: usize) -> Option<PathBuf> {
        let name = self.text(name)?;
        if name.is_absolute() {
            return Some(follow_proc_fd(self.pid, &plain(&name)));
        }
        let base = if self.fd(dir) == libc::AT_FDCWD { self.cwd()? } else { self.fd_path(dir)? };
        Some(plain(&base.join(name)))
    }

    fn from_cwd(&self, name: usize) -> Option<PathBuf> {
        let name = self.text(name)?;
        Some(plain(&self.cwd()?.join(name)))
    }

    fn cwd(&self) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/cwd", self.pid)).ok()
    }

    fn word(&self, address: u64) -> Option<u64> {
        let mut raw = [0u8; 8];
        memory(self.pid)?.read_exact_at(&mut raw, address).ok()?;
        Some(u64::from_le_bytes(raw))
    }

    fn opening(&self, path: Option<PathBuf>, flags: u64) -> Option<Change> {
        let path = path?;
        let flags = flags as i32;
        if flags & libc::O_TMPFILE == libc::O_TMPFILE {
            return Some(Change::Create(path.join("#unnamed")));
        }
        let existed = fs::symlink_metadata(&path).is_ok();
        if flags & libc::O_CREAT != 0 && !existed {
            return Some(Change::Create(path));
        }
        (flags & libc::O_TRUNC != 0 && existed).then_some(Change::Write(path))
    }

    fn is_output(&self) -> bool {
        self.fd_path(0).is_some_and(|path| path == self.output)
    }

    fn writing(&self, fd: usize) -> Option<Change> {
        let path = self.fd_path(fd)?;
        path.is_absolute().then_some(Change::Write(path))
    }

    /// `symlink*`, `link*`, `chmod`... may name the object by an fd alone (`AT_EMPTY_PATH`, or a null path).
    fn at_or_fd(&self, dir: usize, name: usize) -> Option<PathBuf> {
        match self.text(name) {
            Some(text) if !text.as_os_str().is_empty() => self.at(dir, name),
            _ => self.fd_path(dir),
        }
    }

    /// What the call will change, if it is one that changes anything.
    pub(super) fn change(&self) -> Option<(&'static str, Change)> {
        let named = |name, change: Option<Change>| change.map(|change| (name, change));
        self.file_change().or_else(|| self.metadata_change()).or_else(|| match self.number {
            libc::SYS_fsync => named("fsync", self.fd_path(0).map(Change::Fsync)),
            libc::SYS_fdatasync => named("fdatasync", self.fd_path(0).map(Change::Fsync)),
            libc::SYS_syncfs => Some(("syncfs", Change::Syncfs)),
            libc::SYS_sync => Some(("sync", Change::Syncfs)),
            libc::SYS_mount => Some(("mount", Change::Mount)),
            libc::SYS_umount2 => Some(("umount2", Change::Mount)),
            libc::SYS_fsmount => Some(("fsmount", Change::Mount)),
            libc::SYS_move_mount => Some(("move_mount", Change::Mount)),
            libc::SYS_pivot_root => Some(("pivot_root", Change::Mount)),
            libc::SYS_fork | libc::SYS_vfork => Some(("fork", Change::Process)),
            libc::SYS_clone => self.spawning("clone", self.args[0]),
            libc::SYS_clone3 => self.spawning("clone3", self.word(self.args[0])?),
            _ => None,
        })
    }

    fn spawning(&self, name: &'static str, flags: u64) -> Option<(&'static str, Change)> {
        (flags & libc::CLONE_THREAD as u64 == 0).then_some((name, Change::Process))
    }

    fn file_change(&self) -> Option<(&'static str, Change)> {
        let named = |name, change: Option<Change>| change.map(|change| (name, change));
        let pair = |from: Option<PathBuf>, to: Option<PathBuf>| Some((from?, to?));
        match self.number {
            libc::SYS_open => named("open", self.opening(self.from_cwd(0), self.args[1])),
            libc::SYS_openat => named("openat", self.opening(self.at(0, 1), self.args[2])),
            libc::SYS_openat2 => named("openat2", self.opening(self.at(0, 1), self.word(self.args[2])?)),
            libc::SYS_creat => named("creat", self.opening(self.from_cwd(0), (libc::O_CREAT | libc::O_TRUNC) as u64)),
            libc::SYS_write if self.is_output() => Some(("write", Change::Report(self.bytes(1, 2)))),
            libc::SYS_writev if self.is_output() => Some(("writev", Change::Report(Vec::new()))),
            libc::SYS_write => named("write", self.writing(0)),
            libc::SYS_writev => named("writev", self.writing(0)),
            libc::SYS_pwrite64 => named("pwrite64", self.writing(0)),
            libc::SYS_pwritev | libc::SYS_pwritev2 => named("pwritev", self.writing(0)),
            libc::SYS_copy_file_range => named("copy_file_range", self.writing(2)),
            libc::SYS_sendfile => named("sendfile", self.writing(0)),
            libc::SYS_splice => named("splice", self.writing(2)),
            libc::SYS_fallocate => named("fallocate", self.writing(0)),
            libc::SYS_ftruncate => named("ftruncate", self.writing(0)),
            libc::SYS_truncate => named("truncate", self.from_cwd(0).map(Change::Write)),
            libc::SYS_rename => renamed(pair(self.from_cwd(0), self.from_cwd(1))),
            libc::SYS_renameat | libc::SYS_renameat2 => renamed(pair(self.at(0, 1), self.at(2, 3))),
            libc::SYS_link => linked(pair(self.from_cwd(0), self.from_cwd(1))),
            libc::SYS_linkat => linked(pair(self.at_or_fd(0, 1), self.at(2, 3))),
            libc::SYS_symlink => named("symlink", self.from_cwd(1).map(Change::Symlink)),
            libc::SYS_symlinkat => named("symlinkat", self.at(1, 2).map(Change::Symlink)),
            libc::SYS_mknod => named("mknod", self.from_cwd(0).map(Change::Mknod)),
            libc::SYS_mknodat => named("mknodat", self.at(0, 1).map(Change::Mknod)),
            libc::SYS_mkdir => named("mkdir", self.from_cwd(0).map(Change::Mkdir)),
            libc::SYS_mkdirat => named("mkdirat", self.at(0, 1).map(Change::Mkdir)),
            libc::SYS_rmdir => named("rmdir", self.from_cwd(0).map(Change::Rmdir)),
            libc::SYS_unlink => named("unlink", self.from_cwd(0).map(Change::Unlink)),
            libc::SYS_unlinkat if self.args[2] as i32 & libc::AT_REMOVEDIR != 0 => {
                named("unlinkat", self.at(0, 1).map(Change::Rmdir))
            }
            libc::SYS_unlinkat => named("unlinkat", self.at(0, 1).map(Change::Unlink)),
            _ => None,
        }
    }

    fn metadata_change(&self) -> Option<(&'static str, Change)> {
        // Not in libc for every target yet: fchmodat2 (Linux 6.6), setxattrat and removexattrat (6.13).
        const FCHMODAT2: i64 = 452;
        const SETXATTRAT: i64 = 463;
        const REMOVEXATTRAT: i64 = 466;
        let named = |name, path: Option<PathBuf>| path.map(|path| (name, Change::Meta(path)));
        match self.number {
            libc::SYS_chmod => named("chmod", self.from_cwd(0)),
            libc::SYS_fchmod => named("fchmod", self.fd_path(0)),
            libc::SYS_fchmodat | FCHMODAT2 => named("fchmodat", self.at_or_fd(0, 1)),
            libc::SYS_chown | libc::SYS_lchown => named("chown", self.from_cwd(0)),
            libc::SYS_fchown => named("fchown", self.fd_path(0)),
            libc::SYS_fchownat => named("fchownat", self.at_or_fd(0, 1)),
            libc::SYS_setxattr | libc::SYS_lsetxattr => named("setxattr", self.proc_or_cwd(0)),
            libc::SYS_fsetxattr => named("fsetxattr", self.fd_path(0)),
            libc::SYS_removexattr | libc::SYS_lremovexattr => named("removexattr", self.proc_or_cwd(0)),
            libc::SYS_fremovexattr => named("fremovexattr", self.fd_path(0)),
            SETXATTRAT => named("setxattrat", self.at_or_fd(0, 1)),
            REMOVEXATTRAT => named("removexattrat", self.at_or_fd(0, 1)),
            libc::SYS_utimensat => named("utimensat", self.at_or_fd(0, 1)),
            _ => None,
        }
    }

    /// A path that may go through `/proc/self/fd/N`, as `setxattr` needs for an `O_PATH` descriptor.
    fn proc_or_cwd(&self, name: usize) -> Option<PathBuf> {
        Some(follow_proc_fd(self.pid, &self.from_cwd(name)?))
    }

    fn bytes(&self, pointer: usize, length: usize) -> Vec<u8> {
        let mut bytes = vec![0u8; (self.args[length] as usize).min(4096)];
        match memory(self.pid).map(|memory| memory.read_exact_at(&mut bytes, self.args[pointer])) {
            Some(Ok(())) => bytes,
            _ => Vec::new(),
        }
    }
}

fn renamed(pair: Option<(PathBuf, PathBuf)>) -> Option<(&'static str, Change)> {
    pair.map(|(from, to)| ("rename", Change::Rename { from, to }))
}

fn linked(pair: Option<(PathBuf, PathBuf)>) -> Option<(&'static str, Change)> {
    pair.map(|(from, to)| ("link", Change::Link { from, to }))
}

fn memory(pid: Pid) -> Option<fs::File> {
    fs::File::open(format!("/proc/{pid}/mem")).ok()
}

/// The bytes at `address` of the process up to the first NUL.
fn read_text(pid: Pid, address: u64) -> Option<Vec<u8>> {
    if address == 0 {
        return None;
    }
    let memory = memory(pid)?;
    let mut text = Vec::new();
    let mut at = address;
    while text.len() < 4096 {
        // Never across a page at a time: the next one may not be mapped.
        let mut piece = vec![0u8; (256 - at % 256) as usize];
        let read = memory.read_at(&mut piece, at).ok()?;
        if let Some(end) = piece[..read].iter().position(|byte| *byte == 0) {
            text.extend_from_slice(&piece[..end]);
            return Some(text);
        }
        text.extend_from_slice(&piece[..read]);
        at += read as u64;
    }
    Some(text)
}

/// `/proc/self/fd/N` and what follows it, as the file that the descriptor names.
fn follow_proc_fd(pid: Pid, path: &Path) -> PathBuf {
    let mut parts = path.components().skip(1).map(Component::as_os_str);
    let (proc, who, fd, number) = (parts.next(), parts.next(), parts.next(), parts.next());
    let ours = proc.is_some_and(|x| x == "proc") && who.is_some() && fd.is_some_and(|x| x == "fd");
    let Some(number) = number.filter(|_| ours) else { return path.to_owned() };
    let Ok(target) = fs::read_link(Path::new("/proc").join(pid.to_string()).join("fd").join(number)) else {
        return path.to_owned();
    };
    plain(&target.join(parts.collect::<PathBuf>()))
}

/// `path` without `.` and `..` (none of ours goes through symbolic links).
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}
