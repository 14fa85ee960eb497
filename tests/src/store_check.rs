//! Looks at a store with own eyes: reads the files of spec/05-store.md without any code of ctr.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::oci::digest;
use crate::scratch::names;

/// Names of the store and the digests that they lead to.
pub fn refs(store: &Path) -> BTreeMap<String, String> {
    let dir = store.join("refs");
    let read = |file: String| {
        let json = json(&dir.join(&file)).unwrap_or_else(|why| panic!("ref {file}: {why}"));
        let text = |key: &str| json[key].as_str().unwrap_or_else(|| panic!("ref {file} has no {key}")).to_owned();
        (text("name"), text("digest"))
    };
    names(&dir).into_iter().map(read).collect()
}

/// What is wrong with the store, one line each: a ref without its whole image, an object that is not what its name says.
pub fn complaints(store: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in names(&store.join("refs")) {
        let found = json(&store.join("refs").join(&file)).and_then(|json| check_ref(store, &file, &json));
        if let Err(why) = found {
            wrong.push(format!("ref {file}: {why}"));
        }
    }
    for name in names(&store.join("blobs/sha256")) {
        match fs::read(store.join("blobs/sha256").join(&name)) {
            Ok(bytes) if digest(&bytes) == format!("sha256:{name}") => {}
            Ok(bytes) => wrong.push(format!("blob {name} is {}, {} bytes", digest(&bytes), bytes.len())),
            Err(error) => wrong.push(format!("blob {name}: {error}")),
        }
    }
    for name in names(&store.join("layers")) {
        if let Err(why) = check_layer(&store.join("layers").join(&name)) {
            wrong.push(format!("layer {name}: {why}"));
        }
    }
    for name in names(&store.join("images")) {
        if let Err(why) = json(&store.join("images").join(&name)) {
            wrong.push(format!("launch record {name}: {why}"));
        }
    }
    wrong
}

fn json(path: &Path) -> Result<Value, String> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error} in {bytes:?}", path.display()))
}

fn check_ref(store: &Path, file: &str, json: &Value) -> Result<(), String> {
    let name = json["name"].as_str().ok_or("no name")?;
    if digest(name.as_bytes()) != format!("sha256:{file}") {
        return Err(format!("is not the place of {name}"));
    }
    check_image(store, json["digest"].as_str().ok_or("no digest")?)
}

/// Whether the image `digest` is whole: manifest, config, layer blobs, layer trees, launch record.
pub fn check_image(store: &Path, image: &str) -> Result<(), String> {
    let manifest: Value = serde_json::from_slice(&blob(store, image)?).map_err(|error| error.to_string())?;
    let config_digest = manifest["config"]["digest"].as_str().ok_or("manifest without config")?;
    let config: Value = serde_json::from_slice(&blob(store, config_digest)?).map_err(|error| error.to_string())?;
    let layers = manifest["layers"].as_array().ok_or("manifest without layers")?;
    for layer in layers {
        let digest = layer["digest"].as_str().ok_or("layer without digest")?;
        if blob(store, digest)?.len() as u64 != layer["size"].as_u64().ok_or("layer without size")? {
            return Err(format!("layer blob {digest} has another size"));
        }
    }
    let trees = layer_dirs(store, &config)?;
    if trees.len() != layers.len() {
        return Err("manifest and config count layers differently".to_owned());
    }
    let record = json_file(&store.join("images").join(image.trim_start_matches("sha256:")))?;
    let listed: Vec<PathBuf> = record["layers"]
        .as_array()
        .ok_or("launch record without layers")?
        .iter()
        .map(|id| store.join("layers").join(id.as_str().unwrap_or_default()))
        .collect();
    if record["image"] != image || listed != trees {
        return Err(format!("launch record leads to {listed:?} of {}, not to {trees:?}", record["image"]));
    }
    Ok(())
}

fn json_file(path: &Path) -> Result<Value, String> {
    json(path)
}

fn blob(store: &Path, name: &str) -> Result<Vec<u8>, String> {
    let bytes =
        fs::read(store.join("blobs").join(name.replace(':', "/"))).map_err(|error| format!("blob {name}: {error}"))?;
    if digest(&bytes) == name { Ok(bytes) } else { Err(format!("blob {name} has digest {}", digest(&bytes))) }
}

/// The directories of an image's layers, lowest first: by chain id, else by diff id where the layer stands alone.
fn layer_dirs(store: &Path, config: &Value) -> Result<Vec<PathBuf>, String> {
    let mut dirs = Vec::new();
    let mut chain = String::new();
    for diff_id in config["rootfs"]["diff_ids"].as_array().ok_or("config without diff_ids")? {
        let diff_id = diff_id.as_str().ok_or("diff_id is no text")?;
        chain = if chain.is_empty() { diff_id.to_owned() } else { digest(format!("{chain} {diff_id}").as_bytes()) };
        let by_chain = store.join("layers").join(chain.trim_start_matches("sha256:"));
        let by_diff = store.join("layers").join(diff_id.trim_start_matches("sha256:"));
        let dir = if by_chain.is_dir() { by_chain } else { by_diff };
        let done = check_layer(&dir)?;
        if done["diff_id"] != diff_id {
            return Err(format!("{} is the tree of {}", dir.display(), done["diff_id"]));
        }
        dirs.push(dir);
    }
    Ok(dirs)
}

fn check_layer(dir: &Path) -> Result<Value, String> {
    let done = json(&dir.join("done"))?;
    if !dir.join("fs").is_dir() {
        return Err(format!("{} has no tree", dir.display()));
    }
    Ok(done)
}

/// The `fs` directories of the image that `name` leads to, lowest first.
pub fn layer_trees(store: &Path, image: &str) -> Vec<PathBuf> {
    let manifest: Value = serde_json::from_slice(&blob(store, image).expect("manifest")).expect("JSON");
    let config = blob(store, manifest["config"]["digest"].as_str().expect("config")).expect("config");
    let config: Value = serde_json::from_slice(&config).expect("JSON");
    layer_dirs(store, &config).expect("layers").into_iter().map(|dir| dir.join("fs")).collect()
}

/// Everything that a store and its containers hold, but directories of the layout itself, the format and locks.
pub fn remains(root: &Path) -> Vec<String> {
    let places = [
        "store/blobs/sha256",
        "store/layers",
        "store/images",
        "store/refs",
        "store/tmp",
        "store/partial",
        "store/files",
        "containers/embryo",
        "containers/prepared",
        "containers/run",
        "containers/garbage",
        "containers/names",
    ];
    let all =
        places.iter().flat_map(|place| names(&root.join(place)).into_iter().map(move |name| format!("{place}/{name}")));
    all.filter(|path| !path.ends_with("/.lock")).collect()
}
