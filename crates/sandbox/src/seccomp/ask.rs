//! What a filter says to a call, without making it.

use ctr_sys::seccomp::BpfInstruction;
use ctr_sys::syscalls::Arch;

use super::Program;
use super::assemble::{AND, JUMP, LOAD, RETURN};
use super::filter::Action;

impl Program {
    /// Whether it lets a call of the native architecture with this number pass by itself.
    pub(crate) fn lets_pass(&self, number: u32, arguments: [u64; 6]) -> bool {
        answer(&self.code, number, arguments).is_some_and(|answer| [Action::ALLOW, Action::LOG].contains(&answer))
    }
}

/// `None` for code that is none of ours.
fn answer(code: &[BpfInstruction], number: u32, arguments: [u64; 6]) -> Option<Action> {
    let (mut at, mut word) = (0usize, 0u32);
    // All jumps go forward: each instruction is met once at most.
    loop {
        let i = code.get(at)?;
        at += 1;
        let holds = match i.code {
            LOAD => {
                word = load(i.k, number, arguments)?;
                continue;
            }
            AND => {
                word &= i.k;
                continue;
            }
            RETURN => return Some(Action(i.k)),
            JUMP => {
                at += usize::try_from(i.k).ok()?;
                continue;
            }
            0x15 => word == i.k,
            0x25 => word > i.k,
            0x35 => word >= i.k,
            0x45 => word & i.k != 0,
            _ => return None,
        };
        at += usize::from(if holds { i.jt } else { i.jf });
    }
}

/// A word of `struct seccomp_data` (little-endian, as all that we run on).
fn load(offset: u32, number: u32, arguments: [u64; 6]) -> Option<u32> {
    match offset {
        0 => Some(number),
        4 => Some(Arch::NATIVE.audit()),
        16..64 => {
            let argument = *arguments.get(usize::try_from((offset - 16) / 8).ok()?)?;
            let half = if offset.is_multiple_of(8) { argument & 0xffff_ffff } else { argument >> 32 };
            u32::try_from(half).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ctr_sys::privilege::CapSet;

    use super::*;

    #[test]
    fn the_default_profile_is_asked() {
        let program = Program::default_profile(CapSet::default());
        let call = |name: &str| Arch::NATIVE.number(name).unwrap();
        assert!(program.lets_pass(call("getpid"), [0; 6]));
        assert!(program.lets_pass(call("clone"), [0x8011, 0, 0, 0, 0, 0]));
        assert!(!program.lets_pass(call("clone"), [0x2000_0000, 0, 0, 0, 0, 0]));
        assert!(!program.lets_pass(call("mount"), [0; 6]));
        assert!(!Program { flags: 0, code: Vec::new() }.lets_pass(0, [0; 6]));
    }
}
