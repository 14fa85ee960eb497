//! `cargo xtask fuzz [--seconds N] [TARGET...]`: every fuzz target, with what the machine can.
//!
//! libFuzzer where a C++ compiler can build its runtime (its coverage counters are a pass that the stable compiler has too), else a
//! plain mutation loop over the same targets. `--plain` takes the loop anyway.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::arguments::Arguments;
use crate::{shell, tree};

/// What cargo-fuzz passes for coverage without a sanitizer: the code is safe Rust, and panics are what is looked for.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=1";

pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let seconds: u64 = arguments.value("--seconds")?.unwrap_or(60);
    let plain = arguments.flag("--plain");
    let mut names = arguments.rest();
    shell::run(fuzz_cargo().args(["build", "--quiet", "--locked", "--release", "--bin", "mutate"]))?;
    let mutate = directory().join("target/release/mutate");
    let known = shell::output(Command::new(&mutate).arg("--list"))?;
    if names.is_empty() {
        names = known.lines().map(str::to_owned).collect();
    }
    if let Some(name) = names.iter().find(|name| !known.lines().any(|line| line == *name)) {
        bail!("no fuzz target {name:?}; there are: {}", known.lines().collect::<Vec<_>>().join(", "));
    }
    let guided = if plain { None } else { build_guided() };
    for name in &names {
        match &guided {
            Some(libfuzzer) => guide(libfuzzer, &mutate, name, seconds)?,
            None => shell::run(Command::new(&mutate).arg(name).arg(seconds.to_string()))?,
        }
    }
    Ok(())
}

/// Builds the coverage-guided driver, or says why not.
fn build_guided() -> Option<PathBuf> {
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut cargo = fuzz_cargo();
    // With --target the flags spare build scripts, which must not count coverage.
    cargo.args(["build", "--quiet", "--locked", "--release", "--features", "libfuzzer", "--bin", "libfuzzer"]);
    cargo.args(["--target", &triple]).env("RUSTFLAGS", COVERAGE);
    match shell::run(&mut cargo) {
        Ok(()) => Some(directory().join("target").join(triple).join("release/libfuzzer")),
        Err(error) => {
            eprintln!(
                "note: libFuzzer cannot be built here (a C++ compiler? apt-get install g++), so the plain loop runs: {error:#}"
            );
            None
        }
    }
}

fn guide(libfuzzer: &PathBuf, mutate: &PathBuf, name: &str, seconds: u64) -> Result<()> {
    let corpus = directory().join("corpus").join(name);
    let artifacts = directory().join("artifacts").join(name);
    std::fs::create_dir_all(&artifacts).with_context(|| format!("create {}", artifacts.display()))?;
    shell::run(Command::new(mutate).args(["--seeds", name]).arg(&corpus))?;
    let mut command = Command::new(libfuzzer);
    command.arg(&corpus).args([&format!("-max_total_time={seconds}"), "-max_len=65536", "-print_final_stats=1"]);
    command.arg(format!("-artifact_prefix={}/", artifacts.display())).env("CTR_FUZZ_TARGET", name);
    let output = command.output().with_context(|| format!("run {}", libfuzzer.display()))?;
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("fuzz target {name} failed; its input is in {}\n{log}", artifacts.display());
    }
    let figure = |key: &str| {
        let line = log.lines().find_map(|line| line.strip_prefix(key));
        line.map_or_else(|| "?".to_owned(), |rest| rest.trim().to_owned())
    };
    let inputs = figure("stat::number_of_executed_units:");
    println!("{name}: {inputs} inputs in {seconds} s, none failed (libFuzzer)");
    Ok(())
}

fn directory() -> PathBuf {
    tree::top().join("fuzz")
}

fn fuzz_cargo() -> Command {
    let mut cargo = shell::cargo();
    cargo.current_dir(directory()).env_remove("CARGO_TARGET_DIR");
    cargo
}
