//! A transaction: everything that brings images in goes through `tmp/TXN/` and is published in one order.
//!
//! ```text
//! write into tmp/TXN/  ->  fsync of each blob, or one syncfs if there are trees  ->  under the shared gate: keep lines,
//! renames  ->  fsync of blobs/sha256 and layers  ->  launch record (write, fsync, rename, fsync images)
//! ->  references (write, fsync, rename, fsync refs)
//! ```
//! So a name in the store means a complete image, after a power loss too. Objects of others that are relied on are
//! listed in `keep`; their directories are synced again before the reference, since their publisher may not have come
//! to that yet.
//!
//! Trees are not published one by one, since each would cost a syncfs. They wait for the commit, unless a thread of the
//! transaction has to wait for a digest that another process is bringing in: that process may in turn wait for one that
//! lies finished here, so everything finished is published first.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::blob::{self, Blob, BlobWriter, StagedBlob};
use super::image::RefRecord;
use super::keep::{self, Kept};
use super::layer::{self, LayerDone, LayerStaging, LayerState, StagedLayer};
use super::lock::DigestLock;
use super::partial::Partial;
use super::referrers::Referrers;
use super::{Store, StoreError, record};
use crate::digest::Digest;
use crate::launch::{LaunchRecord, LayerId};
use crate::reference::Reference;

/// A transaction. Dropped without a commit, it leaves nothing but whole objects that gc collects.
#[derive(Debug)]
pub struct Txn {
    store: Store,
    dir: PathBuf,
    /// Holds the lock on `tmp/TXN/lock` that says that we live.
    _lock: File,
    counter: AtomicU64,
    state: Mutex<State>,
}

/// A blob to be downloaded.
#[derive(Debug)]
pub enum Download {
    /// The store has it.
    There,
    /// It has not all of it.
    Partial(Box<Partial>),
    /// Nobody wants to wait any more.
    Cancelled,
}

#[derive(Debug, Default)]
struct State {
    blobs: Vec<StagedBlob>,
    layers: Vec<StagedLayer>,
    /// Threads that wait for a digest of another process.
    waiting: usize,
}

impl Txn {
    pub(crate) fn begin(store: &Store) -> Result<Self, StoreError> {
        store.check_writable()?;
        let tmp = store.layout.tmp();
        // Under the gate: gc cannot meet the directory before its lock is held.
        let gate = store.gate_shared()?;
        let dir = tmp.join(record::random_name(&tmp)?);
        DirBuilder::new().mode(0o700).create(&dir).map_err(StoreError::io("create", &dir))?;
        let path = dir.join("lock");
        let lock = OpenOptions::new().create_new(true).read(true).write(true).mode(0o600).open(&path);
        let lock = lock.map_err(StoreError::io("create", &path))?;
        ctr_sys::lock::lock(&lock, ctr_sys::lock::LockKind::Exclusive, ctr_sys::lock::LockRange::WHOLE)
            .map_err(StoreError::sys("lock", &path))?;
        drop(gate);
        let (counter, state) = (AtomicU64::new(0), Mutex::new(State::default()));
        Ok(Self { store: store.clone(), dir, _lock: lock, counter, state })
    }

