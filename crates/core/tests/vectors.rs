//! The texts of spec/vectors/ through the parsers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ctr_core::digest::{Digest, DigestError};
use ctr_core::name::{check_container_name, parse_label};
use ctr_core::quantity::{Cpus, parse_cpus, parse_duration, parse_size};
use ctr_core::reference::Reference;
use ctr_tests::vectors::{Bytes, load};
use serde_json::Value;

/// The members of a list, each a text or an object whose `text` is one.
fn texts(list: &Value) -> Vec<(String, &Value)> {
    let text = |value: &Value| -> String {
        let bytes: Bytes = serde_json::from_value(value.get("text").unwrap_or(value).clone()).unwrap();
        bytes.text()
    };
    let list = list.as_array().expect("a list of vectors");
    assert!(!list.is_empty());
    list.iter().map(|value| (text(value), value)).collect()
}

fn as_text(value: &Value) -> String {
    serde_json::from_value::<Bytes>(value.clone()).unwrap().text()
}

#[test]
fn digests() {
    // spec: TYPE-1, TYPE-2
    let vectors: Value = load("digests.json");
    for (text, _) in texts(&vectors["good"]) {
        assert_eq!(text.parse::<Digest>().unwrap().to_string(), text);
    }
    for (text, _) in texts(&vectors["unsupported"]) {
        assert!(matches!(text.parse::<Digest>(), Err(DigestError::Unsupported(_))), "{text:?}");
    }
    for (text, _) in texts(&vectors["malformed"]) {
        assert!(matches!(text.parse::<Digest>(), Err(DigestError::Malformed(_))), "{text:?}");
    }
    for vector in vectors["of"].as_array().unwrap() {
        assert_eq!(Digest::of(as_text(&vector["content"]).as_bytes()).to_string(), vector["digest"].as_str().unwrap());
    }
}

#[test]
fn names_and_labels() {
    // spec: TYPE-20, TYPE-23
    let vectors: Value = load("names.json");
    for (text, _) in texts(&vectors["container_names"]["good"]) {
        check_container_name(&text).unwrap_or_else(|error| panic!("{error}"));
    }
    for (text, vector) in texts(&vectors["container_names"]["bad"]) {
        assert!(check_container_name(&text).is_err(), "{text:?}: {}", vector["why"]);
    }
    for (text, vector) in texts(&vectors["labels"]["good"]) {
        let (key, value) = parse_label(&text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((key, value), (as_text(&vector["key"]), as_text(&vector["value"])));
    }
    for (text, vector) in texts(&vectors["labels"]["bad"]) {
        assert!(parse_label(&text).is_err(), "{text:?}: {}", vector["why"]);
    }
}

#[test]
fn references() {
    // spec: TYPE-10 to TYPE-15
    let vectors: Value = load("references.json");
    for (text, vector) in texts(&vectors["good"]) {
        let normalized = as_text(&vector["normalized"]);
        let parsed: Reference = text.parse().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(parsed.to_string(), normalized);
        assert_eq!(normalized.parse::<Reference>().unwrap().to_string(), normalized, "stable");
    }
    for (text, vector) in texts(&vectors["bad"]) {
        assert!(text.parse::<Reference>().is_err(), "{text:?}: {}", vector["why"]);
    }
}

#[test]
fn quantities() {
    // spec: TYPE-30 to TYPE-35
    let vectors: Value = load("quantities.json");
    for (text, vector) in texts(&vectors["sizes"]["good"]) {
        assert_eq!(parse_size(&text).ok(), vector["bytes"].as_u64(), "{text:?}");
    }
    for (text, vector) in texts(&vectors["cpus"]["good"]) {
        assert_eq!(parse_cpus(&text).ok().map(Cpus::nanos), vector["nanos"].as_u64(), "{text:?}");
    }
    for (text, vector) in texts(&vectors["durations"]["good"]) {
        let found = parse_duration(&text).ok().map(|duration| duration.as_nanos());
        assert_eq!(found, vector["nanos"].as_u64().map(u128::from), "{text:?}");
    }
    for (text, _) in texts(&vectors["sizes"]["bad"]) {
        assert!(parse_size(&text).is_err(), "{text:?}");
    }
    for (text, _) in texts(&vectors["cpus"]["bad"]) {
        assert!(parse_cpus(&text).is_err(), "{text:?}");
    }
    for (text, _) in texts(&vectors["durations"]["bad"]) {
        assert!(parse_duration(&text).is_err(), "{text:?}");
    }
}
