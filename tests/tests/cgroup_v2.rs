//! The path of pure cgroup v2, in a view of this host where nothing else is mounted: on hybrid hosts with the controllers that
//! the v2 side has, on others with all.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ctr_tests::groups::{self, in_v2_view, run_in_v2};
use ctr_tests::scratch::{Cmd, Root, until};
use ctr_tests::{leaks, need};

#[test]
fn the_container_sees_its_group_as_the_root() {
    // spec: EXEC-70
    need!(root, "unshare");
    let root = Root::with_busybox();
    let script = "cat /proc/self/cgroup | grep ^0; grep -c cgroup /proc/mounts; cat /sys/fs/cgroup/cgroup.procs | wc -l; \
                  mkdir /sys/fs/cgroup/x 2>&1";
    let done = run_in_v2(&root, &[], &["sh", "-c", script]);
    assert!(done.stdout.starts_with("0::/\n1\n"), "{done}");
    assert!(done.stdout.contains("Read-only"), "{done}");
    assert_eq!(leaks::outside(&root.path(), &[]), Vec::<String>::new());
}

#[test]
fn starting_stopping_and_collecting() {
    // spec: LIFE-60, LIFE-80, KERN-13
    need!(root, "unshare");
    let root = Root::with_busybox();
    let run = |command: &[&str]| in_v2_view(root.ctr("run").arg("busybox").args(command.iter().copied())).ok();
    let id = run(&["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]);
    let groups = groups::recorded(&root, &id);
    assert_eq!(groups.len(), 1, "{groups:?}");
    assert!(fs::read_to_string(groups[0].join("cgroup.events")).unwrap().contains("populated 1"));
    // A frozen container can be killed: cgroup.kill reaches it.
    fs::write(groups[0].join("cgroup.freeze"), "1").unwrap();
    until("frozen", || fs::read_to_string(groups[0].join("cgroup.events")).unwrap().contains("frozen 1"));
    in_v2_view(root.ctr("stop").args(["--timeout", "200ms", &id])).ok();
    assert_eq!(leaks::processes(&root.path(), std::slice::from_ref(&id)), Vec::<i32>::new());
    in_v2_view(root.ctr("gc").args(["--grace", "0"])).ok();
    assert_eq!(leaks::cgroups(&[id]), Vec::<PathBuf>::new());
    assert_eq!(leaks::parent_groups(&root.path()), Vec::<PathBuf>::new());
}

/// A controller that v2 does not have here: asked for it is an error that names both, by default it is a note.
#[test]
fn controllers_that_are_elsewhere() {
    // spec: KERN-31, OVR-5
    need!(root, "unshare");
    let root = Root::with_busybox();
    let list = fs::read_to_string(groups::unified().join("cgroup.controllers")).unwrap();
    for (controller, option) in [
        ("memory", &["--memory", "64M"][..]),
        ("cpu", &["--cpus", "0.5"]),
        ("pids", &["--pids-limit", "50"]),
        ("cpuset", &["--cpuset", "0"]),
        ("io", &["--io-weight", "100"]),
    ] {
        let done = run_in_v2(&root, option, &["true"]);
        if list.split_whitespace().any(|name| name == controller) {
            assert!(done.code == 0 || done.stderr.contains("io.weight"), "{done}");
            continue;
        }
        assert_eq!(done.code, 125, "{done}");
        done.says(option[0]).says(&format!("\"{controller}\"")).says("/sys/fs/cgroup/cgroup.controllers");
    }
    let done = run_in_v2(&root, &["--explain"], &["true"]);
    assert_eq!(done.code, 0, "{done}");
    let noted = done.stderr.contains("the default limit of processes is not in force");
    assert_eq!(noted, !list.contains("pids"), "{done}");
}

#[test]
fn a_limit_is_handed_down_and_held() {
    need!(root, "unshare");
    let root = Root::with_busybox();
    let list = fs::read_to_string(groups::unified().join("cgroup.controllers")).unwrap();
    let pages = fs::metadata("/sys/kernel/mm/hugepages/hugepages-2048kB").is_ok();
    if !list.contains("hugetlb") || !pages {
        return ctr_tests::skip::skip("cgroup v2 has no hugetlb controller here");
    }
    let done = run_in_v2(&root, &["--hugetlb", "2M=2M"], &["cat", "/sys/fs/cgroup/hugetlb.2MB.max"]);
    assert_eq!(done.stdout, "2097152\n", "{done}");
    // A second root below the same top, and a parent that is older than the first such limit.
    assert_eq!(run_in_v2(&root, &[], &["true"]).code, 0);
    let done = run_in_v2(&root, &["--cgroup-conf", "hugetlb.2MB.max=0"], &["cat", "/sys/fs/cgroup/hugetlb.2MB.max"]);
    assert_eq!(done.stdout, "0\n", "{done}");
}

/// The rules are a program at the group: what is not allowed is neither made nor opened, however it was got at.
#[test]
fn device_rules_hold_what_capabilities_could_reach() {
    // spec: EXEC-60, EXEC-73
    need!(root, "unshare");
    let root = Root::with_busybox();
    let host = ["--userns", "host"];
    let script = "mknod /dev/mine c 1 3 && echo null; mknod /dev/kmsg c 1 11 && echo kmsg; mknod /dev/disk b 254 0 && echo disk; \
                  echo x >/dev/null && head -c 2 /dev/zero | wc -c; echo x >/dev/mine && echo written";
    let done = run_in_v2(&root, &[&host[..], &["--cap-add", "MKNOD"]].concat(), &["sh", "-c", script]);
    assert_eq!(done.stdout, "null\n2\nwritten\n", "{done}");
    // devtmpfs has every node of the host: they are seen and cannot be opened.
    let script = "mount -t devtmpfs none /tmp && ls /tmp/null /tmp/kmsg && echo x >/tmp/null && echo null; \
                  for node in kmsg mem vda sda; do head -c 1 /tmp/$node >/dev/null 2>&1 && echo read $node; done; true";
    let done = run_in_v2(&root, &[&host[..], &["--cap-add", "SYS_ADMIN"]].concat(), &["sh", "-c", script]);
    assert!(done.stdout.ends_with("null\n") && !done.stdout.contains("read"), "{done}");
}

#[test]
fn narrowed_access_to_a_device_is_held() {
    // spec: EXEC-73
    need!(root, "unshare");
    let root = Root::with_busybox();
    // loop-control: everybody may open this node of it, so that the rules alone decide.
    let node = root.file("node").display().to_string();
    Cmd::new("mknod").args(["-m", "666", &node, "c", "10", "237"]).ok();
    let open = "head -c 1 /dev/full | wc -c; true </dev/mine && echo read; true >/dev/mine && echo written; true";
    for userns in ["host", "auto"] {
        for (access, expected) in [("r", "1\nread\n"), ("w", "1\nwritten\n"), ("rw", "1\nread\nwritten\n")] {
            let device = format!("{node}:/dev/mine:{access}");
            let options = ["--userns", userns, "--device", &device];
            let done = run_in_v2(&root, &options, &["sh", "-c", open]);
            assert_eq!(done.stdout, expected, "{userns} {access}: {done}");
            // The same rules by the devices controller of v1, where this host has it.
            let done = ctr_tests::busybox::run(&root, &options, &["sh", "-c", open]);
            assert_eq!(done.stdout, expected, "{userns} {access}: {done}");
        }
    }
}

/// A process that is born in a frozen group never runs. The start says so, and takes everything back.
#[test]
fn a_frozen_parent_is_refused_and_never_waited_for() {
    // spec: LIFE-83
    need!(root, "unshare");
    let root = Root::with_busybox();
    // Makes the parent group.
    let id = in_v2_view(root.ctr("run").args(["busybox", "true"])).ok();
    let parent = groups::recorded(&root, &id)[0].parent().unwrap().to_owned();
    until("ended", || leaks::processes(&root.path(), std::slice::from_ref(&id)).is_empty());
    fs::write(parent.join("cgroup.freeze"), "1").unwrap();
    let start = Instant::now();
    let done = run_in_v2(&root, &[], &["true"]);
    fs::write(parent.join("cgroup.freeze"), "0").unwrap();
    assert_eq!(done.code, 125, "{done}");
    let done = done.says("is frozen").says("cgroup.freeze");
    assert!(start.elapsed() < Duration::from_secs(10) && !done.stderr.contains(" because: "), "{done}");
    assert_eq!(run_in_v2(&root, &[], &["true"]).code, 0);
}

#[test]
fn hierarchies_that_cannot_be_written() {
    // spec: EXEC-71
    need!(root, "unshare");
    let root = Root::with_busybox();
    let script = "mount --make-rprivate / && mount --bind $0 /sys/fs/cgroup && mount -o remount,bind,ro /sys/fs/cgroup && exec \"$@\"";
    let unified = groups::unified().display().to_string();
    let read_only = |cmd: Cmd| cmd.under(["unshare", "--mount", "sh", "-c", script, &unified]);
    // Nothing was asked for: it runs, and the plan's notes tell.
    let run = |options: &[&str]| {
        let run = root.ctr("run").args(["--wait", "--rm", "--explain"]).args(options.iter().copied());
        read_only(run.args(["busybox", "true"])).run()
    };
    let done = run(&[]);
    assert_eq!(done.code, 0, "{done}");
    done.says("no control group below /sys/fs/cgroup");
    // Device rules and limits are no default.
    for options in [&["--userns", "host", "--cap-add", "MKNOD"][..], &["--cgroup-conf", "hugetlb.2MB.max=0"]] {
        let done = run(options);
        assert_eq!(done.code, 125, "{done}");
    }
    assert_eq!(leaks::outside(&root.path(), &[]), Vec::<String>::new());
}

/// "No internal processes": a parent group with a process hands no controller down. Said so where a limit was asked for.
#[test]
fn a_parent_with_processes_hands_nothing_down() {
    // spec: OVR-5
    need!(root, "unshare");
    let root = Root::with_busybox();
    let list = fs::read_to_string(groups::unified().join("cgroup.controllers")).unwrap();
    if !list.contains("hugetlb") || fs::metadata("/sys/kernel/mm/hugepages/hugepages-2048kB").is_err() {
        return ctr_tests::skip::skip("cgroup v2 has no hugetlb controller here");
    }
    let id = in_v2_view(root.ctr("run").args(["busybox", "true"])).ok();
    let parent = groups::recorded(&root, &id)[0].parent().unwrap().to_owned();
    let mut sleeper = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    fs::write(parent.join("cgroup.procs"), sleeper.id().to_string()).unwrap();
    let done = run_in_v2(&root, &["--hugetlb", "2M=2M"], &["true"]);
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    assert_eq!(done.code, 125, "{done}");
    done.says("has processes of its own").says("--hugetlb");
}
