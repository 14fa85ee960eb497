//! What gc removes and what it keeps, decided and done by the store; and many at once.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod image;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use ctr_core::digest::Digest;
use ctr_core::store::gc::{ContainerRoots, ItemKind, NameRule, Plan, Policy, Reach};
use ctr_core::store::{Download, Store, StoreError};
use image::{Image, add_image, blob_of, put_layer};

fn policy(grace: u64, names: NameRule) -> Policy {
    let build_age = ctr_core::store::gc::BUILD_AGE;
    Policy { grace: Duration::from_secs(grace), names, build_age, build_size: None, now: SystemTime::now() }
}

const STRICT: u64 = 0;

/// One whole collection, as ctr-gc does it.
fn collect(store: &Store, roots: &ContainerRoots, policy: &Policy) -> Plan {
    let trash = store.begin().unwrap();
    let gate = store.gate_exclusive(Duration::from_secs(20)).unwrap();
    let plan = store.plan_collection(roots, policy, &mut Reach::default()).unwrap();
    let (moved, failed) = store.sweep(&plan, &trash);
    drop(gate);
    assert!(failed.is_empty(), "{failed:?}");
    // A transaction that ends at this moment removes its directory itself.
    let objects = |kind| kind != ItemKind::Staging;
    let planned = plan.items.iter().filter(|item| objects(item.kind)).count();
    assert_eq!(moved.iter().filter(|(item, _)| objects(item.kind)).count(), planned);
    plan
}

