//! The command line of `ctr-oci`: every verb, options in both orders, messages, exit codes, what is printed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use ctr_tests::bundle::Bundle;
use ctr_tests::scratch::{Cmd, Done, Root, until};
use ctr_tests::{bins, leaks, need, schema};
use serde_json::{Value, json};

const VERBS: [&str; 17] = [
    "create",
    "start",
    "state",
    "kill",
    "delete",
    "run",
    "exec",
    "ps",
    "list",
    "pause",
    "resume",
    "update",
    "events",
    "spec",
    "features",
    "checkpoint",
    "restore",
];

/// `ctr-oci` without a root of its own.
fn oci() -> Cmd {
    Cmd::new(bins::binary("ctr-oci"))
}

/// The messages in a log, each as its schema says.
fn log_of(text: &str) -> Vec<Value> {
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    lines.iter().for_each(|line| schema::check("oci-log.json", line));
    lines
}

/// A failure in the house's form, and nothing on standard output.
#[track_caller]
fn told(done: Done) -> Done {
    assert_eq!(done.code, 1, "{done}");
    assert!(done.stdout.is_empty() && done.stderr.starts_with("ctr-oci: "), "{done}");
    done
}

#[test]
fn every_verb_has_help_and_the_version_is_what_engines_read() {
    // spec: OCI-9
    for verb in VERBS {
        let help = oci().args([verb, "--help"]).ok();
        assert!(help.contains("--root") && help.contains("Usage: ctr-oci"), "{verb}: {help}");
    }
    for flag in ["--version", "-V"] {
        let text = oci().arg(flag).ok();
        let lines: Vec<&str> = text.lines().collect();
        let version = lines[0].strip_prefix("ctr-oci version ").expect("the first line");
        assert!(version.split('.').count() == 3 && version.split_whitespace().count() == 1, "{text}");
        assert_eq!(lines[1..], ["spec: 1.3.0"]);
    }
}

#[test]
fn options_stand_before_and_after_the_id() {
    // spec: OCI-2, OCI-3, OCI-7
    need!(root);
    let bundle = Bundle::new("exit 7");
    let dir = bundle.dir().display().to_string();
    let root = bundle.root().path().display().to_string();
    let elsewhere = |args: &[&str]| oci().args(args.iter().copied()).dir("/").run();
    for line in [
        &["--root", &root, "run", "-b", &dir, "a"][..],
        &["--root", &root, "run", "a", "-b", &dir],
        &["run", "--root", &root, "a", "--bundle", &dir],
        &["run", "a", "--bundle", &dir, "--root", &root, "--debug", "--no-subreaper"],
    ] {
        assert_eq!(elsewhere(line).code, 7, "{line:?}");
    }
    // Without --bundle it is the working directory.
    assert_eq!(bundle.oci().args(["run", "a"]).run().code, 7);
    told(oci().args(["--root", &root, "run", "a"]).dir("/").run());
}

#[test]
fn the_log_is_written_in_the_format_that_was_asked_for() {
    // spec: OCI-10, OCI-11, OCI-12
    let root = Root::new();
    let log = root.file("log");
    let state = |options: &[&str]| {
        oci().arg("--root").arg(root.path()).args(options.iter().copied()).args(["state", "no"]).run()
    };
    let path = log.display().to_string();
    // To the log and to standard error.
    let done = told(state(&["--log", &path]));
    assert!(done.stderr.contains("does not exist"), "{done}");
    told(state(&["--log", &path]));
    let text = fs::read_to_string(&log).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    for line in text.lines() {
        assert!(
            line.starts_with("time=\"20") && line.contains(" level=error msg=\"") && line.contains("does not exist")
        );
    }
    fs::remove_file(&log).unwrap();
    let done = told(state(&["--log", &path, "--log-format", "json"]));
    let lines = log_of(&fs::read_to_string(&log).unwrap());
    assert_eq!((lines.len(), &lines[0]["level"]), (1, &json!("error")), "{done}");
    assert!(lines[0]["msg"].as_str().unwrap().contains("does not exist"));
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o644);
    // Standard error is the log.
    let done = state(&["--log-format=json"]);
    assert_eq!((done.code, done.stdout.as_str(), log_of(&done.stderr).len()), (1, "", 1));
    assert_eq!(told(state(&[])).stderr.lines().filter(|line| line.contains("does not exist")).count(), 1);
}

