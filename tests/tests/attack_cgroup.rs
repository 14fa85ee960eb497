//! Hostile programs against control groups: out of their own, up to the host's, onto its limits.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use ctr_tests::busybox::run;
use ctr_tests::groups::{in_v2_view, recorded, run_in_v2, unified};
use ctr_tests::scratch::{Root, until};
use ctr_tests::{leaks, need};

/// Tries to change every limit, to make groups, and to move to and from others, at a mount of a hierarchy.
const TRY_ALL: &str = "try() { d=$1; mkdir $d/evil 2>/dev/null && echo made $d/evil; \
     for f in $(find $d -name cgroup.procs -o -name tasks -o -name '*.max' -o -name '*limit*' -o -name cgroup.freeze -o -name cgroup.kill \
     -o -name release_agent -o -name notify_on_release -o -name cgroup.subtree_control 2>/dev/null | head -100); do \
     (echo 1 >$f) 2>/dev/null && echo wrote $f; done; true; }; ";

// ATTACK: CVE-2022-0492: v1 hierarchies are mounted with CAP_SYS_ADMIN, for release_agent and notify_on_release of the host's groups
//  => mounts show groups of the host's root; nothing in them can be written
#[test]
fn release_agent_is_out_of_reach() {
    // spec: EXEC-1
    need!(root);
    let root = Root::with_busybox();
    let script = format!(
        "{TRY_ALL} mkdir /tmp/m; for c in cpu cpuacct cpuset memory devices freezer blkio pids hugetlb rdma perf_event net_cls; do \
         mount -t cgroup -o $c none /tmp/m 2>/dev/null || continue; try /tmp/m; umount /tmp/m; done; \
         mount -t cgroup -o none,name=evil none /tmp/m 2>/dev/null && try /tmp/m; echo done"
    );
    for options in [&["--cap-add", "SYS_ADMIN"][..], &["--cap-add", "SYS_ADMIN", "--seccomp", "unconfined"]] {
        let done = run(&root, options, &["sh", "-c", &script]);
        assert_eq!(done.stdout, "done\n", "{options:?}: {done}");
    }
}

// ATTACK: cgroup escape: cgroup2 is mounted anew and remounted writable with CAP_SYS_ADMIN, to lift limits, make groups, move, kill and freeze
//  => the mount ends at the own group, whose files are the host's
#[test]
fn a_mount_of_cgroup2_ends_at_the_own_group() {
    // spec: EXEC-70
    need!(root, "unshare");
    let root = Root::with_busybox();
    let script = format!(
        "{TRY_ALL} mkdir /tmp/m; mount -t cgroup2 none /tmp/m && {{ try /tmp/m; ls -d /tmp/m/*/; grep -c . /tmp/m/cgroup.procs; }}; \
         mount -o remount,rw /sys/fs/cgroup 2>/dev/null; mount -o remount,bind,rw /sys/fs/cgroup 2>/dev/null; try /sys/fs/cgroup; \
         cat /proc/self/cgroup | grep ^0"
    );
    let options = ["--cap-add", "SYS_ADMIN", "--seccomp", "unconfined"];
    for done in [run(&root, &options, &["sh", "-c", &script]), run_in_v2(&root, &options, &["sh", "-c", &script])] {
        assert!(done.stdout.ends_with("0::/\n"), "{done}");
        assert!(
            !done.stdout.contains("wrote") && !done.stdout.contains("made") && !done.stdout.contains("/tmp/m/"),
            "{done}"
        );
    }
}

// ATTACK: cgroup escape: a container that was handed a group of its own (--cgroup-delegate) looks for the limits, for groups above, and makes groups without end
//  => the limits are one group above, out of sight; 32 levels and 1024 groups are the most; all of them go with the container
#[test]
fn a_delegated_group_is_no_way_up() {
    // spec: EXEC-74, LIFE-82, LIM-53
    need!(root, "unshare");
    let root = Root::with_busybox();
    let script = "cd /sys/fs/cgroup; mkdir own && echo $$ >own/cgroup.procs && cat /proc/self/cgroup | grep ^0; ls -d ../cgroup; \
                  (echo max >hugetlb.2MB.max) 2>/dev/null && echo lifted; (echo max >cgroup.max.depth) 2>/dev/null && echo deeper; \
                  mkdir /tmp/m && mount -t cgroup2 none /tmp/m && ls -d /tmp/m/own /tmp/m/payload 2>/dev/null; \
                  d=.; n=0; while mkdir $d/x 2>/dev/null; do d=$d/x; n=$((n+1)); done; echo $n levels; \
                  mkdir $(seq 1200) 2>/dev/null; n=$(ls | grep -c '^[0-9]*$'); [ $n -gt 900 ] && [ $n -lt 1024 ] && echo wide enough";
    for userns in ["auto", "host"] {
        let options = ["--cgroup-delegate", "--userns", userns, "--cap-add", "SYS_ADMIN"];
        let done = run_in_v2(&root, &options, &["sh", "-c", script]);
        // With the host's ids root inside is root of the host: it may write its own group's files, and those are no limits.
        let found = done.stdout.replace("lifted\n", "").replace("deeper\n", "");
        assert_eq!(found, "0::/own\n../cgroup\n/tmp/m/own\n31 levels\nwide enough\n", "{userns}: {done}");
        assert!(userns == "host" || found == done.stdout, "{done}");
    }
    assert_eq!(leaks::outside(&root.path(), &[]), Vec::<String>::new());
}

