//! A root of its own for each test, and commands that run in it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::trace::Traced;
use crate::{bins, leaks};

/// A command that takes longer hangs.
const DEADLINE: Duration = Duration::from_mins(1);

/// No test asks a registry outside the machine, whatever name it makes up; nor is it led by the machine's own files.
const NO_DOCKER: &str = "[[registry]]\nprefix = 'docker.io'\nblocked = true\n";

/// An empty `--root`, on the disk, with a place for other files beside it. Dropping it ends and removes everything.
#[derive(Debug)]
pub struct Root {
    dir: TempDir,
}

impl Root {
    /// A new one.
    #[allow(clippy::new_without_default, reason = "it makes a directory")]
    pub fn new() -> Self {
        let base = std::env::var_os("CTR_TEST_TMP").unwrap_or_else(|| "/var/tmp".into());
        let dir = tempfile::Builder::new().prefix("ctr-test-").tempdir_in(base).expect("temporary directory");
        Self { dir }
    }

    /// The directory given as `--root` (made by the first command that writes).
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// `R/store`.
    pub fn store(&self) -> PathBuf {
        self.path().join("store")
    }

    /// A path beside the root, for the test's own files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file beside the root.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name);
        fs::write(&path, content).expect("write");
        path
    }

    /// `ctr-NAME` in this root.
    pub fn ctr(&self, name: &str) -> Cmd {
        let config = bins::work_dir().join("registries.conf");
        bins::once(&config, |path| fs::write(path, NO_DOCKER).expect("registries.conf"));
        let cmd = Cmd::new(bins::binary(&format!("ctr-{name}"))).env("CTR_ROOT", self.path());
        cmd.env("CONTAINERS_REGISTRIES_CONF", config)
    }

    /// Fetches `source` and returns the image's digest.
    pub fn fetch(&self, source: &str, name: &str) -> String {
        let line = self.ctr("fetch").args(["-q", source, "--name", name]).ok();
        line.split_whitespace().last().expect("name and digest").to_owned()
    }

    /// A root with the busybox image in it as `busybox`.
    pub fn with_busybox() -> Self {
        let root = Self::new();
        root.fetch(&crate::images::busybox(), "busybox");
        root
    }

    /// A copy of everything, at another place, with all attributes.
    pub fn copy(&self) -> Self {
        let copy = Self::new();
        Cmd::new("cp").arg("-a").arg(self.path()).arg(copy.path()).ok();
        copy
    }

    /// IDs of containers in a state's directory (`run`, `prepared`...).
    pub fn containers(&self, state: &str) -> Vec<String> {
        let mut ids = names(&self.path().join("containers").join(state));
        ids.sort();
        ids
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        leaks::end_all(&self.path());
    }
}

/// Names in a directory; none if there is no such directory.
pub fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A command with an environment of its own: nothing of the test's but `PATH`.
#[derive(Debug, Clone)]
pub struct Cmd {
    argv: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    dir: Option<PathBuf>,
    input: Option<Vec<u8>>,
}

impl Cmd {
    /// Runs `program`.
    pub fn new(program: impl Into<OsString>) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = [path, "/usr/sbin:/sbin".into()].join(":".as_ref());
        let env = BTreeMap::from([
            ("PATH".into(), path),
            ("HOME".into(), "/root".into()),
            ("LC_ALL".into(), "C.UTF-8".into()),
        ]);
        Self { argv: vec![program.into()], env, dir: None, input: None }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.argv.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args<I: IntoIterator<Item = S>, S: Into<OsString>>(mut self, args: I) -> Self {
        self.argv.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Runs in this directory.
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Gives this on standard input (else `/dev/null`).
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = Some(input.into());
        self
    }

