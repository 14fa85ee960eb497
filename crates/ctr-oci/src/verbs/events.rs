//! `events`: what a container uses, and that the kernel ended one of its processes for lack of memory; one JSON object a line.

use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ctr_cli::Failure;
use ctr_sys::{pidfd, poll};
use serde::Serialize;

use super::start::state_failure;
use crate::args::{self, Global};
use crate::cgroup::stats::{Figures, Stats};
use crate::state::{Known, States, Status};

/// How often is looked for a lack of memory, between two reports.
const LOOK: Duration = Duration::from_millis(200);

/// How often is looked for a container that is being moved.
const FIND_ATTEMPTS: usize = 3;

#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Stats>,
}

/// `ctr-oci events`.
pub(crate) fn events(global: &Global, args: &args::Events) -> Result<ExitCode, Failure> {
    let (known, pidfd) = find(global, args)?;
    if matches!(known.status, Status::Stopped | Status::Creating) {
        return Err(Failure::new(format!("cannot tell what container \"{}\" uses", args.id))
            .because(format!("container not running: it is {}", known.status.name())));
    }
    let figures = Figures { dirs: known.oci.cgroup.dirs().to_vec(), pid: known.pid };
    if args.stats {
        print("stats", known.id(), Some(figures.read()))?;
    } else {
        follow(&known, &figures, args.interval, pidfd)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The container and its first process. A start moves its directory: who does not find the process looks again.
fn find(global: &Global, args: &args::Events) -> Result<(Known, Option<OwnedFd>), Failure> {
    let states = States::open(global)?;
    let mut attempts = 0..FIND_ATTEMPTS;
    loop {
        let known = states.find(&args.id).map_err(state_failure)?;
        let process = known.container.process().map_err(|error| Failure::new(error.to_string()))?;
        let opened = process.map(|process| pidfd::open_verified(process.pid, process.start_time)).transpose();
        let opened = opened
            .map_err(|error| Failure::new(format!("cannot watch container \"{}\"", known.id())).caused_by(&error))?
            .flatten();
        if opened.is_some() || attempts.next().is_none() {
            return Ok((known, opened));
        }
    }
}

/// Until the first process has ended.
fn follow(known: &Known, figures: &Figures, interval: Duration, pidfd: Option<OwnedFd>) -> Result<(), Failure> {
    let failed = |error| Failure::new(format!("cannot watch container \"{}\"", known.id())).caused_by(&error);
    let Some(pidfd) = pidfd else { return Ok(()) };
    let mut seen = figures.out_of_memory();
    let mut due = Instant::now();
    loop {
        let now = Instant::now();
        if now >= due {
            print("stats", known.id(), Some(figures.read()))?;
            due = now.checked_add(interval).unwrap_or(now);
        }
        let wait = due.saturating_duration_since(Instant::now()).min(LOOK);
        let ended = poll::readable(&[pidfd.as_fd()], Some(wait)).map_err(failed)?.contains(&true);
        let count = figures.out_of_memory();
        if count > seen {
            print("oom", known.id(), None)?;
        }
        seen = count;
        if ended {
            return Ok(());
        }
    }
}

fn print(kind: &'static str, id: &str, data: Option<Stats>) -> Result<(), Failure> {
    ctr_cli::print(&format!("{}\n", ctr_cli::to_json(&Event { kind, id, data }, false)?))
}
