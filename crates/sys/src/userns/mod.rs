//! User namespaces (user_namespaces(7)): the one in which an ordinary user's store lives, and those of containers.

mod create;
mod storage;

pub use create::{create, current_maps, maps_of};
pub use storage::{StorageMap, enter_storage_map, hint};
