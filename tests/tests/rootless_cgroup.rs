//! Control groups of ordinary users: where a group was delegated they hold what root's hold, elsewhere the words are clear.

use std::fs;

use ctr_tests::groups::Delegated;
use ctr_tests::scratch::{Cmd, Root, until};
use ctr_tests::users::{self, Ordinary};
use ctr_tests::{images, leaks, need};

fn with_busybox(user: &Ordinary) -> Root {
    let root = user.root();
    let layout = users::readable(&root, &images::busybox_dir(), "layout");
    user.ctr(&root, "fetch").args(["-q", &format!("oci:{}:latest", layout.display()), "--name", "busybox"]).ok();
    root
}

fn run(user: &Ordinary, root: &Root, options: &[&str], command: &[&str]) -> Cmd {
    let run = user.ctr(root, "run").args(["--wait", "--rm", "--log=inherit"]).args(options.iter().copied());
    run.arg("busybox").args(command.iter().copied())
}

#[test]
fn a_delegated_group_holds_the_container() {
    // spec: LIFE-80, LIFE-60
    need!(root, "setpriv", "useradd", "newuidmap", "unshare");
    let user = users::with_range();
    let root = with_busybox(&user);
    let delegated = Delegated::new(user.uid, user.gid);
    let start =
        user.ctr(&root, "run").args(["--name", "a", "busybox", "sh", "-c", "trap '' TERM; while :; do sleep 1; done"]);
    let id = delegated.session(start).ok();
    let record = fs::read_to_string(root.path().join("containers/run").join(&id).join("container.json")).unwrap();
    let below = fs::read_dir(delegated.dir().join("ctr")).unwrap().map(|entry| entry.unwrap().path().join(&id));
    let group = below.filter(|group| group.is_dir()).max().unwrap();
    assert!(record.contains(&format!("/sys/fs/cgroup/{}/ctr/", delegated.name)), "{record}");
    let members = || fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default().lines().count();
    until("init and the shell, and what it runs", || members() >= 2);
    let table = delegated.session(user.ctr(&root, "ps").args(["--stats", "a"])).ok();
    assert!(table.contains('%'), "{table}");
    delegated.session(user.ctr(&root, "stop").args(["--timeout", "100ms", "a"])).ok();
    assert_eq!(members(), 0);
    delegated.session(user.ctr(&root, "gc").args(["--grace", "0"])).ok();
    assert!(!group.exists());
}

/// What was delegated is handed down and held, what was not is an error that names it and the way out.
#[test]
fn limits_as_far_as_they_are_delegated() {
    // spec: EXEC-71
    need!(root, "setpriv", "useradd", "newuidmap", "unshare");
    let user = users::with_range();
    let root = with_busybox(&user);
    let delegated = Delegated::new(user.uid, user.gid);
    let list = fs::read_to_string(delegated.dir().join("cgroup.controllers")).unwrap();
    let own = |name: &str| list.split_whitespace().any(|controller| controller == name);
    let pages = fs::metadata("/sys/kernel/mm/hugepages/hugepages-2048kB").is_ok();
    let run = |options: &[&str], command: &[&str]| delegated.session(run(&user, &root, options, command)).run();
    if own("hugetlb") && pages {
        let done = run(&["--hugetlb", "2M=2M"], &["cat", "/sys/fs/cgroup/hugetlb.2MB.max"]);
        assert_eq!(done.stdout, "2097152\n", "{done}");
    }
    let done = run(&["--memory", "64M"], &["cat", "/sys/fs/cgroup/memory.max"]);
    if own("memory") {
        assert_eq!(done.stdout, "67108864\n", "{done}");
    } else {
        assert_eq!(done.code, 125, "{done}");
        done.says("\"memory\"").says(&delegated.name).says("Delegate=");
    }
    // The limits stay the user's: the container sees its group and cannot change it.
    let script =
        "echo 1 >/sys/fs/cgroup/cgroup.max.depth; mkdir /sys/fs/cgroup/x; mount -o remount,rw /sys/fs/cgroup; true";
    let done = run(&["--cap-add", "SYS_ADMIN"], &["sh", "-c", script]);
    assert_eq!((done.code, done.stderr.matches("ead-only").count()), (0, 2), "{done}");
}

#[test]
fn without_delegation_limits_are_refused_and_defaults_noted() {
    // spec: EXEC-71, OVR-5
    need!(root, "setpriv", "useradd", "newuidmap");
    let user = users::with_range();
    let root = with_busybox(&user);
    for (options, option) in
        [(["--memory", "64M"], "--memory"), (["--cpus", "0.5"], "--cpus"), (["--pids-limit", "9"], "--pids-limit")]
    {
        let done = run(&user, &root, &options, &["true"]).run();
        assert_eq!(done.code, 125, "{done}");
        done.says(option).says("no control group is delegated").says("systemd-run --user --scope -p Delegate=yes");
    }
    let done = run(&user, &root, &["--explain"], &["true"]).run();
    assert_eq!(done.code, 0, "{done}");
    done.says("the default limit of processes is not in force");
    // Ended all the same: by PID 1 of its namespace.
    let id = user.ctr(&root, "run").args(["busybox", "sh", "-c", "trap '' TERM; sleep 600 & sleep 600"]).ok();
    user.ctr(&root, "stop").args(["--timeout", "100ms", &id]).ok();
    until("ended", || leaks::processes(&root.path(), std::slice::from_ref(&id)).is_empty());
}
