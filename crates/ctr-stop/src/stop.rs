//! One container: ask, wait, kill, record, remove.
//!
//! ```text
//! stop signal -> PID 1, which hands it on      through a pidfd that was checked against the record
//! wait for PID 1                               poll(2), until the timeout
//! kill PID 1 and the control group             bounded; the kernel ends the whole pid namespace with PID 1
//! write the exit record                        only if we killed PID 1: init had no chance
//! remove                                       only if it was started with --rm
//! ```

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::thread;
use std::time::{Duration, Instant};

use ctr_cli::{Context as _, Failure};
use ctr_core::container::{Container, Containers, EXIT_RECORD_MAX, ExitRecord, ExitStatus, State};
use ctr_core::timestamp::Timestamp;
use ctr_sys::signal::{SIGKILL, SIGNAL_MAX, SIGTERM};
use ctr_sys::{pidfd, poll, procfs};
use serde::Serialize;

use crate::{failure, group, remove};

/// Longest time from the kill until the container is gone. The kernel needs milliseconds; a process in an uninterruptible
/// system call, or one that a control group above ours keeps frozen, can take for ever.
const KILL_TIME: Duration = Duration::from_secs(10);
/// Longest time that a container that is just being started may take to write down its process.
const START_TIME: Duration = Duration::from_secs(2);
/// Between two looks at what cannot be waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What the command line asks for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request {
    /// In place of the container's own stop signal.
    pub signal: Option<i32>,
    /// In place of the container's own timeout.
    pub timeout: Option<Duration>,
}

/// What became of a container; printed as JSON (spec/schemas/stop.json).
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) id: String,
    name: Option<String>,
    /// Whether it ran when we came.
    was_running: bool,
    /// Whether it had to be killed.
    killed: bool,
    exit: Option<ExitStatus>,
    removed: bool,
}

/// A container that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Which.
    pub container: Container,
    /// Whether it ran when we came.
    pub was_running: bool,
    killed: bool,
    exit: Option<ExitStatus>,
}

impl Ended {
    /// What became of it; it is removed if it was started with `--rm`.
    pub(crate) fn settle(self, containers: &Containers) -> Result<Outcome, Failure> {
        let record = &self.container.record;
        let removed = record.rm && remove::container(containers, &self.container)?;
        Ok(Outcome {
            id: record.id.clone(),
            name: record.name.clone(),
            was_running: self.was_running,
            killed: self.killed,
            exit: self.exit,
            removed,
        })
    }
}

/// A container that has been asked to end.
#[derive(Debug)]
pub struct Stopping {
    container: Container,
    /// PID 1; none if it has ended and only others of the control group are left, or nothing runs at all.
    process: Option<OwnedFd>,
    was_running: bool,
    deadline: Instant,
}

impl Stopping {
    /// Sends the stop signal, if there is somebody to get it.
    pub fn ask(container: Container, request: Request) -> Result<Self, Failure> {
        let now = Instant::now();
        let state = container.status().map_err(failure)?.state;
        match state {
            State::Running => {}
            State::Embryo | State::Prepared if container.lock_is_held().map_err(failure)? => {
                return Err(Failure::new(format!("cannot stop {}: it is just being started", label(&container)))
                    .hint("run the command again"));
            }
            _ => {
                ctr_cli::note(format!("{} does not run", label(&container)));
                return Ok(Self { container, process: None, was_running: false, deadline: now });
            }
        }
        let process = open_process(&container)?;
        // A frozen program could not answer: it would be killed for nothing.
        group::Groups::of(&container).thaw();
        let Some(pidfd) = &process else {
            // Nobody is left to be asked: PID 1 is gone.
            return Ok(Self { container, process, was_running: true, deadline: now });
        };
        let own = Some(container.record.stop_signal).filter(|signal| (1..=SIGNAL_MAX).contains(signal));
        let signal = request.signal.or(own).unwrap_or(SIGTERM);
        pidfd::send_signal(pidfd.as_fd(), signal).context(|| format!("cannot signal {}", label(&container)))?;
        let timeout = request.timeout.unwrap_or(Duration::from_secs(container.record.stop_timeout));
        // A time that the clock cannot hold is as good as a year.
        let deadline = now.checked_add(timeout).unwrap_or(now + Duration::from_secs(31_536_000));
        Ok(Self { container, process, was_running: true, deadline })
    }

