//! The id of a container, as an engine gives it.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

/// The longest id, in bytes: it is the name of a directory and of a control group.
pub const ID_MAX: usize = 255;

/// An id that is safe as a file name: 1 to 255 of `A-Za-z0-9_+.-`, not `.` or `..` (spec/09-oci.md OCI-5).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContainerId(String);

/// Why a text is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// It has no or too many bytes.
    #[error("an id has 1 to {ID_MAX} bytes")]
    Length,
    /// It cannot be a file name everywhere.
    #[error("an id is made of the characters A-Z a-z 0-9 _ + . - and is not \".\" or \"..\"")]
    Characters,
}

impl FromStr for ContainerId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text.is_empty() || text.len() > ID_MAX {
            return Err(IdError::Length);
        }
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_+.-".contains(&byte);
        if !text.bytes().all(good) || matches!(text, "." | "..") {
            return Err(IdError::Characters);
        }
        Ok(Self(text.to_owned()))
    }
}

impl ContainerId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for ContainerId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for ContainerId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_file_names() {
        for good in ["a", "web-1.2_x+y", "...", "-", "-x", &"a".repeat(255), ".hidden"] {
            assert_eq!(good.parse::<ContainerId>().unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "a/b", "/", "a b", "ä", "a\0", "a\nb", "%", &"a".repeat(256)] {
            assert!(bad.parse::<ContainerId>().is_err(), "{bad:?}");
        }
    }
}
