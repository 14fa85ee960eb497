//! Namespaces of the host, of other containers and of files: `--network`, `--ipc`, `--pid`, `--uts`, `--cgroupns`.

use std::fs;
use std::path::Path;

use ctr_tests::need;
use ctr_tests::scratch::{Cmd, Root, until};
use ctr_tests::users;

/// What `/proc/self/ns/KIND` is called in a container with `options`.
fn inside(root: &Root, options: &[&str], kind: &str) -> String {
    let link = format!("/proc/self/ns/{kind}");
    root.ctr("run")
        .args(["--wait", "--rm", "--log=inherit"])
        .args(options.iter().copied())
        .args(["busybox", "readlink", &link])
        .ok()
}

fn host(kind: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string()
}

const KINDS: [(&str, &str); 5] =
    [("--network", "net"), ("--ipc", "ipc"), ("--pid", "pid"), ("--uts", "uts"), ("--cgroupns", "cgroup")];

#[test]
fn each_can_be_the_hosts_or_its_own() {
    // spec: EXEC-6
    need!(root);
    let root = Root::with_busybox();
    for userns in ["--userns=auto", "--userns=host"] {
        for (option, kind) in KINDS {
            assert_eq!(inside(&root, &[userns, option, "host"], kind), host(kind), "{userns} {option} host");
            assert_ne!(inside(&root, &[userns], kind), host(kind), "{userns} {kind}");
        }
        let all: Vec<&str> = KINDS.iter().flat_map(|(option, _)| [*option, "host"]).collect();
        let options = [&[userns], all.as_slice()].concat();
        assert_eq!(inside(&root, &options, "pid"), host("pid"), "all of them together");
        // Nothing of the host's kernel can be changed from there.
        let script = "for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/sys/kernel/hostname; do echo x > $f && echo wrote $f; done 2>/dev/null
            mkdir /sys/x 2>/dev/null && echo made; hostname evil 2>/dev/null && echo named; true";
        let seen = root.ctr("run").args(["--wait", "--rm"]).args(options).args(["busybox", "sh", "-c", script]).run();
        assert_eq!((seen.code, seen.stdout.as_str()), (0, ""), "{seen}");
    }
}

#[test]
fn a_container_joins_another() {
    // spec: EXEC-7
    need!(root);
    let root = Root::with_busybox();
    for userns in [&[][..], &["--userns=host"]] {
        let name = if userns.is_empty() { "first" } else { "second" };
        root.ctr("run").args(userns.iter().copied()).args(["--name", name, "busybox", "sleep", "600"]).ok();
        let joined = format!("container:{name}");
        let pid = ps_pid(&root, name);
        for (option, kind) in KINDS {
            let theirs = fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap().display().to_string();
            let options = [userns, &[option, joined.as_str()]].concat();
            assert_eq!(inside(&root, &options, kind), theirs, "{options:?}");
            let user = fs::read_link(format!("/proc/{pid}/ns/user")).unwrap().display().to_string();
            assert_eq!(inside(&root, &options, "user"), user, "the user namespace is the one they belong to");
        }
        if !userns.is_empty() {
            // Ids of the host are asked for or not given.
            assert_ne!(inside(&root, &["--network", &joined], "user"), host("user"));
            let seen = root.ctr("run").args(["--wait", "--pid", &joined, "busybox", "true"]).run();
            assert!(seen.code == 125 && seen.stderr.contains("--userns=host"), "{seen}");
        }
        // As one pod: it sees the other's processes, and cannot reach its init.
        let options: Vec<&str> = KINDS.iter().flat_map(|(option, _)| [*option, joined.as_str()]).collect();
        let script = "cat /proc/2/comm; cat /proc/1/environ 2>/dev/null; kill -9 1 2>/dev/null; readlink /proc/1/fd/* /proc/1/exe 2>/dev/null; true";
        let seen = root
            .ctr("run")
            .args(["--wait", "--rm"])
            .args(userns.iter().copied())
            .args(options)
            .args(["busybox", "sh", "-c", script])
            .run();
        assert_eq!((seen.code, seen.stdout.trim()), (0, "sleep"), "{seen}");
        assert_eq!(ps_pid(&root, name), pid, "the other lives on");
        root.ctr("stop").args(["--timeout", "0", name]).ok();
    }
}

