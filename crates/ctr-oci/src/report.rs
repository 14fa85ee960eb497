//! What is told beside standard output: to `--log`, in the form of `--log-format`, and to standard error (spec/09-oci.md
//! "Messages").

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ctr_cli::{Context as _, Failure};
use ctr_core::timestamp::Timestamp;

use crate::args::{Global, LogFormat};

/// Where messages go; opened before anything of a container is looked at, and never open in one (O_CLOEXEC).
#[derive(Debug)]
struct Log {
    /// Standard error, if there is no `--log`.
    file: Option<OwnedFd>,
    format: LogFormat,
    debug: bool,
}

static LOG: OnceLock<Log> = OnceLock::new();

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Error,
    Warning,
    Debug,
}

impl Level {
    /// As the field's other runtimes have it.
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Debug => "debug",
        }
    }
}

/// Opens the log that the command line asks for.
pub fn open(global: &Global) -> Result<(), Failure> {
    let log = Log::open(global.log.as_deref(), global.log_format, global.debug)?;
    // The first one stays: the command line is read once.
    let _ = LOG.set(log);
    Ok(())
}

/// Tells why this process ends. Whether standard error has it too by now: where it is the log, and the log is JSON.
pub fn failure(failure: &Failure) -> bool {
    let log = match LOG.get() {
        Some(log) => log,
        // The command line could not be understood, or its log not be opened.
        None => match Log::of_arguments(std::env::args_os().skip(1)) {
            Ok(log) => LOG.get_or_init(|| log),
            Err(_) => return false,
        },
    };
    match (&log.file, log.format) {
        // Standard error has it as the other ctr binaries tell it.
        (None, LogFormat::Text) => false,
        (file, _) => {
            log.write(Level::Error, &failure.one_line());
            file.is_none()
        }
    }
}

/// Warns: what was asked for is done, and somebody should know this about it.
pub fn warn(text: &str) {
    match LOG.get() {
        Some(log) if log.file.is_some() || log.format == LogFormat::Json => log.write(Level::Warning, text),
        _ => ctr_cli::warn(text),
    }
}

/// With `--debug`, tells what is done.
pub fn debug(text: impl FnOnce() -> String) {
    if let Some(log) = LOG.get().filter(|log| log.debug) {
        log.write(Level::Debug, &text());
    }
}

impl Log {
    fn open(path: Option<&Path>, format: LogFormat, debug: bool) -> Result<Self, Failure> {
        let open = |path: &Path| {
            ctr_sys::small::open_append(path, 0o644).context(|| format!("cannot open the log {}", path.display()))
        };
        Ok(Self { file: path.filter(|path| !path.as_os_str().is_empty()).map(open).transpose()?, format, debug })
    }

    /// From a command line that cannot be understood as a whole: what stands before the verb.
    fn of_arguments(arguments: impl Iterator<Item = OsString>) -> Result<Self, Failure> {
        let (path, format) = asked(arguments);
        Self::open(path.as_deref(), format, false)
    }

    /// One message is one write(2): lines of several processes do not mix. A log that takes nothing more has no fallback.
    fn write(&self, level: Level, text: &str) {
        let line = line(self.format, level, text, Timestamp::now());
        match &self.file {
            Some(file) => {
                let _ = ctr_sys::files::write_all(file.as_fd(), line.as_bytes());
            }
            None => {
                let _ = ctr_sys::files::write_all(std::io::stderr().as_fd(), line.as_bytes());
            }
        }
    }
}

/// `--log` and `--log-format` among the options before the verb: what follows may be a container's.
fn asked(mut arguments: impl Iterator<Item = OsString>) -> (Option<PathBuf>, LogFormat) {
    let (mut path, mut format) = (None, LogFormat::Text);
    while let Some(argument) = arguments.next() {
        let bytes = argument.as_encoded_bytes();
        if !bytes.starts_with(b"--") || bytes == b"--" {
            break;
        }
        let (name, value) = match argument.to_str().and_then(|text| text.split_once('=')) {
            Some((name, value)) => (OsString::from(name), Some(OsString::from(value))),
            None => (argument, None),
        };
        let Some(name @ ("--log" | "--log-format" | "--root" | "--criu")) = name.to_str() else { continue };
        let value = value.or_else(|| arguments.next()).unwrap_or_default();
        match name {
            "--log" => path = Some(PathBuf::from(value)),
            "--log-format" if value == "json" => format = LogFormat::Json,
            _ => {}
        }
    }
    (path, format)
}

fn line(format: LogFormat, level: Level, text: &str, time: Timestamp) -> String {
    let mut line = String::with_capacity(text.len() + 96);
    // Writing to a String cannot fail, and strings always are JSON; so is what logrus quotes.
    let quoted = ctr_cli::to_json(text, false).unwrap_or_default();
    let _ = match format {
        LogFormat::Json => {
            writeln!(line, r#"{{"level":"{}","msg":{quoted},"time":"{time}"}}"#, level.name())
        }
        LogFormat::Text => writeln!(line, r#"time="{time}" level={} msg={quoted}"#, level.name()),
    };
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const NASTY: &str = "cannot start \"we\x1bb\\\": a\nb\u{9b}";

    #[test]
    fn a_message_is_one_line_in_both_formats() {
        let text = line(LogFormat::Text, Level::Error, NASTY, Timestamp(0));
        assert_eq!(
            text,
            "time=\"1970-01-01T00:00:00.000000000Z\" level=error msg=\"cannot start \\\"we\\u001bb\\\\\\\": a\\nb\\u009b\"\n"
        );
        let json = line(LogFormat::Json, Level::Debug, NASTY, Timestamp(0));
        assert_eq!(json.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        let expected = serde_json::json!({"level": "debug", "msg": NASTY, "time": "1970-01-01T00:00:00.000000000Z"});
        assert_eq!(value, expected);
    }

    #[test]
    fn the_log_of_a_bad_line_is_found_before_the_verb_alone() {
        let find = |line: &str| asked(line.split(' ').map(OsString::from));
        let json = (Some(PathBuf::from("/l")), LogFormat::Json);
        assert_eq!(find("--root create --log /l --log-format json create --nope"), json);
        assert_eq!(find("--log=/l --debug --log-format=json --nope"), json);
        assert_eq!(find("--log /l --log-format=xml --nope"), (Some(PathBuf::from("/l")), LogFormat::Text));
        assert_eq!(find("exec web sh --log /l --log-format json"), (None, LogFormat::Text));
        assert_eq!(find("--debug -- --log /l"), (None, LogFormat::Text));
    }
}
