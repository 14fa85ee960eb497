//! The image store (spec/05-store.md): content-addressed, immutable, without an index that is the truth.
//!
//! Everything that can be found by its name is complete: it was written in `tmp/`, synced, and renamed to its place. The
//! order is in [`Txn`], the places are in [`layout`], the locks in [`lock`].

mod blob;
mod error;
mod files;
pub mod fsck;
pub mod gc;
mod image;
mod keep;
mod layer;
pub mod layout;
pub mod lock;
mod partial;
mod record;
mod referrers;
mod txn;

use std::fs::{self, File, Metadata};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use blob::{Blob, BlobWriter};
pub use error::StoreError;
pub use image::{ImageRef, PREFIX_MIN, RefEntry, Refs};
pub use layer::{LayerDone, LayerStaging};
pub use layout::{FORMAT_VERSION, XattrDialect};
pub use lock::{DigestLock, Gate};
pub use partial::Partial;
pub use referrers::{Referrer, Referrers};
pub use txn::{Download, Txn};

use crate::digest::Digest;
use crate::launch::{LaunchRecord, LayerId};
use crate::reference::Reference;
use layout::Layout;

/// An image store.
#[derive(Debug, Clone)]
pub struct Store {
    layout: Layout,
    dialect: XattrDialect,
    /// A feature of the store that this release does not know and that forbids changing it.
    read_only: Option<String>,
}

impl Store {
    /// `/var/lib/ctr` for root, `$XDG_DATA_HOME/ctr` or `~/.local/share/ctr` for others.
    pub fn default_root() -> PathBuf {
        if ctr_sys::ids::effective_uid() == 0 {
            return PathBuf::from("/var/lib/ctr");
        }
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        absolute("XDG_DATA_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
            .unwrap_or_else(|| PathBuf::from(format!("/var/tmp/ctr-{}", ctr_sys::ids::effective_uid())))
            .join("ctr")
    }

    /// Opens the store in `root`, which must be there.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let root = std::path::absolute(root).map_err(StoreError::io("find", root))?;
        let layout = Layout::new(&root);
        let (dialect, read_only) = layout.check_format()?;
        if !dialect.suits_caller() {
            let expected = XattrDialect::of_caller().name();
            return Err(StoreError::Dialect { root, found: dialect.name(), expected });
        }
        Ok(Self { layout, dialect, read_only })
    }

    /// Opens the store in `root`; makes it, private to the caller, if there is none.
    pub fn open_or_create(root: &Path) -> Result<Self, StoreError> {
        let root = std::path::absolute(root).map_err(StoreError::io("find", root))?;
        let layout = Layout::new(&root);
        match Self::open(&root) {
            Err(StoreError::Missing { .. }) => {
                layout.create()?;
                Self::open(&root)
            }
            Ok(store) => {
                store.check_writable()?;
                layout.create_directories()?;
                Ok(store)
            }
            Err(error) => Err(error),
        }
    }

    /// The root that the store lies in.
    pub fn root(&self) -> &Path {
        &self.layout.root
    }

    /// Namespace of the overlay attributes in the layers.
    pub fn dialect(&self) -> XattrDialect {
        self.dialect
    }

    fn check_writable(&self) -> Result<(), StoreError> {
        match &self.read_only {
            None => Ok(()),
            Some(feature) => Err(StoreError::UnknownFeature {
                root: self.layout.root.clone(),
                feature: feature.clone(),
                readable: true,
            }),
        }
    }

    /// Holds the gate together with other users: nothing is swept meanwhile. Only for moments.
    pub fn gate_shared(&self) -> Result<Gate, StoreError> {
        Gate::shared(&self.layout.lock())
    }

    /// Holds the gate alone; [`StoreError::Busy`] if that is not possible within `wait`.
    pub fn gate_exclusive(&self, wait: Duration) -> Result<Gate, StoreError> {
        let busy = || StoreError::Busy { root: self.layout.root.clone(), waited: wait };
        Gate::exclusive(&self.layout.lock(), wait)?.ok_or_else(busy)
    }

    /// The image manifest that a name stands for.
    pub fn resolve(&self, name: &Reference) -> Result<Option<Digest>, StoreError> {
        image::resolve(&self.layout, name)
    }

    /// The index that the registry gave for a name, if it was one when the name was fetched.
    pub fn index_of(&self, name: &Reference) -> Result<Option<Digest>, StoreError> {
        Ok(image::read_record(&self.layout, &name.to_string())?.and_then(|found| found.index))
    }

