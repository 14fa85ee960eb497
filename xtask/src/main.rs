//! `cargo xtask TASK`: the project's tasks, one plain table.
#![forbid(unsafe_code)]

mod arguments;
mod bench;
mod binaries;
mod ci;
mod conformance;
mod demo;
mod deny;
mod dist;
mod docs;
mod firewall;
mod fuzz;
mod prerequisites;
mod shell;
mod test;
mod tree;
mod vm;

use std::process::ExitCode;

use anyhow::Result;

use crate::arguments::Arguments;

/// One task: its name, its line in the list, and what runs it.
struct Task {
    name: &'static str,
    about: &'static str,
    run: fn(Arguments) -> Result<()>,
}

const TASKS: &[Task] = &[
    Task {
        name: "demo",
        about: "build, then pack, run, list, read, stop and collect a first container",
        run: demo::run,
    },
    Task { name: "test", about: "all tests, against the real binaries", run: test::run },
    Task { name: "ci", about: "what CI runs: formatting, lints, docs, firewall, licences, tests", run: ci::run },
    Task { name: "docs", about: "write docs/cli, man pages, completions; --check fails when stale", run: docs::run },
    Task {
        name: "firewall",
        about: "what each binary links, where unsafe may stand; --bless accepts",
        run: firewall::run,
    },
    Task { name: "deny", about: "licences, sources and banned crates (deny.toml)", run: deny::run },
    Task { name: "fuzz", about: "every fuzz target for --seconds 60 each", run: fuzz::run },
    Task {
        name: "bench",
        about: "ours beside the peers, as ratios; --write renews docs/benchmarks.md",
        run: bench::run,
    },
    Task {
        name: "vm-test",
        about: "checks in an emulated machine: pure cgroup v2, systemd, Debian's kernel (minutes)",
        run: vm::run,
    },
    Task {
        name: "conformance",
        about: "test suites and engines of others with ctr-oci as runtime; --only, --runtime, --bless, --transcript",
        run: conformance::run,
    },
    Task { name: "dist", about: "release binaries, man pages, completions in target/dist", run: dist::run },
];

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let name = words.next().unwrap_or_else(|| "help".to_owned());
    if matches!(name.as_str(), "help" | "list" | "-h" | "--help") {
        print!("{}", help());
        return ExitCode::SUCCESS;
    }
    let Some(task) = TASKS.iter().find(|task| task.name == name) else {
        eprint!("xtask: no task {name:?}\n\n{}", help());
        return ExitCode::from(2);
    };
    match (task.run)(Arguments::new(words.collect())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn help() -> String {
    let lines: Vec<String> = TASKS.iter().map(|task| format!("  {:<13}{}\n", task.name, task.about)).collect();
    format!("usage: cargo xtask TASK [OPTIONS]\n\n{}", lines.concat())
}
