//! What is mounted in the container, in which order, and what is hidden there.

use ctr_core::launch::LaunchRecord;
use serde::Serialize;

use super::volumes::{self, BindPlan, OwnIds};
use super::{HostFacts, UsernsMode, UsernsPlan};
use crate::error::SandboxError;
use crate::options::{Atime, RunOptions, ShmChoice, Source};

/// Bytes of `/dev/shm`, as the field has it.
const SHM_SIZE: u64 = 64 << 20;

/// A mount of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is an attribute of mount_setattr(2)")]
pub struct PlannedMount {
    /// Where in the container.
    pub target: String,
    /// What is seen there.
    #[serde(flatten)]
    pub shown: Shown,
    /// Read-only.
    pub read_only: bool,
    /// Set-user-ID bits are ignored.
    pub nosuid: bool,
    /// Device nodes cannot be opened.
    pub nodev: bool,
    /// Programs cannot be executed.
    pub noexec: bool,
    /// When access times are written, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub atime: Option<Atime>,
    /// Access times of directories are not written.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub nodiratime: bool,
    /// Symbolic links are not followed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub nosymfollow: bool,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Shown {
    /// procfs of the container's PID namespace.
    Proc,
    /// sysfs of the container's network namespace.
    Sysfs,
    /// The host's sysfs, where the container may not mount one: it is in the host's network but not in its user namespace.
    HostSys {
        /// With the mounts below it, which an ordinary user cannot leave out.
        recursive: bool,
    },
    /// The host's procfs, where the container is among the host's processes but not in its user namespace.
    HostProc {
        /// With the mounts below it, which an ordinary user cannot leave out.
        recursive: bool,
    },
    /// A directory below the host's `/dev` that belongs to the IPC namespace that the container shares with it.
    HostDir {
        /// Its path there.
        source: &'static str,
    },
    /// A fresh tmpfs with ctr's own device nodes.
    Dev,
    /// Pseudo terminals of its own.
    Devpts,
    /// POSIX message queues of its own.
    Mqueue,
    /// The control groups from its own one down (cgroup v2).
    Cgroup2,
    /// Memory.
    Tmpfs(TmpfsPlan),
    /// A file or directory of the host.
    Bind(BindPlan),
    /// A named volume of the store.
    Volume {
        /// Its name.
        name: String,
        /// It gets what the image has there while it is empty.
        copy: bool,
        /// Its directory.
        #[serde(flatten)]
        bind: BindPlan,
    },
    /// A directory of the container's own, which goes with it.
    Anonymous {
        /// Its name in the container's directory, below `volumes`.
        directory: String,
        /// It gets what the image has there.
        copy: bool,
    },
    /// The root filesystem of another image.
    Image(volumes::ImagePlan),
    /// A file that ctr wrote into the container's directory.
    Generated {
        /// Its name there.
        file: &'static str,
    },
}

/// A tmpfs of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TmpfsPlan {
    /// Bytes, if limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Files and directories, if limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inodes: Option<u64>,
    /// Mode of its root.
    pub mode: u32,
    /// Owner of its root.
    pub uid: u32,
    /// Group of its root.
    pub gid: u32,
    /// It begins with what the image has there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub copy_up: bool,
}

pub(super) fn plan(
    image: &LaunchRecord,
    options: &RunOptions,
    host: &HostFacts,
    userns: &UsernsPlan,
) -> Result<Vec<PlannedMount>, SandboxError> {
    let privileged = options.security.privileged;
    let (sources, recursive) = (&options.namespaces, !userns.idmapped);
    // A kernel file system can be mounted only by who is root over the namespace that it shows.
    let joins_userns = userns.mode == UsernsMode::Container;
    let foreign = |source: &Source| match source {
        Source::Own => false,
        Source::Container(_) => userns.is_own() && !joins_userns,
        Source::Host | Source::Path(_) => userns.is_own(),
    };
    let sys = if foreign(&sources.network) { Shown::HostSys { recursive } } else { Shown::Sysfs };
    let proc = if foreign(&sources.pid) { Shown::HostProc { recursive } } else { Shown::Proc };

    let ids = match (userns.is_own(), userns.idmapped) {
        (false, _) => OwnIds::Host,
        (true, true) => OwnIds::Mapped,
        (true, false) => OwnIds::Domain,
    };
    let mut mounts = vec![
        kernel("/proc", proc, false, true, true),
        // With the host's network the sysfs would show the host's interfaces, and is the host's: read-only in both cases.
        kernel("/sys", sys, !privileged, true, true),
        kernel("/dev", Shown::Dev, false, true, false),
        kernel("/dev/pts", Shown::Devpts, false, true, false),
    ];
    mounts.extend(shared_memory(&sources.ipc, options.filesystem.shm)?);
    match sources.ipc {
        Source::Host if userns.is_own() => {
            mounts.push(kernel("/dev/mqueue", Shown::HostDir { source: "/dev/mqueue" }, false, true, true));
        }
        // Queues of a namespace that the container is not root over cannot be shown; their system calls work.
        ref source if foreign(source) => {}
        _ => mounts.push(kernel("/dev/mqueue", Shown::Mqueue, false, true, true)),
    }
    if host.cgroups.unified.as_ref().is_some_and(|unified| unified.pure) {
        let writable = privileged || options.limits.delegate;
        mounts.push(kernel("/sys/fs/cgroup", Shown::Cgroup2, !writable, true, true));
    }
    let generated = |target: &str, file: &'static str| kernel(target, Shown::Generated { file }, false, true, true);
    if !options.namespaces.no_hosts {
        mounts.push(generated("/etc/hosts", "hosts"));
    }
    mounts.push(generated("/etc/hostname", "hostname"));
    if options.namespaces.network == Source::Host || !options.namespaces.dns.is_empty() {
        mounts.push(generated("/etc/resolv.conf", "resolv.conf"));
    }
    if options.kernel.timezone.is_some() {
        mounts.push(generated("/etc/localtime", "localtime"));
    }
    let asked = volumes::plan(image, options, host, ids)?;
    for mount in &asked {
        // What the caller mounts on the place of one of ours replaces it.
        mounts.retain(|ours| {
            ours.target != mount.target || !matches!(ours.shown, Shown::Generated { .. } | Shown::Tmpfs(_))
        });
    }
    mounts.extend(asked);
    Ok(mounts)
}

