//! Writes OCI image layouts, byte by byte as told: right ones, and wrong ones on purpose. Independent of ctr's own code.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// `sha256:HEX` of `bytes`.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("to a string");
        text
    })
}

/// An uncompressed layer.
pub const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
/// A gzip layer.
pub const TAR_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// A zstd layer.
pub const TAR_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// An image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An image index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An image config.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// One layer: the blob, and what it is when decompressed.
#[derive(Debug, Clone)]
pub struct Layer {
    /// The bytes of the blob.
    pub blob: Vec<u8>,
    /// Its media type.
    pub media_type: &'static str,
    /// Digest of the tar inside.
    pub diff_id: String,
}

impl Layer {
    /// An uncompressed layer.
    pub fn plain(tar: Vec<u8>) -> Self {
        Self { diff_id: digest(&tar), blob: tar, media_type: TAR }
    }

    /// Compressed by `gzip` or `zstd` from Debian.
    pub fn compressed(tar: &[u8], program: &str, media_type: &'static str) -> Self {
        let blob = filter(program, &["-c"], tar);
        Self { diff_id: digest(tar), blob, media_type }
    }
}

/// What `program ARGS` makes of `input`.
pub fn filter(program: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut file = tempfile::tempfile().expect("temporary file");
    std::io::Write::write_all(&mut file, input).expect("write");
    std::io::Seek::rewind(&mut file).expect("rewind");
    let output = std::process::Command::new(program).args(args).stdin(file).output().expect(program);
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// An image layout directory.
#[derive(Debug)]
pub struct Layout {
    /// Where it is.
    pub dir: PathBuf,
    manifests: Vec<Value>,
}

impl Layout {
    /// An empty one at `dir`, which is made.
    pub fn new(dir: &Path) -> Self {
        fs::create_dir_all(dir.join("blobs/sha256")).expect("layout directory");
        fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("oci-layout");
        let mut layout = Self { dir: dir.to_owned(), manifests: Vec::new() };
        layout.write_index();
        layout
    }

    /// Adds a blob and returns its descriptor.
    pub fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = digest(bytes);
        fs::write(self.blob_path(&digest), bytes).expect("blob");
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// Where the blob `digest` lies.
    pub fn blob_path(&self, digest: &str) -> PathBuf {
        self.dir.join("blobs").join(digest.replace(':', "/"))
    }

    /// Adds an image; `config` is the `config` object of the image config. Returns the manifest's descriptor.
    pub fn image(&self, config: &Value, layers: &[Layer]) -> Value {
        let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
        let config = json!({
            "architecture": architecture(), "os": "linux", "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let descriptors: Vec<Value> = layers.iter().map(|layer| self.blob(layer.media_type, &layer.blob)).collect();
        let config = self.blob(CONFIG, config.to_string().as_bytes());
        self.manifest(&json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": descriptors}))
    }

    /// Adds a manifest as it stands.
    pub fn manifest(&self, manifest: &Value) -> Value {
        self.blob(MANIFEST, manifest.to_string().as_bytes())
    }

    /// Names a descriptor in `index.json`.
    pub fn tag(&mut self, tag: &str, descriptor: &Value) {
        let mut descriptor = descriptor.clone();
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        self.manifests.push(descriptor);
        self.write_index();
    }

    /// The layout as `ctr-fetch` names it.
    pub fn source(&self, tag: &str) -> String {
        format!("oci:{}:{tag}", self.dir.display())
    }

    fn write_index(&mut self) {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": self.manifests});
        fs::write(self.dir.join("index.json"), index.to_string()).expect("index.json");
    }
}

/// This machine's architecture as Go names it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
