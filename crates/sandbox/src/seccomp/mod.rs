//! Seccomp: profiles to filters, filters to programs of the kernel's filter machine.
//!
//! ```text
//!  file --parse--> Profile --resolve(capabilities, machine)--> Filter --compile--> Program --load--> the kernel
//!                                     the default profile --^                        |
//!                                                                 seccomp.bpf, for ctr-exec
//! ```

mod ask;
mod assemble;
pub(crate) mod broker;
mod compile;
mod default;
mod document;
mod filter;
pub mod listener;
#[cfg(test)]
mod machine;
mod profile;
mod resolve;
#[cfg(test)]
mod tests;

use ctr_sys::privilege::CapSet;
use ctr_sys::seccomp::{self, BpfInstruction};
use ctr_sys::syscalls::Arch;

pub use profile::{Agent, PROFILE_MAX, Profile, ProfileError};

use compile::INSTRUCTIONS_MAX;
use resolve::Machine;

/// A filter that can be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: u32,
    /// Its instructions.
    pub code: Vec<BpfInstruction>,
}

/// What to load a profile with. All threads are the one that loads it; what is about a listener is for a filter that has one.
fn flags(profile: &Profile) -> u32 {
    if profile.notifies() {
        profile.flags & !seccomp::SECCOMP_TSYNC | seccomp::SECCOMP_NEW_LISTENER
    } else {
        profile.flags & !seccomp::SECCOMP_WAIT_KILLABLE_RECV
    }
}

/// The file in a container's directory that has its filter, where that is not the default one.
pub const FILE_NAME: &str = "seccomp.bpf";

/// What a file of a program begins with.
const MAGIC: [u8; 4] = *b"cBPF";

impl Program {
    /// The default profile for a program with these capabilities in its bounding set.
    pub fn default_profile(capabilities: CapSet) -> Self {
        Self { flags: 0, code: compile::compile(&default::filter(Arch::NATIVE, capabilities)) }
    }

    /// A profile from a file for a program with these capabilities in its bounding set, on a kernel of this version.
    pub fn of_profile(profile: &Profile, capabilities: CapSet, kernel: (u32, u32)) -> Result<Self, ProfileError> {
        let filter = resolve::resolve(profile, Machine { arch: Arch::NATIVE, kernel, capabilities });
        let code = compile::compile(&filter);
        if code.len() > INSTRUCTIONS_MAX {
            return Err(ProfileError::TooLong(code.len()));
        }
        Ok(Self { flags: flags(profile), code })
    }

    /// Whether it passes calls on to an agent, so that loading it makes a listener.
    pub fn notifies(&self) -> bool {
        self.flags & seccomp::SECCOMP_NEW_LISTENER != 0
    }

    /// As it is kept in a file: `cBPF`, the flags, then each instruction as `struct sock_filter`, all in the machine's byte order.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + 8 * self.code.len());
        bytes.extend(MAGIC);
        bytes.extend(self.flags.to_ne_bytes());
        for instruction in &self.code {
            bytes.extend(instruction.code.to_ne_bytes());
            bytes.extend([instruction.jt, instruction.jf]);
            bytes.extend(instruction.k.to_ne_bytes());
        }
        bytes
    }

    /// Reads what [`Program::to_bytes`] wrote; `None` if it is something else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (flags, rest) = rest.split_first_chunk::<4>()?;
        let (instructions, []) = rest.as_chunks::<8>() else { return None };
        if *magic != MAGIC || instructions.is_empty() || instructions.len() > INSTRUCTIONS_MAX {
            return None;
        }
        let instruction = |[a, b, jt, jf, k @ ..]: &[u8; 8]| BpfInstruction {
            code: u16::from_ne_bytes([*a, *b]),
            jt: *jt,
            jf: *jf,
            k: u32::from_ne_bytes(*k),
        };
        Some(Self { flags: u32::from_ne_bytes(*flags), code: instructions.iter().map(instruction).collect() })
    }
}
