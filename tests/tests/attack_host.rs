//! Hostile programs against the host: the caller's keys, namespaces, file handles, its network, its ids.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use ctr_tests::busybox::{inside, run};
use ctr_tests::need;
use ctr_tests::probe::{self, reached};
use ctr_tests::scratch::Root;

/// With our filter and without it: no hold may rest on the filter alone.
const FILTERS: [&[&str]; 2] = [&[], &["--seccomp", "unconfined"]];

// ATTACK: keyring: a secret in the caller's session and user keyrings is searched, read, linked, revoked and requested, with the same uid
//  => not found: the container has a session keyring of its own
#[test]
fn the_callers_keys_are_out_of_reach() {
    // spec: EXEC-61
    need!(root, "musl-gcc");
    let (root, busybox) = (probe::root(), Root::with_busybox());
    let name = format!("ctr-test-{}", std::process::id());
    for filter in FILTERS {
        let ctr = probe::text(&ctr_tests::bins::binary("ctr-run"));
        let run = |words: &[&str]| {
            let command = probe::on_host(&["addkey", &name, "swordfish", &ctr, "--wait", "--rm", "--log=inherit"]);
            command
                .env("CTR_ROOT", root.path())
                .args(filter.iter().copied())
                .args(["probe", "/probe"])
                .args(words.iter().copied())
                .run()
        };
        let done = run(&["keys", &name]);
        assert_eq!((done.code, done.stdout.as_str()), (0, ""), "{filter:?}: {done}");
        // By the number, as /proc/keys of the host shows it.
        let keys = fs::read_to_string("/proc/keys").unwrap_or_default();
        for line in keys.lines().filter(|line| line.contains(&name)) {
            let number = i64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap().to_string();
            let done = run(&["readkey", &number]);
            assert_eq!((done.code, done.stdout.as_str()), (0, ""), "{filter:?} {line}: {done}");
        }
        assert_eq!(inside(&busybox, filter, "cat /proc/keys 2>/dev/null | wc -l"), "0", "/proc/keys is masked");
    }
}

// ATTACK: user namespace escape: unshare, clone and clone3 of every namespace, to regain all capabilities
//  => refused by the filter (clone3: ENOSYS), and by missing capabilities
#[test]
fn new_namespaces_are_refused() {
    // spec: EXEC-61
    need!(root, "musl-gcc");
    let root = probe::root();
    for options in [&[][..], &["--user", "bob"], &["--userns", "host"]] {
        assert_eq!(reached(&root, options, &["spaces"]), Vec::<String>::new(), "{options:?}");
    }
    // Without the filter a user namespace can be had, as on any host, and nothing else by itself.
    let found = reached(&root, &["--seccomp", "unconfined"], &["spaces"]);
    assert!(found.iter().all(|what| what.ends_with(" user")), "{found:?}");
}

// ATTACK: masks taken off: in a user namespace of its own (no filter) a program unmounts masks, mounts a second /proc, /sys and cgroup2, binds what is below
//  => EPERM and EINVAL: the mounts are locked, and the kernel sees that /proc is not fully visible
#[test]
fn masks_stay_on_in_a_nested_user_namespace() {
    // spec: EXEC-21
    need!(root, "musl-gcc");
    let root = probe::root();
    assert_eq!(reached(&root, &[], &["unmask"]), Vec::<String>::new());
    let nested = |flags: &str| {
        let args = ["--wait", "--rm", "--log=inherit", "--seccomp", "unconfined", "probe", "unshare"];
        let done = root.ctr("run").args(args).args([flags, "/probe", "unmask"]).run();
        println!("{flags}: {done}");
        done
    };
    for flags in ["-Urm", "-Urmpf", "-Urmn", "-Urmipf"] {
        let done = nested(flags);
        assert!(!done.stdout.contains("/proc"), "{flags}: {done}");
        assert!(
            !done.stdout.contains("control group") && (flags.contains('n') || !done.stdout.contains("/sys")),
            "{flags}: {done}"
        );
    }
}

