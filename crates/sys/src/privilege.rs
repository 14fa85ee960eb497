//! What a process may do: ids, capabilities, seccomp, no_new_privs, limits. Nothing here allocates.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use caps::Capability;

use crate::raw::{RawResult, call};

/// A set of capabilities, bit N for capability number N (capabilities(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CapSet(pub u64);

impl CapSet {
    /// `CAP_KILL` alone: what init needs to forward signals.
    pub const KILL: Self = Self(1 << 5);
    /// Every capability that has a name here.
    pub const ALL: Self = Self((1 << CAPABILITIES.len()) - 1);
    /// `CAP_SYS_ADMIN` alone: what loads a filter without no_new_privs.
    pub const SYS_ADMIN: Self = Self(1 << 21);
    /// `CAP_SYS_CHROOT` alone: chroot(2), and with it the way out of one.
    pub const SYS_CHROOT: Self = Self(1 << 18);
    /// `CAP_MKNOD` alone: device nodes.
    pub const MKNOD: Self = Self(1 << 27);
    /// `CAP_SYS_PTRACE`: its holder may look into any process of its user namespace.
    pub const SYS_PTRACE: u8 = 19;

    /// Whether a capability is in the set.
    pub const fn has(self, capability: u8) -> bool {
        self.0 >> capability & 1 == 1
    }

    /// What both have.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What this one has and the other has not.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What at least one of them has.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The names of all members, `CAP_KILL`, by number.
    pub fn names(self) -> Vec<String> {
        CAPABILITIES.iter().filter(|known| self.has(known.index())).map(ToString::to_string).collect()
    }
}

/// Every capability that there is, by number.
const CAPABILITIES: [Capability; 41] = [
    Capability::CAP_CHOWN,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_DAC_READ_SEARCH,
    Capability::CAP_FOWNER,
    Capability::CAP_FSETID,
    Capability::CAP_KILL,
    Capability::CAP_SETGID,
    Capability::CAP_SETUID,
    Capability::CAP_SETPCAP,
    Capability::CAP_LINUX_IMMUTABLE,
    Capability::CAP_NET_BIND_SERVICE,
    Capability::CAP_NET_BROADCAST,
    Capability::CAP_NET_ADMIN,
    Capability::CAP_NET_RAW,
    Capability::CAP_IPC_LOCK,
    Capability::CAP_IPC_OWNER,
    Capability::CAP_SYS_MODULE,
    Capability::CAP_SYS_RAWIO,
    Capability::CAP_SYS_CHROOT,
    Capability::CAP_SYS_PTRACE,
    Capability::CAP_SYS_PACCT,
    Capability::CAP_SYS_ADMIN,
    Capability::CAP_SYS_BOOT,
    Capability::CAP_SYS_NICE,
    Capability::CAP_SYS_RESOURCE,
    Capability::CAP_SYS_TIME,
    Capability::CAP_SYS_TTY_CONFIG,
    Capability::CAP_MKNOD,
    Capability::CAP_LEASE,
    Capability::CAP_AUDIT_WRITE,
    Capability::CAP_AUDIT_CONTROL,
    Capability::CAP_SETFCAP,
    Capability::CAP_MAC_OVERRIDE,
    Capability::CAP_MAC_ADMIN,
    Capability::CAP_SYSLOG,
    Capability::CAP_WAKE_ALARM,
    Capability::CAP_BLOCK_SUSPEND,
    Capability::CAP_AUDIT_READ,
    Capability::CAP_PERFMON,
    Capability::CAP_BPF,
    Capability::CAP_CHECKPOINT_RESTORE,
];

/// The number of a capability by name, with or without `CAP_`, in any case.
pub fn capability(name: &str) -> Option<u8> {
    let upper = name.to_ascii_uppercase();
    let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
    full.parse::<Capability>().ok().map(|capability| capability.index())
}

/// The known capability whose name is most like `name`, if one is alike.
pub fn nearest_capability(name: &str) -> Option<String> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    let all = CAPABILITIES.iter().map(ToString::to_string);
    let near =
        all.map(|known| (distance(short.as_bytes(), known.as_bytes().get(4..).unwrap_or_default()), known)).min()?;
    // Two letters wrong in a short name, a third of them in a long one.
    (near.0 <= 2.max(short.len() / 3)).then_some(near.1)
}

