//! Terminals: pseudo terminals without path lookups (pty(7), ioctl_tty(2)), window size, raw mode (termios(3)).
//!
//! A pair is made from the `ptmx` of a devpts mount that the caller holds open, and its other end comes from
//! `TIOCGPTPEER`: no name below the mount is ever looked up, so nobody can put another file there (CVE-2025-52565).

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use crate::raw::{RawResult, call, owned, retry};
use crate::{Errno, files, process, signal};

/// Rows and columns of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters of a line.
    pub columns: u16,
}

impl WindowSize {
    /// What a terminal that nobody looks at has.
    pub const DEFAULT: Self = Self { rows: 24, columns: 80 };
}

/// ioctl(2); the width of a request differs between C libraries, not for the kernel.
macro_rules! control {
    ($fd:expr, $request:expr, $argument:expr) => {
        call!(libc::SYS_ioctl, $fd.as_raw_fd(), $request as libc::c_ulong, $argument)
    };
}

/// Whether `fd` is a terminal (isatty(3)).
pub fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    window_size(fd).is_ok()
}

/// The size of a terminal; `ENOTTY` if it is none.
pub fn window_size(fd: BorrowedFd<'_>) -> RawResult<WindowSize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    control!(fd, libc::TIOCGWINSZ, ptr::from_mut(&mut size))?;
    Ok(WindowSize { rows: size.ws_row, columns: size.ws_col })
}

/// Sets the size; where it changes, the foreground processes get SIGWINCH.
pub fn set_window_size(fd: BorrowedFd<'_>, size: WindowSize) -> RawResult<()> {
    let size = libc::winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    control!(fd, libc::TIOCSWINSZ, ptr::from_ref(&size)).map(drop)
}

/// Opens the `ptmx` of the devpts mount whose root is `devpts`: the master of a new pair, reads and writes of which return
/// at once, unlocked.
pub fn open_master(devpts: BorrowedFd<'_>) -> RawResult<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let master = retry(|| call!(libc::SYS_openat, devpts.as_raw_fd(), c"ptmx".as_ptr(), flags, 0)).map(owned)?;
    let unlocked: libc::c_int = 0;
    control!(master, libc::TIOCSPTLCK, ptr::from_ref(&unlocked))?;
    Ok(master)
}

/// The other end of the pair (`TIOCGPTPEER`, Linux 4.13); it is not made the caller's controlling terminal.
pub fn open_slave(master: BorrowedFd<'_>) -> RawResult<OwnedFd> {
    control!(master, libc::TIOCGPTPEER, libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC).map(owned)
}

/// Opens a `ptmx` that was found in a foreign tree, if it is one: `file` is a location (`O_PATH`), and the answer is
/// `ENODEV` unless it is character device 5:2 on a devpts file system. The result is as that of [`open_master`].
pub fn open_foreign_master(file: BorrowedFd<'_>) -> RawResult<OwnedFd> {
    const DEVPTS_MAGIC: u64 = 0x1cd1;
    let mut stat = MaybeUninit::<libc::statfs>::zeroed();
    call!(libc::SYS_fstatfs, file.as_raw_fd(), stat.as_mut_ptr())?;
    // SAFETY: it was zeroed and the kernel filled it; it is plain integers.
    let magic = unsafe { stat.assume_init() }.f_type as u64;
    let facts = files::facts(file)?;
    if magic != DEVPTS_MAGIC || !facts.is_char_device() || facts.device != (5, 2) {
        return Err(Errno::ENODEV);
    }
    let master = reopen(file, libc::O_RDWR | libc::O_NOCTTY)?;
    let unlocked: libc::c_int = 0;
    control!(master, libc::TIOCSPTLCK, ptr::from_ref(&unlocked))?;
    Ok(master)
}

/// The same file by a new open file description that never blocks: flags set on it are nobody else's.
fn reopen(fd: BorrowedFd<'_>, flags: libc::c_int) -> RawResult<OwnedFd> {
    let Ok(path) = std::ffi::CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd())) else {
        return Err(Errno::EINVAL);
    };
    let flags = flags | libc::O_CLOEXEC | libc::O_NONBLOCK;
    retry(|| call!(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0)).map(owned)
}

/// A view of a standard stream that can be read without waiting, whatever others do with theirs; an error where the kernel
/// does not let it be opened again (a socket, a terminal of another user).
pub fn reopen_to_read(fd: BorrowedFd<'_>) -> RawResult<OwnedFd> {
    reopen(fd, libc::O_RDONLY | libc::O_NOCTTY)
}

