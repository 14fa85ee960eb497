//! The program's standard streams and init's side of them: a terminal, pipes, files, and the way in for who attaches.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use ctr_core::container::{ContainerError, LogMode};
use ctr_sys::mount::{self, MountAttr};
use ctr_sys::{RawResult, files as sys_files, socket, tty};

use super::{c_string, files, userns};
use crate::error::SandboxError;
use crate::init::{Attach, Source};
use crate::plan::Plan;
use crate::script::{Stream, Streams};
use crate::terminal::{self, Terminal, WindowSize};
use crate::user::Identity;

/// Pseudo terminals that a container can have at most (spec/limits.md): the kernel has 3072 for all.
pub(super) const TERMINALS_MAX: &str = "1024";

/// The group of terminals in a container, as every distribution has it.
pub(super) const TTY_GROUP: u32 = 5;

/// What [`prepare`] makes.
pub(super) struct PreparedStreams {
    /// For the program.
    pub(super) program: Streams,
    /// For init.
    pub(super) source: Source,
    pub(super) log: Option<[OwnedFd; 2]>,
    pub(super) attach: Option<Attach>,
    /// The devpts instance that the terminal belongs to.
    pub(super) devpts: Option<OwnedFd>,
    /// For the caller who stays.
    pub(super) attached: Option<Attached>,
}

/// The caller's side of a terminal.
#[derive(Debug)]
pub(crate) struct Attached {
    /// Both ends: with the slave open, the program may close it and open it again.
    pub(crate) terminal: Rc<Terminal>,
    /// The connection to init: closed, it makes init read the terminal. None without init.
    pub(crate) connection: Option<OwnedFd>,
}

fn failed(action: &'static str, call: &'static str) -> impl Fn(ctr_sys::Errno) -> SandboxError {
    move |errno| SandboxError::host(action, call, "", errno)
}

/// Makes the streams of `plan`; `container` is the container's directory.
pub(super) fn prepare(plan: &Plan, container: &Path, identity: &Identity) -> Result<PreparedStreams, SandboxError> {
    let log = match plan.log {
        LogMode::File => Some([files::append(container, "log")?, files::append(container, "log.1")?]),
        LogMode::Inherit | LogMode::None => None,
    };
    if plan.streams.tty {
        return with_terminal(plan, container, identity, log);
    }
    let (stdin, input) = stdin(plan, log.is_some())?;
    let (stdout, stderr, source) = match plan.log {
        LogMode::Inherit => (Stream::Inherit, Stream::Inherit, Source::None),
        LogMode::None => (Stream::Null, Stream::Null, Source::None),
        LogMode::File => {
            let ((stdout, out), (stderr, err)) = (pipe()?, pipe()?);
            (Stream::Pipe(out), Stream::Pipe(err), Source::Pipes { stdout, stderr })
        }
    };
    let streams = [stdin, stdout, stderr];
    own_streams(&streams, plan, identity)?;
    let attach = match input {
        Some(input) => Some(Attach { listener: listen(container)?, input: Some(input), first: None }),
        None => None,
    };
    Ok(PreparedStreams { program: Streams::Each(streams), source, log, attach, devpts: None, attached: None })
}

fn pipe() -> Result<(OwnedFd, OwnedFd), SandboxError> {
    sys_files::pipe().map_err(failed("make a pipe", "pipe2"))
}

/// Standard input without a terminal, and what init keeps to hand out of it.
fn stdin(plan: &Plan, has_log: bool) -> Result<(Stream, Option<OwnedFd>), SandboxError> {
    let streams = plan.streams;
    if streams.can_be_attached(plan.init) {
        let (read, write) = pipe()?;
        // Whoever attaches must not hang on a program that does not read.
        sys_files::set_nonblocking(write.as_fd()).map_err(failed("make a pipe", "fcntl"))?;
        return Ok((Stream::Pipe(read), Some(write)));
    }
    let inherits = streams.stdin || (plan.log == LogMode::Inherit && !has_log);
    Ok((if inherits { Stream::Inherit } else { Stream::Null }, None))
}

