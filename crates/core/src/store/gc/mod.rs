//! Collection: what nothing uses is renamed into a transaction's directory under the gate, and deleted after.
//!
//! ```text
//! roots:  names - live transactions' keep files - containers - images younger than the grace
//!           |              |                         |            |
//!           v              v                         v            v
//!         images (launch record) ---> layers          manifest ---> config, layers as received, nested manifests
//! ```
//! If a root cannot be read, nobody knows what it keeps: then no object is collected, and the report says which root.

mod builds;
mod mark;
mod reach;
mod sweep;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::Serialize;

pub use builds::BUILD_AGE;
pub use reach::Reach;

use super::{Store, StoreError};
use crate::digest::Digest;
use crate::launch::LayerId;

/// What containers use; collected by the caller, who knows them.
#[derive(Debug, Default)]
pub struct ContainerRoots {
    /// Images of containers, with the id of one that uses it.
    pub images: BTreeMap<Digest, String>,
    /// Layers of containers.
    pub layers: BTreeSet<LayerId>,
    /// Containers whose record cannot be read: nobody knows what they use.
    pub unreadable: Vec<String>,
}

/// Which names are taken away. Those of images that a container uses never are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NameRule {
    /// None.
    #[default]
    Keep,
    /// Names that were last fetched or tagged longer ago than this.
    OlderThan(Duration),
    /// All.
    All,
}

/// How a collection decides.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Images without a name stay this long after their import: somebody may be about to use them.
    pub grace: Duration,
    /// Which names go.
    pub names: NameRule,
    /// What builds remember goes when it was of no use for so long.
    pub build_age: Duration,
    /// Most bytes that records of builds keep.
    pub build_size: Option<u64>,
    /// The time that ages are counted to.
    pub now: SystemTime,
}

/// How old a partial download is when it goes (spec/limits.md).
pub const PARTIAL_AGE: Duration = Duration::from_secs(24 * 3600);

/// What kind of thing is collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemKind {
    /// A name of an image.
    Name,
    /// A launch record.
    Image,
    /// An unpacked layer.
    Layer,
    /// A damaged layer that was replaced.
    OldLayer,
    /// A blob.
    Blob,
    /// The list of what refers to an image.
    Referrers,
    /// A file that was imported, known again.
    KnownFile,
    /// A partial download.
    Partial,
    /// The record of a step of a build.
    BuildStep,
    /// A cache of RUN.
    BuildCache,
    /// What a build knew of files of a context.
    BuildFile,
    /// What a transaction, or a collection, left that did not come to its end.
    Staging,
}

impl ItemKind {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Image => "image",
            Self::Layer => "layer",
            Self::OldLayer => "old layer",
            Self::Blob => "blob",
            Self::Referrers => "referrers",
            Self::KnownFile => "known file",
            Self::Partial => "partial",
            Self::BuildStep => "build step",
            Self::BuildCache => "build cache",
            Self::BuildFile => "build file",
            Self::Staging => "staging",
        }
    }
}

/// One thing that nothing uses.
#[derive(Debug, Clone)]
pub struct Item {
    /// What it is.
    pub kind: ItemKind,
    /// Its name, digest or file name.
    pub id: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Why it goes.
    pub reason: String,
}

/// What a collection would remove.
#[derive(Debug, Default)]
pub struct Plan {
    /// In the order of removal: what refers goes before what is referred to.
    pub items: Vec<Item>,
    /// Why objects are kept although nothing that can be read uses them.
    pub kept_because: Vec<String>,
}

impl Store {
    /// Decides what goes. The caller holds the gate: shared to look, alone to [`Store::sweep`] after.
    ///
    /// `reach` may come from an earlier call without the gate, so that only what is new is read under it.
    pub fn plan_collection(
        &self,
        roots: &ContainerRoots,
        policy: &Policy,
        reach: &mut Reach,
    ) -> Result<Plan, StoreError> {
        let marked = mark::mark(&self.layout, roots, policy, reach)?;
        sweep::plan(&self.layout, &marked, roots, policy)
    }

    /// Takes everything of the plan out of its place and into `trash`, whose end deletes it. The caller holds the gate
    /// alone since the plan was made, and gives it up before `trash` ends.
    ///
    /// Returns where each item lies now, and what could not be moved.
    pub fn sweep(&self, plan: &Plan, trash: &super::Txn) -> (Vec<(Item, PathBuf)>, Vec<StoreError>) {
        sweep::sweep(&self.layout, plan, trash.dir())
    }
}
