//! What can be wrong with registries.conf, or with a name because of it.

use std::path::PathBuf;

/// Why a name leads to no registry, or a file that says so cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that is there, or was asked for, cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file or list beyond its limit (spec/limits.md).
    #[error("{} has more than {limit}", path.display())]
    TooLarge {
        /// The file or directory.
        path: PathBuf,
        /// The limit with its unit.
        limit: String,
    },
    /// No TOML.
    #[error("{} is not valid TOML: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser says, in one line, with the place.
        message: String,
    },
    /// The old format, which has no `[[registry]]`.
    #[error("{} has the old format (version 1: [registries.search], [registries.insecure], [registries.block])", path.display())]
    Version1 {
        /// The file.
        path: PathBuf,
    },
    /// A setting that means nothing.
    #[error("{}: {key}: {problem}", path.display())]
    Setting {
        /// The file.
        path: PathBuf,
        /// Which setting, as `registry[2].mirror[1].location`.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// `blocked = true`.
    #[error("{name} is blocked by {} (prefix \"{prefix}\")", path.display())]
    Blocked {
        /// The name that was asked for.
        name: String,
        /// The prefix of the table that blocks it.
        prefix: String,
        /// The file that has it.
        path: PathBuf,
    },
    /// A name and a location that give no name together.
    #[error("{name} becomes \"{rewritten}\" by {} (prefix \"{prefix}\"), which names nothing in a registry", path.display())]
    Rewrite {
        /// The name that was asked for.
        name: String,
        /// What came out.
        rewritten: String,
        /// The prefix of the table.
        prefix: String,
        /// The file that has it.
        path: PathBuf,
    },
    /// A name without a registry that could be in several.
    #[error("\"{name}\" names no registry, and {} lists several: it could be {}", path.display(), choices.join(" or "))]
    Ambiguous {
        /// The name as it was written.
        name: String,
        /// The full names that it can stand for.
        choices: Vec<String>,
        /// The file with the list.
        path: PathBuf,
    },
    /// A name without a registry where the list of registries is set, and empty.
    #[error("\"{name}\" names no registry, and the unqualified-search-registries of {} are empty", path.display())]
    NoSearch {
        /// The name as it was written.
        name: String,
        /// The file with the empty list.
        path: PathBuf,
    },
    /// No reference at all.
    #[error(transparent)]
    Reference(#[from] ctr_core::reference::ReferenceError),
}

impl ConfigError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } | Self::TooLarge { .. } | Self::Syntax { .. } | Self::Setting { .. } => {
                Some("containers-registries.conf(5) tells the format".to_owned())
            }
            Self::Version1 { .. } => Some(
                "write unqualified-search-registries = [...], and a [[registry]] table with prefix, insecure or blocked for each \
                 registry of the other lists"
                    .to_owned(),
            ),
            Self::Rewrite { .. } => {
                Some("location has the form HOST[:PORT][/PATH]; a host without a dot needs a port".to_owned())
            }
            Self::Ambiguous { choices, .. } => choices
                .first()
                .map(|choice| format!("write one of the full names, as {choice}, or give the short one an alias there")),
            Self::NoSearch { name, .. } => Some(format!("write the full name, as registry.example.com/{name}")),
            Self::Blocked { .. } | Self::Reference(_) => None,
        }
    }
}
