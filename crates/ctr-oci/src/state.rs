//! What is kept of a container, and where it is in its life.
//!
//! ```text
//! ROOT/containers/embryo/ID     creating
//! ROOT/containers/prepared/ID   created, while its first process lives
//! ROOT/containers/run/ID        running or paused, while it lives; stopped
//! ```
//! `container.json` is the record that every ctr command reads (spec/06-lifecycle.md) with a member `oci` for what only this
//! command needs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ctr_cli::{Context as _, Failure};
use ctr_core::container::{Container, ContainerError, ContainerRecord, Containers, Place};
use ctr_core::timestamp::Timestamp;
use ctr_sandbox::plan::ProcessPlan;
use serde::{Deserialize, Serialize};

use crate::args::Global;
use crate::cgroup::{self, CgroupRecord};
use crate::config::Hooks;
use crate::id::ContainerId;

/// The largest `container.json` that is read, in bytes.
const RECORD_MAX: usize = 32 << 20;

/// The containers of a root.
#[derive(Debug, Clone)]
pub struct States {
    root: PathBuf,
    containers: Containers,
}

/// The member `oci` of `container.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OciRecord {
    /// `ociVersion` of the config.json.
    pub version: String,
    /// The bundle, absolute.
    pub bundle: PathBuf,
    /// The root filesystem, absolute.
    pub rootfs: PathBuf,
    /// Whatever the engine wanted to know again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The hooks; those of the start and the end are still to come.
    #[serde(default, skip_serializing_if = "Hooks::is_empty")]
    pub hooks: Hooks,
    /// The control groups, and who made them.
    pub cgroup: CgroupRecord,
    /// The user who had it made, in the caller's user namespace.
    pub owner: u32,
}

/// `container.json` as it is written.
#[derive(Serialize)]
pub(crate) struct Written<'a> {
    #[serde(flatten)]
    pub(crate) container: ContainerRecord,
    pub(crate) process: &'a ProcessPlan,
    pub(crate) oci: &'a OciRecord,
}

/// The members that core does not read.
#[derive(Deserialize)]
struct Members {
    process: ProcessPlan,
    oci: OciRecord,
}

/// Where a container is in its life (runtime.md "State").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Being made.
    Creating,
    /// Its first process waits for the start.
    Created,
    /// Its program runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its first process has ended.
    Stopped,
}

impl Status {
    /// `creating` ...
    pub fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// A container that was found.
#[derive(Debug)]
pub struct Known {
    /// Its directory and record.
    pub container: Container,
    /// What only this command needs.
    pub oci: OciRecord,
    /// The profile of its program.
    pub process: ProcessPlan,
    /// Where it is in its life.
    pub status: Status,
    /// Its first process in the caller's PID namespace, while it lives.
    pub pid: Option<i32>,
}

/// What `state` prints, and hooks read (runtime.md "State").
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StateDocument<'a> {
    /// Version of the specification.
    pub oci_version: &'a str,
    /// The container.
    pub id: &'a str,
    /// Its first process; 0 if it has ended.
    pub pid: i32,
    /// Where it is in its life.
    pub status: Status,
    /// The bundle.
    pub bundle: &'a Path,
    /// The root filesystem.
    pub rootfs: &'a Path,
    /// When it was created.
    pub created: Timestamp,
    /// Whatever the engine wanted to know again.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: &'a BTreeMap<String, String>,
    /// The name of the user who had it made; empty if the host has none.
    pub owner: String,
}

/// Why a container cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// There is none. The words are those that engines look for.
    #[error("container \"{0}\" does not exist")]
    Missing(String),
    /// It is not one of this command's.
    #[error("container \"{0}\" was not made of a bundle")]
    Foreign(String),
    /// Its files cannot be read.
    #[error(transparent)]
    Container(#[from] ContainerError),
}

