//! Processes: clone3(2), execve(2), waitid(2), pidfds, signals. What the launcher's child calls allocates nothing.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use crate::Errno;
use crate::raw::{RawResult, call, owned, retry};

/// Namespaces as clone(2) flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Namespaces(u64);

impl Namespaces {
    /// Mount.
    pub const MOUNT: Self = Self(libc::CLONE_NEWNS as u64);
    /// Process ids.
    pub const PID: Self = Self(libc::CLONE_NEWPID as u64);
    /// System V IPC and POSIX message queues.
    pub const IPC: Self = Self(libc::CLONE_NEWIPC as u64);
    /// Host and domain name.
    pub const UTS: Self = Self(libc::CLONE_NEWUTS as u64);
    /// Network.
    pub const NET: Self = Self(libc::CLONE_NEWNET as u64);
    /// User and group ids, capabilities.
    pub const USER: Self = Self(libc::CLONE_NEWUSER as u64);
    /// Control group root.
    pub const CGROUP: Self = Self(libc::CLONE_NEWCGROUP as u64);
    /// Offsets of the boot and monotonic clocks.
    pub const TIME: Self = Self(libc::CLONE_NEWTIME as u64);
    /// None.
    pub const NONE: Self = Self(0);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is in it.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// All but `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// `CLONE_INTO_CGROUP`, which does not fit the type that libc gives the other flags.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which side of [`clone3`] returned.
#[derive(Debug)]
pub enum Cloned {
    /// The caller: pid of the child in the caller's namespace and a pidfd of it.
    Parent(i32, OwnedFd),
    /// The child.
    Child,
}

/// A child with its own copy of memory, in new `namespaces`, and in the control group `cgroup` (v2, Linux 5.7) if given.
///
/// The caller must have one thread: the child has only the calling one, and locks of the others would stay locked.
pub fn clone3(namespaces: Namespaces, cgroup: Option<BorrowedFd<'_>>) -> RawResult<Cloned> {
    clone_with(namespaces.0, libc::SIGCHLD, cgroup)
}

fn clone_with(flags: u64, exit_signal: libc::c_int, cgroup: Option<BorrowedFd<'_>>) -> RawResult<Cloned> {
    // In another container's mount namespace its procfs does not show this process: nothing can be told there.
    debug_assert!(thread_count().is_none_or(|count| count == 1), "clone3 needs a single-threaded process");
    let mut pidfd: libc::c_int = -1;
    // SAFETY: clone_args is plain integers, all zeroes is valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags | libc::CLONE_PIDFD as u64;
    args.pidfd = ptr::from_mut(&mut pidfd) as u64;
    args.exit_signal = exit_signal as u64;
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    match call!(libc::SYS_clone3, ptr::from_mut(&mut args), size_of::<libc::clone_args>())? {
        0 => Ok(Cloned::Child),
        pid => Ok(Cloned::Parent(pid as i32, owned(pidfd.into()))),
    }
}

/// [`clone3`] from within other namespaces, which the caller itself does not join: it keeps the privileges that it has
/// where it is. They are joined in order, a user namespace last; the new `namespaces` belong to that.
///
/// ```text
///   caller            helper                                   child
///   fork -----------> setns(each)
///   reads             clone3(CLONE_PARENT, namespaces) ------> (a child of the caller)
///   pid  <----------- writes its pid, or -errno, and ends
///   pidfd_open; reaps the helper
/// ```
pub fn clone3_in(
    joined: &[(OwnedFd, Namespaces)],
    namespaces: Namespaces,
    cgroup: Option<BorrowedFd<'_>>,
) -> RawResult<Cloned> {
    let (answer, helper_answer) = crate::files::pipe()?;
    let Some(helper) = fork()? else {
        drop(answer);
        // With CLONE_PARENT the child gets the exit signal of the helper (clone(2)).
        let made = joined
            .iter()
            .try_for_each(|(namespace, kind)| enter_namespace(namespace.as_fd(), *kind))
            .and_then(|()| clone_with(namespaces.0 | libc::CLONE_PARENT as u64, 0, cgroup));
        let word = match made {
            Ok(Cloned::Child) => return Ok(Cloned::Child),
            Ok(Cloned::Parent(pid, _)) => pid,
            Err(errno) => -(errno as i32),
        };
        let _ = crate::files::write(helper_answer.as_fd(), &word.to_ne_bytes());
        exit_now(0)
    };
    drop(helper_answer);
    let mut word = [0; 4];
    let read = crate::files::read(answer.as_fd(), &mut word);
    // An unreaped child's pid is nobody else's.
    let child = match (read, i32::from_ne_bytes(word)) {
        (Ok(4), pid) if pid > 0 => pidfd_open(pid).map(|pidfd| Cloned::Parent(pid, pidfd)),
        (Ok(4), errno) => Err(Errno::from_raw(-errno)),
        _ => Err(Errno::ESRCH),
    };
    wait(WaitFor::Pid(helper), true)?;
    child
}

/// Joins the namespace that `namespace` is open on, which must be of this kind (setns(2)).
pub fn enter_namespace(namespace: BorrowedFd<'_>, kind: Namespaces) -> RawResult<()> {
    call!(libc::SYS_setns, namespace.as_raw_fd(), kind.0 as libc::c_int).map(drop)
}

/// Which kind of namespace a file is of (ioctl_nsfs(2), `NS_GET_NSTYPE`). ENOTTY: it is of none.
pub fn namespace_kind(file: impl AsFd) -> RawResult<Namespaces> {
    const NS_GET_NSTYPE: libc::c_ulong = 0xb703;
    let kind = call!(libc::SYS_ioctl, file.as_fd().as_raw_fd(), NS_GET_NSTYPE, 0)?;
    Ok(Namespaces(kind as u64))
}

/// Whether the mount namespace that this process is in belongs to the user namespace that it is in, or to one below it. The
/// kernel tells nobody of an owner further up (ioctl_nsfs(2), `NS_GET_USERNS`, EPERM).
pub fn owns_mount_namespace() -> bool {
    const NS_GET_USERNS: libc::c_ulong = 0xb701;
    std::fs::File::open("/proc/self/ns/mnt").is_ok_and(|own| {
        let owner = call!(libc::SYS_ioctl, own.as_raw_fd(), NS_GET_USERNS, 0);
        owner.map(crate::raw::owned).is_ok()
    })
}

fn thread_count() -> Option<usize> {
    std::fs::read_dir("/proc/self/task").ok().map(Iterator::count)
}

/// A plain child; `None` in the child.
pub fn fork() -> RawResult<Option<i32>> {
    // A clone without CLONE_VM and without a stack of its own copies the caller as fork(2) does.
    let pid = call!(libc::SYS_clone, libc::SIGCHLD as libc::c_ulong, 0, 0, 0, 0)?;
    Ok((pid != 0).then_some(pid as i32))
}

/// The first argument of clone(2) in [`fork_sibling`]; the others are 0.
pub const FORK_SIBLING: u64 = (libc::CLONE_PARENT | libc::SIGCHLD) as u64;

/// A child of the caller's own parent (`CLONE_PARENT`), otherwise as [`fork`]; `None` in the child.
pub fn fork_sibling() -> RawResult<Option<i32>> {
    let pid = call!(libc::SYS_clone, FORK_SIBLING, 0, 0, 0, 0)?;
    Ok((pid != 0).then_some(pid as i32))
}

/// Joins namespaces (setns(2)): those `kinds` of the process behind a pidfd (Linux 5.8), or the one behind a descriptor of
/// `/proc/PID/ns`. A pid namespace is joined by later children only.
pub fn join_namespaces(fd: BorrowedFd<'_>, kinds: Namespaces) -> RawResult<()> {
    call!(libc::SYS_setns, fd.as_raw_fd(), kinds.0 as libc::c_int).map(drop)
}

/// Moves the caller to new namespaces (unshare(2)).
pub fn unshare(namespaces: Namespaces) -> RawResult<()> {
    call!(libc::SYS_unshare, namespaces.0 as libc::c_int).map(drop)
}

/// Ends this process at once, without running anything.
pub fn exit_now(code: u8) -> ! {
    let _ = call!(libc::SYS_exit_group, libc::c_int::from(code));
    let _ = call!(libc::SYS_exit, libc::c_int::from(code));
    // A filter that lets a process do nothing does not make it live.
    std::process::abort()
}

/// The kernel's version: 6.1 is `(6, 1)` (uname(2)).
pub fn kernel_version() -> (u32, u32) {
    // SAFETY: utsname is plain data, all zeroes is valid.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    if call!(libc::SYS_uname, std::ptr::from_mut(&mut name)).is_err() {
        return (0, 0);
    }
    let mut numbers = name.release.split(|c| !(*c as u8).is_ascii_digit()).map(|digits| {
        digits.iter().fold(0u32, |number, digit| number.saturating_mul(10).saturating_add((*digit as u8 - b'0').into()))
    });
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}