#[test]
fn lines_that_cannot_be_understood_are_logged_too() {
    // spec: OCI-7, OCI-8, OCI-14
    let root = Root::new();
    let path = root.file("log").display().to_string();
    for line in [
        &["state"][..],
        &["state", "a", "b"],
        &["nope"],
        &["create", "--nope", "a"],
        &["kill", "a", "NOPE"],
        &["state", "../x"],
        &[],
    ] {
        let done = told(oci().args(["--log", &path, "--log-format", "json"]).args(line.iter().copied()).run());
        let lines = log_of(&fs::read_to_string(&path).unwrap());
        assert_eq!(lines.len(), 1, "{done}");
        fs::remove_file(&path).unwrap();
        told(oci().args(line.iter().copied()).run());
    }
    // What follows the verb may be a container's.
    let hostile = root.file("hostile").display().to_string();
    told(oci().args(["exec", "--nope", "a", "sh", "--log", &hostile]).run());
    assert!(!root.file("hostile").exists());
}

#[test]
fn a_log_that_takes_nothing_ends_it() {
    // spec: OCI-13
    let bundle = Bundle::new("touch /ran");
    let pipe = bundle.root().file("pipe");
    Cmd::new("mkfifo").arg(&pipe).ok();
    for log in [pipe, bundle.root().file("no/log"), bundle.dir().to_owned()] {
        told(bundle.oci().arg("--log").arg(&log).args(["run", "a"]).run().says("cannot open the log"));
    }
    assert!(bundle.kept().is_empty() && !bundle.rootfs().join("ran").exists());
}

#[test]
fn the_program_does_not_get_the_log() {
    // spec: OCI-13, OCI-42
    need!(root);
    let bundle = Bundle::new("ls -l /proc/self/fd");
    let log = bundle.root().file("log");
    let text = bundle.oci().arg("--log").arg(&log).args(["--debug", "run", "a"]).ok();
    let descriptors: Vec<&str> = text.lines().filter(|line| line.contains(" -> ")).collect();
    // The fourth, which leads nowhere by now, is that of ls(1) on the directory.
    assert!(descriptors.len() == 3 && text.lines().count() == 5, "{text}");
}

#[test]
fn ids_are_checked() {
    // spec: OCI-5
    let root = Root::new();
    let long = "a".repeat(256);
    for bad in ["", ".", "..", "a/b", "../../etc", "a b", "ä", "a\n", &long] {
        for verb in ["create", "start", "state", "delete", "pause", "resume", "ps", "events", "kill"] {
            told(oci().arg("--root").arg(root.path()).args([verb, "--", bad]).run());
        }
        told(oci().arg("--root").arg(root.path()).args(["exec", "--", bad, "true"]).run());
        told(oci().arg("--root").arg(root.path()).args(["delete", "--force", "--", bad]).run());
    }
    assert!(!root.path().exists());
}

#[test]
fn what_is_not_there_is_told_in_the_words_that_engines_know() {
    // spec: OCI-16, OCI-34
    let root = Root::new();
    for line in [
        "start no",
        "state no",
        "kill no 9",
        "kill --all no 9",
        "delete no",
        "exec no true",
        "ps no",
        "pause no",
        "resume no",
        "update no --pids-limit 5",
        "events --stats no",
    ] {
        let done = oci().arg("--root").arg(root.path()).args(line.split(' ')).run();
        told(done.says("does not exist"));
    }
    oci().arg("--root").arg(root.path()).args(["delete", "--force", "no"]).ok();
    assert_eq!(oci().arg("--root").arg(root.path()).args(["list", "-f", "json"]).ok(), "null");
    assert_eq!(oci().arg("--root").arg(root.path()).args(["list"]).ok(), "ID  PID  STATUS  BUNDLE  CREATED  OWNER");
    assert_eq!(oci().arg("--root").arg(root.path()).args(["list", "-q"]).ok(), "");
}

