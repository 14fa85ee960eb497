//! The verbs, one file each.

mod create;
mod delete;
mod run;
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
        Verb::Kill(_) => missing("kill"),
        Verb::Delete(args) => delete::delete(&global, &args),
        Verb::Run(args) => run::run(&global, &args),
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
