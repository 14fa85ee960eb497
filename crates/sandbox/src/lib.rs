//! The launcher: plan → prepare → enter → exec.
#![forbid(unsafe_code)]

pub mod bundle;
mod devices;
pub mod devices_bpf;
mod enter;
pub mod error;
mod hierarchies;
pub mod host;
pub mod idmap;
mod inherited;
mod init;
pub mod join;
pub mod log;
mod lsm;
pub mod options;
mod orphans;
pub mod plan;
mod prepare;
mod script;
pub mod seccomp;
pub mod start;
mod stay;
pub mod step;
pub mod terminal;
pub mod user;

pub use error::SandboxError;
pub use stay::{Outcome, Stayed, wait_for, wait_with_terminal};
