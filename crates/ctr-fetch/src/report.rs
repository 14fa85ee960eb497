//! What is printed of an image that was fetched.

use ctr_core::digest::Digest;
use ctr_core::launch::LaunchRecord;
use serde::Serialize;

use crate::lock::Entry;

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
    pub(crate) platform: String,
    /// Digest of the index that the name stands for in its registry, if it is one.
    pub(crate) index: Option<Digest>,
    /// How many layers it has.
    layers: usize,
    /// The file had not changed since it was imported: nothing was read.
    known: bool,
    /// What of it belongs into a lock file.
    #[serde(skip)]
    entry: Option<Entry>,
}

impl Fetched {
    pub(crate) fn new(names: Vec<String>, launch: &LaunchRecord, known: bool) -> Self {
        let mut platform = format!("{}/{}", launch.os, launch.architecture);
        if !launch.variant.is_empty() {
            platform = format!("{platform}/{}", launch.variant);
        }
        let name = names.first().cloned().unwrap_or_else(|| launch.image.to_string());
        Self {
            name,
            names,
            digest: launch.image,
            platform,
            index: None,
            layers: launch.layers.len(),
            known,
            entry: None,
        }
    }

    /// The same, which an index led to.
    pub(crate) fn with_index(self, index: Option<Digest>) -> Self {
        Self { index, ..self }
    }

    /// The same, with what a lock file says of it.
    pub(crate) fn of_name(self, entry: Entry) -> Self {
        Self { entry: Some(entry), ..self }
    }

    /// What a lock file says of it; none if it is of no registry.
    pub(crate) fn entry(&self) -> Option<&Entry> {
        self.entry.as_ref()
    }

    /// The name that `ctr-run` finds it by.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// `NAME DIGEST`: what `ctr-run` reads.
    pub(crate) fn line(&self) -> String {
        format!("{} {}\n", self.name, self.digest)
    }
}
