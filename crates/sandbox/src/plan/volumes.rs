//! Volumes, tmpfs and images that were asked for, and the volumes that the image declares.

use ctr_core::digest::Digest;
use ctr_core::launch::{LaunchRecord, LayerId};
use serde::{Serialize, Serializer};

use super::mounts::{PlannedMount, Shown, TmpfsPlan, normal_target};
use super::{HostFacts, ProcessPlan, UsernsPlan};
use crate::error::SandboxError;
use crate::options::{MountFlags, MountKind, MountRequest, PropagationKind, RunOptions};

/// How ids of a volume's files become ids of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnIds {
    /// They are the same: no user namespace.
    Host,
    /// A mapped copy of the mount makes them the same.
    Mapped,
    /// Those of the namespace that ctr runs in, and nothing can be mapped (ordinary user, nested).
    Domain,
}

/// A bind mount of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is told to who reads the plan")]
pub struct BindPlan {
    /// The path on the host.
    pub source: String,
    /// With the mounts below it.
    pub recursive: bool,
    /// Mounts that appear later.
    #[serde(serialize_with = "propagation")]
    pub propagation: PropagationKind,
    /// Ids are those on the disk, whatever the container's are outside.
    pub idmap: bool,
    /// The mounts below stay writable.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub writable_below: bool,
    /// Shown through an overlay that has nothing to write to, because the container could take the read-only attribute of a
    /// mount away.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sealed: bool,
    /// What the host's own mount must not take away, because it was asked for.
    #[serde(skip)]
    pub asked: Asked,
}

