//! Makes foreign text harmless on a terminal: control characters are shown, never sent.
//!
//! Names, labels and log lines come from images and containers, and a terminal obeys what it is sent
//! (window titles, cursor moves, answers typed back). Text that reorders or hides its neighbours counts too.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a terminal could act on `c`: C0, DEL, C1, line and paragraph separators, bidirectional controls.
pub fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `text` with each control character written as `\n`, `\x1b` or `\u{202e}`. The result is one line.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_control) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        push(&mut out, c);
    }
    Cow::Owned(out)
}

/// Like [`visible`], of bytes: those that are no UTF-8 are written as `\xff`.
pub fn visible_bytes(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return visible(text);
    }
    let mut out = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push(&mut out, c));
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    Cow::Owned(out)
}

fn push(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if c.is_ascii_control() => {
            let _ = write!(out, "\\x{:02x}", u32::from(c));
        }
        c if is_control(c) => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
        c => out.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_shown() {
        for (foreign, shown) in [
            ("plain ünïcode 漢字 😀", "plain ünïcode 漢字 😀"),
            ("a\x1b]0;title\x07b", "a\\x1b]0;title\\x07b"),
            ("two\nlines\r\tx", "two\\nlines\\r\\tx"),
            ("\u{9b}31m\u{7f}", "\\u{9b}31m\\x7f"),
            ("exe.\u{202e}txt\u{2066}\u{2028}", "exe.\\u{202e}txt\\u{2066}\\u{2028}"),
            ("", ""),
        ] {
            assert_eq!(visible(foreign), shown);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_shown() {
        assert_eq!(visible_bytes(b"a\xffb\x1b\xc3"), "a\\xffb\\x1b\\xc3");
        assert_eq!(visible_bytes("é".as_bytes()), "é");
    }
}
