//! A person at a terminal: a pseudo terminal of the test's own, a command that runs in its session, what is typed and seen.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{self, LocalFlags};
use nix::unistd::Pid;

use crate::scratch::Cmd;

/// A terminal that does not answer for so long hangs.
const DEADLINE: Duration = Duration::from_secs(30);

/// A terminal and what runs in it.
#[derive(Debug)]
pub struct Pty {
    master: File,
    slave: OwnedFd,
    child: Child,
    /// All that was shown.
    seen: Vec<u8>,
    /// Up to where [`Pty::expect`] has looked.
    looked: usize,
}

impl Pty {
    /// Runs `cmd` as the leader of a new session, which a new terminal of 24 lines and 80 columns controls.
    pub fn start(cmd: &Cmd) -> Self {
        Self::start_with(cmd, |_| {})
    }

    /// [`Self::start`], with other standard streams than the terminal where `change` sets them. Standard input stays.
    pub fn start_with(cmd: &Cmd, change: impl FnOnce(&mut Command)) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(&size, None).expect("openpty");
        // A command that had the master could not see its terminal go.
        for end in [&pair.master, &pair.slave] {
            fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("fcntl");
        }
        // setsid(1) makes standard input the controlling terminal and executes the command in its own place.
        let inner = cmd.command();
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(inner.get_program()).args(inner.get_args());
        command.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(dir) = inner.get_current_dir() {
            command.current_dir(dir);
        }
        let stream = || Stdio::from(pair.slave.try_clone().expect("dup"));
        command.stdin(stream()).stdout(stream()).stderr(stream());
        change(&mut command);
        let child = command.spawn().unwrap_or_else(|error| panic!("{cmd:?}: {error}"));
        Self { master: File::from(pair.master), slave: pair.slave, child, seen: Vec::new(), looked: 0 }
    }

    /// The command's process id.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Types.
    pub fn write(&mut self, text: impl AsRef<[u8]>) {
        self.master.write_all(text.as_ref()).expect("type");
    }

    /// Types a line.
    pub fn line(&mut self, text: &str) {
        self.write(format!("{text}\r"));
    }

    /// Reads what is shown for at most `wait`; `false` if nothing was.
    fn read(&mut self, wait: Duration) -> bool {
        let mut entries = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        let wait = PollTimeout::try_from(wait.as_millis()).expect("a short time");
        if poll(&mut entries, wait).expect("poll") == 0 {
            return false;
        }
        let mut buffer = [0; 16384];
        match self.master.read(&mut buffer) {
            Ok(count) => self.seen.extend_from_slice(&buffer[..count]),
            // EIO: nobody has the terminal open.
            Err(error) if error.raw_os_error() == Some(nix::libc::EIO) || error.kind() == ErrorKind::WouldBlock => {
                return false;
            }
            Err(error) => panic!("{error}"),
        }
        true
    }

    /// All that has been shown.
    pub fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    /// All bytes that have been shown.
    pub fn bytes(&self) -> &[u8] {
        &self.seen
    }

    /// Reads until nothing more comes.
    pub fn settle(&mut self) {
        while self.read(Duration::from_millis(50)) {}
    }

    /// Waits until `text` is shown, after what was waited for before.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        let start = Instant::now();
        loop {
            let rest = &self.seen[self.looked..];
            if let Some(at) = rest.windows(text.len()).position(|window| window == text.as_bytes()) {
                self.looked += at + text.len();
                return;
            }
            assert!(start.elapsed() < DEADLINE, "never shown: {text:?}, but {:?}", self.seen());
            self.read(Duration::from_millis(20));
            if let Some(status) = self.child.try_wait().expect("wait") {
                while self.read(Duration::from_millis(20)) {}
                let rest = String::from_utf8_lossy(&self.seen[self.looked..]).into_owned();
                assert!(rest.contains(text), "ended with {status}, never shown: {text:?}, but {:?}", self.seen());
            }
        }
    }

    /// Nothing is shown for this long.
    #[track_caller]
    pub fn expect_silence(&mut self, time: Duration) {
        let (start, before) = (Instant::now(), self.seen.len());
        while start.elapsed() < time {
            self.read(Duration::from_millis(10));
        }
        let new = String::from_utf8_lossy(&self.seen[before..]).into_owned();
        assert!(new.is_empty(), "shown: {new:?}");
    }

    /// Bytes that whoever reads the terminal would get now, if lines were not waited for.
    pub fn waiting_input(&self) -> usize {
        let mut modes = termios::tcgetattr(&self.slave).expect("tcgetattr");
        modes.local_flags.remove(LocalFlags::ICANON);
        termios::tcsetattr(&self.slave, termios::SetArg::TCSANOW, &modes).expect("tcsetattr");
        let mut entries = [PollFd::new(self.slave.as_fd(), PollFlags::POLLIN)];
        if poll(&mut entries, PollTimeout::ZERO).expect("poll") == 0 {
            return 0;
        }
        let mut buffer = [0; 4096];
        nix::unistd::read(&self.slave, &mut buffer).expect("read")
    }

    /// Makes the window another size.
    pub fn resize(&self, rows: u16, columns: u16) {
        let (rows, columns) = (rows.to_string(), columns.to_string());
        let mut stty = Command::new("stty");
        stty.args(["rows", &rows, "cols", &columns]).stdin(self.slave.try_clone().expect("dup"));
        assert!(stty.status().expect("stty").success());
    }

    /// All modes of the terminal, to compare.
    pub fn modes(&self) -> String {
        format!("{:?}", termios::tcgetattr(&self.slave).expect("tcgetattr"))
    }

    /// Whether what is typed is passed on at once and not echoed.
    pub fn is_raw(&self) -> bool {
        let modes = termios::tcgetattr(&self.slave).expect("tcgetattr");
        !modes.local_flags.intersects(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG)
    }

    /// Waits until the command has made its terminal raw.
    #[track_caller]
    pub fn until_raw(&mut self) {
        let start = Instant::now();
        while !self.is_raw() {
            self.read(Duration::from_millis(2));
            assert!(start.elapsed() < DEADLINE, "never raw; shown: {:?}", self.seen());
        }
    }

    /// Sends a signal to the command.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("kill");
    }

    /// The terminal goes away, as when its window is closed.
    pub fn hang_up(self) -> Child {
        self.child
    }

    /// Waits for the end and gives the exit code, or 128 + signal.
    #[track_caller]
    pub fn wait(&mut self) -> i32 {
        let start = Instant::now();
        loop {
            self.read(Duration::from_millis(2));
            if let Some(status) = self.child.try_wait().expect("wait") {
                while self.read(Duration::ZERO) {}
                return status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
            }
            if start.elapsed() > DEADLINE {
                self.child.kill().ok();
                panic!("hangs; shown: {:?}", self.seen());
            }
        }
    }
}
