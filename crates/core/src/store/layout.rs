//! Where things lie, and the format file (spec/05-store.md "Layout").
//!
//! ```text
//! R/store/format.json           version, features, dialect of the overlay attributes
//! R/store/lock                  byte 0 the gate, byte 1 its waiting line, bytes from 2^62 one per digest (lock.rs)
//! R/store/blobs/sha256/HEX      manifests, configs, layers as received
//! R/store/layers/HEX/{fs,done}  unpacked layers: HEX is the diff id, or the chain id if the layer needs its parents
//! R/store/images/HEX            launch records; HEX is the digest of the image manifest
//! R/store/refs/HASH             {"name", "digest"}; HASH is sha256 of the name
//! R/store/files/HASH            files that were imported; HASH is sha256 of "dev:ino"
//! R/store/partial/              downloads that can be resumed
//! R/store/tmp/TXN/              staging of one transaction: lock, keep, and what it writes
//! R/store/tmp/old-LAYER-RANDOM  a damaged layer that was replaced; gone once no container uses it
//! ```

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use ctr_sys::privilege::{self, CapSet};
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::record::{self, random_name};
use crate::digest::Digest;
use crate::launch::LayerId;

/// Version of the store format that this release reads and writes.
pub const FORMAT_VERSION: u64 = 1;

/// Features that this release knows, by class. None so far.
const KNOWN_INCOMPAT: &[&str] = &[];
const KNOWN_RO_COMPAT: &[&str] = &[];

/// Namespace of the extended attributes that overlay reads (Documentation/filesystems/overlayfs.rst, "userxattr").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum XattrDialect {
    /// `trusted.overlay.*`: a store of root.
    Trusted,
    /// `user.overlay.*`, mounted with `userxattr`: a store of an ordinary user.
    User,
}

impl XattrDialect {
    /// What the calling user can mount: `trusted` for root outside of any user namespace, else `user`. Root who may not mount,
    /// as in many containers, may not even read the attributes of the former (xattr(7), `CAP_SYS_ADMIN`).
    pub fn of_caller() -> Self {
        let admin =
            || privilege::held_capabilities().is_ok_and(|held| held.and(CapSet::SYS_ADMIN) != CapSet::default());
        let root = ctr_sys::ids::effective_uid() == 0 && ctr_sys::ids::in_initial_user_namespace();
        if root && admin() { Self::Trusted } else { Self::User }
    }

    /// Whether the calling user can use a store of this dialect. User id 0 alone does not tell: ordinary users have it in
    /// the user namespace of their store.
    pub(crate) fn suits_caller(self) -> bool {
        match (self, ctr_sys::ids::effective_uid() == 0) {
            (Self::Trusted, root) => root && ctr_sys::ids::in_initial_user_namespace(),
            (Self::User, false) => true,
            (Self::User, true) => Self::of_caller() == Self::User,
        }
    }

