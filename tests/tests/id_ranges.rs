//! Ranges of host ids for containers: who has which, for how long, and where they come from.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ctr_tests::busybox::run;
use ctr_tests::crash::{self, Kind};
use ctr_tests::private_host::{enter, start_of};
use ctr_tests::scratch::{Root, until};
use ctr_tests::{groups, leaks, need};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// One range, of the test's own: whoever has it, nobody else can start.
const ONE: &str = "ctr:300000000:65536\n";

fn detached(root: &Root, options: &[&str]) -> String {
    root.ctr("run").args(options.iter().copied()).args(["busybox", "sleep", "600"]).ok()
}

fn pid_of(root: &Root, id: &str) -> i32 {
    let record = fs::read_to_string(root.path().join("containers/run").join(id).join("process")).unwrap();
    serde_json::from_str::<serde_json::Value>(&record).unwrap()["pid"].as_i64().unwrap() as i32
}

fn host_map(pid: i32) -> u32 {
    let map = fs::read_to_string(format!("/proc/{pid}/uid_map")).unwrap();
    assert_eq!(map, fs::read_to_string(format!("/proc/{pid}/gid_map")).unwrap());
    start_of(&map)
}

#[track_caller]
fn assert_in_use(root: &Root, when: &str) {
    let done = run(root, &[], &["true"]);
    assert_eq!(done.code, 125, "{when}: {done}");
    done.says("all 1 ranges of ids for user namespaces are in use").says("--userns=host");
}

#[track_caller]
fn assert_free(root: &Root, when: &str) {
    let done = run(root, &[], &["cat", "/proc/self/uid_map"]);
    assert_eq!(done.code, 0, "{when}: {done}");
    assert_eq!(start_of(&done.stdout), 300_000_000, "{when}");
}

fn kill_and_wait(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    until("it is gone", || leaks::state_and_parent(pid).is_none_or(|(state, _)| state == 'Z'));
}

#[test]
fn thirty_containers_of_two_roots_share_no_range() {
    // spec: EXEC-111, EXEC-112
    need!(root);
    let roots = [Root::with_busybox(), Root::with_busybox()];
    let started: Vec<(usize, ctr_tests::scratch::Running)> =
        (0..30).map(|n| (n % 2, roots[n % 2].ctr("run").args(["busybox", "sleep", "600"]).start())).collect();
    let mut starts = BTreeSet::new();
    for (which, running) in started {
        let id = running.wait().ok();
        let start = host_map(pid_of(&roots[which], &id));
        assert!(start >= 0x7000_0000 && start.is_multiple_of(65536) && start < 0x7fff_0000, "built in: {start:x}");
        assert!(starts.insert(start), "{start} was given twice");
    }
}

#[test]
fn a_range_is_free_again_however_its_container_ended() {
    // spec: EXEC-112, EXEC-113, EXEC-114
    need!(root);
    let root = Root::with_busybox();
    enter(&root, ONE, ONE);
    assert_free(&root, "at first");
    assert_free(&root, "after an exit");
    assert_eq!(run(&root, &[], &["/no/such/program"]).code, 127);
    assert_free(&root, "after a start that failed in the child");
    assert_eq!(run(&root, &["--user", "70000"], &["true"]).code, 125);
    assert_free(&root, "after a start that failed before");
    let id = detached(&root, &["--name", "a"]);
    assert_in_use(&root, "while it runs");
    let other = Root::with_busybox();
    assert_in_use(&other, "for another root");
    // Neither the directory of its container nor its absence says that it is free: the lock does.
    let dir = root.path().join("containers/run").join(&id);
    fs::rename(&dir, root.file("away")).unwrap();
    assert_in_use(&root, "while the container's directory is away");
    fs::rename(root.file("away"), &dir).unwrap();
    root.ctr("stop").args(["--timeout", "0", "a"]).ok();
    assert_free(&root, "after a stop");
    let id = detached(&root, &[]);
    kill_and_wait(pid_of(&root, &id));
    assert_free(&root, "after kill -9 of init");
    assert_free(&other, "for another root");
    assert_eq!(run(&root, &["--userns=host"], &["true"]).code, 0);
}

/// Without init nobody holds the lock: the record of the container stands for it, from before its program runs.
#[test]
fn a_container_without_init_keeps_its_range() {
    // spec: EXEC-113
    need!(root);
    let root = Root::with_busybox();
    enter(&root, ONE, ONE);
    let id = detached(&root, &["--no-init"]);
    assert_in_use(&root, "while it runs");
    assert_in_use(&Root::with_busybox(), "for another root");
    kill_and_wait(pid_of(&root, &id));
    assert_free(&root, "after its end");
    // Ten starts for one range: exactly one gets it.
    let all: Vec<_> = (0..10).map(|_| root.ctr("run").args(["--no-init", "busybox", "sleep", "600"]).start()).collect();
    let codes: Vec<i32> = all.into_iter().map(|running| running.wait().code).collect();
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    assert!(codes.iter().all(|code| matches!(code, 0 | 125)), "{codes:?}");
}

/// A container in another one's user namespace has the same ids, and may live longer.
#[test]
fn a_range_stays_with_whoever_joined_it() {
    // spec: EXEC-113
    need!(root);
    let root = Root::with_busybox();
    enter(&root, ONE, ONE);
    let first = detached(&root, &["--name", "first"]);
    let second = detached(&root, &["--userns", "container:first"]);
    assert_eq!(host_map(pid_of(&root, &second)), 300_000_000);
    kill_and_wait(pid_of(&root, &first));
    assert_in_use(&root, "while the second lives");
    kill_and_wait(pid_of(&root, &second));
    assert_free(&root, "at the end");
}

