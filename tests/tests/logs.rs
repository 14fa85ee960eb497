//! `ctr-logs`: what was written, from when, how much, and what comes.

use ctr_tests::need;
use ctr_tests::scratch::{Root, until};

fn logged(root: &Root, name: &str, script: &str) {
    root.ctr("run").args(["--wait", "--log=file", "--name", name, "busybox", "sh", "-c", script]).ok();
}

#[test]
fn both_streams_come_back_as_they_were_written() {
    // spec: LIFE-50, CLI-60
    need!(root);
    let root = Root::with_busybox();
    logged(&root, "l", "echo one; echo two >&2; printf 'no end'; printf '\\nbinary \\377\\n'");
    let both = root.ctr("logs").arg("l").run();
    assert_eq!(both.code, 0, "{both}");
    for line in ["one\n", "two\n", "no end\nbinary "] {
        assert!(both.stdout.contains(line), "{line}: {both}");
    }
    assert_eq!(root.ctr("logs").args(["--stderr", "l"]).ok(), "two");
    assert!(root.ctr("logs").args(["--stdout", "l"]).ok().starts_with("one\nno end\nbinary "));
    let raw = std::fs::read_to_string(root.path().join("containers/run").join(&root.containers("run")[0]).join("log"))
        .unwrap_or_else(|error| format!("no UTF-8? {error}"));
    assert!(raw.contains(" stdout F one") || raw.starts_with("no UTF-8"), "{raw}");
    root.ctr("logs").arg("absent").fails(1).says("absent");
    root.ctr("logs").fails(2);
}

#[test]
fn tail_and_since() {
    need!(root);
    let root = Root::with_busybox();
    logged(&root, "t", "seq 1 100; sleep 1.5; seq 101 110");
    let tail = |n: &str| root.ctr("logs").args(["--tail", n, "t"]).ok();
    assert_eq!(tail("3"), "108\n109\n110");
    assert_eq!(tail("0"), "");
    assert_eq!(tail("1000").lines().count(), 110);
    assert_eq!(root.ctr("logs").args(["--since", "1h", "t"]).ok().lines().count(), 110);
    assert_eq!(root.ctr("logs").args(["--since", "2000-01-01T00:00:00Z", "t"]).ok().lines().count(), 110);
    assert_eq!(root.ctr("logs").args(["--since", "2100-01-01T00:00:00Z", "t"]).ok(), "");
}

#[test]
fn follow_ends_with_the_container() {
    // spec: CLI-61
    need!(root);
    let root = Root::with_busybox();
    root.ctr("run")
        .args(["--log=file", "--name", "f", "busybox", "sh", "-c", "for n in 1 2 3 4 5; do echo $n; sleep 0.2; done"])
        .ok();
    let done = root.ctr("logs").args(["--follow", "f"]).start().wait();
    assert_eq!((done.code, done.stdout.as_str()), (0, "1\n2\n3\n4\n5\n"), "{done}");
}

#[test]
fn follow_passes_on_what_comes_at_once() {
    // spec: CLI-61
    need!(root);
    let root = Root::with_busybox();
    root.ctr("run").args(["--log=file", "--name", "g", "busybox", "sh", "-c", "echo first; sleep 600"]).ok();
    let mut running = root.ctr("logs").args(["-f", "g"]).start();
    until("the first line", || running.stdout().contains("first"));
    root.ctr("stop").args(["--timeout", "0", "g"]).ok();
    assert_eq!(running.wait().code, 0);
}

#[test]
fn a_long_log_is_capped_and_whole_at_its_end() {
    // spec: LIFE-51, LIFE-52, LIM-30
    need!(root);
    let root = Root::with_busybox();
    let lines = 900_000;
    logged(&root, "big", &format!("seq 1 {lines}; head -c 100000 /dev/zero | tr '\\0' x; echo"));
    let dir = root.path().join("containers/run").join(&root.containers("run")[0]);
    let size: u64 =
        ["log", "log.1"].iter().filter_map(|name| std::fs::metadata(dir.join(name)).ok()).map(|meta| meta.len()).sum();
    assert!(size < 64 << 20, "{size} bytes");
    let tail = root.ctr("logs").args(["--tail", "3", "big"]).ok();
    assert!(tail.starts_with(&format!("{}\n{lines}\nxxx", lines - 1)), "{}", &tail[..40]);
    assert_eq!(tail.lines().last().unwrap().len(), 100_000, "a long line is one line again");
    let all = root.ctr("logs").arg("big").ok();
    let numbers: Vec<u32> = all.lines().filter_map(|line| line.parse().ok()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "in order, without a gap");
    assert_eq!(numbers.last(), Some(&lines));
}

#[test]
fn standard_output_can_be_opened_again() {
    need!(root);
    let root = Root::with_busybox();
    logged(&root, "o", "echo by name > /dev/stdout; echo too > /dev/stderr; echo fd > /proc/self/fd/1");
    assert_eq!(root.ctr("logs").args(["--stdout", "o"]).ok(), "by name\nfd");
    assert_eq!(root.ctr("logs").args(["--stderr", "o"]).ok(), "too");
    // spec: LIFE-53
    let script = "id -u > /dev/stdout; echo u > /dev/stderr";
    root.ctr("run").args(["--wait", "--log=file", "--name", "u", "-u", "bob", "busybox", "sh", "-c", script]).ok();
    assert_eq!(root.ctr("logs").args(["--stdout", "u"]).ok(), "1000");
    assert_eq!(root.ctr("logs").args(["--stderr", "u"]).ok(), "u");
}

#[test]
fn no_log_says_so() {
    // spec: CLI-63
    need!(root);
    let root = Root::with_busybox();
    root.ctr("run").args(["--wait", "--log=none", "--name", "n", "busybox", "echo", "x"]).ok();
    let done = root.ctr("logs").arg("n").run();
    assert!(done.stdout.is_empty() && done.stderr.contains("none"), "{done}");
}
