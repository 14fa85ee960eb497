//! Credential programs: `docker-credential-NAME get|store|erase|list`, which keep secrets for many tools
//! (docker-credential-helpers, README "Development").
//!
//! They are other people's programs: what they print has a limit, they get a limited time, and what they print is shown
//! only where it can be no secret.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{ErrorKind, Read, Write as _};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::secret::Secret;

/// How long a program may take; people may have to type something meanwhile (spec/limits.md).
pub const PROGRAM_TIME: Duration = Duration::from_secs(60);
/// Most bytes that a program may print (spec/limits.md).
pub const PROGRAM_OUTPUT: usize = 1 << 20;
/// Most characters of what it says that are shown.
const MAX_SHOWN: usize = 300;
/// How the protocol says that there is none.
const NOT_FOUND: &str = "credentials not found in native keychain";
/// The user name that stands for an identity token.
pub(super) const TOKEN_USER: &str = "<token>";

/// One credential program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// `docker-credential-NAME`.
    name: String,
    /// What is executed: the name, which is looked for in `PATH`.
    path: PathBuf,
    timeout: Duration,
}

/// Why a credential program gave nothing.
#[derive(Debug, thiserror::Error)]
#[error("{program} {problem}")]
pub struct ProgramError {
    /// `docker-credential-NAME`.
    pub program: String,
    /// What happened.
    pub problem: ProgramProblem,
}

/// The kinds of [`ProgramError`].
#[derive(Debug)]
pub enum ProgramProblem {
    /// The name is not one of a program.
    Name,
    /// It is not in `PATH`.
    Missing,
    /// It cannot be executed.
    Start(std::io::Error),
    /// It did not end in time.
    Hangs(Duration),
    /// It printed too much.
    Floods,
    /// It failed; its status, and what it said.
    Failed(ExitStatus, String),
    /// It succeeded, but what it printed is not what the protocol says.
    Junk(&'static str),
}

impl fmt::Display for ProgramProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("is not the name of a program: letters, digits, \"_\" and \"-\" may follow"),
            Self::Missing => f.write_str("is not in PATH"),
            Self::Start(error) => write!(f, "cannot be executed: {error}"),
            Self::Hangs(time) => {
                write!(f, "did not end within {}", ctr_core::quantity::format_duration(*time))
            }
            Self::Floods => write!(f, "printed more than {PROGRAM_OUTPUT} bytes"),
            Self::Failed(status, said) if said.is_empty() => write!(f, "failed ({status})"),
            Self::Failed(status, said) => write!(f, "failed ({status}): {said}"),
            Self::Junk(why) => write!(f, "printed something else than a credential: {why}"),
        }
    }
}

/// What `get` prints.
#[derive(Deserialize)]
struct Got {
    #[serde(rename = "Username", default)]
    user: String,
    #[serde(rename = "Secret")]
    secret: Secret,
}

impl Program {
    /// The program `docker-credential-NAME`. A name with a slash or a blank would be another program.
    pub fn new(name: &str, timeout: Duration) -> Result<Self, ProgramError> {
        let program = format!("docker-credential-{}", name.chars().take(64).collect::<String>());
        let sane = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-' || b == b'.';
        if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.bytes().all(sane) {
            return Err(ProgramError { program, problem: ProgramProblem::Name });
        }
        Ok(Self { path: PathBuf::from(&program), name: program, timeout })
    }

    /// A program at a path of its own.
    #[cfg(test)]
    pub(super) fn at(path: &std::path::Path, timeout: Duration) -> Self {
        Self { name: "docker-credential-x".to_owned(), path: path.to_owned(), timeout }
    }

