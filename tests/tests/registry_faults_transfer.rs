//! Faults of transfer: blobs that come cut, wrong, slow, twice or not at all.

use std::fs;
use std::time::Duration;

use ctr_tests::faults::{On, Response, Scene};
use ctr_tests::need;
use ctr_tests::scratch::{Cmd, until};

/// A cut in the middle of the big layer, at no boundary of anything.
const CUT: usize = 100_001;

// FAULT 1: the connection ends before Content-Length => it goes on by Range where it ended; after as many vain attempts as --retries says it fails, and
//  the next run goes on there
#[test]
fn case_01_truncated_body() {
    let scene = Scene::new();
    scene.server.on(On::get(scene.image.big()).first(1), |call| call.ordinary().cut(CUT));
    scene.fetch().ok();
    scene.assert_whole();
    assert_eq!(scene.ranges(), [None, Some(CUT as u64)]);

    // What comes in pieces comes, however many there are: each has brought something.
    let scene = Scene::new();
    scene.server.on(On::get(scene.image.big()), |call| call.ordinary().cut(50_000));
    scene.fetch().ok();
    scene.assert_whole();
    assert_eq!(scene.server.sent(scene.image.big()), scene.image.big_size() as u64, "no byte twice");

    // A server that says nothing more in the end.
    let scene = Scene::new();
    scene.server.on(On::get(scene.image.big()).nth(1), |call| call.ordinary().cut(CUT));
    scene.server.on(On::get(scene.image.big()).first(3), |call| call.ordinary().cut(0));
    scene.fetch().fails(1).says("the connection broke");
    scene.assert_nothing();
    assert_eq!(scene.begun(), CUT as u64);
    scene.fetch().ok();
    scene.assert_whole();
    assert_eq!(scene.ranges().last(), Some(&Some(CUT as u64)));
}

// FAULT 2: chunked transfer coding that ends without its last chunk => not taken for the end: it goes on by Range
#[test]
fn case_02_truncated_chunks() {
    let scene = Scene::new();
    scene.server.on(On::get(scene.image.big()).first(1), |call| call.ordinary().chunked().cut(CUT));
    scene.server.on(On::get(scene.image.small()).first(1), |call| call.ordinary().chunked().cut(20));
    scene.fetch().ok();
    scene.assert_whole();
    assert_eq!(scene.ranges(), [None, Some(CUT as u64)]);
    // The end of the connection as the only end: what is short is not taken either.
    let scene = Scene::new();
    scene.server.on(On::get(scene.image.big()).first(1), |call| call.ordinary().until_close().cut(CUT));
    scene.fetch().ok();
    scene.assert_whole();
}

// FAULT 3: the server ignores Range and sends the whole again (200) => it begins anew, nothing is appended
#[test]
fn case_03_range_ignored() {
    // spec: REG-11
    let scene = Scene::new();
    let whole = scene.image.blob(scene.image.big());
    scene.server.on(On::get(scene.image.big()).without("range").first(1), |call| call.ordinary().cut(CUT));
    scene.server.on(On::get(scene.image.big()).with("range"), move |_| Response::new(200).body(whole.clone()));
    scene.fetch().ok();
    scene.assert_whole();
    assert_eq!(scene.ranges(), [None, Some(CUT as u64)]);
}

