//! Clauses of the specification that no test of a command is about.

use std::fs;

use ctr_tests::need;
use ctr_tests::scratch::{Cmd, Root};

const BINARIES: [&str; 11] = ["run", "attach", "exec", "fetch", "image", "login", "ps", "stop", "logs", "gc", "rm"];

#[test]
fn every_command_tells_its_version_and_the_store_format() {
    // spec: CLI-9
    let root = Root::new();
    for name in BINARIES {
        let text = root.ctr(name).arg("--version").ok();
        assert!(text.starts_with(&format!("ctr-{name} ")) && text.contains("store format 1"), "{text}");
    }
}

#[test]
fn unknown_options_are_wrong_usage() {
    // spec: CLI-7, CLI-10
    let root = Root::new();
    for name in BINARIES {
        let done = root.ctr(name).arg("--no-such-option").run();
        assert_eq!(done.code, if matches!(name, "run" | "attach" | "exec") { 125 } else { 2 }, "{done}");
        assert!(done.stdout.is_empty() && done.stderr.starts_with(&format!("ctr-{name}: ")), "{done}");
    }
}

#[test]
fn data_and_messages_go_apart() {
    // spec: CLI-1, CLI-2, CLI-4
    need!(root);
    let root = Root::with_busybox();
    let fetch = ["--name", "again", &ctr_tests::images::tiny()].map(str::to_owned);
    let loud = root.ctr("fetch").args(fetch.clone()).run();
    assert_eq!((loud.code, loud.stdout.lines().count()), (0, 1), "{loud}");
    let quiet = root.ctr("fetch").arg("-q").args(fetch).run();
    assert_eq!((quiet.stdout, quiet.stderr), (loud.stdout, String::new()));
    let digests = root.ctr("image").args(["-q", "list"]).ok();
    assert!(digests.lines().count() == 2 && digests.lines().all(|line| line.starts_with("sha256:")), "{digests}");
    // The option goes before the variable.
    let other = root.file("other").display().to_string();
    let done = root.ctr("image").args(["--root", &other, "list"]).fails(1);
    assert!(done.stderr.contains(&other), "{done}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    // spec: CLI-8
    need!(root);
    let root = Root::with_busybox();
    let image = ctr_tests::bins::binary("ctr-image").display().to_string();
    let script = format!("(sleep 0.2; {image} inspect busybox; echo $? >&2) | true");
    let done = Cmd::new("sh").args(["-c", &script]).env("CTR_ROOT", root.path()).run();
    assert_eq!(done.stderr, "141\n", "{done}");
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    // spec: CLI-6
    let root = Root::new();
    for (name, argument) in [("fetch", "/no/\x1b[31m"), ("stop", "\x1b[31m"), ("run", "\x1b[31m")] {
        let done = root.ctr(name).arg(argument).run();
        assert_ne!(done.code, 0);
        assert!(!done.stderr.contains('\x1b'), "{:?}", done.stderr);
    }
}

#[test]
fn a_name_that_moves_is_told_of() {
    // spec: CLI-24
    need!(root);
    let root = Root::with_busybox();
    let before = root.ctr("image").args(["inspect", "busybox"]).ok();
    // By content, and by a file that is known already.
    let file = root.file("x.aci").display().to_string();
    root.fetch(&ctr_tests::images::tiny(), "tiny");
    root.ctr("image").args(["export", "tiny", &file]).ok();
    std::thread::sleep(std::time::Duration::from_millis(100));
    root.ctr("fetch").args(["-q", "--name", "tiny", &file]).ok();
    let done = root.ctr("fetch").args(["--name", "busybox", &file]).run();
    assert!(done.code == 0 && done.stderr.contains("is now"), "{done}");
    assert_ne!(root.ctr("image").args(["inspect", "busybox"]).ok(), before);
}

#[test]
fn mounts_of_the_container_stay_there_and_those_of_ctr_are_not_covered() {
    // spec: EXEC-4, EXEC-53
    need!(root);
    let root = Root::with_busybox();
    let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap().lines().count();
    let before = mounts();
    std::fs::create_dir(root.file("data")).unwrap();
    let volume = format!("{}:/data", root.file("data").display());
    root.ctr("run").args(["--wait", "--rm", "-v", &volume, "busybox", "true"]).ok();
    assert_eq!(mounts(), before);
    for target in ["/", "/proc", "/proc/sys", "/sys", "/sys/fs/cgroup", "/dev", "/dev/pts", "/a/../proc"] {
        let done = root.ctr("run").args(["--wait", "-v", &format!("/tmp:{target}"), "busybox", "true"]).run();
        assert_eq!(done.code, 125, "{target}: {done}");
    }
}

#[test]
fn without_init_nobody_records_the_end() {
    // spec: LIFE-23, LIFE-42
    need!(root);
    let root = Root::with_busybox();
    let done = root.ctr("run").args(["--wait", "--no-init", "--name", "n", "busybox", "sh", "-c", "exit 5"]).run();
    assert_eq!(done.code, 5, "{done}");
    let state = root.ctr("ps").args(["--format", "json", "n"]).ok();
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    assert_eq!((&state[0]["state"], &state[0]["exit"]), (&"unknown".into(), &serde_json::Value::Null));
    let done = root.ctr("run").args(["--no-init", "--log=file", "busybox", "true"]).run();
    assert_eq!(done.code, 125, "{done}");
}

#[test]
fn containers_are_found_by_name_id_and_prefix() {
    // spec: TYPE-20 to TYPE-22
    need!(root);
    let root = Root::with_busybox();
    let start = |name: &str| root.ctr("run").args(["--name", name, "busybox", "sleep", "600"]).ok();
    let (first, second) = (start("first"), start("Second.2_x-"));
    let find = |text: &str| root.ctr("ps").args(["-q", "--no-trunc", text]).run();
    for (text, id) in [("first", &first), (&first, &first), (&second[..16], &second), ("Second.2_x-", &second)] {
        assert_eq!(find(text).ok().trim(), id.as_str());
    }
    assert_eq!(first.len(), 32);
    for text in ["", "fi", "second.2_x-", "../run", "first/", &first[..2]] {
        assert_eq!(find(text).code, 1, "{text}");
    }
    // A name goes before an id.
    let third = start(&first[..8]);
    assert_eq!(find(&first[..8]).ok().trim(), third);
}

#[test]
fn a_docker_archive_always_gives_the_same_image() {
    // spec: ACI-42, ACI-44
    need!(root);
    let digests = [(), ()].map(|()| {
        let root = Root::new();
        root.fetch(&ctr_tests::images::tiny(), "tiny");
        let file = format!("docker-archive:{}", root.file("x.tar").display());
        root.ctr("image").args(["export", "tiny", &file]).ok();
        let list = Cmd::new("tar").arg("xOf").arg(root.file("x.tar")).arg("manifest.json").ok();
        assert!(list.contains("RepoTags") && list.contains("tiny"), "{list}");
        root.fetch(&file, "back")
    });
    assert_eq!(digests[0], digests[1]);
}
