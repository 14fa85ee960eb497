//! What is printed of an image that was fetched.

use ctr_core::digest::Digest;
use ctr_core::launch::LaunchRecord;
use serde::Serialize;

/// One image on standard output (spec/schemas/fetched.json).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Fetched {
    /// The name that `ctr-run` finds it by.
    name: String,
    /// All names that it was given.
    names: Vec<String>,
    /// Digest of the manifest.
    pub(crate) digest: Digest,
    /// `os/architecture[/variant]`.
    platform: String,
    /// How many layers it has.
    layers: usize,
    /// The file had not changed since it was imported: nothing was read.
    known: bool,
}

impl Fetched {
    pub(crate) fn new(names: Vec<String>, launch: &LaunchRecord, known: bool) -> Self {
        let mut platform = format!("{}/{}", launch.os, launch.architecture);
        if !launch.variant.is_empty() {
            platform = format!("{platform}/{}", launch.variant);
        }
        let name = names.first().cloned().unwrap_or_else(|| launch.image.to_string());
        Self { name, names, digest: launch.image, platform, layers: launch.layers.len(), known }
    }

    /// `NAME DIGEST`: what `ctr-run` reads.
    pub(crate) fn line(&self) -> String {
        format!("{} {}\n", self.name, self.digest)
    }
}