// ATTACK: cgroup escape: a default container writes to every file of control groups that it sees, joins the namespace of its init and makes new ones
//  => refused
#[test]
fn a_default_container_changes_no_group() {
    // spec: EXEC-70
    need!(root, "unshare");
    let root = Root::with_busybox();
    // Groups of ours are nobody else's on the host either.
    let id = root.ctr("run").args(["busybox", "sleep", "600"]).ok();
    for group in recorded(&root, &id).iter().flat_map(|group| [group.clone(), group.parent().unwrap().to_owned()]) {
        assert_eq!(fs::metadata(&group).unwrap().permissions().mode() & 0o7777, 0o755, "{}", group.display());
    }
    let script = format!(
        "{TRY_ALL} try /sys/fs/cgroup; unshare -C true 2>/dev/null && echo unshared; \
         nsenter -t 1 -C true 2>/dev/null && echo entered; mount -t cgroup2 none /tmp 2>/dev/null && echo mounted; echo done"
    );
    for options in [&[][..], &["--userns", "host"]] {
        for done in [run(&root, options, &["sh", "-c", &script]), run_in_v2(&root, options, &["sh", "-c", &script])] {
            assert_eq!(done.stdout, "done\n", "{options:?}: {done}");
        }
    }
}

// ATTACK: device rules: with the host's ids and CAP_SYS_ADMIN the devices controller of v1 is mounted and told to allow all
//  => nothing can be read that the rules forbid
#[test]
fn device_rules_are_not_lifted_from_inside() {
    // spec: EXEC-73
    need!(root);
    let root = Root::with_busybox();
    // The group of the container is the root of what it can mount; the group above would have to allow more, and it does.
    let script = "mkdir /tmp/m; mount -t cgroup2 none /tmp/m 2>/dev/null && (echo 1 >/tmp/m/cgroup.procs) 2>/dev/null; \
                  mount -t devtmpfs none /mnt 2>/dev/null || { mkdir /mnt && mount -t devtmpfs none /mnt; }; \
                  for node in kmsg mem port vda sda; do (head -c 1 </mnt/$node) >/dev/null 2>&1 && echo read $node; done; \
                  mknod /tmp/k c 1 11 2>/dev/null && echo made; echo done";
    let options = ["--userns", "host", "--cap-add", "SYS_ADMIN", "--cap-add", "MKNOD"];
    for done in [run(&root, &options, &["sh", "-c", script]), run_in_v2(&root, &options, &["sh", "-c", script])] {
        assert_eq!(done.stdout, "done\n", "{done}");
    }
}

// ATTACK: cgroup name: a group of the container's id is there before, frozen and limited by somebody else
//  => ids are new and random; a group that is there is refused (unit tests), the parent's state is checked at every start
#[test]
fn a_group_that_is_frozen_while_it_starts_is_given_up() {
    // spec: LIFE-83
    need!(root, "unshare");
    let root = Root::with_busybox();
    let id = in_v2_view(root.ctr("run").args(["busybox", "true"])).ok();
    let parent = recorded(&root, &id)[0].parent().unwrap().to_owned();
    until("ended", || leaks::processes(&root.path(), std::slice::from_ref(&id)).is_empty());
    // Frozen and thawed all the time: each start either runs or is refused, and none hangs.
    let stop = std::sync::atomic::AtomicBool::new(false);
    let freeze = |value: &str| fs::write(parent.join("cgroup.freeze"), value).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                freeze("1");
                std::thread::sleep(std::time::Duration::from_millis(7));
                freeze("0");
                std::thread::sleep(std::time::Duration::from_millis(3));
            }
        });
        for _ in 0..5 {
            let done = run_in_v2(&root, &[], &["true"]);
            assert!(done.code == 0 || (done.code == 125 && done.stderr.contains("frozen")), "{done}");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    freeze("0");
    assert!(unified().join("cgroup.procs").exists());
}
