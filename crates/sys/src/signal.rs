//! Signals: masks, default dispositions, a descriptor to read them from (signal(7), signalfd(2)), their names.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use crate::raw::{RawResult, call, owned, retry};

/// Bytes of the kernel's signal set: 64 signals.
const SET_SIZE: usize = 8;
/// Every signal; the kernel leaves SIGKILL and SIGSTOP out by itself.
const ALL: u64 = !0;

/// The highest signal number.
pub const SIGNAL_MAX: i32 = 64;
/// The signal that cannot be caught.
pub const SIGKILL: i32 = libc::SIGKILL;
/// The signal that asks a program to end.
pub const SIGTERM: i32 = libc::SIGTERM;
/// A child changed its state.
pub const SIGCHLD: i32 = libc::SIGCHLD;
/// The terminal has gone.
pub const SIGHUP: i32 = libc::SIGHUP;
/// The terminal has another size.
pub const SIGWINCH: i32 = libc::SIGWINCH;
/// Stop, asked for at the terminal.
pub const SIGTSTP: i32 = libc::SIGTSTP;
/// Stop, which cannot be caught.
pub const SIGSTOP: i32 = libc::SIGSTOP;
/// Go on.
pub const SIGCONT: i32 = libc::SIGCONT;

/// Signals that a terminal or the kernel sends for the process's own doings: never forwarded.
pub const fn is_own_doing(signal: i32) -> bool {
    matches!(
        signal,
        libc::SIGCHLD
            | libc::SIGSEGV
            | libc::SIGBUS
            | libc::SIGFPE
            | libc::SIGILL
            | libc::SIGTRAP
            | libc::SIGABRT
            | libc::SIGSYS
            | libc::SIGPIPE
            | libc::SIGTTIN
            | libc::SIGTTOU
            | libc::SIGTSTP
            | libc::SIGURG
    )
}

fn set_mask(mask: u64) -> RawResult<u64> {
    let mut old = 0u64;
    let (new, out) = (ptr::from_ref(&mask), ptr::from_mut(&mut old));
    call!(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, new, out, SET_SIZE)?;
    Ok(old)
}

/// Blocks every signal and returns the mask that was in force.
pub fn block_all() -> RawResult<u64> {
    set_mask(ALL)
}

/// Puts a mask of [`block_all`] in force again.
pub fn restore(mask: u64) -> RawResult<()> {
    set_mask(mask).map(drop)
}

/// Lets every signal through.
pub fn unblock_all() -> RawResult<()> {
    set_mask(0).map(drop)
}

/// Sets every signal to its default action, so that a program does not inherit that one is ignored.
pub fn default_all() {
    // The kernel's struct sigaction: handler, flags, restorer, mask; all zeroes is SIG_DFL.
    let default = [0u64; 4];
    for signal in 1..=SIGNAL_MAX {
        let _ = call!(libc::SYS_rt_sigaction, signal, default.as_ptr(), ptr::null::<u8>(), SET_SIZE);
    }
}

/// A descriptor that gives every blocked signal (signalfd(2)), blocking to read.
pub fn signalfd_all() -> RawResult<OwnedFd> {
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    call!(libc::SYS_signalfd4, -1, ptr::from_ref(&ALL), SET_SIZE, flags).map(owned)
}

/// Signals that a thread waits for, instead of what they would do.
#[derive(Debug)]
pub struct Taken {
    signals: OwnedFd,
}

/// Blocks `signals` in the calling thread and those that it starts from now on; [`Taken::wait`] gets them.
pub fn take(signals: &[i32]) -> crate::error::Result<Taken> {
    let set = signals
        .iter()
        .filter(|signal| (1..=SIGNAL_MAX).contains(signal))
        .fold(0u64, |set, signal| set | 1 << (signal - 1));
    let (new, out) = (ptr::from_ref(&set), ptr::null_mut::<u64>());
    let failed = |call: &'static str| move |errno| crate::SysError::new(call, format!("{signals:?}"), errno);
    call!(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, new, out, SET_SIZE).map_err(failed("sigprocmask"))?;
    let fd =
        call!(libc::SYS_signalfd4, -1, ptr::from_ref(&set), SET_SIZE, libc::SFD_CLOEXEC).map_err(failed("signalfd"))?;
    Ok(Taken { signals: owned(fd) })
}

impl Taken {
    /// The number of the next one; waits for it.
    pub fn wait(&self) -> crate::error::Result<i32> {
        loop {
            match read_signal(self.signals.as_fd()) {
                Ok(Some(signal)) => return Ok(signal),
                Ok(None) => {}
                Err(errno) => return Err(crate::SysError::new("read", "signalfd", errno)),
            }
        }
    }
}

/// The next signal number, or `None` if none waits.
pub fn read_signal(signalfd: BorrowedFd<'_>) -> RawResult<Option<i32>> {
    let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
    let size = size_of::<libc::signalfd_siginfo>();
    match retry(|| call!(libc::SYS_read, signalfd.as_raw_fd(), info.as_mut_ptr(), size)) {
        // SAFETY: it was zeroed and the kernel filled it; it is plain integers.
        Ok(_) => Ok(Some(unsafe { info.assume_init() }.ssi_signo as i32)),
        Err(crate::Errno::EAGAIN) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Names without `SIG`, by number from 1 (signal(7), x86 and ARM).
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];
/// SIGRTMIN as programs see it: the C library keeps 32 and 33.
const RTMIN: i32 = 34;

/// The number of `15`, `TERM`, `SIGTERM`, `RTMIN+3`, `RTMAX-1`; names in any case.
pub fn parse(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=SIGNAL_MAX).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(index) = NAMES.iter().position(|known| *known == name) {
        return i32::try_from(index + 1).ok();
    }
    let number = match name {
        "RTMIN" => RTMIN,
        "RTMAX" => SIGNAL_MAX,
        "POLL" => libc::SIGIO,
        "IOT" => libc::SIGABRT,
        "CLD" => libc::SIGCHLD,
        _ => match (name.strip_prefix("RTMIN+"), name.strip_prefix("RTMAX-")) {
            (Some(offset), _) => RTMIN + i32::from(offset.parse::<u8>().ok()?),
            (_, Some(offset)) => SIGNAL_MAX - i32::from(offset.parse::<u8>().ok()?),
            _ => return None,
        },
    };
    let aliases = [libc::SIGIO, libc::SIGABRT, libc::SIGCHLD];
    ((RTMIN..=SIGNAL_MAX).contains(&number) || aliases.contains(&number)).then_some(number)
}

/// The name of a number, `SIGTERM`; `signal 99` for a foreign one.
pub fn name(signal: i32) -> String {
    let named = usize::try_from(signal - 1).ok().and_then(|index| NAMES.get(index));
    match named {
        Some(name) => format!("SIG{name}"),
        None if signal == RTMIN => "SIGRTMIN".to_owned(),
        None if (RTMIN..=SIGNAL_MAX).contains(&signal) => format!("SIGRTMIN+{}", signal - RTMIN),
        None => format!("signal {signal}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_agree() {
        for (text, number) in
            [("15", 15), ("TERM", 15), ("sigterm", 15), ("SIGRTMIN+3", 37), ("RTMAX", 64), ("RTMAX-1", 63), ("9", 9)]
        {
            assert_eq!(parse(text), Some(number), "{text}");
        }
        for bad in ["", "0", "65", "-1", "SIG", "NOPE", "RTMIN+99", "RTMAX-99", "RTMIN+-40", "RTMIN+99999999999"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        for signal in (1..=31).chain(34..=64) {
            assert_eq!(parse(&name(signal)), Some(signal));
        }
    }
}
