//! Where things lie in the source tree.

use std::path::{Path, PathBuf};

/// Every binary that the project ships.
pub(crate) const BINARIES: &[&str] = &[
    "ctr-attach",
    "ctr-build",
    "ctr-exec",
    "ctr-fetch",
    "ctr-gc",
    "ctr-image",
    "ctr-login",
    "ctr-logs",
    "ctr-oci",
    "ctr-ps",
    "ctr-push",
    "ctr-rm",
    "ctr-run",
    "ctr-stop",
    "ctr-volume",
];

/// The top of the workspace.
pub(crate) fn top() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// The build directory.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => top().join(directory),
        None => top().join("target"),
    }
}
