//! Answers, and how their writing goes wrong.

use std::io;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

use super::request::Connection;

/// Close at once, with RST.
const NO_LINGER: nix::libc::linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };

/// What follows the place where an answer breaks off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Close,
    Reset,
    Stall,
}

/// Where an answer breaks off.
#[derive(Debug, Clone, Copy)]
enum At {
    Start,
    Headers,
    Body(usize),
}

/// How the length of the body is told.
#[derive(Debug, Clone, Copy)]
enum Framing {
    Length,
    Claimed(u64),
    Chunked,
    Close,
}

/// One answer. Without further words it is written whole and the connection stays open.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Headers in the order in which they are written.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, which an answer to HEAD leaves out.
    pub body: Vec<u8>,
    framing: Framing,
    breaks: Option<(At, End)>,
    drip: Option<(usize, Duration)>,
    pace: Duration,
    endless: bool,
    interim: Vec<u16>,
}

impl Response {
    /// An empty one.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            framing: Framing::Length,
            breaks: None,
            drip: None,
            pace: Duration::ZERO,
            endless: false,
            interim: Vec::new(),
        }
    }

    /// Adds a header.
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.and_header(name, value.as_ref())
    }

    fn and_header(mut self, name: &str, value: &[u8]) -> Self {
        self.headers.push((name.to_owned(), value.to_vec()));
        self
    }

    /// Takes a header away.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
        self
    }

    /// Replaces a header.
    pub fn with(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).header(name, value)
    }

    /// Replaces the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the status.
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Turns a bit of the body's byte at `at`.
    pub fn flip(mut self, at: usize) -> Self {
        self.body[at] ^= 1;
        self
    }

    /// Closes the connection after `count` bytes of the body.
    pub fn cut(self, count: usize) -> Self {
        self.breaking(At::Body(count), End::Close)
    }

    /// Resets the connection (RST) after `count` bytes of the body.
    pub fn reset(self, count: usize) -> Self {
        self.breaking(At::Body(count), End::Reset)
    }

    /// Says nothing more after `count` bytes of the body, and stays.
    pub fn stall(self, count: usize) -> Self {
        self.breaking(At::Body(count), End::Stall)
    }

    /// Says nothing at all, and stays.
    pub fn stall_before(self) -> Self {
        self.breaking(At::Start, End::Stall)
    }

    /// Stops in the middle of the headers, and stays.
    pub fn stall_in_headers(self) -> Self {
        self.breaking(At::Headers, End::Stall)
    }

    /// Closes the connection without an answer: what was asked for is done, but nobody hears of it.
    pub fn lost(self) -> Self {
        self.breaking(At::Start, End::Close)
    }

    /// Resets the connection without an answer.
    pub fn reset_before(self) -> Self {
        self.breaking(At::Start, End::Reset)
    }

    fn breaking(mut self, at: At, end: End) -> Self {
        self.breaks = Some((at, end));
        self
    }

    /// Waits before each piece (16 KiB) of the body: there is time to be killed.
    pub fn paced(mut self, pause: Duration) -> Self {
        self.pace = pause;
        self
    }

    /// From byte `from` of the body on, one byte each `pause`.
    pub fn drip(mut self, from: usize, pause: Duration) -> Self {
        self.drip = Some((from, pause));
        self
    }

    /// After the body comes more, without an end, and no length is told (chunked).
    pub fn endless(mut self) -> Self {
        self.endless = true;
        self.chunked()
    }

    /// Sends the body in chunks.
    pub fn chunked(mut self) -> Self {
        self.framing = Framing::Chunked;
        self
    }

    /// Sends the body without a length; the end of the connection ends it.
    pub fn until_close(mut self) -> Self {
        self.framing = Framing::Close;
        self
    }

    /// Claims this length, whatever the body has.
    pub fn claim(mut self, length: u64) -> Self {
        self.framing = Framing::Claimed(length);
        self
    }

    /// An answer of this status (1xx) goes before.
    pub fn after_interim(mut self, status: u16) -> Self {
        self.interim.push(status);
        self
    }

    /// Writes it. Returns whether the connection can go on; `sent` counts bytes of the body.
    pub(super) fn write(&self, to: &mut Connection<'_>, head_only: bool, sent: &mut u64) -> io::Result<bool> {
        if let Some((At::Start, end)) = self.breaks {
            return Self::end(to, end);
        }
        for status in &self.interim {
            to.write(format!("HTTP/1.1 {status} Interim\r\n\r\n").as_bytes())?;
        }
        let head = self.head();
        if let Some((At::Headers, end)) = self.breaks {
            to.write(&head[..head.len() / 2])?;
            return Self::end(to, end);
        }
        to.write(&head)?;
        if head_only || matches!(self.status, 204 | 304) {
            return Ok(true);
        }
        let upto = match self.breaks {
            Some((At::Body(count), _)) => count.min(self.body.len()),
            _ => self.body.len(),
        };
        let dripping = self.drip.map_or(upto, |(from, _)| from.min(upto));
        // In pieces, so that what a client that goes away has been sent is known nearly.
        for piece in self.body[..dripping].chunks(16 * 1024) {
            std::thread::sleep(self.pace);
            self.piece(to, piece, sent)?;
        }
        if let Some((_, pause)) = self.drip {
            for byte in &self.body[dripping..upto] {
                std::thread::sleep(pause);
                self.piece(to, &[*byte], sent)?;
            }
        }
        if let Some((At::Body(_), end)) = self.breaks {
            return Self::end(to, end);
        }
        while self.endless && !to.stopping() {
            self.piece(to, &[b'x'; 16 * 1024], sent)?;
        }
        match self.framing {
            Framing::Length => Ok(true),
            Framing::Chunked => to.write(b"0\r\n\r\n").map(|()| true),
            Framing::Claimed(_) | Framing::Close => Ok(false),
        }
    }

    fn piece(&self, to: &mut Connection<'_>, bytes: &[u8], sent: &mut u64) -> io::Result<()> {
        if matches!(self.framing, Framing::Chunked) {
            to.write(&[format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat())?;
        } else {
            to.write(bytes)?;
        }
        *sent += bytes.len() as u64;
        Ok(())
    }

    fn head(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} Fault\r\n", self.status).into_bytes();
        for (name, value) in &self.headers {
            head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        let framing = match self.framing {
            Framing::Length if matches!(self.status, 204 | 304) => String::new(),
            Framing::Length if self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) => {
                String::new()
            }
            Framing::Length => format!("Content-Length: {}\r\n", self.body.len()),
            Framing::Claimed(length) => format!("Content-Length: {length}\r\n"),
            Framing::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
            Framing::Close => "Connection: close\r\n".to_owned(),
        };
        head.extend(framing.as_bytes());
        head.extend(b"\r\n");
        head
    }

    fn end(to: &mut Connection<'_>, end: End) -> io::Result<bool> {
        match end {
            End::Close => {}
            End::Stall => to.stall(),
            // A socket that is closed with this lingering time of nothing sends RST (socket(7)).
            End::Reset => setsockopt(to.wire.tcp(), sockopt::Linger, &NO_LINGER)?,
        }
        Ok(false)
    }
}
