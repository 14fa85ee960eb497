//! `ctr-run`: start a container and exit.
//!
//! The story: find the image → take what the start needs of it under a shared hold of the store's gate → plan → prepare →
//! enter → print the id. With `--wait` it stays, passes signals on, and returns the program's status.
#![forbid(unsafe_code)]

mod args;
mod domain;
mod image;
mod ready;
mod request;
mod volumes;

use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::CommandFactory;
use ctr_cli::{Failure, OutputFormat};
use ctr_core::container::{ContainerError, Containers, Embryo};
use ctr_core::launch::LaunchRecord;
use ctr_core::ranges::{self, RangeError};
use ctr_core::store::{Store, XattrDialect};
use ctr_sandbox::options::RunOptions;
use ctr_sandbox::plan::{self, Plan, UsernsMode};
use ctr_sandbox::start;
use ctr_sandbox::{SandboxError, Stayed};

use crate::args::Args;
use crate::image::{Found, store_failure};

/// The command line of `ctr-run`; help, man page and completions come from it.
pub fn command() -> clap::Command {
    Args::command()
}

/// Entry point: parses the arguments, runs, renders the error if there is one.
pub fn main() -> ExitCode {
    ctr_cli::run_main(command(), ctr_cli::exit::RUNNER, run)
}

