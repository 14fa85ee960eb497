//! The reading of cases and images that `build_cases.rs` relies on, held against Python's and buildah's.

use std::fs;
use std::path::Path;

use ctr_tests::build::case::{self, Expect};
use ctr_tests::build::image::{self, Image};
use ctr_tests::build::{names_line, unexpected};
use ctr_tests::oci::{Layer, Layout, TAR_GZIP, TAR_ZSTD};
use ctr_tests::scratch::{Cmd, Root};
use ctr_tests::tarball::{Entry, Tar};
use ctr_tests::{images, need, untar};
use serde_json::json;

#[test]
fn every_case_is_read_and_says_something() {
    let cases = case::all();
    assert!(cases.len() >= 229, "{}", cases.len());
    for case in &cases {
        let told = &case.settings;
        let says = match told.expect {
            Expect::Error => told.says.is_some() && case.expected.is_none(),
            Expect::Image => case.expected.is_some() || !told.tree.is_empty() || !told.config.is_empty(),
        };
        assert!(says, "{} says nothing", case.name);
        for (judge, why) in &told.skip {
            assert!(
                ["buildah", "buildkit", "chroot"].contains(&judge.as_str()) && !why.is_empty(),
                "{}: {judge}",
                case.name
            );
        }
    }
}

#[test]
fn cases_are_prepared_as_the_other_judge_does() {
    need!("python3", "bzip2", "xz", "zstd", "setfattr");
    let root = Root::new();
    let script = "import sys; sys.path.insert(0, sys.argv[1]); import build_cases\nfor case in build_cases.names(): build_cases.context(sys.argv[2], case, 'x')";
    Cmd::new("python3").args(["-B", "-c", script, &conformance()]).arg(root.file("theirs")).ok();
    // Archives have the times of their making, inside or in their name.
    let archive = |name: &str| name.starts_with("add-") || name == "copy-archive-not-unpacked";
    for case in case::all().iter().filter(|case| !archive(&case.name)) {
        let ours = root.file("ours").join(&case.name);
        case.prepare(&ours, None);
        let [ours, theirs] = [ours, root.file("theirs/contexts/x").join(&case.name)].map(|dir| {
            let lines = Cmd::new("sh")
                .args(["-c", "find . -printf '%P %y %m %l ' -type f -exec sha256sum {} + -o -printf '\\n' | sort"])
                .dir(dir);
            lines.ok()
        });
        assert_eq!(ours, theirs, "{}", case.name);
    }
}

fn conformance() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance").display().to_string()
}

/// Layers with all that layers can have.
fn layers() -> [Vec<u8>; 3] {
    let long = format!("long/{}", "x".repeat(150));
    let mut big = Entry::new(b'0', "big").owner(3_000_000, 70_000).mode(0o4755);
    big.content = b"0123456789".repeat(30);
    let lower = images::busybox_tree()
        .dir("d", 0o755)
        .file("d/one", 0o644, "1\n")
        .file("d/two", 0o600, b"\xff\xfe")
        .dir("o", 0o700)
        .file("o/below", 0o644, "")
        .file("was-file", 0o644, "x")
        .dir("was-dir", 0o755)
        .file("was-dir/f", 0o644, "x")
        .add(big);
    let middle = Tar::new()
        .whiteout("d", "one")
        .whiteout("", "home")
        .file("./o/new", 0o644, "new \"quoted\"\t\u{1}ü\n")
        .opaque("o")
        .dir("./was-file/", 0o755)
        .file("was-file/f", 0o644, "y")
        .symlink("was-dir", "/else\nwhere")
        .dir("long", 0o755)
        .file(&long, 0o644, "long")
        .hardlink("hard", "d/two")
        .fifo("fifo")
        .device("null", b'3', 1, 3)
        .add(Entry::new(b'0', "noted").pax("SCHILY.xattr.user.b", "2").pax("SCHILY.xattr.user.a", "one = 1"));
    [lower.finish(), middle.finish(), Tar::new().whiteout("o", "new").dir("d", 0o711).finish()]
}

fn config() -> serde_json::Value {
    json!({"Env": ["A=ü \"q\"", "B=\u{7f}"], "Labels": {"z": "1", "a": ""}, "Volumes": {}, "User": "", "StopSignal": "9", "ExposedPorts": {"80/tcp": {}},
        "Healthcheck": {"Test": ["CMD", "x"], "Retries": 3, "Interval": 1_000_000_000}})
}

