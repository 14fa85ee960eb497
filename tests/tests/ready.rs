//! `ctr-run --wait-ready`: the start ends when the container is ready, or fails.

use std::time::{Duration, Instant};

use ctr_tests::busybox::assert_nothing_left;
use ctr_tests::scratch::{Cmd, Root};
use ctr_tests::{leaks, need};

fn run(root: &Root, options: &[&str], health: &str, script: &str) -> Cmd {
    let fast = ["--wait-ready", "--health-interval", "50ms", "--health-cmd", health];
    root.ctr("run").args(fast).args(options.iter().copied()).args(["busybox", "sh", "-c", script])
}

#[test]
fn the_start_ends_when_the_command_succeeds() {
    // spec: CLI-118
    need!(root);
    let root = Root::with_busybox();
    let start = Instant::now();
    let id = run(&root, &["--name", "a"], "test -e /tmp/ready", "sleep 1; touch /tmp/ready; exec sleep 600").ok();
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(root.ctr("exec").args([&id, "ls", "/tmp"]).ok(), "ready");
    // A try that hangs is given up, and the next one made.
    let hangs = "[ -e /tmp/first ] && exit 0; touch /tmp/first; sleep 600";
    run(&root, &["--name", "b", "--health-timeout", "300ms"], hangs, "exec sleep 600").ok();
    // What fails while the start period lasts does not count.
    let options = ["--name", "c", "--health-retries", "1", "--health-start-period", "20s"];
    run(&root, &options, "test -e /tmp/ready", "sleep 1; touch /tmp/ready; exec sleep 600").ok();
}

#[test]
fn one_that_does_not_get_ready_is_stopped() {
    // spec: CLI-118
    need!(root);
    let root = Root::with_busybox();
    let options = ["--rm", "--health-retries", "3"];
    let done = run(&root, &options, "echo not yet >&2; exit 7", "exec sleep 600").fails(125);
    let done = done.says("not ready after 3 tries").says("it returned 7").says("not yet");
    assert_eq!(done.stdout, "");
    assert_nothing_left(&root, "not ready");
    run(&root, &["--name", "ended"], "exit 1", "sleep 0.2; exit 3").fails(125).says("ended before it was ready");
    let ids = root.containers("run");
    assert_eq!(leaks::processes(&root.path(), &ids), Vec::<i32>::new());
}

#[test]
fn options_that_mean_nothing_are_refused() {
    // spec: CLI-7
    let root = Root::new();
    for options in
        [&["--wait-ready"][..], &["--health-cmd", "true"], &["--wait-ready", "--health-cmd", "true", "--wait"]]
    {
        root.ctr("run").args(options.iter().copied()).args(["busybox", "true"]).fails(125);
    }
}
