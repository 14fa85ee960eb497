//! What the container's processes inherit from the launcher, because only the launcher may change it.
//!
//! The kernel asks for capabilities in the first user namespace to raise a hard limit, to lower `oom_score_adj` or a nice
//! value, to use a real-time policy or class. Root of a container's user namespace has none of them, so the launcher takes
//! these things on itself just before the clone, and goes back to what it had just after it. Init has them too.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use ctr_sys::Errno;
use ctr_sys::privilege::{self, Resource};
use ctr_sys::process::{self, Namespaces};
use ctr_sys::schedule::{self, SchedulerAttributes};
use ctr_sys::small;

use crate::error::SandboxError;
use crate::options::{ClockOffsets, IoClass, Scheduler};
use crate::plan::{ProcessPlan, RlimitPlan};

const OOM_SCORE_ADJ: &str = "/proc/self/oom_score_adj";

/// What errors call the things that are taken on, and what they say is to be done: in the words of whoever asked.
#[derive(Debug)]
pub(crate) struct Names {
    limit: &'static str,
    oom_score_adj: &'static str,
    nice: &'static str,
    scheduler: &'static str,
    io: &'static str,
    clocks: &'static str,
    /// Instead of what to do about an option.
    hint: Option<&'static str>,
}

impl Names {
    /// Options of `ctr-run` and `ctr-exec`.
    pub(crate) const OPTIONS: Self = Self {
        limit: "--ulimit",
        oom_score_adj: "--oom-score-adj",
        nice: "--nice",
        scheduler: "--scheduler",
        io: "--ioprio",
        clocks: "--time-offset",
        hint: None,
    };
    /// Properties of config.json.
    pub(crate) const PROPERTIES: Self = Self {
        limit: "process.rlimits:",
        oom_score_adj: "process.oomScoreAdj:",
        nice: "process.scheduler.nice:",
        scheduler: "process.scheduler:",
        io: "process.ioPriority:",
        clocks: "linux.timeOffsets",
        hint: Some("let the engine ask for less, or run with the capability that this needs"),
    };

    /// What was asked for cannot be had here.
    fn refuse(&self, what: String, hint: impl Into<String>) -> SandboxError {
        SandboxError::request_hint(what, self.hint.map_or_else(|| hint.into(), str::to_owned))
    }

    /// A request that the kernel refused: by name and with the privilege that it needs, if that was it.
    fn refused(&self, what: &str, need: &str, call: &'static str, errno: Errno) -> SandboxError {
        match errno {
            Errno::EPERM | Errno::EACCES => self.refuse(
                format!("{what} is not permitted here: {need} in the first user namespace"),
                "start the container as root with that capability, or leave the option out",
            ),
            errno => SandboxError::host(format!("set {what}"), call, "0", errno),
        }
    }
}

/// What the launcher had before; it goes back to that when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    oom_score_adj: Option<i32>,
    nice: Option<i32>,
    scheduler: Option<SchedulerAttributes>,
    io: Option<i32>,
    /// The time namespace of its children.
    time: Option<OwnedFd>,
}

impl Inherited {
    /// Takes on what `process` shall have and cannot take on itself. Errors are in the words of `names`.
    pub(crate) fn take(
        process: &ProcessPlan,
        clocks: Option<ClockOffsets>,
        names: &Names,
    ) -> Result<Self, SandboxError> {
        process.rlimits.iter().try_for_each(|limit| raise_hard_limit(limit, names))?;
        let mut before = Self::default();
        let wanted = &process.scheduling;
        if let Some(score) = wanted.oom_score_adj {
            before.oom_score_adj = Some(take_oom_score_adj(score, names)?);
        }
        if let Some(nice) = wanted.nice {
            before.nice = lower_nice(nice, names)?;
        }
        if let Some(scheduler @ (Scheduler::Fifo { .. } | Scheduler::Rr { .. })) = wanted.scheduler {
            before.scheduler = Some(take_scheduler(scheduler, names)?);
        }
        if let Some(io) = wanted.io.filter(|io| io.class == IoClass::RealTime) {
            let now = schedule::io_priority().map_err(|errno| unreadable("ioprio_get", errno))?;
            schedule::set_io_priority(io.number()).map_err(|errno| {
                let need = "the real-time class needs CAP_SYS_NICE";
                names.refused(&format!("{} {io}", names.io), need, "ioprio_set", errno)
            })?;
            before.io = Some(now);
        }
        if let Some(clocks) = clocks {
            before.time = small::open_read(Path::new("/proc/self/ns/time_for_children")).ok();
            make_time_namespace(clocks, names)?;
        }
        Ok(before)
    }
}

