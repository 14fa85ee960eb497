//! The exit record: one line that init writes once, through a file that was opened before the container started.
//!
//! `exit 1 code 3 1475713029669794202 8f2c01aa` is version, kind, value, Unix time in nanoseconds, and the CRC-32 (IEEE)
//! of all before the last space; the word `timeout` stands before the sum when the program's time was over. A line that does not check is no record (spec/06-lifecycle.md).

use serde::{Deserialize, Serialize};

use crate::timestamp::Timestamp;

/// The longest exit record in bytes, newline included.
pub const EXIT_RECORD_MAX: usize = 64;

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExitStatus {
    /// It returned this exit code (0 to 255).
    Code(u8),
    /// This signal ended it.
    Signal(u8),
}

impl ExitStatus {
    /// The exit code that `ctr-run --wait` returns: the program's, or 128 + the signal's number.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => signal.saturating_add(128),
        }
    }
}

/// How and when a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitRecord {
    /// How.
    pub status: ExitStatus,
    /// When.
    pub at: Timestamp,
    /// Its time was over (`ctr-run --timeout`), so init asked it to end.
    pub timed_out: bool,
}

impl ExitRecord {
    /// Writes the line into `out` and returns its length. Allocates nothing: init calls it.
    pub fn write(&self, out: &mut [u8; EXIT_RECORD_MAX]) -> usize {
        let mut line = Line { out, len: 0 };
        let (kind, value) = match self.status {
            ExitStatus::Code(code) => (b"code ".as_slice(), code),
            ExitStatus::Signal(signal) => (b"signal ".as_slice(), signal),
        };
        line.text(b"exit 1 ");
        line.text(kind);
        line.decimal(u64::from(value));
        line.text(b" ");
        line.decimal(self.at.0);
        if self.timed_out {
            line.text(b" timeout");
        }
        let sum = crc32(line.written());
        line.text(b" ");
        line.hex(sum);
        line.text(b"\n");
        line.len
    }

    /// Reads a line; `None` if it is empty, torn or not ours.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let line = line.strip_suffix(b"\n")?;
        let space = line.iter().rposition(|byte| *byte == b' ')?;
        let (body, sum) = line.split_at(space);
        let sum = u32::from_str_radix(std::str::from_utf8(sum.get(1..)?).ok()?, 16).ok()?;
        if crc32(body) != sum {
            return None;
        }
        let mut words = std::str::from_utf8(body).ok()?.split(' ');
        if words.next()? != "exit" || words.next()? != "1" {
            return None;
        }
        let (kind, value) = (words.next()?, words.next()?.parse().ok()?);
        let status = match kind {
            "code" => ExitStatus::Code(value),
            "signal" => ExitStatus::Signal(value),
            _ => return None,
        };
        let at = Timestamp(words.next()?.parse().ok()?);
        let timed_out = match words.next() {
            None => false,
            Some("timeout") => true,
            Some(_) => return None,
        };
        words.next().is_none().then_some(Self { status, at, timed_out })
    }
}

/// A line being written into a fixed buffer; what does not fit is dropped, so that nothing here can panic.
struct Line<'a> {
    out: &'a mut [u8; EXIT_RECORD_MAX],
    len: usize,
}

impl Line<'_> {
    fn text(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let Some(slot) = self.out.get_mut(self.len) {
                *slot = *byte;
                self.len += 1;
            }
        }
    }

    fn decimal(&mut self, value: u64) {
        let mut digits = [b'0'; 20];
        let (mut rest, mut used) = (value, 0);
        for slot in digits.iter_mut().rev() {
            *slot = b'0' + (rest % 10) as u8;
            rest /= 10;
            used += 1;
            if rest == 0 {
                break;
            }
        }
        self.text(digits.get(digits.len() - used..).unwrap_or_default());
    }

    fn hex(&mut self, value: u32) {
        for shift in (0..8).rev() {
            let nibble = (value >> (shift * 4) & 15) as u8;
            self.text(&[if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }]);
        }
    }

    fn written(&self) -> &[u8] {
        self.out.get(..self.len).unwrap_or_default()
    }
}

/// CRC-32 (IEEE 802.3), bit by bit: the input is some forty bytes, once in a container's life.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_matches_the_published_check_value() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn records_round_trip() {
        for status in [ExitStatus::Code(0), ExitStatus::Code(255), ExitStatus::Signal(9), ExitStatus::Signal(64)] {
            for (at, timed_out) in [(0, true), (1_475_713_029_669_794_202, false), (u64::MAX, true)] {
                let record = ExitRecord { status, at: Timestamp(at), timed_out };
                let mut out = [0; EXIT_RECORD_MAX];
                let len = record.write(&mut out);
                assert_eq!(ExitRecord::parse(&out[..len]), Some(record));
            }
        }
    }

    #[test]
    fn torn_and_foreign_records_are_none() {
        let mut out = [0; EXIT_RECORD_MAX];
        let len = ExitRecord { status: ExitStatus::Code(3), at: Timestamp(7), timed_out: false }.write(&mut out);
        for cut in 0..len {
            assert_eq!(ExitRecord::parse(&out[..cut]), None, "{cut}");
        }
        for at in 0..len {
            let mut changed = out;
            changed[at] ^= 0x55;
            assert_eq!(ExitRecord::parse(&changed[..len]), None, "{at}");
        }
        assert_eq!(ExitRecord::parse(b"hello world\n"), None);
    }
}
