//! Kill, `EIO` and a full disk at the calls that change the disk: then the invariants of spec/05-store.md hold.

use std::collections::BTreeMap;

use ctr_tests::crash::{self, Kind};
use ctr_tests::scratch::{Root, names, until};
use ctr_tests::trace::{Fault, Outcome, Traced};
use ctr_tests::tree::{self, Listing};
use ctr_tests::{images, leaks, need, store_check};

const NAME: &str = "docker.io/library/x:latest";

/// Every layer tree of a store.
fn layers(root: &Root) -> BTreeMap<String, Listing> {
    let dir = root.store().join("layers");
    names(&dir).into_iter().map(|id| (id.clone(), tree::list(&dir.join(id).join("fs")))).collect()
}

/// A layer that is there is whole: the same as in a store where nothing was spoiled.
#[track_caller]
fn assert_layers_like(root: &Root, reference: &BTreeMap<String, Listing>, all: bool, say: &str) {
    let found = layers(root);
    assert!(!all || found.len() == reference.len(), "{} of {} layers\n{say}", found.len(), reference.len());
    for (id, listing) in found {
        let differences = tree::differences(&reference[&id], &listing);
        assert!(differences.is_empty(), "layer {id}: {differences:?}\n{say}");
    }
}

/// Takes the image away and collects: nothing may remain, inside the root and outside.
#[track_caller]
fn assert_gc_leaves_nothing(root: &Root, say: &str) {
    let ids = leaks::container_ids(&root.path());
    for name in store_check::refs(&root.store()).into_keys() {
        root.ctr("image").args(["rm", &name]).ok();
    }
    let done = root.ctr("gc").args(["--grace", "0"]).run();
    assert_eq!(done.code, 0, "{done}\n{say}");
    assert_eq!(store_check::remains(&root.path()), Vec::<String>::new(), "after {done}\n{say}");
    assert_eq!(leaks::outside(&root.path(), &ids), Vec::<String>::new(), "{say}");
    assert_eq!(leaks::parent_groups(&root.path()), Vec::<std::path::PathBuf>::new(), "{say}");
}

fn reference() -> BTreeMap<String, Listing> {
    let root = Root::new();
    root.fetch(&images::tiny(), "x");
    layers(&root)
}

/// A command that says that it succeeded although a sync failed has lied.
#[track_caller]
fn assert_no_ignored_sync(fault: Fault, outcome: &Outcome, say: &str) {
    if let Fault::Fail(n, _) = fault
        && outcome.hit
        && outcome.events[n - 1].change.is_sync()
    {
        assert_ne!(outcome.code, 0, "a failed sync is success\n{say}");
    }
}

fn fetch(kind: Kind) {
    let reference = reference();
    let make = || {
        let root = Root::new();
        let traced = root.ctr("fetch").args(["-q", &images::tiny(), "--name", "x"]).traced(vec![root.path()]);
        (root, traced)
    };
    crash::at_every_point(kind, make, |root, fault, outcome| {
        let say = crash::describe(fault, &outcome);
        let store = root.store();
        assert_eq!(store_check::complaints(&store), Vec::<String>::new(), "{say}");
        let named = store_check::refs(&store).contains_key(NAME);
        assert!(named || outcome.code != 0, "success without a ref\n{say}");
        assert_no_ignored_sync(fault, &outcome, &say);
        assert!(matches!(outcome.code, 0 | 1 | 137), "ends in its own way\n{say}");
        assert_layers_like(&root, &reference, named, &say);
        if named {
            root.ctr("image").args(["verify", "x"]).ok();
        }
        assert_eq!(leaks::outside(&root.path(), &[]), Vec::<String>::new(), "{say}");
        // Again: it converges, whatever lies about.
        let again = root.ctr("fetch").args(["-q", &images::tiny(), "--name", "x"]).run();
        assert_eq!(again.code, 0, "again: {again}\n{say}");
        assert_eq!(store_check::complaints(&store), Vec::<String>::new(), "{say}");
        assert_layers_like(&root, &reference, true, &say);
        root.ctr("image").args(["verify", "x"]).ok();
        assert_gc_leaves_nothing(&root, &say);
    });
}

#[test]
fn fetch_killed() {
    // spec: OVR-3, STORE-I1, STORE-I2, STORE-I4, STORE-I5
    need!(root);
    fetch(Kind::KillTree);
}

#[test]
fn fetch_with_input_output_errors() {
    // spec: STORE-66, CLI-22
    need!(root);
    fetch(Kind::Eio);
}