/// The arguments of [`exec`]: owned strings and the null-terminated pointer array over them.
#[derive(Debug)]
pub struct CStringArray {
    strings: Vec<std::ffi::CString>,
    pointers: Vec<*const libc::c_char>,
}

impl CStringArray {
    /// Builds the array.
    pub fn new(strings: Vec<std::ffi::CString>) -> Self {
        let pointers = strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect();
        Self { strings, pointers }
    }

    /// The strings.
    pub fn strings(&self) -> &[std::ffi::CString] {
        &self.strings
    }
}

/// Replaces the program (execve(2)); returns only the reason why it could not.
pub fn exec(path: &CStr, arguments: &CStringArray, environment: &CStringArray) -> Errno {
    let (argv, envp) = (arguments.pointers.as_ptr(), environment.pointers.as_ptr());
    match call!(libc::SYS_execve, path.as_ptr(), argv, envp) {
        Ok(_) => Errno::UnknownErrno,
        Err(errno) => errno,
    }
}

/// [`exec`] of an open file (execveat(2), `AT_EMPTY_PATH`).
pub fn exec_file(file: BorrowedFd<'_>, arguments: &CStringArray, environment: &CStringArray) -> Errno {
    let (argv, envp) = (arguments.pointers.as_ptr(), environment.pointers.as_ptr());
    match call!(libc::SYS_execveat, file.as_raw_fd(), c"".as_ptr(), argv, envp, libc::AT_EMPTY_PATH) {
        Ok(_) => Errno::UnknownErrno,
        Err(errno) => errno,
    }
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With this exit code.
    Code(u8),
    /// By this signal.
    Signal(u8),
}

