//! What a binary says on standard error: errors, warnings, notes. One rendering for people, one for programs.
//!
//! ```text
//! ctr-run: WHAT
//!   because: ...
//!   hint: ...
//! ```

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::OnceLock;

use serde::Serialize;

use crate::escape;
use crate::failure::Failure;
use crate::global::OutputFormat;
use crate::output::to_json;

/// How this process speaks; set once by [`crate::run_main`].
#[derive(Debug, Clone)]
pub(crate) struct Voice {
    pub(crate) program: String,
    pub(crate) format: OutputFormat,
    pub(crate) quiet: bool,
}

static VOICE: OnceLock<Voice> = OnceLock::new();

pub(crate) fn set_voice(voice: Voice) {
    // The first one stays: run_main is entered once per process.
    let _ = VOICE.set(voice);
}

pub(crate) fn voice() -> Voice {
    VOICE.get().cloned().unwrap_or_else(|| Voice {
        program: String::from("ctr"),
        format: OutputFormat::Table,
        quiet: false,
    })
}

/// A message on standard error under `--format json`, one object per line (spec/schemas/message.json).
#[derive(Debug, Serialize)]
struct Line<'a> {
    level: &'static str,
    program: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    causes: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    excerpt: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<u8>,
}

/// Prints `failure`, for a binary that goes on with its next argument. The one that ends the binary is printed by
/// [`crate::run_main`].
pub fn print_error(failure: &Failure) {
    say(&render(&voice(), failure, None));
}

/// Prints a warning: something that was asked for is done, and the user should know this about it.
pub fn warn(text: impl AsRef<str>) {
    say(&message(&voice(), "warning", text.as_ref()));
}

/// Prints a note, unless `--quiet`.
pub fn note(text: impl AsRef<str>) {
    let voice = voice();
    if !voice.quiet {
        say(&message(&voice, "note", text.as_ref()));
    }
}

/// Standard error has no fallback: if it is closed there is nobody to tell.
pub(crate) fn say(text: &str) {
    let write = || {
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    };
    #[cfg(feature = "progress")]
    crate::progress::above(text, write);
    #[cfg(not(feature = "progress"))]
    write();
}

fn message(voice: &Voice, level: &'static str, text: &str) -> String {
    match voice.format {
        OutputFormat::Table => format!("{}: {level}: {}\n", voice.program, escape::visible(text)),
        OutputFormat::Json => json_line(&Line {
            level,
            program: &voice.program,
            message: text,
            causes: &[],
            excerpt: &[],
            hint: None,
            exit_code: None,
        }),
    }
}

pub(crate) fn render(voice: &Voice, failure: &Failure, exit_code: Option<u8>) -> String {
    if voice.format == OutputFormat::Json {
        return json_line(&Line {
            level: "error",
            program: &voice.program,
            message: &failure.what,
            causes: &failure.causes,
            excerpt: &failure.excerpt,
            hint: failure.hint.as_deref(),
            exit_code,
        });
    }
    let mut text = format!("{}: {}\n", voice.program, escape::visible(&failure.what));
    // Writing to a String cannot fail.
    for cause in &failure.causes {
        let _ = writeln!(text, "  because: {}", escape::visible(cause));
    }
    for line in &failure.excerpt {
        let _ = writeln!(text, "    {}", escape::visible(line));
    }
    if let Some(hint) = &failure.hint {
        let _ = writeln!(text, "  hint: {}", escape::visible(hint));
    }
    text
}

fn json_line(message: &Line<'_>) -> String {
    // Strings and numbers always serialize; the plain text is there for the reader of this line.
    let mut line = to_json(message, false).unwrap_or_else(|_| message.message.to_owned());
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice(format: OutputFormat) -> Voice {
        Voice { program: "ctr-x".into(), format, quiet: false }
    }

    fn failure() -> Failure {
        Failure::new("cannot stop \"we\x1bb\"").because("a\nb").because("EPERM").hint("do c")
    }

    #[test]
    fn errors_read_as_the_house_has_it() {
        assert_eq!(
            render(&voice(OutputFormat::Table), &failure(), Some(1)),
            "ctr-x: cannot stop \"we\\x1bb\"\n  because: a\\nb\n  because: EPERM\n  hint: do c\n"
        );
    }

    #[test]
    fn errors_as_json_are_one_line() {
        let line = render(&voice(OutputFormat::Json), &failure(), Some(1));
        assert_eq!(line.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            value,
            serde_json::json!({"level": "error", "program": "ctr-x", "message": "cannot stop \"we\u{1b}b\"",
                "causes": ["a\nb", "EPERM"], "hint": "do c", "exit_code": 1})
        );
    }

    #[test]
    fn notes_read_alike() {
        assert_eq!(message(&voice(OutputFormat::Table), "note", "x"), "ctr-x: note: x\n");
        let value: serde_json::Value =
            serde_json::from_str(&message(&voice(OutputFormat::Json), "warning", "x")).unwrap();
        assert_eq!(value, serde_json::json!({"level": "warning", "program": "ctr-x", "message": "x"}));
    }
}
