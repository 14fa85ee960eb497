//! The texts of spec/vectors/ through the parsers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ctr_core::digest::{Digest, DigestError};
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
