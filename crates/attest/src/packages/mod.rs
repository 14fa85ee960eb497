//! Readers of the databases of package managers, and of lock files.

pub mod apk;
pub mod dpkg;
pub mod locks;
pub mod os_release;
pub mod python;
pub mod rpm;
