//! The two JSON files of a container directory (spec/06-lifecycle.md, spec/schemas/container.json, process.json).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::launch::LayerId;
use crate::timestamp::Timestamp;

/// Version of both files.
pub const RECORD_VERSION: u32 = 1;

/// `container.json`: what a container is. Written once, before the container can be seen in `run/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a member of the file")]
pub struct ContainerRecord {
    /// [`RECORD_VERSION`] of the writer.
    pub version: u32,
    /// The container's id.
    pub id: String,
    /// The name that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The image that the root filesystem comes from; none for a container of a bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageRecord>,
    /// The directory of the bundle that an engine had it made of (runtime-spec, bundle.md). Such a container is removed by the
    /// engine alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
    /// Layer directories under `store/layers`, lowest first; garbage collection keeps them.
    pub layers: Vec<LayerId>,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// When `ctr-run` made the container.
    pub created_at: Timestamp,
    /// The host name that it was started with.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// Labels, of the image and of the command line.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks the program to end.
    pub stop_signal: i32,
    /// Seconds from the stop signal to the kill.
    pub stop_timeout: u64,
    /// Where the output goes.
    pub log: LogMode,
    /// Whether the program has a terminal.
    #[serde(default)]
    pub tty: bool,
    /// Whether the program can be given input.
    #[serde(default)]
    pub stdin: bool,
    /// The invocation of the systemd unit whose journal stream the output goes to (`$INVOCATION_ID`, systemd.exec(5)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<String>,
    /// Whether our init is PID 1.
    pub init: bool,
    /// Whether the container is to be removed once it has ended.
    pub rm: bool,
    /// Directories of the container's control groups, the one that is emptied to kill it first.
    pub cgroups: Vec<String>,
    /// Named volumes that it uses; they cannot be removed while it runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<String>,
    /// Images that are mounted in it; garbage collection keeps their layers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounted_images: Vec<MountedImageRecord>,
    /// The isolation in force.
    pub isolation: IsolationRecord,
}

/// The image of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// As it was named, if by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Digest of its manifest.
    pub digest: Digest,
}

/// Another image that is mounted in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountedImageRecord {
    /// Where in the container.
    pub target: String,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Its layer directories.
    pub layers: Vec<LayerId>,
}

/// Where a container's output goes (`ctr-run --log`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogMode {
    /// Init writes `log` and `log.1` in the container's directory.
    File,
    /// The file descriptors of `ctr-run`.
    Inherit,
    /// `/dev/null`.
    None,
}

/// What isolates a container, as decided at its start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsolationRecord {
    /// New namespaces, by their names in `/proc/PID/ns`.
    pub namespaces: Vec<String>,
    /// `auto`, `keep-id`, `map`, `same`, or `host` if the container has no user namespace of its own.
    pub userns: String,
    /// Its map of user ids, each `CONTAINER:OUTSIDE:COUNT`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uid_map: Vec<String>,
    /// Its map of group ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gid_map: Vec<String>,
    /// `none` or `host`.
    pub network: String,
    /// The bounding set, as `CAP_X`.
    pub capabilities: Vec<String>,
    /// `default` or `unconfined`.
    pub seccomp: String,
    /// `no_new_privs`.
    pub no_new_privileges: bool,
    /// Whether the root filesystem is read-only.
    pub read_only: bool,
    /// `memory.max`, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// CPU time, in thousandths of one CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_millis: Option<u64>,
    /// `pids.max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<u64>,
}

/// `process`: which process is the container's PID 1. Written once it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRecord {
    /// [`RECORD_VERSION`] of the writer.
    pub version: u32,
    /// `/proc/sys/kernel/random/boot_id` when it was started.
    pub boot_id: String,
    /// Its process id in the host's namespace.
    pub pid: i32,
    /// Its start time: field 22 of `/proc/PID/stat`, clock ticks since boot.
    pub start_time: u64,
    /// When it was started.
    pub started_at: Timestamp,
}