/// Letters to insert, remove or change to make one name of the other (Levenshtein).
fn distance(one: &[u8], other: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.iter().enumerate() {
        let mut before = index;
        let mut last = index + 1;
        let mut next = Vec::with_capacity(row.len());
        next.push(last);
        for (above, known) in row.iter().skip(1).zip(other) {
            last = (before + usize::from(letter != known)).min(above + 1).min(last + 1);
            before = *above;
            next.push(last);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// The permitted capabilities of the caller (capget(2), version 3).
pub fn held_capabilities() -> RawResult<CapSet> {
    let header = [CAPABILITY_VERSION_3, 0u32];
    let mut data = [0u32; 6];
    call!(libc::SYS_capget, header.as_ptr(), data.as_mut_ptr())?;
    let [_, low, _, _, high, _] = data;
    Ok(CapSet(u64::from(low) | u64::from(high) << 32))
}

/// `_LINUX_CAPABILITY_VERSION_3`.
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// Takes from the bounding set all that `keep` has not. Numbers that the kernel does not know are passed over.
pub fn drop_bounding(keep: CapSet) -> RawResult<()> {
    for capability in (0..64u8).filter(|capability| !keep.has(*capability)) {
        match call!(libc::SYS_prctl, libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0) {
            Err(crate::Errno::EINVAL) => break,
            result => result.map(drop)?,
        }
    }
    Ok(())
}

/// Sets the effective, permitted and inheritable capabilities (capset(2), version 3).
pub fn set_capabilities(effective: CapSet, permitted: CapSet, inheritable: CapSet) -> RawResult<()> {
    let header = [CAPABILITY_VERSION_3, 0u32];
    let (e, p, i) = (effective.0, permitted.0, inheritable.0);
    let low = |set: u64| set as u32;
    let high = |set: u64| (set >> 32) as u32;
    let data = [low(e), low(p), low(i), high(e), high(p), high(i)];
    call!(libc::SYS_capset, header.as_ptr(), data.as_ptr()).map(drop)
}

/// Makes `ambient` the ambient set, and nothing else (`PR_CAP_AMBIENT`). Each member must be permitted and inheritable.
pub fn set_ambient(ambient: CapSet) -> RawResult<()> {
    call!(libc::SYS_prctl, libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)?;
    for capability in (0..64u8).filter(|capability| ambient.has(*capability)) {
        let number = libc::c_ulong::from(capability);
        call!(libc::SYS_prctl, libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, number, 0, 0)?;
    }
    Ok(())
}

/// Sets the supplementary groups.
pub fn set_groups(groups: &[u32]) -> RawResult<()> {
    call!(libc::SYS_setgroups, groups.len(), groups.as_ptr()).map(drop)
}

/// Sets the real, effective and saved group id.
pub fn set_gid(gid: u32) -> RawResult<()> {
    call!(libc::SYS_setresgid, gid, gid, gid).map(drop)
}

/// Sets the real, effective and saved user id.
pub fn set_uid(uid: u32) -> RawResult<()> {
    call!(libc::SYS_setresuid, uid, uid, uid).map(drop)
}

/// The permitted capabilities outlive a change of the user to one that is not 0, until an exec (`PR_SET_KEEPCAPS`).
pub fn keep_capabilities() -> RawResult<()> {
    call!(libc::SYS_prctl, libc::PR_SET_KEEPCAPS, 1, 0, 0, 0).map(drop)
}

/// No program that is executed from now on can gain privileges (`PR_SET_NO_NEW_PRIVS`).
pub fn no_new_privileges() -> RawResult<()> {
    call!(libc::SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).map(drop)
}

/// Whether others of the same user may trace this process and look at it in `/proc` (`PR_SET_DUMPABLE`).
pub fn set_dumpable(dumpable: bool) -> RawResult<()> {
    call!(libc::SYS_prctl, libc::PR_SET_DUMPABLE, libc::c_ulong::from(dumpable), 0, 0, 0).map(drop)
}

/// Joins a new, anonymous session keyring (keyctl(2), `KEYCTL_JOIN_SESSION_KEYRING`).
pub fn new_session_keyring() -> RawResult<()> {
    call!(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, ptr::null::<u8>()).map(drop)
}

/// A resource (getrlimit(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource(u32);

/// Resources by the names that users know (`--ulimit nofile=...`).
const RESOURCES: [(&str, u32); 16] = [
    ("cpu", libc::RLIMIT_CPU as u32),
    ("fsize", libc::RLIMIT_FSIZE as u32),
    ("data", libc::RLIMIT_DATA as u32),
    ("stack", libc::RLIMIT_STACK as u32),
    ("core", libc::RLIMIT_CORE as u32),
    ("rss", libc::RLIMIT_RSS as u32),
    ("nproc", libc::RLIMIT_NPROC as u32),
    ("nofile", libc::RLIMIT_NOFILE as u32),
    ("memlock", libc::RLIMIT_MEMLOCK as u32),
    ("as", libc::RLIMIT_AS as u32),
    ("locks", libc::RLIMIT_LOCKS as u32),
    ("sigpending", libc::RLIMIT_SIGPENDING as u32),
    ("msgqueue", libc::RLIMIT_MSGQUEUE as u32),
    ("nice", libc::RLIMIT_NICE as u32),
    ("rtprio", libc::RLIMIT_RTPRIO as u32),
    ("rttime", libc::RLIMIT_RTTIME as u32),
];

impl Resource {
    /// By name, `nofile` or `RLIMIT_NOFILE`.
    pub fn by_name(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        let short = lower.strip_prefix("rlimit_").unwrap_or(&lower);
        RESOURCES.iter().find(|(known, _)| *known == short).map(|(_, number)| Self(*number))
    }

    /// The name, `nofile`.
    pub fn name(self) -> &'static str {
        RESOURCES.iter().find(|(_, number)| *number == self.0).map_or("unknown", |(name, _)| name)
    }
}

/// Sets a limit of this process (prlimit(2)); `u64::MAX` is unlimited.
pub fn set_limit(resource: Resource, soft: u64, hard: u64) -> RawResult<()> {
    let limit = [soft, hard];
    call!(libc::SYS_prlimit64, 0, resource.0, limit.as_ptr(), ptr::null::<u8>()).map(drop)
}

/// The soft and the hard limit of this process; `u64::MAX` is unlimited.
pub fn limit(resource: Resource) -> RawResult<(u64, u64)> {
    let mut limit = [0u64; 2];
    call!(libc::SYS_prlimit64, 0, resource.0, ptr::null::<u8>(), limit.as_mut_ptr())?;
    let [soft, hard] = limit;
    Ok((soft, hard))
}

/// Brings the loopback interface of the caller's network namespace up (netdevice(7)). `socket` is any datagram socket.
pub fn loopback_up(socket: BorrowedFd<'_>) -> RawResult<()> {
    // SAFETY: ifreq is plain data, all zeroes is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    call!(libc::SYS_ioctl, socket.as_raw_fd(), libc::SIOCSIFFLAGS, ptr::from_mut(&mut request)).map(drop)
}

/// A datagram socket of the caller's network namespace.
pub fn datagram_socket() -> RawResult<std::os::fd::OwnedFd> {
    call!(libc::SYS_socket, libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0).map(crate::raw::owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_have_their_numbers() {
        for (number, known) in (0..).zip(CAPABILITIES) {
            assert_eq!(known.index(), number);
            assert_eq!(capability(&known.to_string()), Some(number));
        }
        assert_eq!(capability("net_raw"), Some(13));
        assert_eq!(capability("NET_RAWR"), None);
        assert_eq!(CapSet::KILL.names(), ["CAP_KILL"]);
        assert_eq!(CapSet::ALL.names().len(), CAPABILITIES.len());
        assert_eq!(nearest_capability("net_admn").as_deref(), Some("CAP_NET_ADMIN"));
        assert_eq!(nearest_capability("CAP_SYS_ADMINS").as_deref(), Some("CAP_SYS_ADMIN"));
        assert_eq!(nearest_capability("xyzzy"), None);
    }
}
