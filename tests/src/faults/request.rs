//! Requests as they come off the wire.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often a blocked read or write looks whether the server is to end.
const TICK: Duration = Duration::from_millis(20);
/// Longest head of a request: the clients under test never come near.
const MAX_HEAD: usize = 256 * 1024;

/// One request.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Which connection it came by, counted from 0.
    pub connection: usize,
    /// `GET`...
    pub method: String,
    /// Path and query as they were sent.
    pub target: String,
    /// Names in lower case, values as they were sent.
    pub headers: Vec<(String, String)>,
    /// The body, as far as it was read.
    pub body: Vec<u8>,
}

impl Request {
    /// The first value of this header.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
    }

    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The first value of this key of the query, with `%XX` and `+` decoded.
    pub fn query(&self, key: &str) -> Option<String> {
        self.queries(key).into_iter().next()
    }

    /// Every value of this key of the query.
    pub fn queries(&self, key: &str) -> Vec<String> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        pairs(query).into_iter().filter(|(name, _)| name == key).map(|(_, value)| value).collect()
    }

    /// The first value of this key of a form in the body.
    pub fn form(&self, key: &str) -> Option<String> {
        pairs(&String::from_utf8_lossy(&self.body)).into_iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// User and password of HTTP Basic.
    pub fn basic(&self) -> Option<(String, String)> {
        use base64::Engine as _;
        let header = self.header("authorization")?;
        let (scheme, text) = header.split_once(' ')?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim()).ok()?;
        let (user, password) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
        scheme.eq_ignore_ascii_case("basic").then(|| (user.to_owned(), password.to_owned()))
    }

    /// The token of HTTP Bearer.
    pub fn bearer(&self) -> Option<String> {
        let header = self.header("authorization")?;
        let (scheme, token) = header.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    }
}

fn pairs(text: &str) -> Vec<(String, String)> {
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (decoded(name), decoded(value))
    };
    text.split('&').filter(|part| !part.is_empty()).map(pair).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
                continue;
            }
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(*first),
        }
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A plain or TLS connection.
pub(super) trait Wire: Read + Write + Send {
    /// The socket below.
    fn tcp(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Wire for rustls::StreamOwned<rustls::ServerConnection, TcpStream> {
    fn tcp(&self) -> &TcpStream {
        &self.sock
    }
}

/// One connection, whose reads and writes end when the server does.
pub(super) struct Connection<'a> {
    pub(super) wire: Box<dyn Wire>,
    buffer: Vec<u8>,
    stop: &'a AtomicBool,
}

/// How the body of a request is framed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Framing {
    Length(usize),
    Chunked,
}

impl<'a> Connection<'a> {
    pub(super) fn new(wire: Box<dyn Wire>, stop: &'a AtomicBool) -> io::Result<Self> {
        wire.tcp().set_read_timeout(Some(TICK))?;
        wire.tcp().set_write_timeout(Some(TICK))?;
        wire.tcp().set_nodelay(true)?;
        Ok(Self { wire, buffer: Vec::new(), stop })
    }

    fn keep_trying<T>(&mut self, mut attempt: impl FnMut(&mut dyn Wire) -> io::Result<T>) -> io::Result<T> {
        loop {
            match attempt(&mut *self.wire) {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if self.stop.load(Ordering::Relaxed) {
                        return Err(error);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Reads more into the buffer; 0 at the end.
    fn fill(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 16 * 1024];
        let count = self.keep_trying(|wire| wire.read(&mut chunk))?;
        self.buffer.extend_from_slice(&chunk[..count]);
        Ok(count)
    }

    /// Writes all of it.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = self.keep_trying(|wire| wire.write(bytes))?;
            bytes = &bytes[count..];
        }
        self.keep_trying(|wire| wire.flush())
    }

    /// Waits until the client goes away or the server ends.
    pub(super) fn stall(&mut self) {
        while self.fill().is_ok_and(|count| count > 0) {}
    }

    /// Whether the server is to end.
    pub(super) fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The head of the next request; `None` at the end of the connection, an error for what is not HTTP.
    pub(super) fn head(&mut self) -> io::Result<Option<(Request, Framing)>> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            // What a TLS client says first to a plain server.
            if self.buffer.first() == Some(&0x16) || self.buffer.len() > MAX_HEAD {
                return Err(ErrorKind::InvalidData.into());
            }
            if self.fill()? == 0 {
                return Ok(None);
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target), Some("HTTP/1.1")) = (words.next(), words.next(), words.next()) else {
            return Err(ErrorKind::InvalidData.into());
        };
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let request = Request { method: method.to_owned(), target: target.to_owned(), headers, ..Request::default() };
        let chunked = request.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        let length = request.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        Ok(Some((request, if chunked { Framing::Chunked } else { Framing::Length(length) })))
    }

    /// The body of a request, or its first `limit` bytes.
    pub(super) fn body(&mut self, framing: Framing, limit: usize) -> io::Result<Vec<u8>> {
        match framing {
            Framing::Length(length) => self.take(length.min(limit)),
            Framing::Chunked => {
                let mut body = Vec::new();
                while body.len() < limit {
                    let line = self.line()?;
                    let size = usize::from_str_radix(line.trim(), 16).map_err(|_| ErrorKind::InvalidData)?;
                    body.extend(self.take(size)?);
                    self.line()?;
                    if size == 0 {
                        break;
                    }
                }
                body.truncate(limit);
                Ok(body)
            }
        }
    }

    fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < count {
            if self.fill()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.buffer.drain(..count).collect())
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|two| two == b"\r\n") {
                let line = self.buffer.drain(..at + 2).collect::<Vec<u8>>();
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            if self.fill()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
