//! Limits of the container.

use clap::Args;

/// Limits of the container.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Memory limit, as 512M
    #[arg(long, short = 'm', value_name = "SIZE")]
    pub(crate) memory: Option<String>,
    /// Limit of memory and swap together; -1 for no limit of swap [default: twice --memory]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub(crate) memory_swap: Option<String>,
    /// Memory that the kernel takes back last, where memory is short
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory_reservation: Option<String>,
    /// Let processes wait when memory runs out, instead of killing one (cgroup v1 alone)
    #[arg(long)]
    pub(crate) oom_kill_disable: bool,
    /// CPU limit, as 1.5
    #[arg(long, value_name = "NUMBER")]
    pub(crate) cpus: Option<String>,
    /// Microseconds of each period in which the container may run; -1 for no limit
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true)]
    pub(crate) cpu_quota: Option<i64>,
    /// Microseconds of a period, 1000 to 1000000 [default: 100000]
    #[arg(long, value_name = "MICROSECONDS")]
    pub(crate) cpu_period: Option<u64>,
    /// Share of the CPU time where several want it, 2 to 262144; everybody's is 1024
    #[arg(long, short = 'c', value_name = "SHARES", conflicts_with = "cpu_weight")]
    pub(crate) cpu_shares: Option<u64>,
    /// The same in the notation of cgroup v2, 1 to 10000; everybody's is 100
    #[arg(long, value_name = "WEIGHT")]
    pub(crate) cpu_weight: Option<u64>,
    /// CPUs to run on, as 0-3,6
    #[arg(long, visible_alias = "cpuset", value_name = "LIST")]
    pub(crate) cpuset_cpus: Option<String>,
    /// Memory nodes to allocate from, as 0,1
    #[arg(long, value_name = "LIST")]
    pub(crate) cpuset_mems: Option<String>,
    /// Limit of processes and threads; 0 or -1 for none [default: 2048]
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    pub(crate) pids_limit: Option<i64>,
    /// Share of the disks where several want them, 10 to 1000
    #[arg(long, value_name = "WEIGHT", conflicts_with = "io_weight")]
    pub(crate) blkio_weight: Option<u64>,
    /// The same in the notation of cgroup v2, 1 to 10000; everybody's is 100
    #[arg(long, value_name = "WEIGHT")]
    pub(crate) io_weight: Option<u64>,
    /// Bytes that may be read from a disk in a second, as /dev/sda:10M
    #[arg(long, value_name = "DEVICE:RATE")]
    pub(crate) device_read_bps: Vec<String>,
    /// Bytes that may be written to a disk in a second
    #[arg(long, value_name = "DEVICE:RATE")]
    pub(crate) device_write_bps: Vec<String>,
    /// Reads from a disk in a second
    #[arg(long, value_name = "DEVICE:NUMBER")]
    pub(crate) device_read_iops: Vec<String>,
    /// Writes to a disk in a second
    #[arg(long, value_name = "DEVICE:NUMBER")]
    pub(crate) device_write_iops: Vec<String>,
    /// Limit of huge pages of a size, as 2M=64M
    #[arg(long, value_name = "SIZE=LIMIT")]
    pub(crate) hugetlb: Vec<String>,
    /// A file of cgroup v2 and what is written to it, as memory.high=1G
    #[arg(long, value_name = "FILE=VALUE")]
    pub(crate) cgroup_conf: Vec<String>,
    /// Let the container make control groups below its own: /sys/fs/cgroup is writable there (cgroup v2)
    #[arg(long)]
    pub(crate) cgroup_delegate: bool,
}
