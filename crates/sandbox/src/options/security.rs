//! Privileges.

use std::sync::Arc;

use ctr_sys::privilege::CapSet;

use crate::seccomp::Profile;

/// Capabilities, system calls.
#[derive(Debug, Clone, Default)]
pub struct SecurityOptions {
    /// Begin with no capability instead of the default ones.
    pub cap_drop_all: bool,
    /// Capabilities to add.
    pub cap_add: CapSet,
    /// Capabilities to drop; they win over those to add.
    pub cap_drop: CapSet,
    /// Seccomp.
    pub seccomp: SeccompChoice,
    /// `no_new_privs`.
    pub no_new_privileges: bool,
}

/// Which seccomp filter is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SeccompChoice {
    /// ctr's own (spec/07-executor.md "System calls").
    #[default]
    Default,
    /// None.
    Unconfined,
    /// A profile of the caller's.
    Profile {
        /// The file that it was read from, for people.
        path: String,
        /// What it says.
        profile: Arc<Profile>,
    },
}
