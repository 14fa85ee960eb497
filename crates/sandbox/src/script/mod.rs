//! The script: what the container's process does between clone and exec, as a list of typed steps that own all they need.
//!
//! `prepare` writes it, the child interprets it by raw system calls, and the parent, which still has the same list, says in
//! words which step failed.

mod apply;
mod describe;
pub(crate) mod hook;
mod notify;
mod target;

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use ctr_sys::mount::{MountAttr, Propagation};
use ctr_sys::privilege::{CapSet, Resource};
use ctr_sys::process::{CStringArray, Namespaces};
use ctr_sys::schedule::CpuMask;

use crate::options::{IoPriority, Scheduler};
use crate::plan::CapabilitySets;
use crate::seccomp::Program;
use crate::terminal::Terminal;

pub(crate) use apply::Stage;
pub(crate) use notify::LISTENER;
pub(crate) use target::{Leaf, Links, Target};

/// A mount that later targets and steps are relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Base {
    /// The root filesystem.
    Root,
    /// Our procfs.
    Proc,
    /// Our sysfs.
    Sys,
    /// Our `/dev`.
    Dev,
    /// The tmpfs of the secrets.
    Secrets,
}

/// One thing that the child does.
#[derive(Debug)]
pub(crate) enum Step {
    /// Becomes root of the container's user namespace, so that what it makes belongs to that.
    BecomeRoot {
        /// Without supplementary groups; the kernel refuses that where only one id is mapped (`setgroups: deny`).
        drop_groups: bool,
    },
    /// A session keyring of its own: the caller's keys stay the caller's (keyrings(7)).
    NewKeyring,
    /// Joins a v1 control group by writing `0`, which means the writer.
    JoinCgroup { tasks: OwnedFd, group: String },
    /// Joins a namespace of another container by its descriptor.
    JoinNamespace { namespace: OwnedFd, kind: Namespaces },
    /// A cgroup namespace whose root are the groups just joined.
    NewCgroupNamespace,
    /// Mounts of the host no longer receive ours.
    SlaveMounts,
    /// Puts the root filesystem over `/` of the new mount namespace and makes it the current directory.
    AttachRoot,
    /// Makes the root filesystem, which is nobody's mount, the current directory.
    EnterRoot,
    /// Mounts a file system that belongs to the new namespaces; `keep` makes it a base.
    Mount {
        kind: CString,
        options: Vec<(CString, CString)>,
        attributes: MountAttr,
        propagation: Vec<Propagation>,
        target: Target,
        keep: Option<Base>,
    },
    /// Changes attributes of the mount at a place: `set` and `clear`; and its file system, if there are options.
    Remount {
        target: Target,
        set: MountAttr,
        clear: MountAttr,
        propagation: Vec<Propagation>,
        options: Vec<(CString, CString)>,
    },
    /// Attaches a mount that the parent prepared; `keep` makes it a base. `in_turn`: a copy that is made now, because mountinfo
    /// shows mounts by their age (since Linux 6.8), and who reads it expects them in the order in which they were asked for.
    Attach { mount: OwnedFd, target: Target, keep: Option<Base>, in_turn: bool },
    /// Shows a file of the secrets' tmpfs at another place.
    AttachSecret { name: CString, target: Target },
    /// The program's terminal as `/dev/console`, once its file system is attached.
    Console { terminal: Rc<Terminal> },
    /// Hides a file under `/dev/null`, a directory under an empty one; nothing if it is not there.
    Mask { base: Base, path: CString },
    /// Makes a path read-only; nothing if it is not there.
    ReadOnly { base: Base, path: CString },
    /// A directory of the root filesystem that must be there.
    MakeDir { target: Target },
    /// The root filesystem is read-only from now on.
    RootReadOnly,
    /// Brings the loopback interface up.
    Loopback,
    /// Sets the host name.
    Hostname { name: CString },
    /// Sets the NIS domain name.
    Domainname { name: CString },
    /// Sets a kernel parameter; the path is below our procfs.
    Sysctl { path: CString, value: Vec<u8> },
    /// The root filesystem becomes `/`, the host's goes.
    PivotRoot,
    /// The current directory, the root filesystem, becomes `/` and stays where it is: over the host's root, or anywhere.
    Chroot,
    /// Propagation of the root filesystem, once everything is in its place.
    RootPropagation { propagation: Propagation },
    /// Tells the caller that this point is reached, and goes on when it says so.
    AskCaller { answer: OwnedFd },
    /// Executes a hook and waits for it.
    Hook { hook: Hook },
    /// Whether the first candidate that is there can be executed.
    FindProgram { candidates: Vec<CString> },
    /// Says that the container is created, and goes on when it is started.
    AwaitStart,
    /// Ends when the process that made it does.
    DieWithParent,
    /// A session of its own.
    NewSession,
    /// Standard input, output, error.
    Stdio { streams: Streams },
    /// Standard input, a terminal, controls this process's session.
    TakeTerminal,
    /// Closes every descriptor but the standard streams, those that the program gets, and what later steps need.
    CloseOthers {
        /// How many from 3 on the program gets.
        preserve: u32,
        /// What is needed until the start, where that comes later.
        start: Option<StartFiles>,
    },
    /// A resource limit.
    Limit { resource: Resource, soft: u64, hard: u64 },
    /// Execution domain.
    Personality { persona: u32 },
    /// CPUs that it may run on.
    Affinity { cpus: Box<CpuMask> },
    /// Every CPU of its cpuset.
    EveryCpu,
    /// Where memory is taken from.
    MemoryPolicy { mode: u16, nodes: Box<CpuMask> },
    /// Policy.
    Scheduler { scheduler: Scheduler, flags: u64 },
    /// Nice value.
    Nice { nice: i32 },
    /// Class and level of input and output.
    IoPriority { io: IoPriority },
    /// File mode creation mask.
    Umask { mask: u32 },
    /// Working directory.
    ChangeDir { path: CString },
    /// Bounding set.
    Bounding { keep: CapSet },
    /// Supplementary groups.
    Groups { groups: Vec<u32> },
    /// Group id.
    Gid { gid: u32 },
    /// Capabilities outlive the next change of the user, until an exec.
    KeepCapabilities,
    /// User id.
    Uid { uid: u32 },
    /// Permitted and effective capabilities; none inheritable.
    Capabilities { permitted: CapSet },
    /// All sets but the bounding one; `extra` is permitted and effective too, until the exec.
    CapabilitySets { sets: CapabilitySets, extra: CapSet },
    /// No privileges by exec.
    NoNewPrivileges,
    /// What the exec makes of the program: written to this file of `/proc/thread-self/attr`, or to the second where the first
    /// is not there.
    Label { text: CString, file: CString, older: Option<CString> },
    /// Loads the filter.
    Seccomp { program: Program },
    /// Every signal has its default action and is let through.
    DefaultSignals,
    /// Executes the first candidate that can be.
    Exec { candidates: Vec<CString>, arguments: CStringArray, environment: CStringArray },
}

