//! What each target does.

mod accounts;
mod challenge;
mod dockerfile;
mod dockerignore;
mod documents;
mod oci;
mod reference;
mod registries;
mod seccomp;
mod tar;

pub(crate) use accounts::PASSWD_GROUP;
pub(crate) use challenge::WWW_AUTHENTICATE;
pub(crate) use dockerfile::DOCKERFILE;
pub(crate) use dockerignore::DOCKERIGNORE;
pub(crate) use documents::{APPC_MANIFEST, MANIFEST_CONFIG};
pub(crate) use oci::OCI_CONFIG;
pub(crate) use reference::REFERENCE;
pub(crate) use registries::REGISTRIES_CONF;
pub(crate) use seccomp::SECCOMP_PROFILE;
pub(crate) use tar::TAR_EXTRACT;
