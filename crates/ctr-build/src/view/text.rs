//! Foreign text on a terminal: what a program prints and what a Dockerfile says, harmless and cut.

use ctr_cli::escape::is_control;

/// Stands for what was cut off.
const ELLIPSIS: char = '\u{2026}';

/// A title in one line of a usual width.
pub(super) fn shorten(title: &str) -> String {
    const MOST: usize = 120;
    let title = harmless(title);
    if title.chars().count() <= MOST {
        return title;
    }
    let mut text: String = title.chars().take(MOST - 1).collect();
    text.push(ELLIPSIS);
    text
}

/// A line of a program for a terminal: what could move the cursor or change its title is shown, not done. Of a line that
/// was written over with carriage returns the last state counts.
pub(crate) fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches('\r');
    harmless(text.rsplit('\r').next().unwrap_or_default())
}

fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_control(c) && c != '\t' {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The most columns that a terminal takes for `c`. What is not ASCII has one or two, by the terminal, its font and what
/// stands beside it: two is never too few.
fn width(c: char) -> usize {
    if c.is_ascii() { 1 } else { 2 }
}

/// `text` in at most so many columns, tabs as spaces.
pub(super) fn cut(text: &str, columns: usize) -> String {
    const TAB: usize = 8;
    let mut shown = String::with_capacity(text.len().min(columns));
    // Where the text ends if more follows than there is room for: in front of the ellipsis.
    let (mut used, mut end) = (0, 0);
    for c in text.chars() {
        let (c, times) = if c == '\t' { (' ', TAB - used % TAB) } else { (c, 1) };
        for _ in 0..times {
            if used + width(ELLIPSIS) <= columns {
                end = shown.len();
            }
            used += width(c);
            if used > columns {
                shown.truncate(end);
                if columns >= width(ELLIPSIS) {
                    shown.push(ELLIPSIS);
                }
                return shown;
            }
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: BUILD-112
    #[test]
    fn programs_do_not_reach_the_terminal() {
        assert_eq!(printable(b"10%\r50%\r100%\r"), "100%");
        assert_eq!(printable(b"\x1b[31mred\x1b[0m\x07"), "\\u{1b}[31mred\\u{1b}[0m\\u{7}");
        assert_eq!(printable("a\u{202e}b\u{9b}2J".as_bytes()), "a\\u{202e}b\\u{9b}2J");
        assert_eq!(printable(b"a\tb\xff"), "a\tb\u{fffd}");
        assert_eq!(shorten(&"x".repeat(200)).chars().count(), 120);
        assert_eq!(shorten("RUN echo \x1b[2J"), "RUN echo \\u{1b}[2J");
    }

    // spec: BUILD-119
    #[test]
    fn lines_have_no_more_columns_than_there_are() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abcd\u{2026}");
        assert_eq!(cut("漢字漢字", 8), "漢字漢字");
        assert_eq!(cut("漢字漢字", 7), "漢字\u{2026}");
        assert_eq!(cut("a\tb", 20), "a       b");
        assert_eq!(cut("a\tb", 5), "a  \u{2026}");
        assert_eq!((cut("abc", 1), cut("abc", 0)), (String::new(), String::new()));
        for columns in 0..40 {
            for text in ["a\u{301}\u{301}bc\tdéf漢字 😀 long enough to be cut", "\t\t\t\t\t\t"] {
                assert!(cut(text, columns).chars().map(width).sum::<usize>() <= columns, "{columns}: {text}");
            }
        }
    }
}
