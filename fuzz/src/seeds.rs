//! First inputs: the target's own, and the specification's vectors.

use std::fs;
use std::path::Path;

use crate::Target;

/// Reads the first inputs of a target. A JSON vector gives itself and every text in it, because some vectors are lists of cases.
pub fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors");
    let mut seeds: Vec<Vec<u8>> = target.seeds.iter().map(|seed| seed.to_vec()).collect();
    for directory in target.vectors {
        collect(&vectors.join(directory), &mut seeds);
    }
    seeds.push(Vec::new());
    seeds
}

fn collect(path: &Path, seeds: &mut Vec<Vec<u8>>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            collect(&entry.path(), seeds);
        }
    } else if let Ok(bytes) = fs::read(path) {
        if let Ok(value) = serde_json::from_slice(&bytes) {
            texts(&value, seeds);
        }
        seeds.push(bytes);
    }
}

fn texts(value: &serde_json::Value, seeds: &mut Vec<Vec<u8>>) {
    match value {
        serde_json::Value::String(text) => seeds.push(text.clone().into_bytes()),
        serde_json::Value::Array(items) => items.iter().for_each(|item| texts(item, seeds)),
        serde_json::Value::Object(fields) => fields.values().for_each(|item| texts(item, seeds)),
        _ => {}
    }
}
