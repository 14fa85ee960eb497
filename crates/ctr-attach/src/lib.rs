//! `ctr-attach`: have a hand in a container that runs: its terminal, or its input and output.
#![forbid(unsafe_code)]

mod streams;

use std::fs::File;
use std::io::IsTerminal as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{CommandFactory as _, Parser};
use ctr_cli::{Context as _, Failure, GlobalArgs, exit};
use ctr_core::container::{Container, ContainerError, Containers, EXIT_RECORD_MAX, ExitRecord, State};
use ctr_core::store::Store;
use ctr_sandbox::SandboxError;
use ctr_sandbox::terminal::attach::{self, Attached};
use ctr_sandbox::terminal::{DEFAULT_DETACH_KEYS, DetachKeys, Relay, RelayEnd};
use ctr_sys::{pidfd, poll, signal, small};

/// Attach to the terminal of a running container, or to its input and output
///
/// A container with a terminal is shown, and what is typed goes to it, until it ends or the keys to detach are typed.
/// Without a terminal, what is written to ctr-attach goes to the program if the container was started with --interactive
/// --detach, and what the program writes to its log is shown. The container goes on when ctr-attach ends: by the keys, by
/// a signal, or because its own terminal goes away. Exit codes: the program's when it has ended; 0 when detached; 125 for
/// failures of ctr-attach itself.
#[derive(Debug, Parser)]
#[command(name = "ctr-attach", version = ctr_cli::VERSION)]
pub struct Options {
    /// Id, beginning of an id (3 characters or more) or name of the container
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Keys that end ctr-attach and leave the container running; '' for none
    #[arg(long, value_name = "KEYS", default_value = DEFAULT_DETACH_KEYS)]
    detach_keys: DetachKeys,
    /// Only show: pass no input on
    #[arg(long)]
    no_stdin: bool,
    /// Options of every binary.
    #[command(flatten)]
    global: GlobalArgs,
}

/// The command line of `ctr-attach`; help, man page and completions come from it.
pub fn command() -> clap::Command {
    Options::command()
}

/// Entry point: parses the arguments, runs, renders the error if there is one.
pub fn main() -> ExitCode {
    ctr_cli::run_main(command(), exit::RUNNER, run)
}

/// How long a start that is seen half done is waited for.
const START: Duration = Duration::from_secs(5);
/// How long init takes at most from its last word to its end.
const END: Duration = Duration::from_secs(5);

/// How it ended.
pub(crate) enum End {
    /// The container has ended.
    Container,
    /// The caller leaves with this exit code.
    Caller(u8),
}

/// Does what `options` ask for.
#[expect(clippy::needless_pass_by_value, reason = "the form that run_main calls")]
pub fn run(options: Options) -> Result<ExitCode, Failure> {
    let containers = Containers::open(&options.global.root_or(Store::default_root));
    let container = containers.find(&options.container).map_err(container_failure)?;
    if container.status().map_err(container_failure)?.state != State::Running {
        let name = container.record.name.as_deref().unwrap_or(&container.record.id);
        return Err(Failure::new(format!("{name} is not running")).hint(format!("ctr-logs {name} shows what it wrote")));
    }
    let record = open_record(&container)?;
    let Some(init) = open_init(&container)? else {
        return status(record.as_ref()).map(ExitCode::from);
    };
    // None of the caller's signals ends us before its terminal is as it was.
    signal::block_all().context(|| "cannot block signals")?;
    let end = if container.record.tty {
        terminal(&container, &options)?
    } else {
        streams::run(&container, &init, !options.no_stdin)?
    };
    match end {
        End::Caller(code) => Ok(ExitCode::from(code)),
        End::Container => {
            // Its descriptors close a little before it is gone; who looks now shall see that it is.
            let _ = poll::readable(&[init.as_fd()], Some(END));
            status(record.as_ref()).map(ExitCode::from)
        }
    }
}

pub(crate) fn container_failure(error: ContainerError) -> Failure {
    Failure::hinted(error, ContainerError::hint)
}

pub(crate) fn sandbox_failure(error: SandboxError) -> Failure {
    Failure::hinted(error, |error| error.hint().map(str::to_owned))
}

/// The exit record, opened while the container is there: it may be removed as soon as it has ended.
fn open_record(container: &Container) -> Result<Option<File>, Failure> {
    if !container.record.init {
        return Ok(None);
    }
    let path = container.dir.join("exit");
    File::open(&path).map(Some).context(|| format!("cannot read {}", path.display()))
}

/// The container's PID 1; `None` if it has ended already.
fn open_init(container: &Container) -> Result<Option<OwnedFd>, Failure> {
    let start = Instant::now();
    loop {
        if let Some(process) = container.process().map_err(container_failure)? {
            return Ok(pidfd::open_verified(process.pid, process.start_time)?);
        }
        if start.elapsed() > START {
            return Err(Failure::new("the container has not started yet"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How the program ended, when init has gone.
fn status(record: Option<&File>) -> Result<u8, Failure> {
    let line = record.and_then(|file| small::read_open(file.as_fd(), EXIT_RECORD_MAX).ok().flatten());
    match line.and_then(|line| ExitRecord::parse(&line)) {
        Some(record) => Ok(record.status.exit_code()),
        None => Err(Failure::new("the container has ended, but not how its program did is known")
            .because("it was killed with its init, or has none")),
    }
}

fn terminal(container: &Container, options: &Options) -> Result<End, Failure> {
    let input = !options.no_stdin;
    if input && !std::io::stdin().is_terminal() {
        return Err(Failure::new("the input device is not a TTY")
            .because("the container has a terminal, which is typed to from ctr-attach's own")
            .hint("--no-stdin only shows it"));
    }
    let Attached { connection, given } = attach::attach(&container.dir).map_err(sandbox_failure)?;
    attach::make_redraw(&given);
    let signals = signals()?;
    let relay = Relay {
        terminal: given.as_fd(),
        end: connection.as_fd(),
        signals: signals.as_fd(),
        input,
        detach: &options.detach_keys,
        streams: &ctr_sandbox::terminal::OwnStreams::open(),
    };
    // A signal ends ctr-attach, not the container.
    Ok(match relay.run(|_| false).map_err(sandbox_failure)? {
        RelayEnd::Ended => End::Container,
        RelayEnd::Detached => End::Caller(exit::SUCCESS),
        RelayEnd::HungUp => End::Caller(exit::signalled(signal::SIGHUP)),
        RelayEnd::Signalled(number) => End::Caller(exit::signalled(number)),
    })
}

pub(crate) fn signals() -> Result<OwnedFd, Failure> {
    signal::signalfd_all().context(|| "cannot read signals")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
        for good in [&["ctr-attach", "web"][..], &["ctr-attach", "--detach-keys", "ctrl-a,d", "--no-stdin", "web"]] {
            assert!(Options::try_parse_from(good).is_ok(), "{good:?}");
        }
        for bad in [&["ctr-attach"][..], &["ctr-attach", "a", "b"], &["ctr-attach", "--detach-keys", "ctrl-1", "a"]] {
            assert!(Options::try_parse_from(bad).is_err(), "{bad:?}");
        }
    }
}
