//! Reads tar archives, for what ctr has written: the counterpart of [`crate::tarball`], with no code of ctr's own.

use crate::tarball::Entry;

/// All entries of an archive, in their order; PAX and GNU headers are put into the entries that they describe.
pub fn read(mut bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    let mut global = Vec::new();
    let mut told = Extension::default();
    loop {
        let block = take(&mut bytes, 512)?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(entries);
        }
        let (mut entry, size) = header(block)?;
        if let b'x' | b'g' | b'L' | b'K' = entry.kind {
            let content = content(&mut bytes, size)?;
            match entry.kind {
                b'x' => told.pax = records(content)?,
                b'g' => global = records(content)?,
                b'L' => told.name = Some(without_nul(content)),
                _ => told.link = Some(without_nul(content)),
            }
            continue;
        }
        let told = std::mem::take(&mut told);
        entry.name = told.name.unwrap_or(entry.name);
        entry.link = told.link.unwrap_or(entry.link);
        entry.pax = global.iter().cloned().chain(told.pax).collect();
        let size = apply(&mut entry, size)?;
        entry.content = content(&mut bytes, if entry.kind == b'0' { size } else { 0 })?.to_vec();
        entries.push(entry);
    }
}

/// What headers before an entry say about it.
#[derive(Default)]
struct Extension {
    pax: Vec<(String, Vec<u8>)>,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

/// Takes over what the PAX records say; the size that holds.
fn apply(entry: &mut Entry, mut size: usize) -> Result<usize, String> {
    for (key, value) in &entry.pax {
        let number = || String::from_utf8_lossy(value).parse::<u32>().map_err(|error| format!("{key}: {error}"));
        match key.as_str() {
            "path" => entry.name.clone_from(value),
            "linkpath" => entry.link.clone_from(value),
            "size" => size = number()? as usize,
            "uid" => entry.uid = number()?,
            "gid" => entry.gid = number()?,
            key if key.starts_with("GNU.sparse") => return Err(format!("{key} is not read here")),
            _ => {}
        }
    }
    Ok(size)
}

fn take<'a>(bytes: &mut &'a [u8], size: usize) -> Result<&'a [u8], String> {
    let (taken, rest) = bytes.split_at_checked(size).ok_or("the archive ends too early")?;
    *bytes = rest;
    Ok(taken)
}

fn content<'a>(bytes: &mut &'a [u8], size: usize) -> Result<&'a [u8], String> {
    Ok(&take(bytes, size.next_multiple_of(512))?[..size])
}

fn without_nul(bytes: &[u8]) -> Vec<u8> {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

/// An entry without its content, and the size of that.
fn header(block: &[u8]) -> Result<(Entry, usize), String> {
    let sum: u64 = (0..512).map(|at| if (148..156).contains(&at) { 32 } else { u64::from(block[at]) }).sum();
    if number(&block[148..156])? != sum {
        return Err("a header has a wrong sum".to_owned());
    }
    let mut entry = Entry::new(if block[156] == 0 { b'0' } else { block[156] }, "");
    entry.name = without_nul(&block[..100]);
    let prefix = without_nul(&block[345..500]);
    if &block[257..263] == b"ustar\0" && !prefix.is_empty() {
        entry.name = [prefix, entry.name].join(&b'/');
    }
    entry.mode = number(&block[100..108])? as u32;
    (entry.uid, entry.gid) = (number(&block[108..116])? as u32, number(&block[116..124])? as u32);
    entry.mtime = number(&block[136..148])?;
    entry.link = without_nul(&block[157..257]);
    if matches!(entry.kind, b'3' | b'4') {
        entry.device = (number(&block[329..337])? as u32, number(&block[337..345])? as u32);
    }
    Ok((entry, number(&block[124..136])? as usize))
}

/// Octal digits, or base 256 (GNU tar).
fn number(field: &[u8]) -> Result<u64, String> {
    if field[0] & 0x80 != 0 {
        return Ok(field[1..].iter().fold(u64::from(field[0] & 0x7f), |value, byte| value << 8 | u64::from(*byte)));
    }
    let text = String::from_utf8_lossy(field);
    let digits = text.trim_matches(['\0', ' ']);
    if digits.is_empty() {
        Ok(0)
    } else {
        u64::from_str_radix(digits, 8).map_err(|error| format!("{digits:?}: {error}"))
    }
}

/// `LENGTH KEY=VALUE\n`... (pax(1), "Extended Header").
fn records(mut bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let blank = bytes.iter().position(|byte| *byte == b' ').ok_or("a PAX record has no length")?;
        let length: usize =
            String::from_utf8_lossy(&bytes[..blank]).parse().map_err(|error| format!("PAX: {error}"))?;
        let record = take(&mut bytes, length)?;
        let text = record.get(blank + 1..length - 1).ok_or("a PAX record is too short")?;
        let equals = text.iter().position(|byte| *byte == b'=').ok_or("a PAX record has no value")?;
        records.push((String::from_utf8_lossy(&text[..equals]).into_owned(), text[equals + 1..].to_vec()));
    }
    Ok(records)
}
