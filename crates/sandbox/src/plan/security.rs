//! What the program may ask of the kernel: the system call filter.

use serde::{Deserialize, Serialize};

use super::HostFacts;
use crate::error::SandboxError;
use crate::options::{SeccompChoice, SecurityOptions};
use crate::seccomp::Program;
use ctr_sys::privilege::CapSet;

/// Which filter a program runs under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeccompPlan {
    /// ctr's own.
    #[default]
    Default,
    /// None.
    Unconfined,
    /// A profile of the caller's.
    Profile,
}

impl SeccompPlan {
    /// As it is written in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Unconfined => "unconfined",
            Self::Profile => "profile",
        }
    }
}

/// The filter of a plan, decided.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub(super) kind: SeccompPlan,
    pub(super) path: Option<String>,
    pub(super) program: Option<Program>,
}

/// The most names of unknown calls that a note lists.
const NAMES_SHOWN: usize = 8;

/// What the choice comes to for a program with these capabilities in its bounding set.
pub(super) fn filter(
    options: &SecurityOptions,
    capabilities: CapSet,
    host: &HostFacts,
    notes: &mut Vec<String>,
) -> Result<Filter, SandboxError> {
    let (path, profile) = match &options.seccomp {
        SeccompChoice::Default => return Ok(Filter::default()),
        SeccompChoice::Unconfined => return Ok(Filter { kind: SeccompPlan::Unconfined, ..Filter::default() }),
        SeccompChoice::Profile { path, profile } => (path, profile),
    };
    let program = Program::of_profile(profile, capabilities, host.kernel).map_err(|error| {
        SandboxError::request_hint(
            format!("cannot use the seccomp profile {path}: {error}"),
            "name fewer system calls, or compare fewer arguments",
        )
    })?;
    let unknown = profile.unknown_calls();
    if !unknown.is_empty() {
        let more = unknown.len().saturating_sub(NAMES_SHOWN);
        let shown = unknown.iter().take(NAMES_SHOWN).cloned().collect::<Vec<_>>().join(" ");
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        notes.push(format!(
            "seccomp: no system call here has the name {shown}{more}: the profile's answer is passed over"
        ));
    }
    Ok(Filter { kind: SeccompPlan::Profile, path: Some(path.clone()), program: Some(program) })
}
