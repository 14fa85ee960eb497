//! The tree as a whole: who may do what at the same time.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use ctr_sys::lock::{self, LockKind, LockRange};

use crate::dir::Dir;
use crate::error::TreeError;
use crate::name::Name;
use crate::writer::Writer;

/// Held shared by who writes blobs and manifests, alone by who removes them.
const GATE: LockRange = LockRange::byte(0);
/// Held alone while a list of tags or referrers is read and replaced.
const LISTS: LockRange = LockRange::byte(1);

/// A static registry in a directory.
#[derive(Debug)]
pub struct Tree {
    root: Dir,
    v2: Dir,
    own: Dir,
    pub(crate) staging: Dir,
}

impl Tree {
    /// The tree in `path`, which is made if it is not there.
    pub fn create(path: &Path) -> Result<Self, TreeError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(path);
        made.map_err(TreeError::io("create", path))?;
        let root = Dir::open(path)?;
        let own = root.make(".ctr", Some(0o700))?;
        let staging = own.make("new", Some(0o700))?;
        let v2 = root.make("v2", None)?;
        let tree = Self { root, v2, own, staging };
        // GET /v2/ is how clients ask whether there is a registry (distribution-spec "Determining Support").
        if tree.v2.stat("index.json")?.is_none() {
            tree.v2.write("index.json", b"{}\n", &tree.staging)?;
            tree.v2.sync()?;
        }
        Ok(tree)
    }

    /// The tree in `path`, which must be one.
    pub fn open(path: &Path) -> Result<Self, TreeError> {
        match fs::metadata(path.join("v2")) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(TreeError::Missing { path: path.to_owned(), what: "static registry".to_owned() })
            }
            Err(error) => Err(TreeError::io("open", path)(error)),
            Ok(_) => Self::create(path),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// Writes to the repository `name`. Many can do that at the same time.
    pub fn writer(&self, name: &Name) -> Result<Writer<'_>, TreeError> {
        let gate = self.gate(LockKind::Shared)?;
        let repository = name.parts().try_fold(None, |parent: Option<Dir>, part| {
            parent.as_ref().unwrap_or(&self.v2).make(part, None).map(Some)
        })?;
        let repository =
            repository.ok_or_else(|| TreeError::Name { text: name.to_string(), why: "it is empty".to_owned() })?;
        Writer::new(self, name.clone(), &repository, gate)
    }

    /// The directory of the repository `name`, if there is one.
    pub(crate) fn repository(&self, name: &Name) -> Result<Option<Dir>, TreeError> {
        let mut found: Option<Dir> = None;
        for part in name.parts() {
            match found.as_ref().unwrap_or(&self.v2).child(part)? {
                Some(next) => found = Some(next),
                None => return Ok(None),
            }
        }
        Ok(found)
    }

    /// Waits for the right to write, or to remove. Given back when the file is closed.
    pub(crate) fn gate(&self, kind: LockKind) -> Result<File, TreeError> {
        let file = self.own.lock_file("lock")?;
        let failed = || TreeError::sys("lock", self.own.at("lock"));
        // Nobody else writes: what is in the way of being written was left by somebody who was killed.
        if lock::try_lock(&file, LockKind::Exclusive, GATE).map_err(failed())? {
            for left in self.staging.names()? {
                self.staging.remove(&left)?;
            }
        }
        lock::lock(&file, kind, GATE).map_err(failed())?;
        Ok(file)
    }

    /// Waits for the right to replace lists.
    pub(crate) fn lists(&self) -> Result<File, TreeError> {
        let file = self.own.lock_file("lock")?;
        lock::lock(&file, LockKind::Exclusive, LISTS).map_err(TreeError::sys("lock", self.own.at("lock")))?;
        Ok(file)
    }
}