#[test]
fn fetch_on_a_full_disk() {
    // spec: STORE-66
    need!(root);
    fetch(Kind::DiskFull);
}

/// Two images, one of them without a name, and a container that ended.
fn littered() -> Root {
    let root = Root::new();
    root.fetch(&images::tiny(), "x");
    root.fetch(&images::busybox(), "box");
    root.ctr("image").args(["rm", "x"]).ok();
    root.ctr("run").args(["--wait", "box", "true"]).ok();
    root
}

fn collect(kind: Kind) {
    let template = littered();
    let make = || {
        let root = template.copy();
        let traced = root.ctr("gc").args(["--grace", "0"]).traced(vec![root.path(), "/sys/fs/cgroup".into()]);
        (root, traced)
    };
    crash::at_every_point(kind, make, |root, fault, outcome| {
        let say = crash::describe(fault, &outcome);
        assert_eq!(store_check::complaints(&root.store()), Vec::<String>::new(), "{say}");
        assert!(store_check::refs(&root.store()).contains_key("docker.io/library/box:latest"), "{say}");
        root.ctr("image").args(["verify", "box"]).ok();
        // What lies half deleted neither stops a fetch nor comes back by it.
        root.fetch(&images::tiny(), "x");
        root.ctr("image").args(["verify", "x"]).ok();
        assert_gc_leaves_nothing(&root, &say);
    });
}

#[test]
fn gc_killed() {
    // spec: OVR-3, CLI-82, STORE-I3
    need!(root);
    collect(Kind::KillTree);
}

#[test]
fn gc_with_input_output_errors() {
    need!(root);
    collect(Kind::Eio);
}

fn run(kind: Kind, args: &[&str]) {
    let template = Root::with_busybox();
    let make = || {
        let root = template.copy();
        let command =
            root.ctr("run").args(["--name", "one", "--memory", "64m", "--pids-limit", "50"]).args(args.iter().copied());
        let mut traced: Traced = command.args(["busybox", "true"]).traced(vec![root.path(), "/sys/fs/cgroup".into()]);
        traced.machinery = true;
        (root, traced)
    };
    crash::at_every_point(kind, make, |root, fault, outcome| {
        let say = crash::describe(fault, &outcome);
        let ids = leaks::container_ids(&root.path());
        assert!(matches!(outcome.code, 0 | 125 | 137), "ends in its own way\n{say}");
        assert_eq!(leaks::mounts(&root.path()), Vec::<String>::new(), "{say}");
        if kind == Kind::Eio && outcome.code == 125 {
            assert_eq!(root.containers("run"), Vec::<String>::new(), "a start that failed leaves nothing\n{say}");
        }
        // What lives on ends by itself: its program is `true`.
        until("the end of all processes", || leaks::processes(&root.path(), &ids).is_empty());
        root.ctr("ps").arg("--all").ok();
        let done = root.ctr("gc").args(["--grace", "0"]).run();
        assert_eq!(done.code, 0, "{done}\n{say}");
        let remains: Vec<String> =
            store_check::remains(&root.path()).into_iter().filter(|path| path.starts_with("containers/")).collect();
        assert_eq!(remains, Vec::<String>::new(), "after {done}\n{say}");
        assert_eq!(leaks::outside(&root.path(), &ids), Vec::<String>::new(), "{say}");
        // The name is free, and the image whole.
        root.ctr("run").args(["--wait", "--rm", "--name", "one", "busybox", "true"]).ok();
    });
}

#[test]
fn run_killed() {
    // spec: OVR-3, LIFE-5
    need!(root);
    run(Kind::KillTree, &["--wait"]);
}

#[test]
fn detached_run_killed() {
    need!(root);
    run(Kind::KillTree, &["--rm"]);
}

#[test]
fn only_the_caller_of_run_killed() {
    need!(root);
    run(Kind::KillCaller, &["--log=file"]);
}

#[test]
fn run_with_input_output_errors() {
    need!(root);
    run(Kind::Eio, &["--wait"]);
}

#[test]
fn run_on_a_full_disk() {
    need!(root);
    run(Kind::DiskFull, &["--wait"]);
}