/// Whom to wait for.
#[derive(Debug, Clone, Copy)]
pub enum WaitFor<'a> {
    /// Any child.
    Any,
    /// The child behind a pidfd.
    PidFd(BorrowedFd<'a>),
    /// The child with this process id.
    Pid(i32),
}

/// Reaps a child that has ended (waitid(2)); with `block` it waits for one, else `None` means that none has.
pub fn wait(whom: WaitFor<'_>, block: bool) -> RawResult<Option<(i32, Ended)>> {
    // SAFETY: siginfo_t is plain data, all zeroes is valid, and si_pid 0 means that nothing was reaped.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let (kind, id) = match whom {
        WaitFor::Any => (libc::P_ALL, 0),
        WaitFor::PidFd(fd) => (libc::P_PIDFD, fd.as_raw_fd()),
        WaitFor::Pid(pid) => (libc::P_PID, pid),
    };
    let options = libc::WEXITED | if block { 0 } else { libc::WNOHANG };
    retry(|| call!(libc::SYS_waitid, kind, id, ptr::from_mut(&mut info), options, ptr::null::<u8>()))?;
    // SAFETY: waitid filled the fields of SIGCHLD, or left the zeroes.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    let ended = if info.si_code == libc::CLD_EXITED { Ended::Code(status as u8) } else { Ended::Signal(status as u8) };
    Ok(Some((pid, ended)))
}

/// A pidfd of a process (pidfd_open(2), Linux 5.3). Readable once the process has ended.
pub fn pidfd_open(pid: i32) -> RawResult<OwnedFd> {
    call!(libc::SYS_pidfd_open, pid, 0).map(owned)
}

/// Signals the process behind a pidfd (pidfd_send_signal(2)); 0 only asks whether it is there.
pub fn pidfd_signal(pidfd: BorrowedFd<'_>, signal: i32) -> RawResult<()> {
    call!(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, ptr::null::<u8>(), 0).map(drop)
}

/// kill(2). `pid` -1 is every process but the caller and PID 1 of the caller's namespace.
pub fn kill(pid: i32, signal: i32) -> RawResult<()> {
    call!(libc::SYS_kill, pid, signal).map(drop)
}

/// The caller's process id.
pub fn own_pid() -> i32 {
    std::process::id() as i32
}

/// The id of the process that made this one, or of the one that took it over.
pub fn parent_pid() -> i32 {
    std::os::unix::process::parent_id().cast_signed()
}

/// Orphans among the descendants of this process become its children (`PR_SET_CHILD_SUBREAPER`).
pub fn become_subreaper() -> RawResult<()> {
    call!(libc::SYS_prctl, libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0).map(drop)
}

/// The thread that made this process takes it with it when it ends (`PR_SET_PDEATHSIG`, SIGKILL). Lost again with a change of
/// ids or capabilities, and by an exec that gains some.
pub fn die_with_parent() -> RawResult<()> {
    call!(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0).map(drop)
}

/// Starts a new session (setsid(2)).
pub fn setsid() -> RawResult<()> {
    call!(libc::SYS_setsid).map(drop)
}

/// Sets the host name of the caller's UTS namespace.
pub fn sethostname(name: &CStr) -> RawResult<()> {
    call!(libc::SYS_sethostname, name.as_ptr(), name.count_bytes()).map(drop)
}

/// Sets the NIS domain name of the caller's UTS namespace.
pub fn setdomainname(name: &CStr) -> RawResult<()> {
    call!(libc::SYS_setdomainname, name.as_ptr(), name.count_bytes()).map(drop)
}

/// Names this thread, as `ps` shows it (`PR_SET_NAME`).
pub fn set_name(name: &CStr) {
    let _ = call!(libc::SYS_prctl, libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0);
}

/// Sets the file mode creation mask; returns the one before.
#[expect(clippy::must_use_candidate, reason = "mostly set for good")]
pub fn umask(mask: u32) -> u32 {
    call!(libc::SYS_umask, mask).map_or(0o022, |before| before as u32)
}
