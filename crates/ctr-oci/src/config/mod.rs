//! `config.json` as runtime-spec 1.0 to 1.3 has it: every field, as it is written. What it means is decided in
//! `crate::translate`.
//!
//! Properties that the specification does not have are passed over ("Extensibility"); `null` is what an absent property is,
//! because encoders write it for empty lists.

#[cfg(test)]
mod coverage;
mod hooks;
mod linux;
mod load;
mod process;
mod resources;
mod seccomp;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

pub use hooks::{Hook, Hooks};
pub use linux::{Device, IdMapping, IntelRdt, Linux, MemoryPolicy, Namespace, NetDevice, Personality, TimeOffset};
pub use load::{ConfigError, load, load_process};
pub use process::{Capabilities, ConsoleSize, CpuAffinity, IoPriority, Process, Rlimit, Scheduler, User};
pub use resources::{
    BlockIo, Cpu, DeviceRule, HugepageLimit, InterfacePriority, Memory, Network, Pids, Rdma, Resources, ThrottleDevice,
    WeightDevice,
};
pub use seccomp::{Seccomp, SyscallArg, SyscallRule};

/// A `config.json` (config.md).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// The version of the specification that it is written for.
    pub oci_version: String,
    /// The root filesystem.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    pub root: Option<Root>,
    /// Mounts, in the order in which they are made.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// The program; required for `start`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// Host name.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// NIS domain name (1.1).
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub domainname: String,
    /// Programs to execute on the way.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Hooks::is_empty")]
    pub hooks: Hooks,
    /// Whatever the engine wants to know again.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What only Linux has.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    pub linux: Option<Linux>,
}

/// `root`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// Absolute, or relative to the bundle.
    pub path: PathBuf,
    /// Nothing can be written to it.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "std::ops::Not::not")]
    pub readonly: bool,
}

/// One of `mounts`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// Where in the container.
    pub destination: String,
    /// File system type, or `bind`.
    #[serde(rename = "type", default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Device, name, or path on the host; a relative path of a bind mount is relative to the bundle.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// As in fstab(5), and those of config.md "Linux mount options".
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// User ids of the files (1.0.2-dev, `idmap`).
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub uid_mappings: Vec<IdMapping>,
    /// Group ids of the files.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub gid_mappings: Vec<IdMapping>,
}

/// `null` is the default value.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}
