//! To a registry: blobs in parallel, then manifests, children before parents, the name last.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use ctr_cli::{Context as _, Failure, Progress};
use ctr_core::digest::Digest;
use ctr_core::spec::{Link, links};
use ctr_core::store::Store;
use ctr_export::{Document, open_blob};
use ctr_registry::{Content, Entry, Mount, Outgoing, Pusher, Put, RegistryError};

use crate::report::{Outcome, Part, Pushed};
use crate::selection::{Attached, Selection};
use crate::static_tree::label;

/// Blobs that are on their way at the same time.
const THREADS: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// Repositories that are asked for one blob.
const MAX_MOUNTS: usize = 2;

/// A registry error with what the user can do about it.
pub(crate) fn hinted(error: RegistryError) -> Failure {
    Failure::hinted(error, RegistryError::hint)
}

/// One push to one repository.
pub(crate) struct Push<'a> {
    pub(crate) store: &'a Store,
    pub(crate) pusher: Arc<Pusher>,
    pub(crate) progress: Progress,
    /// Repositories of the same registry that may have a blob.
    pub(crate) elsewhere: BTreeMap<Digest, Vec<String>>,
}

/// A blob of the store, hashed while it is sent.
struct Stored<'a> {
    store: &'a Store,
    blob: &'a Link,
    bar: ctr_cli::Bar,
}

impl Content for Stored<'_> {
    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send + '_>> {
        let mut reader = open_blob(self.store, self.blob).map_err(|failure| io::Error::other(failure.one_line()))?;
        // Read all the same: the digest is of all of it.
        io::copy(&mut reader.by_ref().take(offset), &mut io::sink())?;
        self.bar.restart();
        self.bar.keep(offset);
        Ok(Box::new(self.bar.reading(reader)))
    }
}

