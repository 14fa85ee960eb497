//! What a system call costs under a filter: ours beside libseccomp's of the same profile.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::bench::contest::median;
use crate::bench::report::Report;
use crate::bench::stage::Stage;
use crate::shell;

/// What the program measures, in the order in which it prints.
const CALLS: [&str; 3] = ["getpid", "read", "personality"];

/// A way to run the program, and what it printed each time.
struct Filtered {
    name: &'static str,
    command: Vec<String>,
    nanoseconds: [Vec<f64>; 3],
}

/// The same program under the same profile, compiled by us and by libseccomp (runc), under our default, and under none.
pub(super) fn calls(stage: &Stage, rounds: usize, report: &mut Report) -> Result<()> {
    stage.compile("syscalls")?;
    if !stage.path("bundle").exists() {
        stage.load_into_podman().and_then(|()| stage.bundle()).context("podman makes the bundle and its profile")?;
    }
    fs::copy(stage.path("syscalls"), stage.path("bundle/rootfs/syscalls"))?;
    let profile = bundle(stage)?;
    let volume = format!("{}:/syscalls", stage.word("syscalls"));
    let ours = |options: &[&str]| -> Vec<String> {
        let run =
            [&stage.binary("ctr-run"), "--wait", "--rm", "--log=inherit", "-v", &volume, "--entrypoint", "/syscalls"];
        run.iter().chain(options).chain(&["small"]).map(|&word| word.to_owned()).collect()
    };
    let runc = ["runc", "--root", &stage.word("state"), "run", "--bundle", &stage.word("filtered"), "bench-filter"];
    let contestant = |name, command| Filtered { name, command, nanoseconds: [const { Vec::new() }; 3] };
    let mut all = [
        contestant("ctr-run, that profile", ours(&["--seccomp", &profile])),
        contestant("runc (libseccomp), that profile", runc.map(str::to_owned).to_vec()),
        contestant("ctr-run, its default profile", ours(&[])),
        contestant("ctr-run, no filter", ours(&["--seccomp", "unconfined"])),
    ];
    for _ in 0..rounds {
        for one in &mut all {
            one.run(stage)?;
        }
    }
    report.section(table(&all));
    Ok(())
}

impl Filtered {
    fn run(&mut self, stage: &Stage) -> Result<()> {
        let (program, words) = self.command.split_first().context("an empty command")?;
        let text = shell::output(Command::new(program).args(words).env("CTR_ROOT", stage.path("ctr")))?;
        for (line, (name, times)) in text.lines().zip(CALLS.iter().zip(&mut self.nanoseconds)) {
            let time = line.strip_prefix(name).with_context(|| format!("{}: {line}", self.name))?;
            times.push(time.trim().parse()?);
        }
        Ok(())
    }
}

/// The bundle of podman's profile for this program; returns where its profile lies by itself.
fn bundle(stage: &Stage) -> Result<String> {
    let mut config: Value = serde_json::from_slice(&fs::read(stage.path("bundle/config.json"))?)?;
    let profile = config.pointer("/linux/seccomp").context("podman's bundle has no seccomp profile")?.to_string();
    if let Some(args) = config.pointer_mut("/process/args") {
        *args = serde_json::json!(["/syscalls"]);
    }
    fs::create_dir_all(stage.path("filtered"))?;
    if let Some(root) = config.pointer_mut("/root/path") {
        *root = serde_json::json!(stage.word("bundle/rootfs"));
    }
    fs::write(stage.path("filtered/config.json"), config.to_string())?;
    fs::write(stage.path("profile.json"), profile)?;
    Ok(stage.word("profile.json"))
}

fn table(all: &[Filtered]) -> String {
    let mut text = "## System calls under a filter\n\nNanoseconds for each call, the least of many rounds in a container, the median of \
                    the containers; the profile is podman's. The kernel remembers which calls a filter always allows (Linux 5.11), so \
                    that `getpid` and `read` cost what the rest of seccomp costs; the filter of `personality` runs each time.\n\n| |"
        .to_owned();
    for call in CALLS {
        let _ = write!(text, " {call} | × ours |");
    }
    text.push_str("\n|---|");
    text.push_str(&"---:|---:|".repeat(CALLS.len()));
    for one in all {
        let _ = write!(text, "\n| {} |", one.name);
        for (times, ours) in
            one.nanoseconds.iter().zip(all.first().map(|first| &first.nanoseconds).into_iter().flatten())
        {
            let (time, ours) = (median(times.clone()), median(ours.clone()));
            let _ = write!(text, " {time:.0} ns | {:.2} |", time / ours);
        }
    }
    text.push('\n');
    text
}
