//! A group that is handed to the container: one below its own, so that the limits stay with the host.
//!
//! ```text
//! ctr/ROOTHASH/ID            limits, device rules; the host's
//! ctr/ROOTHASH/ID/payload    born here; the root of the container's cgroup namespace, owned by the container's root
//! ```

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use super::cgroup::{failed, make_dir, write};
use crate::error::SandboxError;

/// The name of the group.
const PAYLOAD: &str = "payload";
/// What delegation hands over (Linux, Documentation/admin-guide/cgroup-v2.rst, "Model of Delegation").
const FILES: [&str; 4] = ["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"];
/// Groups that a container can make (spec/limits.md): kernel memory of the host, and work for who removes them.
const GROUPS_MAX: u32 = 1024;
/// Levels of them.
const DEPTH_MAX: u32 = 32;

/// Makes the group in `dir` with every controller that `dir` has, owned by `owner`.
pub(super) fn payload(dir: &Path, owner: (u32, u32)) -> Result<PathBuf, SandboxError> {
    let set = |file: &str, value: String| {
        let path = dir.join(file);
        write(&path, &value).map_err(|error| failed("bound the groups of the container", "write", &path, &error))
    };
    set("cgroup.max.descendants", GROUPS_MAX.to_string())?;
    set("cgroup.max.depth", DEPTH_MAX.to_string())?;
    let controllers = fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
    for controller in controllers.split_ascii_whitespace() {
        // Each by itself: one that cannot be handed on (cpu, with realtime processes about) takes no other with it.
        let _ = write(&dir.join("cgroup.subtree_control"), &format!("+{controller}"));
    }
    let payload = dir.join(PAYLOAD);
    make_dir(&payload).map_err(|error| failed("make the control group", "mkdir", &payload, &error))?;
    for file in FILES {
        let path = if file.is_empty() { payload.clone() } else { payload.join(file) };
        chown(&path, Some(owner.0), Some(owner.1))
            .map_err(|error| failed("hand over the control group", "chown", &path, &error))?;
    }
    Ok(payload)
}
