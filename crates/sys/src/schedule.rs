//! How the kernel schedules a process: policy, nice value, CPUs, input and output, execution domain. Nothing here
//! allocates.

use std::ptr;

use crate::raw::{RawResult, call};

/// How a process gets CPU time (sched_setattr(2)), laid out as the first version of `struct sched_attr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct SchedulerAttributes {
    /// Set by [`set_scheduler`].
    pub size: u32,
    /// One of the `SCHED_` numbers below.
    pub policy: u32,
    /// `SCHED_FLAG_` bits.
    pub flags: u64,
    /// Of the policies `OTHER` and `BATCH`: -20 (most) to 19.
    pub nice: i32,
    /// Of the policies `FIFO` and `RR`: 1 to 99 (most).
    pub priority: u32,
    /// Of the policy `DEADLINE`, nanoseconds.
    pub runtime: u64,
    /// Likewise.
    pub deadline: u64,
    /// Likewise.
    pub period: u64,
}

/// The usual policy.
pub const SCHED_OTHER: u32 = libc::SCHED_OTHER as u32;
/// First in, first out: a real-time policy.
pub const SCHED_FIFO: u32 = libc::SCHED_FIFO as u32;
/// Round robin: a real-time policy.
pub const SCHED_RR: u32 = libc::SCHED_RR as u32;
/// For work that nobody waits for.
pub const SCHED_BATCH: u32 = libc::SCHED_BATCH as u32;
/// For work that may wait for everything else.
pub const SCHED_IDLE: u32 = libc::SCHED_IDLE as u32;
/// By deadlines: a real-time policy whose processes cannot fork.
pub const SCHED_DEADLINE: u32 = libc::SCHED_DEADLINE as u32;

/// Size of [`SchedulerAttributes`] as the kernel knows it (`SCHED_ATTR_SIZE_VER0`).
const ATTRIBUTES_SIZE: u32 = 48;

/// Flags of a policy by the names of sched_setattr(2); those of the utilization clamp ask for a longer structure, and the kernel
/// refuses them without it.
const SCHED_FLAGS: [(&str, u64); 7] = [
    ("SCHED_FLAG_RESET_ON_FORK", 0x01),
    ("SCHED_FLAG_RECLAIM", 0x02),
    ("SCHED_FLAG_DL_OVERRUN", 0x04),
    ("SCHED_FLAG_KEEP_POLICY", 0x08),
    ("SCHED_FLAG_KEEP_PARAMS", 0x10),
    ("SCHED_FLAG_UTIL_CLAMP_MIN", 0x20),
    ("SCHED_FLAG_UTIL_CLAMP_MAX", 0x40),
];

/// The bit of a flag by name.
pub fn scheduler_flag(name: &str) -> Option<u64> {
    SCHED_FLAGS.iter().find(|(known, _)| *known == name).map(|(_, bit)| *bit)
}

/// The caller's own (sched_getattr(2)).
pub fn scheduler() -> RawResult<SchedulerAttributes> {
    let mut attributes = SchedulerAttributes::default();
    call!(libc::SYS_sched_getattr, 0, ptr::from_mut(&mut attributes), ATTRIBUTES_SIZE, 0)?;
    Ok(attributes)
}

/// Sets the caller's own (sched_setattr(2)). Real-time policies need `CAP_SYS_NICE` in the first user namespace.
pub fn set_scheduler(attributes: SchedulerAttributes) -> RawResult<()> {
    let attributes = SchedulerAttributes { size: ATTRIBUTES_SIZE, ..attributes };
    call!(libc::SYS_sched_setattr, 0, ptr::from_ref(&attributes), 0).map(drop)
}

/// The caller's nice value, -20 to 19.
pub fn nice() -> RawResult<i32> {
    // The call itself gives 40 to 1, so that no value looks like an error (getpriority(2), "C library/kernel differences").
    call!(libc::SYS_getpriority, libc::PRIO_PROCESS, 0).map(|value| 20 - value as i32)
}

/// Sets the caller's nice value. Less than it is needs `CAP_SYS_NICE` in the first user namespace, or `RLIMIT_NICE`.
pub fn set_nice(nice: i32) -> RawResult<()> {
    call!(libc::SYS_setpriority, libc::PRIO_PROCESS, 0, nice).map(drop)
}

/// `IOPRIO_WHO_PROCESS`.
const IOPRIO_WHO_PROCESS: libc::c_int = 1;

/// The caller's class and level of input and output, as `ioprio_set(2)` packs them: the class from bit 13 on.
pub fn io_priority() -> RawResult<i32> {
    call!(libc::SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0).map(|value| value as i32)
}

