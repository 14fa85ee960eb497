//! What is wrong with a bundle, a process document or the resources of an update is told in the log's format, with the name of
//! the property; exit code 1, nothing is left, nothing hangs.

use std::fs;
use std::path::Path;

use ctr_tests::bundle::Bundle;
use ctr_tests::scratch::{Cmd, Done};
use ctr_tests::{leaks, need, schema};
use serde_json::{Value, json};

/// Control groups are looked for by it, whoever's they are.
fn id() -> String {
    format!("bad-{}", std::process::id())
}

/// `create` and `run` both fail with a message that has `words`, and leave nothing.
#[track_caller]
fn refused(bundle: &Bundle, words: &str) {
    let log = bundle.root().file("log");
    let logged = bundle.oci().arg("--log").arg(&log).args(["--log-format", "json"]);
    for line in [&["create"][..], &["run"], &["run", "--detach"]] {
        let done = logged.clone().args(line.iter().copied()).arg(id()).run();
        assert_message(&done, &fs::read_to_string(&log).unwrap(), words);
        fs::remove_file(&log).unwrap();
        assert_eq!(bundle.kept(), Vec::<String>::new(), "{words}");
    }
    let left = leaks::outside(&bundle.root().path(), &[id()]);
    assert!(left.is_empty(), "{words}: {left:?}");
}

#[track_caller]
fn assert_message(done: &Done, log: &str, words: &str) {
    assert_eq!((done.code, done.stdout.as_str()), (1, ""), "{words}: {done}\n{log}");
    // Warnings may stand before it.
    let messages: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    messages.iter().for_each(|message| schema::check("oci-log.json", message));
    assert_eq!(messages.iter().filter(|message| message["level"] == "error").count(), 1, "{log}");
    let message = messages.last().expect("a message");
    assert_eq!(message["level"], "error");
    assert!(message["msg"].as_str().unwrap().contains(words), "no \"{words}\" in {log}");
    assert!(done.stderr.starts_with("ctr-oci: "), "{done}");
}

/// Sets the property at a JSON pointer, or takes it away if `value` is null.
fn set(config: &mut Value, pointer: &str, value: Value) {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let parent = config.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}"));
    match (parent, value) {
        (Value::Array(list), value) => list[name.parse::<usize>().unwrap()] = value,
        (Value::Object(members), Value::Null) => drop(members.remove(name)),
        (Value::Object(members), value) => drop(members.insert(name.to_owned(), value)),
        (other, _) => panic!("{pointer} is in {other}"),
    }
}

#[test]
fn a_bundle_that_is_none() {
    // spec: OCI-1, OCI-7, OCI-23
    let bundle = Bundle::new("true");
    let config = bundle.dir().join("config.json");
    let at = |dir: &Path, words: &str| {
        let done = bundle.oci().args(["create", &id(), "--bundle"]).arg(dir).run();
        assert_eq!((done.code, done.stdout.as_str()), (1, ""), "{done}");
        assert!(done.stderr.contains(words), "no {words} in {done}");
        assert!(bundle.kept().is_empty());
    };
    at(&bundle.root().file("nowhere"), "nowhere");
    at(&config, "config.json");
    at(bundle.root().file("").as_path(), "config.json");
    fs::remove_file(&config).unwrap();
    refused(&bundle, "config.json");
    fs::create_dir(&config).unwrap();
    refused(&bundle, "config.json");
    fs::remove_dir(&config).unwrap();
    Cmd::new("mkfifo").arg(&config).ok();
    refused(&bundle, "config.json");
}

#[test]
fn a_config_that_is_no_json() {
    // spec: OCI-17
    let bundle = Bundle::new("true");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let long = format!("{{\"ociVersion\": \"{}\"}}", "1".repeat(17 << 20));
    for text in ["", "{", "[]", "5", "null", "\u{0}", "{} {}", "{\"ociVersion\": \"1.0.0\"", &deep, &long] {
        fs::write(bundle.dir().join("config.json"), text).unwrap();
        refused(&bundle, "config.json");
    }
    fs::write(bundle.dir().join("config.json"), b"{\"ociVersion\": \"\xff\"}").unwrap();
    refused(&bundle, "config.json");
}

