//! What a profile comes to: for each architecture, an answer for every system call. Pure data, read by the compiler.

use ctr_sys::syscalls::Arch;

/// What the kernel does with a call: a return value of a filter (seccomp(2), `SECCOMP_RET_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Action(pub(crate) u32);

impl Action {
    pub(crate) const KILL_PROCESS: Self = Self(0x8000_0000);
    pub(crate) const KILL_THREAD: Self = Self(0);
    pub(crate) const TRAP: Self = Self(0x0003_0000);
    /// An agent decides.
    pub(crate) const NOTIFY: Self = Self(0x7fc0_0000);
    pub(crate) const LOG: Self = Self(0x7ffc_0000);
    pub(crate) const ALLOW: Self = Self(0x7fff_0000);
    /// What others than the filter decide: the call may go on.
    const TRACE: u32 = 0x7ff0_0000;

    pub(crate) const EPERM: Self = Self::errno(1);
    /// As if the kernel had no such call.
    pub(crate) const ENOSYS: Self = Self::errno(38);

    /// The call fails with this error.
    pub(crate) const fn errno(number: u16) -> Self {
        Self(0x0005_0000 | number as u32)
    }

    /// A tracer is told, with this message; without one the call fails with ENOSYS.
    pub(crate) const fn trace(message: u16) -> Self {
        Self(Self::TRACE | message as u32)
    }

    /// Whether the call may be carried out.
    pub(crate) const fn is_permissive(self) -> bool {
        self.0 & 0xffff_0000 >= Self::TRACE && self.0 < 0x8000_0000
    }
}

/// How an argument is compared, as a 64-bit number without sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// Equal in the bits of this mask.
    MaskedEqual(u64),
}

/// A condition on an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Condition {
    /// 0 to 5.
    pub(crate) argument: u8,
    pub(crate) compare: Compare,
    pub(crate) value: u64,
}

/// The answer to a call if all conditions hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Rule {
    pub(crate) number: u32,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) action: Action,
}

/// The answers to calls of one architecture. A rule without conditions counts before those with, and the first of several
/// before the others, as libseccomp has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ArchRules {
    pub(crate) arch: Arch,
    pub(crate) rules: Vec<Rule>,
    /// For calls that no rule answers.
    pub(crate) otherwise: Action,
    /// For numbers above those of all rules: calls that are newer than the profile.
    pub(crate) newer: Action,
    /// The highest number that the profile knows, if any.
    pub(crate) highest: Option<u32>,
}

/// A profile for one machine and one set of capabilities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    /// The native architecture comes first.
    pub(crate) arches: Vec<ArchRules>,
    /// For calls by the numbers of other architectures.
    pub(crate) foreign: Action,
}