/// Where init is not PID 1 it ends what the program leaves behind all the same, and nobody else.
#[test]
fn orphans_end_with_the_program_in_a_shared_pid_namespace() {
    // spec: EXEC-8
    need!(root);
    let root = Root::with_busybox();
    root.ctr("run").args(["--name", "other", "busybox", "sleep", "600"]).ok();
    let mut bystander = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    for pid in ["host", "container:other"] {
        let script = "for i in 1 2 3 4 5 6 7 8 9 10; do (setsid sleep 4321 &); done; (sh -c 'trap : TERM; while :; do sleep 4321; done' &); exit 3";
        let seen = root.ctr("run").args(["--wait", "--rm", "--pid", pid, "busybox", "sh", "-c", script]).run();
        assert_eq!(seen.code, 3, "{seen}");
        until("no orphan is left", || !running("sleep 4321"));
    }
    assert!(bystander.try_wait().unwrap().is_none(), "a process of the host is left alone");
    let listed = root.ctr("ps").args(["--format", "json"]).ok();
    assert!(listed.contains("\"running\""), "{listed}");
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

#[test]
fn a_network_namespace_by_its_file() {
    // spec: EXEC-6
    need!(root, "ip");
    let root = Root::with_busybox();
    let name = format!("ctr-test-{}", std::process::id());
    Cmd::new("ip").args(["netns", "add", &name]).ok();
    let path = format!("/run/netns/{name}");
    let theirs = Cmd::new("ip").args(["netns", "exec", &name, "readlink", "/proc/self/ns/net"]).ok();
    let seen = inside(&root, &["--network", &format!("ns:{path}")], "net");
    Cmd::new("ip").args(["netns", "delete", &name]).ok();
    assert_eq!(seen, theirs);
}

#[test]
fn what_cannot_be_joined_is_told() {
    // spec: EXEC-6
    need!(root);
    let root = Root::with_busybox();
    root.ctr("run").args(["--wait", "--name", "dead", "busybox", "true"]).ok();
    for (options, text) in [
        (&["--network", "container:nobody"][..], "no container \"nobody\""),
        (&["--ipc", "container:dead"], "it does not run"),
        (&["--uts", "ns:/etc/passwd"], "is not a uts namespace"),
        (&["--network", "ns:/proc/self/ns/uts"], "is not a net namespace"),
        (&["--network", "ns:/nowhere"], "No such file"),
        (&["--pid", "ns:/proc/self/ns/pid"], "--pid=ns:"),
        (&["--uts", "host", "--hostname", "x"], "--hostname"),
        (&["--network", "bridge"], "none, host, container:CONTAINER or ns:/PATH"),
        (&["--ipc", "ns:relative"], "own, host, container:CONTAINER or ns:/PATH"),
    ] {
        let seen =
            root.ctr("run").args(["--wait", "--rm"]).args(options.iter().copied()).args(["busybox", "true"]).run();
        assert!([125, 2].contains(&seen.code) && seen.stderr.contains(text), "{options:?}: {seen}");
    }
    assert_eq!(root.containers("embryo"), Vec::<String>::new());
}

#[test]
fn an_ordinary_user_shares_with_the_host_and_not_with_containers() {
    // spec: EXEC-6
    need!(root, "setpriv", "useradd", "newuidmap");
    let user = users::with_range();
    let root = user.root();
    let source = users::readable(&root, &ctr_tests::images::busybox_dir(), "layout");
    user.ctr(&root, "fetch").args(["-q", &format!("oci:{}:latest", source.display()), "--name", "busybox"]).ok();
    for (option, kind) in KINDS {
        let link = format!("/proc/self/ns/{kind}");
        let seen = user.ctr(&root, "run").args(["--wait", "--rm", option, "host", "busybox", "readlink", &link]).ok();
        assert_eq!(seen, host(kind), "{option}");
    }
    user.ctr(&root, "run").args(["--name", "first", "busybox", "sleep", "600"]).ok();
    let seen = user.ctr(&root, "run").args(["--wait", "--network", "container:first", "busybox", "true"]).run();
    assert!(seen.code == 125 && seen.stderr.contains("by root on the host only"), "{seen}");
    user.ctr(&root, "stop").args(["--timeout", "0", "first"]).ok();
}

fn ps_pid(root: &Root, name: &str) -> i64 {
    let listed: serde_json::Value = serde_json::from_str(&root.ctr("ps").args(["--format", "json"]).ok()).unwrap();
    let list = listed.as_array().unwrap();
    list.iter().find(|entry| entry["name"] == name).and_then(|entry| entry["pid"].as_i64()).unwrap()
}

/// Whether a process with this command line runs.
fn running(command: &str) -> bool {
    fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = fs::read(Path::new(&entry.path()).join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ").trim() == command
    })
}
