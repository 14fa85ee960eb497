//! Blobs over the network, several at once, independent of the unpacking of layers.
//!
//! ```text
//!  download threads (at most --jobs)          importer
//!  network -> partial/HEX, hashed             layer 1: follows the file behind the writer, unpacks
//!          -> Flow: how far, done, failed     layer 2: ...
//! ```
//! A reader never sees the end of a blob before its digest was right, so what it unpacks may be published then. Downloads
//! wait for nothing but the network and whoever brings the same blob, never for the unpacking: no two processes can wait
//! for each other.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ctr_cli::{Bar, Failure, Progress};
use ctr_core::digest::Digest;
use ctr_core::spec::oci::Descriptor;
use ctr_core::store::{Download, Partial, StoreError, Txn};

use ctr_registry::RegistryError;
use ctr_registry::http::Http;

use crate::import::hinted;

/// Where blobs come from. Requests that fail in passing were made again inside.
pub(crate) trait Remote: Sync {
    /// The bytes of a blob from `offset` on, and at which byte they really begin: 0 if the server knows no ranges.
    fn open(&self, descriptor: &Descriptor, offset: u64) -> Result<(u64, Box<dyn Read + Send + '_>), Stopped>;

    /// Brings what refers to `subjects` into the store.
    fn referrers(&self, txn: &Txn, subjects: &[Digest]) -> Result<(), Failure>;

    /// What its requests are made with.
    fn http(&self) -> &Http;

    /// What came for a blob was wrong: the next time another server is asked, if there is one.
    fn distrust(&self);
}

/// Why no more bytes come.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// The connection broke: the rest may come over another one.
    Broken(Failure),
    /// The server cannot begin there, perhaps from the start.
    NoRange,
    /// Asking again will not help.
    Failed(Failure),
}

/// The downloads of one image.
pub(crate) struct Downloads<'a> {
    txn: &'a Txn,
    remote: &'a dyn Remote,
    flows: Vec<Flow>,
    next: AtomicUsize,
    cancelled: AtomicBool,
    /// Bytes came that had a wrong digest.
    damaged: AtomicBool,
    /// Of the download that failed first; the others then only end.
    failure: Mutex<Option<Failure>>,
    progress: Progress,
}

/// One blob on its way.
struct Flow {
    descriptor: Descriptor,
    label: String,
    state: Mutex<State>,
    changed: Condvar,
}

/// How far it is.
#[derive(Default)]
struct State {
    /// What can be read: the file, and how many bytes of it.
    file: Option<File>,
    available: u64,
    /// Whether it ended, and well.
    done: Option<bool>,
}

impl Flow {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }
}

