//! Ranges of host ids for containers of root, handed out to all roots of a host without a daemon (spec/07-executor.md
//! "User namespaces").
//!
//! A range is one file, named by its first id, in a directory that is the host's whatever the root is. Who holds the
//! file's lock has the range: the launcher first, then the container's init, for as long as it lives, however it ends. The
//! file also names the container, because a container without init holds no lock, and because a lock is free a moment
//! before the last process of a frozen container is gone: a range is taken only when both say that nobody has it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ctr_sys::{SysError, lock, small};

use crate::container::{ContainerError, Containers, State};

/// Ids of one range (spec/limits.md).
pub const RANGE_COUNT: u32 = 65_536;
/// The first id of the built-in ranges: above those that systemd gives to containers (systemd.io, "Users, Groups, UIDs and
/// GIDs on systemd systems"), and below 2^31, because some file systems and programs take ids for signed.
pub const BUILT_IN_START: u32 = 0x7000_0000;
/// How many built-in ranges there are: up to the ids that systemd has for foreign images.
pub const BUILT_IN_RANGES: u32 = 0x0ffe;
/// Whose lines of `/etc/subuid` and `/etc/subgid` replace the built-in ranges.
pub const RANGES_USER: &str = "ctr";

/// Where the files of the ranges are.
const DIR: &str = "/run/ctr/ranges";
/// The largest `/etc/subuid` that is read, in bytes.
const SUBIDS_MAX: usize = 4 << 20;
/// The most that is read of a range file, in bytes: ids and roots of the container that took it and of those that joined.
const OWNERS_MAX: u64 = 4 << 20;

/// Why there is no range.
#[derive(Debug, thiserror::Error)]
pub enum RangeError {
    /// Every range has a container.
    #[error("all {0} ranges of ids for user namespaces are in use")]
    Exhausted(usize),
    /// The lines for `ctr` name no range for both users and groups.
    #[error(
        "/etc/subuid gives ids to \"{RANGES_USER}\", and /etc/subgid does not give it the same, at least {RANGE_COUNT} each"
    )]
    NoCommonRange,
    /// A file could not be read or made.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A lock could not be asked for.
    #[error("cannot lock a range of ids")]
    Lock(#[from] SysError),
}

impl RangeError {
    /// What to do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Exhausted(_) => {
                "stop containers, give \"ctr\" more ids in /etc/subuid and /etc/subgid, or run with --userns=host"
            }
            Self::NoCommonRange => "write the same START:COUNT for ctr in both files, or remove its lines",
            Self::Io { .. } | Self::Lock(_) => "ranges are kept in /run/ctr/ranges; --userns=host needs none",
        }
    }
}

/// A range that this process has. It is given up when the last copy of its file is closed.
#[derive(Debug)]
pub struct Range {
    /// The first host id.
    pub start: u32,
    /// The file whose lock is the range.
    pub file: File,
}

/// A range for the container `id` of `root`, which nobody else on this host has.
pub fn take(root: &Path, id: &str) -> Result<Range, RangeError> {
    take_below(Path::new(DIR), root, id)
}

fn take_below(dir: &Path, root: &Path, id: &str) -> Result<Range, RangeError> {
    let starts = starts(&read_subids("/etc/subuid")?, &read_subids("/etc/subgid")?)?;
    // Each container begins to look somewhere else, so that many that start together do not queue at the same file.
    let first = id.get(..8).and_then(|digits| usize::from_str_radix(digits, 16).ok()).unwrap_or(0);
    for turn in 0..starts.len() {
        let Some(start) = starts.get((first + turn) % starts.len()) else { break };
        let file = open(dir, *start)?;
        if lock::try_exclusive(file.as_fd())? && is_free(&file) {
            return claim(file, *start, root, id).map_err(|source| RangeError::Io {
                action: "write",
                path: dir.join(start.to_string()),
                source,
            });
        }
    }
    Err(RangeError::Exhausted(starts.len()))
}

fn open(dir: &Path, start: u32) -> Result<File, RangeError> {
    let path = dir.join(start.to_string());
    let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let opened = match open() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let made = DirBuilder::new().mode(0o700).recursive(true).create(dir);
            made.map_err(|source| RangeError::Io { action: "create", path: dir.to_owned(), source })?;
            open()
        }
        result => result,
    };
    opened.map_err(|source| RangeError::Io { action: "open", path: path.clone(), source })
}

/// Notes that the container `id` of `root` has joined the user namespace whose first id is `start` outside, so that the range
/// stays in use when the container that has taken it ends first. The range must be in use until this has returned, which the
/// caller is to look at afterwards. What is no range of ours needs no note.
pub fn share(start: u32, root: &Path, id: &str) -> Result<(), RangeError> {
    let path = Path::new(DIR).join(start.to_string());
    let io = |source| RangeError::Io { action: "write", path: path.clone(), source };
    match OpenOptions::new().append(true).open(&path) {
        Ok(mut file) => file.write_all(owner(root, id).as_bytes()).map_err(io),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io(error)),
    }
}

/// Whether the containers that had the range last, the one that took it and those that joined, have no process any more.
/// What cannot be read names nobody: the writer was killed between the lock and the name, so it never started anything.
fn is_free(file: &File) -> bool {
    let mut text = String::new();
    if file.take(OWNERS_MAX).read_to_string(&mut text).is_err() {
        return true;
    }
    let lines: Vec<&str> = text.lines().collect();
    lines.chunks_exact(2).all(|owner| matches!(owner, [id, root] if is_dead(root, id)))
}

