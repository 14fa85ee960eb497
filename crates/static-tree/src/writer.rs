//! Publishing into one repository: blobs, then manifests, then tags.

use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};

use ctr_core::digest::{Digest, Hasher};
use ctr_core::spec::oci::MediaType;
use ctr_core::spec::{MAX_DOCUMENT, links};
use ctr_sys::dirfd::FileKind;

use crate::dir::{Dir, random_name};
use crate::error::TreeError;
use crate::kind::Kind;
use crate::name::{Name, check_tag};
use crate::referrers;
use crate::tree::Tree;

/// Bytes that are copied at a time.
const CHUNK: usize = 256 << 10;

/// One repository that is written to. As long as it lives nobody removes anything from the tree.
#[derive(Debug)]
pub struct Writer<'t> {
    pub(crate) tree: &'t Tree,
    pub(crate) name: Name,
    pub(crate) blobs: Dir,
    pub(crate) manifests: Dir,
    pub(crate) referrers: Dir,
    pub(crate) tags: Dir,
    pub(crate) views: Vec<(Kind, Dir)>,
    _gate: File,
}

impl<'t> Writer<'t> {
    pub(crate) fn new(tree: &'t Tree, name: Name, repository: &Dir, gate: File) -> Result<Self, TreeError> {
        let mut views = Vec::new();
        for kind in Kind::ALL {
            if let Some(view) = kind.view() {
                views.push((kind, repository.make(view, None)?));
            }
        }
        Ok(Self {
            tree,
            name,
            blobs: repository.make("blobs", None)?,
            manifests: repository.make("manifests", None)?,
            referrers: repository.make("referrers", None)?,
            tags: repository.make("tags", None)?,
            views,
            _gate: gate,
        })
    }

    /// Whether the blob is there.
    pub fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool, TreeError> {
        let found = self.blobs.stat(&digest.to_string())?;
        Ok(found.is_some_and(|found| found.kind == FileKind::Regular && found.size == size))
    }

    /// Whether the manifest or index is there.
    pub fn has_manifest(&self, digest: &Digest) -> Result<bool, TreeError> {
        Ok(self.manifests.stat(&digest.to_string())?.is_some_and(|found| found.kind == FileKind::Regular))
    }