impl<'a> Downloads<'a> {
    /// The blobs of `descriptors`, in the order in which they are needed.
    pub(crate) fn new(
        txn: &'a Txn,
        remote: &'a dyn Remote,
        descriptors: impl Iterator<Item = (String, Descriptor)>,
        progress: &Progress,
    ) -> Self {
        let flow = |(label, descriptor)| Flow { descriptor, label, state: Mutex::default(), changed: Condvar::new() };
        let flows: Vec<Flow> = descriptors.map(flow).collect();
        let bytes = flows.iter().fold(0u64, |sum, flow| sum.saturating_add(flow.descriptor.size));
        progress.expect(flows.len(), bytes);
        let (next, cancelled, damaged) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicBool::new(false));
        let failure = Mutex::new(None);
        Self { txn, remote, flows, next, cancelled, damaged, failure, progress: progress.clone() }
    }

    /// Runs `work`, which reads the blobs, beside at most `jobs` download threads. All have ended when this returns. The
    /// failure of a download is told before what it led to in `work`.
    pub(crate) fn beside<T>(&self, jobs: usize, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        self.remote.http().resume();
        let result = std::thread::scope(|scope| {
            for _ in 0..jobs.min(self.flows.len()) {
                let spawned = std::thread::Builder::new().name("download".into()).spawn_scoped(scope, || self.work());
                if let Err(error) = spawned {
                    self.cancel();
                    return Err(Failure::new("cannot start a thread").caused_by(&error));
                }
            }
            let result = work();
            if result.is_err() {
                self.cancel();
            }
            result
        });
        result.map_err(|failure| self.failure().take().unwrap_or(failure))
    }

    /// Whether bytes with a wrong digest came: another try, perhaps with another server, may end well.
    pub(crate) fn damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    fn failure(&self) -> MutexGuard<'_, Option<Failure>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        self.remote.http().cancel();
    }

    fn goes_on(&self) -> bool {
        !self.cancelled.load(Ordering::Relaxed)
    }

    /// One thread: takes the next blob that nobody has taken, until there is none.
    fn work(&self) {
        while let Some(flow) = self.flows.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let result = if self.goes_on() { self.bring(flow) } else { Err(cancelled()) };
            let well = result.is_ok();
            if let Err(failure) = result {
                if self.goes_on() {
                    self.failure().get_or_insert(failure);
                }
                // The importer hears of it when it comes to this blob; the others need not come to their end.
                self.cancel();
            }
            flow.change(|state| state.done = Some(well));
        }
    }

    fn bring(&self, flow: &Flow) -> Result<(), Failure> {
        let descriptor = &flow.descriptor;
        let bar = self.progress.bar(&flow.label, Some(descriptor.size));
        let found = self.txn.download(&descriptor.digest, descriptor.size, &|| self.goes_on()).map_err(hinted)?;
        match found {
            Download::Cancelled => Err(cancelled()),
            Download::There => {
                // Another process or thread brought it, or an earlier run.
                let file = self.txn.open_blob(&descriptor.digest).map_err(hinted)?;
                flow.change(|state| (state.file, state.available) = (Some(file), descriptor.size));
                bar.finish("already there");
                Ok(())
            }
            Download::Partial(partial) => {
                self.transfer(flow, *partial, &bar)?;
                bar.finish("downloaded");
                Ok(())
            }
        }
    }

    /// Brings the bytes that are missing.
    fn transfer(&self, flow: &Flow, mut partial: Partial, bar: &Bar) -> Result<(), Failure> {
        let file = partial.reader().map_err(hinted)?;
        bar.keep(partial.written());
        flow.change(|state| (state.file, state.available) = (Some(file), partial.written()));
        let (mut fruitless, mut from_start) = (0, false);
        while !partial.is_complete() {
            let before = partial.written();
            match self.stream(flow, &mut partial, bar, from_start) {
                Ok(()) => {}
                Err(Stopped::Failed(failure)) => return Err(failure),
                Err(Stopped::NoRange) if from_start || before == 0 => {
                    return Err(Failure::new("the registry does not send the blob from its start either"));
                }
                Err(Stopped::NoRange) => from_start = true,
                Err(Stopped::Broken(_)) if partial.written() > before => fruitless = 0,
                Err(Stopped::Broken(failure)) => {
                    if fruitless >= self.remote.http().settings().retries {
                        let (digest, size, have) = (flow.descriptor.digest, flow.descriptor.size, partial.written());
                        return Err(failure.within(format!("{digest} does not come: {have} of {size} bytes are there")));
                    }
                    self.remote
                        .http()
                        .back_off(fruitless)
                        .map_err(|error| Failure::hinted(error, RegistryError::hint))?;
                    fruitless += 1;
                }
            }
            if !self.goes_on() {
                return Err(cancelled());
            }
        }
        self.txn.finish_partial(partial).map_err(|error| {
            if matches!(error, StoreError::WrongDigest { .. }) {
                self.damaged.store(true, Ordering::Relaxed);
                self.remote.distrust();
            }
            hinted(error)
        })
    }

    /// One request, as far as it goes.
    fn stream(&self, flow: &Flow, partial: &mut Partial, bar: &Bar, from_start: bool) -> Result<(), Stopped> {
        let offset = if from_start { 0 } else { partial.written() };
        let (start, mut body) = self.remote.open(&flow.descriptor, offset)?;
        let failed = |error: StoreError| Stopped::Failed(hinted(error));
        let mut buffer = vec![0u8; 128 << 10];
        // A server without ranges sends from the start: what is there already is passed over. The digest decides.
        let mut skip = partial.written().saturating_sub(start);
        loop {
            if !self.goes_on() {
                return Err(Stopped::Failed(cancelled()));
            }
            let count = match body.read(&mut buffer) {
                Ok(0) if partial.is_complete() => return Ok(()),
                Ok(0) => return Err(Stopped::Broken(Failure::new("the blob ended too early"))),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Stopped::Broken(broken(error))),
            };
            let over = usize::try_from(skip).unwrap_or(usize::MAX).min(count);
            skip -= over as u64;
            let bytes = buffer.get(over..count).unwrap_or_default();
            partial.push(bytes).map_err(failed)?;
            bar.advance(bytes.len() as u64);
            flow.change(|state| state.available = partial.written());
            if partial.is_complete() {
                return after_the_end(&mut body, &flow.descriptor);
            }
        }
    }

    /// The bytes of the blob at `position`, as they come. The end is there only when the digest was right.
    pub(crate) fn read(&self, position: usize) -> Option<Follower<'_>> {
        let flow = self.flows.get(position)?;
        Some(Follower { flow, downloads: self, offset: 0 })
    }
}

/// More bytes than the descriptor says are an error: not of a blob that would be cut.
fn after_the_end(body: &mut dyn Read, descriptor: &Descriptor) -> Result<(), Stopped> {
    match body.read(&mut [0]) {
        Ok(0) | Err(_) => Ok(()),
        Ok(_) => {
            let (digest, size) = (descriptor.digest, descriptor.size);
            Err(Stopped::Failed(Failure::new(format!("the registry sends more than the {size} bytes of {digest}"))))
        }
    }
}

fn broken(error: io::Error) -> Failure {
    match error.into_inner() {
        Some(inner) => Failure::new(inner.to_string()),
        None => Failure::new("the connection broke"),
    }
}

/// Reads a blob behind its writer.
pub(crate) struct Follower<'a> {
    flow: &'a Flow,
    downloads: &'a Downloads<'a>,
    offset: u64,
}

impl Follower<'_> {
    /// Waits for the end.
    pub(crate) fn wait(self) -> Result<(), Failure> {
        let mut state = self.flow.state();
        loop {
            match state.done {
                Some(true) => return Ok(()),
                Some(false) => return Err(cancelled()),
                None => state = self.flow.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

impl Read for Follower<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let mut state = self.flow.state();
        loop {
            let ready = state.available.saturating_sub(self.offset);
            if ready > 0
                && let Some(file) = &state.file
            {
                let most = usize::try_from(ready).unwrap_or(usize::MAX).min(buffer.len());
                let count = file.read_at(buffer.get_mut(..most).unwrap_or_default(), self.offset)?;
                if count == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.offset += count as u64;
                return Ok(count);
            }
            match state.done {
                Some(true) => return Ok(0),
                None if self.downloads.goes_on() => {}
                _ => return Err(io::Error::other("the download failed")),
            }
            let wait = self.flow.changed.wait_timeout(state, Duration::from_millis(200));
            state = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// What a download ends with because another one failed; nobody sees it.
fn cancelled() -> Failure {
    Failure::new("the download was cancelled")
}
