//! `org.systemd.property.NAME` annotations: values in the text form of GVariant, of simple types, as runc and crun take them.

use std::collections::BTreeMap;

use super::super::CgroupError;
use super::wire::{Properties, Value};

const PREFIX: &str = "org.systemd.property.";

/// The properties that annotations ask for.
pub(super) fn of_annotations(annotations: &BTreeMap<String, String>) -> Result<Properties, CgroupError> {
    let mut properties = Vec::new();
    for (annotation, text) in annotations {
        let Some(name) = annotation.strip_prefix(PREFIX) else { continue };
        let error = |what: &str| CgroupError::property(format!("annotations.{annotation}"), what.to_owned());
        if name.len() < 3 || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Err(error("it is no name of a property of a unit"));
        }
        let value = parse(text)
            .ok_or_else(|| error("its value is no simple GVariant: true, 5, uint64 5, 'text' or ['a', 'b']"))?;
        properties.push(in_microseconds(name, value).ok_or_else(|| error("it is no number of seconds"))?);
    }
    Ok(properties)
}

/// Times are `...USec` on the bus; `...Sec` is how unit files have them.
fn in_microseconds(name: &str, value: Value) -> Option<(String, Value)> {
    let Some(stem) = name.strip_suffix("Sec").filter(|stem| !stem.ends_with('U')) else {
        return Some((name.to_owned(), value));
    };
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time")]
    let micros = match value {
        Value::U64(number) => number.checked_mul(1_000_000)?,
        Value::U32(number) => u64::from(number) * 1_000_000,
        Value::I32(number) => u64::try_from(number).ok()? * 1_000_000,
        Value::I64(number) => u64::try_from(number).ok()?.checked_mul(1_000_000)?,
        Value::F64(number) if (0.0..u64::MAX as f64 / 1e6).contains(&number) => (number * 1e6) as u64,
        _ => return None,
    };
    Some((format!("{stem}USec"), Value::U64(micros)))
}

fn parse(text: &str) -> Option<Value> {
    let text = text.trim();
    if let Some(list) = text.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
        return strings(list).map(Value::Strs);
    }
    if let Some((kind, number)) = text.split_once(' ') {
        let number = number.trim();
        match kind {
            "uint32" => return number.parse().ok().map(Value::U32),
            "int32" => return number.parse().ok().map(Value::I32),
            "uint64" => return number.parse().ok().map(Value::U64),
            "int64" => return number.parse().ok().map(Value::I64),
            "double" => return number.parse().ok().map(Value::F64),
            "boolean" => return number.parse().ok().map(Value::Bool),
            "string" | "objectpath" => {
                return quoted(number).filter(|(_, rest)| rest.is_empty()).map(|(text, _)| Value::Str(text));
            }
            _ => {}
        }
    }
    match text {
        "true" => return Some(Value::Bool(true)),
        "false" => return Some(Value::Bool(false)),
        _ => {}
    }
    if let Some((text, rest)) = quoted(text) {
        return rest.is_empty().then_some(Value::Str(text));
    }
    if text.contains('.') {
        return text.parse().ok().map(Value::F64);
    }
    text.parse().ok().map(Value::I32)
}

/// A text between quotes and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Some((out, text.get(at + 1..)?.trim_start())),
            '\\' => out.push(match chars.next()?.1 {
                'n' => '\n',
                't' => '\t',
                other => other,
            }),
            c => out.push(c),
        }
    }
    None
}

fn strings(list: &str) -> Option<Vec<String>> {
    let mut texts = Vec::new();
    let mut rest = list.trim();
    while !rest.is_empty() {
        let (text, after) = quoted(rest)?;
        texts.push(text);
        rest = match after.strip_prefix(',') {
            Some(after) => after.trim_start(),
            None if after.is_empty() => after,
            None => return None,
        };
    }
    Some(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_properties() {
        let one = |name: &str, text: &str| {
            let annotations = BTreeMap::from([(format!("{PREFIX}{name}"), text.to_owned())]);
            of_annotations(&annotations).map(|mut properties| properties.remove(0)).map_err(|error| error.to_string())
        };
        for (name, text, as_name, value) in [
            ("TimeoutStopUSec", "uint64 123456789", "TimeoutStopUSec", Value::U64(123_456_789)),
            ("TimeoutStopSec", "uint64 5", "TimeoutStopUSec", Value::U64(5_000_000)),
            ("TimeoutStopSec", "1.5", "TimeoutStopUSec", Value::U64(1_500_000)),
            ("CollectMode", "'inactive-or-failed'", "CollectMode", Value::Str("inactive-or-failed".to_owned())),
            ("Description", "\"it's \\\"it\\\"\"", "Description", Value::Str("it's \"it\"".to_owned())),
            ("SendSIGHUP", "true", "SendSIGHUP", Value::Bool(true)),
            ("OOMScore", "-5", "OOMScore", Value::I32(-5)),
            (
                "After",
                "['a.service', 'b.service']",
                "After",
                Value::Strs(vec!["a.service".to_owned(), "b.service".to_owned()]),
            ),
        ] {
            assert_eq!(one(name, text), Ok((as_name.to_owned(), value)), "{text}");
        }
        for (name, text) in [
            ("x", "true"),
            ("Bad-Name", "true"),
            ("Name", ""),
            ("Name", "'open"),
            ("Name", "[1]"),
            ("Name", "nonsense"),
            ("Name", "uint64 -1"),
            ("Name", "'a' 'b'"),
            ("FooSec", "'x'"),
            ("FooSec", "-1"),
        ] {
            assert!(one(name, text).unwrap_err().starts_with("annotations.org.systemd.property."), "{name} {text}");
        }
        assert_eq!(of_annotations(&BTreeMap::from([("other".to_owned(), "x".to_owned())])).unwrap(), []);
    }
}
