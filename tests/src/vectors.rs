//! The data of `spec/vectors/`, and the generator that makes real archives of their descriptions
//! (spec/vectors/README.md tells the language).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Deserialize;

const BLOCK: usize = 512;

/// `bytes` as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string");
        text
    })
}

/// The directory `spec/vectors`.
pub fn dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors")
}

/// The text of the file `name` in `spec/vectors`.
pub fn text(name: &str) -> String {
    let path = dir().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The file `name` of `spec/vectors`, parsed.
pub fn load<T: serde::de::DeserializeOwned>(name: &str) -> T {
    serde_json::from_str(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every vector of `archives.json`.
pub fn archives() -> Vec<ArchiveVector> {
    load::<Archives>("archives.json").vectors
}

#[derive(Deserialize)]
struct Archives {
    vectors: Vec<ArchiveVector>,
}

/// Bytes as a vector writes them.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Bytes {
    /// As UTF-8.
    Text(String),
    /// Two digits per byte.
    Hex {
        /// The digits.
        hex: String,
    },
    /// A text many times.
    Repeat {
        /// The text.
        repeat: String,
        /// How often.
        times: usize,
    },
    /// One after the other.
    Concat {
        /// The pieces.
        concat: Vec<Bytes>,
    },
}

impl Bytes {
    /// The bytes that are meant.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.as_bytes().to_vec(),
            Self::Hex { hex } => {
                let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
                (0..hex.len()).step_by(2).map(digit).collect()
            }
            Self::Repeat { repeat, times } => repeat.repeat(*times).into_bytes(),
            Self::Concat { concat } => concat.iter().flat_map(Self::bytes).collect(),
        }
    }

    /// The bytes as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.bytes()).expect("a vector that is text")
    }
}

/// One archive and what a reader has to make of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveVector {
    /// Its name, unique.
    pub name: String,
    /// What it is about; clauses of the specification that it holds.
    pub about: String,
    /// Layers below, lowest first.
    #[serde(default)]
    pub below: Vec<Vec<EntrySpec>>,
    /// The entries, in order.
    pub entries: Vec<EntrySpec>,
    /// Blocks of zeros at the end.
    #[serde(default = "two")]
    pub end: usize,
    /// Bytes that are cut off at the end.
    #[serde(default)]
    pub cut: usize,
    /// Limits that are lower than the promised ones, by the names of the fields of `ctr_layer::limits::Limits`.
    #[serde(default)]
    pub limits: BTreeMap<String, u64>,
    /// The outcome.
    pub expect: Expect,
}

fn two() -> usize {
    2
}

/// What has to come out.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Expect {
    /// It is refused, for this reason.
    Error(String),
    /// It is taken.
    Tree {
        /// Whether its tree depends on nothing below; not compared if missing.
        self_contained: Option<bool>,
        /// Everything below the root of the layer directory.
        files: Vec<FileSpec>,
    },
}

/// One file of a layer directory. What is missing is not compared.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// Path below the root of the layer; `.` is the root itself.
    pub path: Bytes,
    /// `file`, `dir`, `symlink`, `char`, `block`, `fifo`, `whiteout`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Permission bits, octal.
    pub mode: Option<String>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Size in bytes.
    pub size: Option<u64>,
    /// Content of a file.
    pub content: Option<Bytes>,
    /// Target of a symbolic link.
    pub link: Option<Bytes>,
    /// Another path that is the same inode.
    pub same_as: Option<String>,
    /// Major and minor number.
    pub device: Option<(u64, u64)>,
    /// `SECONDS[.FRACTION]`.
    pub mtime: Option<String>,
    /// Whether the directory hides what is below; false if missing.
    #[serde(default)]
    pub opaque: bool,
    /// Extended attributes that it has (it may have more).
    #[serde(default)]
    pub xattrs: BTreeMap<String, Bytes>,
}

