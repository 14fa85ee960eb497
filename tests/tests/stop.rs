//! `ctr-stop`: the signal, the time, the kill.

use std::time::{Duration, Instant};

use ctr_tests::scratch::{Cmd, Root, until};
use ctr_tests::{leaks, need};
use serde_json::Value;

fn status(root: &Root, name: &str) -> Value {
    let out = root.ctr("ps").args([name, "--format", "json"]).ok();
    serde_json::from_str::<Value>(&out).unwrap()[0].clone()
}

#[test]
fn the_program_gets_the_signal_and_its_code_is_kept() {
    // spec: LIFE-60
    need!(root);
    let root = Root::with_busybox();
    for (signal, args) in [("TERM", &[][..]), ("USR1", &["--signal", "USR1"]), ("INT", &["--signal", "2"])] {
        let name = format!("s-{signal}");
        let script = format!("trap 'echo got {signal}; exit 9' {signal}; echo ready; while :; do sleep 0.05; done");
        root.ctr("run").args(["--name", &name, "--log=file", "busybox", "sh", "-c", &script]).ok();
        until("ready", || root.ctr("logs").arg(&name).ok().contains("ready"));
        let id = root.ctr("stop").arg(&name).args(args.iter().copied()).ok();
        assert_eq!(leaks::processes(&root.path(), &[id]), Vec::<i32>::new());
        let status = status(&root, &name);
        assert_eq!(status["state"], "exited", "{status}");
        assert!(status.to_string().contains('9'), "{status}");
        assert!(root.ctr("logs").arg(&name).ok().contains(&format!("got {signal}")));
    }
}

#[test]
fn what_does_not_listen_is_killed_after_the_time() {
    // spec: LIFE-60, LIFE-61
    need!(root);
    let root = Root::with_busybox();
    let script = "trap '' TERM; sleep 600 & sleep 600 & echo ready; while :; do sleep 1; done";
    let id = root.ctr("run").args(["--log=file", "busybox", "sh", "-c", script]).ok();
    until("ready", || root.ctr("logs").arg(&id).ok().contains("ready"));
    let start = Instant::now();
    root.ctr("stop").args(["--timeout", "1", &id]).ok();
    assert!(start.elapsed() >= Duration::from_secs(1) && start.elapsed() < Duration::from_secs(8));
    assert_eq!(leaks::processes(&root.path(), std::slice::from_ref(&id)), Vec::<i32>::new());
    let status = status(&root, &id);
    assert!(matches!(status["state"].as_str(), Some("exited" | "killed")), "{status}");
    // Again is no failure.
    root.ctr("stop").arg(&id).ok();
    root.ctr("stop").arg("absent").fails(1).says("absent");
    root.ctr("stop").fails(2);
}

#[test]
fn the_stop_signal_of_the_container_and_without_init() {
    // spec: LIFE-60
    need!(root);
    let root = Root::with_busybox();
    let script = "trap 'echo quit; exit 6' QUIT; echo ready; while :; do sleep 0.05; done";
    root.ctr("run").args(["--name", "q", "--stop-signal", "SIGQUIT", "--log=file", "busybox", "sh", "-c", script]).ok();
    until("ready", || root.ctr("logs").arg("q").ok().contains("ready"));
    root.ctr("stop").arg("q").ok();
    assert!(root.ctr("logs").arg("q").ok().contains("quit"));
    let id = root.ctr("run").args(["--no-init", "--log=none", "busybox", "sleep", "600"]).ok();
    root.ctr("stop").args(["--timeout", "0", &id]).ok();
    assert_eq!(leaks::processes(&root.path(), &[id]), Vec::<i32>::new());
}

#[test]
fn a_hanging_init_is_no_obstacle() {
    // spec: LIFE-60
    need!(root);
    let root = Root::with_busybox();
    let id = root.ctr("run").args(["--name", "h", "busybox", "sleep", "600"]).ok();
    let pid = status(&root, "h")["pid"].as_i64().unwrap();
    Cmd::new("kill").args(["-STOP", &pid.to_string()]).ok();
    root.ctr("stop").args(["--timeout", "1", "h"]).ok();
    assert_eq!(leaks::processes(&root.path(), &[id]), Vec::<i32>::new());
}

#[test]
fn all_and_those_with_rm() {
    // spec: CLI-51, CLI-52
    need!(root);
    let root = Root::with_busybox();
    let ids: Vec<String> = (0..4).map(|_| root.ctr("run").args(["--rm", "busybox", "sleep", "600"]).ok()).collect();
    let start = Instant::now();
    root.ctr("stop").args(["--all", "--timeout", "1"]).ok();
    assert!(start.elapsed() < Duration::from_secs(6), "one after the other");
    assert_eq!(leaks::container_ids(&root.path()), Vec::<String>::new());
    assert_eq!(leaks::outside(&root.path(), &ids), Vec::<String>::new());
}

#[test]
fn by_label_and_frozen() {
    // spec: CLI-50, CLI-53
    need!(root);
    let root = Root::with_busybox();
    let script = "trap 'exit 4' TERM; echo ready; while :; do sleep 0.05; done";
    let mut ids = Vec::new();
    for (name, team) in [("a", "team=x"), ("b", "team=x"), ("c", "team=y")] {
        ids.push(
            root.ctr("run").args(["--name", name, "--label", team, "--log=file", "busybox", "sh", "-c", script]).ok(),
        );
        until("ready", || root.ctr("logs").arg(name).ok().contains("ready"));
    }
    let groups = leaks::cgroups(&ids[..1]);
    let frozen = groups.iter().find_map(|group| {
        let files = [("cgroup.freeze", "1"), ("freezer.state", "FROZEN")];
        files.into_iter().find(|(file, _)| group.join(file).exists()).map(|(file, word)| (group.join(file), word))
    });
    if let Some((file, word)) = &frozen {
        std::fs::write(file, word).unwrap();
    }
    let start = Instant::now();
    let printed = root.ctr("stop").args(["--label", "team=x", "--timeout", "8"]).ok();
    assert!(start.elapsed() < Duration::from_secs(6), "the frozen one was not thawed");
    assert_eq!(printed.lines().count(), 2);
    for name in ["a", "b"] {
        assert!(status(&root, name)["exit"]["code"] == 4, "it could answer: {}", status(&root, name));
    }
    assert_eq!(status(&root, "c")["state"], "running");
    assert_eq!(root.ctr("stop").args(["--filter", "name=c", "-t", "0"]).ok(), ids[2]);
}