impl Inherited {
    /// For a caller that leaves its mount namespace: its `/proc` is another one then, and somebody else's.
    pub(crate) fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Inherited {
    /// Going back needs no privilege, but for a nice value: that is changed here only where there was one.
    fn drop(&mut self) {
        if let Some(score) = self.oom_score_adj {
            let _ = small::write_existing(Path::new(OOM_SCORE_ADJ), score.to_string().as_bytes());
        }
        if let Some(attributes) = self.scheduler {
            let _ = schedule::set_scheduler(attributes);
        }
        if let Some(nice) = self.nice {
            let _ = schedule::set_nice(nice);
        }
        if let Some(io) = self.io {
            let _ = schedule::set_io_priority(io);
        }
        // Hooks of the caller's are no part of the container.
        if let Some(time) = &self.time {
            let _ = process::join_namespaces(time.as_fd(), Namespaces::TIME);
        }
    }
}

fn unreadable(call: &'static str, errno: Errno) -> SandboxError {
    SandboxError::host("read the launcher's own scheduling", call, "0", errno)
}

/// The child sets the limits themselves: it may lower, and the launcher raises here what it has to lower from.
fn raise_hard_limit(limit: &RlimitPlan, names: &Names) -> Result<(), SandboxError> {
    let name = &limit.resource;
    let resource = Resource::by_name(name)
        .ok_or_else(|| SandboxError::request(format!("there is no limit \"{}\"", name.escape_debug())))?;
    let (soft, hard) = privilege::limit(resource)
        .map_err(|errno| SandboxError::host("read the launcher's limits", "prlimit", name.clone(), errno))?;
    let wanted = limit.hard.unwrap_or(u64::MAX);
    if wanted <= hard {
        return Ok(());
    }
    privilege::set_limit(resource, soft, wanted).map_err(|errno| {
        let word = |value: u64| if value == u64::MAX { "unlimited".to_owned() } else { value.to_string() };
        let (option, wanted) = (names.limit, word(wanted));
        let what = format!("{option} {name}={wanted} is above the hard limit here, which is {}", word(hard));
        match errno {
            Errno::EPERM if name == "nofile" => names.refuse(
                what,
                "raising it needs CAP_SYS_RESOURCE in the first user namespace, and /proc/sys/fs/nr_open is its most",
            ),
            Errno::EPERM => names.refuse(
                what,
                "raising it needs CAP_SYS_RESOURCE in the first user namespace: give a lower limit, or raise ctr-run's own (systemd: LimitX=)",
            ),
            errno => SandboxError::host(format!("set the limit {name}"), "prlimit", wanted, errno),
        }
    })
}

/// Sets it and says what it was. The way back is open to everybody: the kernel remembers the least that root ever set.
fn take_oom_score_adj(score: i32, names: &Names) -> Result<i32, SandboxError> {
    let (path, option) = (Path::new(OOM_SCORE_ADJ), names.oom_score_adj);
    let host = |call, error: &std::io::Error| {
        let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
        SandboxError::host(format!("set {option} {score}"), call, OOM_SCORE_ADJ, errno)
    };
    let text = small::read(path, 64).map_err(|error| host("read", &error))?.unwrap_or_default();
    let now = String::from_utf8_lossy(&text).trim().parse().unwrap_or(0);
    match small::write_existing(path, score.to_string().as_bytes()) {
        Ok(()) => Ok(now),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Err(names.refuse(
            format!("{option} {score} is not permitted: it is {now} here, and less needs CAP_SYS_RESOURCE"),
            format!("give {now} or more, or start ctr-run with that value (systemd: OOMScoreAdjust=)"),
        )),
        Err(error) => Err(host("write", &error)),
    }
}

/// A nice value that is less than ours; the child sets any other itself.
fn lower_nice(nice: i32, names: &Names) -> Result<Option<i32>, SandboxError> {
    let now = schedule::nice().map_err(|errno| unreadable("getpriority", errno))?;
    if nice >= now {
        return Ok(None);
    }
    schedule::set_nice(nice).map_err(|errno| {
        let need = format!("it is {now} here, and less needs CAP_SYS_NICE");
        names.refused(&format!("{} {nice}", names.nice), &need, "setpriority", errno)
    })?;
    Ok(Some(now))
}

fn take_scheduler(scheduler: Scheduler, names: &Names) -> Result<SchedulerAttributes, SandboxError> {
    let now = schedule::scheduler().map_err(|errno| unreadable("sched_getattr", errno))?;
    schedule::set_scheduler(scheduler.attributes(now.nice, 0)).map_err(|errno| {
        let need = "a real-time policy needs CAP_SYS_NICE";
        names.refused(&format!("{} {scheduler}", names.scheduler), need, "sched_setattr", errno)
    })?;
    Ok(now)
}

/// A time namespace for the launcher's children: the container's processes are born in it (time_namespaces(7)).
fn make_time_namespace(clocks: ClockOffsets, names: &Names) -> Result<(), SandboxError> {
    process::unshare(Namespaces::TIME).map_err(|errno| {
        let what = format!("make a time namespace for {}", names.clocks);
        let error = SandboxError::host(what, "unshare", "CLONE_NEWTIME", errno);
        match errno {
            Errno::EINVAL => error.hinted("this kernel has no time namespaces (Linux 5.6, CONFIG_TIME_NS)"),
            _ => error,
        }
    })?;
    let mut text = String::new();
    for (clock, offset) in [("monotonic", clocks.monotonic), ("boottime", clocks.boottime)] {
        if let Some(nanos) = offset {
            let (seconds, rest) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
            let _ = std::fmt::Write::write_fmt(&mut text, format_args!("{clock} {seconds} {rest}\n"));
        }
    }
    if text.is_empty() {
        return Ok(());
    }
    small::write_existing(Path::new("/proc/self/timens_offsets"), text.as_bytes()).map_err(|error| {
        let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
        let error = SandboxError::host(format!("set {}", names.clocks), "write", "/proc/self/timens_offsets", errno);
        match errno {
            Errno::ERANGE => error.hinted("a clock would be before its beginning, or more than 146 years after it"),
            Errno::EPERM => error.hinted("it needs CAP_SYS_TIME"),
            _ => error,
        }
    })
}
