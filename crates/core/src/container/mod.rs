//! Container directories: creation, names, lookup, liveness (spec/06-lifecycle.md).
//!
//! ```text
//! R/containers/embryo/ID     being made; its owner holds the lock
//! R/containers/prepared/ID   made, not started
//! R/containers/run/ID        started; "exited" is in run/ and dead
//! R/containers/garbage/ID    being removed
//! R/containers/names/NAME    symbolic link to ID, taken by an exclusive symlink(2)
//! ```
//! A transition is a rename. The directory of a container holds `container.json`, `process`, `lock`, `exit`, the log
//! files and the overlay's `upper` and `work`.

mod dir;
mod error;
mod exit;
pub mod groups;
pub mod log;
mod record;
mod salvage;
mod select;
mod status;

pub use dir::{Container, Containers, Embryo, Place, delete, root_hash};
pub use error::ContainerError;
pub use exit::{EXIT_RECORD_MAX, ExitRecord, ExitStatus};
pub use record::{
    ContainerRecord, ImageRecord, IsolationRecord, LogMode, MountedImageRecord, ProcessRecord, RECORD_VERSION,
};
pub use select::{Filter, LabelFilter, Selection};
pub use status::{State, Status};
