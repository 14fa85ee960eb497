//! Steps that failed, in the words of config.json.

use ctr_sys::Errno;

use super::plan::Bundle;
use crate::script::Step;

/// The property that a step is of, to be put after the step's own words; empty if it is of none.
pub(super) fn property(bundle: &Bundle, step: &Step) -> String {
    let number = step.place().and_then(|place| bundle.mounts.iter().rposition(|mount| mount.target == place));
    if let Some(number) = number {
        return format!(" (mounts[{number}])");
    }
    let name = match step {
        Step::Sysctl { path, .. } => {
            let is_of = |path: &str| bundle.kernel.sysctls.iter().find(|sysctl| path == format!("sys/{}", sysctl.path));
            return match path.to_str().ok().and_then(is_of) {
                Some(sysctl) => format!(" (linux.sysctl[\"{}\"])", sysctl.name()),
                None => String::new(),
            };
        }
        Step::JoinNamespace { .. } => "linux.namespaces",
        Step::Mask { .. } => "linux.maskedPaths",
        Step::ReadOnly { .. } => "linux.readonlyPaths",
        Step::RootReadOnly => "root.readonly",
        Step::RootPropagation { .. } => "linux.rootfsPropagation",
        Step::Hostname { .. } => "hostname",
        Step::Domainname { .. } => "domainname",
        Step::Limit { .. } => "process.rlimits",
        Step::Personality { .. } => "linux.personality",
        Step::MemoryPolicy { .. } => "linux.memoryPolicy",
        Step::Scheduler { .. } | Step::Nice { .. } => "process.scheduler",
        Step::IoPriority { .. } => "process.ioPriority",
        Step::MakeDir { .. } | Step::ChangeDir { .. } => "process.cwd",
        Step::Groups { .. } => "process.user.additionalGids",
        Step::Gid { .. } => "process.user.gid",
        Step::Uid { .. } => "process.user.uid",
        Step::Bounding { .. } | Step::CapabilitySets { .. } => "process.capabilities",
        Step::NoNewPrivileges => "process.noNewPrivileges",
        Step::Label { .. } if bundle.process.apparmor.is_some() => "process.apparmorProfile",
        Step::Label { .. } => "process.selinuxLabel",
        Step::Seccomp { .. } => "linux.seccomp",
        _ => return String::new(),
    };
    format!(" ({name})")
}

/// What to do where a user namespace lacks an id (user_namespaces(7)).
pub(crate) const NO_SUCH_ID: &str =
    "the user namespace has no such id: give the user ranges in /etc/subuid and /etc/subgid, or map it";

/// What to do about it, where that is not the same for every container of ctr.
pub(super) fn hint(step: &Step, errno: Errno) -> Option<&'static str> {
    match (step, errno) {
        (Step::Mount { .. }, Errno::ENODEV) => {
            Some("this kernel has no file system of that type: see /proc/filesystems")
        }
        (Step::Mount { options, .. }, Errno::EPERM)
            if options.iter().any(|(key, value)| key.as_c_str() == c"source" && value.to_bytes().starts_with(b"/")) =>
        {
            Some("do linux.resources.devices let the container read (and write) the device?")
        }
        (Step::Mount { .. }, Errno::EINVAL) => {
            Some("the file system does not know an option, or does not take its value")
        }
        (Step::Remount { .. }, Errno::EINVAL) => {
            Some("nothing is mounted there, or the file system does not take an option")
        }
        (Step::Remount { .. }, Errno::EXDEV) => Some("a link leads from there to the kernel's directories"),
        (Step::ChangeDir { .. }, Errno::ENOENT | Errno::ENOTDIR) => {
            Some("it must be a directory of the root filesystem or of a mount")
        }
        (Step::Gid { .. } | Step::Uid { .. }, Errno::EINVAL) => Some(NO_SUCH_ID),
        (Step::MemoryPolicy { .. }, Errno::EINVAL) => {
            Some("this host has no such node, or the mode does not go with the nodes or flags: see set_mempolicy(2)")
        }
        (Step::MemoryPolicy { .. }, Errno::ENOSYS) => Some("this kernel has no NUMA (CONFIG_NUMA)"),
        _ => None,
    }
}