// FAULT 4: 206 with a wrong, overlapping, unreadable or missing Content-Range => not appended; the blob is asked for anew, whole
#[test]
fn case_04_wrong_content_range() {
    let size = Scene::new().image.big_size();
    for told in [
        format!("bytes 0-{}/{size}", size - 1),
        format!("bytes {}-{}/{size}", CUT - 1, size - 1),
        format!("bytes {}-{}/{size}", CUT + 1, size - 1),
        format!("bytes {CUT}-{}/{}", size - 1, size + 1),
        format!("bytes {CUT}-{size}/{size}"),
        format!("bytes */{size}"),
        format!("{CUT}-{}/{size}", size - 1),
        "bytes -1-18446744073709551616/*".to_owned(),
        String::new(),
    ] {
        let scene = Scene::new();
        scene.server.on(On::get(scene.image.big()).without("range").first(1), |call| call.ordinary().cut(CUT));
        let text = told.clone();
        scene.server.on(On::get(scene.image.big()).with("range"), move |call| {
            let answer = call.ordinary().without("content-range");
            if text.is_empty() { answer } else { answer.header("Content-Range", &text) }
        });
        let done = scene.fetch().run();
        assert_eq!(done.code, 0, "{told}: {done}");
        scene.assert_whole();
        assert_eq!(scene.ranges(), [None, Some(CUT as u64), None], "{told}");
    }
}

// FAULT 5: 416 when a download is to go on, because what is there is longer than the blob or the server thinks so => what was there is dropped, the blob
//  comes anew
#[test]
fn case_05_range_not_satisfiable() {
    let scene = Scene::new();
    scene.server.on(On::get(scene.image.big()).without("range").first(1), |call| call.ordinary().cut(CUT));
    scene
        .server
        .on(On::get(scene.image.big()).with("range"), |_| Response::new(416).header("Content-Range", "bytes */10"));
    scene.fetch().ok();
    scene.assert_whole();
    assert_eq!(scene.ranges(), [None, Some(CUT as u64), None]);

    // A file that is longer than the blob, left by nobody knows whom.
    let scene = Scene::new();
    scene.fetch().ok();
    let other = Scene::new();
    let partial = other.root.store().join("partial");
    other.ctr("fetch").arg(other.server.name("demo:none")).fails(1);
    fs::create_dir_all(&partial).unwrap();
    fs::write(partial.join(&other.image.big()["sha256:".len()..]), vec![b'x'; 500_000]).unwrap();
    other.fetch().ok();
    other.assert_whole();
}

// FAULT 6: one bit of a layer is wrong => thrown away, asked for once more, then it fails with both digests; never in the store
#[test]
fn case_06_flipped_bit() {
    // spec: REG-12
    let scene = Scene::new();
    scene.server.on(On::get(scene.image.big()).first(1), |call| call.ordinary().flip(CUT));
    scene.fetch().ok();
    scene.assert_whole();

    let scene = Scene::new();
    scene.server.on(On::get(scene.image.big()), |call| call.ordinary().flip(CUT));
    let done = scene.fetch().fails(1).says("digest").says(scene.image.big());
    assert!(scene.ranges().len() <= 3, "asked too often: {done}");
    scene.assert_no_image();
    assert_eq!(scene.begun(), 0);

    // The config, which is a document.
    let scene = Scene::new();
    scene.server.on(On::get(scene.image.config()), |call| call.ordinary().flip(50));
    scene.fetch().fails(1).says("digest");
    scene.assert_nothing();
    assert_eq!(scene.partial(), Vec::<String>::new());
}

// FAULT 7: more bytes than the descriptor says, by Content-Length or without an end => refused at the first byte too many
#[test]
fn case_07_endless_body() {
    // spec: REG-6
    let scene = Scene::new();
    scene.server.on(On::get(scene.image.big()), |call| call.ordinary().endless());
    scene.fetch().fails(1).says(&format!("expected were {}", scene.image.big_size()));
    scene.assert_nothing();
    // What the sockets hold may be under way.
    let most = (scene.image.big_size() + (8 << 20)) * scene.ranges().len();
    assert!(scene.server.sent(scene.image.big()) < most as u64, "{} bytes sent", scene.server.sent(scene.image.big()));

    let scene = Scene::new();
    scene.server.on(On::get(scene.image.big()), |call| call.ordinary().claim(1 << 40).stall(1000));
    scene.fetch().fails(1).says("more than");
    scene.assert_nothing();
}

