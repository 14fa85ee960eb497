//! The launcher: plan → prepare → enter → exec.
#![forbid(unsafe_code)]

pub mod error;
pub mod options;
pub mod plan;
mod script;
pub mod user;

pub use error::SandboxError;
