//! `ctr-logs`: read what the program of a container wrote.
#![forbid(unsafe_code)]

mod journal;
mod line;
mod show;

use std::io::IsTerminal as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, Parser};
use ctr_cli::{Context as _, Failure, GlobalArgs, OutputFormat, exit};
use ctr_core::container::log::LogFiles;
use ctr_core::container::{Container, ContainerError, Containers, LogMode};
use ctr_core::store::Store;
use ctr_core::timestamp::Timestamp;
use ctr_sys::inotify::DirWatch;
use ctr_sys::poll::{self, Interest};
use ctr_sys::{pidfd, procfs};

use journal::{Journal, Read};
use line::Joiner;
use show::{Form, Shown};

/// How long a container without a recorded process is left alone before it is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Read the log of a container
///
/// Both output streams of the program go to standard output, in the order in which they were written. On a terminal control
/// characters are shown and not sent, except tabs. With --follow the end of the container ends ctr-logs too.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
#[command(name = "ctr-logs", version = ctr_cli::VERSION)]
pub struct Options {
    /// Id, beginning of an id (3 characters or more) or name of the container
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Go on with what is written from now on, until the container ends
    #[arg(long, short)]
    follow: bool,
    /// Show only the last lines
    #[arg(long, short = 'n', value_name = "LINES")]
    tail: Option<usize>,
    /// Show only what was written since: a duration back from now (10m, 1h30m) or a time (2026-01-31T08:00:00Z)
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
    /// Put the time of writing before each line
    #[arg(long, short)]
    timestamps: bool,
    /// Show only what was written to standard output
    #[arg(long, conflicts_with = "stderr")]
    stdout: bool,
    /// Show only what was written to standard error
    #[arg(long)]
    stderr: bool,
    /// Send control characters to the terminal as they are
    #[arg(long)]
    raw: bool,
    /// Options of every binary.
    #[command(flatten)]
    global: GlobalArgs,
}

fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(back) = ctr_core::quantity::parse_duration(text) {
        let back = u64::try_from(back.as_nanos()).unwrap_or(u64::MAX);
        return Ok(Timestamp(Timestamp::now().0.saturating_sub(back)));
    }
    text.parse().map_err(|_| "expected a duration (10m, 1h30m) or a time (2026-01-31T08:00:00Z)".to_owned())
}

/// The command line of `ctr-logs`; help, man page and completions come from it.
pub fn command() -> clap::Command {
    Options::command()
}

/// Entry point: parses the arguments, runs, renders the error if there is one.
pub fn main() -> ExitCode {
    ctr_cli::run_main(command(), exit::TOOL, run)
}

/// Does what `options` ask for.
#[expect(clippy::needless_pass_by_value, reason = "the form that run_main calls")]
pub fn run(options: Options) -> Result<ExitCode, Failure> {
    let containers = Containers::open(&options.global.root_or(Store::default_root));
    let container = containers.find(&options.container).map_err(failure)?;
    if let (LogMode::Inherit, Some(invocation)) = (container.record.log, &container.record.journal) {
        return from_journal(&container, invocation, &options);
    }
    check_mode(&container)?;
    let mut log = Log {
        files: LogFiles::new(&container.dir),
        joiner: Joiner::default(),
        shown: Shown::new(form(&options), &options),
    };
    if options.follow {
        if follow(&container, &mut log)? == Ended::Reader {
            return Ok(ExitCode::from(exit::BROKEN_PIPE));
        }
    } else {
        log.files.limit_to_now()?;
        log.read()?;
    }
    log.finish()?;
    Ok(ExitCode::SUCCESS)
}

fn failure(error: ContainerError) -> Failure {
    Failure::hinted(error, ContainerError::hint)
}

fn form(options: &Options) -> Form {
    match options.global.format {
        OutputFormat::Json => Form::Json,
        OutputFormat::Table if options.raw || !std::io::stdout().is_terminal() => Form::Raw,
        OutputFormat::Table => Form::Escaped,
    }
}

/// The log of a container that writes to the journal.
fn from_journal(container: &Container, invocation: &str, options: &Options) -> Result<ExitCode, Failure> {
    if options.stderr {
        return Err(Failure::new("the journal does not tell standard error from standard output")
            .hint("leave --stderr out, or start the container with --log=file"));
    }
    let mut journal = Journal::open(&container.record.cgroups, invocation, options.since, options.follow)?;
    let mut shown = Shown::new(form(options), options);
    let init = if options.follow { open_init(container)? } else { None };
    if options.follow && init.is_some() {
        // What is there already comes at once; only then the last lines are known.
        journal.settle(&mut |line| shown.line(line))?;
        shown.settle()?;
        let stdout = std::io::stdout();
        loop {
            let [gone, ready, ended] = journal.wait(stdout.as_fd(), init.as_ref().map(|init| init.as_fd()))?;
            if gone {
                return Ok(ExitCode::from(exit::BROKEN_PIPE));
            }
            if ready && journal.read(&mut |line| shown.line(line))? == Read::End {
                break;
            }
            shown.settle()?;
            if ended {
                break;
            }
        }
        journal.settle(&mut |line| shown.line(line))?;
    } else if options.follow {
        journal.settle(&mut |line| shown.line(line))?;
    } else {
        while journal.read(&mut |line| shown.line(line))? == Read::More {}
    }
    shown.settle()?;
    shown.end()?;
    Ok(ExitCode::SUCCESS)
}