// ATTACK: Shocker: open_by_handle_at with a guessed handle of the host's root directory, also with CAP_DAC_READ_SEARCH
//  => EPERM: the capability is wanted in the file system's own user namespace
#[test]
fn files_cannot_be_opened_by_handle() {
    need!(root, "musl-gcc");
    let root = probe::root();
    let volume = root.file("volume");
    fs::create_dir(&volume).unwrap();
    let mount = format!("{}:/v", volume.display());
    for options in [&[][..], &["--seccomp", "unconfined"], &["--seccomp", "unconfined", "--cap-add", "DAC_READ_SEARCH"]]
    {
        for path in ["/etc/hosts", "/v"] {
            let options = [options, &["-v", &mount]].concat();
            assert_eq!(reached(&root, &options, &["handle", path]), Vec::<String>::new(), "{options:?} {path}");
        }
    }
    assert_eq!(reached(&root, &["--userns", "host", "-v", &mount], &["handle", "/v"]), Vec::<String>::new());
}

// ATTACK: the host's network: its loopback listeners and its abstract sockets are connected to
//  => the container has a network of its own
#[test]
fn listeners_of_the_host_are_not_there() {
    // spec: EXEC-1
    need!(root);
    let root = Root::with_busybox();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::io::Write::write_all(&mut stream.unwrap(), b"reached\n").unwrap();
        }
    });
    let script = format!("timeout 3 nc 127.0.0.1 {port} < /dev/null; cat /proc/net/unix | grep -c @; true");
    assert_eq!(inside(&root, &[], &script).lines().last(), Some("0"));
    assert!(!inside(&root, &[], &script).contains("reached"));
    // That the test would see it: with the host's network it is there.
    let seen = run(&root, &["--network", "host"], &["sh", "-c", &script]);
    assert!(seen.stdout.contains("reached"), "{seen}");
}

// ATTACK: host ids: container root, with every capability, writes files of the host's root through a volume that it does not own, chowns, makes devices
//  => container root is an unprivileged id of the host
#[test]
fn container_root_is_not_the_hosts() {
    // spec: EXEC-1
    need!(root);
    let root = Root::with_busybox();
    let pidfile = root.file("pid");
    root.ctr("run")
        .arg("--pidfile")
        .arg(&pidfile)
        .args(["--cap-add", "ALL", "--seccomp", "unconfined", "busybox", "sleep", "600"])
        .ok();
    let pid = fs::read_to_string(&pidfile).unwrap().trim().to_owned();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let uid: u32 = status
        .lines()
        .find(|line| line.starts_with("Uid:"))
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    assert!(uid >= 65536, "init runs as host uid {uid}");
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    for child in children.split_whitespace() {
        let owner = fs::metadata(format!("/proc/{child}")).unwrap().uid();
        assert!(owner >= 65536, "the program runs as host uid {owner}");
    }
    // Kernel settings of the whole host, by all capabilities of the namespace.
    let script = "for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sysrq-trigger /proc/sys/vm/drop_caches /proc/1/oom_score_adj; do
            (mount -o remount,bind,rw /proc/sys; echo x > $f) 2>/dev/null && echo wrote $f; done
        mknod /tmp/sda b 8 0 2>/dev/null && echo mknod; mknod /tmp/null c 1 3 2>/dev/null && echo mknod null
        date -s 2001-01-01 >/dev/null 2>&1; dmesg -c >/dev/null 2>&1 && echo dmesg; true";
    let seen = run(&root, &["--cap-add", "ALL", "--seccomp", "unconfined"], &["sh", "-c", script]);
    let lines: Vec<&str> = seen.stdout.lines().collect();
    assert_eq!(lines, Vec::<&str>::new(), "{seen}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(now > 1_700_000_000, "the host's clock was set");
}

// ATTACK: set-user-ID files on a volume: the host's own, owned by root, executed by another user of the container
//  => nosuid: no other id, no capability
#[test]
fn set_user_id_files_of_a_volume_do_nothing() {
    // spec: EXEC-51
    need!(root);
    let root = Root::with_busybox();
    let volume = root.file("volume");
    fs::create_dir(&volume).unwrap();
    fs::set_permissions(&volume, fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy("/bin/busybox", volume.join("id")).unwrap();
    fs::set_permissions(volume.join("id"), fs::Permissions::from_mode(0o6755)).unwrap();
    let mount = format!("{}:/v", volume.display());
    for options in [&[][..], &["--userns", "host"]] {
        let options = [options, &["-v", &mount, "--user", "bob"]].concat();
        let seen = inside(&root, &options, "/v/id");
        assert!(seen.contains("uid=1000") && !seen.contains("euid=0"), "{options:?}: {seen}");
    }
}
