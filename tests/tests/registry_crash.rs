//! Kill, `EIO`, a full disk and power loss during a fetch from a registry: what has come is kept, and never taken for more
//! than it is.

use std::fs;

use ctr_tests::crash::{self, Kind};
use ctr_tests::faults::{On, Registry, Scene, Server};
use ctr_tests::oci::{Layer, Layout};
use ctr_tests::scratch::{Root, names, until};
use ctr_tests::trace::Change;
use ctr_tests::{leaks, need, powerloss, schema, store_check, tarball::Tar};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A registry that falls silent after `count` bytes of the big layer, the first time.
fn silent_after(count: usize) -> Scene {
    let scene = Scene::new();
    scene.server.on(On::get(scene.image.big()).first(1), move |call| call.ordinary().stall(count));
    scene
}

/// Starts a fetch, and ends it with `signal` when `count` bytes have come.
fn end_after(scene: &Scene, count: usize, signal: Signal) -> i32 {
    let running = scene.fetch().start();
    until("the bytes have come", || scene.begun() == count as u64);
    kill(Pid::from_raw(running.pid()), signal).unwrap();
    running.wait().code
}

#[track_caller]
fn assert_whole(scene: &Scene, say: &str) {
    let store = scene.root.store();
    assert_eq!(store_check::complaints(&store), Vec::<String>::new(), "{say}");
    let refs = store_check::refs(&store);
    assert_eq!(refs.values().collect::<Vec<_>>(), [scene.image.digest()], "{say}");
    assert_eq!(scene.partial(), Vec::<String>::new(), "{say}");
    scene.root.ctr("image").args(["verify", scene.image.digest()]).ok();
}

/// Takes the image away and collects: nothing may remain.
#[track_caller]
fn assert_gc_leaves_nothing(root: &Root, say: &str) {
    for name in store_check::refs(&root.store()).into_keys() {
        root.ctr("image").args(["rm", &name]).ok();
    }
    root.ctr("gc").args(["--grace", "0"]).ok();
    assert_eq!(store_check::remains(&root.path()), Vec::<String>::new(), "{say}");
    assert_eq!(names(&root.store().join("referrers")), Vec::<String>::new(), "{say}");
}

#[test]
fn a_killed_fetch_goes_on_where_it_was() {
    // spec: STORE-55, STORE-56
    need!(root);
    let size = silent_after(0).image.big_size();
    for count in [1, 70_000, 200_000, size - 1] {
        let scene = silent_after(count);
        assert_ne!(end_after(&scene, count, Signal::SIGKILL), 0);
        assert_eq!(store_check::complaints(&scene.root.store()), Vec::<String>::new());
        scene.fetch().ok();
        assert_eq!(scene.ranges(), [None, Some(count as u64)]);
        // The small layer was there as a whole, or is asked for again: only what is missing comes twice.
        assert!(scene.server.seen_of("GET", scene.image.small()).len() <= 2);
        assert_whole(&scene, &format!("killed after {count}"));
        assert_gc_leaves_nothing(&scene.root, "");
    }
}

#[test]
fn an_interrupted_fetch_keeps_what_has_come() {
    // spec: STORE-55
    need!(root);
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let scene = silent_after(100_000);
        assert_eq!(end_after(&scene, 100_000, signal), 128 + signal as i32);
        assert_eq!(scene.begun(), 100_000);
        scene.fetch().ok();
        assert_eq!(scene.ranges(), [None, Some(100_000)]);
    }
}

#[test]
fn who_waited_for_a_killed_one_goes_on() {
    // spec: STORE-64
    need!(root);
    let scene = silent_after(150_000);
    let first = scene.fetch().start();
    until("the bytes have come", || scene.begun() == 150_000);
    let second = scene.fetch().start();
    until("the second one asks too", || scene.server.seen_of("GET", "/manifests/").len() == 2);
    kill(Pid::from_raw(first.pid()), Signal::SIGKILL).unwrap();
    first.wait();
    assert_eq!(second.wait().code, 0);
    assert_eq!(scene.ranges(), [None, Some(150_000)]);
    assert_whole(&scene, "");
}

#[test]
fn what_a_loss_of_power_left_is_believed_by_its_digest_alone() {
    // spec: STORE-56
    need!(root);
    let image = Scene::new().image;
    let (size, whole) = (image.big_size(), image.blob(image.big()));
    let torn = |from: usize, count: usize| {
        let mut bytes = whole[..count].to_vec();
        bytes[from..].fill(0);
        bytes
    };
    let longer = [&whole[..], b"x"].concat();
    // What is there, and what is asked for: the rest, then, because the digest is wrong, all.
    let cases: [(Vec<u8>, &[Option<u64>]); 6] = [
        (torn(0, 4096), &[Some(4096), None]),
        (torn(100_000, 300_000), &[Some(300_000), None]),
        (torn(100_000, size), &[None]),
        (longer, &[None]),
        (Vec::new(), &[None]),
        (whole.clone(), &[]),
    ];
    for (left, asked) in cases {
        let scene = Scene::new();
        let dir = scene.root.store().join("partial");
        // Nothing comes, but the store is there.
        scene.ctr("fetch").arg(scene.server.name("demo:none")).run();
        fs::write(dir.join(&image.big()["sha256:".len()..]), &left).unwrap();
        scene.fetch().ok();
        assert_eq!(scene.ranges(), asked, "{} bytes", left.len());
        assert_whole(&scene, "");
    }
}

