//! The system call layer of ctr: the only crate with `unsafe`, and the only one that names `libc` or `nix`.
//!
//! Every other crate is `#![forbid(unsafe_code)]` and calls the kernel through the functions here. A failed call
//! says which call, with which arguments, and why ([`SysError`]). Each `unsafe` block has a SAFETY comment.
#![allow(unsafe_code)]
// The kernel's types differ in width and sign from call to call, and between C libraries: casts at this border are its job.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_lossless,
    clippy::unnecessary_cast
)]

pub mod arena;
pub mod bpf;
pub mod dirfd;
pub mod durable;
pub mod erase;
mod error;
pub mod files;
pub mod ids;
pub mod inotify;
pub mod lock;
pub mod mount;
pub mod netlink;
pub mod pidfd;
pub mod poll;
pub mod privilege;
pub mod process;
pub mod procfs;
pub mod random;
mod raw;
pub mod schedule;
pub mod sealed;
pub mod seccomp;
pub mod signal;
pub mod small;
pub mod socket;
pub mod syscalls;
pub mod tree;
pub mod tty;
pub mod unnamed;
pub mod userns;
pub mod xattr;

pub use error::{Result, SysError};
/// The kernel's error numbers.
pub use nix::errno::Errno;
pub use raw::RawResult;

/// A fresh directory for one unit test (the crate takes no dev-dependency for it).
#[cfg(test)]
fn test_dir(name: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("ctr-sys-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}
