//! Importing a Debian image, and taking it away again.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::bench::contest::Contestant;
use crate::bench::report::{CPU, PEAK, Report, WALL};
use crate::bench::stage::Stage;
use crate::shell;

/// Makes the Debian image once: one gzip layer, as an OCI layout (`layout:debian`) and an oci-archive (`debian.tar`).
pub(super) fn debian(stage: &Stage) -> Result<()> {
    if stage.path("debian.tar").exists() {
        return Ok(());
    }
    let release = fs::read_to_string("/etc/os-release").context("read /etc/os-release")?;
    let suite = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME=")).unwrap_or("stable").to_owned();
    let tree = stage.word("debian-rootfs.tar");
    let mut make = Command::new("mmdebstrap");
    shell::output(make.args(["--quiet", "--variant=minbase", "--include=python3-minimal", &suite, &tree]))?;
    let layout = stage.word("layout");
    let image = format!("{layout}:debian");
    shell::output(Command::new("umoci").args(["init", "--layout", &layout]))?;
    shell::output(Command::new("umoci").args(["new", "--image", &image]))?;
    shell::output(Command::new("umoci").args(["raw", "add-layer", "--image", &image, &tree]))?;
    let archive = format!("oci-archive:{}:debian", stage.word("debian.tar"));
    shell::output(Command::new("skopeo").args(["copy", "--quiet", &format!("oci:{image}"), &archive]))?;
    Ok(())
}

/// Each import goes to a new store, so that nothing is known before.
pub(super) fn import(stage: &Stage, rounds: usize, report: &mut Report) -> Result<()> {
    if let Err(error) = debian(stage) {
        report.lines(&[format!("import: left out, no Debian image could be made here ({error})")]);
        eprintln!("{error:#}");
        return Ok(());
    }
    let stopwatch = stage.word("measure");
    let archive = stage.word("debian.tar");
    let (ours, theirs, bundle) = (stage.word("import"), stage.word("import-podman"), stage.word("import-bundle"));
    let source = format!("oci-archive:{archive}");
    let image = format!("{}:debian", stage.word("layout"));
    let podman =
        ["podman", "--root", &theirs, "--runroot", &stage.word("import-run"), "load", "--quiet", "--input", &archive];
    let mut contestants = vec![
        Contestant::new("ctr-fetch", &[&stage.binary("ctr-fetch"), "--root", &ours, "--name", "debian", &source]),
        Contestant::new("umoci unpack", &["umoci", "unpack", "--image", &image, &bundle]),
        Contestant::new("podman load", &podman),
    ];
    for _ in 0..rounds {
        for contestant in &mut contestants {
            contestant.costs.extend(contestant.measure(&stopwatch, 1, 1)?.0);
            shell::succeeds(Command::new("umount").arg(format!("{theirs}/overlay")));
            stage.put_aside(&[&ours, &bundle, &theirs])?;
            // What one wrote must not be flushed in the time of the next.
            shell::output(&mut Command::new("sync"))?;
        }
    }
    let bytes = fs::metadata(&archive)?.len() / (1 << 20);
    report.table(
        "Import",
        &format!(
            "A Debian image with Python, one gzip layer, {bytes} MiB: from an oci-archive into a new store, verified and unpacked. \
             `umoci unpack` reads the same image from a layout directory and keeps no copy of the blobs."
        ),
        &contestants,
        &[CPU, WALL, PEAK],
    );
    Ok(())
}