#[test]
fn a_frozen_container_keeps_its_range() {
    // spec: EXEC-113
    need!(root);
    let root = Root::with_busybox();
    enter(&root, ONE, ONE);
    let id = detached(&root, &[]);
    let group = groups::recorded(&root, &id).into_iter().find(|group| group.join("cgroup.freeze").exists());
    if let Some(group) = group {
        fs::write(group.join("cgroup.freeze"), "1").unwrap();
        assert_in_use(&root, "while it is frozen");
        fs::write(group.join("cgroup.freeze"), "0").unwrap();
    }
    // v1: init dies at once and lets its lock go, and the frozen program of the same ids lives on until it is thawed.
    let freezer = Path::new("/sys/fs/cgroup/freezer");
    if freezer.join("cgroup.procs").exists() {
        let group = freezer.join(format!("ctr-test-{}", std::process::id()));
        fs::create_dir(&group).unwrap();
        let init = pid_of(&root, &id);
        let children = fs::read_to_string(format!("/proc/{init}/task/{init}/children")).unwrap();
        fs::write(group.join("cgroup.procs"), children.trim()).unwrap();
        fs::write(group.join("freezer.state"), "FROZEN").unwrap();
        until("it is frozen", || fs::read_to_string(group.join("freezer.state")).unwrap().trim() == "FROZEN");
        kill(Pid::from_raw(init), Signal::SIGKILL).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert_in_use(&root, "while a frozen program outlives its init");
        fs::write(group.join("freezer.state"), "THAWED").unwrap();
        until("the container is gone", || leaks::state_and_parent(init).is_none_or(|(state, _)| state == 'Z'));
        until("its group is empty", || fs::remove_dir(&group).is_ok());
    } else {
        kill_and_wait(pid_of(&root, &id));
    }
    assert_free(&root, "at the end");
}

/// The launcher is killed at each of its steps. Whatever of the container lives keeps the range; when that has ended, the
/// range is free without anybody's help.
#[test]
fn a_killed_launcher_leaves_no_range_behind() {
    // spec: EXEC-113
    need!(root);
    let root = Root::with_busybox();
    enter(&root, ONE, ONE);
    // The first start makes the directory and the file of the range.
    assert_free(&root, "at first");
    let make = || {
        let mut traced = root.ctr("run").args(["busybox", "true"]).traced(vec![root.path(), "/run/ctr".into()]);
        traced.machinery = true;
        ((), traced)
    };
    crash::at_every_point(Kind::KillCaller, make, |(), fault, _| {
        leaks::end_all(&root.path());
        assert_free(&root, &format!("{fault:?}"));
    });
}

#[test]
fn the_lines_for_ctr_are_used() {
    // spec: EXEC-111
    need!(root);
    let root = Root::with_busybox();
    // The third line has no whole range, the fourth is another one's, the last is no line.
    let text = "alice:100000:65536\nctr:400000000:131072\nctr:500000000:65535\nbob:600000000:65536\nctr:x:1\n";
    enter(&root, text, text);
    let mut starts = BTreeSet::new();
    for _ in 0..2 {
        let id = detached(&root, &[]);
        starts.insert(host_map(pid_of(&root, &id)));
    }
    assert_eq!(starts, BTreeSet::from([400_000_000, 400_065_536]));
    let done = run(&root, &[], &["true"]);
    assert_eq!(done.code, 125, "{done}");
    done.says("all 2 ranges").says("/etc/subuid");
}

#[test]
fn lines_that_fit_nothing_are_an_error() {
    // spec: EXEC-111
    need!(root);
    let root = Root::with_busybox();
    enter(&root, ONE, "ctr:300000001:65536\n");
    let done = run(&root, &[], &["true"]);
    assert_eq!(done.code, 125, "{done}");
    done.says("/etc/subgid").says("same START:COUNT");
    assert_eq!(run(&root, &["--userns=host"], &["true"]).code, 0);
}

#[test]
fn built_in_ranges_keep_away_from_those_of_users() {
    // spec: EXEC-111
    need!(root);
    let root = Root::with_busybox();
    // All built-in ranges but the one from 0x70050000 on belong to somebody, by users in one file and groups in the other.
    let (first, end) = (0x7000_0000u64, 0x7ffe_0000u64);
    let uids = format!("alice:{first}:{}\n", 5 * 65536);
    let gids = format!("1000:{}:{}\n", first + 6 * 65536, end - first - 6 * 65536);
    enter(&root, &uids, &gids);
    assert_eq!(host_map(pid_of(&root, &detached(&root, &[]))), 0x7005_0000);
    let done = run(&root, &[], &["true"]);
    assert_eq!(done.code, 125, "{done}");
    done.says("all 1 ranges");
}

#[test]
fn a_full_or_read_only_run_directory_is_told() {
    // spec: EXEC-110
    need!(root);
    let root = Root::with_busybox();
    enter(&root, "", "");
    let flags = nix::mount::MsFlags::MS_REMOUNT | nix::mount::MsFlags::MS_BIND | nix::mount::MsFlags::MS_RDONLY;
    nix::mount::mount(None::<&str>, "/run/ctr", None::<&str>, flags, None::<&str>).unwrap();
    let done = run(&root, &[], &["true"]);
    assert_eq!(done.code, 125, "{done}");
    done.says("/run/ctr/ranges").says("Read-only").says("--userns=host");
    assert_eq!(run(&root, &["--userns=host"], &["true"]).code, 0);
}
