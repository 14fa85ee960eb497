//! The verbs, one file each.

use std::process::ExitCode;

use ctr_cli::Failure;

use crate::args::{Args, Verb};

/// Does what the command line says.
pub fn run(args: Args) -> Result<ExitCode, Failure> {
    let Args { global, verb } = args;
    crate::report::open(&global)?;
    match verb {
        Verb::Create(_) => missing("create"),
        Verb::Start(_) => missing("start"),
        Verb::State(_) => missing("state"),
        Verb::Kill(_) => missing("kill"),
        Verb::Delete(_) => missing("delete"),
        Verb::Run(_) => missing("run"),
        Verb::Exec(_) => missing("exec"),
        Verb::Ps(_) => missing("ps"),
        Verb::List(_) => missing("list"),
        Verb::Pause(_) => missing("pause"),
        Verb::Resume(_) => missing("resume"),
        Verb::Update(_) => missing("update"),
        Verb::Events(_) => missing("events"),
        Verb::Spec(_) => missing("spec"),
        Verb::Features(_) => missing("features"),
        Verb::Checkpoint(_) => missing("checkpoint"),
        Verb::Restore(_) => missing("restore"),
    }
}

fn missing(verb: &str) -> Result<ExitCode, Failure> {
    Err(Failure::new(format!("cannot {verb}")).because("it is not implemented in this build"))
}
