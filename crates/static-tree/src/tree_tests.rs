//! Trees on a real filesystem.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use ctr_core::digest::Digest;
use ctr_core::spec::oci::MediaType;
use serde_json::{Value, json};

use crate::{Name, Tree, TreeError, What, Writer};

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn root(&self) -> &Path {
        self.dir.path()
    }

    fn tree(&self) -> Tree {
        Tree::create(&self.root().join("tree")).unwrap()
    }

    fn file(&self, path: &str) -> PathBuf {
        self.root().join("tree/v2").join(path)
    }

    fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&fs::read(self.file(path)).unwrap()).unwrap()
    }

    /// The document that a server answers with, and the directory that decides its type.
    fn served(&self, name: &str, reference: &str) -> Option<(String, Vec<u8>)> {
        let views = ["indexes", "docker-lists", "docker-manifests", "manifests"];
        let found = views.iter().find(|view| self.file(&format!("{name}/{view}/{reference}")).exists())?;
        Some(((*found).to_owned(), fs::read(self.file(&format!("{name}/{found}/{reference}"))).unwrap()))
    }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": Digest::of(bytes).to_string(), "size": bytes.len() })
}

/// An image of one layer, and its manifest.
fn image(writer: &Writer<'_>, layer: &[u8], media_type: &str) -> (Digest, Vec<u8>) {
    let config = b"{}";
    for blob in [&config[..], layer] {
        writer.blob(&Digest::of(blob), blob.len() as u64, blob).unwrap();
    }
    let manifest = json!({ "schemaVersion": 2, "mediaType": media_type, "config": descriptor(MediaType::CONFIG, config),
        "layers": [descriptor(MediaType::LAYER, layer)] });
    let manifest = manifest.to_string().into_bytes();
    (writer.manifest(&manifest, None).unwrap(), manifest)
}

fn index(writer: &Writer<'_>, images: &[&[u8]]) -> Digest {
    let entries: Vec<Value> = images.iter().map(|image| descriptor(MediaType::MANIFEST, image)).collect();
    let index = json!({ "schemaVersion": 2, "mediaType": MediaType::INDEX, "manifests": entries });
    writer.manifest(index.to_string().as_bytes(), None).unwrap()
}

#[test]
fn an_image_is_laid_out_as_requests_ask_for_it() {
    let place = Place::new();
    let tree = place.tree();
    let writer = tree.writer(&name("team/app")).unwrap();
    let (digest, manifest) = image(&writer, b"layer", MediaType::MANIFEST);
    assert!(!place.file("team/app/tags/list").exists(), "nothing has a name yet");
    writer.tag(&[("1", digest), ("Latest", digest), ("b", digest)]).unwrap();
    assert_eq!(place.json("index.json"), json!({}));
    assert_eq!(fs::read(place.file("team/app/manifests/1")).unwrap(), manifest);
    assert_eq!(fs::read_link(place.file("team/app/manifests/1")).unwrap(), PathBuf::from(digest.to_string()));
    assert_eq!(place.json("team/app/tags/list"), json!({ "name": "team/app", "tags": ["1", "b", "Latest"] }));
    assert_eq!(place.json(&format!("team/app/referrers/{digest}"))["manifests"], json!([]));
    assert_eq!(fs::read(place.file(&format!("team/app/blobs/{}", Digest::of(b"layer")))).unwrap(), b"layer");
}