fn with_terminal(
    plan: &Plan,
    container: &Path,
    identity: &Identity,
    log: Option<[OwnedFd; 2]>,
) -> Result<PreparedStreams, SandboxError> {
    let devpts = devpts(plan.userns.outside_gid(TTY_GROUP))
        .map_err(failed("make the container's terminals", "fsmount devpts"))?;
    let terminal = Terminal::open(devpts.as_fd()).map_err(failed("make a terminal", "ioctl TIOCGPTPEER"))?;
    let (uid, _) = userns::outside(&plan.userns, identity.uid, identity.gid);
    terminal.give_to(uid).map_err(failed("give the program its terminal", "fchown"))?;
    let size = terminal::own_size().unwrap_or(WindowSize::DEFAULT);
    tty::set_window_size(terminal.master.as_fd(), size).map_err(failed("size the terminal", "ioctl TIOCSWINSZ"))?;
    let terminal = Rc::new(terminal);
    let (first, connection) = if plan.streams.attached && plan.init {
        let (first, connection) = socket::pair().map_err(failed("make a connection to init", "socketpair"))?;
        (Some(first), Some(connection))
    } else {
        (None, None)
    };
    let (source, attach) = if plan.init {
        let attach = Attach { listener: listen(container)?, input: None, first };
        (Source::Terminal(Rc::clone(&terminal)), Some(attach))
    } else {
        (Source::None, None)
    };
    let attached = plan.streams.attached.then(|| Attached { terminal: Rc::clone(&terminal), connection });
    Ok(PreparedStreams { program: Streams::Terminal(terminal), source, log, attach, devpts: Some(devpts), attached })
}

/// A devpts instance of the container's own, attached nowhere yet.
fn devpts(tty_group: Option<u32>) -> RawResult<OwnedFd> {
    let fs = mount::fsopen(c"devpts")?;
    mount::fsconfig_flag(fs.as_fd(), c"newinstance")?;
    mount::fsconfig_string(fs.as_fd(), c"ptmxmode", c"0666")?;
    mount::fsconfig_string(fs.as_fd(), c"mode", c"0620")?;
    if let Some(group) = tty_group.and_then(|group| c_string(&group.to_string()).ok()) {
        mount::fsconfig_string(fs.as_fd(), c"gid", &group)?;
    }
    if let Ok(most) = c_string(TERMINALS_MAX) {
        mount::fsconfig_string(fs.as_fd(), c"max", &most)?;
    }
    mount::fsconfig_create(fs.as_fd())?;
    mount::fsmount(fs.as_fd(), MountAttr::NOSUID.and(MountAttr::NOEXEC))
}

/// The socket in the container's directory, which nobody but its owner can reach; its own mode says the same.
fn listen(container: &Path) -> Result<OwnedFd, SandboxError> {
    let dir = File::open(container).map_err(|source| ContainerError::Io {
        action: "open",
        path: container.to_owned(),
        source,
    })?;
    let name = terminal::attach::SOCKET;
    let listener = socket::listen(dir.as_fd(), name).map_err(failed("make the socket to attach by", "bind"))?;
    let path = container.join(name);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&path, mode).map_err(|source| ContainerError::Io {
        action: "set the mode of",
        path,
        source,
    })?;
    Ok(listener)
}

/// The program owns its pipes, so that it can open `/dev/stdout` again (LIFE-53).
fn own_streams(streams: &[Stream], plan: &Plan, identity: &Identity) -> Result<(), SandboxError> {
    let (uid, gid) = userns::outside(&plan.userns, identity.uid, identity.gid);
    for stream in streams {
        if let Stream::Pipe(pipe) = stream
            && uid != 0
        {
            sys_files::change_owner(pipe.as_fd(), uid, gid)
                .map_err(|errno| SandboxError::host("give the program its pipes", "fchown", uid.to_string(), errno))?;
        }
    }
    Ok(())
}
