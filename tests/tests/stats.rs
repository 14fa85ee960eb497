//! `ctr-ps --stats`, and the limits in force that `ctr-ps --format json` shows.

use std::time::Duration;

use ctr_tests::groups::{in_v2_view, is_pure};
use ctr_tests::scratch::{Cmd, Root, until};
use ctr_tests::{need, schema};
use serde_json::Value;

fn stats_cmd(root: &Root, args: &[&str]) -> Cmd {
    root.ctr("ps").args(["--stats", "--format", "json"]).args(args.iter().copied())
}

fn parse(text: &str) -> Vec<Value> {
    schema::check_text("stats.json", text);
    serde_json::from_str(text).unwrap()
}

#[test]
fn what_a_container_uses() {
    // spec: CLI-44
    need!(root);
    let root = Root::with_busybox();
    let limits = ["--memory", "64M", "--cpus", "1", "--pids-limit", "50"];
    let busy = root
        .ctr("run")
        .args(["--name", "busy"])
        .args(limits)
        .args(["busybox", "sh", "-c", "sleep 600 & while :; do :; done"])
        .ok();
    root.ctr("run").args(["--name", "idle", "busybox", "sleep", "600"]).ok();
    let all = parse(&stats_cmd(&root, &[]).ok());
    assert_eq!(all.len(), 2, "{all:?}");
    let find = |name: &str| all.iter().find(|one| one["name"] == name).unwrap();
    let one = find("busy");
    assert_eq!(one["id"], busy.as_str());
    assert_eq!(one["memory"]["limit"], 64 << 20);
    assert_eq!(one["memory"]["source"], "cgroup");
    assert!(one["memory"]["used"].as_u64().unwrap() < 64 << 20, "{one}");
    assert_eq!((&one["pids"]["limit"], &one["cpu"]["limit_millis"]), (&Value::from(50), &Value::from(1000)));
    // Init, the shell, sleep.
    assert_eq!(one["pids"]["current"], 3, "{one}");
    let idle = find("idle");
    assert!(idle["memory"]["used"].as_u64().unwrap() > 0, "{idle}");
    // v1 alone, without cpuacct, does not count the time of a container.
    if one["cpu"]["time_us"].is_u64() {
        let (busy, idle) = (one["cpu"]["used_millis"].as_u64().unwrap(), idle["cpu"]["used_millis"].as_u64().unwrap());
        assert!(busy > 50 && busy < 1500 && idle < busy, "{all:?}");
    }
    assert_eq!(one["network"]["received"], 0, "its own network has loopback alone: {one}");
    // The table has a line for each, and the same figures for people.
    let table = root.ctr("ps").args(["--stats", "busy"]).ok();
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(table.contains("/ 67.1 MB") && table.contains("3 / 50") && table.contains('%'), "{table}");
}

#[test]
fn limits_in_force_are_listed() {
    // spec: CLI-41
    need!(root);
    let root = Root::with_busybox();
    let options =
        ["--memory", "64M", "--memory-swap", "96M", "--cpus", "0.5", "--cpu-shares", "1024", "--pids-limit", "50"];
    root.ctr("run").args(options).args(["--name", "a", "busybox", "sleep", "600"]).ok();
    root.ctr("run").args(["--wait", "--name", "b", "busybox", "true"]).ok();
    let listed = |name: &str| {
        let text = root.ctr("ps").args(["--format", "json", name]).ok();
        schema::check_text("ps.json", &text);
        serde_json::from_str::<Vec<Value>>(&text).unwrap().remove(0)["limits"].clone()
    };
    let limits = listed("a");
    assert_eq!(limits["memory"], 64 << 20);
    assert_eq!(limits["swap"], 32 << 20);
    assert_eq!(limits["cpu_millis"], 500);
    assert!(limits["cpu_weight"] == 100 || limits["cpu_weight"] == 1024, "{limits}");
    assert_eq!(limits["pids"], 50);
    assert_eq!(listed("b"), Value::Null);
}

/// The same by the files of cgroup v2 alone; a controller that is elsewhere is a value that is not known.
#[test]
fn in_a_view_of_version_two() {
    // spec: CLI-44
    need!(root, "unshare");
    let root = Root::with_busybox();
    in_v2_view(root.ctr("run").args(["--name", "busy", "busybox", "sh", "-c", "while :; do :; done"])).ok();
    let one = parse(&in_v2_view(stats_cmd(&root, &["busy"])).ok()).remove(0);
    // cpu.stat needs no controller.
    assert!(one["cpu"]["used_millis"].as_u64().unwrap() > 50, "{one}");
    assert_eq!(one["pids"]["current"], 2, "{one}");
    let source = if is_pure() { "cgroup" } else { "processes" };
    assert_eq!(one["memory"]["source"], source, "{one}");
    let table = in_v2_view(root.ctr("ps").args(["--stats", "--no-stream"])).ok();
    assert!(table.lines().nth(1).is_some_and(|line| line.contains("busy")), "{table}");
}

#[test]
fn watching_ends_with_the_container() {
    // spec: CLI-44
    need!(root);
    let root = Root::with_busybox();
    root.ctr("run").args(["--name", "short", "busybox", "sleep", "1"]).ok();
    let done = stats_cmd(&root, &["short", "--watch", "100ms"]).run();
    assert_eq!(done.code, 0, "{done}");
    let lines: Vec<Vec<Value>> = done.stdout.lines().map(parse).collect();
    assert!(lines.len() > 3 && lines.last().unwrap().is_empty(), "{done}");
    assert_eq!(lines[0][0]["name"], "short");
    // Ended and named: a line, with what is still known.
    let table = root.ctr("ps").args(["--stats", "short"]).ok();
    assert!(table.lines().nth(1).unwrap().split_whitespace().skip(2).take(3).all(|cell| cell == "-"), "{table}");
    stats_cmd(&root, &["absent"]).fails(1).says("absent");
}

/// Looking at containers that end at that moment is no error.
#[test]
fn containers_that_come_and_go() {
    need!(root);
    let root = Root::with_busybox();
    let mut watching = stats_cmd(&root, &["--watch", "20ms"]).start();
    for _ in 0..8 {
        assert_eq!(ctr_tests::busybox::run(&root, &[], &["true"]).code, 0);
    }
    until("some lines", || watching.stdout().lines().count() > 5);
    assert!(watching.child.try_wait().unwrap().is_none(), "it goes on");
    watching.child.kill().unwrap();
    let done = watching.wait();
    assert_eq!(done.stderr, "", "{done}");
    std::thread::sleep(Duration::from_millis(10));
}