    /// As in format.json, and as the prefix of the attributes' names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::User => "user",
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Format {
    version: u64,
    features: Features,
    xattr_dialect: XattrDialect,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Features {
    #[serde(default)]
    compat: Vec<String>,
    #[serde(default)]
    ro_compat: Vec<String>,
    #[serde(default)]
    incompat: Vec<String>,
}

/// Paths of a store.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) root: PathBuf,
    pub(crate) store: PathBuf,
}

/// Directories below `store/`.
const DIRECTORIES: &[&str] = &["blobs/sha256", "layers", "images", "refs", "files", "partial", "referrers", "tmp"];

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), store: root.join("store") }
    }

    pub(crate) fn format(&self) -> PathBuf {
        self.store.join("format.json")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.store.join("lock")
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.store.join("blobs/sha256")
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    pub(crate) fn layers(&self) -> PathBuf {
        self.store.join("layers")
    }

    pub(crate) fn layer(&self, id: &LayerId) -> PathBuf {
        self.layers().join(id.to_string())
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.store.join("images")
    }

    pub(crate) fn image(&self, digest: &Digest) -> PathBuf {
        self.images().join(digest.hex())
    }

    pub(crate) fn refs(&self) -> PathBuf {
        self.store.join("refs")
    }

    /// The file of a name: names hold slashes and can be longer than a file name may be.
    pub(crate) fn reference(&self, name: &str) -> PathBuf {
        self.refs().join(Digest::of(name.as_bytes()).hex())
    }

    pub(crate) fn files(&self) -> PathBuf {
        self.store.join("files")
    }

    pub(crate) fn partial(&self) -> PathBuf {
        self.store.join("partial")
    }

    pub(crate) fn referrers(&self) -> PathBuf {
        self.store.join("referrers")
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.store.join("tmp")
    }

    /// Makes what is missing. Several processes may do so at once.
    pub(crate) fn create(&self) -> Result<(), StoreError> {
        let new = self.root.ancestors().take_while(|dir| !dir.exists()).map(Path::to_owned).collect::<Vec<_>>();
        make_dir(&self.root, true)?;
        for dir in new {
            record::sync_parent(&dir)?;
        }
        let meta = fs::metadata(&self.root).map_err(StoreError::io("look at", &self.root))?;
        if meta.uid() != ctr_sys::ids::effective_uid() {
            return Err(StoreError::Foreign { root: self.root.clone(), owner: meta.uid() });
        }
        if meta.mode() & 0o077 != 0 {
            // Layers hold setuid programs and private files of images: no other user of the host may reach them.
            fs::set_permissions(&self.root, fs::Permissions::from_mode(0o700))
                .map_err(StoreError::io("make private", &self.root))?;
        }
        self.create_directories()?;
        for dir in [&self.store.join("blobs"), &self.store, &self.root] {
            record::sync_dir(dir)?;
        }
        record::sync_parent(&self.root)?;
        self.write_format()
    }

    fn create_lock(&self) -> Result<(), StoreError> {
        let lock = self.lock();
        let file = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&lock);
        file.map(drop).map_err(StoreError::io("create", &lock))
    }

    /// Makes the directories that are missing; all are there unless somebody removed one by hand.
    pub(crate) fn create_directories(&self) -> Result<(), StoreError> {
        for name in DIRECTORIES {
            let dir = self.store.join(name);
            if !dir.exists() {
                make_dir(&dir, true)?;
                record::sync_parent(&dir)?;
            }
        }
        if self.lock().exists() { Ok(()) } else { self.create_lock() }
    }

    fn write_format(&self) -> Result<(), StoreError> {
        let format = self.format();
        if format.exists() {
            return Ok(());
        }
        let value =
            Format { version: FORMAT_VERSION, features: Features::default(), xattr_dialect: XattrDialect::of_caller() };
        let staged = self.tmp().join(format!("format-{}", random_name(&self.store)?));
        record::write_new_synced(&staged, &record::to_json(&format, &value)?)?;
        match ctr_sys::durable::rename_noreplace(&staged, &format) {
            Ok(()) => record::sync_dir(&self.store),
            // Another process was first; gc may have met the file that is left over before we do.
            Err(_) if format.exists() => record::remove_file(&staged).map(drop),
            Err(error) => Err(StoreError::sys("create", format)(error)),
        }
    }

    /// Checks format.json. Returns the dialect, and the feature that forbids writing, if there is one.
    pub(crate) fn check_format(&self) -> Result<(XattrDialect, Option<String>), StoreError> {
        let path = self.format();
        let value: serde_json::Value =
            record::read_json(&path)?.ok_or_else(|| StoreError::Missing { root: self.root.clone() })?;
        // The version first: a later format may have changed everything else.
        let found = value.get("version").and_then(serde_json::Value::as_u64);
        match found {
            Some(found) if found > FORMAT_VERSION => {
                return Err(StoreError::Newer { root: self.root.clone(), found, known: FORMAT_VERSION });
            }
            Some(FORMAT_VERSION) => {}
            _ => return Err(StoreError::damaged(&path, "it has no version that was ever written")),
        }
        let format: Format =
            serde_json::from_value(value).map_err(|error| StoreError::damaged(&path, error.to_string()))?;
        let unknown = |found: &[String], known: &[&str]| found.iter().find(|f| !known.contains(&f.as_str())).cloned();
        if let Some(feature) = unknown(&format.features.incompat, KNOWN_INCOMPAT) {
            return Err(StoreError::UnknownFeature { root: self.root.clone(), feature, readable: false });
        }
        Ok((format.xattr_dialect, unknown(&format.features.ro_compat, KNOWN_RO_COMPAT)))
    }
}

fn make_dir(path: &Path, recursive: bool) -> Result<(), StoreError> {
    match DirBuilder::new().mode(0o700).recursive(recursive).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(StoreError::io("create", path)(error)),
        _ => Ok(()),
    }
}
