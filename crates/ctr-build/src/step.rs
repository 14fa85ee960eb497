//! A RUN's command in a process of its own: it changes what is the process's alone, so that stages can run side by side. This
//! executable executes itself, with the step as JSON in a file in memory: it may have secrets.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;

use ctr_cli::{Context as _, Failure};
use ctr_sandbox::error::SandboxError;
use ctr_sandbox::step::{Step, StepIsolation};

use crate::builder::{Builder, Stop};
use crate::tail::Tail;
use crate::view::printable;

/// The first argument of the process that carries a step out.
const ARGUMENT: &str = "--internal-step";

/// The same where it makes no namespaces.
const IN_CHROOT: &str = "--internal-step-in-chroot";

/// The largest step that is read, in bytes.
const STEP_MAX: u64 = 64 << 20;

/// Exit status of that process when there was no command to run: why is in the report.
const NOT_BEGUN: u8 = 250;

/// The longest line that is kept of a command, in bytes; what is longer is cut into several.
const LINE_MAX: u64 = 16 << 10;

/// Carries a step out and waits for it.
pub(crate) fn execute(builder: &Builder<'_>, stage: usize, step: &Step) -> Result<(), Stop> {
    let report = step.scratch.join("report");
    let told = Told::new(step)?;
    let mut child = told
        .command(&report)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context(|| "cannot start a process for the command".to_owned())?;
    let (output, errors) = (child.stdout.take(), child.stderr.take());
    let tail = Mutex::new(Tail::default());
    std::thread::scope(|scope| {
        if let Some(output) = output {
            scope.spawn(|| lines(output, builder, stage, &tail));
        }
        if let Some(errors) = errors {
            scope.spawn(|| lines(errors, builder, stage, &tail));
        }
    });
    let status = child.wait().context(|| "cannot wait for the command".to_owned())?;
    if status.success() {
        return Ok(());
    }
    if let Ok(Some(text)) = ctr_sys::small::read(&report, 1 << 20)
        && let Ok(why) = serde_json::from_slice::<Why>(&text)
    {
        let failure = why.causes.iter().fold(Failure::new(why.what), Failure::because);
        return Err(match why.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
        .into());
    }
    let tail = tail.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let what = match (status.code(), status.signal()) {
        (Some(code), _) if (129..=128 + ctr_sys::signal::SIGNAL_MAX).contains(&code) => {
            format!("the command ended with status {code} ({})", ctr_sys::signal::name(code - 128))
        }
        (Some(code), _) => format!("the command ended with status {code}"),
        (None, signal) => format!("the command's process was killed by signal {}", signal.unwrap_or(0)),
    };
    Err(Failure::new(what).excerpt(tail.lines()).into())
}

fn lines(from: impl Read, builder: &Builder<'_>, stage: usize, tail: &Mutex<Tail>) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        match from.by_ref().take(LINE_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        builder.view.output(stage, &line);
        tail.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(printable(&line));
    }
}

/// The same with a shell, at the terminal: to look at what a command left.
pub(crate) fn look_into(step: &Step) -> Result<(), Failure> {
    let told = Told::new(step)?;
    let status = told.command(&step.scratch.join("report")).status();
    status.map(drop).context(|| "cannot start a shell".to_owned())
}

/// A step in memory.
struct Told(OwnedFd, StepIsolation);

impl Told {
    fn new(step: &Step) -> Result<Self, Failure> {
        let failed = || "cannot say what is to be run".to_owned();
        let json = serde_json::to_vec(step).context(failed)?;
        let file = ctr_sys::unnamed::in_memory(c"ctr-step")
            .map_err(|errno| Failure::new(failed()).because(errno.to_string()))?;
        let mut file = File::from(file);
        file.write_all(&json).context(failed)?;
        Ok(Self(file.into(), step.isolation))
    }

    /// The process that carries it out. It opens the file by this process's descriptor.
    fn command(&self, report: &Path) -> Command {
        let mut command = Command::new("/proc/self/exe");
        command.arg(match self.1 {
            StepIsolation::Namespaces => ARGUMENT,
            StepIsolation::Chroot => IN_CHROOT,
        });
        command.arg(report).arg(format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()));
        command.env_clear().current_dir("/");
        command
    }
}

/// Why a command was not begun.
#[derive(serde::Serialize, serde::Deserialize)]
struct Why {
    what: String,
    causes: Vec<String>,
    hint: Option<String>,
}

impl Why {
    fn of(error: &SandboxError) -> Self {
        let mut causes = Vec::new();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        Self { what: error.to_string(), causes, hint: error.hint().map(str::to_owned) }
    }
}

/// If this process was started to carry a step out, does so.
pub(crate) fn if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let argument = arguments.next()?;
    if argument != ARGUMENT && argument != IN_CHROOT {
        return None;
    }
    let report = arguments.next()?;
    let path = arguments.next()?;
    // First: what is to be run cannot be read any more where the builder has ended before.
    let apart = if argument == ARGUMENT { ctr_sandbox::step::apart() } else { Ok(None) };
    let told = match apart {
        Ok(Some(status)) => return Some(ExitCode::from(status)),
        Ok(None) => match read_step(Path::new(&path)) {
            Ok(step) => match ctr_sandbox::step::run(&step) {
                Ok(status) => return Some(ExitCode::from(status)),
                Err(error) => Why::of(&error),
            },
            Err(reason) => Why { what: "cannot read what is to be run".to_owned(), causes: vec![reason], hint: None },
        },
        Err(error) => Why::of(&error),
    };
    write_report(Path::new(&report), &told);
    Some(ExitCode::from(NOT_BEGUN))
}

fn read_step(path: &Path) -> Result<Step, String> {
    let mut json = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(STEP_MAX).read_to_end(&mut json).map_err(|error| error.to_string())?;
    serde_json::from_slice(&json).map_err(|error| error.to_string())
}

fn write_report(path: &Path, told: &Why) {
    let written = serde_json::to_vec(told).ok().and_then(|json| ctr_sys::small::write_new(path, &json, 0o600).ok());
    if written.is_none() {
        let _ = writeln!(std::io::stderr(), "{}: {}", told.what, told.causes.join(": "));
    }
}
