//! The two log files that init writes in turns, read in the order of writing while it goes on writing.
//!
//! ```text
//!   log    |======== older ========|            init appends to one file; when that is full it cuts the other one
//!   log.1  |=== newer, grows ===>                to nothing and goes on there
//! ```
//! A file that was cut holds a new *generation*. It is known by the time in its first entry, which never comes back. After
//! each piece that was read the first entry is looked at again: if it changed, the piece may be of the new generation and
//! is not used. Who reads slower than init writes two files full loses lines, and is told.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::LogEntry;
use crate::container::ContainerError;
use crate::timestamp::TIMESTAMP_LEN;

/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// The beginning of a file: the time of its first entry.
type Head = [u8; TIMESTAMP_LEN];

/// One of the two files.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: Option<File>,
    /// The generation that is being read; none before the file has its first entry.
    head: Option<Head>,
    /// Counts generations over both files, in the order of writing.
    order: u64,
    /// How far it has been read.
    offset: u64,
    /// Where reading stops, if not at the end.
    limit: Option<u64>,
    /// A line whose end is not there yet.
    rest: Vec<u8>,
}

/// Both files of a container.
#[derive(Debug)]
pub struct LogFiles {
    files: [LogFile; 2],
    /// The number of the next generation.
    next: u64,
    damaged: u64,
    lost: bool,
}

/// What [`LogFile::piece`] came to.
enum Piece {
    /// That many bytes of the known generation.
    Read(usize),
    /// The file was cut meanwhile.
    Cut,
}

impl LogFiles {
    /// The log in the directory of a container; files that are not there yet are looked for again.
    pub fn new(dir: &Path) -> Self {
        Self { files: ["log", "log.1"].map(|name| LogFile::new(dir.join(name))), next: 1, damaged: 0, lost: false }
    }

    /// Reads nothing that is written from now on: a program that writes without end does not keep us for ever.
    pub fn limit_to_now(&mut self) -> Result<(), ContainerError> {
        for file in &mut self.files {
            let size = file.open()?.map(File::metadata).transpose();
            file.limit = Some(size.map_err(ContainerError::io("read", &file.path))?.map_or(0, |size| size.len()));
        }
        Ok(())
    }

    /// Whether lines were overwritten before they were read.
    pub fn lost(&self) -> bool {
        self.lost
    }

    /// How many lines were no log entries.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Gives every entry that was not given before, in the order of writing.
    pub fn read<E: From<ContainerError>>(
        &mut self,
        give: &mut impl FnMut(LogEntry<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            // The heads are looked at first. Whichever file is newer by then, init has written the last of the other one.
            self.find_generations()?;
            self.files.sort_by_key(|file| file.order);
            let mut cut = false;
            for file in &mut self.files {
                cut |= file.read(&mut self.damaged, give)?;
            }
            if !cut {
                return Ok(());
            }
            // Cut while it was read: what we had not read of it is gone.
            self.lost = true;
        }
    }

    /// The heads of both files at one moment: the first was the same before and after the second was looked at. Without
    /// that, init could go round between the two looks, and the later generation would be taken for the earlier.
    fn look(&mut self) -> Result<[Option<Head>; 2], ContainerError> {
        let [first, second] = &mut self.files;
        let mut head = first.look()?;
        loop {
            let other = second.look()?;
            let again = first.look()?;
            if again == head {
                return Ok([head, other]);
            }
            head = again;
        }
    }

    fn find_generations(&mut self) -> Result<(), ContainerError> {
        let newest = self.files.iter().map(|file| file.order).max().unwrap_or(0);
        let mut fresh = Vec::new();
        let heads = self.look()?;
        for (index, (file, head)) in self.files.iter_mut().zip(heads).enumerate() {
            if head == file.head {
                continue;
            }
            // Init cuts the older file. If the one that was the newer has been cut, it has gone round once and more.
            self.lost |= file.head.is_some() && file.order == newest && file.limit.is_none();
            file.begin(head);
            fresh.extend(head.map(|head| (head, index)));
        }
        // Of two new generations the times tell the order.
        fresh.sort_unstable();
        for (_, index) in fresh {
            if let Some(file) = self.files.get_mut(index) {
                file.order = self.next;
                self.next += 1;
            }
        }
        Ok(())
    }
}

impl LogFile {
    fn new(path: PathBuf) -> Self {
        Self { path, file: None, head: None, order: 0, offset: 0, limit: None, rest: Vec::new() }
    }

    fn open(&mut self) -> Result<Option<&File>, ContainerError> {
        if self.file.is_none() {
            self.file = match File::open(&self.path) {
                Ok(file) => Some(file),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                result => Some(result.map_err(ContainerError::io("read", &self.path))?),
            };
        }
        Ok(self.file.as_ref())
    }

    /// The head as it is in the file now.
    fn look(&mut self) -> Result<Option<Head>, ContainerError> {
        let Some(file) = self.open()? else { return Ok(None) };
        head_of(file).map_err(ContainerError::io("read", &self.path))
    }

    /// Starts with a new generation. If only what was there shall be read, this one is too late.
    fn begin(&mut self, head: Option<Head>) {
        if self.head.is_some() && self.limit.is_some() {
            self.limit = Some(0);
        }
        (self.head, self.offset) = (head, 0);
        self.rest.clear();
    }

