//! The OCI runtime beside crun and runc: equal bundles, each command by itself.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::bench::contest::{Contestant, Cost, interleave, median};
use crate::bench::report::{CPU, PEAK, Report, WALL, duration, memory};
use crate::bench::stage::Stage;

/// Commands of a container's life, in the order in which the stopwatch runs them.
const COMMANDS: [&str; 6] = ["create", "start", "state", "exec", "kill", "delete"];

/// What is compared: a figure of some commands, added up (for memory: the largest).
const FIGURES: [(&str, &[&str]); 5] = [
    ("create + start + delete", &["create", "start", "delete"]),
    ("state", &["state"]),
    ("exec", &["exec"]),
    ("kill + delete", &["kill", "delete"]),
    ("all six", &COMMANDS),
];

/// A runtime, and what its commands cost in each run.
struct Runtime {
    name: &'static str,
    contestant: Contestant,
    costs: [Vec<Cost>; 6],
}

/// `run`, then the commands of a life, then `run` with and without a seccomp profile.
pub(super) fn oci(stage: &Stage, rounds: usize, report: &mut Report) -> Result<()> {
    if !stage.path("bundle").exists() {
        stage.load_into_podman().and_then(|()| stage.bundle()).context("podman makes the bundle")?;
    }
    bundle(stage, "oci-true", &json!(["/bin/true"]), false)?;
    bundle(stage, "oci-sleep", &json!(["/bin/sleep", "1000"]), false)?;
    bundle(stage, "oci-filtered", &json!(["/bin/true"]), true)?;
    stage.compile("lifecycle")?;
    run(stage, rounds, report);
    life(stage, rounds, report)?;
    filtered(stage, rounds, report)
}

/// The bundle that podman made, with other arguments, with its seccomp profile or without.
fn bundle(stage: &Stage, name: &str, arguments: &Value, seccomp: bool) -> Result<()> {
    let mut config: Value = serde_json::from_slice(&fs::read(stage.path("bundle/config.json"))?)?;
    *config.pointer_mut("/process/args").context("config.json has no arguments")? = arguments.clone();
    *config.pointer_mut("/root/path").context("config.json has no root")? = json!(stage.word("bundle/rootfs"));
    if !seccomp && let Some(linux) = config.get_mut("linux").and_then(Value::as_object_mut) {
        linux.remove("seccomp");
    }
    fs::create_dir_all(stage.path(name))?;
    Ok(fs::write(stage.path(name).join("config.json"), config.to_string())?)
}