/// As [`reopen_to_read`], to write. A regular file has its own offset then, so it is refused (`EINVAL`).
pub fn reopen_to_write(fd: BorrowedFd<'_>) -> RawResult<OwnedFd> {
    if files::facts(fd)?.is_file() {
        return Err(Errno::EINVAL);
    }
    reopen(fd, libc::O_WRONLY | libc::O_NOCTTY)
}

/// Makes `fd` the controlling terminal of the caller's session, which must have none and be led by the caller.
/// For the child between clone and exec.
pub fn make_controlling(fd: BorrowedFd<'_>) -> RawResult<()> {
    control!(fd, libc::TIOCSCTTY, 0).map(drop)
}

/// Whether the caller may use its terminal now: it is in the foreground process group, or the terminal is not the one that
/// controls it, so that there is no job control over it.
pub fn in_foreground(fd: BorrowedFd<'_>) -> bool {
    let mut group: libc::pid_t = 0;
    match control!(fd, libc::TIOCGPGRP, ptr::from_mut(&mut group)) {
        // SAFETY: getpgrp(2) cannot fail and takes nothing.
        Ok(_) => group == unsafe { libc::getpgrp() },
        Err(_) => true,
    }
}

/// A terminal in raw mode (termios(3), "Raw mode"): every byte is passed as it is typed, and what was before comes back
/// when this value goes.
#[derive(Debug)]
pub struct RawMode<'fd> {
    terminal: BorrowedFd<'fd>,
    before: libc::termios,
    is_raw: bool,
}

impl<'fd> RawMode<'fd> {
    /// Remembers the modes of `terminal` and makes it raw, when the caller is in its foreground: before that it is stopped,
    /// as any program that reads a terminal in the background is. The caller must have blocked or ignored SIGTTOU.
    pub fn enter(terminal: BorrowedFd<'fd>) -> RawResult<Self> {
        let mut mode = Self { terminal, before: attributes(terminal)?, is_raw: false };
        mode.resume()?;
        Ok(mode)
    }

    /// Gives the terminal back and stops this process, as SIGTSTP would; raw again when it goes on in the foreground.
    pub fn suspend(&mut self) -> RawResult<()> {
        self.restore();
        process::kill(process::own_pid(), signal::SIGSTOP)?;
        self.resume()
    }

    /// The process goes on: raw again, whatever a shell made of the terminal meanwhile.
    pub fn resume(&mut self) -> RawResult<()> {
        while !in_foreground(self.terminal) {
            self.is_raw = false;
            process::kill(process::own_pid(), signal::SIGSTOP)?;
        }
        if !self.is_raw {
            self.before = attributes(self.terminal)?;
        }
        let mut raw = self.before;
        // SAFETY: it is a valid termios, as tcgetattr(3) filled it.
        unsafe { libc::cfmakeraw(ptr::from_mut(&mut raw)) };
        set_attributes(self.terminal, &raw)?;
        self.is_raw = true;
        Ok(())
    }

    fn restore(&mut self) {
        if self.is_raw {
            // What was typed and not read stays for whoever reads next.
            let _ = set_attributes(self.terminal, &self.before);
            self.is_raw = false;
        }
    }
}

impl Drop for RawMode<'_> {
    fn drop(&mut self) {
        self.restore();
    }
}

fn attributes(fd: BorrowedFd<'_>) -> RawResult<libc::termios> {
    let mut modes = MaybeUninit::<libc::termios>::zeroed();
    // SAFETY: the pointer is valid for a termios.
    match unsafe { libc::tcgetattr(fd.as_raw_fd(), modes.as_mut_ptr()) } {
        // SAFETY: it was zeroed and tcgetattr(3) filled it; it is plain integers.
        0 => Ok(unsafe { modes.assume_init() }),
        _ => Err(Errno::last()),
    }
}

fn set_attributes(fd: BorrowedFd<'_>, modes: &libc::termios) -> RawResult<()> {
    // SAFETY: the pointer is valid for the call.
    retry(|| match unsafe { libc::tcsetattr(fd.as_raw_fd(), libc::TCSANOW, ptr::from_ref(modes)) } {
        0 => Ok(()),
        _ => Err(Errno::last()),
    })
}
