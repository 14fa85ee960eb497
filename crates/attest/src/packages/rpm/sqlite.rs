//! The rows of one table of an SQLite database, read as <https://www.sqlite.org/fileformat2.html> describes the file.
//!
//! The file is foreign. Each of its pages has one use, so that as many pages are read as it has: what asks for more goes in circles.
//! No cell is larger than a file that is read of a tree, and the cells of a page have no more bytes than the page.

use std::io::{self, Read, Seek, SeekFrom};

use crate::inventory::{AttestError, FILE_MAX};

/// First bytes of each database.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Bytes of the header of a database, on its first page.
const HEADER: usize = 100;
/// Least bytes of a page that are for its content.
const USABLE_MIN: usize = 480;
/// Columns of a record that are looked at; the schema has five.
const COLUMNS: usize = 5;

/// Why rows cannot be told.
#[derive(Debug)]
pub(super) enum Fault {
    /// The database is not as the format says.
    Damaged(&'static str),
    /// It cannot be read.
    Io(io::Error),
    /// Whoever takes the rows will have no more.
    Stop(AttestError),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        // The file ends before it says so.
        if error.kind() == io::ErrorKind::UnexpectedEof { Self::Damaged("it is cut off") } else { Self::Io(error) }
    }
}

/// A value of a record, of the types that are of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// A number.
    Integer(i64),
    /// Text.
    Text(&'a [u8]),
    /// Bytes.
    Blob(&'a [u8]),
    /// NULL, or a floating point number.
    Other,
}

/// A database.
pub(super) struct Database<R> {
    file: R,
    page: usize,
    usable: usize,
    pages: u64,
    /// Pages that may still be read.
    left: u64,
}

/// What takes a payload.
type Each<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), Fault>;

impl<R: Read + Seek> Database<R> {
    /// A database of `size` bytes.
    pub(super) fn open(mut file: R, size: u64) -> Result<Self, Fault> {
        let mut header = [0; HEADER];
        file.seek(SeekFrom::Start(0))?;
        file.read_exact(&mut header)?;
        if !header.starts_with(MAGIC) {
            return Err(Fault::Damaged("it is no SQLite database"));
        }
        let page = match be16(&header, 16) {
            Some(1) => 65_536,
            Some(size) if size >= 512 && size.is_power_of_two() => usize::from(size),
            _ => return Err(Fault::Damaged("its pages have no size")),
        };
        let reserved = header.get(20).copied().map_or(0, usize::from);
        let usable = page - reserved;
        if usable < USABLE_MIN {
            return Err(Fault::Damaged("its pages have no room"));
        }
        if be32(&header, 56).is_some_and(|encoding| encoding > 1) {
            return Err(Fault::Damaged("its text is not UTF-8"));
        }
        let pages = size / page as u64;
        Ok(Self { file, page, usable, pages, left: pages })
    }

