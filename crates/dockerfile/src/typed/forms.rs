//! The two forms of a command: a JSON list of words, or a text for the shell.

use serde_json::Value;

use crate::error::ErrorKind;
use crate::instruction::Command;

/// A JSON list of strings. A list of other things is an error, anything else is the other form, be it meant or not.
pub(super) fn json(text: &str) -> Result<Option<Vec<String>>, ErrorKind> {
    let Some(list) = list(text) else { return Ok(None) };
    let word = |value| match value {
        Value::String(word) => Ok(word),
        _ => Err(ErrorKind::NotTexts),
    };
    list.into_iter().map(word).collect::<Result<_, _>>().map(Some)
}

fn list(text: &str) -> Option<Vec<Value>> {
    if text.starts_with('[') { serde_json::from_str(text).ok() } else { None }
}

/// Whether the text is a JSON list, of whatever.
pub(crate) fn is_list(text: &str) -> bool {
    list(text).is_some()
}

/// What a command's text says.
pub(super) fn command(text: &str) -> Result<Command, ErrorKind> {
    Ok(json(text)?.map_or_else(|| Command::Shell(text.to_owned()), Command::Exec))
}