    /// When it will be killed.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Waits, kills and records.
    pub fn finish(self) -> Result<Ended, Failure> {
        let killed = self.was_running && self.end()?;
        let exit = self.container.exit().map_err(failure)?;
        Ok(Ended {
            was_running: self.was_running,
            killed,
            exit: exit.map(|exit| exit.status),
            container: self.container,
        })
    }

    /// Until nothing of the container runs; says whether it had to be killed.
    fn end(&self) -> Result<bool, Failure> {
        let mut init_killed = false;
        if let Some(pidfd) = &self.process {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if poll::readable(&[pidfd.as_fd()], Some(left))? == [false] {
                pidfd::send_signal(pidfd.as_fd(), SIGKILL)
                    .context(|| format!("cannot kill {}", label(&self.container)))?;
                init_killed = true;
            }
        }
        // With PID 1 the kernel ends its whole namespace. What is left in the group then came in from outside of it, or
        // is frozen: a frozen PID 1 dies of the signal, frozen others only once they are thawed.
        let end = Instant::now() + KILL_TIME;
        let groups = group::Groups::of(&self.container);
        let (mut killed, mut stage) = (init_killed, 0);
        while self.container.status().map_err(failure)?.state == State::Running {
            if Instant::now() >= end {
                return Err(self.stuck(&groups));
            }
            // Of its own the rest needs a moment after PID 1; asking at once would call every clean end a kill.
            if stage >= 2 || killed {
                killed |= groups.kill(end);
            }
            stage += 1;
            self.wait_a_little();
        }
        // How the program ended is known only if it was there to be killed with PID 1.
        if init_killed {
            self.record_kill()?;
        }
        Ok(killed)
    }

    fn wait_a_little(&self) {
        // A pidfd that is not ready yet ends the pause early; once it is ready there is nothing left but to look again.
        let waited = self.process.as_ref().map(|pidfd| poll::readable(&[pidfd.as_fd()], Some(LOOK_AGAIN)));
        if !matches!(waited.as_ref().map(|result| result.as_deref()), Some(Ok([false]))) {
            thread::sleep(LOOK_AGAIN);
        }
    }

    fn stuck(&self, groups: &group::Groups) -> Failure {
        let mut stuck = Failure::new(format!("cannot end {}", label(&self.container)))
            .hint("ctr-stop can be run again; ctr-ps shows the container as running until it is gone");
        for reason in groups.why_alive() {
            stuck = stuck.because(reason);
        }
        stuck
    }

    /// Init writes the record if it can; a killed init could not.
    fn record_kill(&self) -> Result<(), Failure> {
        if self.container.exit().map_err(failure)?.is_some() {
            return Ok(());
        }
        let signal = u8::try_from(SIGKILL).unwrap_or(9);
        let mut line = [0; EXIT_RECORD_MAX];
        let length =
            ExitRecord { status: ExitStatus::Signal(signal), at: Timestamp::now(), timed_out: false }.write(&mut line);
        let path = self.container.dir.join("exit");
        let written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        match written.and_then(|mut file| file.write_all(line.get(..length).unwrap_or_default())) {
            // Removed meanwhile by another ctr-stop or by ctr-run --wait --rm.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result.context(|| format!("cannot write {}", path.display())),
        }
    }
}

/// The name of a container in messages.
pub(crate) fn label(container: &Container) -> String {
    let record = &container.record;
    record.name.clone().unwrap_or_else(|| record.id.chars().take(12).collect())
}

