//! Lines on standard output.

use std::collections::VecDeque;
use std::io::{BufWriter, Write as _};

use ctr_cli::{Failure, Stdout, escape};
use ctr_core::container::log::Stream;
use ctr_core::timestamp::Timestamp;
use serde::Serialize;

use crate::Options;
use crate::line::Line;

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As the program wrote them.
    Raw,
    /// For a terminal.
    Escaped,
    /// One object per line.
    Json,
}

/// A line under `--format json` (spec/schemas/log.json).
#[derive(Debug, Serialize)]
struct Object<'a> {
    time: Timestamp,
    stream: &'static str,
    text: &'a str,
    /// Only if the bytes were no UTF-8 and were replaced in `text`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    lossy: bool,
}

/// What is shown, and where the output stands.
#[derive(Debug)]
pub(crate) struct Shown {
    form: Form,
    timestamps: bool,
    only: Option<Stream>,
    since: Timestamp,
    /// The last lines so far, while there is more to read before they are known to be the last.
    tail: Option<(usize, VecDeque<Line>)>,
    /// The stream whose line was begun and not ended.
    open: Option<Stream>,
    out: BufWriter<Stdout>,
}

impl Shown {
    pub(crate) fn new(form: Form, options: &Options) -> Self {
        Self {
            form,
            timestamps: options.timestamps,
            only: match (options.stdout, options.stderr) {
                (true, _) => Some(Stream::Stdout),
                (_, true) => Some(Stream::Stderr),
                _ => None,
            },
            since: options.since.unwrap_or(Timestamp(0)),
            tail: options.tail.map(|count| (count, VecDeque::new())),
            open: None,
            out: BufWriter::with_capacity(64 * 1024, ctr_cli::stdout()),
        }
    }

    /// Takes a line; it is shown at once, or kept while only the last ones are wanted.
    pub(crate) fn line(&mut self, line: Line) -> Result<(), Failure> {
        if self.only.is_some_and(|only| only != line.stream) || line.time < self.since {
            return Ok(());
        }
        match &mut self.tail {
            Some((count, kept)) => {
                kept.push_back(line);
                if kept.len() > *count {
                    kept.pop_front();
                }
                Ok(())
            }
            None => self.write(&line),
        }
    }

    /// All that was there has been read: the kept lines are the last ones. Everything goes out.
    pub(crate) fn settle(&mut self) -> Result<(), Failure> {
        for line in self.tail.take().map(|(_, kept)| kept).unwrap_or_default() {
            self.write(&line)?;
        }
        self.out.flush()?;
        Ok(())
    }

    /// Nothing comes after this. On a terminal the prompt does, and it shall begin a line.
    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        if self.open.take().is_some() && self.form == Form::Escaped {
            self.out.write_all(b"\n")?;
        }
        self.out.flush()?;
        Ok(())
    }

    fn write(&mut self, line: &Line) -> Result<(), Failure> {
        let mut text = Vec::with_capacity(line.text.len() + 64);
        if self.form == Form::Json {
            let decoded = String::from_utf8_lossy(&line.text);
            let lossy = matches!(decoded, std::borrow::Cow::Owned(_));
            let object = Object { time: line.time, stream: line.stream.name(), text: &decoded, lossy };
            text.extend(ctr_cli::to_json(&object, false)?.bytes());
            text.push(b'\n');
        } else {
            self.open = render(self.form, self.timestamps, self.open, line, &mut text);
        }
        self.out.write_all(&text)?;
        Ok(())
    }
}

/// Appends `line` to `out`; returns the stream whose line is unfinished then.
fn render(form: Form, timestamps: bool, open: Option<Stream>, line: &Line, out: &mut Vec<u8>) -> Option<Stream> {
    let goes_on = line.continues && open == Some(line.stream);
    // A line of another stream comes in between.
    if open.is_some() && !goes_on {
        out.push(b'\n');
    }
    if timestamps && !goes_on {
        out.extend(format!("{} ", line.time).bytes());
    }
    if form == Form::Raw {
        out.extend_from_slice(&line.text);
    } else {
        // Programs that believe to be on a terminal end lines by \r\n.
        let text = line.text.strip_suffix(b"\r").unwrap_or(&line.text);
        let mut pieces = text.split(|byte| *byte == b'\t');
        out.extend(pieces.next().map(escape::visible_bytes).unwrap_or_default().bytes());
        for piece in pieces {
            out.push(b'\t');
            out.extend(escape::visible_bytes(piece).bytes());
        }
    }
    if line.ends {
        out.push(b'\n');
        return None;
    }
    Some(line.stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(stream: Stream, text: &[u8], continues: bool, ends: bool) -> Line {
        Line { time: Timestamp(1), stream, text: text.to_vec(), continues, ends }
    }

    fn rendered(form: Form, timestamps: bool, lines: &[Line]) -> String {
        let (mut out, mut open) = (Vec::new(), None);
        for line in lines {
            open = render(form, timestamps, open, line, &mut out);
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn raw_is_what_the_program_wrote() {
        use Stream::{Stderr, Stdout};
        let lines = [line(Stdout, b"a\x1b[1m\r", false, true), line(Stdout, b"no newline", false, false)];
        assert_eq!(rendered(Form::Raw, false, &lines), "a\x1b[1m\r\nno newline");
        let parts = [
            line(Stdout, b"one", false, false),
            line(Stdout, b"two", true, false),
            line(Stderr, b"error", false, true),
            line(Stdout, b"three", true, true),
        ];
        assert_eq!(rendered(Form::Raw, false, &parts), "onetwo\nerror\nthree\n");
    }

    #[test]
    fn a_terminal_is_sent_no_control_characters() {
        let lines = [line(Stream::Stdout, b"\x1b]0;x\x07\ta\xff\r", false, true)];
        assert_eq!(rendered(Form::Escaped, false, &lines), "\\x1b]0;x\\x07\ta\\xff\n");
    }

    #[test]
    fn times_stand_before_lines_and_not_before_parts() {
        let parts = [line(Stream::Stdout, b"one", false, false), line(Stream::Stdout, b"two", true, true)];
        assert_eq!(rendered(Form::Raw, true, &parts), "1970-01-01T00:00:00.000000001Z onetwo\n");
    }
}