/// Sets the same. The real-time class (1) needs `CAP_SYS_NICE` or `CAP_SYS_ADMIN` in the first user namespace.
pub fn set_io_priority(priority: i32) -> RawResult<()> {
    call!(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, priority).map(drop)
}

/// A set of CPUs by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuMask([u64; CPU_WORDS]);

/// Words of a [`CpuMask`]: `CONFIG_NR_CPUS` of the largest kernels is 8192.
const CPU_WORDS: usize = 128;

impl Default for CpuMask {
    fn default() -> Self {
        Self([0; CPU_WORDS])
    }
}

impl CpuMask {
    /// The highest number that there can be.
    pub const MAX: usize = CPU_WORDS * 64 - 1;

    /// Adds a CPU; `false` if its number is above [`Self::MAX`].
    pub fn add(&mut self, cpu: usize) -> bool {
        let word = self.0.get_mut(cpu / 64);
        word.map(|word| *word |= 1 << (cpu % 64)).is_some()
    }
}

/// Lets the caller run on `cpus` only. `EINVAL` if it may not run on each of them: the kernel itself would leave out those
/// that are not there or not in the caller's cpuset (sched_setaffinity(2)).
pub fn set_affinity(cpus: &CpuMask) -> RawResult<()> {
    call!(libc::SYS_sched_setaffinity, 0, size_of::<CpuMask>(), cpus.0.as_ptr())?;
    let mut in_force = CpuMask::default();
    call!(libc::SYS_sched_getaffinity, 0, size_of::<CpuMask>(), in_force.0.as_mut_ptr())?;
    if in_force == *cpus { Ok(()) } else { Err(crate::Errno::EINVAL) }
}

/// Lets the caller run on every CPU of its cpuset again.
pub fn reset_affinity() -> RawResult<()> {
    let all = CpuMask([u64::MAX; CPU_WORDS]);
    call!(libc::SYS_sched_setaffinity, 0, size_of::<CpuMask>(), all.0.as_ptr()).map(drop)
}

/// Modes of a memory policy by the names of set_mempolicy(2).
const MEMORY_MODES: [(&str, u16); 7] = [
    ("MPOL_DEFAULT", 0),
    ("MPOL_PREFERRED", 1),
    ("MPOL_BIND", 2),
    ("MPOL_INTERLEAVE", 3),
    ("MPOL_LOCAL", 4),
    ("MPOL_PREFERRED_MANY", 5),
    ("MPOL_WEIGHTED_INTERLEAVE", 6),
];

/// Flags of a mode, likewise.
const MEMORY_FLAGS: [(&str, u16); 3] =
    [("MPOL_F_NUMA_BALANCING", 1 << 13), ("MPOL_F_RELATIVE_NODES", 1 << 14), ("MPOL_F_STATIC_NODES", 1 << 15)];

/// The number of a mode by name.
pub fn memory_mode(name: &str) -> Option<u16> {
    MEMORY_MODES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

/// The bit of a flag of a mode by name.
pub fn memory_flag(name: &str) -> Option<u16> {
    MEMORY_FLAGS.iter().find(|(known, _)| *known == name).map(|(_, bit)| *bit)
}

/// Where the caller's memory is taken from (set_mempolicy(2)); it holds across an exec. `nodes` are numbers of NUMA nodes.
pub fn set_memory_policy(mode: u16, nodes: &CpuMask) -> RawResult<()> {
    // The kernel counts from one too many: "maxnode - 1" bits are looked at.
    let bits = CpuMask::MAX + 2;
    call!(libc::SYS_set_mempolicy, libc::c_int::from(mode), nodes.0.as_ptr(), bits).map(drop)
}

/// Sets the execution domain (personality(2)).
pub fn set_personality(persona: u32) -> RawResult<()> {
    call!(libc::SYS_personality, libc::c_ulong::from(persona)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_what_is_read() {
        assert_eq!(size_of::<SchedulerAttributes>(), ATTRIBUTES_SIZE as usize);
        // A thread of its own: all of this is kept per thread.
        let thread = std::thread::spawn(|| {
            let before = scheduler().unwrap();
            set_scheduler(SchedulerAttributes { policy: SCHED_BATCH, nice: before.nice, ..Default::default() })
                .unwrap();
            assert_eq!(scheduler().unwrap().policy, SCHED_BATCH);
            let raised = nice().unwrap().max(18) + 1;
            set_nice(raised).unwrap();
            assert_eq!(nice().unwrap(), raised);
            set_io_priority(3 << 13).unwrap();
            assert_eq!(io_priority().unwrap(), 3 << 13);
            let mut none = CpuMask::default();
            assert!(none.add(CpuMask::MAX) && !none.add(CpuMask::MAX + 1));
            assert_eq!(set_affinity(&none), Err(crate::Errno::EINVAL));
        });
        thread.join().unwrap();
    }
}
