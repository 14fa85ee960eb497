//! Starting: one at a time, and many at once.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::{Context, Result};

use crate::bench::contest::{Contestant, interleave, median};
use crate::bench::report::{CPU, Report, WALL, duration};
use crate::bench::stage::{LIMITS, Stage};
use crate::shell;

/// Every contestant of a start, ours first.
fn contestants(stage: &Stage) -> Result<Vec<Contestant>> {
    let root = stage.word("ctr");
    let ours = Contestant::new("ctr-run", &[&stage.binary("ctr-run"), "--wait", "--rm", "small"]);
    let floor =
        [stage.word("floor"), stage.word("rootfs"), stage.word("scratch"), stage.cgroups()?, "/bin/true".to_owned()];
    let mut all = vec![ours.with("CTR_ROOT", &root), Contestant::new("floor", &floor.each_ref().map(String::as_str))];
    let rootfs = stage.word("rootfs");
    let bwrap = ["bwrap", "--unshare-all", "--bind", &rootfs, "/", "--proc", "/proc", "--dev", "/dev", "/bin/true"];
    all.push(Contestant::new("bwrap", &bwrap));
    if !stage.path("bundle").exists()
        && let Err(error) = stage.load_into_podman().and_then(|()| stage.bundle())
    {
        eprintln!("left out: podman, crun and runc: {error:#}");
        return Ok(all);
    }
    let bundle = stage.word("bundle");
    let state = stage.word("state");
    let crun = ["crun", "--root", &state, "run", "--bundle", &bundle, "bench-{}"];
    all.push(Contestant::new("crun run", &crun).without_unified());
    let runc = ["runc", "--root", &state, "run", "--bundle", &bundle, "bench-{}"];
    all.push(Contestant::new("runc run", &runc));
    let podman = stage.podman();
    let mut words: Vec<&str> = podman.iter().map(String::as_str).collect();
    words.extend(["run", "--rm", "--network", "none"]);
    words.extend(LIMITS);
    words.push("small");
    all.push(Contestant::new("podman run", &words).without_unified());
    Ok(all)
}

/// One start after the other: the wall time from the command to its end, the program being `true`.
pub(super) fn alone(stage: &Stage, rounds: usize, report: &mut Report) -> Result<()> {
    let mut contestants = contestants(stage)?;
    let stopwatch = stage.word("measure");
    interleave(&mut contestants, &stopwatch, rounds, 5);
    report.table(
        "Start",
        "From the command to its end, the program being `true`: `ctr-run --wait --rm` of a stored image with all defaults; the floor \
         program; bwrap with all namespaces over the same directory (no cgroups, no overlay, no seccomp); `crun run` and `runc run` \
         of an equal bundle without an overlay; `podman run --rm --network none` of the same image. crun refuses a host with both \
         cgroup versions, so it and podman, which uses it, run where the v2 mount is not in sight. CPU counts the command and the \
         children that it waits for; podman's monitor is not among them.",
        &contestants,
        &[WALL, CPU],
    );
    report.lines(&[syscalls(stage)?, peak(stage, &stopwatch)?]);
    Ok(())
}

/// System calls of the launcher itself, its child not counted.
fn syscalls(stage: &Stage) -> Result<String> {
    let summary = stage.word("strace");
    let mut strace = Command::new("strace");
    strace.env("CTR_ROOT", stage.path("ctr")).args(["-c", "-o", &summary, &stage.binary("ctr-run")]);
    shell::output(strace.args(["--wait", "--rm", "small"]))?;
    let text = std::fs::read_to_string(&summary).with_context(|| format!("read {summary}"))?;
    let total = text.lines().find(|line| line.ends_with("total")).context("strace printed no total")?;
    // % time, seconds, usecs/call, calls, errors.
    let calls: u64 = total.split_whitespace().nth(3).unwrap_or_default().parse().context("strace's total")?;
    let hierarchies = stage.cgroups()?.split(',').count();
    Ok(format!(
        "system calls of the launcher (`strace -c`, without its child): {calls} with {hierarchies} cgroup hierarchies joined"
    ))
}

/// Peak memory of the launcher itself: detached, so that it waits for nothing.
fn peak(stage: &Stage, stopwatch: &str) -> Result<String> {
    let detached = [&stage.binary("ctr-run"), "--rm", "--log=none", "small"];
    let detached = Contestant::new("detached", &detached).with("CTR_ROOT", &stage.word("ctr"));
    let (costs, _) = detached.measure(stopwatch, 10, 1)?;
    let peak = median(costs.iter().map(|cost| cost.peak_kib).collect());
    let wall = median(costs.iter().map(|cost| cost.wall).collect());
    shell::succeeds(&mut stage.ctr("ctr-gc"));
    let peak = peak / 1024.0;
    Ok(format!("detached `ctr-run`: peak memory {peak:.2} MiB, {} from the command to its return", duration(wall)))
}

/// Times of one contestant with 1, 16 and 256 starts at once, each divided by the number of starts.
struct Crowd {
    contestant: Contestant,
    each: [Vec<f64>; 3],
}

const CROWDS: [u32; 3] = [1, 16, 256];

/// Many starts at once: the time for all of them, divided by their number.
pub(super) fn parallel(stage: &Stage, rounds: usize, report: &mut Report) -> Result<()> {
    let stopwatch = stage.word("measure");
    let mut crowds: Vec<Crowd> = contestants(stage)?
        .into_iter()
        .map(|contestant| Crowd { contestant, each: [const { Vec::new() }; 3] })
        .collect();
    for round in 0..rounds {
        for crowd in &mut crowds {
            // The largest crowd takes minutes with some peers; one in three rounds has it.
            let counts = if round % 3 == 0 { 3 } else { 2 };
            for (times, count) in crowd.each.iter_mut().zip(CROWDS).take(counts) {
                match time_for_each(&crowd.contestant, &stopwatch, count) {
                    Ok(time) => times.push(time),
                    Err(error) => eprintln!("{} × {count}: {error:#}", crowd.contestant.name),
                }
            }
        }
    }
    let cores = u32::try_from(std::thread::available_parallelism()?.get())?;
    let mut text = format!(
        "## Many at once\n\nThe time for all, divided by their number; and that against one start's time divided by the {cores} cores.\n\n\
         | | one | 16 at once, each | × share | 256 at once, each | × share |\n|---|---:|---:|---:|---:|---:|\n"
    );
    for crowd in crowds {
        let [one, some, many] = crowd.each.map(median);
        let share = one / f64::from(cores);
        let against = |each: f64| format!("{} | {:.2}", duration(each), each / share);
        let _ =
            writeln!(text, "| {} | {} | {} | {} |", crowd.contestant.name, duration(one), against(some), against(many));
    }
    report.section(text);
    Ok(())
}

fn time_for_each(contestant: &Contestant, stopwatch: &str, count: u32) -> Result<f64> {
    if count == 1 {
        let (costs, _) = contestant.measure(stopwatch, 5, 1)?;
        return Ok(median(costs.iter().map(|cost| cost.wall).collect()));
    }
    let (_, total) = contestant.measure(stopwatch, usize::try_from(count)?, usize::try_from(count)?)?;
    Ok(total.context("the stopwatch printed no total")? / f64::from(count))
}
