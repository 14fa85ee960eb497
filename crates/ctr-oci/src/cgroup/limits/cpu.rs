//! `cpu`.

use ctr_sandbox::plan::weight_of_shares;

use super::{Known, Write, Writes, given, invalid, only_v1};
use crate::config::Cpu;

/// CPUs and memory nodes: one file each, the same in both versions.
pub(super) fn set(cpu: &Cpu) -> Vec<Write> {
    let files = [("cpu.cpus", "cpuset.cpus", &cpu.cpus), ("cpu.mems", "cpuset.mems", &cpu.mems)];
    let given = files.into_iter().filter(|(_, _, list)| !list.is_empty());
    given.map(|(property, file, list)| Write::new(property, file, list)).collect()
}

pub(super) fn v1(cpu: &Cpu) -> Writes {
    check(cpu)?;
    let mut writes = Vec::new();
    if let Some(shares) = given(cpu.shares) {
        if !(2..=262_144).contains(&shares) {
            return Err(invalid("cpu.shares", format!("{shares} is not 2 to 262144")));
        }
        writes.push(Write::new("cpu.shares", "cpu.shares", shares));
    }
    if let Some(period) = given(cpu.period) {
        writes.push(Write::new("cpu.period", "cpu.cfs_period_us", period));
    }
    if let Some(quota) = given(cpu.quota) {
        writes.push(Write::new("cpu.quota", "cpu.cfs_quota_us", quota.max(-1)).optional_if(quota < 0));
    }
    if let Some(burst) = cpu.burst {
        writes.push(Write::new("cpu.burst", "cpu.cfs_burst_us", burst).optional_if(burst == 0));
    }
    if let Some(period) = given(cpu.realtime_period) {
        writes.push(Write::new("cpu.realtimePeriod", "cpu.rt_period_us", period));
    }
    if let Some(runtime) = given(cpu.realtime_runtime) {
        writes.push(Write::new("cpu.realtimeRuntime", "cpu.rt_runtime_us", runtime));
    }
    writes.extend(idle(cpu));
    Ok(writes)
}

pub(super) fn v2(cpu: &Cpu, known: &Known) -> Writes {
    check(cpu)?;
    for (property, asked) in [
        ("cpu.realtimePeriod", given(cpu.realtime_period).is_some()),
        ("cpu.realtimeRuntime", given(cpu.realtime_runtime).is_some()),
    ] {
        if asked {
            return Err(only_v1(property, "a share of real-time"));
        }
    }
    let mut writes = Vec::new();
    if let Some(shares) = given(cpu.shares) {
        writes.push(Write::new("cpu.shares", "cpu.weight", weight_of_shares(shares)));
    }
    let (quota, period) = (given(cpu.quota), given(cpu.period));
    if quota.is_some() || period.is_some() {
        let property = if quota.is_some() { "cpu.quota" } else { "cpu.period" };
        let amount = match quota {
            Some(quota) if quota > 0 => quota.to_string(),
            Some(_) => "max".to_owned(),
            None => known.cpu_quota.clone().unwrap_or_else(|| "max".to_owned()),
        };
        // Without a period the kernel keeps the one it has.
        let value = period.map_or_else(|| amount.clone(), |period| format!("{amount} {period}"));
        writes.push(Write::new(property, "cpu.max", value).optional_if(quota.is_some_and(|quota| quota < 0)));
    }
    if let Some(burst) = cpu.burst {
        writes.push(Write::new("cpu.burst", "cpu.max.burst", burst).optional_if(burst == 0));
    }
    writes.extend(idle(cpu));
    Ok(writes)
}

fn idle(cpu: &Cpu) -> Option<Write> {
    cpu.idle.map(|idle| Write::new("cpu.idle", "cpu.idle", idle).optional_if(idle == 0))
}

/// What the kernel would say with EINVAL alone (Linux, kernel/sched/core.c).
fn check(cpu: &Cpu) -> Result<(), super::CgroupError> {
    if given(cpu.period).is_some_and(|period| !(1000..=1_000_000).contains(&period)) {
        return Err(invalid("cpu.period", "the kernel takes 1000 to 1000000 microseconds"));
    }
    if given(cpu.quota).is_some_and(|quota| (1..1000).contains(&quota)) {
        return Err(invalid("cpu.quota", "the kernel's least is 1000 microseconds in a period"));
    }
    if cpu.idle.is_some_and(|idle| !(0..=1).contains(&idle)) {
        return Err(invalid("cpu.idle", "it is 0 or 1"));
    }
    Ok(())
}
