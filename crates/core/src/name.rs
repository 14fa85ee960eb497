//! Names that people give: containers and labels.

/// Most bytes of a container's name.
pub const CONTAINER_NAME_MAX: usize = 128;
/// Most bytes of a label's key.
pub const LABEL_KEY_MAX: usize = 255;
/// Most bytes of a label's value.
pub const LABEL_VALUE_MAX: usize = 65_536;

/// Why a name was refused, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("a {0} must not be empty")]
    Empty(&'static str),
    /// Longer than allowed.
    #[error("\"{text}\" is too long for a {what} (at most {max} bytes)")]
    TooLong {
        /// What it should be.
        what: &'static str,
        /// The beginning of the text.
        text: String,
        /// How long it may be.
        max: usize,
    },
    /// A character that has no place there.
    #[error("\"{text}\" cannot be a {what}: {found:?} at character {at} (allowed are {allowed})")]
    Character {
        /// What it should be.
        what: &'static str,
        /// The text.
        text: String,
        /// The character.
        found: char,
        /// Its place, counted from 1.
        at: usize,
        /// What may stand there.
        allowed: &'static str,
    },
}

/// Checks a container's name: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, at most [`CONTAINER_NAME_MAX`] bytes.
///
/// The name becomes a file name, so that `.`, `..` and `/` can never appear.
pub fn check_container_name(text: &str) -> Result<(), NameError> {
    check_file_name("container name", text)
}

/// Checks a volume's name, by the rule of container names: it becomes a file name too.
pub fn check_volume_name(text: &str) -> Result<(), NameError> {
    check_file_name("volume name", text)
}

/// Checks a secret's name, by the rule of container names: it becomes a file name too.
pub fn check_secret_name(text: &str) -> Result<(), NameError> {
    check_file_name("secret name", text)
}

fn check_file_name(what: &'static str, text: &str) -> Result<(), NameError> {
    check_length(what, text, CONTAINER_NAME_MAX)?;
    check_each(what, text, "letters, digits, and after the first also _ . -", |at, c| {
        c.is_ascii_alphanumeric() || (at > 0 && matches!(c, '_' | '.' | '-'))
    })
}

/// Checks a label's key: printable ASCII without space, `=`, quotes and backslash; at most [`LABEL_KEY_MAX`] bytes.
pub fn check_label_key(text: &str) -> Result<(), NameError> {
    let what = "label key";
    check_length(what, text, LABEL_KEY_MAX)?;
    check_each(what, text, "printable ASCII characters but space, =, quotes and \\", |_, c| {
        c.is_ascii_graphic() && !matches!(c, '=' | '"' | '\'' | '`' | '\\')
    })
}

/// Reads `key=value`, or `key` alone, whose value is empty.
pub fn parse_label(text: &str) -> Result<(String, String), NameError> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    check_label_key(key)?;
    if value.len() > LABEL_VALUE_MAX {
        return Err(too_long("label value", value, LABEL_VALUE_MAX));
    }
    Ok((key.to_owned(), value.to_owned()))
}

fn check_length(what: &'static str, text: &str, max: usize) -> Result<(), NameError> {
    match text.len() {
        0 => Err(NameError::Empty(what)),
        len if len > max => Err(too_long(what, text, max)),
        _ => Ok(()),
    }
}

fn too_long(what: &'static str, text: &str, max: usize) -> NameError {
    NameError::TooLong { what, text: format!("{}...", text.chars().take(40).collect::<String>()), max }
}

fn check_each(
    what: &'static str,
    text: &str,
    allowed: &'static str,
    good: impl Fn(usize, char) -> bool,
) -> Result<(), NameError> {
    match text.chars().enumerate().find(|(at, c)| !good(*at, *c)) {
        None => Ok(()),
        Some((at, found)) => Err(NameError::Character { what, text: text.to_owned(), found, at: at + 1, allowed }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_names() {
        for good in ["a", "web-1", "A.b_c", "0"] {
            check_container_name(good).unwrap();
        }
        for bad in ["", "-a", ".a", "..", "a/b", "a b", "ä", "a\0"] {
            assert!(check_container_name(bad).is_err(), "{bad:?}");
        }
        assert!(check_container_name(&"x".repeat(129)).is_err());
    }

    #[test]
    fn labels() {
        assert_eq!(parse_label("a.b/c=d=e").unwrap(), ("a.b/c".into(), "d=e".into()));
        assert_eq!(parse_label("flag").unwrap(), ("flag".into(), String::new()));
        for bad in ["", "=x", "a b=c", "\u{7f}=x"] {
            assert!(parse_label(bad).is_err(), "{bad:?}");
        }
    }
}
