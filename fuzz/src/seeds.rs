//! First inputs: the target's own, and the specification's vectors.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::Target;

/// Reads the first inputs of a target. What a vector is depends on its file: a document, an archive, a list of texts.
pub fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let vectors = top.join("spec/vectors");
    let mut seeds: Vec<Vec<u8>> = target.seeds.iter().map(|seed| seed.to_vec()).collect();
    for directory in target.vectors {
        collect(&vectors.join(directory), &mut seeds);
    }
    if let Some((directory, ending)) = target.data {
        files(&top.join(directory), ending, &mut seeds);
    }
    seeds.push(Vec::new());
    seeds
}

/// Files of a directory and below it, in the order of their names.
fn files(directory: &Path, ending: &str, seeds: &mut Vec<Vec<u8>>) {
    let mut paths: Vec<_> = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() && !path.is_symlink() {
            files(&path, ending, seeds);
        } else if path.is_file() && path.to_string_lossy().ends_with(ending) {
            seeds.extend(fs::read(path));
        }
    }
}

fn collect(path: &Path, seeds: &mut Vec<Vec<u8>>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            collect(&entry.path(), seeds);
        }
    } else if let Ok(bytes) = fs::read(path) {
        match serde_json::from_slice::<Value>(&bytes) {
            Ok(Value::Array(vectors)) => vectors.iter().for_each(|vector| document(vector, seeds)),
            Ok(value) => match value.get("vectors").and_then(Value::as_array) {
                Some(vectors) => seeds.extend(vectors.iter().map(script)),
                None => texts(&value, seeds),
            },
            Err(_) => seeds.push(bytes),
        }
    }
}

/// A vector of a document (spec/vectors/README.md "Manifests").
fn document(vector: &Value, seeds: &mut Vec<Vec<u8>>) {
    let json = vector.get("json").map(|json| json.to_string().into_bytes());
    let text = vector.get("text").and_then(Value::as_str).map(|text| text.as_bytes().to_vec());
    seeds.extend(json.or(text));
}

/// A vector of an archive (same place, "Archives") as the lines that the tar target reads.
fn script(vector: &Value) -> Vec<u8> {
    let entries = vector.get("entries").and_then(Value::as_array);
    let lines = entries.into_iter().flatten().map(|entry| {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        let kind = match text("type") {
            "dir" => "d",
            "symlink" => "l",
            "hardlink" => "h",
            "fifo" => "p",
            "char" => "c",
            "block" => "b",
            "global" => "g",
            one if one.len() == 1 => one,
            _ => "f",
        };
        format!("{kind} {} {}\n", text("name"), text("link"))
    });
    lines.collect::<String>().into_bytes()
}

/// Every text of a list of cases.
fn texts(value: &Value, seeds: &mut Vec<Vec<u8>>) {
    match value {
        Value::String(text) => seeds.push(text.clone().into_bytes()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, seeds)),
        Value::Object(fields) => fields.values().for_each(|item| texts(item, seeds)),
        _ => {}
    }
}
