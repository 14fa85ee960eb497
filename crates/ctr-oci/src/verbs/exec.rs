//! `exec`: one more program in a container that was created or runs.
//!
//! The story: find the container → the process, as a document or as options over the container's own → open and connect to all
//! that lies outside → join (`ctr_sandbox::join`) → pass the terminal on, write the pid file → wait, unless --detach.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use ctr_cli::Failure;
use ctr_sandbox::join::{self, JoinEnd, JoinProcess, JoinStreams};
use ctr_sandbox::terminal::DetachKeys;

use super::create::sandbox_failure;
use super::start::state_failure;
use crate::args::{self, Global};
use crate::console::Console;
use crate::exec_process::{self, Wanted};
use crate::pid_file::PidFile;
use crate::state::{Known, States, Status};
use crate::{exec_groups, seccomp};

/// `ctr-oci exec`.
pub(crate) fn exec(global: &Global, args: &args::Exec) -> Result<ExitCode, Failure> {
    let id = args.id().map_err(|error| Failure::new(error.to_string()))?;
    let known = States::open(global)?.find(&id).map_err(state_failure)?;
    check_status(&known, args)?;
    super::seal(|uid| join::has_uid(&known.container, uid).unwrap_or(true))?;
    let Wanted { plan, terminal, size } = exec_process::wanted(args, &known)?;
    check_terminal(args, terminal)?;
    let console = args.console_socket.as_deref().map(Console::connect).transpose()?;
    let pid_file = args.pid_file.as_deref().map(PidFile::open).transpose()?;
    let process = JoinProcess {
        streams: if terminal {
            JoinStreams::Terminal { input: std::io::stdin().is_terminal() }
        } else {
            JoinStreams::Caller
        },
        size,
        preserve_fds: args.preserve_fds,
        groups: exec_groups::dirs(&known, &args.cgroup)?,
        frozen: args.ignore_paused,
        notify: if plan.filter_has_agent() { seccomp::agent(&known, known.status)? } else { None },
        plan,
    };
    let mut joining = join::prepare_process(&known.container, process).map_err(sandbox_failure)?;
    let passed_on = if console.is_some() { joining.take_terminal() } else { None };
    if let (Some(console), Some(terminal)) = (console, &passed_on) {
        console.send(terminal)?;
    }
    let joined = joining.start().map_err(sandbox_failure)?;
    if let Err(failure) = pid_file.map_or(Ok(()), |file| file.write(joined.pid)) {
        joined.kill();
        return Err(failure);
    }
    if args.detach {
        // Whoever takes orphans in, the engine's shim, waits for it.
        return Ok(ExitCode::SUCCESS);
    }
    // Only what is relayed here holds the terminal: somebody else's end of it is not kept open.
    drop(passed_on);
    Ok(ExitCode::from(match joined.wait(&DetachKeys::none()).map_err(sandbox_failure)? {
        JoinEnd::Code(code) => code,
        JoinEnd::HungUp => HUNG_UP,
        JoinEnd::Detached | JoinEnd::Late => ctr_cli::exit::FAILURE,
    }))
}

/// Exit code when the caller's own terminal has gone: 128 + SIGHUP.
const HUNG_UP: u8 = 129;

/// The words are those that engines look for.
fn check_status(known: &Known, args: &args::Exec) -> Result<(), Failure> {
    let id = known.id();
    match known.status {
        Status::Created | Status::Running => Ok(()),
        Status::Paused if args.ignore_paused => Ok(()),
        Status::Paused => Err(Failure::new(format!("cannot exec in a paused container (\"{id}\")"))
            .hint("resume it, or give --ignore-paused: the program waits until it goes on")),
        Status::Stopped => Err(Failure::new(format!("cannot exec in a stopped container (\"{id}\")"))
            .because("container not running: its first process has ended")),
        Status::Creating => Err(Failure::new(format!("cannot exec in container \"{id}\""))
            .because("container not running: it is being created")),
    }
}

fn check_terminal(args: &args::Exec, terminal: bool) -> Result<(), Failure> {
    match (terminal, args.console_socket.is_some()) {
        (false, true) => Err(Failure::new("--console-socket is given, and the program has no terminal")
            .hint("give --tty, or set terminal in the file of --process")),
        (true, false) if args.detach => {
            Err(Failure::new("the program has a terminal, and with --detach nobody would hold it")
                .hint("give --console-socket"))
        }
        _ => Ok(()),
    }
}