#[test]
fn list_shows_all_and_a_damaged_one_hides_no_other() {
    // spec: OCI-20, OCI-24
    need!(root);
    let bundle = Bundle::sleeping();
    bundle.edit(|config| config["annotations"] = json!({"org.example.a": "b"}));
    bundle.oci().args(["create", "first"]).ok();
    bundle.oci().args(["run", "-d", "second"]).ok();
    bundle.oci().args(["create", "third"]).ok();
    bundle.oci().args(["kill", "third", "9"]).ok();
    until("the third has ended", || bundle.status("third") == "stopped");
    let text = bundle.oci().args(["list", "--format", "json"]).ok();
    schema::check_text("oci-list.json", &text);
    let list: Value = serde_json::from_str(&text).unwrap();
    let seen = |member: &str| list.as_array().unwrap().iter().map(|one| one[member].clone()).collect::<Vec<_>>();
    assert_eq!(seen("id"), ["first", "second", "third"]);
    assert_eq!(seen("status"), ["created", "running", "stopped"]);
    assert_eq!(
        (seen("pid")[2].clone(), &list[0]["owner"], &list[0]["ociVersion"]),
        (json!(0), &json!("root"), &json!("1.2.0"))
    );
    assert_eq!(list[1], bundle.state("second"));
    assert_eq!(list[1]["annotations"], json!({"org.example.a": "b"}));
    schema::check("oci-state.json", &list[1]);
    let broken = bundle.root().path().join("containers/run/broken");
    fs::create_dir(&broken).unwrap();
    fs::write(broken.join("container.json"), "{").unwrap();
    let done = bundle.oci().args(["list", "-q"]).run();
    assert_eq!((done.code, done.stdout.as_str()), (0, "first\nsecond\nthird\n"), "{done}");
    assert!(done.stderr.contains("warning") && done.stderr.contains("broken"), "{done}");
    let table = bundle.oci().args(["list"]).ok();
    assert!(
        table.lines().count() == 4 && table.contains("running") && table.contains(&*bundle.dir().to_string_lossy())
    );
    told(bundle.oci().args(["state", "broken"]).run());
    told(bundle.oci().args(["delete", "broken"]).run().says("damaged"));
    bundle.oci().args(["delete", "--force", "broken"]).ok();
    // One that runs, too: its process is known, and its groups by their name.
    let record = bundle.root().path().join("containers/run/second/container.json");
    for damage in ["{", "{}"] {
        fs::write(&record, damage).unwrap();
        told(bundle.oci().args(["create", "second"]).run());
    }
    fs::remove_file(&record).unwrap();
    told(bundle.oci().args(["create", "second"]).run().says("already exists"));
    bundle.oci().args(["delete", "--force", "second"]).ok();
    assert_eq!(bundle.kept(), ["first", "third"]);
    assert_eq!(leaks::cgroups(&["second".to_owned()]), Vec::<std::path::PathBuf>::new());
}

#[test]
fn signals_have_numbers_and_names() {
    // spec: OCI-30, OCI-16
    need!(root);
    let script = "trap 'echo one' USR1; trap 'echo two; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    let bundle = Bundle::new(script);
    let mut run = bundle.oci().args(["run", "--keep", "a"]).start();
    until("it is ready", || run.stdout().contains("ready"));
    for (count, signal) in ["USR1", "SIGUSR1", "10", "usr1"].iter().enumerate() {
        bundle.oci().args(["kill", "a", signal]).ok();
        until("the trap ran", || run.stdout().matches("one").count() == count + 1);
    }
    bundle.oci().args(["kill", "a", "0"]).ok();
    bundle.oci().args(["kill", "a"]).ok();
    let done = run.wait();
    assert_eq!((done.code, done.stdout.contains("two")), (3, true), "{done}");
    for signal in ["9", "0", "TERM"] {
        told(bundle.oci().args(["kill", "a", signal]).run().says("container not running"));
    }
}

