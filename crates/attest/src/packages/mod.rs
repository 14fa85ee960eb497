//! Readers of the databases of package managers.

pub mod apk;
pub mod dpkg;
pub mod os_release;
pub mod python;
