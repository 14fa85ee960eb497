//! Images as flat trees, and the lines of `expected`: what `described` of tests/conformance/build_cases.py does, once more.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::oci::{digest, filter};
use crate::tarball::Entry;
use crate::untar;

/// Members of a config that are compared, in their order in `expected`.
const CONFIG: &[&str] = &[
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "Healthcheck",
    "Shell",
    "OnBuild",
];

/// Path without its first slash -> what is there.
pub type Tree = BTreeMap<String, Entry>;

/// Path without its first slash -> the line of `expected` behind it.
pub type Listing = BTreeMap<String, String>;

/// An image, as it was read from a layout.
#[derive(Debug)]
pub struct Image {
    /// Digest of the manifest.
    pub digest: String,
    /// Its layers over each other.
    pub tree: Tree,
    /// The whole config.
    pub config: Value,
}

impl Image {
    /// The only image of a layout; statements about it do not count. All digests and sizes are looked at.
    pub fn of_layout(dir: &Path) -> Result<Self, String> {
        let index = parse(&fs::read(dir.join("index.json")).map_err(|error| format!("index.json: {error}"))?)?;
        let images: Vec<&Value> = list(&index["manifests"])?
            .iter()
            .filter(|one| one["annotations"]["vnd.docker.reference.type"].is_null())
            .collect();
        let [image] = images[..] else { return Err(format!("not one image: {index}")) };
        let manifest = parse(&blob(dir, image)?)?;
        let config = parse(&blob(dir, &manifest["config"])?)?;
        let layers = list(&manifest["layers"])?;
        let layers: Vec<Vec<u8>> =
            layers.iter().map(|layer| blob(dir, layer).map(plain)).collect::<Result<_, String>>()?;
        let found: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
        if config["rootfs"]["diff_ids"] != Value::from(found.clone()) {
            return Err(format!("the layers are {found:?}, not {}", config["rootfs"]["diff_ids"]));
        }
        let digest = image["digest"].as_str().unwrap_or_default().to_owned();
        Ok(Self { digest, tree: merged(&layers)?, config })
    }

    /// In what another image is not this one, to the last byte; the first difference of a layer or a config tells more than the digests.
    pub fn is_not(&self, other: &Self) -> Vec<String> {
        if self.digest == other.digest {
            return Vec::new();
        }
        let mut lines = vec![format!("{} is not {}", other.digest, self.digest)];
        let times = |tree: &Tree| -> BTreeMap<String, u64> {
            tree.iter().map(|(name, entry)| (name.clone(), entry.mtime)).collect()
        };
        let (ours, theirs) = (listing(&self.tree), listing(&other.tree));
        lines.extend(
            ours.iter()
                .filter(|(name, line)| theirs.get(*name) != Some(line))
                .map(|(name, line)| format!("- {name} {line}")),
        );
        lines.extend(
            theirs
                .iter()
                .filter(|(name, line)| ours.get(*name) != Some(line))
                .map(|(name, line)| format!("+ {name} {line}")),
        );
        let (ours, theirs) = (times(&self.tree), times(&other.tree));
        let older = ours.iter().filter_map(|(name, time)| {
            theirs.get(name).filter(|other| *other != time).map(|other| (name, time, other))
        });
        lines.extend(older.map(|(name, time, other)| format!("/{name} is of {time} and {other}")));
        lines.truncate(20);
        if self.config != other.config {
            lines.push(format!("- {}\n+ {}", self.config, other.config));
        }
        lines
    }

    /// The lines of `expected`: what differs from `base`, or from nothing if the image is not made of that, and the config.
    pub fn lines(&self, base: &Listing) -> Vec<String> {
        let mut lines = differences(&listing(&self.tree), base);
        for key in CONFIG {
            let value = &self.config["config"][key];
            let empty = match value {
                Value::Null => true,
                Value::String(text) => text.is_empty(),
                Value::Array(items) => items.is_empty(),
                Value::Object(members) => members.is_empty(),
                _ => false,
            };
            if !empty {
                lines.push(format!("{key}: {}", json(value)));
            }
        }
        lines
    }
}

fn parse(bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(|error| format!("{error} in {}", String::from_utf8_lossy(bytes)))
}

fn list(value: &Value) -> Result<&Vec<Value>, String> {
    value.as_array().ok_or_else(|| format!("no list: {value}"))
}

/// The blob of a descriptor.
fn blob(dir: &Path, descriptor: &Value) -> Result<Vec<u8>, String> {
    let name = descriptor["digest"].as_str().ok_or_else(|| format!("no digest: {descriptor}"))?;
    let bytes = fs::read(dir.join("blobs").join(name.replace(':', "/"))).map_err(|error| format!("{name}: {error}"))?;
    if digest(&bytes) != name || descriptor["size"].as_u64() != Some(bytes.len() as u64) {
        return Err(format!("{descriptor} is {}, {} bytes", digest(&bytes), bytes.len()));
    }
    Ok(bytes)
}

