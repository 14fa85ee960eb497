//! Small images made by hand: one file per layer, a config and a manifest that are right as far as the store looks.
#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

use std::fs;

use ctr_core::digest::Digest;
use ctr_core::launch::{LAUNCH_VERSION, LaunchRecord, LayerId};
use ctr_core::reference::Reference;
use ctr_core::store::{LayerDone, Store, Txn};

/// An image to be brought into a store.
pub(crate) struct Image {
    /// Content of its layers: each has one file of this name.
    pub(crate) layers: Vec<String>,
    pub(crate) config: Vec<u8>,
    pub(crate) manifest: Vec<u8>,
}

impl Image {
    pub(crate) fn new(name: &str, layers: &[&str]) -> Self {
        let config = format!(r#"{{"name":"{name}"}}"#).into_bytes();
        let descriptor = |digest: Digest, size: usize| format!(r#"{{"digest":"{digest}","size":{size}}}"#);
        let blobs: Vec<String> = layers
            .iter()
            .map(|layer| descriptor(Digest::of(blob_of(layer).as_bytes()), blob_of(layer).len()))
            .collect();
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#,
            descriptor(Digest::of(&config), config.len()),
            blobs.join(",")
        );
        Self {
            layers: layers.iter().map(|layer| (*layer).to_owned()).collect(),
            config,
            manifest: manifest.into_bytes(),
        }
    }
}

/// The "archive" of a layer.
pub(crate) fn blob_of(layer: &str) -> String {
    format!("archive of {layer}")
}

/// Puts a layer with one file `name` into `txn`.
pub(crate) fn put_layer(txn: &Txn, name: &str, diff_id: Digest, chain_id: Digest, self_contained: bool) -> LayerId {
    let staging = txn.layer_staging().unwrap();
    fs::write(staging.fs().join(name), name).unwrap();
    let done =
        LayerDone { diff_id, chain_id, self_contained, max_uid: 0, max_gid: 0, entries: 0, bytes: 0, counted: false };
    txn.publish_layer(staging, done).unwrap()
}

/// Brings an image in as ctr-fetch does: asks first, locks, asks again, writes, commits.
pub(crate) fn add_image(store: &Store, image: &Image, names: &[&str]) -> LaunchRecord {
    let txn = store.begin().unwrap();
    let mut ids = Vec::new();
    let mut chain = Digest::of(b"");
    for layer in &image.layers {
        let blob = blob_of(layer);
        let (digest, size) = (Digest::of(blob.as_bytes()), blob.len() as u64);
        let diff = Digest::of(format!("diff {layer}").as_bytes());
        chain = Digest::of(format!("{chain} {diff}").as_bytes());
        let lock = txn.lock_digest(&diff).unwrap();
        if !txn.has_blob(&digest, size).unwrap() {
            txn.put_blob(blob.as_bytes(), Some((digest, size))).unwrap();
        }
        let id = if let Some((id, _)) = txn.find_layer(&chain, &diff).unwrap() {
            id
        } else {
            let staging = txn.layer_staging().unwrap().hold(lock);
            fs::write(staging.fs().join(layer), layer).unwrap();
            let done = LayerDone {
                diff_id: diff,
                chain_id: chain,
                self_contained: true,
                max_uid: 0,
                max_gid: 0,
                entries: 0,
                bytes: 0,
                counted: false,
            };
            txn.publish_layer(staging, done).unwrap()
        };
        ids.push(id);
    }
    for bytes in [&image.config, &image.manifest] {
        let (digest, size) = (Digest::of(bytes), bytes.len() as u64);
        if !txn.has_blob(&digest, size).unwrap() {
            txn.put_blob(bytes, Some((digest, size))).unwrap();
        }
    }
    let launch = launch_record(image, ids);
    let names: Vec<Reference> = names.iter().map(|name| name.parse().unwrap()).collect();
    txn.commit_image(&launch, &names).unwrap();
    launch
}

/// The launch record of an image.
pub(crate) fn launch_record(image: &Image, layers: Vec<LayerId>) -> LaunchRecord {
    LaunchRecord {
        version: LAUNCH_VERSION,
        image: Digest::of(&image.manifest),
        config: Digest::of(&image.config),
        os: "linux".into(),
        architecture: "amd64".into(),
        variant: String::new(),
        layers,
        max_uid: 0,
        max_gid: 0,
        entrypoint: vec!["/bin/true".into()],
        cmd: Vec::new(),
        env: Vec::new(),
        user: String::new(),
        working_dir: String::new(),
        stop_signal: String::new(),
        volumes: Vec::new(),
        exposed_ports: Vec::new(),
        labels: std::collections::BTreeMap::new(),
    }
}
