//! `cargo xtask bench`: ours beside the peers and beside a floor program, interleaved in one run, as medians and ratios.
//!
//! Nothing here asserts a time: machines differ, ratios of one run tell. `--write` renews docs/benchmarks.md.
//! `--only start,parallel,userns,hundred,exec,oci,seccomp,import,registry,build,list,collect` picks sections, `--rounds N` changes how often each is repeated, `--no-build` takes
//! the binaries of the last build.

mod build;
mod contest;
mod exec;
mod hundred;
mod import;
mod listing;
mod oci;
mod registry;
mod report;
mod seccomp;
mod stage;
mod start;

use anyhow::{Context, Result};

use crate::arguments::Arguments;
use crate::bench::report::Report;
use crate::bench::stage::Stage;
use crate::prerequisites;
use crate::tree;

/// A part of the benchmark: takes the stage and the number of rounds, and adds its tables to the report.
type Section = fn(&Stage, usize, &mut Report) -> Result<()>;

const SECTIONS: &[(&str, usize, Section)] = &[
    ("start", 12, start::alone),
    ("parallel", 3, start::parallel),
    ("userns", 12, hundred::userns),
    ("hundred", 3, hundred::hundred),
    ("exec", 12, exec::exec),
    ("oci", 12, oci::oci),
    ("seccomp", 5, seccomp::calls),
    ("import", 5, import::import),
    ("registry", 5, registry::registry),
    ("build", 7, build::build),
    ("list", 10, listing::list),
    ("collect", 3, listing::collect),
];

pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let write = arguments.flag("--write");
    let only: Option<String> = arguments.value("--only")?;
    let built = arguments.flag("--no-build");
    let rounds: Option<usize> = arguments.value("--rounds")?;
    arguments.finish()?;
    prerequisites::report(&prerequisites::ensure(prerequisites::FOR_BENCH));
    let stage = Stage::new(built)?;
    let mut report = Report::new();
    for (name, usual, section) in SECTIONS {
        if only.as_ref().is_some_and(|only| !only.split(',').any(|wanted| wanted == *name)) {
            continue;
        }
        eprintln!("=== bench: {name}");
        section(&stage, rounds.unwrap_or(*usual), &mut report).with_context(|| format!("section {name}"))?;
    }
    let text = report.markdown();
    println!("{text}");
    if write {
        let path = tree::top().join("docs/benchmarks.md");
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}
