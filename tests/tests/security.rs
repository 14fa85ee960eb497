//! `ctr-run --security-opt`, `--privileged`: labels, what is hidden and what is not, all or nothing.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use ctr_tests::busybox::{assert_nothing_left, inside, run};
use ctr_tests::need;
use ctr_tests::scratch::Root;

#[test]
fn paths_are_hidden_and_shown_as_asked_for() {
    // spec: EXEC-21, EXEC-22, EXEC-65
    need!(root);
    let root = Root::with_busybox();
    let sysctl = "mount | grep -c ' /proc/sys '; :";
    assert_eq!(inside(&root, &[], sysctl), "1");
    assert_eq!(inside(&root, &["--security-opt", "unmask=/proc/sys"], sysctl), "0");
    assert_eq!(inside(&root, &["--security-opt", "unmask=ALL"], "grep -c ' /proc/' /proc/self/mounts; :"), "0");
    assert_eq!(
        inside(&root, &["--security-opt", "systempaths=unconfined"], "grep -c ' /proc/' /proc/self/mounts; :"),
        "0"
    );
    let some = inside(&root, &["--security-opt", "unmask=/proc/k*:/sys/firmware"], "cat /proc/self/mounts");
    assert!(
        !some.contains(" /proc/kcore ") && !some.contains(" /proc/keys ") && some.contains(" /proc/sys "),
        "{some}"
    );
    // Files and directories of the image, through links too.
    let hidden = ["--security-opt", "mask=/etc/passwd:/bin/../bin:/no/such"];
    let done = run(&root, &hidden, &["true"]);
    assert!(done.code == 125 && done.stderr.contains(".."), "{done}");
    let script =
        "cat /etc/passwd | wc -c; ls /home | wc -l; touch /home/x 2>&1 | grep -c 'Read-only'; cat /proc/uptime | wc -c";
    let shown = inside(
        &root,
        &["--tmpfs", "/home", "--security-opt", "mask=/etc/passwd:/home", "--security-opt", "mask=/proc/uptime"],
        script,
    );
    assert_eq!(shown, "0\n0\n1\n0");
    for bad in
        ["mask=relative", "mask=/", "mask=/proc", "unmask=/etc/passwd", "nonsense=1", "seccomp=", "label=filetype:x_t"]
    {
        let done = run(&root, &["--security-opt", bad], &["true"]);
        assert!(done.code == 125 && done.stderr.contains(bad.split('=').next().unwrap()), "{bad}: {done}");
    }
    assert_nothing_left(&root, "after refusals");
}

#[test]
fn labels_are_for_hosts_that_enforce_them() {
    // spec: EXEC-66
    need!(root);
    let root = Root::with_busybox();
    let apparmor =
        fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with('Y'));
    if apparmor {
        let done = run(&root, &["--security-opt", "apparmor=no-such-profile"], &["true"]).says("profile");
        assert_eq!(done.code, 125, "{done}");
    } else {
        let done =
            run(&root, &["--security-opt", "apparmor=docker-default"], &["true"]).says("AppArmor is not enabled");
        assert_eq!(done.code, 125, "{done}");
    }
    inside(&root, &["--security-opt", "apparmor=unconfined", "--security-opt", "label=disable"], "true");
    if !Path::new("/sys/fs/selinux/enforce").exists() {
        let done = run(&root, &["--security-opt", "label=type:container_t"], &["true"]).says("SELinux is not enabled");
        assert_eq!(done.code, 125, "{done}");
    }
    assert_nothing_left(&root, "after refusals");
}

#[test]
fn privileged_is_everything_within_the_user_namespace() {
    // spec: EXEC-67
    need!(root);
    let root = Root::with_busybox();
    let script = "grep -E '^(CapEff|CapBnd|Seccomp):' /proc/self/status; grep -c ' /proc/' /proc/self/mounts; grep ' /sys ' /proc/self/mounts";
    let status = inside(&root, &["--privileged"], script);
    let all = "000001ffffffffff";
    let lines: Vec<&str> = status.lines().collect();
    assert_eq!(
        lines[..4],
        [format!("CapEff:\t{all}"), format!("CapBnd:\t{all}"), "Seccomp:\t0".to_owned(), "0".to_owned()],
        "{status}"
    );
    assert!(lines[4].contains("rw,"), "{status}");
    let dropped = inside(&root, &["--privileged", "--cap-drop", "SYS_ADMIN"], "grep CapEff /proc/self/status");
    assert_eq!(dropped, "CapEff:\t000001ffffdfffff");
    // Devices that every user of the host may open are there, those of its root are not: a disk would be the container's own.
    let nodes = inside(&root, &["--privileged"], "find /dev -type b -o -type c");
    for line in fs::read_dir("/dev").unwrap().flatten() {
        let (facts, name) = (line.metadata().unwrap(), line.path().display().to_string());
        if facts.file_type().is_block_device() && facts.mode() & 0o6 != 0o6 {
            assert!(!nodes.lines().any(|node| node == name), "{name}");
        }
    }
    assert!(!nodes.contains("/dev/kmsg") && nodes.contains("/dev/null"), "{nodes}");
    // What is the host's is not the container's to change.
    let done = run(&root, &["--privileged"], &["sh", "-c", "echo 1 > /proc/sys/kernel/sysrq"]);
    assert!(done.code != 0, "{done}");
    assert_eq!(inside(&root, &["--privileged"], "mount -t tmpfs x /home && touch /home/y && echo mounted"), "mounted");
    let explained = run(&root, &["--privileged", "--explain"], &["true"]);
    assert!(explained.stderr.contains("within the container's own user namespace"), "{explained}");
    let host = run(&root, &["--privileged", "--userns=host", "--explain", "--dry-run"], &["true"]);
    assert!(host.stdout.contains("root of this host"), "{host}");
}

#[test]
fn privileged_over_the_hosts_ids_has_what_the_launcher_has() {
    // spec: EXEC-67
    need!(root);
    let root = Root::with_busybox();
    let held = fs::read_to_string("/proc/self/status").unwrap();
    let held = held.lines().find_map(|line| line.strip_prefix("CapPrm:\t")).unwrap().to_owned();
    let options = ["--privileged", "--userns=host"];
    assert_eq!(inside(&root, &options, "grep CapEff /proc/self/status"), format!("CapEff:\t{held}"));
    if Path::new("/dev/kmsg").exists() {
        assert_eq!(inside(&root, &options, "stat -c %u:%t:%T /dev/kmsg && head -c 1 /dev/kmsg | wc -c"), "0:1:b\n1");
    }
    assert_nothing_left(&root, "after --privileged");
}

#[test]
fn capabilities_are_named_and_the_nearest_is_told() {
    // spec: EXEC-60
    need!(root);
    let root = Root::with_busybox();
    for (name, near) in [("NET_ADMNI", "CAP_NET_ADMIN"), ("cap_sys_timee", "CAP_SYS_TIME")] {
        let done = run(&root, &["--cap-add", name], &["true"]).says(near);
        assert_eq!(done.code, 125, "{done}");
    }
    // One that ctr-run itself may lack, in a user namespace of its own.
    let set = inside(&root, &["--cap-drop", "all", "--cap-add", "sys_resource"], "grep CapEff /proc/self/status");
    assert_eq!(set, "CapEff:\t0000000001000000");
}
