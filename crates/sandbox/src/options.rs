//! One validated request: what the command line asked for, before any work starts. Pure data.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ctr_core::container::LogMode;
use ctr_sys::privilege::{CapSet, Resource};

/// What to run, and how. `None` and empty mean "as the image says", then "as ctr's default is".
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub struct RunOptions {
    /// Arguments after the image: they replace the image's command.
    pub args: Vec<String>,
    /// Replaces the image's entrypoint; an empty list clears it.
    pub entrypoint: Option<Vec<String>>,
    /// `NAME=value` from files, then from `--env`; later ones win.
    pub env: Vec<String>,
    /// Working directory.
    pub workdir: Option<String>,
    /// `user[:group]`, names or numbers.
    pub user: Option<String>,
    /// Additional groups, names or numbers.
    pub groups: Vec<String>,
    /// Host name.
    pub hostname: Option<String>,
    /// Labels; they win over the image's.
    pub labels: BTreeMap<String, String>,
    /// Container name.
    pub name: Option<String>,
    /// The root filesystem is read-only.
    pub read_only: bool,
    /// tmpfs, volumes.
    pub mounts: Vec<MountRequest>,
    /// Network.
    pub network: Network,
    /// Lines for `/etc/hosts`: address, name.
    pub add_hosts: Vec<(String, String)>,
    /// Name servers for `/etc/resolv.conf`.
    pub dns: Vec<String>,
    /// Begin with no capability instead of the default ones.
    pub cap_drop_all: bool,
    /// Capabilities to add.
    pub cap_add: CapSet,
    /// Capabilities to drop; they win over those to add.
    pub cap_drop: CapSet,
    /// Seccomp.
    pub seccomp: SeccompChoice,
    /// `no_new_privs`.
    pub no_new_privileges: bool,
    /// Resource limits of the program.
    pub ulimits: Vec<Ulimit>,
    /// Limits of the container.
    pub limits: Limits,
    /// File mode creation mask.
    pub umask: Option<u32>,
    /// The signal that asks the program to end.
    pub stop_signal: Option<i32>,
    /// Seconds from that to the kill.
    pub stop_timeout: Option<u64>,
    /// Where the output goes; `None`: as the situation says.
    pub log: Option<LogMode>,
    /// The program itself is PID 1.
    pub no_init: bool,
    /// Remove the container once it has ended.
    pub rm: bool,
    /// Stay until it has ended.
    pub wait: bool,
}

/// Which network the container is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// Its own, with the loopback interface only.
    #[default]
    None,
    /// The host's.
    Host,
}

impl Network {
    /// `none` or `host`.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Host => "host",
        }
    }
}

/// Which seccomp filter is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SeccompChoice {
    /// ctr's own (spec/07-executor.md "System calls").
    #[default]
    Default,
    /// None.
    Unconfined,
}

impl SeccompChoice {
    /// `default` or `unconfined`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Unconfined => "unconfined",
        }
    }
}

/// A soft and a hard limit; `u64::MAX` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ulimit {
    /// Of what.
    pub resource: Resource,
    /// Soft.
    pub soft: u64,
    /// Hard.
    pub hard: u64,
}

/// Limits that the control groups hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// CPU time in thousandths of one CPU.
    pub cpu_millis: Option<u64>,
    /// Number of processes and threads; 0 is unlimited.
    pub pids: Option<u64>,
}

/// A mount that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountRequest {
    /// Where in the container: an absolute path.
    pub target: String,
    /// What.
    pub kind: MountKind,
    /// Read-only.
    pub read_only: bool,
    /// Programs on it cannot be executed.
    pub noexec: bool,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountKind {
    /// A file or directory of the host.
    Bind {
        /// Absolute path on the host.
        source: PathBuf,
        /// With the mounts below it.
        recursive: bool,
        /// Receives mounts that the host makes below it.
        slave: bool,
    },
    /// Memory.
    Tmpfs {
        /// Bytes, if limited.
        size: Option<u64>,
        /// Mode of its root.
        mode: u32,
    },
}
