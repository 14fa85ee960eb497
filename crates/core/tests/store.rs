//! The store as its users see it: what is published, found, refused and repaired.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod image;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use ctr_core::digest::Digest;
use ctr_core::launch::LayerId;
use ctr_core::reference::Reference;
use ctr_core::store::{Store, StoreError};
use image::{Image, add_image, put_layer};

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

#[test]
fn an_image_is_found_by_name_digest_and_prefix() {
    // spec: TYPE-3
    let root = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(&root.path().join("r")).unwrap();
    let image = Image::new("one", &["base", "top"]);
    let launch = add_image(&store, &image, &["app:1"]);
    let hex = launch.image.hex();
    for text in ["app:1", "docker.io/library/app:1", &format!("sha256:{hex}"), &hex, &hex[..6], &hex[..12]] {
        let found = store.find_image(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(found.digest, launch.image, "{text}");
    }
    assert_eq!(store.find_image(&format!("app@sha256:{hex}")).unwrap().digest, launch.image);
    assert_eq!(store.launch_record(&launch.image).unwrap(), launch);
    assert_eq!(store.resolve(&reference("app:1")).unwrap(), Some(launch.image));
    assert_eq!(store.resolve(&reference("app:2")).unwrap(), None);
    assert!(matches!(store.find_image("app:2"), Err(StoreError::NoImage(name)) if name == "docker.io/library/app:2"));
    assert_eq!(store.list_refs().unwrap().entries.len(), 1);
    store.tag(&reference("other"), &launch.image).unwrap();
    assert_eq!(store.find_image("other").unwrap().digest, launch.image);
    assert!(store.untag(&reference("other")).unwrap());
    assert!(!store.untag(&reference("other")).unwrap());
    assert!(fs::read_dir(root.path().join("r/store/tmp")).unwrap().next().is_none(), "nothing stays in tmp");
}

#[test]
fn the_root_is_private_even_if_it_was_open() {
    // spec: STORE-1
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    Store::open_or_create(root.path()).unwrap();
    assert_eq!(fs::metadata(root.path()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_store_that_is_not_there_says_what_to_do() {
    // spec: STORE-13
    let error = Store::open(std::path::Path::new("/nonexistent/ctr")).unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
    assert!(error.hint().unwrap().contains("ctr-fetch"));
}

#[test]
fn formats_of_other_releases() {
    // spec: STORE-11
    let root = tempfile::tempdir().unwrap();
    Store::open_or_create(root.path()).unwrap();
    let format = root.path().join("store/format.json");
    let written = fs::read_to_string(&format).unwrap();
    let dialect = if written.contains("trusted") { "trusted" } else { "user" };
    let other = if dialect == "trusted" { "user" } else { "trusted" };
    let write = |version: &str, compat: &str, ro: &str, incompat: &str, dialect: &str| {
        let text = format!(
            r#"{{"version":{version},"features":{{"compat":[{compat}],"ro_compat":[{ro}],"incompat":[{incompat}]}},"xattr_dialect":"{dialect}","new":1}}"#
        );
        fs::write(&format, text).unwrap();
    };
    write("1", r#""x""#, "", "", dialect);
    Store::open(root.path()).unwrap().begin().unwrap();

    write("1", "", r#""x""#, "", dialect);
    let store = Store::open(root.path()).unwrap();
    assert!(matches!(store.begin(), Err(StoreError::UnknownFeature { feature, readable: true, .. }) if feature == "x"));

    write("1", "", "", r#""erofs""#, dialect);
    let error = Store::open(root.path()).unwrap_err();
    assert!(matches!(&error, StoreError::UnknownFeature { feature, readable: false, .. } if feature == "erofs"));

    write("2", "", "", "", dialect);
    let error = Store::open(root.path()).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 2, known: 1, .. }), "{error}");
    assert!(error.hint().unwrap().contains("newer release"));

    write("1", "", "", "", other);
    assert!(matches!(Store::open(root.path()), Err(StoreError::Dialect { .. })));

    for bad in ["", "[]", "{}", "{\"version\":1}", "{\"version\":-1}", "\u{0}", "{\"version\":0}", "nul"] {
        fs::write(&format, bad).unwrap();
        let error = Store::open(root.path()).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{bad:?}: {error}");
    }
}

#[test]
fn content_is_checked_on_its_way_in() {
    // spec: STORE-20
    let root = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(root.path()).unwrap();
    let txn = store.begin().unwrap();
    let digest = Digest::of(b"abc");
    let wrong = txn.put_blob(b"abd", Some((digest, 3))).unwrap_err();
    assert!(matches!(wrong, StoreError::WrongDigest { .. }));
    let short = txn.put_blob(b"ab", Some((digest, 3))).unwrap_err();
    assert!(matches!(short, StoreError::WrongSize { found: 2, more: false, .. }));
    let mut writer = txn.blob_writer(Some((digest, 3))).unwrap();
    let long = writer.write_all(b"abcd").unwrap_err();
    assert!(long.to_string().contains("4 or more"), "{long}");
    drop(writer);
    txn.put_blob(b"abc", Some((digest, 3))).unwrap();
    txn.publish_pending().unwrap();
    assert_eq!(store.read_blob_capped(&digest, 3).unwrap(), b"abc");
    assert!(matches!(store.read_blob_capped(&digest, 2), Err(StoreError::TooLarge { size: 3, limit: 2, .. })));
    drop(txn);
    assert_eq!(fs::read_dir(root.path().join("store/blobs/sha256")).unwrap().count(), 1);
}

#[test]
fn fetching_again_repairs_blobs_and_layers() {
    // spec: STORE-I6
    let root = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(root.path()).unwrap();
    let image = Image::new("one", &["base"]);
    let launch = add_image(&store, &image, &["app"]);
    let config = store.blob(&launch.config).unwrap();
    let layer = store.layer_fs(&launch.layers[0]);
    for damage in ["blob", "lost file", "done", "cut done"] {
        match damage {
            "blob" => fs::write(&config.path, vec![b'x'; usize::try_from(config.size).unwrap()]).unwrap(),
            "lost file" => fs::remove_file(layer.join("base")).unwrap(),
            "done" => fs::remove_file(layer.parent().unwrap().join("done")).unwrap(),
            _ => fs::write(layer.parent().unwrap().join("done"), "{").unwrap(),
        }
        add_image(&store, &image, &["app"]);
        assert!(store.verify_blob(&launch.config).unwrap(), "{damage}");
        assert!(layer.join("base").exists(), "{damage}");
        assert!(store.layer(&launch.layers[0]).unwrap().is_some(), "{damage}");
    }
    // The damaged layers were set aside, not deleted: containers may still use them.
    let aside = fs::read_dir(root.path().join("store/tmp")).unwrap();
    let aside = aside.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("old-"));
    assert_eq!(aside.count(), 3);
}

#[test]
fn an_image_without_its_layers_gets_no_name() {
    // spec: STORE-I1
    let root = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(root.path()).unwrap();
    let image = Image::new("one", &["base"]);
    let mut launch = add_image(&store, &image, &[]);
    launch.layers.push(LayerId(Digest::of(b"missing")));
    let failed = store.begin().unwrap().commit_image(&launch, &[reference("app")]).unwrap_err();
    assert!(matches!(failed, StoreError::NoLayer(_)), "{failed}");
    assert!(matches!(store.find_image("app"), Err(StoreError::NoImage(_))));
}

#[test]
fn damaged_records_are_errors_that_name_the_file() {
    // spec: STORE-41, STORE-52
    let root = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(root.path()).unwrap();
    let launch = add_image(&store, &Image::new("one", &["base"]), &["app"]);
    let refs = root.path().join("store/refs");
    let file = fs::read_dir(&refs).unwrap().next().unwrap().unwrap().path();
    let other = r#"{"name":"x","digest":"sha256:00"}"#;
    let deep = "[".repeat(100_000);
    for bad in ["", "{", "null", "[]", "\u{0}", other, deep.as_str(), r#"{"name":1,"digest":2}"#] {
        fs::write(&file, bad).unwrap();
        let error = store.find_image("app").unwrap_err();
        assert!(error.to_string().contains(&file.display().to_string()), "{error}");
        assert_eq!(store.list_refs().unwrap().damaged.len(), 1);
        fs::write(root.path().join("store/images").join(launch.image.hex()), bad).unwrap();
        assert!(matches!(store.launch_record(&launch.image), Err(StoreError::Damaged { .. })));
    }
}

#[test]
fn known_files() {
    // spec: ACI-60
    let root = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(&root.path().join("r")).unwrap();
    let path = root.path().join("app.aci");
    fs::write(&path, "one").unwrap();
    let file = fs::File::open(&path).unwrap();
    let before = file.metadata().unwrap();
    let digest = Digest::of(b"image");
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(store.known_file(&before), None);
    assert!(store.remember_file(&before, &file, digest).unwrap());
    assert_eq!(store.known_file(&before), Some(digest));
    fs::write(&path, "two").unwrap();
    let after = fs::metadata(&path).unwrap();
    assert_eq!(store.known_file(&after), None, "same size, other times");
    assert!(!store.remember_file(&before, &file, digest).unwrap(), "it changed since");
    assert!(!store.remember_file(&after, &file, digest).unwrap(), "it changed just now");
}

#[test]
fn the_same_diff_at_two_places() {
    // spec: STORE-30, STORE-31, STORE-34
    let root = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(root.path()).unwrap();
    let txn = store.begin().unwrap();
    let (diff, chain_a, chain_b) = (Digest::of(b"diff"), Digest::of(b"a"), Digest::of(b"b"));
    let id = put_layer(&txn, "x", diff, chain_a, false);
    assert_eq!(id, LayerId(chain_a));
    assert!(txn.find_layer(&chain_a, &diff).unwrap().is_some());
    assert!(txn.find_layer(&chain_b, &diff).unwrap().is_none(), "it took something from other parents");
    let id = put_layer(&txn, "x", diff, chain_b, true);
    assert_eq!(id, LayerId(diff));
    txn.publish_pending().unwrap();
    assert_eq!(txn.find_layer(&chain_b, &diff).unwrap().unwrap().0, LayerId(diff));
    assert_eq!(txn.find_layer(&Digest::of(b"c"), &diff).unwrap().unwrap().0, LayerId(diff));
}
