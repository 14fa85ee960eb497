//! `ctr-rm`: removal at once, of what does not run.

use std::fs;
use std::time::{Duration, Instant};

use ctr_tests::busybox::assert_nothing_left;
use ctr_tests::scratch::{Root, until};
use ctr_tests::{leaks, need, schema};

fn run(root: &Root, options: &[&str], command: &[&str]) -> String {
    root.ctr("run").args(options.iter().copied()).arg("busybox").args(command.iter().copied()).ok()
}

fn ended(root: &Root, name: &str) {
    root.ctr("ps").args(["--wait", "--timeout", "20s", name]).ok();
}

#[test]
fn what_has_ended_is_removed_with_its_name_and_groups() {
    // spec: CLI-100, CLI-102, LIFE-70
    need!(root);
    let root = Root::with_busybox();
    let id = run(&root, &["--name", "a", "--memory", "64m", "--log=file"], &["sh", "-c", "echo > /new; mkdir -p /d/e"]);
    ended(&root, "a");
    assert_eq!(root.ctr("rm").arg("a").ok(), id);
    assert_nothing_left(&root, "a");
    assert_eq!(leaks::cgroups(&[id]), Vec::<std::path::PathBuf>::new());
    // Again is a failure, unless it is asked not to be one.
    root.ctr("rm").arg("a").fails(1).says("no container \"a\"");
    assert_eq!(root.ctr("rm").args(["--ignore", "a"]).ok(), "");
    // The name is free.
    let id = run(&root, &["--name", "a"], &["true"]);
    ended(&root, "a");
    let json = root.ctr("rm").args(["--format", "json", &id[..6]]).ok();
    schema::check_text("rm.json", &json);
    assert!(json.contains(&id));
}

#[test]
fn what_runs_is_refused_or_stopped_first() {
    // spec: CLI-100, CLI-101
    need!(root);
    let root = Root::with_busybox();
    let ids: Vec<String> = ["a", "b", "c"]
        .iter()
        .map(|name| run(&root, &["--name", name], &["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]))
        .collect();
    let done = root.ctr("rm").args(["a", "absent"]).fails(1).says("it runs").says("absent");
    assert_eq!(done.stdout, "");
    assert_eq!(root.ctr("rm").arg("--all").ok(), "", "none that does not run");
    assert_eq!(root.containers("run").len(), 3);
    let start = Instant::now();
    let printed = root.ctr("rm").args(["--force", "--timeout", "1", "a", "b", "c"]).ok();
    assert!(start.elapsed() < Duration::from_secs(5), "one after the other");
    let mut removed: Vec<&str> = printed.lines().collect();
    removed.sort_unstable();
    let mut expected: Vec<&str> = ids.iter().map(String::as_str).collect();
    expected.sort_unstable();
    assert_eq!(removed, expected);
    assert_eq!(leaks::processes(&root.path(), &ids), Vec::<i32>::new());
    assert_nothing_left(&root, "forced");
}

#[test]
fn by_label_and_filter() {
    // spec: CLI-100
    need!(root);
    let root = Root::with_busybox();
    for (name, label) in [("web1", "team=web"), ("web2", "team=web"), ("db", "team=db")] {
        run(&root, &["--name", name, "--label", label], &["true"]);
        ended(&root, name);
    }
    run(&root, &["--name", "web3", "--label", "team=web"], &["sleep", "600"]);
    assert_eq!(root.ctr("rm").args(["--label", "team=web"]).ok().lines().count(), 2);
    assert_eq!(root.ctr("rm").args(["--filter", "name=d*", "--filter", "state=exited"]).ok().lines().count(), 1);
    assert_eq!(root.containers("run").len(), 1);
    root.ctr("rm").args(["--filter", "colour=red"]).fails(2);
    root.ctr("rm").fails(2);
    assert_eq!(root.ctr("rm").args(["-a", "-f", "-t", "0"]).ok().lines().count(), 1);
    assert_nothing_left(&root, "all");
}

#[test]
fn a_damaged_record_is_no_obstacle() {
    // spec: CLI-53, LIFE-70
    need!(root);
    let root = Root::with_busybox();
    let id = run(&root, &["--name", "broken"], &["sleep", "600"]);
    let record = root.path().join("containers/run").join(&id).join("container.json");
    fs::write(&record, "{ not json").unwrap();
    root.ctr("rm").arg("broken").fails(1).says("damaged").says("it runs");
    let done = root.ctr("stop").args(["-t", "0", "broken"]).run();
    assert_eq!((done.code, done.stdout.trim()), (0, id.as_str()), "{done}");
    assert_eq!(leaks::processes(&root.path(), std::slice::from_ref(&id)), Vec::<i32>::new());
    assert_eq!(root.ctr("rm").arg("broken").ok(), id);
    assert_nothing_left(&root, "broken");
}

#[test]
fn two_at_once_are_both_content() {
    // spec: CLI-102, LIFE-70
    need!(root);
    let root = Root::with_busybox();
    let names: Vec<String> = (0..6).map(|n| format!("c{n}")).collect();
    for name in &names {
        run(&root, &["--name", name], &["true"]);
        ended(&root, name);
    }
    let both: Vec<_> = (0..2).map(|_| root.ctr("rm").arg("--ignore").args(names.clone()).start()).collect();
    for one in both {
        assert_eq!(one.wait().code, 0);
    }
    until("nothing", || root.containers("run").is_empty() && root.containers("garbage").is_empty());
    assert_nothing_left(&root, "both");
}
