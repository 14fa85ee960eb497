//! What a container uses, with the names that runc gives the figures (runc, types/events.go): engines parse them.
//!
//! Times are nanoseconds, amounts bytes. Each controller is read where this host has it.

mod read;

use std::collections::BTreeMap;

use serde::Serialize;

pub use read::Figures;

/// `data` of `events --stats`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Processors.
    pub cpu: Cpu,
    /// Which processors and memory nodes.
    pub cpuset: CpuSet,
    /// Memory.
    pub memory: Memory,
    /// Processes.
    pub pids: Pids,
    /// Disks.
    pub blkio: BlkIo,
    /// Huge pages by their size.
    pub hugetlb: BTreeMap<String, HugePages>,
    /// Cache and memory bandwidth: not measured.
    pub intel_rdt: BTreeMap<String, String>,
    /// Interfaces of the container's network namespace.
    pub network_interfaces: Vec<Interface>,
}

/// Processors.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Cpu {
    /// Time that was used.
    pub usage: CpuUsage,
    /// How often a quota was used up.
    pub throttling: Throttling,
}

/// Time that was used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CpuUsage {
    /// All.
    pub total: u64,
    /// On each processor (v1).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    /// In the kernel.
    pub kernel: u64,
    /// In programs.
    pub user: u64,
}

/// How often a quota was used up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Throttling {
    /// Periods with something to do.
    pub periods: u64,
    /// Those in which the quota was used up.
    pub throttled_periods: u64,
    /// How long was waited.
    pub throttled_time: u64,
}

/// Which processors and memory nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CpuSet {
    /// Processors.
    pub cpus: Vec<u16>,
    /// Memory nodes.
    pub mems: Vec<u16>,
}

/// Memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Of files.
    pub cache: u64,
    /// Memory.
    pub usage: Amount,
    /// Memory and swap.
    pub swap: Amount,
    /// Of the kernel.
    pub kernel: Amount,
    /// Buffers of TCP (v1).
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: Amount,
    /// `memory.stat`.
    pub raw: BTreeMap<String, u64>,
}

/// An amount of memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// The most that there can be; the largest number if there is no limit.
    pub limit: u64,
    /// What there is.
    pub usage: u64,
    /// The most that there was.
    pub max: u64,
    /// How often the limit was reached.
    pub failcnt: u64,
}

/// Processes and threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Pids {
    /// How many there are.
    pub current: u64,
    /// How many there can be; 0 if there is no limit.
    pub limit: u64,
}

/// Disks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlkIo {
    /// Bytes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes_recursive: Vec<BlkIoEntry>,
    /// Operations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_serviced_recursive: Vec<BlkIoEntry>,
}

/// One number of one device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BlkIoEntry {
    /// Major number.
    pub major: u64,
    /// Minor number.
    pub minor: u64,
    /// `Read`, `Write` ...
    pub op: String,
    /// How much.
    pub value: u64,
}

/// Huge pages of one size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct HugePages {
    /// What there is.
    pub usage: u64,
    /// The most that there was (v1).
    pub max: u64,
    /// How often the limit was reached.
    pub failcnt: u64,
}

/// One interface; the names are runc's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Interface {
    /// Its name in the container.
    pub name: String,
    /// Received.
    pub rx_bytes: u64,
    /// Received.
    pub rx_packets: u64,
    /// Received.
    pub rx_errors: u64,
    /// Received.
    pub rx_dropped: u64,
    /// Sent.
    pub tx_bytes: u64,
    /// Sent.
    pub tx_packets: u64,
    /// Sent.
    pub tx_errors: u64,
    /// Sent.
    pub tx_dropped: u64,
}
