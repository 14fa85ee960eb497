//! What cannot be done about a `config.json`, by its property.

/// Why a configuration cannot be translated. Every error names the property as a path: `mounts[3].options[2]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TranslateError {
    /// It is written for a version of the specification that is not known.
    #[error("ociVersion: \"{}\" is none of runtime-spec 1.0 to 1.3", found.escape_debug())]
    Version {
        /// As it is written.
        found: String,
    },
    /// A property that is needed is not there.
    #[error("{property}: it is required")]
    Missing {
        /// Which.
        property: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A property has a value that it cannot have.
    #[error("{property}: {what}")]
    Invalid {
        /// Which.
        property: String,
        /// What is wrong with it.
        what: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The host cannot give what a property asks for.
    #[error("{property}: {what}")]
    Unavailable {
        /// Which.
        property: String,
        /// What this host lacks.
        what: String,
        /// What to do.
        hint: Option<String>,
    },
}

impl TranslateError {
    pub(super) fn missing(property: impl Into<String>) -> Self {
        Self::Missing { property: property.into(), hint: None }
    }

    pub(super) fn invalid(property: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Invalid { property: property.into(), what: what.into(), hint: None }
    }

    pub(super) fn unavailable(property: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Unavailable { property: property.into(), what: what.into(), hint: None }
    }

    /// Adds what to do.
    pub(super) fn hinted(mut self, text: impl Into<String>) -> Self {
        if let Self::Missing { hint, .. } | Self::Invalid { hint, .. } | Self::Unavailable { hint, .. } = &mut self {
            *hint = Some(text.into());
        }
        self
    }

    /// The property that it is about.
    pub fn property(&self) -> &str {
        match self {
            Self::Version { .. } => "ociVersion",
            Self::Missing { property, .. } | Self::Invalid { property, .. } | Self::Unavailable { property, .. } => {
                property
            }
        }
    }

    /// What to do, if that can be said.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Version { .. } => Some("let the engine write a version from 1.0.0 to 1.3.0"),
            Self::Missing { hint, .. } | Self::Invalid { hint, .. } | Self::Unavailable { hint, .. } => hint.as_deref(),
        }
    }
}
