//! `volume.json` (spec/schemas/volume.json).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::timestamp::Timestamp;

/// Version of the record that this release writes.
pub const VOLUME_VERSION: u32 = 1;

/// What a volume is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRecord {
    /// [`VOLUME_VERSION`] of the writer.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl VolumeRecord {
    /// A volume that is made now.
    pub fn new(name: &str, labels: BTreeMap<String, String>) -> Self {
        Self { version: VOLUME_VERSION, name: name.to_owned(), created_at: Timestamp::now(), labels }
    }
}
