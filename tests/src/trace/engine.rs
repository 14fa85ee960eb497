//! The ptrace loop.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::call::{Change, Entry};
use super::{Event, Fault, Outcome, Traced};

/// A traced command that takes longer hangs.
const DEADLINE: Duration = Duration::from_mins(1);
/// `PTRACE_EVENT_STOP`: a new tracee, or a group stop (ptrace(2), `PTRACE_SEIZE`).
const EVENT_STOP: i32 = 128;
/// `ptrace_syscall_info.op` (ptrace(2)).
const SYSCALL_ENTRY: u8 = 1;

struct Tracer<'a> {
    command: &'a Traced,
    main: Pid,
    /// What `/proc/PID/fd/1` of the command leads to.
    output: PathBuf,
    /// Every traced thread, with the event that it is inside of.
    threads: HashMap<Pid, Option<usize>>,
    /// Threads in a call that was replaced: the errno to give back at its exit.
    spoiled: HashMap<Pid, Errno>,
    events: Vec<Event>,
    armed: bool,
    hit: bool,
    code: Option<i32>,
}

pub(super) fn run(command: &Traced) -> Outcome {
    let mut out = tempfile::tempfile().expect("a file for standard output");
    let mut err = tempfile::tempfile().expect("a file for standard error");
    let main = spawn(command, &out, &err);
    let mut tracer = Tracer {
        command,
        main,
        output: std::fs::read_link(format!("/proc/self/fd/{}", out.as_raw_fd())).expect("a file has a name"),
        threads: HashMap::from([(main, None)]),
        spoiled: HashMap::new(),
        events: Vec::new(),
        armed: false,
        hit: false,
        code: None,
    };
    let late = Arc::new(AtomicBool::new(false));
    let (done, wait) = mpsc::channel::<()>();
    let watchdog = std::thread::spawn({
        let late = Arc::clone(&late);
        move || {
            if wait.recv_timeout(DEADLINE) == Err(mpsc::RecvTimeoutError::Timeout) {
                late.store(true, Ordering::SeqCst);
                // The tracer's loop sees that one end, and ends the others.
                kill(main, Signal::SIGKILL).ok();
            }
        }
    });
    tracer.follow(&late);
    drop(done);
    watchdog.join().expect("the watchdog");
    assert!(
        !late.load(Ordering::SeqCst),
        "hangs: {:?}\nlast: {}\nstderr: {}",
        command.argv,
        tracer.events.iter().rev().take(5).map(ToString::to_string).collect::<Vec<_>>().join("\n      "),
        text(&mut err)
    );
    Outcome {
        events: tracer.events,
        code: tracer.code.expect("the command's own end was seen"),
        stdout: text(&mut out),
        stderr: text(&mut err),
        hit: tracer.hit,
    }
}

