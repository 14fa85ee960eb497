//! A user namespace that exists before anybody is in it, so that mounts can be idmapped and files be given to its ids
//! while everything is still being prepared.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::process::{self, Cloned, Namespaces, WaitFor};
use crate::{Errno, Result, SysError, files, small};

/// What a map file may hold: the kernel takes one page (user_namespaces(7), "Defining user and group ID mappings").
const MAP_MAX: usize = 4096;

/// A user namespace with these maps, each a text for `/proc/PID/uid_map` and `gid_map`, and no process in it.
///
/// A child is born in it, waits until its maps are written and the namespace is open, and ends. It ends too when this
/// process is killed meanwhile: it waits on a pipe that nobody else holds.
///
/// # Errors
/// `write` with EPERM if the caller lacks CAP_SETUID or CAP_SETGID over the ids, EINVAL if the maps overlap or are empty.
pub fn create(uid_map: &str, gid_map: &str) -> Result<OwnedFd> {
    let failed = |call, what: &'static str| move |errno| SysError::new(call, what, errno);
    let (waits, held) = files::pipe().map_err(failed("pipe2", "O_CLOEXEC"))?;
    let (pid, pidfd) = match process::clone3(Namespaces::USER, None).map_err(failed("clone3", "CLONE_NEWUSER"))? {
        Cloned::Child => {
            drop(held);
            let _ = files::read(waits.as_fd(), &mut [0]);
            process::exit_now(0)
        }
        Cloned::Parent(pid, pidfd) => (pid, pidfd),
    };
    let made = write_map(pid, "uid_map", uid_map).and_then(|()| write_map(pid, "gid_map", gid_map)).and_then(|()| {
        let path = format!("/proc/{pid}/ns/user");
        File::open(&path).map(OwnedFd::from).map_err(|error| SysError::from_io("open", path, &error))
    });
    drop(held);
    process::wait(WaitFor::PidFd(pidfd.as_fd()), true).map_err(failed("waitid", "the namespace's first process"))?;
    made
}

fn write_map(pid: i32, file: &str, text: &str) -> Result<()> {
    let path = format!("/proc/{pid}/{file}");
    small::write_existing(path.as_ref(), text.as_bytes())
        .map_err(|error| SysError::from_io("write", format!("{path}: {}", text.trim_end().replace('\n', ", ")), &error))
}

/// The maps of a user namespace below the caller's, as `/proc/PID/uid_map` and `gid_map` show them to the caller's.
///
/// A child joins it and waits while the caller reads.
pub fn maps_of(userns: BorrowedFd<'_>) -> Result<(String, String)> {
    let failed = |call, what: &'static str| move |errno| SysError::new(call, what, errno);
    let (waits, held) = files::pipe().map_err(failed("pipe2", "O_CLOEXEC"))?;
    let (ready, tells) = files::pipe().map_err(failed("pipe2", "O_CLOEXEC"))?;
    let Some(pid) = process::fork().map_err(failed("fork", ""))? else {
        drop((held, ready));
        let joined = process::join_namespaces(userns, Namespaces::USER);
        let answer = joined.map_or_else(|errno| errno as i32, |()| 0);
        let _ = files::write(tells.as_fd(), &answer.to_ne_bytes());
        let _ = files::read(waits.as_fd(), &mut [0]);
        process::exit_now(0)
    };
    drop(tells);
    let mut answer = [0; 4];
    let heard = files::read(ready.as_fd(), &mut answer);
    let maps = match (heard, i32::from_ne_bytes(answer)) {
        (Ok(4), 0) => read_maps(&pid.to_string()),
        (Ok(4), errno) => Err(SysError::new("setns", "CLONE_NEWUSER", Errno::from_raw(errno))),
        _ => Err(SysError::new("read", "the namespace's process", Errno::ESRCH)),
    };
    drop(held);
    process::wait(WaitFor::Pid(pid), true).map_err(failed("waitid", "the namespace's process"))?;
    maps
}

/// `/proc/self/uid_map` and `gid_map` as the kernel prints them.
pub fn current_maps() -> Result<(String, String)> {
    read_maps("self")
}

fn read_maps(process: &str) -> Result<(String, String)> {
    let read = |file: &str| {
        let path = format!("/proc/{process}/{file}");
        let bytes = small::read(path.as_ref(), MAP_MAX).map_err(|error| SysError::from_io("read", &path, &error))?;
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        text.ok_or_else(|| SysError::new("read", path, Errno::EFBIG))
    };
    Ok((read("uid_map")?, read("gid_map")?))
}
