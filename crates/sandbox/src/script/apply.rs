//! The interpreter. It runs in the child, between clone and exec: raw system calls only, no allocation, no formatting, no
//! locks, no panics.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ctr_sys::files::{self, OpenAs};
use ctr_sys::mount::{self, MountAttr, Propagation};
use ctr_sys::privilege::{self, CapSet};
use ctr_sys::process::{self, CStringArray, Namespaces};
use ctr_sys::{Errno, RawResult, schedule, signal, tty};

use super::{Base, StartFiles, Step, Stream, Streams, Target};

/// Where the error pipe is while a program's steps run: the first number after the standard streams.
const REPORT: i32 = 3;

/// The mounts that the child has made and that later steps are relative to.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    root: BorrowedFd<'a>,
    proc: Option<OwnedFd>,
    sys: Option<OwnedFd>,
    dev: Option<OwnedFd>,
    secrets: Option<OwnedFd>,
    /// An empty, read-only directory to hide others under.
    empty: Option<OwnedFd>,
    /// The listening socket of the start and the document of its hooks, when all else is closed.
    start: Option<(BorrowedFd<'static>, Option<BorrowedFd<'static>>)>,
}

impl<'a> Stage<'a> {
    /// With a root filesystem that is still detached.
    pub(crate) fn new(root: BorrowedFd<'a>) -> Self {
        Self { root, proc: None, sys: None, dev: None, secrets: None, empty: None, start: None }
    }

    /// Makes this process the parent of its descendants' orphans, as PID 1 is in a namespace of its own; the file lists its
    /// children (proc(5), `/proc/PID/task/TID/children`).
    pub(crate) fn adopt(&self) -> RawResult<OwnedFd> {
        process::become_subreaper()?;
        files::open_read_only(self.base(Base::Proc)?, c"thread-self/children")
    }

    /// Takes a procfs that is there already for [`Base::Proc`].
    pub(crate) fn keep_proc(&mut self, proc: BorrowedFd<'_>) -> RawResult<()> {
        self.proc = Some(files::duplicate(proc)?);
        Ok(())
    }

