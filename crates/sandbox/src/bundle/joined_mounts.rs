//! A mount namespace that exists and that a container joins (runtime-spec, config-linux.md, "Namespaces").
//!
//! It gets the container's root: pivot_root(2) moves everybody in it who had the old one, and the old one is detached. So it
//! becomes the container's, and must not be one that the host or the caller lives in.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;

use ctr_sys::Errno;
use ctr_sys::process::Namespaces;

use crate::error::SandboxError;

/// Refuses a mount namespace among `joined` that is the caller's own or that of PID 1. What is open is compared: a path could
/// come to mean another.
pub(super) fn refuse_hosts(joined: &[(OwnedFd, Namespaces)]) -> Result<(), SandboxError> {
    let Some((namespace, _)) = joined.iter().find(|(_, kind)| *kind == Namespaces::MOUNT) else { return Ok(()) };
    let identity = |file: File| file.metadata().map(|facts| (facts.dev(), facts.ino()));
    let look = |path: &str, error: &std::io::Error| {
        let errno = error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw);
        SandboxError::host("look whose mount namespace linux.namespaces names", "stat", path.to_owned(), errno)
    };
    let given = namespace.try_clone().map(File::from).and_then(identity).map_err(|error| look("", &error))?;
    for (path, whose) in [("/proc/self/ns/mnt", "the runtime's own"), ("/proc/1/ns/mnt", "that of PID 1")] {
        match std::fs::metadata(path).map(|facts| (facts.dev(), facts.ino())) {
            Ok(known) if known == given => {
                return Err(SandboxError::request_hint(
                    format!("linux.namespaces: the mount namespace to join is {whose}, whose root would change"),
                    "leave the path out: the container gets a mount namespace of its own",
                ));
            }
            Err(error) if ctr_sys::ids::in_initial_user_namespace() => {
                return Err(look(path, &error).hinted("to look at PID 1 takes CAP_SYS_PTRACE"));
            }
            // Who has a user namespace alone can neither look at PID 1 nor join what belongs to the host (setns(2)).
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}
