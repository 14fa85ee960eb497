//! The documents of spec/vectors/manifests/ through the parsers.
#![cfg(feature = "oci")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ctr_core::digest::Digest;
use ctr_core::spec::oci::{self, Descriptor, Document, MediaType};
use ctr_core::spec::platform::Platform;
use ctr_core::spec::{SpecError, appc, docker};
use ctr_tests::vectors::{Bytes, load};
use serde_json::{Value, json};

fn kind(error: &SpecError) -> &'static str {
    match error {
        SpecError::TooLarge { .. } => "too-large",
        SpecError::Json { .. } => "json",
        SpecError::Malformed { .. } => "malformed",
        SpecError::Unsupported { .. } => "unsupported",
        SpecError::NoPlatform { .. } => "no-platform",
    }
}

/// Runs `parse`, which tells what it has read, on every vector of `file`.
fn run(file: &str, parse: impl Fn(&[u8], &Value) -> Result<Value, SpecError>) {
    let vectors: Vec<Value> = load(&format!("manifests/{file}"));
    let mut failed = Vec::new();
    for vector in &vectors {
        let bytes = match vector.get("text") {
            Some(text) => serde_json::from_value::<Bytes>(text.clone()).unwrap().bytes(),
            None => serde_json::to_vec(&vector["json"]).unwrap(),
        };
        let problem = match (parse(&bytes, vector), vector["expect"].get("error")) {
            (Ok(found), None) => {
                let wanted = vector["expect"]["ok"].as_object().unwrap();
                let differs = wanted.iter().find(|(key, value)| found.get(key.as_str()) != Some(value));
                differs.map(|(key, value)| format!("{key} is {:?}, not {value}", found.get(key)))
            }
            (Err(error), Some(wanted)) if wanted == kind(&error) => None,
            (Err(error), wanted) => Some(format!("refused as {} ({error}), wanted {wanted:?}", kind(&error))),
            (Ok(_), Some(wanted)) => Some(format!("taken, wanted {wanted}")),
        };
        failed.extend(problem.map(|problem| format!("{}: {problem}", vector["name"])));
    }
    assert!(failed.is_empty(), "{file}: {} of {} failed:\n{}", failed.len(), vectors.len(), failed.join("\n"));
}

#[test]
fn manifests_and_indexes() {
    // spec: CFG-2 to CFG-7, TYPE-60 to TYPE-62
    run("documents.json", |bytes, vector| {
        let declared = vector.get("media_type").and_then(Value::as_str).map(MediaType::from);
        Ok(match oci::parse_document(bytes, declared.as_ref())? {
            Document::Manifest(manifest) => {
                json!({"is": "manifest", "layers": manifest.layers.len(), "config": manifest.config.digest})
            }
            Document::Index(index) => json!({"is": "index", "manifests": index.manifests.len()}),
        })
    });
}

#[test]
fn configs() {
    // spec: CFG-6, CFG-10
    run("configs.json", |bytes, vector| {
        let layers = usize::try_from(vector["layers"].as_u64().unwrap()).unwrap();
        let config = oci::parse_config(bytes, layers)?;
        Ok(json!({
            "entrypoint": config.entrypoint, "cmd": config.cmd, "env": config.env, "user": config.user,
            "working_dir": config.working_dir, "stop_signal": config.stop_signal, "volumes": config.volumes,
            "exposed_ports": config.exposed_ports, "platform": config.platform.to_string(),
        }))
    });
}

#[test]
fn layouts() {
    // spec: ACI-24
    run("layouts.json", |bytes, _| oci::check_layout(bytes).map(|()| json!({})));
}

#[test]
fn docker_archives() {
    // spec: ACI-40
    run("docker.json", |bytes, _| docker::parse(bytes).map(|images| json!({"images": images.len()})));
}

#[test]
fn appc_manifests() {
    // spec: ACI-52 to ACI-54
    run("appc.json", |bytes, _| {
        let image = appc::parse(bytes)?;
        let config = image.config;
        Ok(json!({
            "name": image.name, "entrypoint": config.entrypoint, "env": config.env, "user": config.user,
            "working_dir": config.working_dir, "volumes": config.volumes, "exposed_ports": config.exposed_ports,
            "platform": config.platform.map(|platform| platform.to_string()),
            "annotations": image.annotations.keys().collect::<Vec<_>>(),
        }))
    });
}

#[test]
fn platforms_of_an_index() {
    // spec: CFG-11, CFG-12
    for vector in load::<Vec<Value>>("manifests/platforms.json") {
        let offer = |platform: &Value| {
            let platform = platform.as_str().map(|text| text.parse::<Platform>().unwrap());
            Descriptor { platform, ..Descriptor::new(MediaType::MANIFEST, Digest::of(b"x"), 1) }
        };
        let offers: Vec<Descriptor> = vector["offers"].as_array().unwrap().iter().map(offer).collect();
        let wanted: Platform = vector["platform"].as_str().unwrap().parse().unwrap();
        let choice = wanted.choose(&offers).ok().map(|at| at as u64);
        assert_eq!(choice, vector["choice"].as_u64(), "{}", vector["name"]);
    }
}
