//! A server that runs as a process of its own.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::bins::work_dir;

/// Ports for servers that cannot be told to take any: below those that the kernel gives out by itself.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// How long a server may take until it can be connected to.
const START: Duration = Duration::from_secs(20);

/// How much of the log of a server is shown when a test fails.
const SHOWN: usize = 20;

/// A port that is nobody's, and stays this test's as long as it is held.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) number: u16,
    _lock: File,
}

impl Port {
    /// Takes one.
    pub(super) fn take() -> Self {
        let dir = work_dir().join("ports");
        fs::create_dir_all(&dir).expect("directory");
        let span = PORTS.end - PORTS.start;
        let start = (std::process::id() as u16).wrapping_mul(37) % span;
        for step in 0..span {
            let number = PORTS.start + (start + step) % span;
            let lock = File::create(dir.join(number.to_string())).expect("lock file");
            if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Self { number, _lock: lock };
            }
        }
        panic!("no free port");
    }
}

/// A running server and its directory.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    name: &'static str,
    pub(super) dir: TempDir,
    pub(super) port: Port,
}

impl Process {
    /// Starts `program ARGS` in `dir` and waits until `port` can be connected to. What it prints goes to `log`.
    pub(super) fn start(name: &'static str, args: Vec<OsString>, dir: TempDir, port: Port) -> Self {
        let log = File::create(dir.path().join("log")).expect("log");
        // It ends with the test, also when the test is killed.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", name])
            .args(args)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("dup"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut process = Self { child, name, dir, port };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", process.port.number)).is_err() {
            let ended = process.child.try_wait().expect("wait");
            assert!(ended.is_none(), "{name} ended: {ended:?}");
            assert!(start.elapsed() < START, "{name} does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        process
    }

    /// What it printed so far.
    pub(super) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// `127.0.0.1:PORT`.
    pub(super) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port.number)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(SHOWN)..];
            eprintln!("log of {}, last {SHOWN} lines:\n{}", self.name, last.join("\n"));
        }
    }
}
