//! Waiting for the end of containers.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::AsFd as _;
use std::thread;
use std::time::{Duration, Instant};

use ctr_cli::{Failure, human};
use ctr_core::container::{Container, ContainerError, Containers, EXIT_RECORD_MAX, ExitRecord, State, Status};
use ctr_sys::{pidfd, poll};

use crate::entry::Entry;
use crate::failure;

/// How often a container is looked at that has no process to wait for: it is being started, or its PID 1 is gone and the
/// kernel is still ending the rest.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Waits until all of `containers` have ended, at most `timeout`; adds how they ended to `entries`, and those that have not
/// to `failures`.
pub(crate) fn until_ended(
    all: &Containers,
    containers: Vec<Container>,
    timeout: Option<Duration>,
    entries: &mut Vec<Entry>,
    failures: &mut Vec<Failure>,
) -> Result<(), Failure> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let watched: Vec<Watched> = containers.into_iter().map(Watched::new).collect();
    for watched in watched {
        match watched.wait(all, deadline)? {
            Ok(entry) => entries.push(entry),
            Err(late) => {
                let after = timeout.map(human::rough).unwrap_or_default();
                failures.push(
                    Failure::new(format!("{late} has not ended after {after}"))
                        .hint("wait longer by --timeout, or end it with ctr-stop"),
                );
            }
        }
    }
    Ok(())
}

/// A container and its exit record, open: who removes the container (`--rm`) does not take the record from us.
struct Watched {
    container: Container,
    exit: Option<File>,
}

impl Watched {
    fn new(container: Container) -> Self {
        let exit = File::open(container.dir.join("exit")).ok();
        Self { container, exit }
    }

    /// The container once it has ended, or what to call it if the deadline came first.
    fn wait(mut self, all: &Containers, deadline: Option<Instant>) -> Result<Result<Entry, String>, Failure> {
        loop {
            let gone = !self.reload(all)?;
            let status = if gone { self.last_words() } else { self.container.status().map_err(failure)? };
            if gone || !matches!(status.state, State::Embryo | State::Prepared | State::Running) {
                return Ok(Ok(Entry { container: self.container, status }));
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                let record = &self.container.record;
                let name = record.name.as_deref().unwrap_or(&record.id);
                return Ok(Err(name.to_owned()));
            }
            self.sleep(left)?;
        }
    }

    /// Until PID 1 ends, or the time is over, or it is worth to look again.
    fn sleep(&self, left: Option<Duration>) -> Result<(), Failure> {
        let process = self.container.process().map_err(failure)?;
        let pidfd = match process {
            Some(process) => pidfd::open_verified(process.pid, process.start_time)?,
            None => None,
        };
        match pidfd {
            Some(pidfd) if poll::readable(&[pidfd.as_fd()], left)? == [false] => {}
            // PID 1 has ended; it must still be reaped, and other processes of the control group too.
            Some(_) | None => thread::sleep(left.unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN)),
        }
        Ok(())
    }

    /// Finds the container in the place where it is by now; `false` if it has been removed.
    fn reload(&mut self, all: &Containers) -> Result<bool, Failure> {
        if self.container.dir.is_dir() {
            return Ok(true);
        }
        match all.find(&self.container.record.id) {
            Ok(container) => {
                self.exit = File::open(container.dir.join("exit")).ok();
                self.container = container;
                Ok(true)
            }
            Err(ContainerError::NotFound(_)) => Ok(false),
            Err(error) => Err(failure(error)),
        }
    }

    /// The status of a container that was removed while we waited.
    fn last_words(&mut self) -> Status {
        let mut line = Vec::with_capacity(EXIT_RECORD_MAX);
        let record = self.exit.as_mut().and_then(|file| {
            file.rewind().ok()?;
            file.take(EXIT_RECORD_MAX as u64).read_to_end(&mut line).ok()?;
            ExitRecord::parse(&line)
        });
        Status {
            state: if record.is_some() { State::Exited } else { State::Killed },
            pid: None,
            started_at: None,
            finished_at: record.map(|record| record.at),
            exit: record.map(|record| record.status),
            reason: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ctr_core::container::{ExitStatus, Place, ProcessRecord};
    use ctr_core::timestamp::Timestamp;
    use ctr_sys::procfs;
    use std::fs;
    use std::path::Path;
    use std::process::{Child, Command};

    /// A container whose PID 1 sleeps and is a child of the test.
    fn start(root: &Path, seconds: &str) -> (Containers, Container, Child) {
        let containers = Containers::open(root);
        let record = crate::entry::tests::entry().container.record;
        let dir = containers.place(Place::Run).join(&record.id);
        fs::create_dir_all(&dir).unwrap();
        fs::create_dir_all(containers.place(Place::Garbage)).unwrap();
        fs::create_dir_all(containers.names()).unwrap();
        fs::write(dir.join("container.json"), serde_json::to_vec(&record).unwrap()).unwrap();
        fs::write(dir.join("exit"), "").unwrap();
        let child = Command::new("sleep").arg(seconds).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let process = ProcessRecord {
            version: 1,
            boot_id: procfs::boot_id().unwrap(),
            pid,
            start_time: procfs::process_stat(pid).unwrap().unwrap().start_time,
            started_at: Timestamp::now(),
        };
        fs::write(dir.join("process"), serde_json::to_vec(&process).unwrap()).unwrap();
        let container = containers.find(&record.id).unwrap();
        (containers, container, child)
    }

    fn ended(all: &Containers, container: Container, timeout: Duration) -> (Vec<Entry>, Vec<Failure>) {
        let (mut entries, mut failures) = (Vec::new(), Vec::new());
        until_ended(all, vec![container], Some(timeout), &mut entries, &mut failures).unwrap();
        (entries, failures)
    }

    #[test]
    fn the_end_is_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let (containers, container, mut child) = start(root.path(), "0.2");
        let (entries, failures) = ended(&containers, container, Duration::from_secs(20));
        assert_eq!((entries[0].status.state, failures.len()), (State::Killed, 0));
        child.wait().unwrap();
    }

    #[test]
    fn the_timeout_is_kept_and_names_who_is_late() {
        let root = tempfile::tempdir().unwrap();
        let (containers, container, mut child) = start(root.path(), "60");
        let (entries, failures) = ended(&containers, container, Duration::from_millis(50));
        assert!(entries.is_empty());
        assert_eq!(failures[0].what(), "web has not ended after 50 milliseconds");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn one_that_is_removed_meanwhile_tells_how_it_ended() {
        let root = tempfile::tempdir().unwrap();
        let (containers, container, mut child) = start(root.path(), "60");
        let watched = Watched::new(container.clone());
        let mut line = [0; EXIT_RECORD_MAX];
        let length = ExitRecord { status: ExitStatus::Code(3), at: Timestamp(1), timed_out: false }.write(&mut line);
        fs::write(container.dir.join("exit"), &line[..length]).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        fs::remove_dir_all(containers.discard(&container).unwrap().unwrap()).unwrap();
        let entry = watched.wait(&containers, None).unwrap().unwrap();
        assert_eq!((entry.status.state, entry.status.exit), (State::Exited, Some(ExitStatus::Code(3))));
    }
}
