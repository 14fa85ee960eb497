//! From limits to what is written to which file, in the words of both versions of control groups.

use super::{Need, Wanted, Write};
use crate::error::SandboxError;
use crate::options::{Amount, CpuWeight, IoUnit, IoWeight, Limits, RAW_CONTROLLERS};

/// Microseconds of the period over which CPU time is counted, unless asked otherwise.
const CPU_PERIOD: u64 = 100_000;
/// What the kernel takes as a period, in microseconds (Linux, kernel/sched/core.c).
const CPU_PERIODS: std::ops::RangeInclusive<u64> = 1000..=1_000_000;

/// What every controller is to do, and the CPU limit in thousandths of a CPU.
pub(super) fn wanted(limits: &Limits, pids: Option<u64>) -> Result<(Vec<Wanted>, Option<u64>), SandboxError> {
    let (cpu, millis) = cpu(limits)?;
    let mut all = vec![memory(limits)?, cpu, cpuset(limits), io(limits), hugetlb(limits), self::pids(limits, pids)];
    all.extend(raw(limits));
    all.retain(|wanted| !wanted.v2.is_empty() || !wanted.v1.is_empty());
    Ok((all, millis))
}

fn wants(controller: &'static str, v1_name: &'static str) -> Wanted {
    Wanted { controller, v1_name, ..Wanted::default() }
}

impl Wanted {
    fn both(&mut self, need: Need, v2: (&str, String), v1: (&str, String)) {
        self.v2(need, v2.0, v2.1);
        self.v1(need, v1.0, v1.1);
    }

    fn v2(&mut self, need: Need, file: impl Into<String>, value: impl Into<String>) {
        self.v2.push(Write { file: file.into(), value: value.into(), need });
    }

    fn v1(&mut self, need: Need, file: impl Into<String>, value: impl Into<String>) {
        self.v1.push(Write { file: file.into(), value: value.into(), need });
    }
}

fn memory(limits: &Limits) -> Result<Wanted, SandboxError> {
    let mut wanted = wants("memory", "memory");
    let asked = Need::Asked("--memory");
    if let Some(memory) = limits.memory {
        wanted.both(asked, ("memory.max", memory.to_string()), ("memory.limit_in_bytes", memory.to_string()));
        // One process that is out of memory ends the container, not a random part of it.
        wanted.v2(Need::Welcome, "memory.oom.group", "1");
    }
    swap(limits, &mut wanted)?;
    if let Some(reservation) = limits.memory_reservation {
        if limits.memory.is_some_and(|memory| reservation > memory) {
            return Err(SandboxError::request("--memory-reservation is larger than --memory"));
        }
        let value = reservation.to_string();
        let need = Need::Asked("--memory-reservation");
        wanted.both(need, ("memory.low", value.clone()), ("memory.soft_limit_in_bytes", value));
    }
    if limits.oom_kill_disable {
        wanted.v1_only = Some("--oom-kill-disable");
        wanted.v1(Need::Asked("--oom-kill-disable"), "memory.oom_control", "1");
    }
    Ok(wanted)
}

/// docker's `--memory-swap` is memory and swap together, cgroup v1's too; v2 counts swap alone.
fn swap(limits: &Limits, wanted: &mut Wanted) -> Result<(), SandboxError> {
    let (v2, v1) = ("memory.swap.max", "memory.memsw.limit_in_bytes");
    let asked = Need::Asked("--memory-swap");
    match (limits.memory_swap, limits.memory) {
        (None, None) => {}
        // As much swap again as memory. A kernel without swap accounting has mostly no swap either.
        (None, Some(memory)) => {
            let both = memory.saturating_mul(2).to_string();
            wanted.both(Need::Welcome, (v2, memory.to_string()), (v1, both));
        }
        (Some(_), None) => {
            return Err(SandboxError::request_hint(
                "--memory-swap limits memory and swap together, and needs --memory",
                "give both, as in --memory 512M --memory-swap 1G",
            ));
        }
        (Some(Amount::Unlimited), Some(_)) => wanted.both(asked, (v2, "max".to_owned()), (v1, "-1".to_owned())),
        (Some(Amount::At(total)), Some(memory)) => {
            let swap = total.checked_sub(memory).ok_or_else(|| {
                SandboxError::request_hint(
                    "--memory-swap is smaller than --memory: it is the sum of memory and swap",
                    "give at least as much; the same as --memory means no swap",
                )
            })?;
            wanted.both(asked, (v2, swap.to_string()), (v1, total.to_string()));
        }
    }
    Ok(())
}

fn cpu(limits: &Limits) -> Result<(Wanted, Option<u64>), SandboxError> {
    let mut wanted = wants("cpu", "cpu");
    let period = limits.cpu_period.unwrap_or(CPU_PERIOD);
    if !CPU_PERIODS.contains(&period) {
        return Err(SandboxError::request(format!(
            "--cpu-period {period}: the kernel takes 1000 to 1000000 microseconds"
        )));
    }
    let (option, quota) = match (limits.cpu_millis, limits.cpu_quota) {
        (Some(_), Some(_)) => {
            return Err(SandboxError::request_hint(
                "--cpus and --cpu-quota are two notations of one limit",
                "give one of them",
            ));
        }
        (Some(millis), None) => ("--cpus", Some(Amount::At((millis.saturating_mul(period) / 1000).max(1000)))),
        (None, Some(quota)) => ("--cpu-quota", Some(quota)),
        (None, None) => ("--cpu-period", limits.cpu_period.map(|_| Amount::Unlimited)),
    };
    let mut millis = None;
    if let Some(quota) = quota {
        let need = Need::Asked(option);
        let (v2, v1) = match quota {
            Amount::At(quota) if quota < 1000 => {
                return Err(SandboxError::request(format!(
                    "{option}: the kernel's least is 1000 microseconds in a period"
                )));
            }
            Amount::At(quota) => {
                millis = Some(limits.cpu_millis.unwrap_or(quota.saturating_mul(1000) / period));
                (quota.to_string(), quota.to_string())
            }
            Amount::Unlimited => ("max".to_owned(), "-1".to_owned()),
        };
        wanted.v2(need, "cpu.max", format!("{v2} {period}"));
        wanted.v1(need, "cpu.cfs_period_us", period.to_string());
        wanted.v1(need, "cpu.cfs_quota_us", v1);
    }
    if let Some(weight) = limits.cpu_weight {
        let (option, shares, weight) = match weight {
            CpuWeight::Shares(shares) => ("--cpu-shares", shares, weight_of_shares(shares)),
            CpuWeight::Weight(weight) => ("--cpu-weight", shares_of_weight(weight), weight),
        };
        let need = Need::Asked(option);
        wanted.both(need, ("cpu.weight", weight.to_string()), ("cpu.shares", shares.to_string()));
    }
    Ok((wanted, millis))
}

