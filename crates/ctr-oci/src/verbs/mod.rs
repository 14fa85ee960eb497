//! The verbs, one file each.

mod create;
mod delete;
mod events;
mod exec;
pub(crate) mod features;
mod kill;
mod list;
mod pause;
mod ps;
mod run;
mod spec;
mod start;
mod state;
mod update;

use std::process::ExitCode;

use ctr_cli::Failure;

use crate::args::{Args, Verb};

/// Does what the command line says.
pub fn run(args: Args) -> Result<ExitCode, Failure> {
    let Args { global, verb } = args;
    // Looked at before anything is opened: what we open must not be taken for one of them.
    let preserved = preserved(&verb);
    crate::report::open(&global)?;
    preserved?;
    match verb {
        Verb::Create(args) => create::create(&global, &args),
        Verb::Start(args) => start::start(&global, &args),
        Verb::State(args) => state::state(&global, &args),
        Verb::Kill(args) => kill::kill(&global, &args),
        Verb::Delete(args) => delete::delete(&global, &args),
        Verb::Run(args) => run::run(&global, &args),
        Verb::Exec(args) => exec::exec(&global, &args),
        Verb::Ps(args) => ps::ps(&global, &args),
        Verb::List(args) => list::list(&global, &args),
        Verb::Pause(args) => pause::pause(&global, &args),
        Verb::Resume(args) => pause::resume(&global, &args),
        Verb::Update(args) => update::update(&global, &args),
        Verb::Events(args) => events::events(&global, &args),
        Verb::Spec(args) => spec::run(&args),
        Verb::Features(_) => features::run(),
        Verb::Checkpoint(_) => Err(no_checkpoints("checkpoint")),
        Verb::Restore(_) => Err(no_checkpoints("restore")),
    }
}

/// `--preserve-fds`: the caller's descriptors are there.
fn preserved(verb: &Verb) -> Result<(), Failure> {
    let count = match verb {
        Verb::Create(args) => args.container.preserve_fds,
        Verb::Run(args) => args.container.preserve_fds,
        Verb::Exec(args) => args.preserve_fds,
        _ => 0,
    };
    let absent = (3..count.saturating_add(3)).find(|number| {
        let link = format!("/proc/self/fd/{number}");
        std::fs::symlink_metadata(link).is_err()
    });
    absent.map_or(Ok(()), |number| {
        Err(Failure::new(format!("--preserve-fds {count}")).because(format!("descriptor {number} is not open")).hint(
            "the program gets the descriptors from 3 on that ctr-oci has: open them before, or give a smaller number",
        ))
    })
}

/// Goes on from where nobody can write this program, if processes with the uids for which `has` is true could: until the exec the
/// container's process is one of this executable (CVE-2019-5736).
fn seal(has: impl Fn(u32) -> bool) -> Result<(), Failure> {
    if !ctr_sys::sealed::is_exposed_to(has) {
        return Ok(());
    }
    let Err(error) = ctr_sys::sealed::execute_again(&[]);
    Err(Failure::new("cannot run from where the container cannot write this program").caused_by(&error))
}

/// CRIU would have to make the namespaces, mounts and control groups anew, by its own rules and not by ours.
fn no_checkpoints(verb: &str) -> Failure {
    Failure::new(format!("cannot {verb} a container"))
        .because("ctr-oci does not save containers to disk: it has no interface to criu(8)")
        .hint("stop the container and start it again; what has to stay belongs in a volume")
}
