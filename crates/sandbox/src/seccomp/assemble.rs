//! Code for the kernel's filter machine, written from its end to its beginning: all jumps of a filter go forward, so that the
//! place that a jump leads to is there before the jump, and its distance is known at once.
//!
//! A conditional jump spans 255 instructions. What lies further away is reached through a copy if it is a return (one
//! instruction as well), else through an unconditional jump, which spans everything.

use ctr_sys::seccomp::BpfInstruction;

use super::filter::Action;

pub(super) const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
pub(super) const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
pub(super) const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
pub(super) const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// The test of a conditional jump, with the loaded word on its left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Test {
    Equal = 0x15,   // BPF_JMP | BPF_JEQ | BPF_K
    Greater = 0x25, // BPF_JMP | BPF_JGT | BPF_K
    NotLess = 0x35, // BPF_JMP | BPF_JGE | BPF_K
    AnyBit = 0x45,  // BPF_JMP | BPF_JSET | BPF_K
}

/// How far a conditional jump reaches.
const REACH: usize = u8::MAX as usize;

/// A place in the code: the number of instructions after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Label(usize);

/// Code with its last instruction first.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    reversed: Vec<BpfInstruction>,
    /// The nearest return of each value: a handful.
    returns: Vec<(u32, Label)>,
}

impl Assembler {
    fn push(&mut self, code: u16, k: u32, jt: u8, jf: u8) -> Label {
        self.reversed.push(BpfInstruction { code, jt, jf, k });
        Label(self.reversed.len() - 1)
    }

    /// Instructions between the next one to be written and `label`.
    fn distance(&self, label: Label) -> usize {
        self.reversed.len() - 1 - label.0
    }

    /// A return; all of one value share it.
    pub(super) fn action(&mut self, action: Action) -> Label {
        match self.returns.iter().find(|(value, _)| *value == action.0) {
            Some((_, label)) => *label,
            None => self.new_return(action.0),
        }
    }

    fn new_return(&mut self, value: u32) -> Label {
        let label = self.push(RETURN, value, 0, 0);
        self.returns.retain(|(known, _)| *known != value);
        self.returns.push((value, label));
        label
    }

    /// A place next to the next instruction that leads to `label`.
    fn hop(&mut self, label: Label) -> Label {
        match self.reversed.get(label.0) {
            Some(BpfInstruction { code: RETURN, k, .. }) => self.new_return(*k),
            // A program has 4096 instructions at most, so that the distance always fits.
            _ => self.push(JUMP, u32::try_from(self.distance(label)).unwrap_or(u32::MAX), 0, 0),
        }
    }

    /// Goes to `yes` or to `no`.
    pub(super) fn branch(&mut self, test: Test, operand: u32, mut yes: Label, mut no: Label) -> Label {
        if yes == no {
            return yes;
        }
        let (mut over_yes, mut over_no) = (self.distance(yes), self.distance(no));
        while over_yes > REACH || over_no > REACH {
            if over_yes > REACH {
                yes = self.hop(yes);
            } else {
                no = self.hop(no);
            }
            (over_yes, over_no) = (self.distance(yes), self.distance(no));
        }
        let short = |over: usize| u8::try_from(over).unwrap_or(u8::MAX);
        self.push(test as u16, operand, short(over_yes), short(over_no))
    }

    /// `label`, or the place behind it where there is only a load of the word at `offset`, which is loaded already.
    pub(super) fn loaded(&self, label: Label, offset: u32) -> Label {
        match self.reversed.get(label.0) {
            Some(BpfInstruction { code: LOAD, k, .. }) if *k == offset => Label(label.0.saturating_sub(1)),
            _ => label,
        }
    }

    /// Loads a word of `struct seccomp_data` and goes on at `next`.
    pub(super) fn load(&mut self, offset: u32, next: Label) -> Label {
        self.straight(LOAD, offset, next)
    }

    /// Keeps the bits of `mask` of the loaded word and goes on at `next`.
    pub(super) fn and(&mut self, mask: u32, next: Label) -> Label {
        self.straight(AND, mask, next)
    }

    fn straight(&mut self, code: u16, k: u32, next: Label) -> Label {
        if self.distance(next) > 0 {
            self.hop(next);
        }
        self.push(code, k, 0, 0)
    }

    /// The code, to be entered at its beginning, which is what was written last.
    pub(super) fn finish(mut self, entry: Label) -> Vec<BpfInstruction> {
        if self.distance(entry) > 0 {
            self.hop(entry);
        }
        self.reversed.reverse();
        self.reversed
    }
}
