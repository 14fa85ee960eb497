//! A tmpfs that begins with what the root filesystem has at its place (`tmpcopyup`).

use std::ffi::CString;
use std::os::fd::OwnedFd;

use super::ids::Ids;
use super::plan::{Bundle, BundleMount};
use crate::error::SandboxError;

/// The tmpfs, filled.
pub(super) fn tmpfs(
    _bundle: &Bundle,
    _mount: &BundleMount,
    _options: &[(CString, CString)],
    _ids: &Ids,
) -> Result<OwnedFd, SandboxError> {
    Err(SandboxError::request("the option tmpcopyup is not known"))
}
