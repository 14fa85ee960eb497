//! Buffers that go round between two stages: full ones forward, empty ones back. Memory is what the pool holds.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

/// Bytes of a buffer. Small enough to stay in a core's cache on its way through the stages.
pub(super) const CHUNK: usize = 128 << 10;

/// A buffer and how much of it is filled.
pub(super) struct Chunk {
    bytes: Vec<u8>,
    filled: usize,
}

impl Chunk {
    /// The filled part.
    pub(super) fn data(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }

    /// Fills the buffer from `input` until it is full or the input ends.
    pub(super) fn fill(&mut self, input: &mut (impl Read + ?Sized)) -> io::Result<usize> {
        // Allocated when first used: a small layer uses one buffer.
        self.bytes.resize(CHUNK, 0);
        self.filled = 0;
        while let Some(room) = self.bytes.get_mut(self.filled..).filter(|room| !room.is_empty()) {
            match input.read(room) {
                Ok(0) => break,
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.filled)
    }
}

/// What is sent forward. The end is said, so that a stage that died is not taken for it.
pub(super) enum Message {
    Data(Chunk),
    End,
}

/// The next stage is gone; this one has nothing more to do.
#[derive(Debug)]
pub(super) struct Gone;

/// The sending side: takes empty buffers, gives full ones.
pub(super) struct Output {
    empty: Receiver<Chunk>,
    full: SyncSender<Message>,
}

impl Output {
    /// An empty buffer, once there is one.
    pub(super) fn empty(&self) -> Result<Chunk, Gone> {
        self.empty.recv().map_err(|_| Gone)
    }

    /// Sends a full buffer forward.
    pub(super) fn send(&self, chunk: Chunk) -> Result<(), Gone> {
        self.full.send(Message::Data(chunk)).map_err(|_| Gone)
    }

    /// Says that there is no more.
    pub(super) fn end(&self) -> Result<(), Gone> {
        self.full.send(Message::End).map_err(|_| Gone)
    }
}

/// A pool of `count` buffers, its sending side, its receiving side, and where buffers are given back.
pub(super) fn pool(count: usize) -> (Output, Receiver<Message>, Sender<Chunk>) {
    let (give_back, empty) = channel();
    for _ in 0..count {
        // The receiver is alive, it is returned below.
        let _ = give_back.send(Chunk { bytes: Vec::new(), filled: 0 });
    }
    let (full, messages) = sync_channel(count);
    (Output { empty, full }, messages, give_back)
}

/// The receiving side as a reader.
pub(super) struct Input {
    messages: Receiver<Message>,
    give_back: Sender<Chunk>,
    current: Option<Chunk>,
    taken: usize,
    received: Arc<AtomicU64>,
    ended: bool,
}

impl Input {
    pub(super) fn new(messages: Receiver<Message>, give_back: Sender<Chunk>) -> Self {
        Self { messages, give_back, current: None, taken: 0, received: Arc::default(), ended: false }
    }

    /// Counts the bytes received, also while a decoder has the reader.
    pub(super) fn received(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.received)
    }

    /// Reads what is left, so that the stages before see all of it.
    pub(super) fn drain(&mut self) -> io::Result<()> {
        loop {
            let count = self.fill_buf()?.len();
            if count == 0 {
                return Ok(());
            }
            self.consume(count);
        }
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        if let Some(chunk) = self.current.take() {
            // The sender may have ended already.
            let _ = self.give_back.send(chunk);
        }
        self.taken = 0;
        match self.messages.recv() {
            Ok(Message::Data(chunk)) => {
                self.received.fetch_add(chunk.filled as u64, Ordering::Relaxed);
                self.current = Some(chunk);
            }
            Ok(Message::End) => self.ended = true,
            Err(_) => return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the stage before ended early")),
        }
        Ok(())
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while !self.ended && self.current.as_ref().is_none_or(|chunk| self.taken >= chunk.filled) {
            self.next_chunk()?;
        }
        Ok(self.current.as_ref().and_then(|chunk| chunk.data().get(self.taken..)).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.taken += count;
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}