/// What a created container keeps open until it is started.
#[derive(Debug)]
pub(crate) struct StartFiles {
    /// The listening socket by which the start comes.
    pub(crate) listener: OwnedFd,
    /// What hooks of the start read.
    pub(crate) document: Option<Rc<OwnedFd>>,
}

/// A program to execute and to wait for.
#[derive(Debug)]
pub(crate) struct Hook {
    pub(crate) path: CString,
    pub(crate) arguments: CStringArray,
    pub(crate) environment: CStringArray,
    /// Its standard input, read from the beginning; `None`: the document of [`StartFiles`].
    pub(crate) document: Option<Rc<OwnedFd>>,
    /// Milliseconds that it may take.
    pub(crate) timeout_ms: Option<i32>,
}

/// The program's standard streams.
#[derive(Debug)]
pub(crate) enum Streams {
    /// Input, output, error.
    Each([Stream; 3]),
    /// All three are its terminal.
    Terminal(Rc<Terminal>),
}

impl Streams {
    /// The terminal, if it is one.
    pub(crate) fn terminal(&self) -> Option<Rc<Terminal>> {
        match self {
            Self::Each(_) => None,
            Self::Terminal(terminal) => Some(Rc::clone(terminal)),
        }
    }
}

/// Where a standard stream comes from.
#[derive(Debug)]
pub(crate) enum Stream {
    /// As the launcher has it.
    Inherit,
    /// The container's own `/dev/null`.
    Null,
    /// A pipe to init.
    Pipe(OwnedFd),
}
