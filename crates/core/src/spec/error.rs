//! Why a document was refused.

/// An image document that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// More bytes than any honest document has; nothing was parsed.
    #[error("{what} is {size} bytes long, more than the {limit} that are allowed")]
    TooLarge {
        /// Which document.
        what: &'static str,
        /// Its length in bytes.
        size: u64,
        /// The cap.
        limit: u64,
    },
    /// Not JSON, or JSON that two readers could understand differently (a key twice, text behind the end).
    #[error("{what} is not acceptable JSON")]
    Json {
        /// Which document.
        what: &'static str,
        /// Where and why.
        source: serde_json::Error,
    },
    /// JSON, but not what its specification demands.
    #[error("{what}: {why}")]
    Malformed {
        /// Which document.
        what: &'static str,
        /// What is wrong, with the field.
        why: String,
    },
    /// Well-formed, but of a kind that ctr does not take.
    #[error("{what}: {why}")]
    Unsupported {
        /// Which document.
        what: &'static str,
        /// What is not supported.
        why: String,
    },
    /// An image index has nothing for the platform that is wanted.
    #[error("the image has nothing for {wanted} (it has: {available})")]
    NoPlatform {
        /// The platform that was looked for.
        wanted: String,
        /// What the index offers.
        available: String,
    },
}

impl SpecError {
    pub(crate) fn malformed(what: &'static str, why: impl Into<String>) -> Self {
        Self::Malformed { what, why: why.into() }
    }

    pub(crate) fn unsupported(what: &'static str, why: impl Into<String>) -> Self {
        Self::Unsupported { what, why: why.into() }
    }
}
