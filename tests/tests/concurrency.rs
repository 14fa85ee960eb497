//! Many at once: no lost update, no live container collected, no leak.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ctr_tests::oci::{Layer, Layout};
use ctr_tests::scratch::{Root, names};
use ctr_tests::tarball::Tar;
use ctr_tests::{images, leaks, need, store_check};
use serde_json::json;

#[track_caller]
fn assert_clean(root: &Root, ids: &[String]) {
    assert_eq!(store_check::complaints(&root.store()), Vec::<String>::new());
    assert_eq!(names(&root.store().join("tmp")), Vec::<String>::new());
    assert_eq!(leaks::outside(&root.path(), ids), Vec::<String>::new());
}

#[test]
fn eight_fetches_of_one_image() {
    // spec: STORE-64
    need!(root);
    let root = Root::new();
    let source = images::busybox();
    let running: Vec<_> =
        (0..8).map(|n| root.ctr("fetch").args(["-q", &source, "--name", &format!("box:{n}")]).start()).collect();
    let lines: BTreeSet<String> =
        running.into_iter().map(|one| one.wait().ok().split_whitespace().last().unwrap().to_owned()).collect();
    assert_eq!(lines.len(), 1, "one digest: {lines:?}");
    assert_eq!(store_check::refs(&root.store()).len(), 8);
    assert_clean(&root, &[]);
    // A single flight: one layer tree, three blobs.
    assert_eq!((names(&root.store().join("layers")).len(), names(&root.store().join("blobs/sha256")).len()), (1, 3));
}

#[test]
fn fetches_of_images_that_share_layers() {
    // spec: STORE-64
    need!(root);
    let root = Root::new();
    let base = Layer::plain(images::busybox_tree().finish());
    let mut layout = Layout::new(&root.file("layout"));
    for n in 0..8 {
        let top = Layer::plain(Tar::new().file("n", 0o644, n.to_string()).finish());
        let image = layout.image(&json!({}), &[base.clone(), top]);
        layout.tag(&n.to_string(), &image);
    }
    let running: Vec<_> = (0..8)
        .map(|n| root.ctr("fetch").args(["-q", &layout.source(&n.to_string()), "--name", &format!("i:{n}")]).start())
        .collect();
    running.into_iter().for_each(|one| {
        one.wait().ok();
    });
    assert_eq!(store_check::refs(&root.store()).len(), 8);
    assert_eq!(names(&root.store().join("layers")).len(), 9);
    assert_clean(&root, &[]);
}

#[test]
fn names_are_never_lost() {
    // spec: STORE-51
    need!(root);
    let root = Root::with_busybox();
    let running: Vec<_> =
        (0..24).map(|n| root.ctr("image").args(["tag", "busybox", &format!("t:{n}")]).start()).collect();
    running.into_iter().for_each(|one| {
        one.wait().ok();
    });
    assert_eq!(store_check::refs(&root.store()).len(), 25);
}

/// gc sweeps without pause while images come and go: what a successful fetch named is whole.
#[test]
fn fetch_against_gc() {
    // spec: STORE-63, CLI-82
    need!(root);
    let root = Root::new();
    let stop = AtomicBool::new(false);
    let sweeps = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let done = root.ctr("gc").args(["--grace", "0"]).run();
                // Before the first fetch there is no store.
                assert!(done.code == 0 || done.stderr.contains("hint"), "{done}");
                sweeps.fetch_add(1, Ordering::Relaxed);
            }
        });
        let workers: Vec<_> = [("a", images::tiny()), ("b", images::busybox()), ("a2", images::tiny())]
            .into_iter()
            .map(|(name, source)| {
                let root = &root;
                scope.spawn(move || {
                    for _ in 0..12 {
                        let digest = root.fetch(&source, name);
                        store_check::check_image(&root.store(), &digest).unwrap();
                        root.ctr("image").args(["verify", name]).ok();
                        root.ctr("image").args(["rm", name]).ok();
                    }
                })
            })
            .collect();
        let results: Vec<_> = workers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        stop.store(true, Ordering::Relaxed);
        results.into_iter().for_each(|result| result.unwrap());
    });
    assert!(sweeps.load(Ordering::Relaxed) > 3);
    root.ctr("gc").args(["--grace", "0"]).ok();
    assert_eq!(store_check::remains(&root.path()), Vec::<String>::new());
}

