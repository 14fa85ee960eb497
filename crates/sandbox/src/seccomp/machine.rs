//! The kernel's filter machine, for tests: checks a program as the kernel does (seccomp_check_filter, bpf_check_classic) and
//! runs it on a call.
#![expect(clippy::cast_possible_truncation, reason = "halves of arguments are taken")]

use ctr_sys::seccomp::BpfInstruction;

/// A call as a filter sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) audit: u32,
    pub(super) number: u32,
    pub(super) arguments: [u64; 6],
}

impl Seen {
    /// The word at `offset` of `struct seccomp_data`.
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.audit,
            16..64 => {
                let argument = self.arguments[(offset as usize - 16) / 8];
                (if offset.is_multiple_of(8) { argument } else { argument >> 32 }) as u32
            }
            other => panic!("load of {other}"),
        }
    }
}

/// What `program` returns for a call, and how many instructions that took.
pub(super) fn run(program: &[BpfInstruction], seen: &Seen) -> (u32, usize) {
    assert!(!program.is_empty() && program.len() <= 4096, "{} instructions", program.len());
    let (mut at, mut accumulator, mut steps) = (0usize, 0u32, 0);
    loop {
        let i = program[at];
        at += 1;
        steps += 1;
        let taken = match i.code {
            0x20 => {
                assert!(i.k.is_multiple_of(4));
                accumulator = seen.word(i.k);
                continue;
            }
            0x54 => {
                accumulator &= i.k;
                continue;
            }
            0x06 => return (i.k, steps),
            0x05 => {
                at += i.k as usize;
                continue;
            }
            0x15 => accumulator == i.k,
            0x25 => accumulator > i.k,
            0x35 => accumulator >= i.k,
            0x45 => accumulator & i.k != 0,
            other => panic!("code {other:#x}"),
        };
        at += usize::from(if taken { i.jt } else { i.jf });
    }
}
