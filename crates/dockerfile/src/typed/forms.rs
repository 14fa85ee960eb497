//! The two forms of a command: a JSON list of words, or a text for the shell.

use crate::instruction::Command;

/// A JSON list of strings. Anything else is the other form, be it meant or not (the lint tells).
pub(super) fn json(text: &str) -> Option<Vec<String>> {
    if text.starts_with('[') { serde_json::from_str(text).ok() } else { None }
}

/// What a command's text says.
pub(super) fn command(text: &str) -> Command {
    json(text).map_or_else(|| Command::Shell(text.to_owned()), Command::Exec)
}