    /// The first page of the table `wanted`; `None` if there is no such table.
    pub(super) fn table(&mut self, wanted: &str) -> Result<Option<u32>, Fault> {
        let mut found = None;
        self.rows(1, &mut |payload| {
            let [kind, name, _, root, _] = columns(payload).ok_or(Fault::Damaged("its schema cannot be read"))?;
            if let (Value::Text(b"table"), Value::Text(name), Value::Integer(root)) = (kind, name, root)
                && name.eq_ignore_ascii_case(wanted.as_bytes())
            {
                found = u32::try_from(root).ok();
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Gives the payload of each row of the table whose first page is `root`, in the order of their ids.
    pub(super) fn rows(&mut self, root: u32, each: Each<'_>) -> Result<(), Fault> {
        let mut ahead = vec![root];
        while let Some(number) = ahead.pop() {
            let page = self.read(number)?;
            let start = if number == 1 { HEADER } else { 0 };
            let damaged = Fault::Damaged("a page of a table cannot be read");
            let (Some(kind), Some(cells)) = (page.get(start), be16(&page, start + 3)) else { return Err(damaged) };
            match kind {
                // Interior: left children of keys, and the one that is right of all keys.
                5 => {
                    let last = be32(&page, start + 8).ok_or(damaged)?;
                    ahead.push(last);
                    let first = ahead.len();
                    for cell in pointers(&page, start + 12, cells) {
                        let child = cell.and_then(|at| be32(&page, at));
                        ahead.push(child.ok_or(Fault::Damaged("a page of a table has no such child"))?);
                    }
                    if ahead.len() as u64 > self.pages {
                        return Err(Fault::Damaged("its pages go in circles"));
                    }
                    ahead.get_mut(first..).unwrap_or_default().reverse();
                }
                13 => self.leaf(&page, start + 8, cells, each)?,
                _ => return Err(damaged),
            }
        }
        Ok(())
    }

    fn leaf(&mut self, page: &[u8], at: usize, cells: u16, each: Each<'_>) -> Result<(), Fault> {
        let mut room = self.usable;
        for cell in pointers(page, at, cells) {
            let cell = cell.and_then(|at| Cell::read(page, at, self.usable));
            let cell = cell.ok_or(Fault::Damaged("a row cannot be read"))?;
            room = room.checked_sub(cell.here.len()).ok_or(Fault::Damaged("rows lie within each other"))?;
            match cell.overflow {
                None => each(cell.here)?,
                Some(next) => each(&self.chain(cell.here, cell.size, next)?)?,
            }
        }
        Ok(())
    }

    /// A payload that goes on in pages of its own.
    fn chain(&mut self, here: &[u8], size: u64, mut next: u32) -> Result<Vec<u8>, Fault> {
        if size > FILE_MAX || size > self.pages.saturating_mul(self.page as u64) {
            return Err(Fault::Damaged("a row is too large"));
        }
        let mut payload = here.to_vec();
        while (payload.len() as u64) < size {
            let page = self.read(next)?;
            let missing = usize::try_from(size).unwrap_or(usize::MAX) - payload.len();
            let content = page.get(4..self.usable.min(missing.saturating_add(4))).unwrap_or_default();
            payload.extend_from_slice(content);
            next = be32(&page, 0).unwrap_or_default();
        }
        Ok(payload)
    }

    fn read(&mut self, number: u32) -> Result<Vec<u8>, Fault> {
        let index = u64::from(number).checked_sub(1).filter(|index| *index < self.pages);
        let index = index.ok_or(Fault::Damaged("a page is named that it does not have"))?;
        self.left = self.left.checked_sub(1).ok_or(Fault::Damaged("its pages go in circles"))?;
        let mut page = vec![0; self.page];
        self.file.seek(SeekFrom::Start(index * self.page as u64))?;
        self.file.read_exact(&mut page)?;
        Ok(page)
    }
}

/// A row on a leaf page.
struct Cell<'a> {
    /// Bytes of the payload.
    size: u64,
    /// Those that are on this page.
    here: &'a [u8],
    /// The page where it goes on.
    overflow: Option<u32>,
}

impl<'a> Cell<'a> {
    fn read(page: &'a [u8], at: usize, usable: usize) -> Option<Self> {
        let (size, after_size) = varint(page, at)?;
        let (_id, content) = varint(page, after_size)?;
        let size = u64::try_from(size).ok()?;
        // Names and numbers of the format: U usable bytes, X the most that stays here whole, M and K what stays of more.
        let most = usable.checked_sub(35)?;
        let least = (usable - 12) * 32 / 255 - 23;
        let stays = if size <= most as u64 {
            usize::try_from(size).ok()?
        } else {
            let some = least + usize::try_from((size - least as u64) % (usable as u64 - 4)).ok()?;
            if some <= most { some } else { least }
        };
        let end = content.checked_add(stays)?;
        let here = page.get(content..end)?;
        let overflow = if stays as u64 == size { None } else { Some(be32(page, end)?) };
        Some(Self { size, here, overflow })
    }
}

/// The first five columns of a record; those that it does not have are [`Value::Other`]. `None` if it is not whole.
pub(super) fn columns(record: &[u8]) -> Option<[Value<'_>; COLUMNS]> {
    let (header, mut at) = varint(record, 0)?;
    let header = usize::try_from(header).ok()?;
    let mut body = header;
    let mut values = [Value::Other; COLUMNS];
    for value in &mut values {
        if at >= header {
            break;
        }
        let (kind, next) = varint(record, at)?;
        at = next;
        let size = match kind {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(kind).ok()?,
            5 => 6,
            6 | 7 => 8,
            kind if kind >= 12 => usize::try_from((kind - 12) / 2).ok()?,
            _ => return None,
        };
        let end = body.checked_add(size)?;
        let bytes = record.get(body..end)?;
        body = end;
        *value = match kind {
            1..=6 => Value::Integer(integer(bytes)),
            8 | 9 => Value::Integer(kind - 8),
            kind if kind >= 12 && kind % 2 == 0 => Value::Blob(bytes),
            kind if kind >= 12 => Value::Text(bytes),
            _ => Value::Other,
        };
    }
    Some(values)
}

fn integer(bytes: &[u8]) -> i64 {
    let sign = if bytes.first().is_some_and(|byte| *byte >= 0x80) { -1 } else { 0 };
    bytes.iter().fold(sign, |number, byte| (number << 8) | i64::from(*byte))
}

/// Offsets of cells in a page, which stand from `at` on.
fn pointers(page: &[u8], at: usize, cells: u16) -> impl Iterator<Item = Option<usize>> + '_ {
    (0..usize::from(cells)).map(move |index| be16(page, at + 2 * index).map(usize::from))
}

/// A number of one to nine bytes and where the next thing begins.
fn varint(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    let mut number: u64 = 0;
    for index in 0..9 {
        let byte = *bytes.get(at.checked_add(index)?)?;
        if index == 8 {
            return Some((((number << 8) | u64::from(byte)).cast_signed(), at + 9));
        }
        number = (number << 7) | u64::from(byte & 0x7f);
        if byte < 0x80 {
            return Some((number.cast_signed(), at + index + 1));
        }
    }
    None
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_be_bytes)
}

/// A number of four bytes, as `SQLite` and rpm have them.
pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_be_bytes)
}
