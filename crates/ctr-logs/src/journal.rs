//! The log of a container whose output is a systemd unit's: journald has it, and journalctl(1) reads it for us.

use std::io::Read as _;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use ctr_cli::{Context as _, Failure};
use ctr_core::container::groups;
use ctr_core::container::log::Stream;
use ctr_core::timestamp::Timestamp;
use ctr_sys::poll::{self, Interest};
use serde::Deserialize;

use crate::line::Line;

/// Where journalctl is installed; not searched on `$PATH`, as nothing is that we execute.
const PROGRAM: &str = "/usr/bin/journalctl";
/// How long journald may take to write what the container wrote last.
const SETTLE: Duration = Duration::from_millis(500);

/// journalctl at work.
pub(crate) struct Journal {
    child: Child,
    output: ChildStdout,
    /// The beginning of a line whose end has not been read yet.
    begun: Vec<u8>,
}

/// A record in journalctl's JSON (systemd.io, "Journal Export Formats", "Journal JSON Format").
#[derive(Deserialize)]
struct Entry {
    /// Text, or its bytes where they are no UTF-8; absent where it is too long to be shown.
    #[serde(rename = "MESSAGE")]
    message: Option<Message>,
    /// Microseconds since 1970, in decimal digits.
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    time: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Message {
    Text(String),
    Bytes(Vec<u8>),
}

/// How far reading came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// There may be more.
    More,
    /// journalctl has ended.
    End,
}

impl Journal {
    /// What the processes of the control groups `groups`, and those of the unit's `invocation`, wrote to their standard
    /// streams, oldest first; with `follow` also what they write from now on.
    ///
    /// journald tells by the control group of the writer whose a line is (systemd.journal-fields(7)); of a writer that has
    /// ended before it could look, it knows only whose stream it was: the unit's.
    pub(crate) fn open(
        groups: &[String],
        invocation: &str,
        since: Option<Timestamp>,
        follow: bool,
    ) -> Result<Self, Failure> {
        let mut command = Command::new(PROGRAM);
        command
            .args(["--quiet", "--no-pager", "--all", "--output=json", "--output-fields=MESSAGE", "--lines=all"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        if follow {
            command.arg("--follow");
        }
        if let Some(since) = since {
            // Whole seconds, rounded down: the exact time is compared when a line is shown.
            command.arg(format!("--since=@{}", since.0 / 1_000_000_000));
        }
        command.args(["_TRANSPORT=stdout", &format!("_SYSTEMD_INVOCATION_ID={invocation}")]);
        for group in groups.iter().filter_map(|group| in_hierarchy(group)) {
            command.args(["+", "_TRANSPORT=stdout", &format!("_SYSTEMD_CGROUP=/{group}")]);
        }
        let mut child = command
            .spawn()
            .context(|| format!("cannot run {PROGRAM}, which reads the log of a container in a systemd unit"))?;
        let output = child.stdout.take().ok_or_else(|| Failure::new("journalctl has no output"))?;
        Ok(Self { child, output, begun: Vec::new() })
    }

    /// The end to wait for.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }

    /// One read; gives every line that is complete.
    pub(crate) fn read(&mut self, give: &mut impl FnMut(Line) -> Result<(), Failure>) -> Result<Read, Failure> {
        let mut buffer = [0; 8192];
        let count = self.output.read(&mut buffer).context(|| "cannot read from journalctl")?;
        self.begun.extend_from_slice(buffer.get(..count).unwrap_or_default());
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            let rest = self.begun.split_off(end + 1);
            let record = std::mem::replace(&mut self.begun, rest);
            if let Some(line) = line(&record) {
                give(line)?;
            }
        }
        Ok(if count == 0 { Read::End } else { Read::More })
    }

    /// What comes until nothing more does: the container has ended, journald may be behind.
    pub(crate) fn settle(&mut self, give: &mut impl FnMut(Line) -> Result<(), Failure>) -> Result<(), Failure> {
        while poll::readable(&[self.fd()], Some(SETTLE))? == [true] {
            if self.read(give)? == Read::End {
                break;
            }
        }
        Ok(())
    }

    /// Whether anybody reads `stdout` still, or there is something to read here, or `other` is ready.
    pub(crate) fn wait(&self, stdout: BorrowedFd<'_>, other: Option<BorrowedFd<'_>>) -> Result<[bool; 3], Failure> {
        let mut interests = vec![Interest::Closed(stdout), Interest::Readable(self.fd())];
        interests.extend(other.map(Interest::Readable));
        let ready = poll::wait(&interests, None)?;
        let at = |index: usize| ready.get(index).copied().unwrap_or(false);
        Ok([at(0), at(1), at(2)])
    }
}

/// The path of a group below the mount point of the v2 hierarchy, which is the one that systemd uses.
fn in_hierarchy(group: &str) -> Option<&str> {
    let below = group.strip_prefix(groups::MOUNTS)?.strip_prefix('/')?;
    Some(below.strip_prefix("unified/").unwrap_or(below))
}

impl Drop for Journal {
    fn drop(&mut self) {
        // With --follow it would go on for ever.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A record; `None` if it is none, or one without text.
fn line(record: &[u8]) -> Option<Line> {
    let entry: Entry = serde_json::from_slice(record).ok()?;
    let text = match entry.message? {
        Message::Text(text) => text.into_bytes(),
        Message::Bytes(bytes) => bytes,
    };
    let micros: u64 = entry.time.parse().ok()?;
    let time = Timestamp(micros.checked_mul(1000)?);
    Some(Line { time, stream: Stream::Stdout, text, continues: false, ends: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_become_lines() {
        let text = |record: &str| line(record.as_bytes()).map(|line| (line.time.0, line.text));
        let good = r#"{"__CURSOR":"s=1","MESSAGE":"hello","__REALTIME_TIMESTAMP":"1700000000000001"}"#;
        assert_eq!(text(good), Some((1_700_000_000_000_001_000, b"hello".to_vec())));
        let bytes = r#"{"MESSAGE":[255,10,104],"__REALTIME_TIMESTAMP":"1"}"#;
        assert_eq!(text(bytes), Some((1000, vec![255, 10, 104])));
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"MESSAGE":null,"__REALTIME_TIMESTAMP":"1"}"#,
            r#"{"MESSAGE":"x","__REALTIME_TIMESTAMP":"99999999999999999999"}"#,
        ] {
            assert_eq!(text(bad), None, "{bad}");
        }
    }
}
