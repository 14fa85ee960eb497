//! A registry that misbehaves on demand: an HTTP/1.1 server in this process, on a free port of 127.0.0.1.
//!
//! Without rules it is an ordinary registry of the distribution specification (pull and push), and with
//! [`Guard`] one that wants credentials. A rule changes the answer to some requests; a test then asserts what the client
//! said, what it kept, and what it asked for:
//!
//! ```no_run
//! use ctr_tests::faults::{On, Registry, Response, Server, sample};
//! use ctr_tests::scratch::Root;
//!
//! let image = sample();
//! let server = Server::start(Registry::with("demo", "1", image.layout()));
//! // The first GET of the big layer ends after 1000 bytes, the second is asked to come later.
//! server.on(On::get(image.big()).first(1), |call| call.ordinary().cut(1000));
//! server.on(On::get(image.big()).nth(2), |_| Response::new(503).header("Retry-After", "0"));
//!
//! let root = Root::new();
//! root.ctr("fetch").arg(server.name("demo:1")).ok();
//! let ranges: Vec<_> = server.seen_of("GET", image.big()).iter().map(|seen| seen.request.header("range")).collect();
//! assert_eq!(ranges, [None, Some("bytes=1000-".into()), Some("bytes=1000-".into())]);
//! assert!(server.seen().iter().all(|seen| seen.request.header("authorization").is_none()));
//! ```
//!
//! `call.ordinary()` does what the request asks for (a PUT stores its blob); a rule that answers without it refuses.
//! Rules are tried in the order in which they were added. [`Server::start_tls`] speaks TLS with a certificate of [`tls`].
//! A second server ([`Tokens`], [`Fixed`], another [`Registry`]) is the other host of redirects and realms.

mod registry;
mod request;
mod response;
mod rule;
mod sample;
mod scene;
mod server;
pub mod tls;
mod tokens;
mod uploads;

pub use registry::{Registry, error};
pub use request::Request;
pub use response::Response;
pub use rule::{Call, On};
pub use sample::{Sample, sample};
pub use scene::{HASTY, PATIENT, Scene};
pub use server::{Fixed, Seen, Server, Site};
pub use tokens::{Guard, Tokens};
