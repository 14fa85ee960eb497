//! The image that the fault server serves.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::bins::{once, work_dir};
use crate::oci::{Layer, Layout, TAR_GZIP};
use crate::tarball::Tar;

/// Size of the file in the big layer, which does not compress.
const BIG: usize = 400 * 1024;

/// An image of two layers: a small one, compressed, and a big one (400 KiB), not compressed.
#[derive(Debug, Clone)]
pub struct Sample {
    layout: PathBuf,
    manifest: Value,
    digest: String,
}

/// The sample, made once.
pub fn sample() -> Sample {
    let layout = work_dir().join("images/faults-1");
    once(&layout, |half| {
        let small = Tar::new().dir("etc", 0o755).file("etc/small", 0o644, "small\n".repeat(100));
        let big = Tar::new().dir("data", 0o755).file("data/big", 0o644, noise(BIG));
        let layers = [Layer::compressed(&small.finish(), "gzip", TAR_GZIP), Layer::plain(big.finish())];
        let mut made = Layout::new(half);
        let image = made.image(&json!({"Cmd": ["/data/big"]}), &layers);
        made.tag("latest", &image);
    });
    let index: Value = json_file(&layout.join("index.json"));
    let digest = index["manifests"][0]["digest"].as_str().expect("digest").to_owned();
    let manifest = json_file(&layout.join("blobs").join(digest.replace(':', "/")));
    Sample { layout, manifest, digest }
}

/// Bytes that look random and are always the same (xorshift64).
pub fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(&mut next).take(count.div_ceil(8)).flatten().collect();
    bytes.truncate(count);
    bytes
}

fn json_file(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).expect("JSON")
}

impl Sample {
    /// The directory of the layout, tag `latest`.
    pub fn layout(&self) -> &Path {
        &self.layout
    }

    /// The digest of its manifest.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Its manifest.
    pub fn manifest(&self) -> &Value {
        &self.manifest
    }

    /// The digest of its config.
    pub fn config(&self) -> &str {
        self.manifest["config"]["digest"].as_str().expect("digest")
    }

    /// The digest of the small layer, the lower one.
    pub fn small(&self) -> &str {
        self.manifest["layers"][0]["digest"].as_str().expect("digest")
    }

    /// The digest of the big layer, the upper one.
    pub fn big(&self) -> &str {
        self.manifest["layers"][1]["digest"].as_str().expect("digest")
    }

    /// The size of the big layer.
    pub fn big_size(&self) -> usize {
        self.blob(self.big()).len()
    }

    /// The bytes of a blob.
    pub fn blob(&self, digest: &str) -> Vec<u8> {
        fs::read(self.layout.join("blobs").join(digest.replace(':', "/"))).expect("blob")
    }
}