// FAULT 8: the blob ends before the size of its descriptor, properly => it fails with both sizes; nothing is kept
#[test]
fn case_08_short_blob() {
    let scene = Scene::new();
    scene.server.on(On::get(scene.image.big()), |call| {
        let mut answer = call.ordinary().status(200).without("content-range");
        answer.body.truncate(CUT);
        answer
    });
    let done = scene.fetch().fails(1);
    assert!(done.stderr.contains(&scene.image.big_size().to_string()), "{done}");
    assert!(scene.ranges().len() <= 4, "{:?}", scene.ranges());
    scene.assert_nothing();
}

// FAULT 9: the server goes silent before, in or behind the head of its answer, or sends a byte now and then => given up after --idle-timeout or below
//  1 KiB/s, and gone on with; with no better answer it fails and says which
#[test]
fn case_09_stall_and_drip() {
    // spec: REG-5
    let drip = Duration::from_millis(40);
    type Fault = fn(Response, Duration) -> Response;
    let faults: [(&str, Fault, &str); 4] = [
        ("before", |answer, _| answer.stall_before(), "nothing came in time"),
        ("headers", |answer, _| answer.stall_in_headers(), "nothing came in time"),
        ("body", |answer, _| answer.stall(CUT), "nothing came in time"),
        ("drip", |answer, drip| answer.drip(1000, drip), "less than 1024 bytes per second"),
    ];
    for (place, fault, message) in faults {
        // Once: the next attempt has it.
        let scene = Scene::new();
        scene.server.on(On::get(scene.image.big()).first(1), move |call| fault(call.ordinary(), drip));
        let done = scene.fetch_hastily().run();
        assert_eq!(done.code, 0, "{place}: {done}");
        scene.assert_whole();
        // Always, where nothing new comes.
        let scene = Scene::new();
        scene.server.on(On::get("/manifests/1"), move |call| {
            let answer = call.ordinary();
            fault(answer.body([b' '; 2000]), drip).with("Content-Length", "2000")
        });
        let done = scene.fetch_hastily().run();
        assert_eq!(done.code, 1, "{place}: {done}");
        if place != "body" {
            done.says(message);
        }
        scene.assert_nothing();
    }
}

// FAULT 10: the connection is reset in the middle of a layer, or before the answer => it goes on by Range
#[test]
fn case_10_reset() {
    let scene = Scene::new();
    scene.server.on(On::get(scene.image.big()).nth(1), |call| call.ordinary().reset(CUT));
    scene.server.on(On::get("/manifests/").nth(1), |call| call.ordinary().reset_before());
    scene.server.on(On::get(scene.image.config()).nth(1), |call| call.ordinary().reset(10));
    scene.fetch().ok();
    scene.assert_whole();
    // A reset may take bytes with it that were under way.
    let ranges = scene.ranges();
    assert_eq!(ranges.len(), 2, "{ranges:?}");
    assert!(ranges[1].is_none_or(|start| start <= CUT as u64), "{ranges:?}");
}

// FAULT 11: ctr-fetch is killed in the middle of a layer, and what is on disk is changed meanwhile => the next run checks what is there and asks for the rest
//  only; what is torn comes anew
#[test]
fn case_11_killed_and_run_again() {
    let killed = || {
        let scene = Scene::new();
        scene.server.on(On::get(scene.image.big()).first(1), |call| call.ordinary().stall(CUT));
        let mut running = scene.fetch().start();
        until("the beginning is on disk", || scene.begun() == CUT as u64);
        running.child.kill().unwrap();
        assert_eq!(running.wait().code, 128 + 9);
        scene
    };
    let scene = killed();
    scene.fetch().ok();
    scene.assert_whole_after_kill();
    assert_eq!(scene.ranges(), [None, Some(CUT as u64)]);

    let change = |scene: &Scene, change: fn(&mut Vec<u8>)| {
        let path = scene.root.store().join("partial").join(&scene.image.big()["sha256:".len()..]);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
    };
    // Shorter: as if the last bytes had not reached the disk.
    let scene = killed();
    change(&scene, |bytes| bytes.truncate(70_000));
    scene.fetch().ok();
    scene.assert_whole_after_kill();
    assert_eq!(scene.ranges(), [None, Some(70_000)]);
    // Torn: a hole where a block did not reach the disk.
    let scene = killed();
    change(&scene, |bytes| bytes[40_960..45_056].fill(0));
    scene.fetch().ok();
    scene.assert_whole_after_kill();
    assert_eq!(scene.ranges().last(), Some(&None), "the torn beginning is of no use");
}

