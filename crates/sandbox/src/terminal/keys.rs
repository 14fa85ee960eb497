//! The keys that detach from a terminal, as the field writes them: `ctrl-p,ctrl-q`.

use std::fmt;
use std::str::FromStr;

/// What detaches unless asked otherwise.
pub const DEFAULT_DETACH_KEYS: &str = "ctrl-p,ctrl-q";

/// Keys of a sequence at most (spec/limits.md).
const KEYS_MAX: usize = 16;

/// A sequence of keys; an empty one never matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys(Vec<u8>);

impl Default for DetachKeys {
    fn default() -> Self {
        Self(vec![0x10, 0x11])
    }
}

impl DetachKeys {
    /// No keys detach.
    pub fn none() -> Self {
        Self(Vec::new())
    }
}

/// Why a text is no sequence of keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadKeys(String);

impl FromStr for DetachKeys {
    type Err = BadKeys;

    /// Keys separated by commas: one ASCII character, or `ctrl-` and one of `a` to `z`, `@`, `[`, `\`, `]`, `^`, `_`.
    fn from_str(text: &str) -> Result<Self, BadKeys> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let keys: Vec<u8> = text.split(',').map(key).collect::<Result<_, _>>()?;
        if keys.len() > KEYS_MAX {
            return Err(BadKeys(format!("{} keys are more than {KEYS_MAX}", keys.len())));
        }
        Ok(Self(keys))
    }
}

fn key(text: &str) -> Result<u8, BadKeys> {
    let bad = || {
        BadKeys(format!("\"{}\" is no key: expected a character or ctrl-X, as in ctrl-p,ctrl-q", text.escape_debug()))
    };
    let single = |text: &str| match text.as_bytes() {
        [byte] if byte.is_ascii_graphic() => Some(*byte),
        _ => None,
    };
    let lower = text.to_ascii_lowercase();
    match lower.strip_prefix("ctrl-") {
        Some(name) => match single(name).ok_or_else(bad)? {
            letter @ b'a'..=b'z' => Ok(letter - b'a' + 1),
            sign @ (b'@' | b'['..=b'_') => Ok(sign - b'@'),
            _ => Err(bad()),
        },
        None => single(text).ok_or_else(bad),
    }
}

impl fmt::Display for DetachKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, key) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match key {
                1..=26 => write!(f, "{comma}ctrl-{}", char::from(key + b'a' - 1))?,
                0..32 => write!(f, "{comma}ctrl-{}", char::from(key + b'@'))?,
                _ => write!(f, "{comma}{}", char::from(*key))?,
            }
        }
        Ok(())
    }
}

/// Looks for the keys in what is typed.
#[derive(Debug)]
pub(super) struct Matcher<'a> {
    keys: &'a [u8],
    /// How many of them have been typed, and are held back.
    typed: usize,
}

impl<'a> Matcher<'a> {
    pub(super) fn new(keys: &'a DetachKeys) -> Self {
        Self { keys: &keys.0, typed: 0 }
    }

    /// Takes what was typed and gives what the program shall have. `true`: the keys are complete; what follows is dropped.
    pub(super) fn pass(&mut self, typed: &[u8], give: &mut Vec<u8>) -> bool {
        for byte in typed {
            while self.typed > 0 && self.keys.get(self.typed) != Some(byte) {
                self.give_back(give);
            }
            if self.keys.get(self.typed) == Some(byte) {
                self.typed += 1;
                if self.typed == self.keys.len() {
                    return true;
                }
            } else {
                give.push(*byte);
            }
        }
        false
    }

    /// The longest end of what is held back that begins the keys is held on to; what is before it goes to the program.
    fn give_back(&mut self, give: &mut Vec<u8>) {
        let held = self.keys.get(..self.typed).unwrap_or_default();
        let kept = (0..self.typed).rev().find(|kept| held.ends_with(self.keys.get(..*kept).unwrap_or_default()));
        let kept = kept.unwrap_or(0);
        give.extend_from_slice(held.get(..self.typed - kept).unwrap_or_default());
        self.typed = kept;
    }

    /// The input has ended: what is held back goes to the program.
    pub(super) fn finish(&mut self, give: &mut Vec<u8>) {
        give.extend_from_slice(self.keys.get(..self.typed).unwrap_or_default());
        self.typed = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_shown() {
        assert_eq!(DEFAULT_DETACH_KEYS.parse(), Ok(DetachKeys::default()));
        assert_eq!(DetachKeys::default().to_string(), DEFAULT_DETACH_KEYS);
        for (text, bytes) in
            [("", &b""[..]), ("a", b"a"), ("ctrl-@,ctrl-[,X,~", b"\0\x1bX~"), ("CTRL-A,ctrl-_", b"\x01\x1f")]
        {
            let keys: DetachKeys = text.parse().unwrap();
            assert_eq!(keys.0, bytes, "{text}");
            assert_eq!(keys.to_string().parse(), Ok(keys), "{text}");
        }
        for bad in ["ctrl-", "ctrl-1", "ab", "a,,b", ",", "ctrl-p,", "\u{e9}", "\x07", " "] {
            assert!(bad.parse::<DetachKeys>().is_err(), "{bad:?}");
        }
        assert!(["a"; 17].join(",").parse::<DetachKeys>().is_err());
    }

    /// All that is typed but the keys reaches the program, however it is cut into reads.
    #[test]
    fn keys_are_found_and_nothing_else_is_kept() {
        for (keys, typed, given, found) in [
            ("ctrl-p,ctrl-q", &b"ls\x10\x11rest"[..], &b"ls"[..], true),
            ("ctrl-p,ctrl-q", b"\x10\x10x\x11\x10", b"\x10\x10x\x11\x10", false),
            ("ctrl-p,ctrl-q", b"\x10\x10\x11", b"\x10", true),
            ("a,a,b", b"aaab", b"a", true),
            ("a,b,a,c", b"ababac", b"ab", true),
            ("a,b,a,c", b"abab", b"abab", false),
            ("", b"\x10\x11", b"\x10\x11", false),
        ] {
            let keys: DetachKeys = keys.parse().unwrap();
            for piece in 1..=typed.len() {
                let (mut matcher, mut seen) = (Matcher::new(&keys), Vec::new());
                let detached = typed.chunks(piece).any(|part| matcher.pass(part, &mut seen));
                if !detached {
                    matcher.finish(&mut seen);
                }
                assert_eq!((detached, seen.as_slice()), (found, given), "{keys} {typed:?} by {piece}");
            }
        }
    }
}