/// A mount of ours.
fn kernel(target: &str, shown: Shown, read_only: bool, noexec: bool, nodev: bool) -> PlannedMount {
    PlannedMount {
        target: target.to_owned(),
        shown,
        read_only,
        nosuid: true,
        nodev,
        noexec,
        atime: None,
        nodiratime: false,
        nosymfollow: false,
    }
}

fn shared_memory(ipc: &Source, choice: ShmChoice) -> Result<Option<PlannedMount>, SandboxError> {
    let size = match (ipc, choice) {
        (Source::Host, ShmChoice::Default) => {
            return Ok(Some(kernel("/dev/shm", Shown::HostDir { source: "/dev/shm" }, false, true, true)));
        }
        (Source::Host, _) => {
            return Err(SandboxError::request_hint(
                "--shm-size is the size of the container's own /dev/shm, and with --ipc=host it has the host's",
                "leave one of the two out",
            ));
        }
        (_, ShmChoice::None) => return Ok(None),
        (_, ShmChoice::Default) => SHM_SIZE,
        (_, ShmChoice::Size(size)) => size,
    };
    let shm = TmpfsPlan { size: Some(size), inodes: None, mode: 0o1777, uid: 0, gid: 0, copy_up: false };
    Ok(Some(kernel("/dev/shm", Shown::Tmpfs(shm), false, true, true)))
}

/// An absolute path without `.` and doubled slashes; `..` is an error.
pub(super) fn normal_path(target: &str) -> Result<String, SandboxError> {
    if !target.starts_with('/') || target.contains('\0') {
        return Err(SandboxError::request(format!("the mount point \"{target}\" is not an absolute path")));
    }
    let parts: Vec<&str> = target.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return Err(SandboxError::request(format!("the mount point \"{target}\" has \"..\" in it")));
    }
    Ok(format!("/{}", parts.join("/")))
}

/// [`normal_path`] that is neither the root nor one of the kernel's mounts, nor a name of ours in `/dev`.
pub(super) fn normal_target(target: &str) -> Result<String, SandboxError> {
    let path = normal_path(target)?;
    let kernel = ["/proc", "/sys"].iter().any(|own| path == *own || path.starts_with(&format!("{own}/")));
    let device = path.strip_prefix("/dev/").and_then(|name| name.split('/').next()).is_some_and(super::devices::is_own);
    if path == "/" || path == "/dev" || kernel || (device && path != "/dev/shm" && !path.starts_with("/dev/shm/")) {
        return Err(SandboxError::request(format!("nothing can be mounted on {path}: it belongs to ctr")));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_made_normal_or_refused() {
        assert_eq!(normal_target("/a//b/./c/").unwrap(), "/a/b/c");
        assert_eq!(normal_target("/dev/shm").unwrap(), "/dev/shm");
        assert_eq!(normal_target("/dev/log").unwrap(), "/dev/log");
        assert_eq!(normal_target("/process").unwrap(), "/process");
        for bad in [
            "",
            "a",
            "/",
            "//",
            "/./",
            "/a/../b",
            "/proc",
            "/proc/sys",
            "/sys/x",
            "/dev",
            "/dev/pts",
            "/dev/pts/0",
            "/dev/null",
            "/dev/fd/3",
            "/dev//stdin",
        ] {
            assert!(normal_target(bad).is_err(), "{bad}");
        }
    }
}
