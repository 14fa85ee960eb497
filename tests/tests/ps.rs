//! `ctr-ps`: states, formats, waiting.

use std::time::{Duration, Instant};

use ctr_tests::scratch::{Cmd, Root, until};
use ctr_tests::{leaks, need};
use serde_json::Value;

fn listed(root: &Root, args: &[&str]) -> Vec<Value> {
    let out = root.ctr("ps").args(["--format", "json"]).args(args.iter().copied()).ok();
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

fn state(root: &Root, id: &str) -> String {
    listed(root, &[id])[0]["state"].as_str().unwrap().to_owned()
}

#[test]
fn running_and_ended_containers() {
    // spec: CLI-40, CLI-41
    need!(root);
    let root = Root::with_busybox();
    assert_eq!(listed(&root, &["--all"]), Vec::<Value>::new());
    let id = root.ctr("run").args(["--name", "web", "busybox", "sleep", "600"]).ok();
    root.ctr("run").args(["--wait", "--name", "done", "busybox", "sh", "-c", "exit 3"]).fails(3);
    let running = listed(&root, &[]);
    assert_eq!(running.len(), 1);
    assert_eq!(
        (running[0]["id"].as_str(), running[0]["name"].as_str(), running[0]["state"].as_str()),
        (Some(id.as_str()), Some("web"), Some("running"))
    );
    let pid = i32::try_from(running[0]["pid"].as_i64().unwrap()).unwrap();
    assert!(leaks::processes(&root.path(), &[id.clone()]).contains(&pid));
    assert_eq!(listed(&root, &["--all"]).len(), 2);
    let done = &listed(&root, &["done"])[0];
    assert_eq!(done["state"], "exited");
    assert!(done.to_string().contains("\"code\":3") || done["exit_code"] == 3, "{done}");
    let table = root.ctr("ps").arg("--all").ok();
    assert!(table.lines().count() == 3 && table.contains("web") && table.contains("done"), "{table}");
    assert_eq!(root.ctr("ps").args(["-q"]).ok(), id);
    root.ctr("ps").arg("absent").fails(1).says("absent");
    root.ctr("ps").arg("--no-such-option").fails(2);
}

#[test]
fn a_killed_init_is_told() {
    // spec: LIFE-30
    need!(root);
    let root = Root::with_busybox();
    let id = root.ctr("run").args(["busybox", "sleep", "600"]).ok();
    let pid = listed(&root, &[])[0]["pid"].as_i64().unwrap();
    Cmd::new("kill").args(["-KILL", &pid.to_string()]).ok();
    until("dead", || leaks::processes(&root.path(), &[id.clone()]).is_empty());
    assert_eq!(state(&root, &id), "killed");
    // Without init nobody writes a record of a detached program.
    let id = root.ctr("run").args(["--no-init", "--log=none", "busybox", "true"]).ok();
    until("dead", || leaks::processes(&root.path(), &[id.clone()]).is_empty());
    assert_eq!(state(&root, &id), "unknown");
}

#[test]
fn waiting_for_the_end() {
    // spec: CLI-42
    need!(root);
    let root = Root::with_busybox();
    root.ctr("run").args(["--name", "short", "busybox", "sh", "-c", "sleep 0.5; exit 5"]).ok();
    let out = root.ctr("ps").args(["--wait", "short", "--format", "json"]).ok();
    assert!(out.contains("exited") && out.contains('5'), "{out}");
    root.ctr("run").args(["--name", "long", "busybox", "sleep", "600"]).ok();
    let start = Instant::now();
    root.ctr("ps").args(["--wait", "long", "--timeout", "300ms"]).fails(1);
    assert!(start.elapsed() > Duration::from_millis(290) && start.elapsed() < Duration::from_secs(5));
}

/// One damaged directory hides no other.
#[test]
fn damage_is_told_and_hides_nothing() {
    // spec: CLI-43, CLI-10
    need!(root);
    let root = Root::with_busybox();
    let id = root.ctr("run").args(["--wait", "busybox", "true"]).run();
    assert_eq!(id.code, 0);
    let bad = root.containers("run")[0].clone();
    std::fs::write(root.path().join("containers/run").join(&bad).join("container.json"), "{").unwrap();
    let good = root.ctr("run").args(["busybox", "sleep", "600"]).ok();
    let done = root.ctr("ps").arg("--all").run();
    assert!(done.stdout.contains(&good[..12]) && done.stderr.contains(&bad[..12]), "{done}");
}
