//! Privileges.

use std::sync::Arc;

use ctr_sys::privilege::CapSet;

use crate::seccomp::Profile;

/// Capabilities, system calls.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub struct SecurityOptions {
    /// Begin with no capability instead of the default ones.
    pub cap_drop_all: bool,
    /// Capabilities to add: every one, as far as the launcher can give it.
    pub cap_add_all: bool,
    /// Capabilities to add by name.
    pub cap_add: CapSet,
    /// Capabilities to drop; they win over those to add.
    pub cap_drop: CapSet,
    /// Seccomp.
    pub seccomp: SeccompChoice,
    /// `no_new_privs`.
    pub no_new_privileges: bool,
    /// All capabilities (that the launcher can give), all devices, nothing hidden or read-only, no filter.
    pub privileged: bool,
    /// Paths to hide, beside the default ones.
    pub mask: Vec<String>,
    /// Paths not to hide nor make read-only; `*` at the end stands for any rest.
    pub unmask: Vec<String>,
    /// Nothing of the default ones is hidden or read-only.
    pub unmask_all: bool,
    /// The AppArmor profile of the program.
    pub apparmor: Option<String>,
    /// The SELinux label of the program.
    pub selinux: Option<SelinuxRequest>,
}

/// Parts of a SELinux context (user:role:type:level); those that are not given are what the policy has for containers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SelinuxRequest {
    /// User.
    pub user: Option<String>,
    /// Role.
    pub role: Option<String>,
    /// Type.
    pub kind: Option<String>,
    /// Level.
    pub level: Option<String>,
}

impl SecurityOptions {
    /// The capabilities that are asked for beyond the default ones.
    pub fn wanted(&self) -> CapSet {
        if self.privileged || self.cap_add_all { CapSet::ALL } else { self.cap_add }
    }
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