/// PID 1 as recorded, if it still is that process.
fn open_process(container: &Container) -> Result<Option<OwnedFd>, Failure> {
    let end = Instant::now() + START_TIME;
    loop {
        if let Some(process) = container.process().map_err(failure)? {
            let boot_id = procfs::boot_id().context(|| "cannot read the boot id")?;
            if process.boot_id != boot_id {
                return Ok(None);
            }
            return Ok(pidfd::open_verified(process.pid, process.start_time)?);
        }
        // ctr-run writes the process down right after it made it; before that the lock tells that somebody is at it.
        if Instant::now() >= end || !container.lock_is_held().map_err(failure)? {
            return Ok(None);
        }
        thread::sleep(LOOK_AGAIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ctr_core::container::{ContainerRecord, ImageRecord, IsolationRecord, LogMode, Place, ProcessRecord};
    use ctr_core::digest::Digest;
    use std::fs;
    use std::path::Path;
    use std::process::{Child, Command};

    /// A container without control groups whose PID 1 is `sh -c script`, a child of the test.
    fn start(root: &Path, script: &str, rm: bool) -> (Containers, Container, Child) {
        let containers = Containers::open(root);
        let id = "0123456789abcdef";
        let dir = containers.place(Place::Run).join(id);
        fs::create_dir_all(&dir).unwrap();
        fs::create_dir_all(containers.place(Place::Garbage)).unwrap();
        fs::create_dir_all(containers.names()).unwrap();
        let record = ContainerRecord {
            version: 1,
            id: id.into(),
            name: None,
            image: Some(ImageRecord { name: None, digest: Digest::of(b"") }),
            bundle: None,
            layers: Vec::new(),
            command: vec![script.into()],
            created_at: Timestamp::now(),
            hostname: String::new(),
            labels: std::collections::BTreeMap::new(),
            stop_signal: SIGTERM,
            stop_timeout: 10,
            log: LogMode::None,
            tty: false,
            stdin: false,
            journal: None,
            init: true,
            rm,
            cgroups: Vec::new(),
            volumes: Vec::new(),
            mounted_images: Vec::new(),
            isolation: IsolationRecord::default(),
        };
        fs::write(dir.join("container.json"), serde_json::to_vec(&record).unwrap()).unwrap();
        let child = Command::new("sh").arg("-c").arg(script).current_dir(&dir).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let process = ProcessRecord {
            version: 1,
            boot_id: procfs::boot_id().unwrap(),
            pid,
            start_time: procfs::process_stat(pid).unwrap().unwrap().start_time,
            started_at: Timestamp::now(),
        };
        fs::write(dir.join("process"), serde_json::to_vec(&process).unwrap()).unwrap();
        // The script says so when its traps are set.
        while !dir.join("ready").exists() {
            thread::sleep(Duration::from_millis(1));
        }
        let container = containers.find(id).unwrap();
        (containers, container, child)
    }

    fn stop(containers: &Containers, container: Container, timeout: Option<u64>) -> Outcome {
        let request = Request { signal: None, timeout: timeout.map(Duration::from_millis) };
        Stopping::ask(container, request).unwrap().finish().unwrap().settle(containers).unwrap()
    }

    #[test]
    fn a_program_that_obeys_is_not_killed() {
        let root = tempfile::tempdir().unwrap();
        let script = "trap 'exit 0' TERM; touch ready; while :; do sleep 0.01; done";
        let (containers, container, mut child) = start(root.path(), script, false);
        let outcome = stop(&containers, container.clone(), None);
        assert_eq!((outcome.was_running, outcome.killed, outcome.exit), (true, false, None));
        assert!(child.wait().unwrap().success());
        let again = stop(&containers, container, None);
        assert_eq!((again.was_running, again.killed), (false, false));
    }

    #[test]
    fn a_program_that_does_not_is_killed_and_recorded() {
        let root = tempfile::tempdir().unwrap();
        let script = "trap '' TERM; touch ready; while :; do sleep 0.01; done";
        let (containers, container, mut child) = start(root.path(), script, false);
        let outcome = stop(&containers, container.clone(), Some(50));
        assert_eq!((outcome.killed, outcome.exit), (true, Some(ExitStatus::Signal(9))));
        assert_eq!(container.status().unwrap().state, State::Exited);
        child.wait().unwrap();
    }

    #[test]
    fn one_that_is_to_be_removed_is_gone_afterwards() {
        let root = tempfile::tempdir().unwrap();
        let (containers, container, mut child) = start(root.path(), "touch ready; exec sleep 60", true);
        let dir = container.dir.clone();
        let outcome = stop(&containers, container, Some(0));
        assert!(outcome.removed && outcome.exit.is_some() && !dir.exists());
        assert_eq!(fs::read_dir(containers.place(Place::Garbage)).unwrap().count(), 0);
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_got_the_number_later_is_not_touched() {
        let root = tempfile::tempdir().unwrap();
        let (containers, container, mut child) = start(root.path(), "touch ready; exec sleep 60", false);
        let path = container.dir.join("process");
        let mut process = container.process().unwrap().unwrap();
        process.start_time += 1;
        fs::write(path, serde_json::to_vec(&process).unwrap()).unwrap();
        let outcome = stop(&containers, container, Some(0));
        assert!(!outcome.was_running && child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
