//! The system call layer of ctr: the only crate with `unsafe`, and the only one that names `libc` or `nix`.
//!
//! Every other crate is `#![forbid(unsafe_code)]` and calls the kernel through the functions here. A failed call
//! says which call, with which arguments, and why ([`SysError`]). Each `unsafe` block has a SAFETY comment.
#![allow(unsafe_code)]

mod error;
pub mod lock;
pub mod procfs;

pub use error::{Result, SysError};
/// The kernel's error numbers.
pub use nix::errno::Errno;
