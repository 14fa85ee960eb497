//! Executing a program in a container that runs.

use std::process::Command;

use anyhow::{Context, Result};

use crate::bench::contest::{Contestant, interleave};
use crate::bench::report::{CPU, Report, WALL};
use crate::bench::stage::{LIMITS, Stage};
use crate::shell;

/// One program after the other, each in a container that sleeps, from the command to its end.
pub(super) fn exec(stage: &Stage, rounds: usize, report: &mut Report) -> Result<()> {
    let stopwatch = stage.word("measure");
    let sleeper = |options: &[&str], name: &str| {
        let mut run = stage.ctr("ctr-run");
        run.args(["--name", name, "--log=none", "--entrypoint", ""]).args(options);
        shell::output(run.args(["small", "/bin/sleep", "10000"])).map(drop)
    };
    sleeper(&[], "exec")?;
    sleeper(&["--userns=host"], "exec-host")?;
    let ours = |name: &str, container: &str| {
        Contestant::new(name, &[&stage.binary("ctr-exec"), container, "/bin/true"]).with("CTR_ROOT", &stage.word("ctr"))
    };
    let mut contestants = vec![ours("ctr-exec", "exec"), ours("ctr-exec, --userns=host", "exec-host")];
    match peers(stage) {
        Ok(peers) => contestants.extend(peers),
        Err(error) => eprintln!("left out: podman, crun and runc: {error:#}"),
    }
    interleave(&mut contestants, &stopwatch, rounds, 5);
    report.table(
        "Execute in a running container",
        "From the command to its end, the program being `true`, in a container that sleeps: `ctr-exec`, in a container with a user \
         namespace of its own and in one without; `crun exec` and `runc exec` in one started from an equal bundle; `podman exec`.",
        &contestants,
        &[WALL, CPU],
    );
    shell::output(stage.ctr("ctr-rm").args(["--force", "--timeout", "0", "exec", "exec-host"]))?;
    for runtime in ["crun", "runc"] {
        let state = format!("{}-{runtime}", stage.word("state"));
        if let Err(error) = without_unified(&[runtime, "--root", &state, "delete", "--force", "exec"]) {
            eprintln!("left behind: a container of {runtime}: {error:#}");
        }
    }
    Ok(())
}

/// Containers of the peers that sleep, and the commands that enter them.
fn peers(stage: &Stage) -> Result<Vec<Contestant>> {
    if !stage.path("bundle").exists() {
        stage.load_into_podman().and_then(|()| stage.bundle())?;
    }
    let (state, bundle) = (stage.word("state"), stage.word("sleeping"));
    if !stage.path("sleeping").exists() {
        shell::output(Command::new("cp").args(["-a", &stage.word("bundle"), &bundle]))?;
        let path = stage.path("sleeping").join("config.json");
        let mut config: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
        *config.pointer_mut("/process/args").context("config.json has no arguments")? =
            serde_json::json!(["/bin/sleep", "10000"]);
        std::fs::write(&path, config.to_string())?;
    }
    let mut all = Vec::new();
    for runtime in ["crun", "runc"] {
        let state = format!("{state}-{runtime}");
        match without_unified(&[runtime, "--root", &state, "run", "--detach", "--bundle", &bundle, "exec"]) {
            Ok(()) => {
                let words = [runtime, "--root", &state, "exec", "exec", "/bin/true"];
                all.push(Contestant::new(&format!("{runtime} exec"), &words).without_unified());
            }
            Err(error) => eprintln!("left out: {runtime} exec: {error:#}"),
        }
    }
    let podman = stage.podman();
    let mut words: Vec<&str> = podman.iter().map(String::as_str).collect();
    let mut run = words.clone();
    run.extend(["run", "--detach", "--name", "exec", "--network", "none"]);
    run.extend(LIMITS);
    run.extend(["--entrypoint", "/bin/sleep", "small", "10000"]);
    match without_unified(&run) {
        Ok(()) => {
            words.extend(["exec", "exec", "/bin/true"]);
            all.push(Contestant::new("podman exec", &words).without_unified());
        }
        Err(error) => eprintln!("left out: podman exec: {error:#}"),
    }
    Ok(all)
}

/// Runs a peer where the v2 mount of a hybrid host is not in sight.
fn without_unified(words: &[&str]) -> Result<()> {
    let hidden = "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", hidden, "sh"]).args(words);
    // A detached container keeps the streams: a pipe would not come to its end.
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    shell::run(&mut command)
}
