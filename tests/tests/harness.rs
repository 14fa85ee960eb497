//! The harness tests itself: what cannot be trusted cannot prove anything.

use std::fs;

use ctr_tests::trace::{Change, Errno, Fault, Traced};

const SCRIPT: &str = "mkdir d && echo data > d/f && mv d/f d/g && ln -s x d/l && ln d/g d/h && chmod 700 d/g && rm d/h && sync -f d && sync d/g && (echo child > d/c) & wait; echo said";

fn script(root: &std::path::Path) -> Traced {
    let cd = format!("cd {} && {SCRIPT}", root.display());
    Traced::new(["sh", "-c", &cd], vec![root.to_owned()])
}

#[test]
fn the_injector_sees_every_change_of_the_disk() {
    let root = tempfile::tempdir_in("/var/tmp").unwrap();
    let outcome = script(root.path()).run();
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, "said\n"), "{}", outcome.stderr);
    let at = |name: &str| root.path().join(name);
    let changes: Vec<Change> =
        outcome.events.into_iter().filter(|event| event.ok == Some(true)).map(|event| event.change).collect();
    let expected = [
        Change::Mkdir(at("d")),
        Change::Create(at("d/f")),
        Change::Write(at("d/f")),
        Change::Rename { from: at("d/f"), to: at("d/g") },
        Change::Symlink(at("d/l")),
        Change::Link { from: at("d/g"), to: at("d/h") },
        Change::Meta(at("d/g")),
        Change::Unlink(at("d/h")),
        Change::Syncfs,
        Change::Fsync(at("d/g")),
        Change::Create(at("d/c")),
        Change::Write(at("d/c")),
        Change::Report(b"said\n".to_vec()),
    ];
    assert_eq!(changes, expected);
}

#[test]
fn the_injector_ends_the_tree_before_the_call() {
    for n in 1..=12 {
        let root = tempfile::tempdir_in("/var/tmp").unwrap();
        let outcome = script(root.path()).with(Fault::KillTree(n)).run();
        assert!(outcome.hit, "{n}");
        assert_eq!(outcome.code, 137, "{n}");
        assert_eq!(outcome.events.len(), n);
        assert_eq!(outcome.events.iter().filter(|event| event.ok == Some(true)).count(), n - 1, "{:?}", outcome.events);
        assert_eq!(root.path().join("d").exists(), n > 1);
        assert_eq!(fs::read(root.path().join("d/c")).is_ok_and(|bytes| bytes == b"child\n"), n > 12);
    }
}

#[test]
fn the_injector_spoils_a_call() {
    let root = tempfile::tempdir_in("/var/tmp").unwrap();
    let outcome = script(root.path()).with(Fault::Fail(4, Errno::EIO)).run();
    assert!(outcome.hit && outcome.stderr.contains("Input/output error"), "{}", outcome.stderr);
    assert!(root.path().join("d/f").exists() && !root.path().join("d/g").exists());
    let full = script(root.path()).with(Fault::DiskFull(1)).run();
    assert!(full.hit && full.stderr.contains("No space left"), "{}", full.stderr);
}

#[test]
fn the_images_are_what_their_tools_accept() {
    ctr_tests::need!(root, "umoci", "skopeo", "busybox");
    use ctr_tests::{images, scratch::Cmd};
    for source in [images::busybox(), images::tiny()] {
        Cmd::new("skopeo").args(["inspect", &source]).ok();
    }
    let dir = images::umoci_layers();
    let manifest = Cmd::new("skopeo").args(["inspect", "--raw", &format!("oci:{}:latest", dir.display())]).ok();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 3);
}
