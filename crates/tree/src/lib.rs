//! Trees that images are built of: a directory of the host (the build context), or the layers of an image seen as one.
//!
//! Reading a tree needs no privilege, no mount and no copy: the layers' directories are looked up one over the other, as an
//! overlay mount would show them.
#![forbid(unsafe_code)]

pub mod path;
pub mod tree;

pub use path::TreePath;
pub use tree::{Kind, Meta, Tree, TreeError};
