//! Finds secrets in a stream of bytes, so that none ends in a layer.
//!
//! The search is that of Wu and Manber: two bytes at a time, with a table of how far the window can move on. Most bytes are never
//! looked at.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Fewest bytes of a secret that is looked for. Shorter ones are found everywhere by chance.
pub const SHORTEST: usize = 8;

/// A secret.
pub struct Secret {
    /// What it is called; this alone is shown.
    pub id: String,
    /// What nobody may find.
    pub bytes: Vec<u8>,
}

/// One thing that is looked for, and the secret (its place in `ids`) that it is a form of.
struct Needle {
    bytes: Vec<u8>,
    secret: usize,
}

/// Looks for secrets in what it is fed.
pub struct Scanner {
    ids: Vec<String>,
    needles: Vec<Needle>,
    /// For each two bytes how far the window moves on if it ends in them.
    shifts: Vec<u8>,
    /// Bytes of the window: of the shortest needle, 255 at most.
    window: usize,
    /// Bytes of the longest needle.
    longest: usize,
    /// The end of what was fed before, where a needle may begin.
    tail: Vec<u8>,
    found: Option<usize>,
    windows: u64,
}

impl Scanner {
    /// A scanner for secrets of [`SHORTEST`] bytes or more, without the line ends behind them; shorter ones are not looked for.
    pub fn new(secrets: &[Secret]) -> Self {
        let mut needles = Vec::new();
        for (secret, Secret { bytes, .. }) in secrets.iter().enumerate() {
            // A file with a secret mostly ends in a newline that a program takes off.
            let end = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
            let bytes = bytes.get(..end).unwrap_or_default();
            if bytes.len() >= SHORTEST {
                needles.extend(forms(bytes).into_iter().map(|bytes| Needle { bytes, secret }));
            }
        }
        let window = needles.iter().map(|needle| needle.bytes.len()).min().unwrap_or(SHORTEST).min(255);
        let longest = needles.iter().map(|needle| needle.bytes.len()).max().unwrap_or(0);
        let mut shifts = vec![u8::try_from(window - 1).unwrap_or(u8::MAX); 1 << 16];
        for needle in &needles {
            for (at, pair) in needle.bytes.windows(2).take(window - 1).enumerate() {
                let shift = u8::try_from(window - 2 - at).unwrap_or(u8::MAX);
                if let Some(entry) = shifts.get_mut(index(pair)) {
                    *entry = shift.min(*entry);
                }
            }
        }
        let ids = secrets.iter().map(|secret| secret.id.clone()).collect();
        Self { ids, needles, shifts, window, longest, tail: Vec::new(), found: None, windows: 0 }
    }

    /// The next bytes of the stream.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.found.is_some() || self.needles.is_empty() {
            return;
        }
        let keep = self.longest - 1;
        let mut border = std::mem::take(&mut self.tail);
        border.extend_from_slice(bytes.get(..keep.min(bytes.len())).unwrap_or_default());
        self.search(&border);
        self.search(bytes);
        let last = if bytes.len() >= keep { bytes } else { &border };
        self.tail = last.get(last.len().saturating_sub(keep)..).unwrap_or_default().to_vec();
    }

    /// The id of the secret that was found, the first if there are several.
    pub fn found(&self) -> Option<&str> {
        self.found.and_then(|secret| self.ids.get(secret)).map(String::as_str)
    }

    /// How many places were looked at: what the search costs.
    pub fn windows(&self) -> u64 {
        self.windows
    }

    fn search(&mut self, bytes: &[u8]) {
        let mut end = self.window;
        while let Some(pair) = bytes.get(end - 2..end) {
            self.windows += 1;
            let shift = self.shifts.get(index(pair)).copied().unwrap_or(0);
            if shift == 0 {
                let from = bytes.get(end - self.window..).unwrap_or_default();
                if let Some(needle) = self.needles.iter().find(|needle| from.starts_with(&needle.bytes)) {
                    self.found = Some(needle.secret);
                    return;
                }
            }
            end += usize::from(shift.max(1));
        }
    }
}

/// The place of two bytes in the table.
fn index(pair: &[u8]) -> usize {
    match pair {
        [first, second] => usize::from(*first) << 8 | usize::from(*second),
        _ => 0,
    }
}

/// A secret, and what of its base64 does not depend on the bytes around it, for each of the three places that it can begin at.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![secret.to_vec()];
    for before in 0..3_usize {
        let mut padded = vec![0; before];
        padded.extend_from_slice(secret);
        let (from, to) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            forms.extend(engine.encode(&padded).as_bytes().get(from..to).map(<[u8]>::to_vec));
        }
    }
    forms.sort();
    forms.dedup();
    forms
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;

    const SECRET: &[u8] = b"hunter2-\xff\xfe?>correct horse";

    fn scanner() -> Scanner {
        let other = Secret { id: "other".into(), bytes: b"something else\n".to_vec() };
        Scanner::new(&[
            Secret { id: "short".into(), bytes: b"abc".to_vec() },
            other,
            Secret { id: "it".into(), bytes: SECRET.to_vec() },
        ])
    }

    // spec: BUILD-126
    #[test]
    fn a_secret_is_found_in_every_form_and_across_every_border() {
        for before in 0..4_usize {
            let plain = [&vec![b'x'; before], SECRET, b"behind it"].concat();
            let standard = STANDARD.encode(&plain).into_bytes();
            let url = URL_SAFE_NO_PAD.encode(&plain).into_bytes();
            for stream in [plain, standard, url] {
                for cut in 0..=stream.len() {
                    let mut scanner = scanner();
                    let (first, second) = stream.split_at(cut);
                    scanner.feed(first);
                    scanner.feed(second);
                    assert_eq!(scanner.found(), Some("it"), "{before} {cut}");
                }
                let mut bytewise = scanner();
                for byte in &stream {
                    bytewise.feed(&[*byte]);
                }
                assert_eq!(bytewise.found(), Some("it"), "{before}");
            }
        }
    }

    // spec: BUILD-126
    #[test]
    fn what_is_none_is_not_found_and_line_ends_do_not_count() {
        let mut none = scanner();
        none.feed(b"abc hunter2-\xff\xfe?>correct hors something els");
        none.feed(b"");
        none.feed(b"X");
        assert_eq!(none.found(), None);
        let mut other = scanner();
        other.feed(b"PASSWORD=something else;");
        assert_eq!(other.found(), Some("other"));
        let mut nothing = Scanner::new(&[]);
        nothing.feed(SECRET);
        assert_eq!(nothing.found(), None);
    }

    // spec: BUILD-126
    #[test]
    fn few_of_the_bytes_are_looked_at() {
        let mut state = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .take(1 << 20)
        .collect();
        let mut scanner = scanner();
        for chunk in noise.chunks(64 << 10) {
            scanner.feed(chunk);
        }
        assert_eq!(scanner.found(), None);
        assert!(scanner.windows() < (1 << 20) / 8, "{}", scanner.windows());
    }
}