#[test]
fn images_are_flattened_as_the_other_judge_does() {
    need!("python3", "gzip", "zstd");
    let root = Root::new();
    let layers = layers();
    let mut layout = Layout::new(&root.file("layout"));
    let compressed = [
        Layer::plain(layers[0].clone()),
        Layer::compressed(&layers[1], "gzip", TAR_GZIP),
        Layer::compressed(&layers[2], "zstd", TAR_ZSTD),
    ];
    let described = layout.image(&config(), &compressed);
    layout.tag("1", &described);
    let base = image::listing(&image::merged(&[images::busybox_tree().finish()]).unwrap());
    let ours = Image::of_layout(&layout.dir).unwrap().lines(&base);

    let paths = ["0", "1", "2"].map(|name| root.write(name, &layers[name.parse::<usize>().unwrap()]));
    let base = root.write("base", images::busybox_tree().finish());
    let config = root.write("config", json!({"config": config()}).to_string());
    let script = "import json, sys; sys.path.insert(0, sys.argv[1]); import build_cases as b\n\
                  print('\\n'.join(b.described(sys.argv[4:], json.load(open(sys.argv[3])), b.listing(b.merged([sys.argv[2]])))))";
    let theirs = Cmd::new("python3").args(["-B", "-c", script, &conformance()]).arg(base).arg(config).args(paths).ok();
    assert_eq!(ours, theirs.lines().collect::<Vec<_>>());
    let has = |line: &str| ours.iter().any(|found| found.starts_with(line));
    assert!(
        ["\"/home\" gone", "\"/null\" character 0666 0:0 1:3", "\"/d\" directory 0711 0:0"].into_iter().all(has),
        "{ours:#?}"
    );
    assert!(!["\"/d/one\"", "\"/o/", "\"/was-dir/"].into_iter().any(has), "{ours:#?}");
}

#[test]
fn a_layout_that_is_not_what_it_says_is_noticed() {
    let root = Root::new();
    let mut layout = Layout::new(&root.file("layout"));
    let mut layer = Layer::plain(Tar::new().finish());
    let image = layout.image(&json!({}), &[layer.clone()]);
    layout.tag("1", &image);
    assert!(Image::of_layout(&layout.dir).unwrap().tree.is_empty());
    fs::write(layout.blob_path(&layer.diff_id), "else").unwrap();
    assert!(Image::of_layout(&layout.dir).unwrap_err().contains("4 bytes"));
    layer.diff_id = "sha256:00".to_owned();
    let image = layout.image(&json!({}), &[layer]);
    layout.tag("2", &image);
    assert!(Image::of_layout(&layout.dir).unwrap_err().contains("not one image"));
}

#[test]
fn broken_archives_are_errors() {
    let good = Tar::new().file("a", 0o644, "a").finish();
    assert_eq!(untar::read(&good).unwrap()[0].content, b"a");
    assert!(untar::read(&good[..600]).is_err() && untar::read(&good[..1024]).is_err());
    let mut wrong = good;
    wrong[0] = b'b';
    assert!(untar::read(&wrong).unwrap_err().contains("sum"));
}

#[test]
fn lines_are_found_in_messages() {
    for message in ["Dockerfile:12:3: no", "error at line 12", "x\n  12 | RUN false\n", "12 >>> RUN", " > 12 | COPY"] {
        assert!(names_line(message, 12) && !names_line(message, 1) && !names_line(message, 2), "{message}");
    }
    assert!(!names_line("no image localhost/x:1", 1));
}

#[test]
fn the_list_of_differences_holds_in_both_directions() {
    let [one, two] = ["run-umask", "run-removes"].map(case::Case::read);
    let names = |text: &str| std::collections::BTreeMap::from([(text.to_owned(), "why".to_owned())]);
    let cases = [one, two];
    assert!(unexpected(&cases, names("run-umask"), &names("run-umask")).is_empty());
    assert_eq!(unexpected(&cases, names("run-umask"), &names("run-removes")).len(), 2);
    assert_eq!(unexpected(&cases, names("run-umask"), &names("other")).len(), 1);
}