fn check_mode(container: &Container) -> Result<(), Failure> {
    let record = &container.record;
    let name = record.name.as_deref().unwrap_or(&record.id);
    match record.log {
        LogMode::File => Ok(()),
        LogMode::Inherit => Err(Failure::new(format!("{name} has no log here"))
            .because("it was started with --log=inherit: it writes to what ctr-run wrote to")
            .hint("for a systemd unit see journalctl -u UNIT; start it with --log=file to keep a log here")),
        LogMode::None => Err(Failure::new(format!("{name} has no log"))
            .because("it was started with --log=none")
            .hint("start it with --log=file to keep a log here")),
    }
}

/// From the files to standard output.
struct Log {
    files: LogFiles,
    joiner: Joiner,
    shown: Shown,
}

impl Log {
    /// Takes all that is there and was not taken.
    fn read(&mut self) -> Result<(), Failure> {
        let Self { files, joiner, shown } = self;
        files.read(&mut |entry| joiner.push(entry, &mut |line| shown.line(line)))
    }

    /// Shows the rest: nothing more will come.
    fn finish(mut self) -> Result<(), Failure> {
        let Self { joiner, shown, .. } = &mut self;
        joiner.finish(&mut |line| shown.line(line))?;
        shown.settle()?;
        shown.end()?;
        if self.files.lost() {
            ctr_cli::warn("the log was rotated faster than it was read: some lines are missing");
        }
        match self.files.damaged() {
            0 => {}
            1 => ctr_cli::warn("1 line of the log is damaged and was left out"),
            count => ctr_cli::warn(format!("{count} lines of the log are damaged and were left out")),
        }
        Ok(())
    }
}

/// Who was first to go.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// The container, and all of its log has been shown.
    Container,
    /// Who read our standard output.
    Reader,
}

/// Shows what is written until the container has ended, or nobody reads it any more.
fn follow(container: &Container, log: &mut Log) -> Result<Ended, Failure> {
    // Watched before it is read first: nothing that is written in between is missed.
    let watch = DirWatch::new(&container.dir)?;
    let mut init = None;
    loop {
        if init.is_none() {
            init = open_init(container)?;
        }
        // Asked before the files are read: what init wrote before its end is read then, and after it there is no writer.
        let ended = match &init {
            Some(init) => poll::readable(&[init.as_fd()], Some(Duration::ZERO))? == [true],
            None => !container.dir.is_dir() || !container.lock_is_held().map_err(failure)?,
        };
        watch.drain()?;
        log.read()?;
        if ended {
            return Ok(Ended::Container);
        }
        log.shown.settle()?;
        let stdout = std::io::stdout();
        let mut interests = vec![Interest::Closed(stdout.as_fd()), Interest::Readable(watch.as_fd())];
        interests.extend(init.as_ref().map(|init| Interest::Readable(init.as_fd())));
        let timeout = if init.is_some() { None } else { Some(LOOK_AGAIN) };
        if poll::wait(&interests, timeout)?.first() == Some(&true) {
            return Ok(Ended::Reader);
        }
    }
}

/// PID 1, which writes the log; `None` if it has ended or is not recorded yet.
fn open_init(container: &Container) -> Result<Option<OwnedFd>, Failure> {
    let Some(process) = container.process().map_err(failure)? else { return Ok(None) };
    if process.boot_id != procfs::boot_id().context(|| "cannot read the boot id")? {
        return Ok(None);
    }
    Ok(pidfd::open_verified(process.pid, process.start_time)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
        for good in [
            &["ctr-logs", "web", "-ft", "--tail", "10"][..],
            &["ctr-logs", "web", "--since", "10m", "--stderr"],
            &["ctr-logs", "web", "--since", "2026-01-31T08:00:00+01:00", "--raw"],
        ] {
            assert!(Options::try_parse_from(good).is_ok(), "{good:?}");
        }
        for bad in [
            &["ctr-logs"][..],
            &["ctr-logs", "a", "b"],
            &["ctr-logs", "a", "--stdout", "--stderr"],
            &["ctr-logs", "a", "--since", "yesterday"],
            &["ctr-logs", "a", "--tail", "-1"],
        ] {
            assert!(Options::try_parse_from(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_duration_counts_back_from_now() {
        let hour = since("1h").unwrap();
        assert!(Timestamp::now().0 - hour.0 >= 3_600_000_000_000);
        assert_eq!(since("1970-01-01T00:00:01Z"), Ok(Timestamp(1_000_000_000)));
        assert_eq!(since("200000d"), Ok(Timestamp(0)));
    }
}
