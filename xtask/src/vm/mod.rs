//! `cargo xtask vm-test`: the real binaries on a machine of its own, with pure cgroup v2, systemd and Debian's kernel.
//!
//! What the host of the other tests may lack is proven there: memory, CPU, pids and io limits of version 2, device rules,
//! freezing, user managers. The machine is emulated (QEMU; KVM is not needed), so this takes minutes and is no part of `ci`.
//! `--only PATTERN` picks checks by name, `--console` shows the console, `--no-build` takes the binaries of the last build.

mod image;
mod machine;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::arguments::Arguments;
use crate::binaries::{self, Profile};
use crate::prerequisites;
use crate::vm::machine::Machine;
use crate::{shell, tree};

pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let only: Option<String> = arguments.value("--only")?;
    let console = arguments.flag("--console");
    let built = arguments.flag("--no-build");
    arguments.finish()?;
    let missing = prerequisites::ensure(prerequisites::FOR_VM);
    if !missing.is_empty() {
        prerequisites::report(&missing);
        bail!("the machine cannot be made without them");
    }
    let start = Instant::now();
    let image = image::cached()?;
    eprintln!("image: {} ({} s)", image.directory.display(), start.elapsed().as_secs());
    let binaries = binaries::build(if built { &[] } else { tree::BINARIES }, Profile::Demo)?;
    if !binaries.is_static {
        bail!("the machine needs static binaries");
    }
    let machine = Machine::new(&image)?;
    machine.payload(|payload| fill(payload, &binaries.directory, only.as_deref().unwrap_or("*")))?;
    let start = Instant::now();
    let results = machine.boot(console)?;
    println!("\n{}", results.table());
    println!("machine: {} s, {} checks", start.elapsed().as_secs(), results.checks.len());
    results.verdict()
}

/// What the machine finds at `/payload`.
fn fill(payload: &Path, binaries: &Path, pattern: &str) -> Result<()> {
    let bin = payload.join("bin");
    std::fs::create_dir(&bin)?;
    for name in tree::BINARIES {
        std::fs::copy(binaries.join(name), bin.join(name)).with_context(|| format!("copy {name}"))?;
    }
    let scripts = tree::top().join("tests/vm");
    shell::run(
        std::process::Command::new("cp")
            .arg("-r")
            .arg(scripts.join("checks"))
            .arg(scripts.join("guest.sh"))
            .arg(payload),
    )?;
    std::fs::write(payload.join("pattern"), pattern)?;
    Ok(())
}