fn run(mut args: Args) -> Result<ExitCode, Failure> {
    let root = args.global.root_or(Store::default_root);
    let root = std::path::absolute(&root)
        .map_err(|error| Failure::new(format!("cannot find {}", root.display())).caused_by(&error))?;
    domain::enter(&root)?;
    let options = request::request(&args)?;
    // The start changes the current directory.
    for path in [&mut args.life.cidfile, &mut args.life.pidfile].into_iter().flatten() {
        *path = std::path::absolute(&*path).unwrap_or_else(|_| path.clone());
    }
    if let Some(path) = args.life.cidfile.as_ref().filter(|path| path.exists()) {
        return Err(Failure::new(format!("the --cidfile {} is there already", path.display()))
            .hint("another container may be running with it: remove the file if not"));
    }
    // With the host's ids the container could write the executable of its PID 1, which is this one (CVE-2019-5736).
    if !args.life.dry_run && ctr_sys::sealed::is_exposed_to(|uid| uid != 0 || ctr_sandbox::host::shares_ids(&options)) {
        let Err(error) = ctr_sys::sealed::execute_again(&[]);
        return Err(Failure::new("cannot run from where the container cannot write this program").caused_by(&error));
    }
    let (store, found) = image::find(&root, &args)?;
    let id = new_id()?;
    if args.life.dry_run {
        let launch = store.launch_record(&found.digest).map_err(store_failure)?;
        let options = volumes::with_images(&store, &options)?;
        print_plan(&decide(&id, &found, &launch, &options, &root)?, &args, true)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Reserved { plan, embryo, range } = reserve(&store, &id, &found, &options, &root)?;
    if args.life.explain {
        print_plan(&plan, &args, false)?;
    }
    let user_xattrs = store.dialect() == XattrDialect::User;
    let started = start::start(&plan, embryo, &store.layers_dir(), user_xattrs, range).map_err(sandbox_failure)?;
    for note in plan.notes.iter().chain(&started.notes).filter(|_| args.life.explain) {
        ctr_cli::note(note);
    }
    write_id_files(&args, &id, started.pid)?;
    if !options.stays() {
        if let Some(command) = &args.health.health_cmd {
            let containers = Containers::open(&root);
            if let Err(failure) = ready::wait(&containers, &id, command, &args.health) {
                give_up(started, &plan, &root, &args)?;
                return Err(failure.code(ctr_cli::exit::RUNNER_FAILURE));
            }
        }
        // The journal of a unit is the program's output; the record has the id.
        if plan.journal.is_none() {
            print_id(&args, &id)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    stay(started, &root, &id, &args)
}

/// What a start has before it begins: the plan, a place for the container, a range of ids for its user namespace.
struct Reserved {
    plan: Plan,
    embryo: Embryo,
    range: Option<OwnedFd>,
}

/// Takes the image and a place for the container while garbage collection cannot come between.
fn reserve(store: &Store, id: &str, found: &Found, options: &RunOptions, root: &Path) -> Result<Reserved, Failure> {
    let gate = store.gate_shared().map_err(store_failure)?;
    let launch = store.launch_record(&found.digest).map_err(store_failure)?;
    let options = volumes::with_images(store, options)?;
    let mut plan = decide(id, found, &launch, &options, root)?;
    let range = if plan.userns.wants_range { Some(take_range(&mut plan, root)?) } else { None };
    let mut embryo = Containers::open(root).create(id).map_err(container_failure)?;
    if let Some(name) = &options.life.name {
        embryo.take_name(name).map_err(container_failure)?;
    }
    let mut labels = launch.labels;
    labels.extend(options.life.labels.clone());
    let volumes = volumes::take(root, &plan)?;
    embryo.write_record(&start::record(&plan, labels)).map_err(container_failure)?;
    if let (UsernsMode::Container, Some(first)) = (plan.userns.mode, plan.userns.outside_uid(0)) {
        // Whether the other one still runs is looked at when its namespaces are opened.
        ranges::share(first, root, id).map_err(range_failure)?;
    }
    drop((volumes, gate));
    Ok(Reserved { plan, embryo, range })
}

/// A range of host ids for the container's user namespace.
fn take_range(plan: &mut Plan, root: &Path) -> Result<OwnedFd, Failure> {
    let range = ranges::take(root, &plan.id).map_err(range_failure)?;
    plan.userns.take_range(range.start);
    Ok(range.file.into())
}

fn range_failure(error: RangeError) -> Failure {
    Failure::hinted(error, |error| Some(error.hint().to_owned())).code(125)
}

fn decide(id: &str, found: &Found, launch: &LaunchRecord, options: &RunOptions, root: &Path) -> Result<Plan, Failure> {
    let host = ctr_sandbox::host::facts(root, options);
    plan::plan(id, found.name.as_deref(), launch, options, &host).map_err(sandbox_failure)
}

/// Exit code when the caller's own terminal has gone: 128 + SIGHUP.
const HUNG_UP: u8 = 129;

/// Stops a container that did not get ready.
fn give_up(started: start::Started, plan: &Plan, root: &Path, args: &Args) -> Result<(), Failure> {
    let dir = started.dir.clone();
    started.stop(plan.stop_signal, Duration::from_secs(plan.stop_timeout)).map_err(sandbox_failure)?;
    if args.life.rm { remove(root, &dir, &plan.id, args) } else { Ok(()) }
}

/// Removes a container that has ended.
fn remove(root: &Path, dir: &Path, id: &str, args: &Args) -> Result<(), Failure> {
    // ctr-gc may have been faster: a container with --rm that has ended is its business too.
    let discarded = Containers::open(root).discard_dir(dir, id, args.life.name.as_deref());
    if let Some(garbage) = discarded.map_err(container_failure)? {
        ctr_core::container::delete(&garbage)
            .map_err(|error| Failure::new(format!("cannot remove {}", garbage.display())).caused_by(&error))?;
    }
    Ok(())
}

/// Waits; afterwards the container is removed if that was asked for.
fn stay(started: start::Started, root: &Path, id: &str, args: &Args) -> Result<ExitCode, Failure> {
    let dir = started.dir.clone();
    let outcome = match started.wait(&args.terminal.detach_keys).map_err(sandbox_failure)? {
        Stayed::Ended(outcome) => outcome,
        Stayed::Detached => return Ok(ExitCode::SUCCESS),
        Stayed::HungUp => return Ok(ExitCode::from(HUNG_UP)),
    };
    if let Some(time) = args.life.timeout.as_ref().filter(|_| outcome.timed_out) {
        ctr_cli::warn(format!("the program was stopped because its time was over (--timeout {time})"));
    }
    if outcome.out_of_memory {
        ctr_cli::warn(format!(
            "the kernel killed a process of the container because its memory limit was reached{}",
            args.limits.memory.as_ref().map(|limit| format!(" (--memory {limit})")).unwrap_or_default()
        ));
    }
    if args.life.rm {
        remove(root, &dir, id, args)?;
    }
    Ok(ExitCode::from(outcome.exit_code))
}

/// 128 random bits in hexadecimal.
fn new_id() -> Result<String, Failure> {
    let bytes: [u8; 16] =
        ctr_sys::random::bytes().map_err(|error| Failure::new("cannot make a container id").caused_by(&error))?;
    Ok(bytes.iter().fold(String::with_capacity(32), |mut id, byte| {
        let _ = std::fmt::Write::write_fmt(&mut id, format_args!("{byte:02x}"));
        id
    }))
}

fn print_plan(plan: &Plan, args: &Args, to_stdout: bool) -> Result<(), Failure> {
    let text = match args.global.format {
        OutputFormat::Table => plan.to_string(),
        OutputFormat::Json => {
            ctr_cli::to_json(plan, true).map_err(|error| Failure::new("cannot print the plan").caused_by(&error))?
                + "\n"
        }
    };
    if to_stdout {
        return ctr_cli::print(&text);
    }
    let _ = std::io::stderr().write_all(text.as_bytes());
    Ok(())
}

fn print_id(args: &Args, id: &str) -> Result<(), Failure> {
    match args.global.format {
        OutputFormat::Table => ctr_cli::print(&format!("{id}\n")),
        OutputFormat::Json => ctr_cli::print(&format!("{{\"id\":\"{id}\"}}\n")),
    }
}

fn write_id_files(args: &Args, id: &str, pid: i32) -> Result<(), Failure> {
    let cannot = |path: &Path, error: std::io::Error| {
        Failure::new(format!("the container {id} runs, but {} could not be written", path.display())).caused_by(&error)
    };
    if let Some(path) = &args.life.cidfile {
        ctr_sys::small::write_new(path, id.as_bytes(), 0o644).map_err(|error| cannot(path, error))?;
    }
    if let Some(path) = &args.life.pidfile {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o644);
        let mut file = options.open(path).map_err(|error| cannot(path, error))?;
        file.write_all(format!("{pid}\n").as_bytes()).map_err(|error| cannot(path, error))?;
    }
    Ok(())
}

fn sandbox_failure(error: SandboxError) -> Failure {
    let code = error.exit_code();
    Failure::hinted(error, |error| error.hint().map(str::to_owned)).code(code)
}

fn container_failure(error: ContainerError) -> Failure {
    sandbox_failure(SandboxError::from(error))
}