/// The program and the global options of each runtime, ours first.
fn runtimes(stage: &Stage) -> [(&'static str, [String; 3]); 3] {
    let words = |program: String| {
        let root = format!("{}-oci-{}", stage.word("state"), program.rsplit('/').next().unwrap_or_default());
        [program, "--root".to_owned(), root]
    };
    [
        ("ctr-oci", words(stage.binary("ctr-oci"))),
        ("crun", words("crun".to_owned())),
        ("runc", words("runc".to_owned())),
    ]
}

/// crun refuses a host with both cgroup versions, so all run where the v2 mount is not in sight.
fn runner(stage: &Stage, name: &str, program: &[String; 3], bundle: &str) -> Contestant {
    let mut words: Vec<&str> = program.iter().map(String::as_str).collect();
    let bundle = stage.word(bundle);
    words.extend(["run", "--bundle", &bundle, "oci-{}"]);
    Contestant::new(name, &words).without_unified()
}

fn run(stage: &Stage, rounds: usize, report: &mut Report) {
    let mut contestants: Vec<Contestant> = runtimes(stage)
        .iter()
        .map(|(name, program)| runner(stage, &format!("{name} run"), program, "oci-true"))
        .collect();
    interleave(&mut contestants, &stage.word("measure"), rounds, 5);
    report.table(
        "An OCI bundle: run",
        "From the command to its end, the program being `true`: `run` of equal bundles, podman's configuration of a small image without \
         its seccomp profile, over a plain directory. All run where the v2 mount of a hybrid host is not in sight, which crun refuses.",
        &contestants,
        &[WALL, CPU, PEAK],
    );
}

fn life(stage: &Stage, rounds: usize, report: &mut Report) -> Result<()> {
    let (lifecycle, bundle, pid_file) = (stage.word("lifecycle"), stage.word("oci-sleep"), stage.word("oci-pid"));
    let mut all: Vec<Runtime> = runtimes(stage)
        .into_iter()
        .map(|(name, program)| {
            let words = [bundle.as_str(), pid_file.as_str()].into_iter().chain(program.iter().map(String::as_str));
            let contestant = Contestant::new(name, &words.collect::<Vec<_>>()).without_unified();
            Runtime { name, contestant, costs: [const { Vec::new() }; 6] }
        })
        .collect();
    for round in 0..=rounds {
        for runtime in &mut all {
            let text = runtime.contestant.printed(&lifecycle, 3)?;
            // The first round warms the page cache.
            if round > 0 {
                runtime.read(&text)?;
            }
        }
    }
    report.section(table(&all));
    Ok(())
}

impl Runtime {
    fn read(&mut self, text: &str) -> Result<()> {
        for line in text.lines() {
            let unread = || format!("the stopwatch printed {line:?}");
            let mut words = line.split_whitespace();
            let command = words.next().with_context(unread)?;
            let numbers: Vec<f64> = words.map(str::parse).collect::<Result<_, _>>().with_context(unread)?;
            let &[wall, user, system, peak_kib] = numbers.as_slice() else { anyhow::bail!(unread()) };
            let place = COMMANDS.iter().position(|known| *known == command).with_context(unread)?;
            let cost = Cost { wall: wall / 1e9, cpu: (user + system) / 1e6, peak_kib };
            self.costs.get_mut(place).with_context(unread)?.push(cost);
        }
        Ok(())
    }

    /// The medians of one figure for each of `commands`.
    fn medians(&self, commands: &[&str], of: fn(&Cost) -> f64) -> Vec<f64> {
        let chosen = COMMANDS.iter().zip(&self.costs).filter(|(name, _)| commands.contains(name));
        chosen.map(|(_, costs)| median(costs.iter().map(of).collect())).collect()
    }
}

fn table(all: &[Runtime]) -> String {
    let mut text = "## An OCI bundle: one command at a time\n\nAn equal bundle whose program sleeps: `create`, `start`, `state`, `exec` of `true`, \
                    `kill`, `delete`, each from the command to its end; medians of each, added up. The container's own end, between `kill` and \
                    `delete`, is not counted. Peak memory is the largest of the commands.\n\n| | | wall | × ours | CPU | × ours | peak memory | \
                    × ours |\n|---|---|---:|---:|---:|---:|---:|---:|\n"
        .to_owned();
    for (title, commands) in FIGURES {
        let figures = |runtime: &Runtime| {
            let sum = |of| runtime.medians(commands, of).iter().sum::<f64>();
            let peak = runtime.medians(commands, |cost| cost.peak_kib).into_iter().fold(0.0, f64::max);
            (sum(|cost| cost.wall), sum(|cost| cost.cpu), peak)
        };
        let Some(ours) = all.first().map(figures) else { continue };
        for (place, runtime) in all.iter().enumerate() {
            let (wall, cpu, peak) = figures(runtime);
            let _ = writeln!(
                text,
                "| {} | {} | {} | {:.2} | {} | {:.2} | {} | {:.2} |",
                if place == 0 { title } else { "" },
                runtime.name,
                duration(wall),
                wall / ours.0,
                duration(cpu),
                cpu / ours.1,
                memory(peak),
                peak / ours.2
            );
        }
    }
    text
}

/// What a profile of some 400 system calls adds: compiled once and kept, compiled each time, compiled by libseccomp.
fn filtered(stage: &Stage, rounds: usize, report: &mut Report) -> Result<()> {
    let [ours, crun, runc] = runtimes(stage);
    // Where a file stands nothing can be kept.
    let nowhere = format!("{}-oci-unkept", stage.word("state"));
    fs::create_dir_all(&nowhere)?;
    fs::write(format!("{nowhere}/seccomp"), "")?;
    let unkept = [stage.binary("ctr-oci"), "--root".to_owned(), nowhere];
    let mut contestants = vec![
        runner(stage, "ctr-oci, filter kept", &ours.1, "oci-filtered"),
        runner(stage, "ctr-oci, no filter", &ours.1, "oci-true"),
        runner(stage, "ctr-oci, filter made each time", &unkept, "oci-filtered"),
        runner(stage, "crun", &crun.1, "oci-filtered"),
        runner(stage, "runc", &runc.1, "oci-filtered"),
    ];
    interleave(&mut contestants, &stage.word("measure"), rounds, 5);
    let config: Value = serde_json::from_slice(&fs::read(stage.path("oci-filtered/config.json"))?)?;
    let rules = config.pointer("/linux/seccomp/syscalls").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let calls: usize = rules.iter().filter_map(|rule| Some(rule.get("names")?.as_array()?.len())).sum();
    report.table(
        "An OCI bundle with a seccomp profile",
        &format!("`run` as above with podman's profile of {calls} system calls in {} rules.", rules.len()),
        &contestants,
        &[WALL, CPU],
    );
    Ok(())
}
