//! `--wait-ready`: a command is executed in the container until it succeeds.
//!
//! Each try is a process of its own, because who joins a container does not come back. It is over when the command has ended
//! or its time is; what it wrote is kept for the message.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Instant;

use ctr_cli::Failure;
use ctr_core::container::{Container, Containers, State};
use ctr_sandbox::join::{self, JoinEnd, JoinOptions, JoinStreams};
use ctr_sys::files::{self, PollEntry};
use ctr_sys::process::{self, Ended, WaitFor};
use ctr_sys::{Errno, signal};

use crate::args::HealthArgs;
use crate::container_failure;

/// Bytes of a try's output that are kept, the last ones.
const OUTPUT_MAX: usize = 2048;
/// What a try returns whose time was over, as timeout(1) does.
const TIMED_OUT: u8 = 124;

/// Waits until the container is ready; the failure tells why it is not.
pub(crate) fn wait(containers: &Containers, id: &str, command: &str, health: &HealthArgs) -> Result<(), Failure> {
    let start = Instant::now();
    // The start has blocked all signals for one who stays; here each may end us.
    let _ = signal::unblock_all();
    let mut failed = 0;
    loop {
        let container = containers.find(id).map_err(container_failure)?;
        let (code, output) = attempt(&container, command, health).map_err(|errno| {
            Failure::new("cannot execute the --health-cmd").because(errno.desc()).code(ctr_cli::exit::RUNNER_FAILURE)
        })?;
        if code == 0 {
            return Ok(());
        }
        if container.status().map_err(container_failure)?.state != State::Running {
            return Err(
                Failure::new("the container has ended before it was ready").hint("ctr-logs shows what it wrote")
            );
        }
        if start.elapsed() >= health.health_start_period {
            failed += 1;
        }
        if failed >= health.health_retries.max(1) {
            let why = if code == TIMED_OUT { "its time was over".to_owned() } else { format!("it returned {code}") };
            let mut failure = Failure::new(format!("the container is not ready after {failed} tries of {command}"));
            failure = failure.because(why);
            for line in output.lines().filter(|line| !line.trim().is_empty()) {
                failure = failure.because(line);
            }
            return Err(failure.hint("the container was stopped; see --health-retries and --health-start-period"));
        }
        std::thread::sleep(health.health_interval);
    }
}

/// One try: the exit code and the end of the output.
fn attempt(container: &Container, command: &str, health: &HealthArgs) -> Result<(u8, String), Errno> {
    let (read, write) = files::pipe()?;
    let Some(pid) = process::fork()? else {
        drop(read);
        process::exit_now(try_in(container, command, health, write))
    };
    drop(write);
    let pidfd = process::pidfd_open(pid)?;
    files::set_nonblocking(read.as_fd())?;
    let mut output = Vec::new();
    let mut open = true;
    loop {
        let mut entries = [PollEntry::readable(Some(pidfd.as_fd())), PollEntry::readable(open.then_some(read.as_fd()))];
        files::poll(&mut entries, None)?;
        let [ended, written] = entries;
        if written.is_ready() {
            open = drain(read.as_fd(), &mut output);
        }
        // What the command has left in the background may keep the pipe open.
        if ended.is_ready() {
            drain(read.as_fd(), &mut output);
            break;
        }
    }
    let code = match process::wait(WaitFor::PidFd(pidfd.as_fd()), true)? {
        Some((_, Ended::Code(code))) => code,
        _ => ctr_cli::exit::RUNNER_FAILURE,
    };
    Ok((code, String::from_utf8_lossy(&output).into_owned()))
}

/// Reads what is there and keeps the end of it; `false` when there will be no more. A try that writes without end is read one
/// pipe's fill at a time, so that its time still counts.
fn drain(pipe: BorrowedFd<'_>, output: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 4096];
    for _ in 0..16 {
        match files::read(pipe, &mut buffer) {
            Ok(0) => return false,
            Ok(count) => {
                output.extend_from_slice(buffer.get(..count).unwrap_or_default());
                let over = output.len().saturating_sub(OUTPUT_MAX);
                output.drain(..over);
            }
            Err(_) => return true,
        }
    }
    true
}

/// The process of a try.
fn try_in(container: &Container, command: &str, health: &HealthArgs, output: OwnedFd) -> u8 {
    let Ok(copy) = output.try_clone() else { return ctr_cli::exit::RUNNER_FAILURE };
    let options = JoinOptions {
        args: vec!["sh".to_owned(), "-c".to_owned(), command.to_owned()],
        streams: JoinStreams::To(output),
        ..JoinOptions::default()
    };
    let ended = join::prepare(container, options).and_then(join::Joining::start).and_then(|joined| {
        let end = joined.wait_for(health.health_timeout)?;
        if end == JoinEnd::Late {
            joined.kill();
        }
        Ok(end)
    });
    match ended {
        Ok(JoinEnd::Code(code)) => code,
        Ok(_) => TIMED_OUT,
        Err(error) => {
            let _ = File::from(copy).write_all(error.to_string().as_bytes());
            error.exit_code()
        }
    }
}
