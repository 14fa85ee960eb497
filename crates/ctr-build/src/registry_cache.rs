//! A cache that is kept in a registry: `type=registry,ref=NAME`.
//!
//! It is an artifact of one manifest. Its config is the document below: what steps gave, by their keys; its layers are the
//! blobs that this names, so that the registry keeps them as long as the manifest.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use ctr_cli::{Context as _, Failure};
use ctr_core::digest::Digest;
use ctr_core::reference::Reference;
use ctr_core::spec::oci::{Descriptor, MediaType};
use ctr_core::spec::write;
use ctr_layer::codec::Compression;
use ctr_layer::pack::{PackOptions, pack_layer};
use ctr_registry::http::Settings;
use ctr_registry::{Client, Content, Outgoing, Pusher, RegistryError, Repository};
use serde::{Deserialize, Serialize};

use crate::actions::Action;
use crate::builder::{Builder, hinted};
use crate::plan::Done;

/// The media type of the document.
const DOCUMENT: &str = "application/vnd.ctr.build.cache.v1+json";

/// Blobs that are sent at the same time.
const THREADS: usize = 4;

/// What the cache has.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    /// What steps gave, sorted by key.
    actions: Vec<Action>,
    /// What caches of RUN had in them, packed, by the names that they are kept under.
    caches: BTreeMap<String, Blob>,
}

/// A blob that the document names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Blob {
    digest: Digest,
    /// In bytes.
    size: u64,
}

/// Of its manifest, what leads to the document.
#[derive(Debug, Deserialize)]
struct Manifest {
    config: Config,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    media_type: String,
    digest: Digest,
    size: u64,
}

/// A cache in a registry.
#[derive(Debug)]
pub(crate) struct RegistryCache {
    name: Reference,
    client: Client,
    /// What it has, and where it was found; none if there is nothing, or nothing that can be used.
    found: OnceLock<Option<(Repository, Document)>>,
}

fn failure(error: RegistryError) -> Failure {
    Failure::hinted(error, RegistryError::hint)
}