// FAULT 12: two fetch the same image at the same time; one that downloads is killed => each layer is sent once; the other takes over where it ended
#[test]
fn case_12_two_at_once() {
    let scene = Scene::new();
    scene.server.on(On::get(scene.image.big()).first(1), |call| {
        std::thread::sleep(Duration::from_millis(300));
        call.ordinary()
    });
    let running: Vec<_> = (0..3).map(|_| scene.fetch().start()).collect();
    for one in running {
        one.wait().ok();
    }
    scene.assert_whole();
    assert_eq!(scene.ranges(), [None]);
    assert_eq!(scene.server.seen_of("GET", scene.image.small()).len(), 1);

    let scene = Scene::new();
    scene.server.on(On::get(scene.image.big()).first(1), |call| call.ordinary().stall(CUT));
    let patient = scene.fetch();
    let mut first = patient.start();
    until("the beginning is on disk", || scene.begun() == CUT as u64);
    let second = patient.start();
    until("the second is at it", || scene.server.seen_of("GET", "/manifests/1").len() == 2);
    first.child.kill().unwrap();
    first.wait();
    second.wait().ok();
    scene.assert_whole_after_kill();
    assert_eq!(scene.ranges(), [None, Some(CUT as u64)]);
}

// FAULT 12: an image has the same layer twice => it is sent once
#[test]
fn case_12_the_same_layer_twice() {
    let scene = Scene::new();
    let config = scene.image.blob(scene.image.config());
    let mut config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    let mut manifest = scene.image.manifest().clone();
    let ids = config["rootfs"]["diff_ids"].as_array_mut().unwrap();
    ids.extend(ids.clone());
    let layers = manifest["layers"].as_array_mut().unwrap();
    layers.extend(layers.clone());
    let config = config.to_string();
    manifest["config"]["size"] = config.len().into();
    manifest["config"]["digest"] = scene.server.site().put("demo", config).into();
    let digest = scene.manifest("twice", "application/vnd.oci.image.manifest.v1+json", manifest.to_string());
    let line = scene.ctr("fetch").arg(scene.server.name("demo:twice")).ok();
    assert!(line.ends_with(&digest), "{line}");
    assert_eq!(ctr_tests::store_check::complaints(&scene.root.store()), Vec::<String>::new());
    assert_eq!(scene.ranges(), [None]);
}

// FAULT 13: the disk is full, the file system can only be read => it fails and says so; with room again it succeeds
#[test]
fn case_13_no_room() {
    need!(root);
    let scene = Scene::new();
    let place = scene.root.path();
    fs::create_dir(&place).unwrap();
    let mount = |options: &str| Cmd::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(&place).ok();
    mount("size=256k,mode=700");
    scene.fetch().fails(1).says("No space left on device");
    scene.assert_nothing();
    Cmd::new("mount").args(["-o", "remount,size=64m"]).arg(&place).ok();
    Cmd::new("mount").args(["-o", "remount,ro"]).arg(&place).ok();
    scene.fetch().fails(1).says("Read-only file system");
    Cmd::new("mount").args(["-o", "remount,rw"]).arg(&place).ok();
    scene.fetch().ok();
    scene.assert_whole();
    Cmd::new("umount").arg(&place).ok();
}

