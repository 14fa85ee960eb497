//! The user namespace in which an ordinary user's store lives (user_namespaces(7), newuidmap(1), subuid(5)).
//!
//! ```text
//!   this process                              helper (stays outside)
//!   fork --------------------------------->   waits for a byte
//!   unshare(CLONE_NEWUSER)
//!   one byte ------------------------------>  newuidmap PID 0 UID 1  1 START COUNT ...
//!                                             newgidmap PID 0 GID 1  1 START COUNT ...
//!   reads what went wrong, until EOF  <-----  exits
//! ```
//!
//! Inside, this process is root over the user's own id and the subordinate ranges, and over nothing else: files of a
//! layer can be given to any user of the image, and what lies on disk belongs to the user and to those ranges.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, User, fork, getegid, geteuid, getpid, pipe2};

use crate::{Errno, Result, SysError};

/// The kernel takes 340 lines of a map; one is ours.
const MAX_RANGES: usize = 339;

/// Where newuidmap and newgidmap are installed. They are set-user-ID programs: not searched on `$PATH`.
const MAP_PROGRAM_DIRS: [&str; 4] = ["/usr/bin", "/bin", "/usr/local/bin", "/run/wrappers/bin"];

/// Whose ids the files of the store can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageMap {
    /// Real root in the first user namespace: all ids; nothing was entered.
    Host,
    /// This process was root in some user namespace before; nothing was entered.
    Inherited {
        /// How many user ids are mapped there.
        ids: u64,
    },
    /// An ordinary user with subordinate ranges, now root over them.
    Ranges {
        /// How many user ids are mapped.
        ids: u64,
    },
    /// An ordinary user, now root over the own id alone.
    Single {
        /// Why there are no more, for the user to read.
        reason: String,
    },
}

impl StorageMap {
    /// Whether files cannot be given to other owners, so that owners are to be recorded beside them.
    pub fn single_id(&self) -> bool {
        matches!(self, Self::Single { .. } | Self::Inherited { ids: 0 | 1 })
    }
}

/// Some ids: the first and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    start: u32,
    count: u32,
}

/// Makes this process root over the ids that its store can use, if it is not root yet.
///
/// To be called before any thread starts (the kernel refuses otherwise, EINVAL), and after everything was looked up
/// that depends on who the user is: afterwards `geteuid()` is 0.
///
/// # Errors
/// `unshare` with EPERM where the host forbids user namespaces to ordinary users, with ENOSPC where their number is 0.
pub fn enter_storage_map() -> Result<StorageMap> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    if uid == 0 {
        return current_map();
    }
    match subordinate_ranges(uid) {
        Ok((uids, gids)) => match enter_ranges(uid, gid, &uids, &gids)? {
            None => Ok(StorageMap::Ranges { ids: 1 + uids.iter().map(|r| u64::from(r.count)).sum::<u64>() }),
            // The namespace is entered and has no map yet: its own id can still be mapped, without any program.
            Some(reason) => write_single_map(uid, gid).map(|()| StorageMap::Single { reason }),
        },
        Err(reason) => {
            enter()?;
            write_single_map(uid, gid)?;
            Ok(StorageMap::Single { reason })
        }
    }
}

/// What the user can do when [`enter_storage_map`] failed.
pub fn hint(error: &SysError) -> &'static str {
    match error.errno {
        Errno::EPERM | Errno::ENOSPC | Errno::EUSERS => {
            "this host does not let ordinary users make user namespaces: run as root, or allow them (sysctl \
             kernel.unprivileged_userns_clone, user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns)"
        }
        _ => "run as root",
    }
}

/// The map of this process as it is.
fn current_map() -> Result<StorageMap> {
    const PATH: &str = "/proc/self/uid_map";
    let text = fs::read_to_string(PATH).map_err(|e| SysError::from_io("read", PATH, &e))?;
    let ids = text.lines().filter_map(|line| line.split_ascii_whitespace().nth(2)?.parse::<u64>().ok()).sum();
    let whole = text.split_ascii_whitespace().eq(["0", "0", "4294967295"]);
    Ok(if whole { StorageMap::Host } else { StorageMap::Inherited { ids } })
}

fn enter() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|errno| SysError::new("unshare", "CLONE_NEWUSER", errno))
}

/// The ranges that `/etc/subuid` and `/etc/subgid` give to the user, or why there are none.
fn subordinate_ranges(uid: u32) -> std::result::Result<(Vec<Range>, Vec<Range>), String> {
    let name = User::from_uid(uid.into()).ok().flatten().map(|user| user.name);
    let read = |file: &str| {
        let ranges = fs::read_to_string(file).map(|text| parse_ranges(&text, name.as_deref(), uid)).unwrap_or_default();
        if ranges.is_empty() {
            return Err(format!("{file} gives no ids to {}", name.as_deref().unwrap_or(&uid.to_string())));
        }
        Ok(ranges)
    };
    let ranges = (read("/etc/subuid")?, read("/etc/subgid")?);
    for program in ["newuidmap", "newgidmap"] {
        if find_program(program).is_none() {
            return Err(format!("{program} is not installed (Debian package uidmap)"));
        }
    }
    Ok(ranges)
}

fn find_program(name: &str) -> Option<PathBuf> {
    MAP_PROGRAM_DIRS.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.is_file())
}

/// The lines `NAME-OR-UID:START:COUNT` of this user (subuid(5)). Lines that are no such thing are not ours to judge.
fn parse_ranges(text: &str, name: Option<&str>, uid: u32) -> Vec<Range> {
    let uid = uid.to_string();
    let line = |line: &str| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?;
        let range = Range { start: fields.next()?.parse().ok()?, count: fields.next()?.parse().ok()? };
        let mine = owner == uid || Some(owner) == name;
        let valid = range.count > 0 && range.start > 0 && range.start.checked_add(range.count).is_some();
        (mine && valid && fields.next().is_none()).then_some(range)
    };
    text.lines().filter_map(line).take(MAX_RANGES).collect()
}