    fn base(&self, base: Base) -> RawResult<BorrowedFd<'_>> {
        let slot = match base {
            Base::Root => return Ok(self.root),
            Base::Proc => &self.proc,
            Base::Sys => &self.sys,
            Base::Dev => &self.dev,
            Base::Secrets => &self.secrets,
        };
        slot.as_ref().map(AsFd::as_fd).ok_or(Errno::EBADF)
    }

    fn keep(&mut self, base: Base, mount: OwnedFd) {
        let slot = match base {
            Base::Root => return,
            Base::Proc => &mut self.proc,
            Base::Sys => &mut self.sys,
            Base::Dev => &mut self.dev,
            Base::Secrets => &mut self.secrets,
        };
        *slot = Some(mount);
    }

    /// Does one step. `report` is the error pipe, which [`Step::CloseOthers`] moves.
    pub(crate) fn apply(&mut self, step: &Step, report: &mut BorrowedFd<'static>) -> RawResult<()> {
        match step {
            Step::BecomeRoot { drop_groups } => {
                if *drop_groups {
                    privilege::set_groups(&[])?;
                }
                privilege::set_gid(0)?;
                privilege::set_uid(0)
            }
            Step::NewKeyring => match privilege::new_session_keyring() {
                // A kernel without keys, or a filter around us that forbids them, has none to give away.
                Err(Errno::ENOSYS | Errno::EPERM) => Ok(()),
                result => result,
            },
            Step::DieWithParent => process::die_with_parent(),
            Step::NewSession => process::setsid(),
            Step::JoinCgroup { tasks, .. } => files::write_all(tasks.as_fd(), b"0"),
            Step::JoinNamespace { namespace, kind } => process::join_namespaces(namespace.as_fd(), *kind),
            Step::NewCgroupNamespace => process::unshare(Namespaces::CGROUP),
            Step::SlaveMounts => mount::make_all_slave(),
            Step::AttachRoot => {
                mount::move_mount_to_path(self.root, c"/")?;
                files::enter_dir(self.root)
            }
            Step::EnterRoot => files::enter_dir(self.root),
            Step::Remount { .. } => self.remount(step),
            Step::Mount { kind, options, attributes, propagation, target, keep } => {
                let made = make(kind, options, *attributes)?;
                propagate(made.as_fd(), propagation)?;
                self.attach(made.as_fd(), target)?;
                if let Some(base) = keep {
                    self.keep(*base, made);
                }
                Ok(())
            }
            Step::Attach { mount, target, keep, in_turn } => {
                // A file system that was just made can be copied since Linux 6.15; before, its place in the list is another. (Copies of
                // attached mounts never can: their namespace is the parent's.)
                let copy = if *in_turn { mount::open_tree_clone(mount.as_fd(), c"", true).ok() } else { None };
                let attached = copy.as_ref().unwrap_or(mount);
                self.attach(attached.as_fd(), target)?;
                if let Some(base) = keep {
                    self.keep(*base, files::duplicate(attached.as_fd())?);
                }
                Ok(())
            }
            Step::AttachSecret { name, target } => {
                let copy = mount::open_tree_clone(self.base(Base::Secrets)?, name, false)?;
                self.attach(copy.as_fd(), target)
            }
            Step::Console { terminal } => self.console(terminal.slave.as_fd()),
            Step::Mask { base, path } => self.mask(*base, path),
            Step::ReadOnly { base, path } => self.read_only(*base, path),
            Step::MakeDir { target } => target.open(self.base(target.base)?).map(drop),
            Step::RootReadOnly => {
                mount::mount_setattr(self.base(Base::Root)?, false, MountAttr::RDONLY, MountAttr::NONE, None)
            }
            Step::PivotRoot => {
                mount::pivot_to_cwd()?;
                mount::detach_cwd()?;
                files::change_dir(c"/")
            }
            Step::Chroot => files::chroot_here(),
            Step::RootPropagation { propagation } => {
                let none = MountAttr::NONE;
                mount::mount_setattr(self.base(Base::Root)?, false, none, none, Some(*propagation))
            }
            Step::AskCaller { answer } => super::hook::ask(answer.as_fd(), *report),
            Step::Loopback => privilege::loopback_up(privilege::datagram_socket()?.as_fd()),
            Step::Hostname { name } => process::sethostname(name),
            Step::Domainname { name } => process::setdomainname(name),
            Step::Sysctl { path, value } => self.sysctl(path, value),
            step => self.apply_to_program(step, report),
        }
    }

    fn apply_to_program(&mut self, step: &Step, report: &mut BorrowedFd<'static>) -> RawResult<()> {
        match step {
            Step::Stdio { streams: Streams::Each(streams) } => self.stdio(streams),
            Step::Stdio { streams: Streams::Terminal(terminal) } => {
                (0..3).try_for_each(|number| files::duplicate_to(terminal.slave.as_fd(), number))
            }
            Step::TakeTerminal => tty::make_controlling(files::numbered(0)),
            Step::CloseOthers { preserve, start } => {
                self.start = close_others(report, *preserve, start.as_ref())?;
                Ok(())
            }
            Step::Hook { hook } => {
                let kept = self.start.and_then(|(_, document)| document);
                hook.run(hook.document.as_ref().map(|document| document.as_fd()).or(kept))
            }
            Step::FindProgram { candidates } => find(candidates),
            Step::AwaitStart => {
                let (listener, _) = self.start.ok_or(Errno::EBADF)?;
                super::hook::await_start(listener, *report)
            }
            Step::Limit { resource, soft, hard } => privilege::set_limit(*resource, *soft, *hard),
            Step::Personality { persona } => schedule::set_personality(*persona),
            Step::Affinity { cpus } => schedule::set_affinity(cpus),
            Step::EveryCpu => schedule::reset_affinity(),
            Step::MemoryPolicy { mode, nodes } => schedule::set_memory_policy(*mode, nodes),
            Step::Scheduler { scheduler, flags } => {
                schedule::set_scheduler(scheduler.attributes(schedule::nice()?, *flags))
            }
            Step::Nice { nice } => schedule::set_nice(*nice),
            Step::IoPriority { io } => schedule::set_io_priority(io.number()),
            Step::Umask { mask } => {
                process::umask(*mask);
                Ok(())
            }
            Step::ChangeDir { path } => {
                files::change_dir(path)?;
                // A path such as /proc/self/fd/N could lead out of the root (CVE-2024-21626).
                if files::cwd_is_reachable() { Ok(()) } else { Err(Errno::EXDEV) }
            }
            Step::Bounding { keep } => privilege::drop_bounding(*keep),
            Step::Groups { groups } => privilege::set_groups(groups),
            Step::Gid { gid } => privilege::set_gid(*gid),
            Step::Uid { uid } => privilege::set_uid(*uid),
            Step::Capabilities { permitted } => privilege::set_capabilities(*permitted, *permitted, CapSet::default()),
            Step::CapabilitySets { sets, extra } => {
                privilege::set_capabilities(sets.effective.or(*extra), sets.permitted.or(*extra), sets.inheritable)?;
                privilege::set_ambient(sets.ambient)
            }
            Step::NoNewPrivileges => privilege::no_new_privileges(),
            Step::Label { text, file, older } => self.label(text, file, older.as_ref()),
            Step::KeepCapabilities => privilege::keep_capabilities(),
            Step::Seccomp { program } => super::notify::load(program, *report),
            Step::DefaultSignals => {
                signal::default_all();
                signal::unblock_all()
            }
            Step::Exec { candidates, arguments, environment } => Err(exec(candidates, arguments, environment)),
            _ => Err(Errno::EINVAL),
        }
    }

    fn attach(&self, mount: BorrowedFd<'_>, target: &Target) -> RawResult<()> {
        let place = target.open(self.base(target.base)?)?;
        if target.follows_links() && self.is_kernels(place.as_fd())? {
            return Err(Errno::EXDEV);
        }
        mount::move_mount(mount, place.as_fd())
    }

    /// The kernel takes nothing but the root of a mount for it. What a link of the image leads to is not what was asked for.
    fn remount(&self, step: &Step) -> RawResult<()> {
        let Step::Remount { target, set, clear, propagation, options } = step else { return Err(Errno::EINVAL) };
        let place = target.open(self.base(target.base)?)?;
        let kernels = files::is_kernels(place.as_fd()) || self.is_kernels(place.as_fd())?;
        if target.follows_links() && kernels {
            return Err(Errno::EXDEV);
        }
        if !options.is_empty() {
            let fs = mount::fspick(place.as_fd())?;
            configure(fs.as_fd(), options)?;
            mount::fsconfig_reconfigure(fs.as_fd())?;
        }
        if *set != MountAttr::NONE || *clear != MountAttr::NONE {
            mount::mount_setattr(place.as_fd(), false, *set, *clear, None)?;
        }
        propagate(place.as_fd(), propagation)
    }

    /// A copy of the slave's mount: no name is looked up but the one just made in our own `/dev` (CVE-2025-52565).
    fn console(&self, slave: BorrowedFd<'_>) -> RawResult<()> {
        let dev = self.base(Base::Dev)?;
        files::make_file(dev, c"console", 0o600)?;
        let place = files::open_location(dev, c"console")?;
        let copy = mount::open_tree_clone(slave, c"", false)?;
        mount::move_mount(copy.as_fd(), place.as_fd())
    }

    /// Whether a place lies in our `/proc`, `/sys` or `/dev`: a link of the image or of a volume has led there, since no
    /// target that is asked for does.
    fn is_kernels(&self, place: BorrowedFd<'_>) -> RawResult<bool> {
        let filesystem = files::facts(place)?.filesystem;
        for mount in [&self.proc, &self.sys, &self.dev].into_iter().flatten() {
            if files::facts(mount.as_fd())?.filesystem == filesystem {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn mask(&mut self, base: Base, path: &CString) -> RawResult<()> {
        // Looked up once, within the base, whatever links the image has: what was opened is what is covered.
        let place = match files::open_in_root(self.base(base)?, path, OpenAs::LocationFollow, 0) {
            Err(Errno::ENOENT) => return Ok(()),
            result => result?,
        };
        let cover = if !files::facts(place.as_fd())?.is_dir() {
            mount::open_tree_clone(self.null()?.as_fd(), c"", false)?
        } else if let Some(empty) = &self.empty {
            mount::open_tree_clone(empty.as_fd(), c"", false)?
        } else {
            let attributes = MountAttr::RDONLY.and(MountAttr::NOSUID).and(MountAttr::NODEV).and(MountAttr::NOEXEC);
            let fs = mount::fsopen(c"tmpfs")?;
            mount::fsconfig_string(fs.as_fd(), c"size", c"0")?;
            mount::fsconfig_string(fs.as_fd(), c"mode", c"555")?;
            mount::fsconfig_create(fs.as_fd())?;
            mount::fsmount(fs.as_fd(), attributes)?
        };
        mount::move_mount(cover.as_fd(), place.as_fd())?;
        // Only a mount that is attached can be cloned again.
        if self.empty.is_none() && files::facts(cover.as_fd())?.is_dir() {
            self.empty = Some(cover);
        }
        Ok(())
    }

    /// Below the procfs that this process has mounted, and still in it when the path has been walked.
    fn sysctl(&self, path: &CString, value: &[u8]) -> RawResult<()> {
        let file = files::open_in_root(self.base(Base::Proc)?, path, OpenAs::Write, 0)?;
        if !files::is_procfs(file.as_fd()) {
            return Err(Errno::EXDEV);
        }
        // One write: the kernel takes each as a value of its own.
        if files::write(file.as_fd(), value)? == value.len() { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Our `/dev/null` as a location, and nothing else that came to stand there: what hides a file must not show another
    /// (CVE-2025-31133).
    fn null(&self) -> RawResult<OwnedFd> {
        let null = match &self.dev {
            Some(dev) => files::open_location(dev.as_fd(), c"null")?,
            None => files::open_in_root(self.root, c"dev/null", OpenAs::Location, 0)?,
        };
        let facts = files::facts(null.as_fd())?;
        if facts.is_char_device() && facts.device == (1, 3) { Ok(null) } else { Err(Errno::ENODEV) }
    }

    /// Our own procfs, by its descriptor: no name of the container is in the way (CVE-2025-52881).
    fn label(&self, text: &CString, file: &CString, older: Option<&CString>) -> RawResult<()> {
        let proc = self.base(Base::Proc)?;
        let attribute = match (files::open_in_procfs(proc, file), older) {
            (Err(Errno::ENOENT), Some(older)) => files::open_in_procfs(proc, older)?,
            (result, _) => result?,
        };
        // One write is one label.
        match files::write(attribute.as_fd(), text.as_bytes())? {
            written if written == text.as_bytes().len() => Ok(()),
            _ => Err(Errno::EIO),
        }
    }

    fn read_only(&self, base: Base, path: &CString) -> RawResult<()> {
        let place = match files::open_in_root(self.base(base)?, path, OpenAs::LocationFollow, 0) {
            Err(Errno::ENOENT) => return Ok(()),
            result => result?,
        };
        let copy = mount::open_tree_clone(place.as_fd(), c"", true)?;
        mount::mount_setattr(copy.as_fd(), true, MountAttr::RDONLY, MountAttr::NONE, None)?;
        mount::move_mount(copy.as_fd(), place.as_fd())
    }

    fn stdio(&self, streams: &[Stream; 3]) -> RawResult<()> {
        for (number, stream) in (0..).zip(streams) {
            match stream {
                Stream::Inherit => {}
                Stream::Null => {
                    let null = files::open_read_write(self.base(Base::Dev)?, c"null")?;
                    files::duplicate_to(null.as_fd(), number)?;
                }
                Stream::Pipe(end) => files::duplicate_to(end.as_fd(), number)?,
            }
        }
        Ok(())
    }
}

fn make(kind: &CString, options: &[(CString, CString)], attributes: MountAttr) -> RawResult<OwnedFd> {
    let fs = mount::fsopen(kind)?;
    configure(fs.as_fd(), options)?;
    mount::fsconfig_create(fs.as_fd())?;
    mount::fsmount(fs.as_fd(), attributes)
}

fn configure(fs: BorrowedFd<'_>, options: &[(CString, CString)]) -> RawResult<()> {
    for (key, value) in options {
        if value.is_empty() {
            mount::fsconfig_flag(fs, key)?;
        } else {
            mount::fsconfig_string(fs, key, value)?;
        }
    }
    Ok(())
}

fn propagate(mount: BorrowedFd<'_>, changes: &[Propagation]) -> RawResult<()> {
    let none = MountAttr::NONE;
    changes.iter().try_for_each(|change| mount::mount_setattr(mount, false, none, none, Some(*change)))
}

/// Moves the error pipe to a low number, what the start needs behind it, and closes all above, so that nothing of ours is
/// open when paths of the image are followed and when the program starts.
fn close_others(
    report: &mut BorrowedFd<'static>,
    preserve: u32,
    start: Option<&StartFiles>,
) -> RawResult<Option<(BorrowedFd<'static>, Option<BorrowedFd<'static>>)>> {
    use std::os::fd::AsRawFd;
    let first = REPORT + i32::try_from(preserve).map_err(|_| Errno::EMFILE)?;
    let document = start.and_then(|start| start.document.as_ref());
    let kept = [Some(*report), start.map(|start| start.listener.as_fd()), document.map(|document| document.as_fd())];
    let mut next = first;
    if start.is_none() {
        if report.as_raw_fd() != first {
            files::duplicate_to_closing(*report, first)?;
        }
        next += 1;
    } else {
        // Out of the way of each other first.
        let mut high = [None, None, None];
        for (slot, fd) in high.iter_mut().zip(kept) {
            *slot = fd.map(|fd| files::duplicate_from(fd, first + 3)).transpose()?;
        }
        for fd in high.iter().flatten() {
            files::duplicate_to_closing(fd.as_fd(), next)?;
            next += 1;
        }
    }
    *report = files::numbered(first);
    files::close_range(next.unsigned_abs(), u32::MAX)?;
    Ok(start.map(|start| (files::numbered(first + 1), start.document.as_ref().map(|_| files::numbered(first + 2)))))
}

/// Looks as [`exec`] would.
fn find(candidates: &[CString]) -> RawResult<()> {
    let mut worst = Errno::ENOENT;
    for candidate in candidates {
        match files::may_execute(candidate) {
            Ok(()) => return Ok(()),
            Err(Errno::EACCES) => worst = Errno::EACCES,
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Err(worst)
}

/// Tries every candidate, as execvp(3) does: "permission denied" is remembered over "not found".
fn exec(candidates: &[CString], arguments: &CStringArray, environment: &CStringArray) -> Errno {
    let mut worst = Errno::ENOENT;
    for candidate in candidates {
        match process::exec(candidate, arguments, environment) {
            Errno::ENOENT | Errno::ENOTDIR => {}
            Errno::EACCES => worst = Errno::EACCES,
            errno => return errno,
        }
    }
    worst
}