/// The tar inside of a layer.
fn plain(bytes: Vec<u8>) -> Vec<u8> {
    match bytes[..] {
        [0x1f, 0x8b, ..] => filter("gzip", &["-dc"], &bytes),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => filter("zstd", &["-dcq"], &bytes),
        _ => bytes,
    }
}

/// Layers over each other, lowest first (OCI image-spec, layer.md).
pub fn merged(layers: &[Vec<u8>]) -> Result<Tree, String> {
    let mut tree = Tree::new();
    for layer in layers {
        let mut added = BTreeSet::new();
        for entry in untar::read(layer)? {
            let name = clean(&entry.name);
            let (parent, last) = name.rsplit_once('/').unwrap_or(("", &name));
            if last == ".wh..wh..opq" {
                let hidden = below(&tree, parent).into_iter().filter(|name| !added.contains(name));
                hidden.collect::<Vec<_>>().iter().for_each(|name| drop(tree.remove(name)));
                continue;
            }
            if let Some(gone) = last.strip_prefix(".wh.") {
                forget(&mut tree, &if parent.is_empty() { gone.to_owned() } else { format!("{parent}/{gone}") });
                continue;
            }
            if name.is_empty() {
                continue;
            }
            let mut entry = entry;
            if entry.kind == b'1' {
                let target = clean(&entry.link);
                entry = tree.get(&target).cloned().ok_or_else(|| format!("{name} is linked to {target}: no such"))?;
            }
            if entry.kind != b'5' {
                forget(&mut tree, &name);
            }
            added.insert(name.clone());
            tree.insert(name, entry);
        }
    }
    Ok(tree)
}

/// `a/b` of `./a//b/`.
fn clean(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    text.split('/').filter(|part| !part.is_empty() && *part != ".").collect::<Vec<_>>().join("/")
}

fn below(tree: &Tree, dir: &str) -> Vec<String> {
    if dir.is_empty() {
        return tree.keys().cloned().collect();
    }
    // `0` follows `/`.
    tree.range(format!("{dir}/")..format!("{dir}0")).map(|(name, _)| name.clone()).collect()
}

fn forget(tree: &mut Tree, name: &str) {
    tree.remove(name);
    below(tree, name).iter().for_each(|name| drop(tree.remove(name)));
}

/// The lines of a tree.
pub fn listing(tree: &Tree) -> Listing {
    tree.iter().map(|(name, entry)| (name.clone(), line(entry))).collect()
}

/// The word for the type of an entry.
pub fn kind(entry: &Entry) -> &'static str {
    match entry.kind {
        b'2' => "link",
        b'3' => "character",
        b'4' => "block",
        b'5' => "directory",
        b'6' => "fifo",
        _ => "file",
    }
}

fn line(entry: &Entry) -> String {
    let mode = if entry.kind == b'2' { 0o777 } else { entry.mode & 0o7777 };
    let mut text = format!("{} {mode:04o} {}:{}", kind(entry), entry.uid, entry.gid);
    match entry.kind {
        b'2' => write!(text, " -> {}", quoted(&String::from_utf8_lossy(&entry.link))),
        b'3' | b'4' => write!(text, " {}:{}", entry.device.0, entry.device.1),
        b'5' | b'6' => Ok(()),
        _ => match std::str::from_utf8(&entry.content) {
            Ok(content) if content.len() <= 200 => write!(text, " {}", quoted(content)),
            _ => write!(text, " {} {}", entry.content.len(), digest(&entry.content)),
        },
    }
    .expect("to a string");
    let mut attributes: Vec<_> = entry.pax.iter().filter(|(key, _)| key.starts_with("SCHILY.xattr.")).collect();
    attributes.sort();
    for (key, value) in attributes {
        write!(text, " {}={}", &key[13..], quoted(&String::from_utf8_lossy(value))).expect("to a string");
    }
    text
}

/// In which lines a tree differs from `base`, or from nothing if it is not made of that.
pub fn differences(tree: &Listing, base: &Listing) -> Vec<String> {
    let nothing = Listing::new();
    let base = if tree.contains_key("bin/busybox") { base } else { &nothing };
    let changed = tree.iter().filter(|(name, line)| base.get(*name) != Some(line));
    let gone = base.keys().filter(|name| !tree.contains_key(*name));
    let shown = |name: &String| quoted(&format!("/{name}"));
    changed
        .map(|(name, line)| format!("{} {line}", shown(name)))
        .chain(gone.map(|name| format!("{} gone", shown(name))))
        .collect()
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// JSON as Python's `json.dumps(sort_keys=True, ensure_ascii=False)` writes it.
fn json(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let sorted: BTreeMap<_, _> = members.iter().collect();
            let members = sorted.into_iter().map(|(key, value)| format!("{}: {}", quoted(key), json(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        plain => plain.to_string(),
    }
}