fn spoiled(kind: Kind) {
    let make = || {
        let scene = Scene::new();
        let traced = scene.fetch().arg("-q").traced(vec![scene.root.path()]);
        (scene, traced)
    };
    crash::at_every_point(kind, make, |scene, fault, outcome| {
        let say = crash::describe(fault, &outcome);
        let store = scene.root.store();
        assert_eq!(store_check::complaints(&store), Vec::<String>::new(), "{say}");
        assert!(!store_check::refs(&store).is_empty() || outcome.code != 0, "success without a ref\n{say}");
        assert!(matches!(outcome.code, 0 | 1 | 137), "ends in its own way\n{say}");
        // What has come is a beginning of its blob.
        for name in scene.partial() {
            let begun = fs::read(store.join("partial").join(&name)).unwrap();
            assert!(scene.image.blob(&format!("sha256:{name}")).starts_with(&begun), "{name}\n{say}");
        }
        let there = scene.begun();
        let big = store.join("blobs").join(scene.image.big().replace(':', "/"));
        let (asked, published) = (scene.ranges().len(), big.exists());
        assert_eq!(leaks::outside(&scene.root.path(), &[]), Vec::<String>::new(), "{say}");
        // Again: no byte that is there is asked for.
        let again = scene.fetch().arg("-q").run();
        assert_eq!(again.code, 0, "again: {again}\n{say}");
        let size = scene.image.big_size() as u64;
        let wanted = match there {
            _ if published => vec![],
            0 => vec![None],
            there if there == size => vec![],
            there => vec![Some(there)],
        };
        assert_eq!(scene.ranges()[asked..], wanted, "{say}");
        assert_whole(&scene, &say);
        assert_gc_leaves_nothing(&scene.root, &say);
    });
}

#[test]
fn fetch_killed() {
    // spec: STORE-55 to STORE-58, STORE-I1
    need!(root);
    spoiled(Kind::KillTree);
}

#[test]
fn fetch_with_input_output_errors() {
    // spec: STORE-66
    need!(root);
    spoiled(Kind::Eio);
}

#[test]
fn fetch_on_a_full_disk() {
    // spec: STORE-55, STORE-66
    need!(root);
    spoiled(Kind::DiskFull);
}

#[test]
fn a_loss_of_power_finds_no_name_without_its_image() {
    // spec: STORE-57, STORE-60, STORE-61
    need!(root);
    let clean = Scene::new();
    let outcome = clean.fetch().traced(vec![clean.root.path()]).run();
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let store = clean.root.store();
    assert_eq!(powerloss::check(&store, &outcome.events, true, &[]), Vec::<String>::new());
    let from_partial = outcome.events.iter().filter(|event| {
        matches!(&event.change, Change::Rename { from, to } if from.starts_with(store.join("partial")) && to.starts_with(store.join("blobs")))
    });
    assert_eq!(from_partial.count(), 2, "both layers came by way of partial/");
    // What an earlier run left, as a whole or in part, is made durable too.
    let scene = silent_after(200_000);
    end_after(&scene, 200_000, Signal::SIGKILL);
    let outcome = scene.fetch().traced(vec![scene.root.path()]).run();
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert_eq!(powerloss::check(&scene.root.store(), &outcome.events, true, &[]), Vec::<String>::new());
}

#[test]
fn a_layer_that_an_image_has_twice_comes_once() {
    // spec: STORE-64
    need!(root);
    let root = Root::new();
    let layer = || Layer::plain(Tar::new().file("a", 0o644, "a".repeat(50_000)).finish());
    let mut layout = Layout::new(&root.file("twice"));
    let image = layout.image(&serde_json::json!({"Cmd": ["/a"]}), &[layer(), layer(), layer()]);
    layout.tag("latest", &image);
    for jobs in ["1", "4"] {
        let server = Server::start(Registry::with("demo", "1", &root.file("twice")));
        let there = Root::new();
        there.ctr("fetch").args(["--jobs", jobs]).arg(server.name("demo:1")).ok();
        assert_eq!(server.seen_of("GET", "/blobs/").len(), 2, "config and layer");
        assert_eq!(store_check::complaints(&there.store()), Vec::<String>::new());
    }
}

/// Two processes bring images that share their layers in the other order: each layer comes once, and nobody waits for ever.
#[test]
fn images_that_share_layers_share_downloads() {
    // spec: STORE-58, STORE-64, STORE-65
    need!(root);
    let root = Root::new();
    let layer = |name: &str| Layer::plain(Tar::new().file(name, 0o644, name.repeat(50_000)).finish());
    let (here, there) = (Registry::new(), ["one", "other"]);
    for (tag, order) in there.iter().zip([["a", "b"], ["b", "a"]]) {
        let mut layout = Layout::new(&root.file(tag));
        let image = layout.image(&serde_json::json!({"Cmd": ["/a"]}), &order.map(layer));
        layout.tag("latest", &image);
        here.load("demo", tag, &root.file(tag));
    }
    let server = Server::start(here);
    for _ in 0..5 {
        let scene = Root::new();
        let before = server.seen_of("GET", "/blobs/").len();
        let fetches: Vec<_> =
            there.iter().map(|tag| scene.ctr("fetch").arg(server.name(&format!("demo:{tag}"))).start()).collect();
        for fetch in fetches {
            let done = fetch.wait();
            assert_eq!(done.code, 0, "{done}");
        }
        // Two configs and two layers.
        assert_eq!(server.seen_of("GET", "/blobs/").len() - before, 4);
        assert_eq!(store_check::complaints(&scene.store()), Vec::<String>::new());
        for file in names(&scene.store().join("refs")) {
            schema::check_text("ref.json", &fs::read_to_string(scene.store().join("refs").join(file)).unwrap());
        }
    }
}