impl Push<'_> {
    /// Sees to it that all `blobs` are in the repository.
    fn blobs(&self, blobs: &[Link]) -> Result<Vec<Part>, Failure> {
        let next = AtomicUsize::new(0);
        let done: Mutex<Vec<(usize, Part)>> = Mutex::default();
        let first: Mutex<Option<RegistryError>> = Mutex::default();
        let work = || {
            while let Some((at, blob)) = blobs.get(next.load(Ordering::Relaxed)).and_then(|_| {
                let at = next.fetch_add(1, Ordering::Relaxed);
                blobs.get(at).map(|blob| (at, blob))
            }) {
                match self.blob(blob) {
                    Ok(outcome) => {
                        let part = Part { digest: blob.digest, size: blob.size, outcome };
                        done.lock().unwrap_or_else(PoisonError::into_inner).push((at, part));
                    }
                    Err(error) => {
                        first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                        // The others would be in vain.
                        self.pusher.repository().http().cancel();
                        return;
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..THREADS.get().min(blobs.len()) {
                scope.spawn(work);
            }
            work();
        });
        if let Some(error) = first.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(hinted(error));
        }
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_by_key(|(at, _)| *at);
        Ok(done.into_iter().map(|(_, part)| part).collect())
    }

    fn blob(&self, blob: &Link) -> Result<Outcome, RegistryError> {
        if self.pusher.has_blob(&blob.digest, blob.size)? {
            return Ok(self.told(blob, Outcome::Present));
        }
        let mut offered = None;
        for from in self.elsewhere.get(&blob.digest).into_iter().flatten().take(MAX_MOUNTS) {
            match self.pusher.mount(&blob.digest, from)? {
                Mount::Done => return Ok(self.told(blob, Outcome::Mounted)),
                Mount::Upload(upload) => offered = offered.or(upload),
            }
            if offered.is_some() {
                break;
            }
        }
        self.send(blob, offered)
    }

    fn send(&self, blob: &Link, offered: Option<ctr_registry::Offered>) -> Result<Outcome, RegistryError> {
        let content = Stored { store: self.store, blob, bar: self.bar(blob) };
        self.pusher.send(Outgoing { digest: &blob.digest, size: blob.size, content: &content }, offered)?;
        content.bar.finish(Outcome::Uploaded.words());
        Ok(Outcome::Uploaded)
    }

    fn told(&self, blob: &Link, outcome: Outcome) -> Outcome {
        let bar = self.bar(blob);
        bar.keep(blob.size);
        bar.finish(outcome.words());
        outcome
    }

    fn bar(&self, blob: &Link) -> ctr_cli::Bar {
        self.progress.bar(&label(blob), Some(blob.size))
    }

    /// All of a selection, its name last.
    pub(crate) fn all(&self, selection: &Selection, tag: Option<&str>) -> Result<Pushed, Failure> {
        let mut pushed = Pushed::of(selection, String::new());
        let blobs = selection.blobs();
        self.progress.expect(blobs.len(), blobs.iter().map(|blob| blob.size).sum());
        self.blobs(&blobs)?.into_iter().for_each(|part| pushed.blob(part));
        let top = selection.tree.top();
        for document in selection.tree.documents.iter().filter(|document| document.digest != top.digest) {
            pushed.manifests.push(self.document(document)?);
        }
        self.referrers(&selection.referrers, &mut pushed)?;
        pushed.manifests.push(match tag {
            Some(tag) => self.name(tag, top)?,
            None => self.document(top)?,
        });
        Ok(pushed)
    }

    /// What refers to the image is there before the name is, so that who asks for the name finds it signed.
    fn referrers(&self, referrers: &[Attached], pushed: &mut Pushed) -> Result<(), Failure> {
        let mut unlisted: BTreeMap<Digest, Vec<Entry>> = BTreeMap::new();
        for referrer in referrers {
            let top = referrer.tree.top();
            for document in referrer.tree.documents.iter().filter(|document| document.digest != top.digest) {
                pushed.manifests.push(self.document(document)?);
            }
            if let Some(tag) = &referrer.tag {
                pushed.manifests.push(self.name(tag, top)?);
                continue;
            }
            let there = self.pusher.head(&top.digest.to_string()).map_err(hinted)?.is_some();
            if there && self.pusher.lists(&referrer.subject, &top.digest).map_err(hinted)? {
                pushed.manifests.push(part(top, Outcome::Present));
                continue;
            }
            let (outcome, put) = self.put(&top.digest.to_string(), top)?;
            pushed.manifests.push(part(top, outcome));
            if !put.listed {
                unlisted.entry(referrer.subject).or_default().push(entry(top)?);
            }
        }
        for (subject, entries) in &unlisted {
            self.pusher.add_to_tag(subject, entries).map_err(hinted)?;
        }
        Ok(())
    }

    /// Puts a document under its digest, unless it is there.
    fn document(&self, document: &Document) -> Result<Part, Failure> {
        let target = document.digest.to_string();
        let there = self.pusher.head(&target).map_err(hinted)?.is_some();
        let outcome = if there { Outcome::Present } else { self.put(&target, document)?.0 };
        Ok(part(document, outcome))
    }

    /// Puts a document under a tag, unless the tag stands for it.
    fn name(&self, tag: &str, document: &Document) -> Result<Part, Failure> {
        let there = self.pusher.head(tag).map_err(hinted)?;
        let same = there.is_some_and(|head| head.digest == Some(document.digest));
        let outcome = if same { Outcome::Present } else { self.put(tag, document)?.0 };
        Ok(part(document, outcome))
    }

    /// Puts a document. A registry that has lost a blob meanwhile gets it once more.
    fn put(&self, target: &str, document: &Document) -> Result<(Outcome, Put), Failure> {
        let put = || self.pusher.put_manifest(target, &document.media_type.0, &document.bytes);
        let error = match put() {
            Ok(put) => return Ok((Outcome::Uploaded, put)),
            Err(error) => error,
        };
        let Some(lost) = lost(&error, document) else { return Err(hinted(error)) };
        for blob in lost {
            ctr_cli::note(format!("the registry lost blob {}: it is sent again", blob.digest));
            self.send(blob, None).map_err(hinted)?;
        }
        put().map(|put| (Outcome::Uploaded, put)).map_err(hinted)
    }
}

/// The line of a referrer in the list of a subject.
fn entry(document: &Document) -> Result<Entry, Failure> {
    let found = links(&document.bytes).context(|| format!("cannot use the referrer {}", document.digest))?;
    let size = document.bytes.len() as u64;
    let link = Link { media_type: document.media_type.clone(), digest: document.digest, size };
    Ok(Entry { link, artifact_type: found.artifact_type, annotations: found.annotations })
}

fn part(document: &Document, outcome: Outcome) -> Part {
    Part { digest: document.digest, size: document.bytes.len() as u64, outcome }
}

/// The blobs that a refusal says are missing: those that it names, or all. None: it is about something else.
fn lost<'a>(error: &RegistryError, document: &'a Document) -> Option<Vec<&'a Link>> {
    let is_lost = |code: &str| matches!(code, "MANIFEST_BLOB_UNKNOWN" | "BLOB_UNKNOWN");
    let told: Vec<_> = error.told()?.iter().filter(|error| is_lost(&error.code)).collect();
    if told.is_empty() || document.blobs.is_empty() {
        return None;
    }
    let named: BTreeSet<Digest> = told.iter().filter_map(|error| error.digest).collect();
    let is_named = |blob: &&Link| named.is_empty() || named.contains(&blob.digest);
    let blobs: Vec<&Link> = document.blobs.iter().filter(is_named).collect();
    (!blobs.is_empty()).then_some(blobs)
}