impl BindPlan {
    /// The host's directory `source`, private, with the ids as they are.
    pub(crate) fn plain(source: &str, recursive: bool) -> Self {
        Self {
            source: source.to_owned(),
            recursive,
            propagation: PropagationKind::Private,
            idmap: false,
            writable_below: false,
            sealed: false,
            asked: Asked::default(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it")]
fn propagation<S: Serializer>(request: &PropagationKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(request.name())
}

/// Options that were given by name and that the host's mount may stand against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// `rw`.
    pub writable: bool,
    /// `exec`.
    pub exec: bool,
    /// `suid`.
    pub suid: bool,
}

/// Another image as a mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImagePlan {
    /// As it was named.
    pub image: String,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Its layer directories, lowest first.
    pub layers: Vec<LayerId>,
    /// The directory of what the container writes there, below `images` in the container's directory.
    pub directory: String,
}

/// All mounts that were asked for, those further up first, after those that the image declares.
pub(super) fn plan(
    image: &LaunchRecord,
    options: &RunOptions,
    host: &HostFacts,
    ids: OwnIds,
) -> Result<Vec<PlannedMount>, SandboxError> {
    let mut mounts = Vec::new();
    for (number, request) in options.filesystem.mounts.iter().enumerate() {
        mounts.push(requested(request, number, host, ids)?);
    }
    if !options.filesystem.no_image_volumes {
        for (number, path) in image.volumes.iter().enumerate() {
            let target = normal_target(path).map_err(|error| {
                SandboxError::request_hint(
                    format!("the image declares a volume that cannot be: {error}"),
                    "start it with --no-image-volumes",
                )
            })?;
            if !mounts.iter().any(|mount| mount.target == target) {
                let shown = Shown::Anonymous { directory: format!("image-{number}"), copy: true };
                mounts.push(mount(target, shown, &MountFlags { exec: Some(true), ..MountFlags::default() }));
            }
        }
    }
    // Whoever asks for /a/b and then for /a does not want to hide /a/b.
    mounts.sort_by_key(|mount| mount.target.matches('/').count());
    Ok(mounts)
}

fn mount(target: String, shown: Shown, flags: &MountFlags) -> PlannedMount {
    let memory = matches!(shown, Shown::Tmpfs(_));
    PlannedMount {
        target,
        shown,
        read_only: flags.read_only.unwrap_or(false),
        nosuid: !flags.suid,
        nodev: true,
        noexec: !flags.exec.unwrap_or(!memory),
        atime: flags.atime,
        nodiratime: flags.nodiratime,
        nosymfollow: flags.nosymfollow,
    }
}

fn requested(
    request: &MountRequest,
    number: usize,
    host: &HostFacts,
    ids: OwnIds,
) -> Result<PlannedMount, SandboxError> {
    let target = normal_target(&request.target)?;
    let flags = &request.flags;
    let shown = match &request.kind {
        MountKind::Bind { source, recursive } => {
            let Some(source) = source.to_str() else {
                return Err(SandboxError::request(format!("the volume's source {} is not UTF-8", source.display())));
            };
            Shown::Bind(bind(source, *recursive, flags, ids)?)
        }
        MountKind::Volume { name: Some(name), copy } => {
            let source = format!("{}/volumes/{name}/data", host.root);
            Shown::Volume { name: name.clone(), copy: *copy, bind: bind(&source, false, flags, ids)? }
        }
        MountKind::Volume { name: None, copy } => {
            Shown::Anonymous { directory: format!("asked-{number}"), copy: *copy }
        }
        MountKind::Tmpfs(tmpfs) => Shown::Tmpfs(TmpfsPlan {
            size: tmpfs.size,
            inodes: tmpfs.inodes,
            mode: tmpfs.mode,
            uid: tmpfs.uid,
            gid: tmpfs.gid,
            copy_up: tmpfs.copy_up,
        }),
        MountKind::Image { name, found } => {
            let Some(found) = found else {
                return Err(SandboxError::request(format!("the image {name} of a mount was not looked up")));
            };
            Shown::Image(ImagePlan {
                image: name.clone(),
                digest: found.digest,
                layers: found.layers.clone(),
                directory: number.to_string(),
            })
        }
    };
    let mut planned = mount(target, shown, flags);
    if matches!(planned.shown, Shown::Image(_)) {
        planned.read_only = flags.read_only.unwrap_or(true);
    }
    Ok(planned)
}

/// `CAP_SYS_ADMIN`, which lets its holder change the attributes of every mount of its mount namespace (mount_setattr(2)).
const SYS_ADMIN: u8 = 21;

/// Makes read-only volumes hold against a container that may change mounts, and tells what writable ones mean.
pub(super) fn harden(mounts: &mut [PlannedMount], process: &ProcessPlan, userns: &UsernsPlan, notes: &mut Vec<String>) {
    for mount in mounts.iter().filter(|mount| !mount.read_only) {
        if let Shown::Bind(bind) = &mount.shown
            && (bind.idmap || !userns.is_own())
        {
            notes.push(format!(
                "root of the container is root on the disk of {}: it can leave set-user-ID files there, so keep others of the host out of it",
                bind.source
            ));
        }
    }
    if !process.cap_set.has(SYS_ADMIN) {
        return;
    }
    for mount in mounts.iter_mut().filter(|mount| mount.read_only) {
        let (Shown::Bind(bind) | Shown::Volume { bind, .. }) = &mut mount.shown else { continue };
        if userns.is_own() {
            bind.sealed = true;
        } else {
            notes.push(format!(
                "the volume {} is read-only as a mount: with --userns=host and CAP_SYS_ADMIN the container can undo that",
                bind.source
            ));
        }
    }
}

fn bind(source: &str, recursive: bool, flags: &MountFlags, ids: OwnIds) -> Result<BindPlan, SandboxError> {
    if flags.propagation == PropagationKind::Shared && ids != OwnIds::Host {
        return Err(SandboxError::request_hint(
            format!(
                "the volume {source} cannot be {}: a container in a user namespace of its own could mount on the host",
                flags.propagation.name()
            ),
            "use rslave, which shows later mounts of the host in the container, or --userns=host",
        ));
    }
    if flags.idmap == Some(true) && ids != OwnIds::Mapped {
        let (what, hint) = match ids {
            OwnIds::Domain => (
                "an ordinary user, and root inside of a container, cannot map the ids of a volume",
                "leave idmap out: the volume shows the ids of your own user namespace",
            ),
            _ => ("without a user namespace the ids need no map", "leave idmap out, or use --userns=auto"),
        };
        return Err(SandboxError::request_hint(format!("the volume {source} cannot be idmapped: {what}"), hint));
    }
    Ok(BindPlan {
        source: source.to_owned(),
        recursive,
        propagation: flags.propagation,
        idmap: ids == OwnIds::Mapped && flags.idmap.unwrap_or(true),
        writable_below: flags.writable_below,
        sealed: false,
        asked: Asked { writable: flags.read_only == Some(false), exec: flags.exec == Some(true), suid: flags.suid },
    })
}