fn is_dead(root: &str, id: &str) -> bool {
    match Containers::open(Path::new(root)).find(id) {
        Err(ContainerError::NotFound(_)) => true,
        // What cannot be told is taken for life.
        Err(_) => false,
        Ok(container) => match container.status().map(|status| status.state) {
            Ok(State::Running | State::Prepared) | Err(_) => false,
            // Whoever makes it holds its lock, and the container has no process before it leaves this place.
            Ok(State::Embryo) => container.lock_is_held().is_ok_and(|held| !held),
            Ok(State::Exited | State::Killed | State::Unknown | State::Garbage) => true,
        },
    }
}

fn claim(mut file: File, start: u32, root: &Path, id: &str) -> std::io::Result<Range> {
    let owner = owner(root, id);
    file.rewind()?;
    file.write_all(owner.as_bytes())?;
    file.set_len(owner.len() as u64)?;
    Ok(Range { start, file })
}

/// Two lines: the container and the root that it is in.
fn owner(root: &Path, id: &str) -> String {
    format!("{id}\n{}\n", root.display())
}

/// A line of subuid(5): who, first id, how many.
type SubId = (String, u32, u32);

fn read_subids(path: &'static str) -> Result<Vec<SubId>, RangeError> {
    match small::read(Path::new(path), SUBIDS_MAX) {
        Ok(bytes) => Ok(parse_subids(&String::from_utf8_lossy(&bytes.unwrap_or_default()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(RangeError::Io { action: "read", path: PathBuf::from(path), source }),
    }
}

fn parse_subids(text: &str) -> Vec<SubId> {
    let line = |line: &str| {
        let mut fields = line.trim().split(':');
        let (owner, start, count) = (fields.next()?, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        (fields.next().is_none()).then(|| (owner.to_owned(), start, count))
    };
    text.lines().filter_map(line).collect()
}

/// The first ids of all ranges: those of `ctr`, else the built-in ones that no line of the files touches.
fn starts(uids: &[SubId], gids: &[SubId]) -> Result<Vec<u32>, RangeError> {
    let own = |lines: &[SubId]| -> Vec<SubId> { lines.iter().filter(|line| line.0 == RANGES_USER).cloned().collect() };
    let (own_uids, own_gids) = (own(uids), own(gids));
    if own_uids.is_empty() && own_gids.is_empty() {
        let touched = |start: u32| {
            uids.iter().chain(gids).any(|(_, other, count)| {
                u64::from(*other) < u64::from(start) + u64::from(RANGE_COUNT)
                    && u64::from(start) < u64::from(*other) + u64::from(*count)
            })
        };
        let all = (0..BUILT_IN_RANGES).map(|index| BUILT_IN_START + index * RANGE_COUNT);
        return Ok(all.filter(|start| !touched(*start)).collect());
    }
    let common = own_uids.iter().filter(|line| own_gids.contains(line));
    let starts: Vec<u32> = common
        .flat_map(|(_, start, count)| {
            (0..count / RANGE_COUNT).filter_map(|index| start.checked_add(index.checked_mul(RANGE_COUNT)?))
        })
        .filter(|start| *start > 0 && start.checked_add(RANGE_COUNT).is_some())
        .collect();
    if starts.is_empty() { Err(RangeError::NoCommonRange) } else { Ok(starts) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Vec<SubId> {
        parse_subids(text)
    }

    #[test]
    fn built_in_ranges_keep_away_from_those_of_users() {
        let free = starts(&[], &[]).unwrap();
        assert_eq!((free.len(), free[0]), (BUILT_IN_RANGES as usize, BUILT_IN_START));
        assert!(free.iter().all(|start| start.checked_add(RANGE_COUNT).is_some_and(|end| end <= 0x7fff_0000)));
        let (inside, across) = (BUILT_IN_START + 5, BUILT_IN_START + 3 * RANGE_COUNT - 1);
        let taken = starts(&ids(&format!("a:{inside}:1\n")), &ids(&format!("b:{across}:2\n"))).unwrap();
        assert_eq!(taken[..2], [BUILT_IN_START + RANGE_COUNT, BUILT_IN_START + 4 * RANGE_COUNT]);
    }

    #[test]
    fn lines_for_ctr_replace_them() {
        let both = ids("ctr:200000:131072\nctr:900000:65535\nalice:5:5\nctr:bad\n");
        assert_eq!(starts(&both, &both).unwrap(), [200_000, 265_536]);
        assert!(matches!(starts(&both, &[]), Err(RangeError::NoCommonRange)));
        assert!(matches!(starts(&both, &ids("ctr:200001:131072")), Err(RangeError::NoCommonRange)));
    }

    #[test]
    fn a_range_has_one_owner_until_its_file_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let take = |id: &str| take_below(&dir.path().join("ranges"), dir.path(), id).unwrap();
        let (first, second) = (take("0000000000"), take("0000000000"));
        assert_ne!(first.start, second.start);
        let start = first.start;
        drop(first);
        assert_eq!(take("0000000000").start, start);
    }
}
