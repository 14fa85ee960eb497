//! Hostile programs: PID 1 and what the kernel shows in /proc and /sys.

use std::fs;

use ctr_tests::need;
use ctr_tests::scratch::Root;

// ATTACK: /proc/1: exe, root, cwd, fd, environ, maps, mem of PID 1 => permission denied
#[test]
fn pid_1_is_out_of_reach() {
    // spec: LIFE-11, LIFE-41, STORE-72
    need!(root);
    let root = Root::with_busybox();
    let script = "for f in exe root cwd; do readlink /proc/1/$f >/dev/null 2>&1 && echo reached $f; done
        for f in /proc/1/fd/*; do readlink $f >/dev/null 2>&1 && echo reached $f; [ -e $f ] && echo reached $f; done; head -c 1 /proc/1/environ >/dev/null 2>&1 && echo reached environ
        cat /proc/1/maps 2>/dev/null | grep -q . && echo reached maps; dd if=/proc/1/mem of=/dev/null bs=1 count=1 2>/dev/null && echo reached mem
        cp /proc/1/exe /tmp/x 2>/dev/null && echo copied; true";
    // With SYS_ADMIN the kernel shows environment and maps (Linux 6.16, as CAP_PERFMON does): nothing of the host is in them.
    for options in [&[][..], &["--cap-add", "NET_ADMIN"]] {
        let seen = root
            .ctr("run")
            .args(["--wait", "--rm", "--log=inherit"])
            .args(options.iter().copied())
            .args(["busybox", "sh", "-c", script])
            .run();
        assert_eq!(seen.code, 0, "{seen}");
        let reached: Vec<&str> = seen.stdout.lines().collect();
        assert_eq!(reached, Vec::<&str>::new(), "{options:?}");
    }
}

// ATTACK: CVE-2019-5736: /proc/1/exe is opened to be written, by a container that may trace => a read-only mount of the one file; the binary is unchanged
/// Where the container may trace init, what it gets is worth nothing: a mount of the one file that cannot be written, no environment.
#[test]
fn a_traced_pid_1_leads_nowhere() {
    need!(root);
    let root = Root::with_busybox();
    let before = fs::read(ctr_tests::bins::binary("ctr-run")).unwrap();
    let script = "readlink /proc/1/exe; (: >> /proc/1/exe) 2>/dev/null && echo writable; chmod 755 /proc/1/exe 2>/dev/null && echo changed; tr -d '\\0' < /proc/1/environ
        for f in /proc/1/fd/*; do readlink $f | grep -E '^/$|/store|^/[^:]*/root$'; ls $f/.. 2>/dev/null; done; ls /proc/1/root/ | head -1";
    let host = ["/", "bin"];
    // In a user namespace of its own it may not trace init at all: init's memory belongs to the one outside.
    for (options, expected) in [
        (&["--cap-add", "SYS_PTRACE"][..], &[][..]),
        (&["--cap-add", "SYS_PTRACE", "--cap-add", "SYS_ADMIN"], &[]),
        (&["--userns=host", "--cap-add", "SYS_PTRACE"], &host),
        (&["--userns=host", "--cap-add", "SYS_PTRACE", "--cap-add", "SYS_ADMIN"], &host),
    ] {
        let seen = root
            .ctr("run")
            .args(["--wait", "--rm", "--log=inherit"])
            .args(options.iter().copied())
            .args(["busybox", "sh", "-c", script])
            .run();
        let lines: Vec<&str> = seen.stdout.lines().collect();
        assert_eq!(lines, expected, "{options:?}: {seen}");
    }
    assert!(fs::read(ctr_tests::bins::binary("ctr-run")).unwrap() == before);
}

// ATTACK: kernel interfaces: control groups, core_pattern, mount, mknod, dmesg, hostname, kill -1 => refused
#[test]
fn host_things_cannot_be_changed() {
    // spec: EXEC-22
    need!(root);
    let root = Root::with_busybox();
    let script = "mkdir /sys/fs/cgroup/evil 2>/dev/null && echo cgroup; for d in /sys/fs/cgroup/*; do mkdir $d/evil 2>/dev/null && echo cgroup $d; done
        for f in $(find /sys/fs/cgroup -name release_agent -o -name cgroup.procs 2>/dev/null | head); do echo 1 > $f 2>/dev/null && echo wrote $f; done
        echo x > /proc/sys/kernel/core_pattern 2>/dev/null && echo core_pattern; mount -t proc p /proc 2>/dev/null && echo mount
        mount -t tmpfs t /tmp 2>/dev/null && echo mount; mknod /tmp/d b 8 0 2>/dev/null && echo mknod; chroot /proc/1/root true 2>/dev/null && echo chroot
        dmesg >/dev/null 2>&1 && echo dmesg; hostname evil 2>/dev/null && echo hostname; kill -9 -1 2>/dev/null; true";
    let seen = root.ctr("run").args(["--wait", "--rm", "--log=inherit", "busybox", "sh", "-c", script]).run();
    assert_eq!((seen.code, seen.stdout.as_str()), (0, ""), "{seen}");
}
