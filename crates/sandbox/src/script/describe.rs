//! Steps in words, for errors: "cannot " + the words + the reason.

use std::fmt;

use super::{Base, Step};

impl Base {
    fn path(self) -> &'static str {
        match self {
            Self::Root => "",
            Self::Proc => "/proc",
            Self::Sys => "/sys",
            Self::Dev => "/dev",
            Self::Secrets => "/run/secrets",
        }
    }
}

impl Step {
    /// The place that something is mounted on.
    pub(crate) fn place(&self) -> Option<String> {
        match self {
            Self::Mount { target, .. } | Self::Remount { target, .. } | Self::Attach { target, .. } => {
                Some(target.path())
            }
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BecomeRoot { .. } => f.write_str("become root of the container's user namespace"),
            Self::NewKeyring => f.write_str("make a session keyring"),
            Self::JoinCgroup { group, .. } => write!(f, "join the control group {group}"),
            Self::JoinNamespace { .. } => f.write_str("join a namespace of the container"),
            Self::NewCgroupNamespace => f.write_str("make a cgroup namespace"),
            Self::SlaveMounts => f.write_str("take the mounts out of the host's propagation"),
            Self::EnterRoot => f.write_str("enter the root filesystem"),
            Self::AttachRoot => f.write_str("attach the root filesystem"),
            Self::Mount { kind, target, .. } => write!(f, "mount {} on {}", kind.to_string_lossy(), target.path()),
            Self::Remount { target, .. } => write!(f, "remount {}", target.path()),
            Self::Attach { target, .. } => write!(f, "mount on {}", target.path()),
            Self::AttachSecret { target, .. } => write!(f, "mount a secret on {}", target.path()),
            Self::Console { .. } => f.write_str("put the terminal at /dev/console"),
            Self::Mask { base, path } => write!(f, "hide {}/{}", base.path(), path.to_string_lossy()),
            Self::ReadOnly { base, path } => write!(f, "make {}/{} read-only", base.path(), path.to_string_lossy()),
            Self::MakeDir { target } => write!(f, "make the directory {}", target.path()),
            Self::RootReadOnly => f.write_str("make the root filesystem read-only"),
            Self::Loopback => f.write_str("bring the loopback interface up"),
            Self::Hostname { name } => write!(f, "set the host name \"{}\"", name.to_string_lossy()),
            Self::Domainname { name } => write!(f, "set the domain name \"{}\"", name.to_string_lossy()),
            Self::Sysctl { path, value } => {
                let value = String::from_utf8_lossy(value);
                write!(f, "set the kernel parameter /proc/{} to \"{}\"", path.to_string_lossy(), value.escape_debug())
            }
            Self::PivotRoot | Self::Chroot => f.write_str("change to the root filesystem"),
            Self::RootPropagation { .. } => f.write_str("set the propagation of the root filesystem"),
            Self::AskCaller { .. } => f.write_str("go on after the hooks"),
            Self::Hook { hook } => write!(f, "execute the hook {}", hook.path.to_string_lossy()),
            Self::FindProgram { .. } => f.write_str("find the program"),
            Self::AwaitStart => f.write_str("wait for the start"),
            Self::DieWithParent => f.write_str("tie it to the caller's life"),
            Self::NewSession => f.write_str("start a session"),
            Self::Stdio { .. } => f.write_str("set up the standard streams"),
            Self::TakeTerminal => f.write_str("take the terminal"),
            Self::CloseOthers { .. } => f.write_str("close the launcher's files"),
            Self::Limit { resource, soft, hard } => write!(f, "set the limit {} to {soft}:{hard}", resource.name()),
            Self::Personality { .. } => f.write_str("set the execution domain"),
            Self::Affinity { .. } => f.write_str("run on the CPUs of the CPU affinity alone"),
            Self::EveryCpu => f.write_str("run on all CPUs of the container"),
            Self::MemoryPolicy { .. } => f.write_str("set the memory policy"),
            Self::Scheduler { scheduler, .. } => write!(f, "use the scheduling policy {scheduler}"),
            Self::Nice { nice } => write!(f, "set the nice value {nice}"),
            Self::IoPriority { io } => write!(f, "set the input and output priority {io}"),
            Self::Umask { .. } => f.write_str("set the umask"),
            Self::ChangeDir { path } => write!(f, "enter the working directory {}", path.to_string_lossy()),
            Self::Bounding { .. } => f.write_str("drop capabilities from the bounding set"),
            Self::Groups { .. } => f.write_str("set the supplementary groups"),
            Self::Gid { gid } => write!(f, "become group {gid}"),
            Self::Uid { uid } => write!(f, "become user {uid}"),
            Self::Capabilities { .. } | Self::CapabilitySets { .. } => f.write_str("set the capabilities"),
            Self::NoNewPrivileges => f.write_str("set no_new_privs"),
            Self::Label { text, .. } => write!(f, "set the label of the program ({})", text.to_string_lossy()),
            Self::KeepCapabilities => f.write_str("keep capabilities across a change of the user"),
            Self::Seccomp { .. } => f.write_str("load the seccomp filter"),
            Self::DefaultSignals => f.write_str("reset the signals"),
            Self::Exec { arguments, .. } => {
                let program = arguments.strings().first().map(|program| program.to_string_lossy()).unwrap_or_default();
                write!(f, "execute {program}")
            }
        }
    }
}
