//! What is printed of an image that was pushed.

use ctr_core::digest::Digest;
use serde::Serialize;

use crate::selection::Selection;

/// How a blob or manifest came to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// It was sent.
    Uploaded,
    /// The registry took it from another repository of its own.
    Mounted,
    /// It was there.
    Present,
}

impl Outcome {
    /// For people.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Uploaded => "uploaded",
            Self::Mounted => "mounted",
            Self::Present => "there already",
        }
    }
}

/// A blob or manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Part {
    pub(crate) digest: Digest,
    /// Bytes.
    pub(crate) size: u64,
    pub(crate) outcome: Outcome,
}

/// One image on standard output (spec/schemas/pushed.json).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Pushed {
    /// What it is called there.
    pub(crate) name: String,
    /// Digest of what the name stands for: a manifest or an index.
    pub(crate) digest: Digest,
    /// How many images that is.
    pub(crate) images: usize,
    /// How many signatures and other referrers came with it.
    pub(crate) referrers: usize,
    /// Manifests and indexes, in the order in which they were put.
    pub(crate) manifests: Vec<Part>,
    /// Configs and layers.
    pub(crate) blobs: Vec<Part>,
    /// Bytes of the blobs that were sent.
    pub(crate) sent: u64,
}

impl Pushed {
    /// Nothing of the selection is there yet.
    pub(crate) fn of(selection: &Selection, name: String) -> Self {
        Self {
            name,
            digest: selection.tree.top().digest,
            images: selection.images(),
            referrers: selection.referrers.len(),
            manifests: Vec::new(),
            blobs: Vec::new(),
            sent: 0,
        }
    }

    /// Adds a blob.
    pub(crate) fn blob(&mut self, part: Part) {
        if part.outcome == Outcome::Uploaded {
            self.sent += part.size;
        }
        self.blobs.push(part);
    }

    /// `NAME DIGEST`, as ctr-fetch prints it.
    pub(crate) fn line(&self) -> String {
        format!("{} {}\n", self.name, self.digest)
    }
}