fn files(dir: &Path) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(dir) else { return BTreeSet::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn objects(root: &Path) -> usize {
    ["blobs/sha256", "layers", "images", "refs", "files", "tmp"]
        .iter()
        .map(|d| files(&root.join("store").join(d)).len())
        .sum()
}

#[test]
fn named_images_stay_and_shared_layers_with_them() {
    // spec: STORE-81
    let root = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(root.path()).unwrap();
    let one = add_image(&store, &Image::new("one", &["base", "one"]), &["one"]);
    let two = add_image(&store, &Image::new("two", &["base", "two"]), &[]);
    let unnamed = collect(&store, &ContainerRoots::default(), &policy(3600, NameRule::Keep));
    assert!(unnamed.items.is_empty(), "young images stay: {:?}", unnamed.items);

    let plan = collect(&store, &ContainerRoots::default(), &policy(STRICT, NameRule::Keep));
    let count = |kind| plan.items.iter().filter(|item| item.kind == kind).count();
    assert_eq!((count(ItemKind::Image), count(ItemKind::Layer), count(ItemKind::Blob)), (1, 1, 3), "{:?}", plan.items);
    assert!(store.launch_record(&two.image).is_err());
    assert!(store.layer(&one.layers[0]).unwrap().is_some());
    assert!(store.layer(&two.layers[1]).unwrap().is_none());
    assert!(store.check(|_| ()).unwrap().damage.is_empty());

    collect(&store, &ContainerRoots::default(), &policy(STRICT, NameRule::OlderThan(Duration::from_secs(60))));
    assert!(store.find_image("one").is_ok());
    collect(&store, &ContainerRoots::default(), &policy(STRICT, NameRule::All));
    assert_eq!(objects(root.path()), 0);
}

#[test]
fn containers_keep_their_images_layers_and_names() {
    // spec: STORE-80
    let root = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(root.path()).unwrap();
    let launch = add_image(&store, &Image::new("one", &["base"]), &["one"]);
    let mut roots = ContainerRoots::default();
    roots.images.insert(launch.image, "c1".into());
    roots.layers.extend(&launch.layers);
    assert!(collect(&store, &roots, &policy(STRICT, NameRule::All)).items.is_empty());
    // Its name went by ctr-image rm: the image stays as long as the container.
    store.untag(&"one".parse().unwrap()).unwrap();
    assert!(collect(&store, &roots, &policy(STRICT, NameRule::Keep)).items.is_empty());
    // Even a container whose image is gone otherwise keeps its layers.
    fs::remove_file(root.path().join("store/images").join(launch.image.hex())).unwrap();
    fs::remove_file(store.blob(&launch.image).unwrap().path).unwrap();
    collect(&store, &roots, &policy(STRICT, NameRule::Keep));
    assert!(store.layer(&launch.layers[0]).unwrap().is_some());
}

#[test]
fn what_cannot_be_read_keeps_everything() {
    // spec: STORE-84
    let root = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(root.path()).unwrap();
    let launch = add_image(&store, &Image::new("one", &["base"]), &["one"]);
    add_image(&store, &Image::new("two", &["x"]), &[]);
    let reference = root.path().join("store/refs").join(files(&root.path().join("store/refs")).first().unwrap());
    let good = fs::read(&reference).unwrap();
    let (manifest, record) =
        (store.blob(&launch.image).unwrap().path, root.path().join("store/images").join(launch.image.hex()));
    let before = objects(root.path());
    for damaged in [&reference, &manifest, &record] {
        let good = fs::read(damaged).unwrap();
        fs::write(damaged, "{").unwrap();
        let plan = collect(&store, &ContainerRoots::default(), &policy(STRICT, NameRule::Keep));
        assert!(plan.items.is_empty() && plan.kept_because.len() == 1, "{plan:?}");
        fs::write(damaged, good).unwrap();
    }
    let roots = ContainerRoots { unreadable: vec!["container x".into()], ..ContainerRoots::default() };
    assert!(collect(&store, &roots, &policy(STRICT, NameRule::Keep)).items.is_empty());
    assert_eq!(objects(root.path()), before);
    assert_eq!(fs::read(&reference).unwrap(), good);
}

#[test]
fn a_download_that_somebody_has_stays() {
    // spec: STORE-86
    let root = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(root.path()).unwrap();
    let digest = Digest::of(b"blob");
    let path = root.path().join("store/partial").join(digest.hex());
    let txn = store.begin().unwrap();
    let Download::Partial(mut partial) = txn.download(&digest, 4, &|| true).unwrap() else { panic!("it is there") };
    partial.push(b"bl").unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(25 * 3600);
    fs::File::open(&path).unwrap().set_modified(long_ago).unwrap();
    let gone = || collect(&store, &ContainerRoots::default(), &policy(STRICT, NameRule::Keep)).items.len();
    assert_eq!((gone(), path.exists()), (0, true));
    // Complete, and not published yet.
    partial.push(b"ob").unwrap();
    txn.finish_partial(*partial).unwrap();
    fs::File::open(&path).unwrap().set_modified(long_ago).unwrap();
    assert_eq!((gone(), path.exists()), (0, true));
    drop(txn);
    assert_eq!(gone(), 1);
    assert!(!path.exists());
}

#[test]
fn leftovers_go_and_living_transactions_stay() {
    // spec: STORE-83
    let root = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(root.path()).unwrap();
    let tmp = root.path().join("store/tmp");
    let dead = tmp.join("0123");
    fs::create_dir_all(dead.join("layer-0/fs")).unwrap();
    fs::write(dead.join("lock"), "").unwrap();
    fs::write(dead.join("keep"), "nonsense").unwrap();
    fs::create_dir(tmp.join("4567")).unwrap();
    fs::write(tmp.join("file-1"), "").unwrap();
    fs::write(root.path().join("store/files/x"), "{").unwrap();
    let old = root.path().join("store/partial/old");
    fs::write(&old, "").unwrap();
    fs::write(root.path().join("store/partial/new"), "").unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(25 * 3600);
    fs::File::open(&old).unwrap().set_modified(long_ago).unwrap();

    let txn = store.begin().unwrap();
    let id = put_layer(&txn, "x", Digest::of(b"d"), Digest::of(b"d"), true);
    txn.put_blob(b"blob", None).unwrap();
    txn.publish_pending().unwrap();
    let plan = collect(&store, &ContainerRoots::default(), &policy(STRICT, NameRule::Keep));
    let gone: BTreeSet<&str> = plan.items.iter().map(|item| item.id.as_str()).collect();
    assert_eq!(gone, BTreeSet::from(["0123", "4567", "file-1", "x", "old"]));
    assert!(store.layer(&id).unwrap().is_some() && store.blob(&Digest::of(b"blob")).is_ok());
    drop(txn);
    let plan = collect(&store, &ContainerRoots::default(), &policy(STRICT, NameRule::Keep));
    assert_eq!(plan.items.len(), 2, "{:?}", plan.items);
}

#[test]
fn a_replaced_layer_stays_as_long_as_a_container_uses_it() {
    // spec: STORE-92
    let root = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(root.path()).unwrap();
    let image = Image::new("one", &["base"]);
    let launch = add_image(&store, &image, &["one"]);
    let file = store.layer_fs(&launch.layers[0]).join("base");
    let held = fs::File::open(&file).unwrap();
    fs::remove_file(&file).unwrap();
    add_image(&store, &image, &["one"]);
    let mut roots = ContainerRoots::default();
    roots.layers.extend(&launch.layers);
    assert!(collect(&store, &roots, &policy(STRICT, NameRule::Keep)).items.is_empty());
    let plan = collect(&store, &ContainerRoots::default(), &policy(STRICT, NameRule::Keep));
    assert_eq!(plan.items.iter().map(|item| item.kind).collect::<Vec<_>>(), [ItemKind::OldLayer]);
    drop(held);
}

#[test]
fn check_finds_and_repair_removes() {
    // spec: STORE-90, STORE-91
    let root = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(root.path()).unwrap();
    let (one, two) = (Image::new("one", &["base", "one"]), Image::new("two", &["base", "two"]));
    let damage = |what: &str| {
        let launch = add_image(&store, &one, &["one"]);
        add_image(&store, &two, &["two"]);
        let hex = launch.image.hex();
        let flip = |path: &Path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[3] ^= 1;
            fs::write(path, bytes).unwrap();
        };
        match what {
            "config" => flip(&store.blob(&launch.config).unwrap().path),
            "manifest" => fs::remove_file(store.blob(&launch.image).unwrap().path).unwrap(),
            "layer blob" => flip(&store.blob(&Digest::of(blob_of("one").as_bytes())).unwrap().path),
            "layer file" => fs::remove_file(store.layer_fs(&launch.layers[1]).join("one")).unwrap(),
            "layer" => fs::remove_dir_all(store.layer_fs(&launch.layers[1]).parent().unwrap()).unwrap(),
            "record" => fs::write(root.path().join("store/images").join(hex), "").unwrap(),
            _ => unreachable!(),
        }
    };
    for what in ["config", "manifest", "layer blob", "layer file", "layer", "record"] {
        damage(what);
        let checked = store.check(|_| ()).unwrap();
        assert_eq!(checked.damage.len(), 1, "{what}: {:?}", checked.damage);
        assert_eq!(checked.damage[0].images, ["docker.io/library/one:latest"], "{what}");
        let repaired = store.repair(&checked, Duration::from_secs(5)).unwrap();
        assert!(repaired.failed.is_empty());
        if what == "layer blob" {
            assert_eq!(repaired.thinned_images, ["docker.io/library/one:latest"]);
            assert!(store.find_image("one").is_ok());
        } else {
            assert_eq!(repaired.removed_images, ["docker.io/library/one:latest"], "{what}");
            assert!(matches!(store.find_image("one"), Err(StoreError::NoImage(_))), "{what}");
        }
        assert!(store.find_image("two").is_ok());
        assert!(store.check(|_| ()).unwrap().damage.is_empty(), "{what}");
        add_image(&store, &one, &["one"]);
        assert!(store.check(|_| ()).unwrap().damage.is_empty(), "{what}");
    }
}

