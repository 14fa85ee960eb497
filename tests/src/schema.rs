//! Checks JSON against the schemas of `spec/schemas/`: the part of JSON Schema 2020-12 that they use. A keyword that is not
//! known here fails the test, so that none is passed over in silence.

use std::path::PathBuf;

use regex_lite::Regex;
use serde_json::Value;

/// The file `name` in `spec/schemas`.
pub fn load(name: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../spec/schemas").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Fails with all that is wrong unless `value` is as the schema `name` says.
pub fn check(name: &str, value: &Value) {
    let mut problems = Vec::new();
    validate(&load(name), value, "$", &mut problems);
    assert!(problems.is_empty(), "not as spec/schemas/{name} says:\n{}\n{value:#}", problems.join("\n"));
}

/// Checks a JSON text.
pub fn check_text(name: &str, text: &str) {
    check(name, &serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}")));
}

/// Adds to `problems` what of `value`, which lies at `at`, is not as `schema` says.
pub fn validate(schema: &Value, value: &Value, at: &str, problems: &mut Vec<String>) {
    let members = schema.as_object().expect("a schema is an object");
    for (keyword, wanted) in members {
        let holds = match keyword.as_str() {
            "$schema" | "$id" | "title" | "description" | "required" | "additionalProperties" => true,
            "type" => match wanted.as_array() {
                Some(several) => several.iter().any(|one| is_type(value, one.as_str().expect("names of types"))),
                None => is_type(value, wanted.as_str().expect("one type, or a list")),
            },
            "const" => value == wanted,
            "enum" => wanted.as_array().expect("a list").contains(value),
            "pattern" => value.as_str().is_none_or(|text| pattern(wanted).is_match(text)),
            "minimum" => value.as_f64().is_none_or(|number| number >= wanted.as_f64().expect("a number")),
            "maximum" => value.as_f64().is_none_or(|number| number <= wanted.as_f64().expect("a number")),
            "maxLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 <= number(wanted)),
            "minItems" => value.as_array().is_none_or(|list| list.len() as u64 >= number(wanted)),
            "maxItems" => value.as_array().is_none_or(|list| list.len() as u64 <= number(wanted)),
            "anyOf" => any_of(wanted, value, at),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    validate(wanted, item, &format!("{at}[{index}]"), problems);
                }
                true
            }
            "properties" => {
                for (name, schema) in wanted.as_object().expect("an object") {
                    if let Some(member) = value.get(name) {
                        validate(schema, member, &format!("{at}.{name}"), problems);
                    }
                }
                true
            }
            other => panic!("keyword \"{other}\" is not known to tests/src/schema.rs"),
        };
        if !holds {
            problems.push(format!("{at} is {value}, not {keyword}: {wanted}"));
        }
    }
    members_of(schema, value, at, problems);
}

fn members_of(schema: &Value, value: &Value, at: &str, problems: &mut Vec<String>) {
    let Some(object) = value.as_object() else { return };
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        if !object.contains_key(name.as_str().expect("a name")) {
            problems.push(format!("{at} has no {name}"));
        }
    }
    let known = |name: &str| schema.get("properties").is_some_and(|properties| properties.get(name).is_some());
    let others = object.iter().filter(|(name, _)| !known(name));
    match schema.get("additionalProperties") {
        None | Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => {
            problems.extend(others.map(|(name, _)| format!("{at} has \"{name}\", which the schema does not know")));
        }
        Some(schema) => others.for_each(|(name, member)| validate(schema, member, &format!("{at}.{name}"), problems)),
    }
}

fn any_of(schemas: &Value, value: &Value, at: &str) -> bool {
    schemas.as_array().expect("a list").iter().any(|schema| {
        let mut problems = Vec::new();
        validate(schema, value, at, &mut problems);
        problems.is_empty()
    })
}

fn is_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("type \"{other}\" is not known to tests/src/schema.rs"),
    }
}

fn pattern(text: &Value) -> Regex {
    Regex::new(text.as_str().expect("a pattern")).expect("a pattern")
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a whole number")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(schema: &Value, value: &Value) -> usize {
        let mut problems = Vec::new();
        validate(schema, value, "$", &mut problems);
        problems.len()
    }

    #[test]
    fn each_keyword_can_fail() {
        let schema = json!({
            "type": "object", "required": ["a"], "additionalProperties": false,
            "properties": {
                "a": {"type": "string", "pattern": "^x+$", "maxLength": 3},
                "b": {"anyOf": [{"type": "null"}, {"type": "integer", "minimum": 1, "maximum": 5}]},
                "c": {"type": "array", "items": {"enum": ["p", "q"]}, "minItems": 1, "maxItems": 2},
                "d": {"const": 1}, "e": {"type": "object", "additionalProperties": {"type": "boolean"}},
            },
        });
        let good = json!({"a": "xx", "b": null, "c": ["p"], "d": 1, "e": {"k": true}});
        assert_eq!(problems(&schema, &good), 0);
        for (name, bad) in [
            ("a", json!(1)),
            ("a", json!("y")),
            ("a", json!("xxxx")),
            ("b", json!(0)),
            ("b", json!(6)),
            ("b", json!("1")),
            ("c", json!([])),
            ("c", json!(["p", "q", "p"])),
            ("c", json!(["r"])),
            ("d", json!(2)),
            ("e", json!({"k": 1})),
            ("f", json!(1)),
        ] {
            let mut value = good.clone();
            value[name] = bad;
            assert_eq!(problems(&schema, &value), 1, "{value}");
        }
        assert_eq!(problems(&schema, &json!({})), 1);
        assert_eq!(problems(&schema, &json!([])), 1);
    }
}
