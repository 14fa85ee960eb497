//! registries.conf: what short names stand for, and from which servers a name is fetched.
//!
//! The format is version 2 of containers-registries.conf(5), with drop-ins and aliases; spec/10-registry.md "Names".
//! Nothing here asks a server. [`Registries::load`] reads the files once, before any user namespace is entered;
//! [`Registries::resolve_short`] makes full names, [`Registries::candidates`] lists the servers to ask in their order.

mod error;
mod file;
mod locations;
mod prefix;
mod registries;
mod short;

pub use error::ConfigError;
pub use locations::Locations;
pub use registries::{Candidate, Registries};
pub use short::Resolved;

/// Most bytes of one file (LIM-64).
pub const FILE_MAX: u64 = 1 << 20;
/// Most files `*.conf` of one directory (LIM-65).
pub const DROP_INS_MAX: usize = 1000;