#[test]
fn repair_leaves_what_was_fetched_again_meanwhile() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(root.path()).unwrap();
    let image = Image::new("one", &["base"]);
    let launch = add_image(&store, &image, &["one"]);
    fs::write(store.blob(&launch.config).unwrap().path, "bad").unwrap();
    fs::remove_dir_all(store.layer_fs(&launch.layers[0]).parent().unwrap()).unwrap();
    let checked = store.check(|_| ()).unwrap();
    assert_eq!(checked.damage.len(), 2);
    add_image(&store, &image, &["one"]);
    let repaired = store.repair(&checked, Duration::from_secs(5)).unwrap();
    assert!(repaired.removed_images.is_empty() && repaired.thinned_images.is_empty());
    assert!(store.check(|_| ()).unwrap().damage.is_empty());
    assert!(store.find_image("one").is_ok());
}

#[test]
fn gc_gives_up_while_somebody_stays_inside() {
    // spec: STORE-71
    let root = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(root.path()).unwrap();
    let inside = store.gate_shared().unwrap();
    let began = Instant::now();
    let busy = store.gate_exclusive(Duration::from_millis(300)).unwrap_err();
    assert!(matches!(busy, StoreError::Busy { .. }), "{busy}");
    assert!(began.elapsed() < Duration::from_secs(3));
    // Others are not kept out by the one who waits in vain.
    std::thread::scope(|scope| {
        scope.spawn(|| store.gate_exclusive(Duration::from_millis(800)).unwrap_err());
        std::thread::sleep(Duration::from_millis(50));
        let began = Instant::now();
        drop(store.gate_shared().unwrap());
        assert!(began.elapsed() < Duration::from_millis(600));
    });
    drop(inside);
    drop(store.gate_exclusive(Duration::from_millis(300)).unwrap());
}

