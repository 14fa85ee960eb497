//! The verbs, one file each.

mod create;
mod delete;
mod features;
mod kill;
mod list;
mod processes;
mod ps;
mod run;
mod spec;
mod start;
mod state;

use std::process::ExitCode;

use ctr_cli::Failure;

use crate::args::{Args, Verb};

/// Does what the command line says.
pub fn run(args: Args) -> Result<ExitCode, Failure> {
    let Args { global, verb } = args;
    crate::report::open(&global)?;
    match verb {
        Verb::Create(args) => create::create(&global, &args),
        Verb::Start(args) => start::start(&global, &args),
        Verb::State(args) => state::state(&global, &args),
        Verb::Kill(args) => kill::kill(&global, &args),
        Verb::Delete(args) => delete::delete(&global, &args),
        Verb::Run(args) => run::run(&global, &args),
        Verb::Exec(_) => missing("exec"),
        Verb::Ps(args) => ps::ps(&global, &args),
        Verb::List(args) => list::list(&global, &args),
        Verb::Pause(_) => missing("pause"),
        Verb::Resume(_) => missing("resume"),
        Verb::Update(_) => missing("update"),
        Verb::Events(_) => missing("events"),
        Verb::Spec(args) => spec::run(&args),
        Verb::Features(_) => features::run(),
        Verb::Checkpoint(_) => Err(no_checkpoints("checkpoint")),
        Verb::Restore(_) => Err(no_checkpoints("restore")),
    }
}

fn missing(verb: &str) -> Result<ExitCode, Failure> {
    Err(Failure::new(format!("cannot {verb}")).because("it is not implemented in this build"))
}

/// CRIU would have to make the namespaces, mounts and control groups anew, by its own rules and not by ours.
fn no_checkpoints(verb: &str) -> Failure {
    Failure::new(format!("cannot {verb} a container"))
        .because("ctr-oci does not save containers to disk: it has no interface to criu(8)")
        .hint("stop the container and start it again; what has to stay belongs in a volume")
}
