//! What can go wrong with control groups.

use std::io;
use std::path::{Path, PathBuf};

use ctr_sys::SysError;

/// An error of this module.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// A property of config.json asks for what cannot be.
    #[error("{property}: {what}")]
    Property {
        /// `linux.resources.memory.limit` ...
        property: String,
        /// What cannot be, and why.
        what: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The kernel did not take a limit.
    #[error("{property}: cannot set \"{value}\"")]
    Limit {
        /// The property that asked for it.
        property: String,
        /// What was written.
        value: String,
        /// Why.
        #[source]
        cause: SysError,
        /// What to do.
        hint: Option<String>,
    },
    /// The host refused something.
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
    /// The group is somebody else's.
    #[error("the control group {} has {count} processes that are not the container's", dir.display())]
    Busy {
        /// Its directory.
        dir: PathBuf,
        /// How many.
        count: usize,
    },
    /// The group, or one above it, is frozen.
    #[error("the control group {} is frozen: the container would never run", dir.display())]
    Frozen {
        /// Its directory.
        dir: PathBuf,
    },
    /// Something took longer than it may.
    #[error("cannot {action} within {seconds} seconds")]
    Timeout {
        /// What.
        action: String,
        /// How long was waited.
        seconds: u64,
        /// What to do.
        hint: Option<String>,
    },
    /// systemd did not do what it was asked for.
    #[error("cannot {action}: {reason}")]
    Systemd {
        /// What.
        action: String,
        /// What it said.
        reason: String,
        /// What to do.
        hint: Option<String>,
    },
}

impl CgroupError {
    pub(super) fn property(property: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Property { property: property.into(), what: what.into(), hint: None }
    }

    pub(super) fn host(action: impl Into<String>, call: &'static str, path: &Path, error: &io::Error) -> Self {
        let cause = SysError::from_io(call, path.display().to_string(), error);
        Self::Host { action: format!("{} {}", action.into(), path.display()), cause, hint: None }
    }

    pub(super) fn systemd(action: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Systemd { action: action.into(), reason: reason.into(), hint: None }
    }

    #[must_use]
    pub(super) fn hinted(mut self, text: impl Into<String>) -> Self {
        match &mut self {
            Self::Property { hint, .. }
            | Self::Limit { hint, .. }
            | Self::Host { hint, .. }
            | Self::Timeout { hint, .. }
            | Self::Systemd { hint, .. } => *hint = Some(text.into()),
            Self::Busy { .. } | Self::Frozen { .. } => {}
        }
        self
    }

    /// What to do, if that can be said.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Property { hint, .. }
            | Self::Limit { hint, .. }
            | Self::Host { hint, .. }
            | Self::Timeout { hint, .. }
            | Self::Systemd { hint, .. } => hint.as_deref(),
            Self::Busy { .. } => Some("give the container a linux.cgroupsPath of its own"),
            Self::Frozen { .. } => Some("thaw it: write 0 to cgroup.freeze, or THAWED to freezer.state, there"),
        }
    }
}