#[test]
fn a_property_of_a_wrong_type_is_named() {
    // spec: OCI-17
    let bundle = Bundle::new("true");
    let whole = bundle.config();
    for (pointer, value, name) in [
        ("/ociVersion", json!(5), "ociVersion"),
        ("/ociVersion", Value::Null, "ociVersion"),
        ("/process/args", json!("sh"), "process.args"),
        ("/process/args/0", json!(7), "process.args[0]"),
        ("/process/user", json!({"uid": -1, "gid": 0}), "process.user.uid"),
        ("/process/user", json!({"uid": 4_294_967_296_u64, "gid": 0}), "process.user.uid"),
        ("/process/cwd", Value::Null, "cwd"),
        ("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "hard": -1, "soft": 0}]), "process.rlimits[0].hard"),
        ("/root/path", json!(["rootfs"]), "root.path"),
        ("/mounts", json!({}), "mounts"),
        ("/mounts/0", json!({"type": "proc"}), "mounts[0]"),
        ("/mounts/0/options", json!("ro"), "mounts[0].options"),
        ("/hooks", json!({"prestart": [{"path": 1}]}), "hooks.prestart[0].path"),
        ("/annotations", json!({"a": 1}), "annotations"),
        ("/linux/namespaces", json!([{"type": 1}]), "linux.namespaces[0].type"),
        ("/linux/resources", json!({"memory": {"limit": "1G"}}), "linux.resources.memory.limit"),
        ("/linux/resources", json!({"pids": {"limit": 1.5}}), "linux.resources.pids.limit"),
        ("/linux/uidMappings", json!([{"containerID": 0, "hostID": 0, "size": -1}]), "linux.uidMappings[0].size"),
        ("/linux/seccomp", json!({"defaultAction": 1}), "linux.seccomp"),
    ] {
        let mut config = whole.clone();
        set(&mut config, pointer, value);
        bundle.write(&config);
        refused(&bundle, name);
    }
}

#[test]
fn a_property_with_a_value_that_cannot_be_is_named() {
    // spec: OCI-17
    need!(root);
    let bundle = Bundle::new("true");
    let whole = bundle.config();
    for (pointer, value, name) in [
        ("/ociVersion", json!("2.0.0"), "ociVersion"),
        ("/ociVersion", json!("latest"), "ociVersion"),
        ("/process", Value::Null, "process"),
        ("/process/args", json!([]), "process.args"),
        ("/process/args", json!(["a\u{0}b"]), "process.args"),
        ("/process/cwd", json!("relative"), "process.cwd"),
        ("/process/env", json!(["A=\u{0}"]), "process.env"),
        ("/process/rlimits", json!([{"type": "RLIMIT_NOPE", "hard": 1, "soft": 1}]), "process.rlimits"),
        ("/process/scheduler", json!({"policy": "SCHED_NOPE"}), "process.scheduler"),
        ("/process/ioPriority", json!({"class": "NOPE"}), "process.ioPriority"),
        ("/root", Value::Null, "root"),
        ("/root/path", json!("nowhere"), "nowhere"),
        ("/root/path", json!("config.json"), "config.json"),
        ("/mounts/0/options", json!(["bind", "rbnd=1"]), "mounts[0]"),
        ("/mounts/3/type", json!("nosuchfs"), "nosuchfs"),
        ("/hooks", json!({"prestart": [{"path": "relative"}]}), "hooks.prestart[0]"),
        ("/hooks", json!({"createRuntime": [{"path": "/no/such/hook"}]}), "/no/such/hook"),
        ("/hooks", json!({"createRuntime": [{"path": "/bin/false"}]}), "/bin/false"),
        ("/hooks", json!({"startContainer": [{"path": "/bin/true", "timeout": 0}]}), "timeout"),
        ("/linux/namespaces", json!([{"type": "nope"}]), "linux.namespaces[0]"),
        ("/linux/namespaces", json!([{"type": "pid"}, {"type": "pid"}]), "linux.namespaces"),
        ("/linux/namespaces/0", json!({"type": "network", "path": "/no/such"}), "linux.namespaces"),
        ("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_NOPE"}), "linux.seccomp"),
        ("/linux/sysctl", json!({"kernel.nope": "1"}), "linux.sysctl"),
        ("/linux/personality", json!({"domain": "NOPE"}), "linux.personality"),
        ("/linux/rootfsPropagation", json!("sideways"), "linux.rootfsPropagation"),
        ("/linux/devices", json!([{"type": "x", "path": "/dev/x"}]), "linux.devices[0]"),
        ("/linux/timeOffsets", json!({"monotonic": {"secs": 1}}), "linux.timeOffsets"),
        ("/linux/memoryPolicy", json!({"mode": "MPOL_NOPE", "nodes": "0"}), "linux.memoryPolicy"),
        ("/linux/cgroupsPath", json!("../../../etc"), "cgroupsPath"),
        ("/linux/resources", json!({"memory": {"limit": -2}}), "linux.resources.memory.limit"),
        ("/linux/resources", json!({"cpu": {"cpus": "nope"}}), "linux.resources.cpu.cpus"),
        ("/linux/resources", json!({"devices": [{"allow": true, "access": "xyz"}]}), "linux.resources.devices[0]"),
    ] {
        let mut config = whole.clone();
        set(&mut config, pointer, value);
        bundle.write(&config);
        refused(&bundle, name);
    }
}

