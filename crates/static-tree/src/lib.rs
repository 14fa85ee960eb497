//! A registry that is only files (spec/10-registry.md "Static registries"): directories that a plain web server, an object store
//! or any file server hands out as `/v2/`.
//!
//! ```text
//! ROOT/v2/index.json                       {}
//! ROOT/v2/NAME/manifests/sha256:HEX        every manifest and index, raw bytes
//! ROOT/v2/NAME/manifests/TAG               -> sha256:HEX
//! ROOT/v2/NAME/indexes/sha256:HEX | TAG    -> ../manifests/sha256:HEX     those that are image indexes
//! ROOT/v2/NAME/docker-manifests/...        those of Docker's schema 2, docker-lists/ its manifest lists
//! ROOT/v2/NAME/blobs/sha256:HEX
//! ROOT/v2/NAME/tags/list
//! ROOT/v2/NAME/referrers/sha256:HEX        an image index
//! ROOT/.ctr/                               locks and files that are being written; nobody serves it
//! ```
//!
//! The path of a request is the path of a file, so a server without any configuration serves `ctr-fetch`. Other clients want the
//! media type in a header: the directories beside `manifests` tell [`nginx`] which one.
//!
//! Files named by a digest never change. A tag moves by one rename, after all that it leads to is on the disk. Whoever is killed in
//! between leaves what was served before, and files that nothing names.
#![forbid(unsafe_code)]

mod dir;
mod error;
mod kind;
mod name;
mod nginx;
mod referrers;
mod remove;
mod tree;
mod writer;

pub use error::TreeError;
pub use name::Name;
pub use nginx::nginx;
pub use remove::{Removed, What};
pub use tree::Tree;
pub use writer::Writer;

#[cfg(test)]
mod tree_tests;