// FAULT 14: a layer comes with Content-Encoding: gzip although identity was asked for => refused
#[test]
fn case_14_content_encoding() {
    // spec: REG-7
    for encoding in ["gzip", "br", "GZIP"] {
        let scene = Scene::new();
        scene.server.on(On::get(scene.image.big()), move |call| call.ordinary().header("Content-Encoding", encoding));
        scene.fetch().fails(1).says("compresses");
        scene.assert_nothing();
        let asked = scene.server.seen_of("GET", scene.image.big());
        assert_eq!(asked[0].request.header("accept-encoding").as_deref(), Some("identity"));
    }
    let scene = Scene::new();
    scene.server.on(On::get(scene.image.big()), |call| call.ordinary().header("Content-Encoding", "identity"));
    scene.fetch().ok();
    scene.assert_whole();
}

// FAULT 15: 100, 102 and 103 before the answer; 204, 205 or an empty 200 as the answer; an unasked 206 => the first are passed over, the others fail
#[test]
fn case_15_odd_successes() {
    let scene = Scene::new();
    for part in ["/manifests/", scene.image.config(), scene.image.small()] {
        scene.server.on(On::get(part), |call| call.ordinary().after_interim(102).after_interim(103));
    }
    scene.fetch().ok();
    scene.assert_whole();
    for part in ["/manifests/1", "/blobs/"] {
        for status in [200, 201, 204, 205, 206, 300, 304, 999] {
            let scene = Scene::new();
            scene.server.on(On::get(part), move |_| Response::new(status));
            let done = scene.fetch().run();
            assert_eq!(done.code, 1, "{part} {status}: {done}");
            assert!(!done.stderr.contains("panicked"), "{done}");
            scene.assert_nothing();
        }
    }
    let scene = Scene::new();
    scene.server.on(On::get(scene.image.big()), |call| call.ordinary().status(206));
    scene.fetch().fails(1);
    scene.assert_nothing();
}

// FAULT 16: ten thousand headers, a header of 1 MB, headers that are not UTF-8, have no colon or hold NUL => refused, or passed over; nothing crashes
#[test]
fn case_16_header_bombs() {
    type Fault = fn(Response) -> Response;
    let faults: [(&str, Fault, bool); 6] = [
        (
            "many",
            |mut answer| {
                answer.headers.extend((0..10_000).map(|n| (format!("X-{n}"), b"x".to_vec())));
                answer
            },
            false,
        ),
        ("long", |answer| answer.header("X-Long", "x".repeat(1 << 20)), false),
        ("long name", |answer| answer.header(&"x".repeat(1 << 20), "x"), false),
        ("no UTF-8", |answer| answer.header("X-Odd", b"\xff\xfe\x80"), true),
        ("NUL", |answer| answer.header("X-Odd", b"a\0b"), false),
        ("no UTF-8 where it matters", |answer| answer.with("Docker-Content-Digest", b"\xff\xfe"), true),
    ];
    for (what, fault, passes) in faults {
        for part in ["/manifests/", "/blobs/"] {
            let scene = Scene::new();
            scene.server.on(On::get(part), move |call| fault(call.ordinary()));
            let done = scene.fetch().run();
            assert_eq!(done.code, i32::from(!passes), "{what} {part}: {done}");
            assert!(done.stderr.len() < 4000 && !done.stderr.contains("panicked"), "{what}: {done}");
            if passes { scene.assert_whole() } else { scene.assert_nothing() }
        }
    }
}

// FAULT 45: a layer that stops coming, and --timeout is over => it ends then and says so; what has come is kept for the next run
#[test]
fn case_45_the_time_is_over_in_a_layer() {
    let scene = Scene::new();
    scene.server.on(On::get(scene.image.big()).first(1), |call| call.ordinary().stall(CUT));
    scene.fetch().args(["--timeout", "2s"]).fails(1).says("the time of 2s is over");
    scene.assert_nothing();
    assert_eq!(scene.begun(), CUT as u64);
    scene.fetch().ok();
    scene.assert_whole();
    assert_eq!(scene.ranges(), [None, Some(CUT as u64)]);
}
