//! A blocking client of OCI registries (distribution-spec 1.1). It knows no store and prints nothing.
//!
//! From the bottom up: [`url`] (who gets what is sent), [`http`] (redirects, retries, caps), `tls` (certificates), [`Repository`]
//! (one method for each request of the specification). [`config`] says which registries a name leads to.
#![forbid(unsafe_code)]

pub mod appc;
pub mod args;
pub mod auth;
mod client;
pub mod config;
pub mod discover;
pub mod error;
pub mod http;
pub mod layout;
mod place;
pub mod policy;
mod referrers;
mod tls;
mod upload;
pub mod url;

pub use client::{BlobBody, Head, RawManifest, Repository, foreign_blob};
pub use error::RegistryError;
pub use place::{Client, Place, Verified};
pub use referrers::Referrer;
pub use upload::{Content, Entry, Mount, Offered, Outgoing, Pusher, Put};
