//! A hundred detached containers, and what user namespaces cost.

use std::path::Path;

use anyhow::{Context, Result};

use crate::bench::contest::{Contestant, interleave, median};
use crate::bench::report::{CPU, Report, WALL, duration};
use crate::bench::stage::{LIMITS, Stage};
use crate::shell;

const CONTAINERS: usize = 100;
/// As many starts at once as the smallest machine has processors.
const PARALLEL: usize = 2;

/// Until all are up: `ctr-run` beside `podman run -d` of the same image, and what our inits hold.
pub(super) fn hundred(stage: &Stage, rounds: usize, report: &mut Report) -> Result<()> {
    let stopwatch = stage.word("measure");
    let root = stage.word("ctr");
    let start = [&stage.binary("ctr-run"), "--log=none", "--entrypoint", "/bin/sleep", "small", "600"];
    let ours = Contestant::new("ctr-run", &start).with("CTR_ROOT", &root);
    let theirs = podman(stage);
    let (mut own, mut other, mut dirty) = (Vec::new(), Vec::new(), 0);
    for _ in 0..rounds {
        own.extend(ours.measure(&stopwatch, CONTAINERS, PARALLEL)?.1);
        dirty = dirty.max(largest_init(&stage.path("ctr"))?);
        shell::succeeds(stage.ctr("ctr-stop").args(["--all", "--timeout", "0"]));
        shell::succeeds(stage.ctr("ctr-gc").args(["--grace", "0s"]));
        if let Ok(theirs) = &theirs {
            other.extend(theirs.measure(&stopwatch, CONTAINERS, PARALLEL)?.1);
            shell::succeeds(&mut stage.podman_command(&["rm", "--all", "--force", "--time", "0"]));
        }
    }
    if let Err(error) = &theirs {
        eprintln!("left out: podman: {error:#}");
    }
    let (own, other) = (median(own), median(other));
    let ratio = other / own;
    report.section(format!(
        "## A hundred detached containers\n\nFrom the first command to the last one's end, {PARALLEL} at once, no output kept; \
         podman with `--network none`.\n\n| | all up | × ours |\n|---|---:|---:|\n| ctr-run | {} | 1.00 |\n| podman run -d | {} | {ratio:.2} |\n\n\
         - What remains of ours: one init in each container, with {dirty} KiB of memory of its own (Private_Dirty) at most; nothing outside.\n",
        duration(own),
        duration(other)
    ));
    Ok(())
}

fn podman(stage: &Stage) -> Result<Contestant> {
    if !shell::succeeds(&mut stage.podman_command(&["image", "exists", "small"])) {
        stage.load_into_podman()?;
    }
    let podman = stage.podman();
    let mut words: Vec<&str> = podman.iter().map(String::as_str).collect();
    words.extend(["run", "--detach", "--network", "none"]);
    words.extend(LIMITS);
    words.extend(["--entrypoint", "/bin/sleep", "small", "600"]);
    // podman uses crun, which refuses a host with both cgroup versions.
    Ok(Contestant::new("podman run -d", &words).without_unified())
}

/// The largest Private_Dirty, in KiB, of the inits of a root's containers.
fn largest_init(root: &Path) -> Result<u64> {
    let run = root.join("containers/run");
    let mut largest = 0;
    for entry in std::fs::read_dir(&run).with_context(|| format!("read {}", run.display()))? {
        let text = std::fs::read_to_string(entry?.path().join("process"))?;
        let record: serde_json::Value = serde_json::from_str(&text)?;
        let pid = record.get("pid").and_then(serde_json::Value::as_u64).context("a process record without pid")?;
        let memory = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let line = memory.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).unwrap_or_default();
        largest = largest.max(line.split_whitespace().next().unwrap_or("0").parse()?);
    }
    Ok(largest)
}

/// The default, a user namespace over idmapped layers, beside the host's ids.
#[expect(clippy::unnecessary_wraps, reason = "a section")]
pub(super) fn userns(stage: &Stage, rounds: usize, report: &mut Report) -> Result<()> {
    let (root, binary) = (stage.word("ctr"), stage.binary("ctr-run"));
    let run = |name: &str, words: &[&str]| {
        let start = [&[binary.as_str(), "--wait", "--rm"], words, &["small"]].concat();
        Contestant::new(name, &start).with("CTR_ROOT", &root)
    };
    let mut contestants = vec![
        run("--userns=host", &["--userns=host"]),
        run("the default: --userns=auto", &[]),
        run("--userns=0:700000:65536", &["--userns=0:700000:65536"]),
    ];
    interleave(&mut contestants, &stage.word("measure"), rounds, 10);
    let note = "`ctr-run --wait --rm` with a user namespace of the container's own over idmapped layers, beside the host's ids.";
    report.table("User namespaces", note, &contestants, &[WALL, CPU]);
    Ok(())
}
