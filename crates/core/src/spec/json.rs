//! JSON as a careful reader takes it: capped, not too deep, no key twice, nothing behind the end.
//!
//! A key that stands twice is read differently by different programs, so that one document could mean one image to the
//! program that checks it and another to the program that runs it. serde_json keeps the last; here it is an error.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{MAX_DOCUMENT, MAX_NESTING, SpecError};

/// The value of `bytes`, or why they are refused. `what` names the document in messages.
pub(super) fn parse(bytes: &[u8], what: &'static str) -> Result<Value, SpecError> {
    let size = bytes.len() as u64;
    if size > MAX_DOCUMENT {
        return Err(SpecError::TooLarge { what, size, limit: MAX_DOCUMENT });
    }
    let json = |source| SpecError::Json { what, source };
    let depth = Cell::new(0);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: &depth }.deserialize(&mut deserializer).map_err(json)?;
    deserializer.end().map_err(json)?;
    Ok(value)
}

/// Builds a [`Value`] and looks at every key on the way.
#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: &'a Cell<usize>,
}

impl Strict<'_> {
    fn enter<E: serde::de::Error>(self) -> Result<(), E> {
        let depth = self.depth.get() + 1;
        if depth > MAX_NESTING {
            return Err(E::custom(format_args!("nested deeper than {MAX_NESTING} levels")));
        }
        self.depth.set(depth);
        Ok(())
    }

    fn leave(self) {
        self.depth.set(self.depth.get().saturating_sub(1));
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        self.enter()?;
        let mut values = Vec::new();
        while let Some(value) = seq.next_element_seed(self)? {
            values.push(value);
        }
        self.leave();
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        self.enter()?;
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(self)?;
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key \"{key}\" stands twice in one object")));
            }
            object.insert(key, value);
        }
        self.leave();
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_serde_json_takes() {
        let text = r#"{"a":[1,-2,3.5,true,null,"xA"],"b":{"a":{}}}"#;
        assert_eq!(parse(text.as_bytes(), "test").unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn refuses_what_is_ambiguous_or_too_deep() {
        let deep = format!("{}{}", "[".repeat(MAX_NESTING + 1), "]".repeat(MAX_NESTING + 1));
        for (text, reason) in [
            (r#"{"a":1,"a":2}"#, "stands twice"),
            (r#"{"x":[{"a":1,"b":2,"a":1}]}"#, "stands twice"),
            (r#"{"a":1,"\u0061":2}"#, "stands twice"),
            (deep.as_str(), "nested deeper"),
            (r#"{"a":1} {"b":2}"#, "trailing characters"),
            (r"", "EOF"),
            (r#"{"a":"#, "EOF"),
            ("{\"a\":\"\u{1}\"}", "control character"),
        ] {
            let Err(SpecError::Json { source, .. }) = parse(text.as_bytes(), "test") else {
                panic!("accepted: {text}");
            };
            assert!(source.to_string().contains(reason), "{text}: {source}");
        }
        assert!(parse(b"{\"a\":\"\xff\"}", "test").is_err(), "invalid UTF-8");
    }

    #[test]
    fn nesting_up_to_the_limit_is_taken_wherever_it_stands() {
        let most = format!("{}{}", "[".repeat(MAX_NESTING), "]".repeat(MAX_NESTING));
        assert!(parse(most.as_bytes(), "test").is_ok());
        let wide = format!("[{}]", vec!["[[]]"; 500].join(","));
        assert!(parse(wide.as_bytes(), "test").is_ok(), "depth counts levels, not brackets");
    }

    #[test]
    fn a_document_over_the_cap_is_not_parsed() {
        let big = vec![b' '; usize::try_from(MAX_DOCUMENT).unwrap() + 1];
        assert!(matches!(parse(&big, "test"), Err(SpecError::TooLarge { .. })));
    }
}