    /// Runs it as an ordinary user, with no other group.
    pub fn as_user(mut self, uid: u32, gid: u32) -> Self {
        let prefix =
            ["setpriv".to_owned(), format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".to_owned()];
        self.argv.splice(0..0, prefix.map(OsString::from));
        self
    }

    /// Runs it by another program, which executes the arguments that follow its own.
    pub fn under<const N: usize>(mut self, program: [&str; N]) -> Self {
        self.argv.splice(0..0, program.map(OsString::from));
        self
    }

    /// The same command for the tracer.
    pub fn traced(&self, below: Vec<PathBuf>) -> Traced {
        let mut traced = Traced::new(self.argv.clone(), below);
        traced.env.clone_from(&self.env);
        traced
    }

    /// Program, arguments, environment and directory, without streams.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.argv[0]);
        command.args(&self.argv[1..]).env_clear().envs(&self.env);
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command
    }

    /// Starts it.
    pub fn start(&self) -> Running {
        let (out, err) = (tempfile::tempfile().expect("stdout"), tempfile::tempfile().expect("stderr"));
        let mut command = self.command();
        // Files, not pipes: what a container inherits must not keep the test waiting.
        command.stdout(out.try_clone().expect("dup")).stderr(err.try_clone().expect("dup"));
        command.stdin(self.input.as_ref().map_or_else(Stdio::null, |bytes| {
            let mut file = tempfile::tempfile().expect("stdin");
            std::io::Write::write_all(&mut file, bytes).expect("stdin");
            file.rewind().expect("rewind");
            Stdio::from(file)
        }));
        let child = command.spawn().unwrap_or_else(|error| panic!("{self:?}: {error}"));
        Running { child, out, err, what: format!("{:?}", self.argv) }
    }

    /// Runs it to its end.
    pub fn run(&self) -> Done {
        self.start().wait()
    }

    /// Runs a maker of images, which may take minutes.
    pub fn start_unlimited(&self) -> Done {
        self.start().wait_for(Duration::from_mins(10))
    }

    /// Runs it, asserts success, and returns its standard output without the last newline.
    #[track_caller]
    pub fn ok(&self) -> String {
        self.run().ok()
    }

    /// Runs it and asserts this exit code.
    #[track_caller]
    pub fn fails(&self, code: i32) -> Done {
        let done = self.run();
        assert_eq!(done.code, code, "{done}");
        done
    }
}

/// A command that runs.
#[derive(Debug)]
pub struct Running {
    /// The process.
    pub child: Child,
    out: File,
    err: File,
    what: String,
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Waits for its end, a minute at most.
    pub fn wait(self) -> Done {
        self.wait_for(DEADLINE)
    }

    fn wait_for(mut self, deadline: Duration) -> Done {
        let start = Instant::now();
        let mut pause = Duration::from_micros(200);
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                break status;
            }
            if start.elapsed() > deadline {
                self.child.kill().ok();
                self.child.wait().ok();
                panic!("hangs: {}\nstdout: {}\nstderr: {}", self.what, text(&mut self.out), text(&mut self.err));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(5));
        };
        Done {
            code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()),
            stdout: text(&mut self.out),
            stderr: text(&mut self.err),
            what: self.what,
        }
    }

    /// What it has written to standard output so far.
    pub fn stdout(&mut self) -> String {
        text(&mut self.out)
    }
}

fn text(file: &mut File) -> String {
    // The descriptor shares its offset with the writer's: read through a view of its own.
    let mut bytes = Vec::new();
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file));
    File::open(path).expect("own file").read_to_end(&mut bytes).expect("read back");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A command that ended.
#[derive(Debug)]
pub struct Done {
    /// Exit code, or 128 + signal.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    what: String,
}

impl Done {
    /// Asserts success and returns standard output without the last newline.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self}");
        self.stdout.trim_end_matches('\n').to_owned()
    }

    /// Asserts that standard error has this text.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no {text:?} in: {self}");
        self
    }
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} -> {}\nstdout: {}\nstderr: {}", self.what, self.code, self.stdout, self.stderr)
    }
}

/// Waits until `condition` holds, 20 seconds at most.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