impl RegistryCache {
    /// Nothing is asked yet. Credentials are found here: in a user namespace their programs would not run as the user.
    pub(crate) fn new(name: Reference) -> Result<Self, Failure> {
        let client = Client::new(Settings::of_caller());
        if ctr_sys::ids::effective_uid() != 0 {
            client.find_credentials(&name).map_err(failure)?;
        }
        Ok(Self { name, client, found: OnceLock::new() })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &Reference {
        &self.name
    }

    /// What it says that the step with this key gave.
    pub(crate) fn get(&self, key: &Digest) -> Option<Action> {
        let (_, document) = self.found()?;
        let at = document.actions.binary_search_by_key(key, |action| action.key).ok()?;
        document.actions.get(at).cloned()
    }

    /// The bytes of a layer; whoever reads them checks them.
    pub(crate) fn layer(&self, digest: &Digest, size: u64) -> Result<impl Read + Send + use<>, Failure> {
        let Some((repository, _)) = self.found() else { return Err(Failure::new("the cache is gone")) };
        Ok(repository.blob(digest, size, 0).map_err(failure)?.body.take(size.saturating_add(1)))
    }

    /// The bytes of a cache of RUN.
    pub(crate) fn run_cache(&self, name: &str) -> Option<Result<(Digest, impl Read + Send + use<>), Failure>> {
        let (_, document) = self.found()?;
        let blob = document.caches.get(name)?;
        Some(self.layer(&blob.digest, blob.size).map(|reader| (blob.digest, reader)))
    }

    fn found(&self) -> Option<&(Repository, Document)> {
        let find = || match self.find() {
            Ok(None) => {
                ctr_cli::note(format!("there is no cache {} yet", self.name));
                None
            }
            Ok(found) => found,
            Err(failure) => {
                ctr_cli::warn(format!("the cache {} was not used: {}", self.name, failure.one_line()));
                None
            }
        };
        self.found.get_or_init(find).as_ref()
    }

    fn find(&self) -> Result<Option<(Repository, Document)>, Failure> {
        let repository = self.repository()?;
        let manifest = match repository.manifest(self.tag()) {
            Err(RegistryError::NotFound { .. }) => return Ok(None),
            manifest => manifest.map_err(failure)?,
        };
        let config = match serde_json::from_slice(&manifest.bytes) {
            Ok(Manifest { config }) if config.media_type == DOCUMENT => config,
            _ => return Err(Failure::new("it is no cache of ctr-build")),
        };
        let bytes = repository.document(&config.digest, config.size).map_err(failure)?;
        if Digest::of(&bytes) != config.digest {
            return Err(Failure::new("its document is damaged"));
        }
        let mut document: Document = serde_json::from_slice(&bytes)
            .map_err(|error| Failure::new("its document cannot be read").caused_by(&error))?;
        document.actions.sort_by_key(|action| action.key);
        Ok(Some((repository, document)))
    }

    /// That of the registry itself: mirrors have no caches.
    fn repository(&self) -> Result<Repository, Failure> {
        let places = self.client.places(&self.name).map_err(failure)?;
        let place = places.into_iter().next_back();
        place.map(|place| place.repository).ok_or_else(|| Failure::new("no registry may be asked"))
    }

    fn tag(&self) -> &str {
        self.name.tag().unwrap_or("latest")
    }

    /// Puts what the builds used there, in place of what was there before.
    pub(crate) fn write(&self, done: &[Done<'_>]) -> Result<(), Failure> {
        self.put(done).map_err(|failure| failure.within(format!("cannot write the cache {}", self.name)))
    }

    fn put(&self, done: &[Done<'_>]) -> Result<(), Failure> {
        let Some(first) = done.first() else { return Ok(()) };
        let pusher = Pusher::new(self.repository()?);
        let actions: BTreeMap<Digest, Action> =
            done.iter().flat_map(|done| done.builder.used()).map(|action| (action.key, action)).collect();
        let mut blobs: BTreeMap<Digest, Stored> = BTreeMap::new();
        let mut layers = Vec::new();
        for layer in actions.values().filter_map(|action| action.layer.as_ref()) {
            if let Entry::Vacant(entry) = blobs.entry(layer.digest) {
                entry.insert(Stored::of_layer(&first.builder, &layer.digest, layer.size)?);
                layers.push(Descriptor::new(MediaType::from(layer.media_type.as_str()), layer.digest, layer.size));
            }
        }
        let mut document = Document { actions: actions.into_values().collect(), caches: BTreeMap::new() };
        for (name, dir) in done.iter().flat_map(|done| done.builder.used_caches()) {
            let (digest, stored) = Stored::of_cache(&first.builder, &dir)?;
            document.caches.insert(name, Blob { digest, size: stored.size });
            layers.push(Descriptor::new(MediaType::LAYER_ZSTD, digest, stored.size));
            blobs.entry(digest).or_insert(stored);
        }
        // Commands that were not carried out had no use of theirs.
        for (name, blob) in self.find().ok().flatten().map(|(_, before)| before.caches).unwrap_or_default() {
            let known = document.caches.contains_key(&name);
            if !known && pusher.has_blob(&blob.digest, blob.size).map_err(failure)? {
                document.caches.insert(name, blob);
                layers.push(Descriptor::new(MediaType::LAYER_ZSTD, blob.digest, blob.size));
            }
        }
        let bytes = serde_json::to_vec(&document).context(|| "cannot write JSON".to_owned())?;
        let (config, size) = (Digest::of(&bytes), bytes.len() as u64);
        blobs.insert(config, Stored { size, bytes: Bytes::Memory(bytes) });
        send(&pusher, &blobs)?;
        let config = Descriptor::new(MediaType(DOCUMENT.to_owned()), config, size);
        let manifest = write::manifest(&config, &layers, &BTreeMap::new());
        pusher.put_manifest(self.tag(), MediaType::MANIFEST, &manifest).map(drop).map_err(failure)
    }
}

/// A blob that is sent.
struct Stored {
    size: u64,
    bytes: Bytes,
}

enum Bytes {
    Memory(Vec<u8>),
    File(File),
}

impl Stored {
    fn of_layer(builder: &Builder<'_>, digest: &Digest, size: u64) -> Result<Self, Failure> {
        let file = builder.txn.open_blob(digest).map_err(hinted)?;
        Ok(Self { size, bytes: Bytes::File(file) })
    }

    /// A directory, packed into a file that goes with the build.
    fn of_cache(builder: &Builder<'_>, dir: &Path) -> Result<(Digest, Self), Failure> {
        let failed = || format!("cannot pack the cache {}", dir.display());
        let path = builder.txn.layer_staging().map_err(hinted)?.fs().with_file_name("cache");
        let mut file = File::options().read(true).write(true).create_new(true).open(&path).context(failed)?;
        let options = PackOptions { ownership: builder.ownership, ..PackOptions::default() };
        let from = File::open(dir).context(failed)?;
        let packed = pack_layer(from.as_fd(), &options, Compression::Zstd, &mut file);
        let packed = packed.map_err(io::Error::other).context(failed)?;
        Ok((packed.digest, Self { size: packed.size, bytes: Bytes::File(file) }))
    }
}

/// A file from an offset on; its own position is nobody's.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

impl Content for Stored {
    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send + '_>> {
        match &self.bytes {
            Bytes::Memory(bytes) => {
                let at = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                Ok(Box::new(bytes.get(at..).unwrap_or_default()))
            }
            Bytes::File(file) => Ok(Box::new(At { file, offset })),
        }
    }
}

/// Sees to it that the registry has all of them, several at once.
fn send(pusher: &Pusher, blobs: &BTreeMap<Digest, Stored>) -> Result<(), Failure> {
    let all: Vec<_> = blobs.iter().collect();
    let (next, first) = (AtomicUsize::new(0), Mutex::new(None));
    let work = || {
        while let Some((digest, stored)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            let sent = match pusher.has_blob(digest, stored.size) {
                Ok(false) => pusher.send(Outgoing { digest, size: stored.size, content: *stored }, None),
                there => there.map(drop),
            };
            if let Err(error) = sent {
                first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                // The others would be in vain.
                next.store(all.len(), Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..THREADS.min(all.len()) {
            scope.spawn(work);
        }
        work();
    });
    match first.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => {
            pusher.abandon_all();
            Err(failure(error))
        }
        None => Ok(()),
    }
}
