//! Aligned columns for people.

use std::fmt::{self, Write as _};

use crate::escape;

/// Two blanks between the columns, the last one not padded. Cells are escaped: one row is always one line.
#[derive(Debug, Clone, Default)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    right: Vec<usize>,
}

impl Table {
    /// A table with these column heads.
    pub fn new<S: Into<String>>(header: impl IntoIterator<Item = S>) -> Self {
        Self { header: header.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Aligns the column (counted from 0) to the right: numbers.
    #[must_use]
    pub fn right(mut self, column: usize) -> Self {
        self.right.push(column);
        self
    }

    /// Adds a row. Missing cells are empty; an empty cell is printed as `-`, so that columns can be counted.
    pub fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let mut cells: Vec<String> = cells.into_iter().map(|cell| shown(cell.as_ref())).collect();
        cells.resize(self.header.len(), shown(""));
        self.rows.push(cells);
    }

    /// Whether no row was added.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

fn shown(cell: &str) -> String {
    if cell.is_empty() { String::from("-") } else { escape::visible(cell).into_owned() }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = || std::iter::once(&self.header).chain(&self.rows);
        let mut widths = vec![0; self.header.len()];
        for line in lines() {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = cell.chars().count().max(*width);
            }
        }
        for line in lines() {
            let mut text = String::new();
            for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
                if column > 0 {
                    text.push_str("  ");
                }
                if self.right.contains(&column) {
                    write!(text, "{cell:>width$}")?;
                } else {
                    write!(text, "{cell:<width$}")?;
                }
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_rows_are_lines() {
        let mut table = Table::new(["NAME", "SIZE", "IMAGE"]).right(1);
        table.row(["äöü-web", "5 kB", "x"]);
        table.row(["a\nb", "120 MB"]);
        assert_eq!(
            table.to_string(),
            "NAME       SIZE  IMAGE\n\
             äöü-web    5 kB  x\n\
             a\\nb     120 MB  -\n"
        );
    }

    #[test]
    fn an_empty_table_is_its_head() {
        let table = Table::new(["A", "B"]);
        assert!(table.is_empty());
        assert_eq!(table.to_string(), "A  B\n");
    }
}
