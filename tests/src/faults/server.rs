//! The server: accepts, reads, asks rules and site, writes, and remembers what it saw.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use super::request::{Connection, Request, Wire};
use super::response::Response;
use super::rule::{Call, On, Rule};
use super::tls;

/// What a server is when no rule says otherwise.
pub trait Site: Send + Sync + 'static {
    /// Does what is asked for.
    fn answer(&self, request: &Request) -> Response;

    /// Told once where it is reached: `http://127.0.0.1:PORT`.
    fn at(&self, _origin: &str) {}
}

/// A site that gives the same answer to everything.
#[derive(Debug, Clone)]
pub struct Fixed(pub Response);

impl Site for Fixed {
    fn answer(&self, _: &Request) -> Response {
        self.0.clone()
    }
}

/// A request and what came of it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The request.
    pub request: Request,
    /// Status of the answer.
    pub status: u16,
    /// How many bytes of the answer's body were written. The client may have read fewer.
    pub sent: u64,
}

struct Shared<S> {
    site: S,
    rules: Mutex<Vec<Arc<Rule>>>,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    greeting: Option<Vec<u8>>,
    stop: AtomicBool,
}

/// A server that runs until it is dropped.
pub struct Server<S: Site = super::Registry> {
    shared: Arc<Shared<S>>,
    address: SocketAddr,
    scheme: &'static str,
    accepting: Option<JoinHandle<()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl<S: Site> Server<S> {
    /// A plain one.
    pub fn start(site: S) -> Self {
        Self::run(site, None, None, "127.0.0.1:0")
    }

    /// A plain one at this address, `[::1]:0`...
    pub fn start_at(site: S, address: &str) -> Self {
        Self::run(site, None, None, address)
    }

    /// One that speaks TLS.
    pub fn start_tls(site: S, tls: tls::Acceptor) -> Self {
        Self::run(site, Some(tls), None, "127.0.0.1:0")
    }

    /// One that says this as soon as the client has said anything, and nothing else.
    pub fn start_raw(site: S, greeting: impl Into<Vec<u8>>) -> Self {
        Self::run(site, None, Some(greeting.into()), "127.0.0.1:0")
    }

    fn run(site: S, tls: Option<tls::Acceptor>, greeting: Option<Vec<u8>>, address: &str) -> Self {
        let listener = TcpListener::bind(address).expect("a free port");
        let address = listener.local_addr().expect("own address");
        let scheme = if tls.is_some() { "https" } else { "http" };
        site.at(&format!("{scheme}://{address}"));
        let shared = Arc::new(Shared {
            site,
            rules: Mutex::default(),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            greeting,
            stop: AtomicBool::new(false),
        });
        let accepting = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared, tls.as_ref())
        });
        Self { shared, address, scheme, accepting: Some(accepting) }
    }

    /// Answers these requests so.
    pub fn on(&self, on: On, answer: impl Fn(&Call<'_>) -> Response + Send + Sync + 'static) {
        lock(&self.shared.rules).push(Arc::new(Rule::new(on, answer)));
    }

    /// What it is without rules.
    pub fn site(&self) -> &S {
        &self.shared.site
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `http://127.0.0.1:PORT`, or `https`.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// `origin/path`.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    /// An image of it as tools name it: `127.0.0.1:PORT/demo:1`.
    pub fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }

    /// Everything that was asked so far, in the order in which it came. An answer that is still being written is in it
    /// with what was written of it.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// Requests of this method whose target has `part` in it.
    pub fn seen_of(&self, method: &str, part: &str) -> Vec<Seen> {
        let mut seen = self.seen();
        seen.retain(|seen| seen.request.method == method && seen.request.target.contains(part));
        seen
    }

    /// `METHOD TARGET` of everything, for messages and comparisons.
    pub fn log(&self) -> Vec<String> {
        self.seen().iter().map(|seen| format!("{} {}", seen.request.method, seen.request.target)).collect()
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Bytes of bodies that were sent for targets with `part` in them.
    pub fn sent(&self, part: &str) -> u64 {
        self.seen().iter().filter(|seen| seen.request.target.contains(part)).map(|seen| seen.sent).sum()
    }

    /// Fails if a request carried credentials.
    #[track_caller]
    pub fn assert_no_credentials(&self) {
        for seen in self.seen() {
            for name in ["authorization", "proxy-authorization", "cookie"] {
                assert_eq!(seen.request.header(name), None, "{name} in {:?}", seen.request);
            }
        }
    }
}

impl<S: Site> Drop for Server<S> {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        TcpStream::connect(self.address).ok();
        if let Some(accepting) = self.accepting.take() {
            accepting.join().ok();
        }
        if std::thread::panicking() {
            for seen in self.seen() {
                let Seen { request, status, sent } = seen;
                let range = request.header("range").map(|range| format!(" [{range}]")).unwrap_or_default();
                eprintln!("{}: {} {}{range} -> {status}, {sent} B", self.address, request.method, request.target);
            }
        }
    }
}

fn accept<S: Site>(listener: &TcpListener, shared: &Shared<S>, tls: Option<&tls::Acceptor>) {
    std::thread::scope(|scope| {
        for stream in listener.incoming() {
            if shared.stop.load(Ordering::SeqCst) {
                break;
            }
            let Ok(stream) = stream else { continue };
            let number = shared.connections.fetch_add(1, Ordering::SeqCst);
            scope.spawn(move || serve(stream, number, shared, tls).ok());
        }
    });
}

/// One connection, to its end. Errors are the client's going away.
fn serve<S: Site>(stream: TcpStream, number: usize, shared: &Shared<S>, tls: Option<&tls::Acceptor>) -> io::Result<()> {
    let wire: Box<dyn Wire> = match tls {
        Some(acceptor) => Box::new(acceptor.accept(stream)?),
        None => Box::new(stream),
    };
    let mut connection = Connection::new(wire, &shared.stop)?;
    if let Some(greeting) = &shared.greeting {
        connection.write(greeting)?;
        connection.stall();
        return Ok(());
    }
    loop {
        let (mut request, framing) = match connection.head() {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let text = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                return connection.write(text.as_bytes());
            }
            Err(error) => return Err(error),
        };
        request.connection = number;
        let rule = lock(&shared.rules).clone().into_iter().find(|rule| rule.takes(&request));
        let early = rule.as_ref().and_then(|rule| rule.early());
        if early.is_none() && request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        request.body = connection.body(framing, early.unwrap_or(usize::MAX))?;
        // Written down before it is answered: a client that has its answer finds it here.
        let place = {
            let mut seen = lock(&shared.seen);
            seen.push(Seen { request: request.clone(), status: 0, sent: 0 });
            seen.len() - 1
        };
        let call = Call::new(&request, &shared.site);
        let response = rule.map_or_else(|| call.ordinary(), |rule| rule.answer(&call));
        lock(&shared.seen)[place].status = response.status;
        let mut sent = 0;
        let more = response.write(&mut connection, request.method == "HEAD", &mut sent);
        lock(&shared.seen)[place].sent = sent;
        let close = request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if !more? || early.is_some() || close {
            return Ok(());
        }
    }
}
