//! Limits that control groups hold.

/// Limits that the control groups hold. What was asked for must hold or the start fails; `None` and empty are the kernel's
/// and ctr's defaults.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Memory and swap together, as docker counts them; `None`: twice the memory.
    pub memory_swap: Option<Amount>,
    /// Bytes of memory that the kernel takes back last.
    pub memory_reservation: Option<u64>,
    /// Processes that run out of memory wait instead of being killed (cgroup v1 alone).
    pub oom_kill_disable: bool,
    /// CPU time in thousandths of one CPU.
    pub cpu_millis: Option<u64>,
    /// Microseconds of each period in which the container may run.
    pub cpu_quota: Option<Amount>,
    /// Microseconds of a period, 1000 to 1 000 000.
    pub cpu_period: Option<u64>,
    /// Share of the CPU time where several want it.
    pub cpu_weight: Option<CpuWeight>,
    /// CPUs to run on, as `0-3,6`.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes to allocate from.
    pub cpuset_mems: Option<String>,
    /// Number of processes and threads; 0 is unlimited.
    pub pids: Option<u64>,
    /// Share of the disks where several want them.
    pub io_weight: Option<IoWeight>,
    /// Rates of block devices.
    pub io_rates: Vec<IoRate>,
    /// Bytes of huge pages by their size in the kernel's notation, as `2MB`.
    pub hugetlb: Vec<(String, u64)>,
    /// Other files of cgroup v2, with what is written to them.
    pub raw: Vec<(String, String)>,
    /// The container makes control groups below its own.
    pub delegate: bool,
}

/// Controllers whose files can be named in [`Limits::raw`].
pub const RAW_CONTROLLERS: [&str; 8] = ["cpu", "cpuset", "hugetlb", "io", "memory", "misc", "pids", "rdma"];

/// A number or no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// At most so many.
    At(u64),
    /// No limit.
    Unlimited,
}

/// A share of CPU time, in the notation of either version of control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CpuWeight {
    /// 2 to 262144, 1024 is everybody's (`cpu.shares`).
    Shares(u64),
    /// 1 to 10000, 100 is everybody's (`cpu.weight`).
    Weight(u64),
}

/// A share of block devices, in the notation of either version of control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoWeight {
    /// 10 to 1000 (`blkio.weight`).
    Blkio(u64),
    /// 1 to 10000, 100 is everybody's (`io.weight`).
    Io(u64),
}

/// What a rate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum IoUnit {
    /// Bytes read in a second.
    ReadBytes,
    /// Bytes written in a second.
    WriteBytes,
    /// Reads in a second.
    Reads,
    /// Writes in a second.
    Writes,
}

/// The rate of one block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IoRate {
    /// Major number of the whole disk.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
    /// Of what.
    pub unit: IoUnit,
    /// So many in a second.
    pub rate: u64,
}