    /// `docker-credential-NAME`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// User and secret for a server, if the program has them.
    pub fn get(&self, server: &str) -> Result<Option<(String, Secret)>, ProgramError> {
        let output = match self.run("get", server) {
            Ok(output) => output,
            Err(ProgramError { problem: ProgramProblem::Failed(_, said), .. }) if said.contains(NOT_FOUND) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let got: Result<Got, _> = serde_json::from_str(output.expose());
        let got = got.map_err(|_| self.failed(ProgramProblem::Junk("it is not the JSON of the protocol")))?;
        if got.secret.is_empty() {
            // Some print an empty credential for "there is none".
            return Ok(None);
        }
        Ok(Some((got.user, got.secret)))
    }

    /// Keeps a credential.
    pub fn store(&self, server: &str, user: &str, secret: &Secret) -> Result<(), ProgramError> {
        let input = serde_json::json!({"ServerURL": server, "Username": user, "Secret": secret.expose()});
        let input = Secret::new(input.to_string());
        self.run("store", input.expose()).map(drop)
    }

    /// Forgets one; says whether there was one.
    pub fn erase(&self, server: &str) -> Result<bool, ProgramError> {
        match self.run("erase", server) {
            Ok(_) => Ok(true),
            Err(ProgramError { problem: ProgramProblem::Failed(_, said), .. }) if said.contains(NOT_FOUND) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The servers that it has credentials for, with their users.
    pub fn list(&self) -> Result<BTreeMap<String, String>, ProgramError> {
        let output = self.run("list", "")?;
        let parsed = serde_json::from_str(output.expose());
        parsed.map_err(|_| self.failed(ProgramProblem::Junk("it is not a list of servers and users")))
    }

    fn failed(&self, problem: ProgramProblem) -> ProgramError {
        ProgramError { program: self.name.clone(), problem }
    }

    /// Runs the program with one word and some input; gives what it printed.
    fn run(&self, action: &str, input: &str) -> Result<Secret, ProgramError> {
        let mut command = Command::new(&self.path);
        command.arg(action).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| {
            self.failed(match error.kind() {
                ErrorKind::NotFound => ProgramProblem::Missing,
                _ => ProgramProblem::Start(error),
            })
        })?;
        let result = finish(&mut child, input, self.timeout);
        if result.is_err() {
            // It must not go on without us.
            let _ = child.kill();
            let _ = child.wait();
        }
        let (status, output, said) = result.map_err(|problem| self.failed(problem))?;
        if status.success() {
            let text = String::from_utf8(output).map_err(|_| self.failed(ProgramProblem::Junk("it is not UTF-8")))?;
            return Ok(Secret::new(text));
        }
        Err(self.failed(ProgramProblem::Failed(status, shown(&output, &said))))
    }
}

/// What a failed program said: its errors come on standard output by the protocol, on standard error by habit. Standard output
/// that looks like a credential is not shown.
fn shown(output: &[u8], said: &[u8]) -> String {
    let output = if output.contains(&b'{') || output.contains(&b'"') { &[][..] } else { output };
    let texts = [output, said].map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned());
    let text = texts.iter().filter(|text| !text.is_empty()).cloned().collect::<Vec<_>>().join("; ");
    text.chars().take(MAX_SHOWN).collect()
}

/// Gives the program its input and waits for its end. What it started may live on with its pipes open: nobody waits for that.
fn finish(child: &mut Child, input: &str, timeout: Duration) -> Result<(ExitStatus, Vec<u8>, Vec<u8>), ProgramProblem> {
    let deadline = Instant::now() + timeout;
    let broken = |error: &dyn fmt::Display| ProgramProblem::Start(std::io::Error::other(error.to_string()));
    let pid = i32::try_from(child.id()).map_err(|error| broken(&error))?;
    let ended = ctr_sys::process::pidfd_open(pid).map_err(|error| broken(&error))?;
    if let Some(mut stdin) = child.stdin.take() {
        let input = Secret::new(input);
        // A program that does not read must not hold us; the pipe breaks with its end.
        std::thread::spawn(move || stdin.write_all(input.expose().as_bytes()));
    }
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let (mut output, mut said) = (Vec::new(), Vec::new());
    loop {
        let is_over = {
            let left = deadline.saturating_duration_since(Instant::now());
            let over = child.try_wait().map_err(ProgramProblem::Start)?.is_some();
            let mut fds = vec![ended.as_fd()];
            fds.extend(stdout.as_ref().map(AsFd::as_fd));
            fds.extend(stderr.as_ref().map(AsFd::as_fd));
            let ready = ctr_sys::poll::readable(&fds, Some(if over { Duration::ZERO } else { left }));
            let mut ready = ready.map_err(|error| broken(&error))?.into_iter().skip(1);
            let any_stdout = stdout.is_some() && ready.next() == Some(true);
            let any_stderr = stderr.is_some() && ready.next() == Some(true);
            if any_stdout {
                take(&mut stdout, &mut output)?;
            }
            if any_stderr {
                take(&mut stderr, &mut said)?;
            }
            over && !any_stdout && !any_stderr
        };
        if is_over {
            let status = child.wait().map_err(ProgramProblem::Start)?;
            return Ok((status, output, said));
        }
        if Instant::now() >= deadline {
            return Err(ProgramProblem::Hangs(timeout));
        }
    }
}

/// Reads once from a pipe that has something, or has ended.
fn take(pipe: &mut Option<impl Read>, bytes: &mut Vec<u8>) -> Result<(), ProgramProblem> {
    let Some(open) = pipe else { return Ok(()) };
    let mut buffer = [0; 4096];
    let count = open.read(&mut buffer).map_err(ProgramProblem::Start)?;
    bytes.extend_from_slice(buffer.get(..count).unwrap_or_default());
    if count == 0 {
        *pipe = None;
    }
    if bytes.len() > PROGRAM_OUTPUT { Err(ProgramProblem::Floods) } else { Ok(()) }
}
