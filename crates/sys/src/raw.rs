//! How the modules that may run between clone and exec call the kernel: by number, without allocation, locks or
//! library state (signal-safety(7); a libc wrapper such as setresuid(2) would signal other threads and may lock).

use crate::Errno;

/// Result of a call that may run in the child: the errno and nothing else.
pub type RawResult<T> = std::result::Result<T, Errno>;

/// `syscall(number, ...)` with every argument as a register-wide value; `Err` carries errno.
macro_rules! call {
    ($number:expr $(, $argument:expr)* $(,)?) => {{
        // SAFETY: the caller of this macro passes what the system call's man page asks for: pointers that are valid
        // for the call, lengths that match them, descriptors that are borrowed.
        let result = unsafe { libc::syscall($number $(, $argument)*) };
        if result == -1 { Err($crate::Errno::last()) } else { Ok(result) }
    }};
}
pub(crate) use call;

/// Turns a fresh descriptor number into an owner.
pub(crate) fn owned(fd: libc::c_long) -> std::os::fd::OwnedFd {
    use std::os::fd::FromRawFd;
    // SAFETY: the kernel has just returned this descriptor and nobody else knows it.
    unsafe { std::os::fd::OwnedFd::from_raw_fd(fd as libc::c_int) }
}

/// Repeats a call that a signal interrupted.
pub(crate) fn retry<T>(mut call: impl FnMut() -> RawResult<T>) -> RawResult<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}