    /// The transaction's own directory, for files that are needed on the way. It vanishes with the transaction.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh(&self, kind: &str) -> PathBuf {
        self.dir.join(format!("{kind}-{}", self.counter.fetch_add(1, Ordering::Relaxed)))
    }

    /// Waits until no other thread or process brings in this digest, and keeps them waiting until the guard is dropped.
    ///
    /// Look with [`Txn::has_blob`] or [`Txn::find_layer`] afterwards: whoever was first may have brought it. Give the
    /// guard to [`LayerStaging::hold`], so that it lasts until the layer can be found.
    pub fn lock_digest(&self, digest: &Digest) -> Result<DigestLock, StoreError> {
        let path = self.store.layout.lock();
        if let Some(lock) = DigestLock::try_take(&path, digest)? {
            return Ok(lock);
        }
        self.state().waiting += 1;
        let taken = self.publish_pending().and_then(|()| DigestLock::take(&path, digest));
        self.state().waiting -= 1;
        taken
    }

    fn lock_digest_while(&self, digest: &Digest, go_on: &dyn Fn() -> bool) -> Result<Option<DigestLock>, StoreError> {
        let path = self.store.layout.lock();
        if let Some(lock) = DigestLock::try_take(&path, digest)? {
            return Ok(Some(lock));
        }
        self.state().waiting += 1;
        let taken = self.publish_pending().and_then(|()| DigestLock::take_while(&path, digest, go_on));
        self.state().waiting -= 1;
        taken
    }

    /// A blob to be written. With `expected`, no byte more than the size is taken, and [`Txn::finish_blob`] refuses
    /// other content.
    pub fn blob_writer(&self, expected: Option<(Digest, u64)>) -> Result<BlobWriter, StoreError> {
        BlobWriter::create(self.fresh("blob"), expected, true)
    }

    /// The same for a caller that hashes what it writes itself, and finishes only if the digest is right.
    pub fn blob_sink(&self, digest: Digest, size: u64) -> Result<BlobWriter, StoreError> {
        BlobWriter::create(self.fresh("blob"), Some((digest, size)), false)
    }

    /// Checks a written blob. It is published at the latest with the commit, and replaces a damaged one.
    pub fn finish_blob(&self, writer: BlobWriter) -> Result<(Digest, u64), StoreError> {
        let staged = writer.seal()?;
        let found = (staged.digest, staged.size);
        self.state().blobs.push(staged);
        self.publish_if_awaited()?;
        Ok(found)
    }

    /// Puts `bytes` into the store.
    pub fn put_blob(&self, bytes: &[u8], expected: Option<(Digest, u64)>) -> Result<(Digest, u64), StoreError> {
        let mut writer = self.blob_writer(expected)?;
        writer.push(bytes)?;
        self.finish_blob(writer)
    }

    /// Copies all of `reader` into the store.
    pub fn copy_blob(
        &self,
        mut reader: impl Read,
        expected: Option<(Digest, u64)>,
    ) -> Result<(Digest, u64), StoreError> {
        let mut writer = self.blob_writer(expected)?;
        let mut buffer = vec![0u8; 256 << 10];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return self.finish_blob(writer),
                Ok(count) => writer.push(buffer.get(..count).unwrap_or_default())?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(StoreError::io("read the source of", self.dir.join("blob"))(error)),
            }
        }
    }

    /// A blob that comes over a network: where an earlier run ended, or the news that it is there. Waits while another
    /// process or thread brings it, and asks now and then whether to `go_on` waiting.
    pub fn download(&self, digest: &Digest, size: u64, go_on: &dyn Fn() -> bool) -> Result<Download, StoreError> {
        if self.has_blob(digest, size)? {
            return Ok(Download::There);
        }
        let Some(lock) = self.lock_digest_while(&DigestLock::of_download(digest), go_on)? else {
            return Ok(Download::Cancelled);
        };
        if self.has_blob(digest, size)? {
            return Ok(Download::There);
        }
        let path = self.store.layout.partial().join(digest.hex());
        Partial::open(path, *digest, size, lock).map(Box::new).map(Download::Partial)
    }

    /// Checks a download that is complete. Like any blob it is published at the latest with the commit; until then it
    /// lies where it came, so that no crash costs it.
    pub fn finish_partial(&self, partial: Partial) -> Result<(), StoreError> {
        let staged = partial.seal()?;
        self.state().blobs.push(staged);
        self.publish_if_awaited()
    }

    /// Keeps what refers to `subject` with it. The manifests that it names are blobs of the store.
    pub fn put_referrers(&self, referrers: &Referrers) -> Result<(), StoreError> {
        self.publish_pending()?;
        let path = self.store.layout.referrers().join(referrers.subject.hex());
        let _gate = self.store.gate_shared()?;
        record::publish(&self.fresh("referrers"), &path, &record::to_json(&path, referrers)?)
    }

    /// Whether the store, or this transaction, has this blob with this very content; its bytes are read and hashed, so
    /// that a damaged one is brought again. What is found stays for as long as the transaction lives.
    pub fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool, StoreError> {
        if self.state().blobs.iter().any(|blob| blob.digest == *digest) {
            return Ok(true);
        }
        match self.keep_blob(digest)? {
            Some(blob) if blob.size == size => blob::matches(&blob.path, digest),
            _ => Ok(false),
        }
    }

    /// The content of a blob that the store or this transaction has.
    pub fn open_blob(&self, digest: &Digest) -> Result<File, StoreError> {
        // The state stays locked: what lies in staging is not moved meanwhile.
        let state = self.state();
        let staged = state.blobs.iter().find(|blob| blob.digest == *digest).map(|blob| blob.path.clone());
        let path = match staged {
            Some(path) => path,
            None => self.store.blob(digest)?.path,
        };
        File::open(&path).map_err(StoreError::io("open", &path))
    }

    /// The blob, if it is there; it stays for as long as the transaction lives. Its content is not looked at.
    pub fn keep_blob(&self, digest: &Digest) -> Result<Option<Blob>, StoreError> {
        let _gate = self.store.gate_shared()?;
        let found = blob::find(&self.store.layout, digest)?;
        if found.is_some() {
            keep::add(&self.keep_path(), &[Kept::Blob(*digest)])?;
        }
        Ok(found)
    }

    /// Keeps an image with all that belongs to it for as long as the transaction lives, for an export say.
    pub fn keep_image(&self, image: &Digest) -> Result<(), StoreError> {
        let _gate = self.store.gate_shared()?;
        if !self.store.layout.image(image).exists() {
            return Err(StoreError::NoImage(image.to_string()));
        }
        keep::add(&self.keep_path(), &[Kept::Image(*image)])
    }

    /// The unpacked layer for a position, if the store or this transaction has it whole: by its chain id, or by its diff
    /// id if it does not depend on the layers below. Its files are counted. It stays as long as the transaction lives.
    pub fn find_layer(&self, chain_id: &Digest, diff_id: &Digest) -> Result<Option<(LayerId, LayerDone)>, StoreError> {
        for id in [LayerId(*chain_id), LayerId(*diff_id)] {
            let pending = self.state().layers.iter().find(|staged| staged.done.id() == id).map(|s| s.done.clone());
            let found = match pending {
                Some(done) => Some(done),
                None => self.keep_layer(&id)?,
            };
            // The same diff id at another position, kept by its diff id, serves here only if it needs no parents.
            if let Some(done) = found.filter(|done| done.self_contained || done.chain_id == *chain_id) {
                return Ok(Some((id, done)));
            }
        }
        Ok(None)
    }

    /// [`Txn::find_layer`] by what the layer's record says alone: its files are not counted. For results that this store gave
    /// before; whoever uses the layer then sees what fsck would tell.
    pub fn keep_whole_layer(&self, chain_id: &Digest, diff_id: &Digest) -> Result<Option<LayerDone>, StoreError> {
        for id in [LayerId(*chain_id), LayerId(*diff_id)] {
            let _gate = self.store.gate_shared()?;
            let LayerState::Whole(done) = layer::look(&self.store.layout, &id)? else { continue };
            if done.self_contained || done.chain_id == *chain_id {
                keep::add(&self.keep_path(), &[Kept::Layer(id)])?;
                return Ok(Some(*done));
            }
        }
        Ok(None)
    }

    /// Whether a blob of this size is there, by its size alone; it stays for as long as the transaction lives.
    pub fn keep_sized_blob(&self, digest: &Digest, size: u64) -> Result<bool, StoreError> {
        Ok(self.keep_blob(digest)?.is_some_and(|blob| blob.size == size))
    }

    fn keep_layer(&self, id: &LayerId) -> Result<Option<LayerDone>, StoreError> {
        let gate = self.store.gate_shared()?;
        if matches!(layer::look(&self.store.layout, id)?, LayerState::Whole(_)) {
            keep::add(&self.keep_path(), &[Kept::Layer(*id)])?;
        } else {
            return Ok(None);
        }
        drop(gate);
        match layer::inspect(&self.store.layout, id)? {
            LayerState::Whole(done) => Ok(Some(*done)),
            _ => Ok(None),
        }
    }

    /// Where the `fs` directory of a layer that [`Txn::find_layer`] found, or that was published here, lies now.
    pub fn layer_fs(&self, id: &LayerId) -> PathBuf {
        let pending = self.state().layers.iter().find(|staged| staged.done.id() == *id).map(|s| s.path.join("fs"));
        pending.unwrap_or_else(|| self.store.layout.layer(id).join("fs"))
    }

    /// A new directory to unpack a layer into.
    pub fn layer_staging(&self) -> Result<LayerStaging, StoreError> {
        let path = self.fresh("layer");
        let create = |path: &Path, mode: u32| {
            DirBuilder::new().mode(mode).create(path).map_err(StoreError::io("create", path))?;
            // The umask does not decide what a container sees.
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(StoreError::io("set the mode of", path))
        };
        create(&path, 0o755)?;
        create(&path.join("fs"), 0o755)?;
        Ok(LayerStaging { path, lock: None })
    }

    /// Takes a layer that was unpacked into `staging` and verified. It is published at the latest with the commit.
    pub fn publish_layer(&self, staging: LayerStaging, done: LayerDone) -> Result<LayerId, StoreError> {
        let staged = layer::seal(staging, done)?;
        let id = staged.done.id();
        self.state().layers.push(staged);
        self.publish_if_awaited()?;
        Ok(id)
    }

    fn publish_if_awaited(&self) -> Result<(), StoreError> {
        if self.state().waiting > 0 { self.publish_pending() } else { Ok(()) }
    }

    fn keep_path(&self) -> PathBuf {
        self.dir.join("keep")
    }

    /// Syncs and publishes everything that is finished. [`Txn::commit_image`] does so too.
    pub fn publish_pending(&self) -> Result<(), StoreError> {
        let mut state = self.state();
        let (blobs, layers) = (std::mem::take(&mut state.blobs), std::mem::take(&mut state.layers));
        if blobs.is_empty() && layers.is_empty() {
            return Ok(());
        }
        // The state stays locked: another thread must not look for one of these between here and there.
        if layers.is_empty() {
            for staged in &blobs {
                ctr_sys::durable::fsync(&staged.file).map_err(StoreError::sys("sync", &staged.path))?;
            }
        } else {
            let store = File::open(&self.dir).map_err(StoreError::io("open", &self.dir))?;
            ctr_sys::durable::syncfs(&store).map_err(StoreError::sys("sync the filesystem of", &self.dir))?;
        }
        let gate = self.store.gate_shared()?;
        let kept = blobs.iter().map(|staged| Kept::Blob(staged.digest));
        let kept: Vec<Kept> = kept.chain(layers.iter().map(|staged| Kept::Layer(staged.done.id()))).collect();
        keep::add(&self.keep_path(), &kept)?;
        let layout = &self.store.layout;
        for staged in &blobs {
            let to = layout.blob(&staged.digest);
            fs::rename(&staged.path, &to).map_err(StoreError::io("rename a new blob to", to))?;
        }
        for staged in &layers {
            self.place_layer(staged)?;
        }
        drop(gate);
        if !blobs.is_empty() {
            record::sync_dir(&layout.blobs())?;
        }
        if !layers.is_empty() {
            record::sync_dir(&layout.layers())?;
        }
        Ok(())
    }

    /// Renames a layer to its place. A whole one that is there already is left, a damaged one makes room.
    fn place_layer(&self, staged: &StagedLayer) -> Result<(), StoreError> {
        let layout = &self.store.layout;
        let id = staged.done.id();
        let to = layout.layer(&id);
        loop {
            match ctr_sys::durable::rename_noreplace(&staged.path, &to) {
                Ok(()) => return Ok(()),
                Err(error) if matches!(error.errno, ctr_sys::Errno::EEXIST | ctr_sys::Errno::ENOTEMPTY) => {}
                Err(error) => return Err(StoreError::sys("rename a new layer to", to)(error)),
            }
            if matches!(layer::inspect(layout, &id)?, LayerState::Whole(_)) {
                return Ok(());
            }
            self.store.set_layer_aside(&id)?;
        }
    }

    /// Puts a layer that was unpacked anew and verified into the place of a damaged one, at once. Containers that use
    /// the old one keep it: it goes to `tmp/old-...`, where gc leaves it as long as they run.
    pub fn replace_layer(&self, staging: LayerStaging, done: LayerDone) -> Result<LayerId, StoreError> {
        let staged = layer::seal(staging, done)?;
        let id = staged.done.id();
        let layout = &self.store.layout;
        let store = File::open(&self.dir).map_err(StoreError::io("open", &self.dir))?;
        ctr_sys::durable::syncfs(&store).map_err(StoreError::sys("sync the filesystem of", &self.dir))?;
        let gate = self.store.gate_shared()?;
        let to = layout.layer(&id);
        // In one step: whoever starts a container meanwhile finds the one or the other.
        match ctr_sys::durable::rename_exchange(&staged.path, &to) {
            Ok(()) => self.store.set_aside(&id, &staged.path)?,
            Err(error) if error.errno == ctr_sys::Errno::ENOENT => self.place_layer(&staged)?,
            Err(error) => return Err(StoreError::sys("put a layer into the place of", to)(error)),
        }
        drop(gate);
        record::sync_dir(&layout.layers())?;
        Ok(id)
    }

    /// Publishes what is pending, then the launch record, then the names: from then on the image is there.
    ///
    /// Fails without a name changed if a layer or blob that the image needs is not in the store.
    pub fn commit_image(self, launch: &LaunchRecord, names: &[Reference]) -> Result<(), StoreError> {
        self.add_image(launch, names, None)
    }

    /// [`Txn::commit_image`] for a transaction that brings several images.
    ///
    /// `index` is what the registry gave for the names, if it was an index; its blob is in the store.
    pub fn add_image(
        &self,
        launch: &LaunchRecord,
        names: &[Reference],
        index: Option<Digest>,
    ) -> Result<(), StoreError> {
        self.publish_pending()?;
        let layout = &self.store.layout;
        // No object can vanish between the check and the name: gc needs the gate alone.
        let _gate = self.store.gate_shared()?;
        for blob in [&launch.image, &launch.config] {
            blob::find(layout, blob)?.ok_or(StoreError::NoBlob(*blob))?;
        }
        for id in &launch.layers {
            match layer::look(layout, id)? {
                LayerState::Whole(_) => {}
                LayerState::Absent => return Err(StoreError::NoLayer(id.to_string())),
                LayerState::Damaged(reason) => return Err(StoreError::damaged(&layout.layer(id), reason)),
            }
        }
        self.settle()?;
        keep::add(&self.keep_path(), &[Kept::Image(launch.image)])?;
        let image = layout.image(&launch.image);
        record::publish(&self.fresh("image"), &image, &record::to_json(&image, launch)?)?;
        for name in names {
            self.write_ref(name, launch.image, index)?;
        }
        Ok(())
    }

    /// Makes the names of all objects last, those of others too: whoever renamed them, or made the store, may have been
    /// killed before that came to last. Costs next to nothing where nothing is pending.
    fn settle(&self) -> Result<(), StoreError> {
        let layout = &self.store.layout;
        [layout.blobs(), layout.layers(), layout.images(), layout.store.clone()]
            .iter()
            .try_for_each(|d| record::sync_dir(d))
    }

    fn write_ref(&self, name: &Reference, digest: Digest, index: Option<Digest>) -> Result<(), StoreError> {
        let name = name.to_string();
        let path = self.store.layout.reference(&name);
        let bytes = record::to_json(&path, &RefRecord { name, digest, index })?;
        record::publish(&self.fresh("ref"), &path, &bytes)
    }

    /// Points `name` at an image of the store.
    pub fn tag(&self, name: &Reference, image: &Digest, index: Option<Digest>) -> Result<(), StoreError> {
        let _gate = self.store.gate_shared()?;
        if super::image::read_launch(&self.store.layout, image)?.is_none() {
            return Err(StoreError::NoImage(image.to_string()));
        }
        self.settle()?;
        self.write_ref(name, *image, index)
    }
}

impl Drop for Txn {
    fn drop(&mut self) {
        // What cannot be removed now is found by gc once our lock is gone.
        let _ = ctr_sys::tree::remove_tree(&self.dir);
    }
}
