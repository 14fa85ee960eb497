//! Seccomp: a table of rules, compiled to a balanced tree of BPF instructions.

mod compile;
mod profile;

use ctr_sys::privilege::{BpfInstruction, CapSet};

/// The default profile for a program with these capabilities, ready to load.
pub(crate) fn default_filter(capabilities: CapSet) -> Vec<BpfInstruction> {
    compile::compile(profile::rules(capabilities))
}
