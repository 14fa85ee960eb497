//! `ctr-run`: what holds a program in: namespaces, capabilities, system calls, limits, masks, devices, descriptors.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use ctr_tests::busybox::{assert_nothing_left, inside, run};
use ctr_tests::scratch::{Cmd, Root, until};
use ctr_tests::{leaks, need};
use serde_json::Value;

#[test]
fn the_network_is_its_own_with_loopback_up() {
    // spec: EXEC-1
    need!(root);
    let root = Root::with_busybox();
    let links = inside(&root, &[], "ls /sys/class/net; cat /sys/class/net/lo/operstate; ip -o addr show lo");
    assert!(links.starts_with("lo\n") && links.contains("127.0.0.1") && links.contains("::1"), "{links}");
    assert_eq!(inside(&root, &[], "ls /sys/class/net | wc -l"), "1");
    let host = fs::read_link("/proc/self/ns/net").unwrap().display().to_string();
    assert_ne!(inside(&root, &[], "readlink /proc/self/ns/net"), host);
    assert_eq!(inside(&root, &["--network", "host"], "readlink /proc/self/ns/net"), host);
}

#[test]
fn namespaces_are_not_the_hosts() {
    // spec: EXEC-1
    need!(root);
    let root = Root::with_busybox();
    for name in ["mnt", "pid", "ipc", "uts", "net", "cgroup"] {
        let host = fs::read_link(format!("/proc/self/ns/{name}")).unwrap().display().to_string();
        assert_ne!(inside(&root, &[], &format!("readlink /proc/self/ns/{name}")), host, "{name}");
    }
    // Nothing of the host's processes is seen.
    assert!(inside(&root, &[], "ls /proc | grep -c '^[0-9]'").parse::<u32>().unwrap() < 8);
}

/// `Cap...` lines of `/proc/self/status` inside, as bit sets.
fn capabilities(root: &Root, options: &[&str]) -> [u64; 5] {
    let text = inside(root, options, "grep ^Cap /proc/self/status");
    let set = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
    };
    [set("CapInh"), set("CapPrm"), set("CapEff"), set("CapBnd"), set("CapAmb")]
}

#[test]
fn capabilities_are_reduced_added_and_dropped() {
    // spec: EXEC-60
    need!(root);
    let root = Root::with_busybox();
    // capabilities(7): CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, FSETID 4, KILL 5, SETGID 6, SETUID 7, SETPCAP 8,
    // NET_BIND_SERVICE 10, SYS_CHROOT 18, SETFCAP 31 (spec/07-executor.md EXEC-60).
    let default = [0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 31].iter().fold(0u64, |set, bit| set | 1 << bit);
    assert_eq!(capabilities(&root, &[]), [0, default, default, default, 0]);
    let net_admin = 1 << 12;
    assert_eq!(capabilities(&root, &["--cap-add", "NET_ADMIN"])[2], default | net_admin);
    assert_eq!(
        capabilities(&root, &["--cap-add", "CAP_NET_ADMIN", "--cap-drop", "chown"])[2],
        (default | net_admin) & !1
    );
    assert_eq!(capabilities(&root, &["--cap-drop", "ALL"])[1..4], [0, 0, 0]);
    assert_eq!(capabilities(&root, &["--cap-drop", "ALL", "--cap-add", "CHOWN"])[2], 1);
    let bob = capabilities(&root, &["--user", "bob"]);
    assert_eq!((bob[1], bob[2], bob[3]), (0, 0, default));
    let all = capabilities(&root, &["--cap-add", "ALL"]);
    assert!(all[2] & net_admin != 0 && all[2].count_ones() > 30, "{all:x?}");
}

