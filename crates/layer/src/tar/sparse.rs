//! Sparse files: the old GNU form (type `S`) and the PAX forms 0.0, 0.1 and 1.0 (GNU tar manual, "Storing Sparse Files").

use super::number;

/// A run of data of a sparse file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where in the file it belongs.
    pub offset: u64,
    /// Its bytes.
    pub length: u64,
}

/// What PAX records say of a sparse file.
#[derive(Debug, Default)]
pub(super) struct PaxSparse {
    /// `GNU.sparse.major` and `minor`.
    pub(super) version: (Option<u64>, Option<u64>),
    /// `GNU.sparse.name`.
    pub(super) name: Option<Vec<u8>>,
    /// `GNU.sparse.size` (0.0, 0.1) or `GNU.sparse.realsize` (1.0).
    pub(super) size: Option<u64>,
    /// The map of forms 0.0 and 0.1.
    pub(super) map: Option<Vec<Segment>>,
    pending_offset: Option<u64>,
}

/// Why a map was refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum MapError {
    Fault,
    TooMany,
}

/// Takes the record `GNU.sparse.KEY`.
pub(super) fn take_pax(sparse: &mut PaxSparse, key: &[u8], value: &[u8], most: usize) -> Result<(), MapError> {
    let decimal = || number::decimal(value).ok_or(MapError::Fault);
    match key {
        b"major" => sparse.version.0 = Some(decimal()?),
        b"minor" => sparse.version.1 = Some(decimal()?),
        b"size" | b"realsize" => sparse.size = Some(decimal()?),
        b"name" if value.is_empty() || value.contains(&0) => return Err(MapError::Fault),
        b"name" => sparse.name = Some(value.to_vec()),
        // Form 0.0 repeats these two keys for every segment.
        b"offset" => sparse.pending_offset = Some(decimal()?),
        b"numbytes" => {
            let offset = sparse.pending_offset.take().ok_or(MapError::Fault)?;
            push(sparse.map.get_or_insert_default(), Segment { offset, length: decimal()? }, most)?;
        }
        b"map" => {
            let mut numbers =
                value.split(|byte| *byte == b',').map(|text| number::decimal(text).ok_or(MapError::Fault));
            let map = sparse.map.insert(Vec::new());
            while let Some(offset) = numbers.next() {
                let (offset, length) = (offset?, numbers.next().ok_or(MapError::Fault)??);
                push(map, Segment { offset, length }, most)?;
            }
        }
        _ => {}
    }
    Ok(())
}

pub(super) fn push(map: &mut Vec<Segment>, segment: Segment, most: usize) -> Result<(), MapError> {
    if map.len() >= most {
        return Err(MapError::TooMany);
    }
    map.push(segment);
    Ok(())
}

/// Checks that the segments are in order, do not overlap, lie in a file of `size` bytes and hold `stored` bytes.
pub(super) fn check(map: &[Segment], size: u64, stored: u64) -> Result<(), MapError> {
    let mut end = 0u64;
    let mut total = 0u64;
    for segment in map {
        let segment_end = segment.offset.checked_add(segment.length).ok_or(MapError::Fault)?;
        if segment.offset < end || segment_end > size {
            return Err(MapError::Fault);
        }
        end = segment_end;
        total += segment.length;
    }
    if total == stored { Ok(()) } else { Err(MapError::Fault) }
}

/// Reads the text map of form 1.0 as it comes: decimal lines, first the count, then offset and length of each.
#[derive(Debug, Default)]
pub(super) struct MapReader {
    digits: Vec<u8>,
    count: Option<u64>,
    offset: Option<u64>,
    map: Vec<Segment>,
}

impl MapReader {
    /// Takes a block of text; the map once it is complete (the rest of that block is padding).
    pub(super) fn take(&mut self, block: &[u8], most: usize) -> Result<Option<Vec<Segment>>, MapError> {
        for byte in block {
            if *byte != b'\n' {
                if self.digits.len() >= 20 {
                    return Err(MapError::Fault);
                }
                self.digits.push(*byte);
                continue;
            }
            let value = number::decimal(&self.digits).ok_or(MapError::Fault)?;
            self.digits.clear();
            match (self.count, self.offset.take()) {
                (None, _) if value > most as u64 => return Err(MapError::TooMany),
                (None, _) => self.count = Some(value),
                (Some(_), None) => self.offset = Some(value),
                (Some(_), Some(offset)) => self.map.push(Segment { offset, length: value }),
            }
            if self.count == Some(self.map.len() as u64) {
                return Ok(Some(std::mem::take(&mut self.map)));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(pairs: &[(u64, u64)]) -> Vec<Segment> {
        pairs.iter().map(|(offset, length)| Segment { offset: *offset, length: *length }).collect()
    }

    #[test]
    fn maps_are_checked() {
        for (map, size, stored, good) in [
            (&[(0, 5), (10, 5)][..], 20, 10, true),
            (&[(0, 5), (20, 0)], 20, 5, true),
            (&[(0, 5), (4, 5)], 20, 10, false),
            (&[(10, 5), (0, 5)], 20, 10, false),
            (&[(0, 5)], 20, 6, false),
            (&[(18, 5)], 20, 5, false),
            (&[(u64::MAX, 5)], 20, 5, false),
            (&[], 20, 0, true),
        ] {
            assert_eq!(check(&segments(map), size, stored).is_ok(), good, "{map:?}");
        }
    }

    #[test]
    fn pax_forms() {
        let mut old = PaxSparse::default();
        for (key, value) in [("size", "9"), ("offset", "1"), ("numbytes", "2"), ("offset", "5"), ("numbytes", "3")] {
            take_pax(&mut old, key.as_bytes(), value.as_bytes(), 9).unwrap();
        }
        assert_eq!(old.map, Some(segments(&[(1, 2), (5, 3)])));
        let mut newer = PaxSparse::default();
        take_pax(&mut newer, b"map", b"1,2,5,3", 9).unwrap();
        assert_eq!(newer.map, Some(segments(&[(1, 2), (5, 3)])));
        assert_eq!(take_pax(&mut newer, b"map", b"1,2,5", 9), Err(MapError::Fault));
        assert_eq!(take_pax(&mut newer, b"map", b"1,2,5,3", 1), Err(MapError::TooMany));
        assert_eq!(take_pax(&mut newer, b"numbytes", b"3", 9), Err(MapError::Fault));
    }

    #[test]
    fn text_map() {
        let mut reader = MapReader::default();
        assert_eq!(reader.take(b"2\n1\n2", 9), Ok(None));
        assert_eq!(reader.take(b"\n5\n3\n\0\0", 9), Ok(Some(segments(&[(1, 2), (5, 3)]))));
        assert_eq!(MapReader::default().take(b"0\n", 9), Ok(Some(vec![])));
        assert_eq!(MapReader::default().take(b"10\n", 9), Err(MapError::TooMany));
        assert_eq!(MapReader::default().take(b"x\n", 9), Err(MapError::Fault));
        assert_eq!(MapReader::default().take(&[b'1'; 40], 9), Err(MapError::Fault));
    }
}