/// `cpu.weight` of `cpu.shares`. The curve of runc 1.4 and crun 1.23, which maps the least, the greatest and everybody's
/// share of v1 (2, 262144, 1024) to those of v2 (1, 10000, 100); the older straight line made 39 of everybody's.
pub fn weight_of_shares(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        shares => {
            #[expect(clippy::cast_precision_loss, reason = "below 2^18")]
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 10000")]
            let weight = 10f64.powf(exponent).ceil() as u64;
            weight.clamp(1, 10_000)
        }
    }
}

/// `cpu.shares` of `cpu.weight`, as the kernel itself has it (Linux, kernel/sched/sched.h, `sched_weight_from_cgroup`).
fn shares_of_weight(weight: u64) -> u64 {
    (weight.saturating_mul(1024).saturating_add(50) / 100).clamp(2, 262_144)
}

/// On v1 a group without CPUs or without memory nodes takes no process: what is not given is copied from above (prepare).
fn cpuset(limits: &Limits) -> Wanted {
    let mut wanted = wants("cpuset", "cpuset");
    let files =
        [("cpuset.cpus", "--cpuset-cpus", &limits.cpuset_cpus), ("cpuset.mems", "--cpuset-mems", &limits.cpuset_mems)];
    for (file, option, list) in files {
        if let Some(list) = list {
            wanted.both(Need::Asked(option), (file, list.clone()), (file, list.clone()));
        }
    }
    wanted
}

fn io(limits: &Limits) -> Wanted {
    let mut wanted = wants("io", "blkio");
    if let Some(weight) = limits.io_weight {
        let (option, blkio, io) = match weight {
            // The line that runc and crun draw through the two ranges.
            IoWeight::Blkio(weight) => ("--blkio-weight", weight, 1 + weight.saturating_sub(10) * 9999 / 990),
            IoWeight::Io(weight) => ("--io-weight", 10 + weight.saturating_sub(1) * 990 / 9999, weight),
        };
        wanted.both(Need::Asked(option), ("io.weight", format!("default {io}")), ("blkio.weight", blkio.to_string()));
    }
    for rate in &limits.io_rates {
        let (option, key, file) = match rate.unit {
            IoUnit::ReadBytes => ("--device-read-bps", "rbps", "blkio.throttle.read_bps_device"),
            IoUnit::WriteBytes => ("--device-write-bps", "wbps", "blkio.throttle.write_bps_device"),
            IoUnit::Reads => ("--device-read-iops", "riops", "blkio.throttle.read_iops_device"),
            IoUnit::Writes => ("--device-write-iops", "wiops", "blkio.throttle.write_iops_device"),
        };
        let device = format!("{}:{}", rate.major, rate.minor);
        wanted.both(
            Need::Asked(option),
            ("io.max", format!("{device} {key}={}", rate.rate)),
            (file, format!("{device} {}", rate.rate)),
        );
    }
    wanted
}

fn hugetlb(limits: &Limits) -> Wanted {
    let mut wanted = wants("hugetlb", "hugetlb");
    for (size, limit) in &limits.hugetlb {
        let need = Need::Asked("--hugetlb");
        wanted.v2(need, format!("hugetlb.{size}.max"), limit.to_string());
        wanted.v1(need, format!("hugetlb.{size}.limit_in_bytes"), limit.to_string());
        // Reservations too: what is reserved and not there ends a program by SIGBUS.
        wanted.v2(Need::Welcome, format!("hugetlb.{size}.rsvd.max"), limit.to_string());
        wanted.v1(Need::Welcome, format!("hugetlb.{size}.rsvd.limit_in_bytes"), limit.to_string());
    }
    wanted
}

fn pids(limits: &Limits, pids: Option<u64>) -> Wanted {
    let mut wanted = wants("pids", "pids");
    if let Some(pids) = pids {
        let need = if limits.pids.is_some() { Need::Asked("--pids-limit") } else { Need::Default };
        wanted.both(need, ("pids.max", pids.to_string()), ("pids.max", pids.to_string()));
    }
    wanted
}

/// Files of v2 by name, each to its controller. The request has checked the names.
fn raw(limits: &Limits) -> Vec<Wanted> {
    let mut all = Vec::new();
    for controller in RAW_CONTROLLERS {
        let mut wanted = wants(controller, if controller == "io" { "blkio" } else { controller });
        let ours = limits.raw.iter().filter(|(file, _)| file.split('.').next() == Some(controller));
        for (file, value) in ours {
            wanted.v2(Need::Asked("--cgroup-conf"), file.clone(), value.clone());
        }
        all.push(wanted);
    }
    all
}
