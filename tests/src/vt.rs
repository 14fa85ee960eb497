//! A small terminal: what a person sees of bytes that a program wrote to it. It knows what the programs of ctr write; anything
//! else that it would obey is kept as a fault.

/// The lines of a terminal, those that scrolled away too.
#[derive(Debug)]
pub struct Screen {
    rows: usize,
    columns: usize,
    /// All lines since the begin; the last `rows` of them are on the screen.
    lines: Vec<Vec<char>>,
    /// Of the first line that is on the screen.
    top: usize,
    row: usize,
    column: usize,
    pending: Vec<u8>,
    /// Sequences that no program of ctr has a reason to write.
    pub faults: Vec<String>,
    /// How often a colour was set.
    pub colours: usize,
}

impl Screen {
    /// An empty one.
    pub fn new(rows: u16, columns: u16) -> Self {
        Self {
            rows: rows.into(),
            columns: columns.into(),
            lines: vec![Vec::new()],
            top: 0,
            row: 0,
            column: 0,
            pending: Vec::new(),
            faults: Vec::new(),
            colours: 0,
        }
    }

    /// All lines from the first to the last that is not empty, without spaces at their ends.
    pub fn text(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.lines.iter().map(|line| line.iter().collect::<String>().trim_end().to_owned()).collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }

    /// The line that the cursor is in, from the first of [`Self::text`], and its column.
    pub fn cursor(&self) -> (usize, usize) {
        (self.row, self.column)
    }

    /// Another size. With `reflow` lines that are too long now are broken, as newer terminals do; else they are cut, as xterm
    /// does. The cursor stays where it is in the text; where there is no room any more, what is below it goes.
    pub fn resize(&mut self, rows: u16, columns: u16, reflow: bool) {
        (self.rows, self.columns) = (rows.into(), columns.into());
        let (mut lines, mut top, mut row) = (Vec::new(), 0, 0);
        for (number, line) in std::mem::take(&mut self.lines).into_iter().enumerate() {
            if number == self.top {
                top = lines.len();
            }
            if number == self.row {
                row = lines.len();
            }
            if reflow && line.len() > self.columns {
                lines.extend(line.chunks(self.columns).map(<[char]>::to_vec));
            } else {
                lines.push(line.into_iter().take(self.columns).collect());
            }
        }
        if reflow {
            row += self.column / self.columns;
            self.column %= self.columns;
        }
        self.column = self.column.min(self.columns - 1);
        (self.top, self.row) = (top.max((row + 1).saturating_sub(self.rows)), row);
        lines.truncate(self.top + self.rows);
        self.lines = lines;
    }

    /// Shows what was written.
    pub fn write(&mut self, bytes: &[u8]) {
        let bytes = [std::mem::take(&mut self.pending).as_slice(), bytes].concat();
        let mut rest = bytes.as_slice();
        while let Some(used) = self.step(rest) {
            rest = &rest[used..];
        }
        self.pending = rest.to_vec();
    }

    /// One character or sequence, and how many bytes it has; `None` if it is not there as a whole.
    fn step(&mut self, bytes: &[u8]) -> Option<usize> {
        let first = *bytes.first()?;
        match first {
            b'\r' => self.column = 0,
            b'\n' => self.line_feed(),
            b'\x1b' => {
                if *bytes.get(1)? != b'[' {
                    self.faults.push(format!("{:?}", String::from_utf8_lossy(&bytes[..2])));
                    return Some(2);
                }
                let end = bytes.iter().skip(2).position(|byte| (0x40..0x7f).contains(byte))? + 2;
                self.control(&String::from_utf8_lossy(&bytes[2..end]), bytes[end]);
                return Some(end + 1);
            }
            0..0x20 | 0x7f => self.faults.push(format!("{first:#x}")),
            0x20..0x7f => self.put(first.into()),
            _ => {
                let length = if first >= 0xf0 {
                    4
                } else if first >= 0xe0 {
                    3
                } else {
                    2
                };
                let text = bytes.get(..length)?;
                for c in String::from_utf8_lossy(text).chars() {
                    self.put(c);
                }
                return Some(length);
            }
        }
        Some(1)
    }

    fn control(&mut self, parameters: &str, end: u8) {
        match (parameters, end) {
            (_, b'm') => self.colours += 1,
            // Where the cursor is: a shell asks, and goes on without an answer.
            ("6", b'n') => {}
            ("" | "0", b'J') => {
                self.lines[self.row].truncate(self.column);
                self.lines.truncate(self.row + 1);
            }
            (count, b'A') => {
                let count: usize = count.parse().unwrap_or(1);
                self.row = self.row.saturating_sub(count).max(self.top);
            }
            _ => self.faults.push(format!("CSI {parameters}{}", char::from(end))),
        }
    }

    fn put(&mut self, c: char) {
        if self.column == self.columns {
            self.column = 0;
            self.line_feed();
        }
        let line = &mut self.lines[self.row];
        while line.len() <= self.column {
            line.push(' ');
        }
        line[self.column] = c;
        self.column += 1;
    }

    fn line_feed(&mut self) {
        self.row += 1;
        if self.row == self.lines.len() {
            self.lines.push(Vec::new());
        }
        self.top = self.top.max((self.row + 1).saturating_sub(self.rows));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_part_is_drawn_and_erased() {
        let mut screen = Screen::new(4, 10);
        screen.write(b"$ cmd\r\none\r\ntwo\r\n3\r\n4\r\x1b[2A");
        assert_eq!(screen.text(), ["$ cmd", "one", "two", "3", "4"]);
        assert_eq!(screen.cursor(), (2, 0));
        // No higher than the first line that is on the screen.
        screen.write(b"\x1b[9A");
        assert_eq!(screen.cursor(), (1, 0));
        screen.write(b"\x1b[Jend\x1b[2m\xc3");
        screen.write(b"\xa9\x1b");
        screen.write(b"]0");
        assert_eq!(screen.text(), ["$ cmd", "endé0"]);
        assert_eq!((screen.colours, screen.faults.len()), (1, 1));
        screen.write(b"1234567890abc");
        assert_eq!(screen.text(), ["$ cmd", "endé012345", "67890abc"]);
    }

    #[test]
    fn another_width_breaks_or_cuts() {
        for (reflow, below) in [(true, vec!["$", "abcd", "efgh"]), (false, vec!["$", "abcd", "x"])] {
            let mut screen = Screen::new(3, 8);
            screen.write(b"$\r\nabcdefgh\r\nx\r\x1b[1A");
            screen.resize(3, 4, reflow);
            assert_eq!(screen.text()[..3], below, "{reflow}");
            assert_eq!(screen.cursor(), (1, 0));
            screen.write(b"\r\x1b[Jy");
            assert_eq!(screen.text(), ["$", "y"]);
        }
    }
}