#[test]
fn gc_gets_in_between_many_short_holds() {
    // spec: STORE-71
    let root = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(root.path()).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let gate = store.gate_shared().unwrap();
                    std::thread::sleep(Duration::from_millis(1));
                    drop(gate);
                }
            });
        }
        for _ in 0..10 {
            drop(store.gate_exclusive(Duration::from_secs(20)).unwrap());
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn eight_bring_in_one_image_and_unpack_each_layer_once() {
    // spec: STORE-64
    let root = tempfile::tempdir().unwrap();
    let image = Image::new("one", &["a", "b", "c"]);
    let (barrier, unpacked) = (Barrier::new(8), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                // Each has a store of its own: the locks belong to open files, as between processes.
                let store = Store::open_or_create(root.path()).unwrap();
                let txn = store.begin().unwrap();
                for layer in &image.layers {
                    let diff = Digest::of(format!("diff {layer}").as_bytes());
                    let lock = txn.lock_digest(&diff).unwrap();
                    if txn.find_layer(&diff, &diff).unwrap().is_none() {
                        unpacked.fetch_add(1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(5));
                        put_layer(&txn, layer, diff, diff, true);
                        // Whoever waits for the digest must find it.
                        txn.publish_pending().unwrap();
                    }
                    drop(lock);
                }
                drop(txn);
                add_image(&store, &image, &["one"]);
            });
        }
    });
    assert_eq!(unpacked.load(Ordering::SeqCst), 3);
    let store = Store::open(root.path()).unwrap();
    assert!(store.check(|_| ()).unwrap().damage.is_empty());
    assert_eq!(files(&root.path().join("store/layers")).len(), 3);
    assert!(files(&root.path().join("store/tmp")).is_empty());
}

#[test]
fn two_that_need_each_others_layers_do_not_wait_for_ever() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(root.path()).unwrap();
    for round in 0..20 {
        let (ab, ba) = (format!("a{round}"), format!("b{round}"));
        let barrier = Barrier::new(2);
        std::thread::scope(|scope| {
            for order in [[&ab, &ba], [&ba, &ab]] {
                let (store, barrier) = (&store, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    add_image(store, &Image::new(&order.map(String::as_str).join("-"), &[order[0], order[1]]), &[]);
                });
            }
        });
    }
    assert!(store.check(|_| ()).unwrap().damage.is_empty());
}

