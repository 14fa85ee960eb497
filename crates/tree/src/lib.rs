//! Trees that images are built of: a directory of the host (the build context), or the layers of an image seen as one.
//!
//! Reading a tree needs no privilege, no mount and no copy: the layers' directories are looked up one over the other, as an
//! overlay mount would show them.
#![forbid(unsafe_code)]

mod beneath;
pub mod changes;
pub mod chmod;
pub mod copy;
pub mod digest;
pub mod glob;
pub mod host;
pub mod layers;
mod listing;
mod merkle;
mod parallel;
pub mod path;
pub mod remember;
pub mod resolve;
pub mod select;
pub mod stat_cache;
pub mod tree;

pub use host::HostDir;
pub use layers::{Empty, Layers};
pub use path::TreePath;
pub use remember::Remembered;
pub use resolve::{Resolved, resolve, resolve_parent};
pub use tree::{Attributes, Kind, Meta, Tree, TreeError};