    /// What is known to refer to a manifest or index.
    pub fn referrers(&self, subject: &Digest) -> Result<Option<Referrers>, StoreError> {
        referrers::read(&self.layout, subject)
    }

    /// Finds an image by name, `name@digest`, `sha256:...`, or the beginning of a digest that is unique.
    pub fn find_image(&self, text: &str) -> Result<ImageRef, StoreError> {
        image::find(&self.layout, text)
    }

    /// The launch record of an image.
    pub fn launch_record(&self, image: &Digest) -> Result<LaunchRecord, StoreError> {
        image::read_launch(&self.layout, image)?.ok_or_else(|| StoreError::NoImage(image.to_string()))
    }

    /// The directory that holds the layers' directories.
    pub fn layers_dir(&self) -> PathBuf {
        self.layout.layers()
    }

    /// Where the files of a layer lie. Never write there.
    pub fn layer_fs(&self, id: &LayerId) -> PathBuf {
        self.layout.layer(id).join("fs")
    }

    /// The `done` record of a layer, if it is there and valid.
    pub fn layer(&self, id: &LayerId) -> Result<Option<LayerDone>, StoreError> {
        match layer::look(&self.layout, id)? {
            layer::LayerState::Whole(done) => Ok(Some(*done)),
            layer::LayerState::Absent => Ok(None),
            layer::LayerState::Damaged(reason) => Err(StoreError::damaged(&self.layout.layer(id), reason)),
        }
    }

    /// Path and size of a blob.
    pub fn blob(&self, digest: &Digest) -> Result<Blob, StoreError> {
        blob::find(&self.layout, digest)?.ok_or(StoreError::NoBlob(*digest))
    }

    /// Reads a blob of at most `limit` bytes and checks its digest.
    pub fn read_blob_capped(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        blob::read_capped(&self.layout, digest, limit)
    }

    /// Whether the content of a blob has its digest: reads all of it.
    pub fn verify_blob(&self, digest: &Digest) -> Result<bool, StoreError> {
        blob::matches(&self.blob(digest)?.path, digest)
    }

    /// What the file with this metadata was imported as, if it has not changed since.
    pub fn known_file(&self, meta: &Metadata) -> Option<Digest> {
        files::known(&self.layout, meta)
    }

    /// Remembers that `file`, whose metadata were `before` when its reading began, is the image `digest`.
    /// `false`: it changed meanwhile or only just before, and is not remembered.
    pub fn remember_file(&self, before: &Metadata, file: &File, digest: Digest) -> Result<bool, StoreError> {
        self.check_writable()?;
        // Its staged file has no owner's lock: the gate keeps gc from it.
        let _gate = self.gate_shared()?;
        files::remember(&self.layout, before, file, digest)
    }

    /// All names.
    pub fn list_refs(&self) -> Result<Refs, StoreError> {
        image::list_refs(&self.layout)
    }

    /// Digests of all images, named or not.
    pub fn list_images(&self) -> Result<Vec<Digest>, StoreError> {
        image::list_images(&self.layout)
    }

    /// Points `name` at an image of the store.
    pub fn tag(&self, name: &Reference, image: &Digest) -> Result<(), StoreError> {
        self.begin()?.tag(name, image, None)
    }

    /// Takes a name away; `false` if there was none. The image stays until gc finds it unused.
    pub fn untag(&self, name: &Reference) -> Result<bool, StoreError> {
        self.check_writable()?;
        let path = self.layout.reference(&name.to_string());
        let _gate = self.gate_shared()?;
        let removed = record::remove_file(&path)?;
        if removed {
            record::sync_parent(&path)?;
        }
        Ok(removed)
    }

    /// Begins a transaction.
    pub fn begin(&self) -> Result<Txn, StoreError> {
        Txn::begin(self)
    }

    /// Takes a damaged layer out of its place. Containers may use it, so that it stays in `tmp/` until gc sees that none
    /// does. The caller holds the gate.
    fn set_layer_aside(&self, id: &LayerId) -> Result<(), StoreError> {
        self.set_aside(id, &self.layout.layer(id))
    }

    /// The same for a layer that was taken from its place already.
    fn set_aside(&self, id: &LayerId, from: &Path) -> Result<(), StoreError> {
        let to = self.layout.tmp().join(format!("old-{id}-{}", record::random_name(from)?));
        match fs::rename(from, &to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(StoreError::io("set aside the damaged", from)(error))
            }
            _ => Ok(()),
        }
    }
}
