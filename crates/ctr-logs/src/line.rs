//! The lines that the entries of a log make up (spec/06-lifecycle.md "Log").

use ctr_core::container::log::{LogEntry, Stream};
use ctr_core::timestamp::Timestamp;

/// The longest line that is put together before it is shown. A program can write for ever without a newline.
const LINE_MAX: usize = 1 << 20;

/// A line as the program wrote it, or a part of one that is too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// When its first part was written.
    pub(crate) time: Timestamp,
    pub(crate) stream: Stream,
    pub(crate) text: Vec<u8>,
    /// Whether it goes on where an earlier [`Line`] of the stream stopped.
    pub(crate) continues: bool,
    /// Whether the program ended it by a newline.
    pub(crate) ends: bool,
}

/// Puts parts together, each stream by itself.
#[derive(Debug, Default)]
pub(crate) struct Joiner {
    open: [Option<Line>; 2],
}

impl Joiner {
    /// Takes the next entry and gives the line that it completes, if it does.
    pub(crate) fn push<E>(
        &mut self,
        entry: LogEntry<'_>,
        give: &mut impl FnMut(Line) -> Result<(), E>,
    ) -> Result<(), E> {
        let [stdout, stderr] = &mut self.open;
        let open = if entry.stream == Stream::Stdout { stdout } else { stderr };
        let mut line = open.take().unwrap_or_else(|| Line {
            time: entry.time,
            stream: entry.stream,
            text: Vec::new(),
            continues: false,
            ends: false,
        });
        line.text.extend_from_slice(entry.text);
        if !entry.partial {
            line.ends = true;
            return give(line);
        }
        if line.text.len() < LINE_MAX {
            *open = Some(line);
            return Ok(());
        }
        *open = Some(Line { text: Vec::new(), continues: true, ..line });
        give(line)
    }

    /// Gives the lines that the program never ended, the earlier first.
    pub(crate) fn finish<E>(&mut self, give: &mut impl FnMut(Line) -> Result<(), E>) -> Result<(), E> {
        let mut left: Vec<Line> = self.open.iter_mut().filter_map(Option::take).collect();
        left.sort_by_key(|line| line.time);
        left.into_iter().filter(|line| !line.text.is_empty()).try_for_each(give)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(entries: &[&[u8]]) -> Vec<Line> {
        let (mut joiner, mut lines) = (Joiner::default(), Vec::new());
        let mut give = |line| {
            lines.push(line);
            Ok::<(), ()>(())
        };
        for entry in entries {
            joiner.push(LogEntry::parse(entry).unwrap(), &mut give).unwrap();
        }
        joiner.finish(&mut give).unwrap();
        lines
    }

    #[test]
    fn entries_are_read() {
        let entry = LogEntry::parse(b"1970-01-01T00:00:00.000000007Z stderr P:x a  b ").unwrap();
        assert_eq!((entry.time, entry.stream, entry.partial), (Timestamp(7), Stream::Stderr, true));
        assert_eq!(entry.text, b"a  b ");
        let empty = LogEntry::parse(b"1970-01-01T00:00:00.000000000Z stdout F ").unwrap();
        assert_eq!((empty.partial, empty.text), (false, &b""[..]));
        for bad in [
            &b""[..],
            b"1970-01-01T00:00:00.000000000Z stdout F",
            b"1970-01-01T00:00:00.000000000Z stdin F x",
            b"1970-01-01T00:00:00.000000000Z stdout X x",
            b"yesterday stdout F x",
            b"\xff\xfe stdout F x",
        ] {
            assert_eq!(LogEntry::parse(bad), None);
        }
    }

    #[test]
    fn parts_are_joined_by_stream() {
        let lines = lines(&[
            b"1970-01-01T00:00:00.000000001Z stdout P one ",
            b"1970-01-01T00:00:00.000000002Z stderr F error",
            b"1970-01-01T00:00:00.000000003Z stdout P two",
            b"1970-01-01T00:00:00.000000004Z stdout F ",
            b"1970-01-01T00:00:00.000000005Z stdout P no newline",
        ]);
        let texts: Vec<_> = lines.iter().map(|line| (line.time.0, line.text.as_slice(), line.ends)).collect();
        assert_eq!(texts, [(2, &b"error"[..], true), (1, b"one two", true), (5, b"no newline", false)]);
    }

    #[test]
    fn an_endless_line_is_given_in_parts() {
        let part = [b"1970-01-01T00:00:00.000000001Z stdout P ".as_slice(), &vec![b'x'; LINE_MAX / 2]].concat();
        let end = b"1970-01-01T00:00:00.000000009Z stdout F end";
        let lines = lines(&[&part, &part, &part, end]);
        let shape: Vec<_> = lines.iter().map(|line| (line.text.len(), line.continues, line.ends)).collect();
        assert_eq!(shape, [(LINE_MAX, false, false), (LINE_MAX / 2 + 3, true, true)]);
    }
}
