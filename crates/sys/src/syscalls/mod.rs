//! Names and numbers of the system calls that seccomp profiles name (seccomp(2)), for every architecture whose programs run
//! on a kernel that we run on.

mod table;

use table::{N, Row, TABLE};

/// An architecture as seccomp tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86.
    X86,
    /// 32-bit pointers on 64-bit x86: `AUDIT_ARCH_X86_64`, with [`X32_BIT`] in the number.
    X32,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM, EABI.
    Arm,
}

/// What an x32 call's number has and an x86-64 call's has not (`__X32_SYSCALL_BIT`).
pub const X32_BIT: u32 = 0x4000_0000;

impl Arch {
    /// Each of them.
    pub const ALL: [Self; 5] = [Self::X86_64, Self::X86, Self::X32, Self::Aarch64, Self::Arm];

    /// That of the kernel that this program is built for.
    #[cfg(target_arch = "x86_64")]
    pub const NATIVE: Self = Self::X86_64;
    /// That of the kernel that this program is built for.
    #[cfg(target_arch = "aarch64")]
    pub const NATIVE: Self = Self::Aarch64;

    /// `AUDIT_ARCH_*`: machine, 64-bit, little-endian (linux/audit.h).
    pub const fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// Whether programs of this architecture can run on a kernel of `native`.
    pub const fn runs_on(self, native: Self) -> bool {
        match native {
            Self::X86_64 => matches!(self, Self::X86_64 | Self::X86 | Self::X32),
            Self::Aarch64 => matches!(self, Self::Aarch64 | Self::Arm),
            other => self as u8 == other as u8,
        }
    }

    /// The number of a call, with [`X32_BIT`] for x32.
    pub fn number(self, name: &str) -> Option<u32> {
        call(name)?.on(self)
    }
}

/// A system call that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call(&'static Row);

impl Call {
    /// Its name.
    pub const fn name(self) -> &'static str {
        self.0.0
    }

    /// Its number on an architecture that has it.
    pub const fn on(self, arch: Arch) -> Option<u32> {
        let [x86_64, x86, x32, aarch64, arm] = self.0.1;
        let number = match arch {
            Arch::X86_64 => x86_64,
            Arch::X86 => x86,
            Arch::X32 if x32 != N => x32 | X32_BIT,
            Arch::X32 => N,
            Arch::Aarch64 => aarch64,
            Arch::Arm => arm,
        };
        if number == N { None } else { Some(number) }
    }
}

/// The call of this name, on whatever architecture.
pub fn call(name: &str) -> Option<Call> {
    let index = TABLE.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
    TABLE.get(index).map(Call)
}

/// Every call that has a name.
pub fn all() -> impl Iterator<Item = Call> {
    TABLE.iter().map(Call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_numbers_are_unique() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for arch in Arch::ALL {
            let mut numbers: Vec<u32> = all().filter_map(|call| call.on(arch)).collect();
            let count = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), count, "{arch:?}");
            assert!(count > 300, "{arch:?}");
        }
    }

    #[test]
    fn numbers_are_those_of_the_c_library() {
        for (name, number) in [
            ("read", libc::SYS_read),
            ("clone3", libc::SYS_clone3),
            ("openat2", libc::SYS_openat2),
            ("socket", libc::SYS_socket),
            ("mount_setattr", libc::SYS_mount_setattr),
            ("personality", libc::SYS_personality),
        ] {
            assert_eq!(Arch::NATIVE.number(name), u32::try_from(number).ok(), "{name}");
        }
        assert_eq!(Arch::X86.number("socketcall"), Some(102));
        assert_eq!(Arch::X32.number("read"), Some(X32_BIT));
        assert_eq!(Arch::X32.number("execve"), Some(X32_BIT + 520));
        assert_eq!(Arch::Arm.number("set_tls"), Some(0xf_0005));
        assert_eq!(Arch::Aarch64.number("open"), None);
        assert!(call("no_such_call").is_none());
    }
}