#[test]
fn an_id_that_is_taken_stays_what_it_is() {
    // spec: OCI-16, OCI-23
    need!(root);
    let bundle = Bundle::sleeping();
    bundle.oci().args(["create", "a"]).ok();
    let before = bundle.state("a");
    for verb in ["create", "run"] {
        bundle.oci().args([verb, "a"]).fails(1).says("container with given ID already exists");
    }
    assert_eq!(bundle.state("a"), before);
    bundle.oci().args(["start", "a"]).ok();
    bundle.oci().args(["create", "a"]).fails(1).says("already exists");
    assert_eq!(bundle.status("a"), "running");
    bundle.oci().args(["kill", "a", "9"]).ok();
    ctr_tests::scratch::until("it has ended", || bundle.status("a") == "stopped");
    bundle.oci().args(["create", "a"]).fails(1).says("already exists");
    assert_eq!(bundle.status("a"), "stopped");
}

#[test]
fn paths_that_cannot_be_used_leave_nothing() {
    // spec: OCI-41, OCI-42, OCI-43
    need!(root);
    let bundle = Bundle::sleeping();
    for line in [
        &["create", "--pid-file", "/no/such/dir/pid"][..],
        &["create", "--console-socket", "/no/such/socket"],
        &["create", "--console-socket", "config.json"],
        &["create", "--preserve-fds", "9"],
        &["run", "--detach", "--pid-file", "/no/such/dir/pid"],
    ] {
        let done = bundle.oci().args(line.iter().copied()).arg(id()).run();
        assert_eq!((done.code, done.stdout.as_str()), (1, ""), "{done}");
        assert_eq!(bundle.kept(), Vec::<String>::new(), "{done}");
        let left = leaks::outside(&bundle.root().path(), &[id()]);
        assert!(left.is_empty(), "{done}: {left:?}");
    }
}

#[test]
fn a_terminal_that_nobody_would_hold() {
    // spec: OCI-43
    need!(root);
    let bundle = Bundle::sleeping();
    bundle.edit(|config| config["process"]["terminal"] = json!(true));
    for verb in [&["create"][..], &["run", "--detach"]] {
        bundle.oci().args(verb.iter().copied()).arg(id()).fails(1).says("terminal").says("--console-socket");
        assert_eq!(bundle.kept(), Vec::<String>::new());
    }
}

#[test]
fn a_process_document_that_is_none() {
    // spec: OCI-17
    need!(root);
    let bundle = Bundle::sleeping();
    bundle.oci().args(["run", "-d", "a"]).ok();
    let document = bundle.root().file("process.json");
    let log = bundle.root().file("log");
    let exec = |words: &str| {
        let logged = bundle.oci().arg("--log").arg(&log).args(["--log-format", "json", "exec", "--process"]);
        let done = logged.arg(&document).arg("a").run();
        assert_message(&done, &fs::read_to_string(&log).unwrap(), words);
        fs::remove_file(&log).unwrap();
    };
    exec("process.json");
    let write = |value: Value| fs::write(&document, value.to_string()).unwrap();
    let good = json!({"args": ["true"], "cwd": "/", "user": {"uid": 0, "gid": 0}});
    for (pointer, value, name) in [
        ("/args", json!("true"), "args"),
        ("/args", json!([]), "args"),
        ("/cwd", Value::Null, "cwd"),
        ("/cwd", json!("relative"), "cwd"),
        ("/user", json!({"uid": "root", "gid": 0}), "user.uid"),
        ("/rlimits", json!([{"type": "NOPE", "hard": 1, "soft": 1}]), "rlimits"),
        ("/args", json!(["no-such-program"]), "executable file not found in $PATH"),
        ("/args", json!(["/no/such/program"]), "no such file or directory"),
        ("/args", json!(["/etc/not-executable"]), "permission denied"),
    ] {
        let mut process = good.clone();
        set(&mut process, pointer, value);
        write(process);
        exec(name);
    }
    fs::remove_file(&document).unwrap();
    Cmd::new("mkfifo").arg(&document).ok();
    exec("process.json");
    assert_eq!(bundle.status("a"), "running");
}

#[test]
fn resources_that_are_none() {
    // spec: OCI-17
    need!(root);
    let bundle = Bundle::sleeping();
    bundle.oci().args(["run", "-d", "a"]).ok();
    let log = bundle.root().file("log");
    let update = || bundle.oci().arg("--log").arg(&log).args(["--log-format", "json", "update"]);
    let check = |command: Cmd, words: &str| {
        assert_message(&command.run(), &fs::read_to_string(&log).unwrap(), words);
        fs::remove_file(&log).unwrap();
    };
    for text in ["", "{", "[]", "garbage", "{} {}"] {
        check(update().args(["--resources", "-", "a"]).input(text), "resources");
    }
    check(update().args(["--resources", "-", "a"]).input(r#"{"memory": {"limit": "1G"}}"#), "memory.limit");
    check(update().args(["--resources", "-", "a"]).input(r#"{"cpu": {"cpus": "nope"}}"#), "cpu.cpus");
    check(update().args(["--resources", "/no/such/file", "a"]), "/no/such/file");
    check(update().args(["a", "--cpuset-cpus", "nope"]), "cpu.cpus");
    assert_eq!(bundle.status("a"), "running");
}
