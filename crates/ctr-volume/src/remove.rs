//! `ctr-volume rm` and `ctr-volume prune`.

use std::process::ExitCode;

use ctr_cli::{Failure, GlobalArgs};
use ctr_core::volume::Volumes;

use crate::list::has_labels;
use crate::{Outcome, failure};

/// Remove volumes with their content, unless a container uses them
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Names of the volumes
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// Remove all volumes that no container uses, with their content
#[derive(Debug, clap::Args)]
pub(crate) struct PruneOptions {
    /// Only volumes with this label
    #[arg(long, short = 'l', value_name = "KEY[=VALUE]")]
    label: Vec<String>,
    /// Do it: what is in a volume is nowhere else
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(options: &Options, global: &GlobalArgs, volumes: &Volumes) -> Result<ExitCode, Failure> {
    let mut outcome = Outcome::default();
    for name in &options.names {
        outcome.add(name, volumes.remove(name).map_err(failure));
    }
    outcome.finish(global)
}

pub(crate) fn prune(options: &PruneOptions, global: &GlobalArgs, volumes: &Volumes) -> Result<ExitCode, Failure> {
    if !options.force {
        return Err(Failure::usage("ctr-volume prune removes all volumes that no container uses now")
            .because("the next start of a container may need one of them")
            .hint("see them with ctr-volume ls --unused; remove them with ctr-volume prune --force"));
    }
    let names = volumes.prune(|volume| has_labels(volume, &options.label)).map_err(failure)?;
    Outcome { done: names, failed: false }.finish(global)
}