/// The starter alone is killed while the program lives on, or is about to: then it is seen, and can be stopped.
#[test]
fn what_lives_on_without_its_starter_is_not_lost() {
    need!(root);
    let template = Root::with_busybox();
    let make = || {
        let root = template.copy();
        let command = root.ctr("run").args(["--name", "one", "--log=file", "busybox", "sleep", "0.3"]);
        let mut traced = command.traced(vec![root.path(), "/sys/fs/cgroup".into()]);
        traced.machinery = true;
        (root, traced)
    };
    // The tracer waits for the whole tree: what lives on has ended by itself, with a record of its end.
    crash::at_every_point(Kind::KillCaller, make, |root, fault, outcome| {
        let say = crash::describe(fault, &outcome);
        let listed = root.ctr("ps").args(["--all", "--format", "json"]).ok();
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        for container in listed.as_array().unwrap() {
            assert!(matches!(container["state"].as_str(), Some("exited" | "killed" | "embryo")), "{container}\n{say}");
        }
        let ids = leaks::container_ids(&root.path());
        root.ctr("gc").args(["--grace", "0"]).ok();
        assert_eq!(leaks::container_ids(&root.path()), Vec::<String>::new(), "{say}");
        assert_eq!(leaks::outside(&root.path(), &ids), Vec::<String>::new(), "{say}");
    });
}

#[test]
fn gc_on_a_full_disk() {
    need!(root);
    collect(Kind::DiskFull);
}

#[test]
fn pack_spoiled() {
    // spec: CLI-75
    need!(root);
    let tree = tempfile::tempdir().unwrap();
    std::fs::write(tree.path().join("file"), vec![7; 100_000]).unwrap();
    std::fs::create_dir(tree.path().join("dir")).unwrap();
    for kind in [Kind::KillTree, Kind::Eio, Kind::DiskFull] {
        let make = || {
            let root = Root::new();
            let pack = root.ctr("image").arg("pack").arg(tree.path()).args(["--entrypoint", "/file", "-o"]);
            let out = root.file("out.aci");
            let traced = pack.arg(&out).traced(vec![root.file("")]);
            (root, traced)
        };
        crash::at_every_point(kind, make, |root, fault, outcome| {
            let say = crash::describe(fault, &outcome);
            let out = root.file("out.aci");
            assert_no_ignored_sync(fault, &outcome, &say);
            assert!(outcome.code != 0 || out.exists(), "{say}");
            if out.exists() {
                root.fetch(&out.display().to_string(), "x");
            }
            if fault != Fault::None && kind != Kind::KillTree && outcome.code != 0 {
                let left: Vec<String> = names(&root.file("")).into_iter().filter(|name| name != "root").collect();
                assert!(left.is_empty() || kind == Kind::Eio, "{left:?}\n{say}");
            }
        });
    }
}

fn image(kind: Kind, args: &[&str], check: impl Fn(&Root, &Outcome, &str)) {
    let template = Root::new();
    template.fetch(&images::tiny(), "x");
    let make = || {
        let root = template.copy();
        let out = root.file("out.aci");
        let args: Vec<String> = args.iter().map(|arg| arg.replace("OUT", &out.display().to_string())).collect();
        let traced = root.ctr("image").args(args).traced(vec![root.path(), out]);
        (root, traced)
    };
    crash::at_every_point(kind, make, |root, fault, outcome| {
        let say = crash::describe(fault, &outcome);
        assert_eq!(store_check::complaints(&root.store()), Vec::<String>::new(), "{say}");
        assert_no_ignored_sync(fault, &outcome, &say);
        check(&root, &outcome, &say);
        assert_gc_leaves_nothing(&root, &say);
    });
}

#[test]
fn tag_spoiled() {
    need!(root);
    for kind in [Kind::KillTree, Kind::Eio, Kind::DiskFull] {
        image(kind, &["tag", "x", "y:2"], |root, outcome, say| {
            let refs = store_check::refs(&root.store());
            assert!(refs.contains_key(NAME), "{say}");
            assert!(outcome.code != 0 || refs.contains_key("docker.io/library/y:2"), "{say}");
            root.ctr("image").args(["tag", "x", "y:2"]).ok();
        });
    }
}

#[test]
fn rm_spoiled() {
    need!(root);
    for kind in [Kind::KillTree, Kind::Eio] {
        image(kind, &["rm", "x"], |root, outcome, say| {
            assert!(outcome.code != 0 || store_check::refs(&root.store()).is_empty(), "{say}");
        });
    }
}

#[test]
fn export_spoiled() {
    // spec: CLI-75
    need!(root);
    for kind in [Kind::KillTree, Kind::Eio, Kind::DiskFull] {
        image(kind, &["export", "x", "OUT"], |root, outcome, say| {
            // An archive at the name that was asked for is a whole one.
            let out = root.file("out.aci");
            assert!(outcome.code != 0 || out.exists(), "{say}");
            if out.exists() {
                let fresh = Root::new();
                fresh.fetch(&out.display().to_string(), "x");
            }
        });
    }
}
