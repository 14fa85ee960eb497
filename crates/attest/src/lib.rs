//! What an image consists of, and what must not be in it.
//!
//! [`scan`] finds packages in a tree by reading the databases of package managers; nothing of the image is executed. [`spdx`] and
//! [`cyclonedx`] write them as bills of materials. [`provenance`] tells how
//! an image was made, [`attach`] how the documents are stored with it. [`secret_scan`] finds secrets in a stream of bytes.
//!
//! All of the tree is foreign: files have a greatest size, symbolic links lead nowhere out of the tree, and what is no database of
//! packages is passed over line by line.
#![forbid(unsafe_code)]

pub mod attach;
pub mod cyclonedx;
pub mod inventory;
mod moment;
pub mod packages;
pub mod provenance;
pub mod purl;
mod read;
pub mod secret_scan;
pub mod spdx;

pub use inventory::{AttestError, FILE_MAX, Inventory, PACKAGES_MAX, Package, RPM_DATABASE_MAX, Subject, scan};