#[test]
fn publishing_against_collection_loses_nothing() {
    // spec: STORE-63, STORE-I1
    let root = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(root.path()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut rounds = 0;
            while !done.load(Ordering::Relaxed) || rounds == 0 {
                collect(&store, &ContainerRoots::default(), &policy(STRICT, NameRule::Keep));
                rounds += 1;
            }
        });
        let fetchers: Vec<_> = (0..4)
            .map(|fetcher| {
                let root = root.path();
                scope.spawn(move || {
                    for round in 0..25 {
                        let store = Store::open(root).unwrap();
                        // Half of the layers are shared, and lose their last name again and again.
                        let own = format!("own-{fetcher}-{round}");
                        let name = format!("app{fetcher}");
                        let image = Image::new(&own, &["shared", &own]);
                        let launch = add_image(&store, &image, &[&name]);
                        assert_eq!(store.find_image(&name).unwrap().digest, launch.image);
                        for id in &launch.layers {
                            assert!(store.layer(id).unwrap().is_some(), "a named image lost a layer");
                        }
                        store.launch_record(&launch.image).unwrap();
                        store.untag(&name.parse().unwrap()).unwrap();
                    }
                })
            })
            .collect();
        for fetcher in fetchers {
            fetcher.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    collect(&store, &ContainerRoots::default(), &policy(STRICT, NameRule::Keep));
    assert_eq!(objects(root.path()), 0);
}

#[test]
fn what_was_resolved_and_registered_under_the_gate_is_not_collected() {
    // spec: STORE-I3
    let root = tempfile::tempdir().unwrap();
    let store = Store::open_or_create(root.path()).unwrap();
    let leases = root.path().join("leases");
    fs::create_dir(&leases).unwrap();
    let done = AtomicBool::new(false);
    let image = Image::new("one", &["base"]);
    let launch = add_image(&store, &image, &["one"]);
    let started = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        // gc: leases are read under the gate.
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let trash = store.begin().unwrap();
                let gate = store.gate_exclusive(Duration::from_secs(20)).unwrap();
                let mut roots = ContainerRoots::default();
                for lease in files(&leases) {
                    roots.images.insert(launch.image, lease);
                    roots.layers.extend(&launch.layers);
                }
                let plan =
                    store.plan_collection(&roots, &policy(STRICT, NameRule::Keep), &mut Reach::default()).unwrap();
                store.sweep(&plan, &trash);
                drop(gate);
            }
        });
        // The name comes and goes.
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                store.untag(&"one".parse().unwrap()).unwrap();
                add_image(&store, &image, &["one"]);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let starters: Vec<_> = (0..4)
            .map(|starter| {
                let (store, leases, started) = (&store, &leases, &started);
                scope.spawn(move || {
                    let end = Instant::now() + Duration::from_secs(60);
                    for round in 0..25 {
                        let lease = leases.join(format!("{starter}-{round}"));
                        let (gate, found) = loop {
                            assert!(Instant::now() < end, "the image was never there");
                            let gate = store.gate_shared().unwrap();
                            match store.find_image("one") {
                                Ok(found) => break (gate, found),
                                Err(_) => std::thread::sleep(Duration::from_millis(1)),
                            }
                        };
                        let launch = store.launch_record(&found.digest).unwrap();
                        fs::write(&lease, "").unwrap();
                        drop(gate);
                        std::thread::sleep(Duration::from_millis(1));
                        for id in &launch.layers {
                            assert!(store.layer_fs(id).join("base").exists(), "collected under a lease");
                        }
                        started.fetch_add(1, Ordering::Relaxed);
                        fs::remove_file(&lease).unwrap();
                    }
                })
            })
            .collect();
        for starter in starters {
            starter.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(started.load(Ordering::Relaxed), 100);
}
