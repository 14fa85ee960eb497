//! Power loss: the order of writes of every command that changes the store, proved from recorded runs.

use ctr_tests::scratch::{Cmd, Root, names};
use ctr_tests::trace::{Change, Fault, Outcome};
use ctr_tests::{images, need, powerloss};

/// Records a command and proves its order.
#[track_caller]
fn proved(root: &Root, command: Cmd) -> Outcome {
    let outcome = command.traced(vec![root.path()]).run();
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let wrong = powerloss::check(&root.store(), &outcome.events, true, &[]);
    assert_eq!(wrong, Vec::<String>::new(), "of {} calls", outcome.events.len());
    outcome
}

fn fetch(root: &Root, source: &str) -> Cmd {
    root.ctr("fetch").args(["-q", source, "--name", "x"])
}

#[test]
fn fetch_from_each_kind_of_source() {
    // spec: STORE-60, STORE-61, STORE-I2
    need!(root, "skopeo");
    let base = Root::new();
    let at = |name: &str| base.file(name).display().to_string();
    images::skopeo_copy(&[], &images::tiny(), &format!("oci-archive:{}:latest", at("oci.tar")));
    images::skopeo_copy(&[], &images::tiny(), &format!("docker-archive:{}:x:latest", at("docker.tar")));
    for source in [images::tiny(), at("oci.tar"), at("docker.tar")] {
        let root = Root::new();
        let outcome = proved(&root, fetch(&root, &source));
        let (objects, refs) = powerloss::published(&root.store(), &outcome.events);
        // Manifest, config, two layer blobs, two trees, a launch record; the format file may be one too.
        assert!(objects >= 7 && refs == 1, "{source}: {objects} objects, {refs} refs");
    }
}

#[test]
fn fetch_into_a_store_that_has_half_of_it() {
    // spec: STORE-60, STORE-62
    need!(root);
    let root = Root::new();
    proved(&root, fetch(&root, &images::tiny()));
    let outcome = proved(&root, root.ctr("fetch").args(["-q", &images::busybox(), "--name", "y"]));
    assert_eq!(powerloss::published(&root.store(), &outcome.events).1, 1);
    proved(&root, root.ctr("fetch").args(["-q", &images::tiny(), "--name", "z"]));
}

/// A run that is killed after a rename and before the sync of the directory leaves an object that a power cut can still
/// take. The next fetch finds and uses it: it must make it durable before the ref.
#[test]
fn objects_that_a_killed_run_left_are_made_durable() {
    need!(root);
    let clean = Root::new();
    let traced = |root: &Root| fetch(root, &images::tiny()).traced(vec![root.path()]);
    let events = traced(&clean).run().events;
    let store = clean.store();
    let renames = events.iter().filter(|event| {
        matches!(&event.change, Change::Rename { to, .. } | Change::Link { to, .. }
            if ["blobs", "layers", "images"].iter().any(|place| to.starts_with(store.join(place))))
    });
    let numbers: Vec<usize> = renames.map(|event| event.number).collect();
    assert!(numbers.len() >= 7, "{numbers:?}");
    for number in numbers {
        let root = Root::new();
        traced(&root).with(Fault::KillTree(number + 1)).run();
        let left: Vec<_> = ["blobs/sha256", "layers", "images"]
            .iter()
            .map(|place| root.store().join(place))
            .flat_map(|dir| names(&dir).into_iter().map(move |name| dir.join(name)).collect::<Vec<_>>())
            .collect();
        let outcome = traced(&root).run();
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        let wrong = powerloss::check(&root.store(), &outcome.events, true, &left);
        assert_eq!(wrong, Vec::<String>::new(), "killed after call {number}, which left {left:?}");
    }
}

#[test]
fn names_come_and_go_in_order() {
    // spec: STORE-50, STORE-61
    need!(root);
    let root = Root::new();
    proved(&root, fetch(&root, &images::tiny()));
    let outcome = proved(&root, root.ctr("image").args(["tag", "x", "y"]));
    assert_eq!(powerloss::published(&root.store(), &outcome.events), (0, 1));
    proved(&root, root.ctr("image").args(["rm", "x"]));
    let outcome = proved(&root, root.ctr("image").args(["rm", "y"]));
    assert!(outcome.events.iter().any(|event| event.change.is_sync()), "a name that is gone stays gone");
    // The objects leave only after the names have.
    let outcome = proved(&root, root.ctr("gc").args(["--grace", "0"]));
    assert!(!outcome.events.is_empty());
    assert_eq!(names(&root.store().join("blobs/sha256")), Vec::<String>::new());
}

/// A killed `rm` has not made the loss of the name durable: gc, which collects because of it, must.
#[test]
fn gc_after_a_killed_rm() {
    need!(root);
    let root = Root::new();
    fetch(&root, &images::tiny()).ok();
    let rm = root.ctr("image").args(["rm", "x"]).traced(vec![root.path()]);
    let place = root.store().join("refs");
    let clean = root.copy();
    let events = clean.ctr("image").args(["rm", "x"]).traced(vec![clean.path()]).run().events;
    let gone = events.iter().find(|event| {
        event.change.path().is_some_and(|path| path.starts_with(clean.store().join("refs")))
            && matches!(event.change, Change::Unlink(_))
            || matches!(&event.change, Change::Rename { from, .. } if from.starts_with(clean.store().join("refs")))
    });
    let gone = gone.expect("rm takes the name away").number;
    let lost = names(&place).into_iter().map(|name| place.join(name)).collect::<Vec<_>>();
    rm.with(Fault::KillTree(gone + 1)).run();
    assert_eq!(names(&place), Vec::<String>::new());
    let outcome = root.ctr("gc").args(["--grace", "0"]).traced(vec![root.path()]).run();
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let wrong = powerloss::check(&root.store(), &outcome.events, true, &lost);
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn a_start_waits_for_no_disk() {
    // spec: OVR-6
    need!(root);
    let root = Root::with_busybox();
    let mut traced = root.ctr("run").args(["--wait", "--rm", "busybox", "true"]).traced(vec![root.path()]);
    traced.machinery = true;
    let outcome = traced.run();
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let syncs: Vec<String> =
        outcome.events.iter().filter(|event| event.change.is_sync()).map(ToString::to_string).collect();
    assert_eq!(syncs, Vec::<String>::new());
    assert!(outcome.events.iter().any(|event| event.change == Change::Mount), "the run was seen");
}
