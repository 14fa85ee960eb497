//! Facts about processes and the boot, from `/proc` (proc(5)).

use std::io;
use std::path::Path;

use crate::small;
use std::sync::OnceLock;

/// What `/proc/PID/stat` says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessStat {
    /// Its state letter: `R`, `S`, `D`, `Z` ...
    pub state: u8,
    /// Field 4: its parent.
    pub parent: i32,
    /// Field 22: clock ticks from the boot to its start.
    pub start_time: u64,
}

impl ProcessStat {
    /// Whether it has ended and only waits to be reaped.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }
}

/// Reads `/proc/PID/stat`; `None` if there is no such process.
pub fn process_stat(pid: i32) -> io::Result<Option<ProcessStat>> {
    match small::read(Path::new(&format!("/proc/{pid}/stat")), 4095) {
        Ok(stat) => Ok(stat.as_deref().and_then(parse_stat)),
        // ESRCH: the process ended between open and read.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Fields after the command name, which is in parentheses and may itself hold any byte.
fn parse_stat(stat: &[u8]) -> Option<ProcessStat> {
    let after = stat.iter().rposition(|byte| *byte == b')')? + 2;
    let text = std::str::from_utf8(stat.get(after..)?).ok()?;
    let mut fields = text.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let parent = fields.next()?.parse().ok()?;
    // The parent is field 4, so field 22 is 17 fields after the next one.
    let start_time = fields.nth(17)?.parse().ok()?;
    Some(ProcessStat { state, parent, start_time })
}

/// Processes whose parent is `pid`, as many as were seen at one look at `/proc`.
pub fn children_of(pid: i32) -> io::Result<Vec<i32>> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(other) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if process_stat(other)?.is_some_and(|stat| stat.parent == pid) {
            children.push(other);
        }
    }
    Ok(children)
}

/// `/proc/sys/kernel/random/boot_id` without its newline. Read once: it cannot change while this process lives.
pub fn boot_id() -> io::Result<String> {
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    if let Some(id) = BOOT_ID.get() {
        return Ok(id.clone());
    }
    let bytes = small::read(Path::new("/proc/sys/kernel/random/boot_id"), 128)?.unwrap_or_default();
    let id = String::from_utf8_lossy(&bytes).trim_end().to_owned();
    Ok(BOOT_ID.get_or_init(|| id).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_command_names_do_not_shift_fields() {
        let stat = b"7 (a) R 1 (b)) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20\n";
        assert_eq!(parse_stat(stat), Some(ProcessStat { state: b'S', parent: 1, start_time: 4242 }));
        assert_eq!(parse_stat(b""), None);
        assert_eq!(parse_stat(b"1 (x)"), None);
    }

    #[test]
    fn this_process_is_found() {
        let own = process_stat(i32::try_from(std::process::id()).unwrap()).unwrap().unwrap();
        assert!(own.start_time > 0 && !own.is_zombie());
    }
}