    /// Reads to the end; `true` if the file was cut meanwhile.
    fn read<E: From<ContainerError>>(
        &mut self,
        damaged: &mut u64,
        give: &mut impl FnMut(LogEntry<'_>) -> Result<(), E>,
    ) -> Result<bool, E> {
        let mut buffer = vec![0; PIECE];
        loop {
            let piece = self.piece(&mut buffer).map_err(ContainerError::io("read", &self.path))?;
            let length = match piece {
                Piece::Read(0) => return Ok(false),
                Piece::Read(length) => length,
                Piece::Cut => return Ok(true),
            };
            self.offset += length as u64;
            self.rest.extend_from_slice(buffer.get(..length).unwrap_or_default());
            let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let lines = self.rest.get(..whole).unwrap_or_default();
            for line in lines.split_inclusive(|byte| *byte == b'\n') {
                match LogEntry::parse(line.strip_suffix(b"\n").unwrap_or(line)) {
                    Some(entry) => give(entry)?,
                    None => *damaged += 1,
                }
            }
            self.rest.drain(..whole);
        }
    }

    fn piece(&self, buffer: &mut [u8]) -> io::Result<Piece> {
        let (Some(file), Some(head)) = (&self.file, self.head) else { return Ok(Piece::Read(0)) };
        let allowed = self.limit.map_or(u64::MAX, |limit| limit.saturating_sub(self.offset));
        let allowed = usize::try_from(allowed).unwrap_or(usize::MAX).min(buffer.len());
        let length = file.read_at(buffer.get_mut(..allowed).unwrap_or_default(), self.offset)?;
        Ok(if head_of(file)? == Some(head) { Piece::Read(length) } else { Piece::Cut })
    }
}

fn head_of(file: &File) -> io::Result<Option<Head>> {
    let mut head = [0; TIMESTAMP_LEN];
    match file.read_exact_at(&mut head, 0) {
        Ok(()) => Ok(Some(head)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timestamp::Timestamp;
    use std::fs::{self, OpenOptions};
    use std::io::Write as _;
    use std::thread;
    use std::time::Duration;

    /// Writes as init does: whole entries, appended; the other file is cut before the first entry that goes there.
    struct Writer {
        files: [File; 2],
        current: usize,
        size: usize,
        number: u64,
    }

    impl Writer {
        fn new(dir: &Path) -> Self {
            let open = |name| OpenOptions::new().create(true).append(true).open(dir.join(name)).unwrap();
            Self { files: ["log", "log.1"].map(open), current: 0, size: 0, number: 0 }
        }

        fn write(&mut self, cap: usize) {
            let line = format!("{} stdout F line {}\n", Timestamp::now(), self.number);
            if self.size + line.len() > cap {
                (self.current, self.size) = (1 - self.current, 0);
                self.files[self.current].set_len(0).unwrap();
            }
            self.files[self.current].write_all(line.as_bytes()).unwrap();
            (self.size, self.number) = (self.size + line.len(), self.number + 1);
        }
    }

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("ctr-logs-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn numbers(files: &mut LogFiles) -> Vec<u64> {
        let mut numbers = Vec::new();
        let mut give = |entry: LogEntry<'_>| {
            let text = std::str::from_utf8(entry.text).unwrap();
            numbers.push(text.strip_prefix("line ").unwrap().parse().unwrap());
            Ok::<_, ContainerError>(())
        };
        files.read(&mut give).unwrap();
        numbers
    }

    #[test]
    fn both_files_are_read_in_the_order_of_writing() {
        let dir = scratch("order");
        let mut writer = Writer::new(&dir);
        let mut follower = LogFiles::new(&dir);
        let mut followed = Vec::new();
        for round in 0..50 {
            // Fewer than fill two files, so a follower that reads after each round loses nothing.
            for _ in 0..round % 7 {
                writer.write(400);
            }
            followed.extend(numbers(&mut follower));
            let (mut whole, written) = (LogFiles::new(&dir), writer.number);
            whole.limit_to_now().unwrap();
            let seen = numbers(&mut whole);
            assert_eq!(seen, (written - seen.len() as u64..written).collect::<Vec<_>>(), "round {round}");
        }
        assert_eq!(followed, (0..writer.number).collect::<Vec<_>>());
        assert!(!follower.lost() && follower.damaged() == 0);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_is_written_later_is_not_read_if_so_wanted() {
        let dir = scratch("limit");
        let mut writer = Writer::new(&dir);
        writer.write(1000);
        let mut files = LogFiles::new(&dir);
        files.limit_to_now().unwrap();
        writer.write(1000);
        assert_eq!(numbers(&mut files), [0]);
        // Round once: both files are new.
        for _ in 0..60 {
            writer.write(1000);
        }
        assert_eq!(numbers(&mut files), [0; 0]);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_slow_reader_is_told_that_lines_are_gone() {
        let dir = scratch("slow");
        let mut writer = Writer::new(&dir);
        let mut files = LogFiles::new(&dir);
        writer.write(400);
        assert_eq!(numbers(&mut files), [0]);
        for _ in 0..40 {
            writer.write(400);
        }
        let seen = numbers(&mut files);
        assert_eq!(seen.last(), Some(&40));
        assert!(files.lost() && seen.len() < 40);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_writer_at_full_speed_is_never_read_wrong() {
        let dir = scratch("race");
        let mut writer = Writer::new(&dir);
        let writing = thread::spawn(move || {
            for number in 0..20_000 {
                writer.write(3000);
                if number % 100 == 0 {
                    thread::sleep(Duration::from_micros(50));
                }
            }
        });
        let mut files = LogFiles::new(&dir);
        let mut seen = Vec::new();
        while !writing.is_finished() {
            seen.extend(numbers(&mut files));
        }
        writing.join().unwrap();
        seen.extend(numbers(&mut files));
        assert!(seen.is_sorted_by(|a, b| a < b), "out of order or twice");
        assert_eq!(seen.last(), Some(&19_999));
        assert!(files.lost() || seen.len() == 20_000);
        assert_eq!(files.damaged(), 0);
        fs::remove_dir_all(&dir).unwrap();
    }
}
