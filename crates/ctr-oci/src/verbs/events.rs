//! `events`: what a container uses, and that the kernel ended one of its processes for lack of memory; one JSON object a line.

use std::os::fd::AsFd as _;
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
    let known = States::open(global)?.find(&args.id).map_err(state_failure)?;
    if matches!(known.status, Status::Stopped | Status::Creating) {
        return Err(Failure::new(format!("cannot tell what container \"{}\" uses", args.id))
            .because(format!("container not running: it is {}", known.status.name())));
    }
    let figures = Figures { dirs: known.oci.cgroup.dirs().to_vec(), pid: known.pid };
    if args.stats {
        print("stats", known.id(), Some(figures.read()))?;
    } else {
        follow(&known, &figures, args.interval)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Until the first process has ended.
fn follow(known: &Known, figures: &Figures, interval: Duration) -> Result<(), Failure> {
    let failed = |error| Failure::new(format!("cannot watch container \"{}\"", known.id())).caused_by(&error);
    let process = known.container.process().map_err(|error| Failure::new(error.to_string()))?;
    let opened = process.map(|process| pidfd::open_verified(process.pid, process.start_time)).transpose();
    let Some(pidfd) = opened.map_err(failed)?.flatten() else { return Ok(()) };
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