#[test]
fn a_server_of_another_user_can_read_all_of_it() {
    // spec: REG-60
    let place = Place::new();
    let tree = place.tree();
    let writer = tree.writer(&name("a/b")).unwrap();
    let mut private = tempfile::tempfile_in(place.root()).unwrap();
    std::io::Write::write_all(&mut private, b"layer").unwrap();
    private.set_permissions(fs::Permissions::from_mode(0o600)).unwrap();
    std::io::Seek::rewind(&mut private).unwrap();
    writer.blob_file(&Digest::of(b"layer"), 5, &mut private).unwrap();
    assert_eq!(private.metadata().unwrap().mode() & 0o777, 0o600, "the source keeps its mode");
    let (digest, _) = image(&writer, b"layer", MediaType::MANIFEST);
    writer.tag(&[("1", digest)]).unwrap();
    let mut open = vec![place.root().join("tree/v2")];
    while let Some(path) = open.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let expected = if meta.is_dir() { 0o755 } else { 0o644 };
        assert!(meta.is_symlink() || meta.mode() & 0o777 == expected, "{}: {:o}", path.display(), meta.mode());
        if meta.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    assert_eq!(fs::metadata(place.root().join("tree/.ctr")).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn tags_move_between_kinds() {
    // spec: REG-61, REG-63
    let place = Place::new();
    let tree = place.tree();
    let writer = tree.writer(&name("app")).unwrap();
    let docker = "application/vnd.docker.distribution.manifest.v2+json";
    let (one, first) = image(&writer, b"one", MediaType::MANIFEST);
    let (two, _) = image(&writer, b"two", docker);
    let all = index(&writer, &[&first]);
    for (digest, view) in [
        (one, "manifests"),
        (all, "indexes"),
        (two, "docker-manifests"),
        (all, "indexes"),
        (one, "manifests"),
        (two, "docker-manifests"),
        (one, "manifests"),
    ] {
        writer.tag(&[("1", digest)]).unwrap();
        let (found, bytes) = place.served("app", "1").unwrap();
        assert_eq!((found.as_str(), Digest::of(&bytes)), (view, digest));
        assert_eq!(Digest::of(&fs::read(place.file("app/manifests/1")).unwrap()), digest, "without configuration");
    }
}

#[test]
fn what_is_not_whole_is_refused() {
    // spec: REG-63
    let place = Place::new();
    let tree = place.tree();
    let writer = tree.writer(&name("app")).unwrap();
    let digest = Digest::of(b"x");
    assert!(matches!(writer.blob(&digest, 1, &b"y"[..]), Err(TreeError::WrongDigest { .. })));
    assert!(matches!(writer.blob(&digest, 1, &b"xx"[..]), Err(TreeError::WrongSize { .. })));
    assert!(matches!(writer.blob(&digest, 2, &b"x"[..]), Err(TreeError::WrongSize { .. })));
    let manifest = json!({ "schemaVersion": 2, "mediaType": MediaType::MANIFEST, "config": descriptor(MediaType::CONFIG, b"x"), "layers": [] });
    let refused = writer.manifest(manifest.to_string().as_bytes(), None);
    assert!(matches!(refused, Err(TreeError::Incomplete { .. })), "{refused:?}");
    assert!(matches!(writer.tag(&[("1", digest)]), Err(TreeError::Missing { .. })));
    let strange = br#"{"schemaVersion":2,"mediaType":"text/html","config":null,"layers":[]}"#;
    assert!(matches!(writer.manifest(strange, None), Err(TreeError::Kind { .. })));
    assert!(!place.file("app/tags/list").exists());
    assert_eq!(fs::read_dir(place.file("app/blobs")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(place.root().join("tree/.ctr/new")).unwrap().count(), 0);
}

#[test]
fn referrers_are_listed_once() {
    let place = Place::new();
    let tree = place.tree();
    let writer = tree.writer(&name("app")).unwrap();
    let (digest, manifest) = image(&writer, b"layer", MediaType::MANIFEST);
    let signature = json!({ "schemaVersion": 2, "mediaType": MediaType::MANIFEST, "artifactType": "a/sig", "annotations": { "k": "v" },
        "config": descriptor("application/vnd.oci.empty.v1+json", b"{}"), "layers": [],
        "subject": descriptor(MediaType::MANIFEST, &manifest) });
    let signature = signature.to_string();
    for _ in 0..2 {
        let entry = writer.manifest(signature.as_bytes(), None).unwrap();
        let list = place.json(&format!("app/referrers/{digest}"));
        assert_eq!(
            list["manifests"],
            json!([{ "mediaType": MediaType::MANIFEST, "digest": entry.to_string(), "size": signature.len(),
                     "artifactType": "a/sig", "annotations": { "k": "v" } }])
        );
    }
    drop(writer);
    writer_tag(&tree, "app", "1", digest);
    let removed = tree.remove(&name("app"), &What::Digest(Digest::of(signature.as_bytes()))).unwrap();
    assert_eq!(removed.manifests, 1);
    assert_eq!(place.json(&format!("app/referrers/{digest}"))["manifests"], json!([]));
}

fn writer_tag(tree: &Tree, repository: &str, tag: &str, digest: Digest) {
    tree.writer(&name(repository)).unwrap().tag(&[(tag, digest)]).unwrap();
}

#[test]
fn removing_a_tag_keeps_what_others_need() {
    // spec: REG-67
    let place = Place::new();
    let tree = place.tree();
    let writer = tree.writer(&name("app")).unwrap();
    let (one, first) = image(&writer, b"one", MediaType::MANIFEST);
    let (two, second) = image(&writer, b"two", MediaType::MANIFEST);
    let both = index(&writer, &[&first, &second]);
    let signature = format!("sha256-{}.sig", both.hex());
    let (signed, _) = image(&writer, b"signature", MediaType::MANIFEST);
    writer.tag(&[("one", one), ("both", both), (&signature, signed)]).unwrap();
    drop(writer);
    let removed = tree.remove(&name("app"), &What::Tag("both".to_owned())).unwrap();
    assert_eq!(removed.tags, ["both".to_owned(), signature]);
    assert_eq!((removed.manifests, removed.blobs), (3, 2), "index, second image, signature; their layers");
    assert!(place.served("app", "one").is_some() && place.served("app", &two.to_string()).is_none());
    assert_eq!(place.json("app/tags/list")["tags"], json!(["one"]));
    assert!(matches!(tree.remove(&name("app"), &What::Tag("both".to_owned())), Err(TreeError::Missing { .. })));
    assert!(matches!(tree.remove(&name("none"), &What::Tag("x".to_owned())), Err(TreeError::Missing { .. })));
    assert!(!place.file("none").exists(), "asking makes nothing");
}

#[test]
fn links_in_the_tree_lead_nowhere() {
    // spec: REG-65
    let place = Place::new();
    let tree = place.tree();
    fs::create_dir(place.root().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(place.root().join("elsewhere"), place.file("app")).unwrap();
    assert!(tree.writer(&name("app/x")).is_err());
    assert_eq!(fs::read_dir(place.root().join("elsewhere")).unwrap().count(), 0);
}

#[test]
fn many_push_at_once() {
    // spec: REG-66
    let place = Place::new();
    place.tree();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let place = &place;
            scope.spawn(move || {
                let tree = place.tree();
                let writer = tree.writer(&name("app")).unwrap();
                let (digest, _) = image(&writer, format!("layer {}", number % 4).as_bytes(), MediaType::MANIFEST);
                writer.tag(&[(&format!("t{number}"), digest), ("latest", digest)]).unwrap();
            });
        }
    });
    let expected: Vec<String> = ["latest".to_owned()].into_iter().chain((0..8).map(|n| format!("t{n}"))).collect();
    assert_eq!(place.json("app/tags/list")["tags"], json!(expected));
    for tag in &expected {
        assert_eq!(place.served("app", tag).unwrap().0, "manifests");
    }
}

#[test]
fn what_a_killed_push_left_is_removed_by_the_next() {
    // spec: REG-66
    let place = Place::new();
    let tree = place.tree();
    let left = place.root().join("tree/.ctr/new/half");
    fs::write(&left, b"half").unwrap();
    let writer = tree.writer(&name("app")).unwrap();
    assert!(!left.exists());
    fs::write(&left, b"another one's").unwrap();
    drop(tree.writer(&name("app")).unwrap());
    assert!(left.exists(), "somebody is writing");
    drop(writer);
}
