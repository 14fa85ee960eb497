//! Image documents of the outside world, mapped at once to types of our own.
//!
//! Every function here takes bytes that somebody else wrote. None panics, none trusts a size before a cap was checked,
//! and the bytes themselves are never written again: a digest names bytes, not meaning.

pub mod appc;
pub mod docker;
mod error;
mod json;
mod launch;
mod links;
pub mod oci;
pub mod platform;
pub mod write;

pub use error::SpecError;
pub use launch::{UnpackedLayers, launch_record};
pub use links::{Link, Links, MAX_LINKS, links};

/// The value of JSON of any kind under the rules of image documents: capped, not too deep, no key twice.
pub fn strict_json(bytes: &[u8]) -> Result<serde_json::Value, SpecError> {
    json::parse(bytes, "the document")
}

/// Largest image manifest, index or config that is parsed, in bytes (spec/limits.md). Registries promise 4 MiB.
pub const MAX_DOCUMENT: u64 = 4 << 20;

/// Most layers that an image may have (spec/limits.md): what one overlay mount takes on every kernel that we support.
pub const MAX_LAYERS: usize = 127;

/// Deepest nesting of arrays and objects in a JSON document (spec/limits.md).
pub const MAX_NESTING: usize = 64;