/// Arguments of newuidmap after the process id: 0 is the own id, and from 1 on come the ranges.
fn map_arguments(own: u32, ranges: &[Range]) -> Vec<String> {
    let mut arguments = vec!["0".to_owned(), own.to_string(), "1".to_owned()];
    let mut inside: u32 = 1;
    for range in ranges {
        // What would run over the last id is left out.
        let count = range.count.min(u32::MAX - 1 - inside);
        if count > 0 {
            arguments.extend([inside.to_string(), range.start.to_string(), count.to_string()]);
            inside += count;
        }
    }
    arguments
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    pipe2(OFlag::O_CLOEXEC).map_err(|errno| SysError::new("pipe2", "O_CLOEXEC", errno))
}

/// Enters a namespace and lets a helper map it; `Some` is why the helper could not.
fn enter_ranges(uid: u32, gid: u32, uids: &[Range], gids: &[Range]) -> Result<Option<String>> {
    let (go_read, go_write) = pipe()?;
    let (result_read, result_write) = pipe()?;
    let pid = getpid();
    // SAFETY: this process has one thread (unshare(CLONE_NEWUSER) below refuses more), so the child may allocate and
    // start programs as any process may.
    match unsafe { fork() }.map_err(|errno| SysError::new("fork", "", errno))? {
        ForkResult::Child => {
            drop((go_write, result_read));
            let failed = helper(go_read, pid, &map_arguments(uid, uids), &map_arguments(gid, gids));
            // Nobody reads if the parent is gone.
            let _ = fs::File::from(result_write).write_all(failed.as_bytes());
            // SAFETY: _exit has no preconditions; exit handlers and destructors belong to the parent.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            drop((go_read, result_write));
            let entered = enter();
            if entered.is_ok() {
                let _ = fs::File::from(go_write).write_all(b"g");
            } else {
                // End of file without the byte: the helper ends without doing anything.
                drop(go_write);
            }
            let mut failed = String::new();
            let read = fs::File::from(result_read).take(4096).read_to_string(&mut failed);
            while waitpid(child, None) == Err(Errno::EINTR) {}
            entered?;
            read.map_err(|e| SysError::from_io("read", "the id map helper's pipe", &e))?;
            let failed = failed.trim();
            Ok((!failed.is_empty()).then(|| failed.to_owned()))
        }
    }
}

/// Outside: waits until the parent is in its namespace, then maps it. Returns what went wrong, or nothing.
fn helper(go: OwnedFd, parent: Pid, uids: &[String], gids: &[String]) -> String {
    let mut byte = [0u8; 1];
    if !matches!(fs::File::from(go).read(&mut byte), Ok(1)) {
        return String::new();
    }
    for (program, arguments) in [("newgidmap", gids), ("newuidmap", uids)] {
        if let Err(reason) = run_map_program(program, parent, arguments) {
            return reason;
        }
    }
    String::new()
}

fn run_map_program(program: &str, parent: Pid, arguments: &[String]) -> std::result::Result<(), String> {
    let path = find_program(program).ok_or_else(|| format!("{program} is not installed"))?;
    let output = Command::new(path)
        .arg(parent.to_string())
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program} could not be started: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(if said.is_empty() { format!("{program} failed ({})", output.status) } else { said })
}

/// Maps 0 to the own id; needs no privilege once the right to change groups is given up (user_namespaces(7)). Where
/// newgidmap has written the map of groups before newuidmap failed, that map stays: it can be written once only.
fn write_single_map(uid: u32, gid: u32) -> Result<()> {
    let has_groups = fs::read_to_string("/proc/self/gid_map").is_ok_and(|map| !map.trim().is_empty());
    let groups = [("setgroups", "deny".to_owned()), ("gid_map", format!("0 {gid} 1\n"))];
    let groups = groups.into_iter().filter(|_| !has_groups);
    for (file, text) in groups.chain([("uid_map", format!("0 {uid} 1\n"))]) {
        let path = format!("/proc/self/{file}");
        let written = fs::OpenOptions::new().write(true).open(&path).and_then(|mut f| f.write_all(text.as_bytes()));
        written.map_err(|error: io::Error| SysError::from_io("write", path, &error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_the_user_are_found() {
        let text = "# comment\nalice:100000:65536\nbob:165536:65536\n1000:300000:10\nalice:4294967295:2\nalice:5:0\n\
                    alice:x:1\nalice:1:2:3\nalicex:7:7\n";
        let found = parse_ranges(text, Some("alice"), 1000);
        assert_eq!(found, [Range { start: 100_000, count: 65_536 }, Range { start: 300_000, count: 10 }]);
        assert_eq!(parse_ranges(text, None, 77), []);
    }

    #[test]
    fn ranges_follow_each_other_inside() {
        let ranges = [Range { start: 100_000, count: 65_536 }, Range { start: 300_000, count: 10 }];
        let text = map_arguments(1000, &ranges).join(" ");
        assert_eq!(text, "0 1000 1 1 100000 65536 65537 300000 10");
        let huge = [Range { start: 1, count: u32::MAX - 1 }, Range { start: 5, count: 100 }];
        assert_eq!(map_arguments(0, &huge).len(), 6, "what does not fit is left out");
    }

    #[test]
    fn one_id_is_told_from_many() {
        assert!(StorageMap::Single { reason: String::new() }.single_id());
        assert!(StorageMap::Inherited { ids: 1 }.single_id());
        assert!(!StorageMap::Inherited { ids: 65_536 }.single_id());
        assert!(!StorageMap::Host.single_id());
    }
}
