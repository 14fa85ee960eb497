//! Privileges.

use ctr_sys::privilege::CapSet;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeccompChoice {
    /// ctr's own (spec/07-executor.md "System calls").
    #[default]
    Default,
    /// None.
    Unconfined,
}

impl SeccompChoice {
    /// `default` or `unconfined`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Unconfined => "unconfined",
        }
    }
}