#[test]
fn seccomp_and_no_new_privileges() {
    // spec: EXEC-61, EXEC-62
    need!(root);
    let root = Root::with_busybox();
    let status = |options: &[&str]| inside(&root, options, "grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status");
    assert_eq!(status(&[]).split_whitespace().collect::<Vec<_>>(), ["NoNewPrivs:", "0", "Seccomp:", "2"]);
    assert!(status(&["--no-new-privileges"]).contains("NoNewPrivs:\t1"));
    // A user namespace would give all capabilities back: the filter refuses it.
    let done = run(&root, &[], &["unshare", "-U", "true"]);
    assert!(done.code != 0 && done.stderr.contains("not permitted"), "{done}");
    let done = run(&root, &[], &["unshare", "-m", "true"]);
    assert!(done.code != 0, "{done}");
}

#[test]
fn resource_limits() {
    // spec: EXEC-48
    need!(root);
    let root = Root::with_busybox();
    let limits = inside(&root, &["--ulimit", "nofile=100:200", "--ulimit", "core=0"], "cat /proc/self/limits");
    let line = |name: &str| {
        limits
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap()
            .split_whitespace()
            .rev()
            .take(3)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(line("Max open files"), ["files", "200", "100"]);
    assert_eq!(line("Max core file size"), ["bytes", "0", "0"]);
}

#[test]
fn a_fork_bomb_is_contained() {
    // spec: EXEC-71
    need!(root);
    let root = Root::with_busybox();
    let script = "n=0; while [ $n -lt 60 ]; do sleep 5 & n=$((n+1)); done; echo started";
    let done = run(&root, &["--pids-limit", "20"], &["sh", "-c", script]);
    assert!(done.stderr.contains("fork"), "{done}");
    assert_ne!(done.stdout, "started\n");
    assert_nothing_left(&root, "bomb");
}

#[test]
fn memory_is_limited_and_the_kill_reported() {
    // spec: EXEC-71, LIFE-32
    need!(root);
    let root = Root::with_busybox();
    // The shell doubles a string until the limit ends it.
    let script = "x=0123456789; while :; do x=$x$x; done";
    let done =
        root.ctr("run").args(["--wait", "--memory", "32m", "--name", "hog", "busybox", "sh", "-c", script]).run();
    assert_eq!(done.code, 137, "{done}");
    let status: Value = serde_json::from_str(&root.ctr("ps").args(["--all", "--format", "json"]).ok()).unwrap();
    assert!(status.to_string().to_lowercase().contains("out of memory"), "{status}");
    assert_eq!(run(&root, &["--memory", "64m"], &["true"]).code, 0);
}

#[test]
fn cpu_is_limited() {
    // spec: EXEC-71
    need!(root);
    let root = Root::with_busybox();
    // User and system time of a loop of one second: a tenth of a CPU gives 0.1 s, with room for the clock's grain.
    let script = "timeout 1 sh -c 'while :; do :; done'; cat /proc/self/stat | awk '{print $16+$17}'";
    let ticks: u64 = inside(&root, &["--cpus", "0.1"], script).lines().last().unwrap().trim().parse().unwrap();
    assert!(ticks <= 40, "{ticks} ticks of 10 ms in one second");
}

#[test]
fn descriptors_of_the_caller_do_not_leak() {
    // spec: EXEC-46
    need!(root);
    let root = Root::with_busybox();
    // Descriptors 5 and 9 are open in the caller, not close-on-exec.
    let ctr = ctr_tests::bins::binary("ctr-run").display().to_string();
    let script = format!("exec 5</etc/passwd 9</; {ctr} --wait --rm --log=inherit busybox ls -l /proc/self/fd");
    let seen = Cmd::new("sh").args(["-c", &script]).env("CTR_ROOT", root.path()).ok();
    let numbers: Vec<&str> = seen
        .lines()
        .filter(|line| !line.starts_with("total"))
        .filter_map(|line| line.split(" -> ").next()?.split_whitespace().last()?.parse::<u32>().ok().map(|_| line))
        .collect();
    // ls has the directory itself open as 3.
    assert_eq!(numbers.len(), 4, "{seen}");
    assert!(
        !seen.contains("passwd") && numbers.iter().all(|line| !line.contains(" -> /etc") && !line.ends_with(" -> /")),
        "{seen}"
    );
}

#[test]
fn signals_and_umask_are_the_default_ones() {
    // spec: EXEC-47
    need!(root);
    let root = Root::with_busybox();
    let ctr = ctr_tests::bins::binary("ctr-run").display().to_string();
    // The caller ignores some, and has a umask of its own.
    let script = format!(
        "trap '' QUIT USR1 PIPE HUP; umask 077; exec {ctr} --wait --rm --log=inherit busybox sh -c 'umask; exec cat /proc/self/status'"
    );
    for init in ["", "--no-init"] {
        let script = script.replace("--wait", &format!("--wait {init}"));
        let seen = Cmd::new("sh").args(["-c", &script]).env("CTR_ROOT", root.path()).ok();
        for line in ["SigIgn:\t0000000000000000", "SigBlk:\t0000000000000000"] {
            assert!(seen.lines().any(|found| found == line), "{line} in {seen}");
        }
        assert!(seen.starts_with("0022\n"), "{seen}");
    }
}

#[test]
fn standard_input_and_detached_descriptors() {
    // spec: EXEC-46
    need!(root);
    let root = Root::with_busybox();
    let cmd = root.ctr("run").args(["--wait", "--rm", "--log=inherit", "busybox", "cat"]).input("from the caller\n");
    assert_eq!(cmd.ok(), "from the caller");
    root.ctr("run")
        .args(["--name", "d", "--log=file", "busybox", "sh", "-c", "ls -l /proc/self/fd; cat; echo end"])
        .ok();
    let mut log = String::new();
    until("the log's end", || {
        log = root.ctr("logs").arg("d").ok();
        log.contains("end")
    });
    assert!(log.contains("0 -> /dev/null"), "{log}");
}

#[test]
fn proc_and_sys_are_masked() {
    // spec: EXEC-21, EXEC-22
    need!(root);
    let root = Root::with_busybox();
    let script = "for f in /proc/kcore /proc/keys /proc/interrupts /proc/timer_list /proc/sched_debug /proc/latency_stats; do
        [ -e $f ] && head -c 1 $f 2>/dev/null | wc -c; done
        for d in /proc/acpi /proc/scsi /proc/asound /sys/firmware /sys/devices/virtual/powercap; do [ -e $d ] && ls $d 2>/dev/null | wc -l; done; true";
    for line in inside(&root, &[], script).lines() {
        assert_eq!(line.trim(), "0");
    }
    for path in [
        "/proc/sys/kernel/domainname",
        "/proc/sysrq-trigger",
        "/sys/kernel/mm/transparent_hugepage/enabled",
        "/proc/irq/default_smp_affinity",
    ] {
        if !std::path::Path::new(path).exists() {
            continue;
        }
        let done = run(&root, &["--cap-add", "ALL"], &["sh", "-c", &format!("echo x > {path}")]);
        assert!(done.code != 0 && done.stderr.contains("Read-only"), "{path}: {done}");
    }
    let mounts = inside(&root, &[], "cat /proc/self/mountinfo");
    for (at, options) in [
        (" /proc ", "nosuid,nodev,noexec"),
        (" /sys ", "ro,nosuid,nodev,noexec"),
        (" /dev/shm ", "nosuid,nodev,noexec"),
        (" /dev/mqueue ", "nosuid,nodev,noexec"),
    ] {
        let line = mounts.lines().find(|line| line.contains(at)).unwrap_or_else(|| panic!("{at} in {mounts}"));
        assert!(line.contains(options), "{line}");
    }
}

#[test]
fn devices() {
    // spec: EXEC-20
    need!(root);
    let root = Root::with_busybox();
    let listed = inside(&root, &[], "cd /dev; ls -1 | sort | tr '\\n' ' '");
    assert_eq!(listed.trim(), "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero");
    assert_eq!(
        inside(&root, &[], "cd /dev; for d in null zero full random urandom tty; do stat -c '%n %t:%T %a' $d; done"),
        "null 1:3 666\nzero 1:5 666\nfull 1:7 666\nrandom 1:8 666\nurandom 1:9 666\ntty 5:0 666"
    );
    assert_eq!(
        inside(&root, &[], "echo x > /dev/null; head -c 3 /dev/zero | wc -c; echo out | cat; stat -c %a:%F /dev/shm"),
        "3\nout\n1777:directory"
    );
    let done = run(&root, &[], &["mknod", "/tmp/sda", "b", "8", "0"]);
    assert_ne!(done.code, 0, "{done}");
}

#[test]
fn control_groups_hold_the_program() {
    // spec: EXEC-70, LIFE-80, LIFE-81
    need!(root);
    let root = Root::with_busybox();
    let id = root.ctr("run").args(["--memory", "48m", "--pids-limit", "33", "busybox", "sleep", "600"]).ok();
    let groups = leaks::cgroups(std::slice::from_ref(&id));
    assert!(!groups.is_empty());
    let read = |name: &str| {
        groups.iter().find_map(|group| fs::read_to_string(group.join(name)).ok()).map(|text| text.trim().to_owned())
    };
    assert_eq!(read("pids.max"), Some("33".to_owned()));
    let memory = read("memory.limit_in_bytes").or_else(|| read("memory.max"));
    assert_eq!(memory, Some((48 << 20).to_string()));
    for group in &groups {
        let count = fs::read_to_string(group.join("cgroup.procs")).unwrap().lines().count();
        assert_eq!(count, 2, "init and the program are in {}", group.display());
    }
    assert_eq!(
        inside(&root, &[], "cat /proc/self/cgroup | cut -d: -f3 | sort -u"),
        "/",
        "seen from inside it is the root"
    );
    assert!(!leaks::parent_groups(&root.path()).is_empty());
    root.ctr("stop").args(["--timeout", "0", &id]).ok();
    root.ctr("gc").args(["--grace", "0"]).ok();
    assert_eq!(leaks::cgroups(&[id]), Vec::<std::path::PathBuf>::new());
    assert_eq!(leaks::parent_groups(&root.path()), Vec::<std::path::PathBuf>::new());
}

#[test]
fn the_root_is_closed_to_others() {
    // spec: STORE-1
    need!(root);
    let root = Root::with_busybox();
    root.ctr("run").args(["--wait", "busybox", "true"]).ok();
    assert_eq!(fs::metadata(root.path()).unwrap().permissions().mode() & 0o777, 0o700);
}

/// LIFE-41: init has what it needs to do its work, and no descriptor of a directory.
#[test]
fn init_holds_no_directory_and_no_descriptor_of_the_starter() {
    need!(root);
    let root = Root::with_busybox();
    for options in [&["--log=file"][..], &["--log=none"], &["--cap-add", "SYS_PTRACE"]] {
        let pidfile = root.file("pid");
        fs::remove_file(&pidfile).unwrap_or_default();
        root.ctr("run")
            .arg("--pidfile")
            .arg(&pidfile)
            .args(options.iter().copied())
            .args(["busybox", "sleep", "600"])
            .ok();
        let pid = fs::read_to_string(&pidfile).unwrap().trim().to_owned();
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
            let path = entry.unwrap().path();
            let target = fs::read_link(&path).unwrap();
            // In its own container's directory, its range of ids, or of no file at all: pipes, signals.
            let own = target.starts_with(root.path().join("containers/run"))
                || target.starts_with("/run/ctr/ranges")
                || target == std::path::Path::new("/dev/null");
            assert!(own || !target.is_absolute(), "{options:?}: {} -> {}", path.display(), target.display());
            assert!(!fs::metadata(&path).unwrap().is_dir(), "{options:?}: {}", target.display());
        }
        assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), std::path::Path::new("/"));
    }
}