fn text(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().expect("rewind");
    file.read_to_end(&mut bytes).expect("read back");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Starts the command stopped, and seizes it.
fn spawn(command: &Traced, out: &File, err: &File) -> Pid {
    let child = Command::new("/bin/sh")
        .args(["-c", "kill -STOP $$; exec \"$@\"", "sh"])
        .args(&command.argv)
        .env_clear()
        .envs(&command.env)
        .stdin(Stdio::null())
        .stdout(out.try_clone().expect("dup"))
        .stderr(err.try_clone().expect("dup"))
        .process_group(0)
        .spawn()
        .expect("start sh");
    let pid = Pid::from_raw(child.id() as i32);
    match waitpid(pid, Some(WaitPidFlag::WUNTRACED)).expect("wait for the stop") {
        WaitStatus::Stopped(_, Signal::SIGSTOP) => {}
        other => panic!("the shell did not stop: {other:?}"),
    }
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL;
    ptrace::seize(pid, options).expect("PTRACE_SEIZE");
    kill(pid, Signal::SIGCONT).expect("SIGCONT");
    pid
}

impl Tracer<'_> {
    fn follow(&mut self, late: &AtomicBool) {
        // Only children of this thread: other tests of the process have their own.
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        loop {
            let status = match waitpid(None, Some(flags)) {
                Ok(status) => status,
                Err(Errno::ECHILD) => return,
                Err(Errno::EINTR) => continue,
                Err(errno) => panic!("waitpid: {errno}"),
            };
            if late.load(Ordering::SeqCst) {
                self.kill_tree();
            }
            match status {
                WaitStatus::Exited(pid, code) => self.ended(pid, code),
                WaitStatus::Signaled(pid, signal, _) => self.ended(pid, 128 + signal as i32),
                WaitStatus::Stopped(pid, signal) => resume(pid, Some(signal)),
                WaitStatus::PtraceEvent(pid, _, event) => {
                    self.threads.entry(pid).or_default();
                    if event == libc::PTRACE_EVENT_EXEC && pid == self.main {
                        self.armed = true;
                    }
                    // A group stop is not kept: nothing here depends on one.
                    debug_assert!(event <= libc::PTRACE_EVENT_SECCOMP || event == EVENT_STOP);
                    resume(pid, None);
                }
                WaitStatus::PtraceSyscall(pid) => self.syscall_stop(pid),
                WaitStatus::Continued(_) | WaitStatus::StillAlive => {}
            }
        }
    }

    fn ended(&mut self, pid: Pid, code: i32) {
        self.threads.remove(&pid);
        self.spoiled.remove(&pid);
        if pid == self.main {
            self.code = Some(code);
        }
    }

    fn syscall_stop(&mut self, pid: Pid) {
        // ESRCH: it was killed while it was stopped; its end is reported next.
        let Ok(info) = ptrace::syscall_info(pid) else { return };
        if info.op == SYSCALL_ENTRY {
            self.enter(pid)
        } else {
            self.leave(pid)
        }
        resume(pid, None);
    }

    fn enter(&mut self, pid: Pid) {
        if !self.armed {
            return;
        }
        let Ok(regs) = ptrace::getregs(pid) else { return };
        let entry = Entry {
            pid,
            output: &self.output,
            number: regs.orig_rax as i64,
            args: [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9],
        };
        let Some((call, change)) = entry.change() else { return };
        if !self.counts(&change) {
            return;
        }
        let number = self.events.len() + 1;
        let fault = self.command.fault;
        let spoil = match fault {
            Fault::Fail(n, errno) if n == number => Some(errno),
            Fault::DiskFull(n) if number >= n && change.takes_space() => Some(Errno::ENOSPC),
            _ => None,
        };
        let kills = matches!(fault, Fault::KillTree(n) | Fault::KillCaller(n) if n == number);
        self.hit |= spoil.is_some() || kills;
        self.events.push(Event { number, call, change, ok: None });
        self.threads.insert(pid, Some(number - 1));
        if let Some(errno) = spoil {
            self.spoiled.insert(pid, errno);
        }
        if spoil.is_some() || kills {
            // The call becomes one that does not exist.
            let mut regs = regs;
            regs.orig_rax = u64::MAX;
            ptrace::setregs(pid, regs).ok();
        }
        if kills {
            if matches!(fault, Fault::KillTree(_)) { self.kill_tree() } else { kill_process(pid) }
        }
    }

    fn leave(&mut self, pid: Pid) {
        let Some(event) = self.threads.get_mut(&pid).and_then(Option::take) else { return };
        let Ok(mut regs) = ptrace::getregs(pid) else { return };
        if let Some(errno) = self.spoiled.remove(&pid) {
            regs.rax = -i64::from(errno as i32) as u64;
            ptrace::setregs(pid, regs).ok();
        }
        self.events[event].ok = Some(!(-4095..0).contains(&(regs.rax as i64)));
    }

    fn counts(&self, change: &Change) -> bool {
        match change {
            Change::Mount | Change::Process => self.command.machinery,
            Change::Syncfs | Change::Report(_) => true,
            change => {
                let inside = |path: &std::path::Path| self.command.below.iter().any(|root| path.starts_with(root));
                change.path().is_some_and(inside) || matches!(change, Change::Rename { from, .. } if inside(from))
            }
        }
    }

    fn kill_tree(&self) {
        for pid in self.threads.keys() {
            kill_process(*pid);
        }
    }
}

fn kill_process(thread: Pid) {
    // A signal to a thread id reaches its process.
    kill(thread, Signal::SIGKILL).ok();
}

fn resume(pid: Pid, signal: Option<Signal>) {
    // ESRCH: killed meanwhile.
    match ptrace::syscall(pid, signal) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => panic!("PTRACE_SYSCALL {pid}: {errno}"),
    }
}
