//! How the program is scheduled: `process.scheduler`, `ioPriority`, `oomScoreAdj`, `execCPUAffinity`.

use ctr_sandbox::options::{Cpus, IoClass, IoPriority, JoinCpus, Scheduler, Scheduling};
use ctr_sys::schedule;

use super::TranslateError;
use crate::config::{self, Process};

/// How the kernel schedules the program of the process whose property path is `property`.
pub(super) fn plan(property: &str, process: &Process) -> Result<Scheduling, TranslateError> {
    if let Some(adjustment) = process.oom_score_adj.filter(|value| !(-1000..=1000).contains(value)) {
        let what = format!("{adjustment} is not a number from -1000 to 1000");
        return Err(TranslateError::invalid(format!("{property}.oomScoreAdj"), what));
    }
    let mut scheduling = Scheduling { oom_score_adj: process.oom_score_adj, ..Scheduling::default() };
    if let Some(wanted) = &process.scheduler {
        let property = format!("{property}.scheduler");
        let (scheduler, nice) = scheduler(&property, wanted)?;
        (scheduling.scheduler, scheduling.nice) = (Some(scheduler), nice);
        for (index, flag) in wanted.flags.iter().enumerate() {
            scheduling.scheduler_flags |= schedule::scheduler_flag(flag).ok_or_else(|| {
                let what = format!("there is no flag \"{}\"", flag.escape_debug());
                TranslateError::invalid(format!("{property}.flags[{index}]"), what)
            })?;
        }
    }
    if let Some(wanted) = &process.io_priority {
        scheduling.io = Some(io_priority(&format!("{property}.ioPriority"), wanted)?);
    }
    if let Some(wanted) = &process.exec_cpu_affinity {
        let cpus = |name: &str, text: &str| {
            let at = || format!("{property}.execCPUAffinity.{name}");
            let what = || format!("\"{}\" is no list of CPUs", text.escape_debug());
            let parse = || Cpus::parse(text).ok_or_else(|| TranslateError::invalid(at(), what()));
            (!text.is_empty()).then(parse).transpose()
        };
        scheduling.join_cpus =
            Some(JoinCpus { initial: cpus("initial", &wanted.initial)?, last: cpus("final", &wanted.last)? });
    }
    Ok(scheduling)
}

/// The policy, and the nice value of those that have one. Parameters of other policies must be 0, which is what they are when
/// they are not given.
fn scheduler(property: &str, wanted: &config::Scheduler) -> Result<(Scheduler, Option<i32>), TranslateError> {
    let invalid = |name: &str, what: String| TranslateError::invalid(format!("{property}.{name}"), what);
    let deadlines = [("runtime", wanted.runtime), ("deadline", wanted.deadline), ("period", wanted.period)];
    let none_of = |name: &str| invalid(name, format!("{} has no such parameter", wanted.policy));
    let by_deadlines = wanted.policy == "SCHED_DEADLINE";
    if let Some((name, _)) = deadlines.iter().find(|(_, value)| *value != 0 && !by_deadlines) {
        return Err(none_of(name));
    }
    let real_time = matches!(wanted.policy.as_str(), "SCHED_FIFO" | "SCHED_RR");
    if wanted.priority != 0 && !real_time {
        return Err(none_of("priority"));
    }
    let with_nice = matches!(wanted.policy.as_str(), "SCHED_OTHER" | "SCHED_BATCH");
    if wanted.nice != 0 && !with_nice {
        return Err(none_of("nice"));
    }
    if !(-20..=19).contains(&wanted.nice) {
        return Err(invalid("nice", format!("{} is not a number from -20 to 19", wanted.nice)));
    }
    let priority = || {
        let value = u32::try_from(wanted.priority).ok().filter(|value| (1..=99).contains(value));
        value.ok_or_else(|| invalid("priority", format!("{} is not a number from 1 to 99", wanted.priority)))
    };
    let scheduler = match wanted.policy.as_str() {
        "SCHED_OTHER" => Scheduler::Other,
        "SCHED_BATCH" => Scheduler::Batch,
        "SCHED_IDLE" => Scheduler::Idle,
        "SCHED_FIFO" => Scheduler::Fifo { priority: priority()? },
        "SCHED_RR" => Scheduler::Rr { priority: priority()? },
        "SCHED_DEADLINE" => {
            let (runtime, deadline, period) = (wanted.runtime, wanted.deadline, wanted.period);
            Scheduler::Deadline { runtime, deadline, period }
        }
        "SCHED_ISO" => return Err(TranslateError::unavailable(format!("{property}.policy"), "Linux has no SCHED_ISO")),
        other => return Err(invalid("policy", format!("\"{}\" is no policy", other.escape_debug()))),
    };
    Ok((scheduler, with_nice.then_some(wanted.nice)))
}

fn io_priority(property: &str, wanted: &config::IoPriority) -> Result<IoPriority, TranslateError> {
    let class = match wanted.class.as_str() {
        "IOPRIO_CLASS_RT" => IoClass::RealTime,
        "IOPRIO_CLASS_BE" => IoClass::BestEffort,
        "IOPRIO_CLASS_IDLE" => IoClass::Idle,
        other => {
            let what =
                format!("\"{}\" is none of IOPRIO_CLASS_RT, IOPRIO_CLASS_BE, IOPRIO_CLASS_IDLE", other.escape_debug());
            return Err(TranslateError::invalid(format!("{property}.class"), what));
        }
    };
    let level = u8::try_from(wanted.priority).ok().filter(|level| *level <= 7);
    let level = level.ok_or_else(|| {
        TranslateError::invalid(
            format!("{property}.priority"),
            format!("{} is not a number from 0 to 7", wanted.priority),
        )
    })?;
    Ok(IoPriority { class, level })
}
