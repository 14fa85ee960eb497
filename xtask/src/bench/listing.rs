//! Listing many containers, and collecting an image.

use anyhow::{Result, bail};

use crate::bench::contest::{Contestant, interleave};
use crate::bench::import::debian;
use crate::bench::report::{CPU, Report, WALL};
use crate::bench::stage::{LIMITS, Stage};
use crate::shell;

const CONTAINERS: usize = 200;

/// 200 running containers of ours beside 200 created ones of podman's.
pub(super) fn list(stage: &Stage, rounds: usize, report: &mut Report) -> Result<()> {
    let root = stage.word("ctr");
    let start =
        [&stage.binary("ctr-run"), "--name", "many-{}", "--log=none", "--entrypoint", "/bin/sleep", "small", "600"];
    let start = Contestant::new("start", &start).with("CTR_ROOT", &root);
    let stopwatch = stage.word("measure");
    start.measure(&stopwatch, CONTAINERS, 2)?;
    let mut contestants = vec![Contestant::new("ctr-ps", &[&stage.binary("ctr-ps")]).with("CTR_ROOT", &root)];
    match many_of_podman(stage, &stopwatch) {
        Ok(podman) => contestants.push(podman),
        Err(error) => eprintln!("left out: podman ps: {error:#}"),
    }
    interleave(&mut contestants, &stopwatch, rounds, 3);
    shell::succeeds(stage.ctr("ctr-stop").args(["--all", "--timeout", "0"]));
    shell::succeeds(stage.ctr("ctr-gc").args(["--grace", "0s"]));
    shell::succeeds(&mut stage.podman_command(&["rm", "--all", "--force"]));
    report.table(
        "List",
        &format!("`ctr-ps` with {CONTAINERS} running containers; `podman ps -a` with {CONTAINERS} created ones."),
        &contestants,
        &[WALL, CPU],
    );
    Ok(())
}

fn many_of_podman(stage: &Stage, stopwatch: &str) -> Result<Contestant> {
    if !shell::succeeds(&mut stage.podman_command(&["image", "exists", "small"])) {
        stage.load_into_podman()?;
    }
    let podman = stage.podman();
    let podman: Vec<&str> = podman.iter().map(String::as_str).collect();
    let create = [&podman, &["create", "--network", "none"][..], LIMITS, &["small"]].concat();
    Contestant::new("create", &create).measure(stopwatch, CONTAINERS, 2)?;
    Ok(Contestant::new("podman ps -a", &[&podman[..], &["ps", "--all"]].concat()))
}

/// Removes the Debian image from a store that holds nothing else.
pub(super) fn collect(stage: &Stage, rounds: usize, report: &mut Report) -> Result<()> {
    if let Err(error) = debian(stage) {
        eprintln!("left out: {error:#}");
        return Ok(());
    }
    let stopwatch = stage.word("measure");
    let (root, store, run) = (stage.word("collect"), stage.word("collect-podman"), stage.word("collect-run"));
    let archive = stage.word("debian.tar");
    let podman = ["podman", "--root", &store, "--runroot", &run];
    let mut ours = Contestant::new("ctr-gc", &[&stage.binary("ctr-gc"), "--root", &root, "--grace", "0s"]);
    let mut theirs = Contestant::new("podman rmi", &[&podman[..], &["rmi", "--all", "--force"]].concat());
    for _ in 0..rounds {
        let source = format!("oci-archive:{archive}");
        shell::output(stage.ctr("ctr-fetch").args(["--root", &root, "--name", "debian", &source]))?;
        shell::output(stage.ctr("ctr-image").args(["--root", &root, "rm", "debian"]))?;
        ours.costs.extend(ours.measure(&stopwatch, 1, 1)?.0);
        if std::fs::read_dir(stage.path("collect/store/layers"))?.next().is_some() {
            bail!("ctr-gc left a layer behind, so its time tells nothing");
        }
        let mut load = std::process::Command::new("podman");
        shell::output(load.args(podman.iter().skip(1)).args(["load", "--quiet", "--input", &archive]))?;
        theirs.costs.extend(theirs.measure(&stopwatch, 1, 1)?.0);
    }
    shell::succeeds(std::process::Command::new("umount").arg(format!("{store}/overlay")));
    let note = "The Debian image, named by nothing any more: found, explained and deleted, its layer's files included.";
    report.table("Collect", note, &[ours, theirs], &[WALL, CPU]);
    Ok(())
}
