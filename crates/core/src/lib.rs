//! The container specification and the image store of ctr.
//!
//! No network, no codecs, no processes. `spec/` is the normative text; items here cite its clauses.
#![forbid(unsafe_code)]

pub mod container;
pub mod digest;
pub mod launch;
pub mod name;
pub mod platform;
pub mod quantity;
pub mod ranges;
pub mod reference;
#[cfg(feature = "oci")]
pub mod spec;
pub mod store;
pub mod timestamp;
pub mod volume;
