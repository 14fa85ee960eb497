//! What the binaries write and print is as spec/schemas/ says.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use ctr_tests::scratch::{Cmd, Root, names};
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

/// A comment that names a schema tells where to look.
#[test]
fn schemas_that_the_code_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let found = Cmd::new("grep").args(["-rhoE", "spec/schemas/[a-z-]+[.]json", "crates"]).dir(&root).ok();
    assert!(found.lines().count() > 8, "{found}");
    let missing: Vec<&str> = found.lines().filter(|name| !root.join(name).is_file()).collect();
    assert!(missing.is_empty(), "{missing:?}");
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
    std::thread::sleep(Duration::from_millis(100));
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
        for line in lines {
            schema::check_text("message.json", line);
        }
    }
}

#[test]
fn output_of_image() {
    // spec: CLI-70, CLI-71, CLI-73
    ctr_tests::need!(root);
    let root = Root::new();
    root.fetch(&images::tiny(), "tiny");
    let image = |args: &[&str]| root.ctr("image").args(["--format", "json"]).args(args.iter().copied()).ok();
    schema::check_text("image-list.json", &image(&["list"]));
    schema::check_text("image.json", &image(&["inspect", "tiny"]));
    let tree = root.file("tree");
    fs::create_dir(&tree).unwrap();
    let (tree, file) = (tree.display().to_string(), root.file("packed.aci").display().to_string());
    schema::check_text("image-packed.json", &image(&["pack", &tree, "--entrypoint", "/x", "-o", &file]));
    for destination in ["x.aci", "oci:layout", "docker-archive:x.tar"] {
        let export = root.ctr("image").args(["--format", "json", "export", "tiny", destination]).dir(root.file("."));
        schema::check_text("image-exported.json", &export.ok());
    }
    schema::check_text("image-verified.json", &image(&["verify"]));
    let layer = root.store().join("layers").join(&names(&root.store().join("layers"))[0]);
    fs::write(layer.join("fs/etc/a"), "damage").unwrap();
    let damaged = root.ctr("image").args(["--format", "json", "verify", "tiny"]).run();
    assert_eq!(damaged.code, 1, "{damaged}");
    schema::check_text("image-verified.json", &damaged.stdout);
    schema::check_text("image-removed.json", &image(&["rm", "tiny"]));
}

#[test]
fn a_container_from_its_plan_to_its_removal() {
    // spec: CLI-32, CLI-35, CLI-41, CLI-50, CLI-62, CLI-80, CLI-83, LIFE-6, LIFE-10
    ctr_tests::need!(root);
    let root = Root::with_busybox();
    let json = |name: &str, args: &[&str]| root.ctr(name).args(["--format", "json"]).args(args.iter().copied()).ok();
    let options =
        ["--name", "x", "-m", "64M", "--tmpfs", "/run", "--add-host", "a:10.0.0.1", "--ulimit", "nofile=64:128"];
    let run = |more: &[&str]| {
        let program = ["busybox", "sh", "-c", "echo out; echo err >&2; sleep 60"];
        json("run", &[&options, more, &program].concat())
    };
    schema::check_text("plan.json", &run(&["--dry-run"]));
    schema::check_text("started.json", &run(&[]));
    // The program needs a moment for its second line.
    let written = || json("logs", &["x"]).lines().count() == 2;
    let deadline = Instant::now() + Duration::from_secs(10);
    while !written() {
        assert!(Instant::now() < deadline, "no output");
        std::thread::sleep(Duration::from_millis(20));
    }
    schema::check_text("ps.json", &json("ps", &["x"]));
    let container = root.path().join("containers/run").join(&root.containers("run")[0]);
    schema::check_text("container.json", &fs::read_to_string(container.join("container.json")).unwrap());
    schema::check_text("process.json", &fs::read_to_string(container.join("process")).unwrap());
    schema::check_text("stop.json", &json("stop", &["-t", "5", "x"]));
    schema::check_text("ps.json", &json("ps", &["--all"]));
    let log = json("logs", &["x"]);
    assert_eq!(log.lines().count(), 2, "{log}");
    log.lines().for_each(|line| schema::check_text("log.json", line));
    schema::check_text("gc.json", &json("gc", &["--grace", "0s", "--dry-run"]));
    schema::check_text("gc.json", &json("gc", &["--grace", "0s"]));
    schema::check_text("check.json", &json("gc", &["--check"]));
}
