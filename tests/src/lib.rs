//! What the end-to-end tests share: images, roots, the crash injector, the checks.
#![forbid(unsafe_code)]

pub mod bins;
pub mod crash;
pub mod image_files;
pub mod images;
pub mod leaks;
pub mod oci;
pub mod powerloss;
pub mod schema;
pub mod scratch;
pub mod skip;
pub mod store_check;
pub mod tarball;
pub mod trace;
pub mod tree;
pub mod users;
pub mod vectors;