impl States {
    /// The containers below `--root`, or below the default of this user.
    pub fn open(global: &Global) -> Result<Self, Failure> {
        let root = match &global.root {
            Some(root) => root.clone(),
            None => default_root()?,
        };
        let root = std::path::absolute(&root).context(|| format!("cannot find {}", root.display()))?;
        Ok(Self { containers: Containers::open(&root), root })
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its containers.
    pub fn containers(&self) -> &Containers {
        &self.containers
    }

    /// The container with exactly this id.
    pub fn find(&self, id: &ContainerId) -> Result<Known, StateError> {
        // A start or the end of a creation may move it while it is looked for.
        for place in [Place::Run, Place::Prepared, Place::Run, Place::Embryo, Place::Prepared] {
            if let Some(container) = self.containers.load(place, id)? {
                return Known::look(container);
            }
        }
        Err(StateError::Missing(id.to_string()))
    }

    /// All of them, oldest first; those that cannot be read are told.
    pub fn list(&self) -> Result<Vec<Known>, StateError> {
        let (found, damaged) = self.containers.scan()?;
        for error in damaged {
            crate::report::warn(&error.to_string());
        }
        let mut known = Vec::with_capacity(found.len());
        for container in found {
            match Known::look(container) {
                Ok(container) => known.push(container),
                Err(StateError::Foreign(_) | StateError::Missing(_)) => {}
                Err(error) => crate::report::warn(&error.to_string()),
            }
        }
        Ok(known)
    }
}

impl Known {
    fn look(container: Container) -> Result<Self, StateError> {
        let path = container.dir.join("container.json");
        let missing = || StateError::Missing(container.record.id.clone());
        let bytes = ctr_sys::small::read(&path, RECORD_MAX).map_err(|_| missing())?.ok_or_else(missing)?;
        let members: Members =
            serde_json::from_slice(&bytes).map_err(|_| StateError::Foreign(container.record.id.clone()))?;
        let pid = container.live_pid()?;
        let status = match (container.place, pid) {
            (Place::Embryo, _) if container.lock_is_held()? => Status::Creating,
            (Place::Prepared, Some(_)) => Status::Created,
            (Place::Run, Some(_)) if cgroup::freeze::is_frozen(members.oci.cgroup.dirs()) => Status::Paused,
            (Place::Run, Some(_)) => Status::Running,
            _ => Status::Stopped,
        };
        Ok(Self { container, oci: members.oci, process: members.process, status, pid })
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.container.record.id
    }

    /// What `state` prints of it.
    pub fn document(&self) -> StateDocument<'_> {
        StateDocument {
            oci_version: &self.oci.version,
            id: self.id(),
            pid: if self.status == Status::Stopped { 0 } else { self.pid.unwrap_or(0) },
            status: self.status,
            bundle: &self.oci.bundle,
            rootfs: &self.oci.rootfs,
            created: self.container.record.created_at,
            annotations: &self.oci.annotations,
            owner: owner_name(self.oci.owner),
        }
    }
}

/// The name of a user by the host's passwd; a look into other services is not a runtime's.
fn owner_name(uid: u32) -> String {
    /// A host's own file; what is larger is not looked through for a name.
    const PASSWD_MAX: usize = 4 << 20;
    let passwd = ctr_sys::small::read("/etc/passwd".as_ref(), PASSWD_MAX).ok().flatten().unwrap_or_default();
    let passwd = String::from_utf8_lossy(&passwd);
    let mut fields = passwd.lines().map(|line| line.split(':'));
    let name = fields.find_map(|mut line| {
        let name = line.next()?;
        (line.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.unwrap_or_default()
}

/// `/run/ctr-oci` for root of the host, `$XDG_RUNTIME_DIR/ctr-oci` for everybody else: who is root in a user namespace alone
/// cannot write `/run`.
fn default_root() -> Result<PathBuf, Failure> {
    if ctr_sys::ids::effective_uid() == 0 && ctr_sys::ids::in_initial_user_namespace() {
        return Ok("/run/ctr-oci".into());
    }
    match std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) => Ok(PathBuf::from(dir).join("ctr-oci")),
        None if ctr_sys::ids::effective_uid() == 0 => Ok("/run/ctr-oci".into()),
        None => Err(Failure::new("there is no place for the state of containers")
            .because("$XDG_RUNTIME_DIR is not set")
            .hint("give one with --root DIR")),
    }
}
