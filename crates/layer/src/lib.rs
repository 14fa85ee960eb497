//! The archive side of ctr: layers to trees and back, codecs, the `.aci` envelope.
#![forbid(unsafe_code)]

pub mod archive;
pub mod codec;
pub mod dialect;
mod error;
pub mod install;
pub mod limits;
pub mod listing;
pub mod pack;
mod path;
pub mod pipeline;
pub mod tar;
pub mod unpack;

pub use dialect::OVERRIDE_STAT;
pub use error::{ArchiveFault, EntryFault, LayerError, Result};