#[test]
fn ps_shows_the_processes_of_the_container_alone() {
    // spec: OCI-4, OCI-33
    need!(root, "ps");
    let bundle = Bundle::new("sleep 601 & exec sleep 602");
    bundle.oci().args(["run", "-d", "a"]).ok();
    let json = || {
        let text = bundle.oci().args(["ps", "--format", "json", "a"]).ok();
        schema::check_text("oci-ps.json", &text);
        serde_json::from_str::<Vec<i64>>(&text).unwrap()
    };
    until("both run", || json().len() == 2);
    assert!(json().contains(&bundle.state("a")["pid"].as_i64().unwrap()));
    let table = bundle.oci().args(["ps", "a"]).ok();
    assert!(table.starts_with("UID") && table.lines().count() == 3, "{table}");
    assert!(table.contains("sleep 601") && table.contains("sleep 602"), "{table}");
    let table = bundle.oci().args(["ps", "a", "-e", "-o", "pid,comm"]).ok();
    assert!(table.lines().count() == 3 && table.contains("sleep"), "{table}");
    told(bundle.oci().args(["ps", "a", "-e", "-o", "comm"]).run().says("no column PID"));
    told(bundle.oci().args(["ps", "a", "--nope"]).run().says("ps failed"));
    bundle.oci().args(["kill", "a", "KILL"]).ok();
    until("it has ended", || bundle.status("a") == "stopped");
    until("nobody is left", || json().is_empty());
}

#[test]
fn kill_all_reaches_what_outlived_the_program() {
    // spec: OCI-31
    need!(root);
    let bundle = Bundle::new("trap '' TERM; (trap 'exit 0' TERM; while :; do sleep 0.1; done) & exec sleep 600");
    // The host's process ids: the end of the program ends nobody else.
    bundle.edit(|config| {
        config["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "pid");
        config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/proc");
        for paths in ["maskedPaths", "readonlyPaths"] {
            config["linux"][paths] = json!([]);
        }
    });
    bundle.oci().args(["run", "-d", "a"]).ok();
    let pids = || serde_json::from_str::<Vec<i64>>(&bundle.oci().args(["ps", "-f", "json", "a"]).ok()).unwrap();
    until("both run", || pids().len() >= 2);
    bundle.oci().args(["kill", "a", "KILL"]).ok();
    until("the program has ended", || bundle.status("a") == "stopped");
    assert!(!pids().is_empty());
    bundle.oci().args(["kill", "--all", "a", "TERM"]).ok();
    until("the other too", || pids().is_empty());
    bundle.oci().args(["kill", "-a", "a", "9"]).ok();
    bundle.oci().args(["delete", "a"]).ok();
    assert_eq!(bundle.kept(), Vec::<String>::new());
}

#[test]
fn spec_writes_a_config_that_runs_and_never_over_one() {
    // spec: OCI-60
    need!(root);
    let bundle = Bundle::new("true");
    fs::remove_file(bundle.dir().join("config.json")).unwrap();
    bundle.oci().args(["spec"]).ok();
    let done = told(bundle.oci().args(["spec"]).run().says("there already"));
    assert!(done.stderr.contains("config.json"), "{done}");
    bundle.edit(|config| {
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(["/bin/sh", "-c", "grep CapBnd /proc/self/status; touch /x"]);
    });
    let done = bundle.oci().args(["run", "a"]).run();
    assert!(done.code == 1 && done.stdout.contains("0000000020000420"), "{done}");
    assert!(done.stderr.contains("Read-only file system"), "{done}");
    let other = bundle.root().file("other");
    told(bundle.oci().args(["spec", "--bundle"]).arg(&other).run());
    fs::create_dir(&other).unwrap();
    bundle.oci().args(["spec", "--rootless", "--bundle"]).arg(&other).ok();
    let config: Value = serde_json::from_slice(&fs::read(other.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["linux"]["uidMappings"], json!([{"containerID": 0, "hostID": 0, "size": 1}]));
}

#[test]
fn features_are_a_document_that_does_not_depend_on_the_host() {
    // spec: OCI-61
    let text = oci().arg("features").ok();
    schema::check_text("oci-features.json", &text);
    let elsewhere = oci().args(["--root", "/nonexistent", "features"]).env("XDG_RUNTIME_DIR", "/nonexistent").ok();
    assert_eq!(elsewhere, text);
}

#[test]
fn containers_are_not_saved_to_disk() {
    // spec: OCI-62
    for line in ["checkpoint a", "checkpoint --image-path /tmp/x a", "restore --bundle /b a", "restore a --detach"] {
        told(oci().args(line.split(' ')).run().says("criu"));
    }
}

#[test]
fn other_commands_see_these_containers_and_the_collector_leaves_them() {
    // spec: OCI-6, OCI-22
    need!(root);
    let bundle = Bundle::sleeping();
    bundle.oci().args(["create", "made"]).ok();
    bundle.oci().args(["run", "-d", "runs"]).ok();
    bundle.oci().args(["run", "-d", "ended"]).ok();
    bundle.oci().args(["kill", "ended", "9"]).ok();
    until("it has ended", || bundle.status("ended") == "stopped");
    let ps: Value = serde_json::from_str(&bundle.root().ctr("ps").args(["--all", "--format", "json"]).ok()).unwrap();
    schema::check("ps.json", &ps);
    let seen: Vec<(&str, &str)> = ps
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["id"].as_str().unwrap(), one["state"].as_str().unwrap()))
        .collect();
    assert_eq!(seen, [("made", "prepared"), ("runs", "running"), ("ended", "unknown")]);
    assert_eq!(ps[1]["bundle"], json!(bundle.dir()));
    assert_eq!(bundle.root().ctr("ps").arg("-q").ok(), "runs");
    // A store beside them: the collector has work.
    bundle.root().fetch(&ctr_tests::images::tiny(), "tiny");
    bundle.root().ctr("gc").args(["--grace", "0s"]).ok();
    assert_eq!(bundle.kept(), ["made", "ended", "runs"]);
    // Another root has none of them.
    let other = Root::new();
    told(oci().arg("--root").arg(other.path()).args(["state", "runs"]).run());
    told(oci().arg("--root").arg(other.path()).args(["kill", "runs", "9"]).run());
    assert_eq!(bundle.status("runs"), "running");
}

