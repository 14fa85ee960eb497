//! Profiles to filters: which entries count for these capabilities on this machine, and which numbers their names have there.

use ctr_sys::privilege::CapSet;
use ctr_sys::syscalls::Arch;

use super::filter::{Action, ArchRules, Compare, Condition, Filter, Rule};
use super::profile::{Conditional, Profile, ProfileEntry};

/// What a profile's conditions are about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine {
    /// The kernel's architecture.
    pub(crate) arch: Arch,
    /// Its version.
    pub(crate) kernel: (u32, u32),
    /// The capabilities that the program can have.
    pub(crate) capabilities: CapSet,
}

/// A profile for a machine.
pub(crate) fn resolve(profile: &Profile, machine: Machine) -> Filter {
    let mapped = profile.arch_map.iter().filter(|(native, _)| *native == machine.arch).flat_map(|(_, more)| more);
    let mut arches = vec![machine.arch];
    for arch in profile.arches.iter().chain(mapped) {
        if arch.runs_on(machine.arch) && !arches.contains(arch) {
            arches.push(*arch);
        }
    }
    let entries: Vec<&ProfileEntry> = profile.entries.iter().filter(|entry| counts(entry, machine)).collect();
    let arches = arches.into_iter().map(|arch| arch_rules(profile, &entries, arch)).collect();
    Filter { arches, foreign: Action::KILL_PROCESS }
}

/// As Docker has it: all capabilities of `includes` must be there, one of `excludes` is enough to leave the entry out.
fn counts(entry: &ProfileEntry, machine: Machine) -> bool {
    let Conditional { caps, arches, min_kernel } = &entry.includes;
    let included = machine.capabilities.0 & caps.0 == caps.0
        && (arches.is_empty() || arches.iter().any(|arch| arch == go_name(machine.arch)))
        && min_kernel.is_none_or(|version| machine.kernel >= version);
    let Conditional { caps, arches, min_kernel } = &entry.excludes;
    let excluded = machine.capabilities.0 & caps.0 != 0
        || arches.iter().any(|arch| arch == go_name(machine.arch))
        || min_kernel.is_some_and(|version| machine.kernel >= version);
    included && !excluded
}

fn go_name(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "amd64",
        Arch::X86 => "x86",
        Arch::X32 => "x32",
        Arch::Aarch64 => "arm64",
        Arch::Arm => "arm",
    }
}

fn arch_rules(profile: &Profile, entries: &[&ProfileEntry], arch: Arch) -> ArchRules {
    let (mut rules, mut highest) = (Vec::new(), None);
    for entry in entries {
        for call in &entry.calls {
            // runc and crun pass over entries that say what the default says, so that they do not count before others.
            let says_more = entry.action != profile.default;
            if says_more && arch == Arch::X86 {
                add_multiplexed(call.name(), entry, &mut rules);
            }
            let Some(number) = call.on(arch) else { continue };
            highest = highest.max(Some(number));
            if says_more {
                let rule = |conditions| Rule { number, conditions, action: entry.action };
                match entry.conditions.as_slice() {
                    [] => rules.push(rule(Vec::new())),
                    any => rules.extend(any.iter().map(|all| rule(all.clone()))),
                }
            }
        }
    }
    // A call that is newer than the profile is no call that it forbids: ENOSYS makes a C library fall back to an older one.
    let decides = profile.default.is_permissive() || profile.default == Action::NOTIFY;
    let newer = if highest.is_none() || decides { profile.default } else { Action::ENOSYS };
    ArchRules { arch, rules, otherwise: profile.default, newer, highest }
}

/// Calls that 32-bit x86 also has behind `socketcall` (first argument, linux/net.h).
const SOCKETCALL: [&str; 20] = [
    "socket",
    "bind",
    "connect",
    "listen",
    "accept",
    "getsockname",
    "getpeername",
    "socketpair",
    "send",
    "recv",
    "sendto",
    "recvfrom",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "sendmsg",
    "recvmsg",
    "accept4",
    "recvmmsg",
    "sendmmsg",
];

/// Calls that it has behind `ipc` (first argument, linux/ipc.h; the upper half is a version).
const IPC: [(&str, u64); 12] = [
    ("semop", 1),
    ("semget", 2),
    ("semctl", 3),
    ("semtimedop", 4),
    ("msgsnd", 11),
    ("msgrcv", 12),
    ("msgget", 13),
    ("msgctl", 14),
    ("shmat", 21),
    ("shmdt", 22),
    ("shmget", 23),
    ("shmctl", 24),
];

/// The same answer to the call behind `socketcall` or `ipc`. Its own arguments lie in memory there, where a filter cannot
/// look: an entry with conditions that forbids forbids it in any case, one that allows does not allow it.
fn add_multiplexed(name: &str, entry: &ProfileEntry, rules: &mut Vec<Rule>) {
    let socket =
        (1..).zip(SOCKETCALL).find(|(_, known)| *known == name).map(|(call, _)| ("socketcall", call, 0xffff_ffff));
    let ipc = || IPC.iter().find(|(known, _)| *known == name).map(|(_, call)| ("ipc", *call, 0xffff));
    let Some((through, value, mask)) = socket.or_else(ipc) else { return };
    if !entry.conditions.is_empty() && entry.action.is_permissive() {
        return;
    }
    let Some(number) = Arch::X86.number(through) else { return };
    let condition = Condition { argument: 0, compare: Compare::MaskedEqual(mask), value };
    rules.push(Rule { number, conditions: vec![condition], action: entry.action });
}