/// One entry of an archive, hostile ones included.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntrySpec {
    /// Bytes that are written as they stand, instead of an entry; everything else is left out then.
    raw: Option<Bytes>,
    /// Name.
    #[serde(default)]
    name: Option<Bytes>,
    /// `file`, `dir`, `symlink`, `hardlink`, `char`, `block`, `fifo`, `contiguous`, `old-file`, `sparse`, `global`, or
    /// one character: the type flag itself.
    #[serde(rename = "type", default)]
    kind: Option<String>,
    /// Permission bits, octal.
    mode: Option<String>,
    #[serde(default)]
    uid: u64,
    #[serde(default)]
    gid: u64,
    /// `SECONDS[.FRACTION]`.
    mtime: Option<String>,
    /// The size that the header claims, if it is not the one of the content.
    size: Option<u64>,
    content: Option<Bytes>,
    link: Option<Bytes>,
    device: Option<(u64, u64)>,
    /// Written as `SCHILY.xattr.NAME`.
    #[serde(default)]
    xattrs: BTreeMap<String, Bytes>,
    /// Records of a PAX header before the entry, after those that the generator needs.
    #[serde(default)]
    pax: Vec<(String, Bytes)>,
    /// The content of that header as it stands.
    pax_raw: Option<Bytes>,
    /// `ustar` (default, with PAX where needed), `gnu` (long names, base-256 numbers), `v7`.
    format: Option<String>,
    /// Real size and segments (offset, length) of a GNU sparse file; `content` has the data.
    sparse: Option<(u64, Vec<(u64, u64)>)>,
    /// Bytes put into the header: before the checksum is made.
    #[serde(default)]
    patch: Vec<(usize, Bytes)>,
    /// The same, after the checksum is made.
    #[serde(default)]
    patch_after: Vec<(usize, Bytes)>,
}

impl ArchiveVector {
    /// The archive.
    pub fn archive(&self) -> Vec<u8> {
        let mut out = archive(&self.entries, self.end);
        out.truncate(out.len().saturating_sub(self.cut));
        out
    }

    /// The archives of the layers below, lowest first.
    pub fn below(&self) -> Vec<Vec<u8>> {
        self.below.iter().map(|entries| archive(entries, 2)).collect()
    }
}

/// An archive of these entries with `end` blocks of zeros.
pub fn archive(entries: &[EntrySpec], end: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        entry.write(&mut out);
    }
    out.resize(out.len() + end * BLOCK, 0);
    out
}

impl EntrySpec {
    fn flag(&self) -> u8 {
        match self.kind.as_deref().unwrap_or("file") {
            "file" => b'0',
            "old-file" => 0,
            "hardlink" => b'1',
            "symlink" => b'2',
            "char" => b'3',
            "block" => b'4',
            "dir" => b'5',
            "fifo" => b'6',
            "contiguous" => b'7',
            "global" => b'g',
            "sparse" => b'S',
            other if other.len() == 1 => other.as_bytes()[0],
            other => panic!("no type \"{other}\""),
        }
    }

    /// Replaces the content.
    pub fn set_content(&mut self, content: &[u8]) {
        self.content = Some(Bytes::Hex { hex: hex(content) });
    }

    /// Appends the entry, with the headers before it.
    pub fn write(&self, out: &mut Vec<u8>) {
        if let Some(raw) = &self.raw {
            out.extend(raw.bytes());
            return;
        }
        let gnu = self.format.as_deref() == Some("gnu");
        let name = self.name.as_ref().map(Bytes::bytes).unwrap_or_default();
        let link = self.link.as_ref().map(Bytes::bytes).unwrap_or_default();
        let mut records = Vec::new();
        for (value, key, long) in [(&name, "path", b'L'), (&link, "linkpath", b'K')] {
            if value.len() > 100 && gnu {
                extension(out, long, &[value.as_slice(), b"\0"].concat());
            } else if value.len() > 100 {
                records.push((key.to_owned(), value.clone()));
            }
        }
        let (seconds, fraction) = self
            .mtime
            .as_deref()
            .unwrap_or("1700000000")
            .split_once('.')
            .map_or_else(|| (self.mtime.as_deref().unwrap_or("1700000000"), false), |(seconds, _)| (seconds, true));
        if fraction || seconds.starts_with('-') {
            records.push(("mtime".to_owned(), self.mtime.clone().unwrap_or_default().into_bytes()));
        }
        for (value, key) in [(self.uid, "uid"), (self.gid, "gid")] {
            if value > 0o777_7777 && !gnu {
                records.push((key.to_owned(), value.to_string().into_bytes()));
            }
        }
        records.extend(self.xattrs.iter().map(|(key, value)| (format!("SCHILY.xattr.{key}"), value.bytes())));
        records.extend(self.pax.iter().map(|(key, value)| (key.clone(), value.bytes())));
        let pax: Vec<u8> = match &self.pax_raw {
            Some(raw) => raw.bytes(),
            None => records.iter().flat_map(|(key, value)| record(key, value)).collect(),
        };
        if self.flag() == b'g' {
            extension(out, b'g', &pax);
            return;
        }
        if !pax.is_empty() {
            extension(out, b'x', &pax);
        }
        self.write_entry(out, &name, &link, seconds.parse().unwrap_or(0));
    }

