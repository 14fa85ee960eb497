//! What can go wrong, by what the caller can do about it.

use ctr_sys::{Errno, SysError};

/// An error of the launcher.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The request cannot be met as it stands: ask for something else.
    #[error("{what}")]
    Request {
        /// What cannot be.
        what: String,
        /// What to do instead.
        hint: Option<String>,
    },
    /// The program is not there (exit code 127).
    #[error("cannot run {program}: {reason}")]
    NotFound {
        /// As it was asked for.
        program: String,
        /// Why it is not.
        reason: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The program is there and cannot be executed (exit code 126).
    #[error("cannot run {program}: {reason}")]
    NotInvocable {
        /// As it was asked for.
        program: String,
        /// Why not.
        reason: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A step of the set-up failed in the container's process.
    #[error("cannot {step}")]
    Step {
        /// The step in words.
        step: String,
        /// Why.
        #[source]
        cause: StepCause,
        /// What to do.
        hint: Option<String>,
    },
    /// The host refused something that the launcher needs.
    #[error("cannot {action}")]
    Host {
        /// What was tried.
        action: String,
        /// Why.
        #[source]
        cause: SysError,
        /// What to do.
        hint: Option<String>,
    },
    /// A volume could not be used.
    #[error(transparent)]
    Volume(#[from] ctr_core::volume::VolumeError),
    /// The container's directory could not be made.
    #[error(transparent)]
    Container(#[from] ctr_core::container::ContainerError),
}

/// The errno of a failed step, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} ({errno:?})", errno.desc())]
pub struct StepCause {
    /// The kernel's answer.
    pub errno: Errno,
}

impl SandboxError {
    /// A request that cannot be met.
    pub fn request(what: impl Into<String>) -> Self {
        Self::Request { what: what.into(), hint: None }
    }

    /// A request that cannot be met, and what to do instead.
    pub fn request_hint(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Request { what: what.into(), hint: Some(hint.into()) }
    }

    /// The host refused `call`.
    pub fn host(action: impl Into<String>, call: &'static str, args: impl Into<String>, errno: Errno) -> Self {
        Self::Host { action: action.into(), cause: SysError::new(call, args, errno), hint: None }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hinted(mut self, text: impl Into<String>) -> Self {
        if let Self::Host { hint, .. } | Self::Step { hint, .. } | Self::Request { hint, .. } = &mut self {
            *hint = Some(text.into());
        }
        self
    }

    /// What to do, if that can be said.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Request { hint, .. }
            | Self::NotFound { hint, .. }
            | Self::NotInvocable { hint, .. }
            | Self::Step { hint, .. }
            | Self::Host { hint, .. } => hint.as_deref(),
            Self::Container(ctr_core::container::ContainerError::NameInUse { id, .. }) => {
                let _ = id;
                Some("choose another --name, or remove that container with ctr-gc once it has ended")
            }
            Self::Container(_) | Self::Volume(_) => None,
        }
    }

    /// The exit code of `ctr-run` for it (spec/08-commands.md).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound { .. } => 127,
            Self::NotInvocable { .. } => 126,
            _ => 125,
        }
    }
}
