//! What the binaries write and print is as spec/schemas/ says.

use std::fs;
use std::path::Path;

use ctr_tests::scratch::{Root, names};
use ctr_tests::{images, schema};

/// Checks every file of a directory, of which there must be one.
fn check_all(name: &str, dir: &Path) {
    let files = names(dir);
    assert!(!files.is_empty(), "nothing in {}", dir.display());
    for file in files {
        schema::check_text(name, &fs::read_to_string(dir.join(&file)).unwrap());
    }
}

#[test]
fn every_schema_can_be_read() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/schemas");
    for file in names(&dir) {
        let mut problems = Vec::new();
        // A value that fits none: this only walks the keywords.
        schema::validate(&schema::load(&file), &serde_json::json!("no"), "$", &mut problems);
        assert!(!problems.is_empty(), "{file} lets everything through");
    }
}

#[test]
fn files_of_the_store() {
    // spec: STORE-10, STORE-33, STORE-40, STORE-50, ACI-60
    ctr_tests::need!(root);
    let root = Root::new();
    let tree = root.file("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("hello"), "hello\n").unwrap();
    let file = root.file("app.aci");
    root.ctr("image").args(["pack", "--entrypoint", "/hello", "--name", "app:1", "-o"]).arg(&file).arg(&tree).ok();
    // A file that was written just now is not remembered (ACI-60).
    std::thread::sleep(std::time::Duration::from_millis(100));
    root.ctr("fetch").arg(&file).ok();
    root.fetch(&images::tiny(), "tiny");
    let store = root.store();
    schema::check_text("format.json", &fs::read_to_string(store.join("format.json")).unwrap());
    check_all("launch.json", &store.join("images"));
    check_all("ref.json", &store.join("refs"));
    check_all("known-file.json", &store.join("files"));
    for layer in names(&store.join("layers")) {
        schema::check_text("done.json", &fs::read_to_string(store.join("layers").join(layer).join("done")).unwrap());
    }
}

#[test]
fn output_of_fetch() {
    // spec: CLI-20
    ctr_tests::need!(root);
    let root = Root::new();
    let printed = root.ctr("fetch").args(["-q", "--format", "json", &images::tiny(), "--name", "x"]).ok();
    schema::check_text("fetched.json", &printed);
}

#[test]
fn messages() {
    // spec: CLI-3
    let root = Root::new();
    for args in [&["--format", "json", "/no/such/file"][..], &["--format", "json", "--no-such-option"]] {
        let failed = root.ctr("fetch").args(args.iter().copied()).run();
        assert_ne!(failed.code, 0);
        let lines: Vec<&str> = failed.stderr.lines().collect();
        assert!(!lines.is_empty());
        lines.iter().for_each(|line| schema::check_text("message.json", line));
    }
}