    fn write_entry(&self, out: &mut Vec<u8>, name: &[u8], link: &[u8], mtime: u64) {
        let content = self.content.as_ref().map(Bytes::bytes).unwrap_or_default();
        let mode = self.mode.as_deref().unwrap_or(if self.flag() == b'5' { "755" } else { "644" });
        let mut header = Header::new(self.format.as_deref().unwrap_or("ustar"));
        header.put(0, &name[..name.len().min(100)]);
        header.number(100, 8, u64::from_str_radix(mode, 8).expect("an octal mode"));
        header.number(108, 8, self.uid);
        header.number(116, 8, self.gid);
        header.number(124, 12, self.size.unwrap_or(content.len() as u64));
        header.number(136, 12, mtime);
        header.0[156] = self.flag();
        header.put(157, &link[..link.len().min(100)]);
        if let Some((major, minor)) = self.device {
            header.number(329, 8, major);
            header.number(337, 8, minor);
        }
        let mut extra = Vec::new();
        if let Some((real, segments)) = &self.sparse {
            extra = header.sparse(*real, segments);
        }
        for (at, bytes) in &self.patch {
            header.put(*at, &bytes.bytes());
        }
        header.checksum();
        for (at, bytes) in &self.patch_after {
            header.put(*at, &bytes.bytes());
        }
        out.extend(header.0);
        out.extend(extra);
        padded(out, &content);
    }
}

/// `LENGTH KEY=VALUE\n`, the length with itself.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length.to_string().len() + rest != length {
        length = length.to_string().len() + rest;
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

fn extension(out: &mut Vec<u8>, flag: u8, content: &[u8]) {
    let mut header = Header::new(if matches!(flag, b'L' | b'K') { "gnu" } else { "ustar" });
    header.put(0, if matches!(flag, b'L' | b'K') { b"././@LongLink".as_slice() } else { b"PaxHeaders/x" });
    header.number(100, 8, 0o644);
    header.number(108, 8, 0);
    header.number(116, 8, 0);
    header.number(124, 12, content.len() as u64);
    header.number(136, 12, 0);
    header.0[156] = flag;
    header.checksum();
    out.extend(header.0);
    padded(out, content);
}

fn padded(out: &mut Vec<u8>, content: &[u8]) {
    out.extend(content);
    out.resize(out.len().next_multiple_of(BLOCK), 0);
}

struct Header([u8; BLOCK]);

impl Header {
    fn new(format: &str) -> Self {
        let mut header = Self([0; BLOCK]);
        match format {
            "ustar" => header.put(257, b"ustar\x0000"),
            "gnu" => header.put(257, b"ustar  \0"),
            "v7" => {}
            other => panic!("no format \"{other}\""),
        }
        header
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Octal digits; base-256 for what does not fit.
    fn number(&mut self, at: usize, width: usize, value: u64) {
        let digits = format!("{value:0width$o}", width = width - 1);
        if digits.len() < width {
            self.put(at, digits.as_bytes());
            return;
        }
        let bytes = value.to_be_bytes();
        self.0[at..at + width].fill(0);
        let room = width.min(bytes.len());
        self.put(at + width - room, &bytes[bytes.len() - room..]);
        self.0[at] |= 0x80;
    }

    /// Fills the sparse part of a GNU header; returns the blocks with further segments.
    fn sparse(&mut self, real: u64, segments: &[(u64, u64)]) -> Vec<u8> {
        for (index, (offset, length)) in segments.iter().take(4).enumerate() {
            self.number(386 + index * 24, 12, *offset);
            self.number(398 + index * 24, 12, *length);
        }
        self.number(483, 12, real);
        let rest = segments.get(4..).unwrap_or_default();
        self.0[482] = u8::from(!rest.is_empty());
        let mut out = Vec::new();
        for (chunk_index, chunk) in rest.chunks(21).enumerate() {
            let mut block = Header([0; BLOCK]);
            for (index, (offset, length)) in chunk.iter().enumerate() {
                block.number(index * 24, 12, *offset);
                block.number(index * 24 + 12, 12, *length);
            }
            block.0[504] = u8::from((chunk_index + 1) * 21 < rest.len());
            out.extend(block.0);
        }
        out
    }

    fn checksum(&mut self) {
        self.put(148, b"        ");
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.put(148, format!("{sum:06o}\0 ").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_tell_their_own_length() {
        assert_eq!(record("path", b"a"), b"9 path=a\n");
        for length in [0, 1, 85, 86, 87, 88, 89, 90, 900, 987, 988, 989, 990, 991] {
            let made = record("k", &vec![b'x'; length]);
            let told: usize = std::str::from_utf8(&made).unwrap().split(' ').next().unwrap().parse().unwrap();
            assert_eq!(told, made.len());
        }
    }

    #[test]
    fn every_vector_can_be_made_and_has_its_own_name() {
        let vectors = archives();
        let mut names: Vec<&str> = vectors.iter().map(|vector| vector.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), vectors.len());
        for vector in &vectors {
            vector.archive();
            vector.below();
        }
    }
}
