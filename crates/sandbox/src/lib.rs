//! The launcher: plan → prepare → enter → exec.
#![forbid(unsafe_code)]

mod enter;
pub mod error;
mod init;
pub mod log;
pub mod options;
pub mod plan;
mod script;
mod seccomp;
pub mod user;

pub use error::SandboxError;