    /// Publishes a blob from a stream; its digest and size are checked. One that is there is not read.
    pub fn blob(&self, digest: &Digest, size: u64, mut from: impl Read) -> Result<(), TreeError> {
        if self.has_blob(digest, size)? {
            return Ok(());
        }
        let path = self.blobs.at(&digest.to_string());
        let fresh = random_name()?;
        let mut file = self.tree.staging.create(&fresh)?;
        let mut hasher = Hasher::new();
        let mut written = 0;
        let mut buffer = vec![0; CHUNK];
        loop {
            let read = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => buffer.get(..read).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return self.drop_staged(&fresh, TreeError::io("get the content of", path)(error)),
            };
            written += read.len() as u64;
            if written > size {
                let wrong = TreeError::WrongSize { digest: *digest, expected: size, found: written };
                return self.drop_staged(&fresh, wrong);
            }
            hasher.update(read);
            if let Err(error) = file.write_all(read) {
                return self.drop_staged(&fresh, TreeError::io("write", path)(error));
            }
        }
        self.settle(&fresh, &file, (digest, size), (hasher.finish(), written))
    }

    /// Publishes a blob from a file. Where the filesystem can share the bytes of two files they are not copied; the
    /// file itself is not given another name, since whoever serves the tree gets rights over what lies in it.
    pub fn blob_file(&self, digest: &Digest, size: u64, from: &mut File) -> Result<(), TreeError> {
        if self.has_blob(digest, size)? {
            return Ok(());
        }
        let path = self.blobs.at(&digest.to_string());
        let fresh = random_name()?;
        let mut file = self.tree.staging.create(&fresh)?;
        // copy_file_range(2): a clone on btrfs and xfs.
        let copied = io::copy(&mut from.take(size.saturating_add(1)), &mut file).and_then(|_| file.rewind());
        if let Err(error) = copied {
            return self.drop_staged(&fresh, TreeError::io("write", path)(error));
        }
        let mut hasher = Hasher::new();
        let mut written = 0;
        let mut buffer = vec![0; CHUNK];
        loop {
            match (&file).read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => {
                    hasher.update(buffer.get(..read).unwrap_or_default());
                    written += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.drop_staged(&fresh, TreeError::io("read", path)(error)),
            }
        }
        self.settle(&fresh, &file, (digest, size), (hasher.finish(), written))
    }

    /// Gives a blob its name if it is what it should be.
    fn settle(
        &self,
        fresh: &str,
        file: &File,
        expected: (&Digest, u64),
        found: (Digest, u64),
    ) -> Result<(), TreeError> {
        let (digest, size) = expected;
        let name = digest.to_string();
        let wrong = if found.1 != size {
            TreeError::WrongSize { digest: *digest, expected: size, found: found.1 }
        } else if found.0 != *digest {
            TreeError::WrongDigest { expected: *digest, found: found.0 }
        } else if let Err(error) = ctr_sys::durable::fsync(file) {
            TreeError::sys("write", self.blobs.at(&name))(error)
        } else {
            return self.blobs.take(&name, fresh, &self.tree.staging);
        };
        self.drop_staged(fresh, wrong)
    }

    fn drop_staged(&self, fresh: &str, error: TreeError) -> Result<(), TreeError> {
        // If it stays, whoever comes next and is alone removes it.
        let _ = self.tree.staging.remove(fresh);
        Err(error)
    }

    /// Publishes a manifest or an index by its digest, after what it needs: the blobs of a manifest have to be there.
    /// Images of an index that are not there are left to be published later. `told` is the type that the source gave it, for
    /// documents that do not say it themselves.
    pub fn manifest(&self, bytes: &[u8], told: Option<&MediaType>) -> Result<Digest, TreeError> {
        let digest = Digest::of(bytes);
        let found = links(bytes).map_err(|source| TreeError::Document { digest, source })?;
        let kind = Kind::of(&digest, &found, told)?;
        for blob in found.blobs.iter().filter(|blob| !is_foreign(&blob.media_type)) {
            if !self.has_blob(&blob.digest, blob.size)? {
                return Err(TreeError::Incomplete {
                    name: self.name.to_string(),
                    manifest: digest,
                    missing: blob.digest,
                });
            }
        }
        // What it leads to is on the disk before it is.
        self.blobs.sync()?;
        let name = digest.to_string();
        let is_there = self.manifests.read(&name, MAX_DOCUMENT)?.is_some_and(|there| there == bytes);
        if !is_there {
            self.manifests.write(&name, bytes, &self.tree.staging)?;
        }
        for (view, dir) in &self.views {
            if *view == kind {
                dir.point(&name, &format!("../manifests/{name}"), &self.tree.staging)?;
                dir.sync()?;
            }
        }
        self.manifests.sync()?;
        let _lists = self.tree.lists()?;
        referrers::begin(&self.referrers, &digest, &self.tree.staging)?;
        if let Some(subject) = &found.subject {
            let entry = referrers::entry(&digest, bytes.len(), kind, &found);
            referrers::add(&self.referrers, &subject.digest, &entry, &self.tree.staging)?;
        }
        self.referrers.sync()?;
        Ok(digest)
    }

    /// Moves tags to manifests or indexes that were published before: the last step, which makes the rest visible.
    pub fn tag(&self, tags: &[(&str, Digest)]) -> Result<(), TreeError> {
        for (tag, digest) in tags {
            check_tag(tag)?;
            if !self.has_manifest(digest)? {
                let what = format!("manifest {digest} that \"{tag}\" could mean");
                return Err(TreeError::Missing { path: self.manifests.path().to_owned(), what });
            }
        }
        let _lists = self.tree.lists()?;
        let fresh: Vec<&str> = tags.iter().map(|(tag, _)| *tag).collect();
        write_tags(&self.name, &self.tags, &self.manifests, &fresh, &self.tree.staging)?;
        for (tag, digest) in tags {
            self.point(tag, digest)?;
        }
        Ok(())
    }

    /// A server looks into the directories of [`Kind::ALL`] in their order and takes the first that has the tag; a server
    /// without configuration looks into `manifests` only. To both the tag changes in one step.
    fn point(&self, tag: &str, digest: &Digest) -> Result<(), TreeError> {
        let name = digest.to_string();
        let mut new = None;
        for (_, dir) in &self.views {
            if dir.stat(&name)?.is_some() {
                dir.point(tag, &name, &self.tree.staging)?;
                dir.sync()?;
                new = Some(dir.path());
            }
        }
        self.manifests.point(tag, &name, &self.tree.staging)?;
        self.manifests.sync()?;
        // Backwards: the directory that is looked into first changes what is answered, and is the last.
        for (_, dir) in self.views.iter().rev().filter(|(_, dir)| new != Some(dir.path())) {
            if dir.remove(tag)? {
                dir.sync()?;
            }
        }
        Ok(())
    }
}

/// `tags/list` from the tags that are there, with `fresh` ones that are about to be.
pub(crate) fn write_tags(
    name: &Name,
    tags: &Dir,
    manifests: &Dir,
    fresh: &[&str],
    staging: &Dir,
) -> Result<(), TreeError> {
    let mut all: Vec<String> = fresh.iter().map(|tag| (*tag).to_owned()).collect();
    all.extend(manifests.names()?.into_iter().filter(|name| check_tag(name).is_ok()));
    // distribution-spec "Listing Tags": in lexical order, without regard to case.
    all.sort_by(|a, b| (a.to_lowercase(), a).cmp(&(b.to_lowercase(), b)));
    all.dedup();
    let list = serde_json::json!({ "name": name.as_str(), "tags": all });
    tags.write("list", format!("{list}\n").as_bytes(), staging)?;
    tags.sync()
}

/// Layers that lie elsewhere, and that no registry has to hold (image-spec "Non-Distributable Layers").
fn is_foreign(media_type: &MediaType) -> bool {
    media_type.0.contains(".nondistributable.") || media_type.0.contains(".foreign.")
}
