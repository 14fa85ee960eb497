//! A tar writer that writes whatever it is told, hostile archives included.

/// One header of an archive.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The name as it stands in the archive.
    pub name: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time, seconds.
    pub mtime: u64,
    /// `0` file, `1` hard link, `2` symbolic link, `3` character device, `4` block device, `5` directory, `6` fifo.
    pub kind: u8,
    /// Where a link leads.
    pub link: Vec<u8>,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// The size that the header claims; the content's own if `None`.
    pub size: Option<u64>,
    /// Content of a file.
    pub content: Vec<u8>,
    /// PAX records, written in a header of their own before this one.
    pub pax: Vec<(String, Vec<u8>)>,
}

impl Entry {
    /// An entry of `kind` with the usual mode and time, owned by root.
    pub fn new(kind: u8, name: &str) -> Self {
        Self {
            name: name.as_bytes().to_vec(),
            mode: if kind == b'5' { 0o755 } else { 0o644 },
            uid: 0,
            gid: 0,
            mtime: 1_700_000_000,
            kind,
            link: Vec::new(),
            device: (0, 0),
            size: None,
            content: Vec::new(),
            pax: Vec::new(),
        }
    }

    /// With these permission bits.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// Owned by this user and group.
    pub fn owner(mut self, uid: u32, gid: u32) -> Self {
        (self.uid, self.gid) = (uid, gid);
        self
    }

    /// With a PAX record.
    pub fn pax(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.pax.push((key.to_owned(), value.as_ref().to_vec()));
        self
    }
}

/// An archive that grows.
#[derive(Debug, Clone, Default)]
pub struct Tar(Vec<u8>);

impl Tar {
    /// Without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a directory.
    pub fn dir(self, name: &str, mode: u32) -> Self {
        self.add(Entry::new(b'5', name).mode(mode))
    }

    /// Adds a file.
    pub fn file(self, name: &str, mode: u32, content: impl AsRef<[u8]>) -> Self {
        let mut entry = Entry::new(b'0', name).mode(mode);
        entry.content = content.as_ref().to_vec();
        self.add(entry)
    }

    /// Adds a symbolic link.
    pub fn symlink(self, name: &str, target: &str) -> Self {
        let mut entry = Entry::new(b'2', name).mode(0o777);
        entry.link = target.as_bytes().to_vec();
        self.add(entry)
    }

    /// Adds a hard link.
    pub fn hardlink(self, name: &str, target: &str) -> Self {
        let mut entry = Entry::new(b'1', name);
        entry.link = target.as_bytes().to_vec();
        self.add(entry)
    }

    /// Adds a device (`kind` `3` or `4`).
    pub fn device(self, name: &str, kind: u8, major: u32, minor: u32) -> Self {
        let mut entry = Entry::new(kind, name).mode(0o666);
        entry.device = (major, minor);
        self.add(entry)
    }

    /// Adds a fifo.
    pub fn fifo(self, name: &str) -> Self {
        self.add(Entry::new(b'6', name))
    }

    /// Adds the whiteout of `dir/name` (OCI image-spec, layer.md "Whiteouts").
    pub fn whiteout(self, dir: &str, name: &str) -> Self {
        self.file(format!("{dir}/.wh.{name}").trim_start_matches('/'), 0o644, "")
    }

    /// Makes `dir` hide what lower layers have in it.
    pub fn opaque(self, dir: &str) -> Self {
        self.file(&format!("{dir}/.wh..wh..opq"), 0o644, "")
    }

    /// Adds an entry as it stands.
    pub fn add(mut self, entry: Entry) -> Self {
        let mut pax = entry.pax.clone();
        if entry.name.len() > 100 {
            pax.push(("path".to_owned(), entry.name.clone()));
        }
        if entry.link.len() > 100 {
            pax.push(("linkpath".to_owned(), entry.link.clone()));
        }
        if !pax.is_empty() {
            let records: Vec<u8> = pax.iter().flat_map(|(key, value)| record(key, value)).collect();
            let mut header = Entry::new(b'x', "PaxHeaders/x");
            header.content = records;
            self = self.raw(&header);
        }
        self.raw(&entry)
    }

    /// Adds bytes that are no header at all.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// The archive, closed by two empty blocks.
    pub fn finish(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }

    fn raw(mut self, entry: &Entry) -> Self {
        self.0.extend_from_slice(&header(entry));
        self.0.extend_from_slice(&entry.content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }
}

/// `LENGTH KEY=VALUE\n`, where LENGTH counts its own digits (pax(1), "Extended Header").
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

fn header(entry: &Entry) -> [u8; 512] {
    let mut block = [0u8; 512];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &entry.name[..entry.name.len().min(100)]);
    put(100, format!("{:07o}\0", entry.mode).as_bytes());
    put(108, &number(u64::from(entry.uid), 8));
    put(116, &number(u64::from(entry.gid), 8));
    put(124, &number(entry.size.unwrap_or(entry.content.len() as u64), 12));
    put(136, &number(entry.mtime, 12));
    put(148, b"        ");
    put(156, &[entry.kind]);
    put(157, &entry.link[..entry.link.len().min(100)]);
    put(257, b"ustar\x0000");
    put(329, format!("{:07o}\0", entry.device.0).as_bytes());
    put(337, format!("{:07o}\0", entry.device.1).as_bytes());
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// Octal, or base 256 where octal is too short (GNU tar).
fn number(value: u64, width: usize) -> Vec<u8> {
    let octal = format!("{value:0digits$o}\0", digits = width - 1);
    if octal.len() == width {
        return octal.into_bytes();
    }
    let mut bytes = vec![0u8; width];
    bytes[0] = 0x80;
    bytes[width - 8..].copy_from_slice(&value.to_be_bytes());
    bytes[0] |= 0x80;
    bytes
}