#[test]
fn a_paused_container_stands_still_and_can_be_killed() {
    // spec: OCI-32, OCI-35
    need!(root);
    let bundle = Bundle::new("while :; do echo; sleep 0.01; done");
    let mut run = bundle.oci().args(["run", "a"]).start();
    until("it runs", || run.stdout().len() > 5);
    bundle.oci().args(["resume", "a"]).fails(1).says("container not paused");
    bundle.oci().args(["pause", "a"]).ok();
    assert_eq!(bundle.status("a"), "paused");
    let before = run.stdout().len();
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(run.stdout().len(), before);
    bundle.oci().args(["pause", "a"]).fails(1).says("paused");
    assert_eq!(bundle.root().ctr("ps").arg("-q").ok(), "a");
    bundle.oci().args(["resume", "a"]).ok();
    assert_eq!(bundle.status("a"), "running");
    until("it goes on", || run.stdout().len() > before + 5);
    bundle.oci().args(["pause", "a"]).ok();
    bundle.oci().args(["kill", "a", "KILL"]).ok();
    assert_eq!(run.wait().code, 137);
    // One that was only created does not run.
    bundle.oci().args(["create", "b"]).ok();
    bundle.oci().args(["pause", "b"]).fails(1).says("container not running");
    bundle.oci().args(["run", "-d", "c"]).ok();
    bundle.oci().args(["pause", "c"]).ok();
    bundle.oci().args(["delete", "c"]).fails(1).says("paused");
    bundle.oci().args(["delete", "--force", "c"]).ok();
    assert_eq!(bundle.kept(), ["b"]);
}