#[test]
fn fifty_runs_at_once() {
    need!(root);
    let root = Root::with_busybox();
    let running: Vec<_> = (0..50)
        .map(|n| {
            root.ctr("run")
                .args(["--wait", "--rm", "--log=inherit", "busybox", "sh", "-c", &format!("echo from {n}; exit {n}")])
                .start()
        })
        .collect();
    for (n, one) in running.into_iter().enumerate() {
        let done = one.wait();
        assert_eq!((done.code, done.stdout.as_str()), (n as i32, format!("from {n}\n").as_str()), "{done}");
    }
    assert_eq!(leaks::container_ids(&root.path()), Vec::<String>::new());
    assert_clean(&root, &[]);
}

#[test]
fn fifty_detached_runs_at_once() {
    need!(root);
    let root = Root::with_busybox();
    let running: Vec<_> = (0..50).map(|_| root.ctr("run").args(["busybox", "sleep", "600"]).start()).collect();
    let ids: BTreeSet<String> = running.into_iter().map(|one| one.wait().ok()).collect();
    assert_eq!(ids.len(), 50, "{ids:?}");
    assert_eq!(root.containers("run").len(), 50);
    assert_eq!(leaks::mounts(&root.path()), Vec::<String>::new());
    root.ctr("gc").args(["--grace", "0"]).ok();
    assert_eq!(root.containers("run").len(), 50, "none that lives is collected");
    let all: Vec<String> = ids.into_iter().collect();
    root.ctr("stop").args(["--timeout", "0"]).args(&all).ok();
    root.ctr("gc").args(["--grace", "0"]).ok();
    assert_eq!(leaks::container_ids(&root.path()), Vec::<String>::new());
    assert_clean(&root, &all);
}

#[test]
fn gc_against_starts_and_ends() {
    // spec: STORE-I3, CLI-82
    need!(root);
    let root = Root::with_busybox();
    let long = root.ctr("run").args(["busybox", "sleep", "600"]).ok();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                root.ctr("gc").args(["--grace", "0"]).ok();
            }
        });
        let workers: Vec<_> = (0..3)
            .map(|worker| {
                let root = &root;
                scope.spawn(move || {
                    for n in 0..20 {
                        let wait = ["--wait", "--log=inherit"];
                        let args: &[&str] = if n % 2 == 0 { &wait } else { &[] };
                        let done = root
                            .ctr("run")
                            .args(args.iter().copied())
                            .args(["busybox", "sh", "-c", &format!("exit {worker}")])
                            .run();
                        assert_eq!(done.code, if n % 2 == 0 { worker } else { 0 }, "{done}");
                    }
                })
            })
            .collect();
        let results: Vec<_> = workers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        stop.store(true, Ordering::Relaxed);
        results.into_iter().for_each(|result| result.unwrap());
    });
    assert_eq!(root.containers("run").iter().filter(|id| **id == long).count(), 1, "the live one is still there");
    root.ctr("stop").args(["--timeout", "0", &long]).ok();
    root.ctr("gc").args(["--grace", "0"]).ok();
    assert_eq!(leaks::container_ids(&root.path()), Vec::<String>::new());
    assert_clean(&root, &[long]);
}

#[test]
fn a_name_is_taken_once() {
    // spec: LIFE-2
    need!(root);
    let root = Root::with_busybox();
    let running: Vec<_> =
        (0..12).map(|_| root.ctr("run").args(["--name", "only", "busybox", "sleep", "600"]).start()).collect();
    let codes: Vec<i32> = running.into_iter().map(|one| one.wait().code).collect();
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    assert!(codes.iter().all(|code| matches!(code, 0 | 125)), "{codes:?}");
    assert_eq!(root.containers("run").len(), 1);
    assert_eq!(
        fs::read_link(root.path().join("containers/names/only")).unwrap().display().to_string(),
        root.containers("run")[0]
    );
}
