//! How the kernel schedules the program.

use ctr_sys::schedule::{self, CpuMask, SchedulerAttributes};
use serde::{Deserialize, Serialize};

/// What `None` leaves is the caller's. It is part of the profile that container.json has (LIFE-90).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduling {
    /// How much sooner than others the kernel ends it for lack of memory: -1000 (never) to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i32>,
    /// Nice value, -20 to 19.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nice: Option<i32>,
    /// Policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<Scheduler>,
    /// Flags of the policy, as sched_setattr(2) takes them (`ctr_sys::schedule::scheduler_flag`).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub scheduler_flags: u64,
    /// Class and level of input and output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io: Option<IoPriority>,
    /// CPUs that it may run on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<Cpus>,
    /// CPUs of a program that joins the container later (runtime-spec, `process.execCPUAffinity`); a start passes over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join_cpus: Option<JoinCpus>,
    /// Where its memory is taken from (runtime-spec, `linux.memoryPolicy`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryPolicy>,
    /// Execution domain, as personality(2) takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personality: Option<u32>,
}

impl Scheduling {
    /// Whether all is the caller's.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls it with")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// CPUs of a program that joins a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinCpus {
    /// Until it is in the container's control groups; `None`: the caller's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial: Option<Cpus>,
    /// From then on; `None`: all of the container's cpuset, where there was an initial set, else the caller's.
    #[serde(rename = "final", default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Cpus>,
}

/// Where memory is taken from (set_mempolicy(2)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPolicy {
    /// Mode with its flags (`ctr_sys::schedule::memory_mode`, `memory_flag`).
    pub mode: u16,
    /// NUMA nodes, written as CPUs are; `None` for modes that take none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Cpus>,
}

/// A policy and its parameters (sched(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "policy", rename_all = "lowercase")]
pub enum Scheduler {
    /// The usual one.
    Other,
    /// For work that nobody waits for.
    Batch,
    /// For work that may wait for everything else.
    Idle,
    /// Real time, first in, first out.
    Fifo {
        /// 1 to 99.
        priority: u32,
    },
    /// Real time, round robin.
    Rr {
        /// 1 to 99.
        priority: u32,
    },
    /// By deadlines; nanoseconds.
    Deadline {
        /// Time that it needs.
        runtime: u64,
        /// Until when, from the beginning of a period.
        deadline: u64,
        /// Length of a period.
        period: u64,
    },
}

impl Scheduler {
    /// Whether the kernel gives it only to holders of `CAP_SYS_NICE`.
    pub fn is_real_time(self) -> bool {
        !matches!(self, Self::Other | Self::Batch | Self::Idle)
    }

    /// As sched_setattr(2) takes it, with the nice value `nice` and these flags.
    pub(crate) fn attributes(self, nice: i32, flags: u64) -> SchedulerAttributes {
        let plain = SchedulerAttributes { flags, ..SchedulerAttributes::default() };
        match self {
            Self::Other => SchedulerAttributes { policy: schedule::SCHED_OTHER, nice, ..plain },
            Self::Batch => SchedulerAttributes { policy: schedule::SCHED_BATCH, nice, ..plain },
            Self::Idle => SchedulerAttributes { policy: schedule::SCHED_IDLE, nice, ..plain },
            Self::Fifo { priority } => SchedulerAttributes { policy: schedule::SCHED_FIFO, priority, ..plain },
            Self::Rr { priority } => SchedulerAttributes { policy: schedule::SCHED_RR, priority, ..plain },
            Self::Deadline { runtime, deadline, period } => {
                SchedulerAttributes { policy: schedule::SCHED_DEADLINE, runtime, deadline, period, ..plain }
            }
        }
    }
}

impl std::fmt::Display for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Other => f.write_str("other"),
            Self::Batch => f.write_str("batch"),
            Self::Idle => f.write_str("idle"),
            Self::Fifo { priority } => write!(f, "fifo, priority {priority}"),
            Self::Rr { priority } => write!(f, "rr, priority {priority}"),
            Self::Deadline { runtime, deadline, period } => {
                write!(f, "deadline, {runtime} ns until {deadline} ns of each {period} ns")
            }
        }
    }
}

/// Class of input and output, and level within it (ioprio_set(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoPriority {
    /// The class.
    pub class: IoClass,
    /// 0 (first) to 7; of no meaning to the class `idle`.
    pub level: u8,
}

/// Class of input and output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IoClass {
    /// Before everybody else.
    RealTime,
    /// The usual one.
    BestEffort,
    /// When nobody else has anything to do.
    Idle,
}

impl IoPriority {
    /// As the kernel packs it.
    pub(crate) fn number(self) -> i32 {
        let class = match self.class {
            IoClass::RealTime => 1,
            IoClass::BestEffort => 2,
            IoClass::Idle => 3,
        };
        class << 13 | i32::from(self.level)
    }
}

impl std::fmt::Display for IoPriority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.class {
            IoClass::RealTime => write!(f, "realtime, level {}", self.level),
            IoClass::BestEffort => write!(f, "best-effort, level {}", self.level),
            IoClass::Idle => f.write_str("idle"),
        }
    }
}

/// CPUs by number, kept as they were written: `0-3,6`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cpus(String);

impl Cpus {
    /// Reads a list as cpuset(7) has it; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let cpus = Self(text.to_owned());
        cpus.mask().map(|_| cpus)
    }

    /// The set; `None` if the text is no list of numbers up to [`CpuMask::MAX`].
    pub(crate) fn mask(&self) -> Option<CpuMask> {
        let mut mask = CpuMask::default();
        for part in self.0.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number =
                |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<usize>().ok()).flatten();
            let (first, last) = (number(first)?, number(last)?);
            if first > last || last > CpuMask::MAX || !(first..=last).all(|cpu| mask.add(cpu)) {
                return None;
            }
        }
        Some(mask)
    }
}

impl std::fmt::Display for Cpus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus() {
        let mut expected = CpuMask::default();
        assert!([0, 2, 3, 4, 70].into_iter().all(|cpu| expected.add(cpu)));
        assert_eq!(Cpus::parse("0,2-4,70").and_then(|cpus| cpus.mask()), Some(expected));
        for bad in ["", ",", "0,", "a", "3-2", "-1", "1-", "0-99999", "99999999999999999999", "+1"] {
            assert_eq!(Cpus::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_profile_keeps_what_was_asked_for() {
        let scheduling = Scheduling {
            oom_score_adj: Some(-5),
            nice: Some(3),
            scheduler: Some(Scheduler::Fifo { priority: 7 }),
            io: Some(IoPriority { class: IoClass::BestEffort, level: 6 }),
            cpus: Cpus::parse("0-1"),
            personality: Some(8),
            scheduler_flags: 1,
            join_cpus: Some(JoinCpus { initial: Cpus::parse("0"), last: Cpus::parse("1") }),
            memory: Some(MemoryPolicy { mode: 2, nodes: Cpus::parse("0") }),
        };
        let json = serde_json::to_string(&scheduling).unwrap();
        assert_eq!(serde_json::from_str::<Scheduling>(&json).unwrap(), scheduling);
        assert_eq!(serde_json::to_string(&Scheduling::default()).unwrap(), "{}");
        assert_eq!(IoPriority { class: IoClass::Idle, level: 0 }.number(), 0x6000);
    }
}
