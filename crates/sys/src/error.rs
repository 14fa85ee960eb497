//! One error type for every system call: the call, its arguments, the errno.

use nix::errno::Errno;

/// Result of a system call wrapper.
pub type Result<T> = std::result::Result<T, SysError>;

/// A system call that failed.
///
/// Prints as `openat2("/x", O_PATH): No such file or directory (ENOENT)`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{call}({args}): {} ({errno:?})", errno.desc())]
pub struct SysError {
    /// Name of the system call.
    pub call: &'static str,
    /// The arguments, as a person would write them.
    pub args: String,
    /// Why the kernel refused.
    pub errno: Errno,
}

impl SysError {
    /// An error of `call` with `args`.
    pub fn new(call: &'static str, args: impl Into<String>, errno: Errno) -> Self {
        Self { call, args: args.into(), errno }
    }

    /// The error of the call that just failed, from the thread's `errno`.
    pub fn last(call: &'static str, args: impl Into<String>) -> Self {
        Self::new(call, args, Errno::last())
    }

    /// Wraps an error of the standard library's file functions.
    pub fn from_io(call: &'static str, args: impl Into<String>, error: &std::io::Error) -> Self {
        Self::new(call, args, Errno::from_raw(error.raw_os_error().unwrap_or(nix::libc::EIO)))
    }
}
