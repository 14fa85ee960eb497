//! Control groups of a bundle's container: where they are, what they hold, what becomes of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ctr_tests::bundle::Bundle;
use ctr_tests::groups::in_v2_view;
use ctr_tests::need;
use ctr_tests::scratch::until;
use serde_json::{Value, json};

/// The groups of this path in every hierarchy.
fn groups(path: &str) -> Vec<PathBuf> {
    let top = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(top).unwrap().flatten().filter(|entry| entry.file_type().unwrap().is_dir());
    hierarchies.map(|entry| entry.path().join(path)).filter(|dir| dir.is_dir()).collect()
}

/// What a file of the group has, in whichever hierarchy it is; `None` where no hierarchy has it.
fn value(path: &str, file: &str) -> Option<String> {
    let found = groups(path).into_iter().chain([Path::new("/sys/fs/cgroup").join(path)]);
    found.into_iter().find_map(|dir| fs::read_to_string(dir.join(file)).ok()).map(|text| text.trim().to_owned())
}

/// A path that no other test has.
fn own_path(bundle: &Bundle, name: &str) -> String {
    let unique = bundle.root().path().parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    format!("oci-{unique}-{name}")
}

fn with_path(script: &str, name: &str, resources: Value) -> (Bundle, String) {
    let bundle = Bundle::new(script);
    let path = own_path(&bundle, name);
    bundle.edit(|config| {
        config["linux"]["cgroupsPath"] = json!(format!("/{path}"));
        for (key, value) in resources.as_object().unwrap() {
            config["linux"]["resources"][key] = value.clone();
        }
    });
    (bundle, path)
}

fn is_v1(controller: &str) -> bool {
    Path::new("/sys/fs/cgroup").join(controller).join("tasks").exists()
}

#[test]
fn a_container_is_in_a_group_of_every_hierarchy_and_delete_takes_them_away() {
    need!(root);
    let limits = json!({"memory": {"limit": 67_108_864, "swap": 134_217_728}, "pids": {"limit": 44}, "cpu": {"shares": 512, "quota": 40_000, "period": 80_000, "cpus": "0"}});
    let (bundle, path) = with_path("exec sleep 600", "x/y", limits);
    bundle.oci().args(["create", "web"]).ok();
    let pid = bundle.state("web")["pid"].to_string();
    let made = groups(&path);
    assert!(!made.is_empty());
    for dir in &made {
        assert_eq!(fs::read_to_string(dir.join("cgroup.procs")).unwrap().trim(), pid, "{}", dir.display());
    }
    if is_v1("memory") {
        assert_eq!(value(&path, "memory.limit_in_bytes").unwrap(), "67108864");
        assert_eq!(value(&path, "memory.memsw.limit_in_bytes").unwrap(), "134217728");
        assert_eq!(value(&path, "pids.max").unwrap(), "44");
        assert_eq!(value(&path, "cpu.shares").unwrap(), "512");
        assert_eq!(value(&path, "cpu.cfs_quota_us").unwrap(), "40000");
        assert_eq!(value(&path, "cpuset.cpus").unwrap(), "0");
    }
    bundle.oci().args(["delete", "--force", "web"]).ok();
    assert_eq!(groups(&path), Vec::<PathBuf>::new());
    // What was above stays: others may use it.
    for dir in groups(path.split('/').next().unwrap()) {
        fs::remove_dir(dir).unwrap();
    }
}

#[test]
fn without_a_path_the_groups_are_named_after_root_and_id_and_leave_nothing() {
    need!(root);
    let bundle = Bundle::sleeping();
    bundle.oci().args(["create", "plain"]).ok();
    let pid = bundle.state("plain")["pid"].to_string();
    let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let line = own.lines().find(|line| line.contains("/ctr-oci/")).unwrap_or_else(|| panic!("{own}"));
    let path = line.rsplit(':').next().unwrap().trim_start_matches('/').to_owned();
    assert!(path.ends_with("/plain"), "{path}");
    bundle.oci().args(["delete", "--force", "plain"]).ok();
    assert_eq!(groups(path.rsplit_once('/').unwrap().0), Vec::<PathBuf>::new());
}

#[test]
fn paths_that_lead_out_and_limits_that_cannot_be_leave_nothing() {
    need!(root);
    let refused = |change: &dyn Fn(&mut Value), property: &str| {
        let bundle = Bundle::sleeping();
        let path = own_path(&bundle, "bad");
        bundle.edit(|config| {
            config["linux"]["cgroupsPath"] = json!(format!("/{path}"));
            change(&mut config["linux"]);
        });
        bundle.oci().args(["create", "bad"]).fails(1).says(property);
        bundle.oci().args(["run", "bad"]).fails(1).says(property);
        assert_eq!(bundle.kept(), Vec::<String>::new(), "{property}");
        assert_eq!(groups(&path), Vec::<PathBuf>::new(), "{property}");
    };
    for path in ["/..", "../x", "/a/../../b", "/", "/a\nb"] {
        refused(&|linux| linux["cgroupsPath"] = json!(path), "linux.cgroupsPath");
    }
    for (resources, property) in [
        (json!({"cpu": {"cpus": "4095"}}), "linux.resources.cpu.cpus"),
        (json!({"cpu": {"quota": 5}}), "linux.resources.cpu.quota"),
        (json!({"memory": {"limit": -5}}), "linux.resources.memory.limit"),
        (json!({"memory": {"swappiness": 500}}), "linux.resources.memory.swappiness"),
        (json!({"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]}), "linux.resources.hugepageLimits"),
        (json!({"rdma": {"none0": {"hcaHandles": 1}}}), "linux.resources.rdma.none0"),
        (json!({"unified": {"nothing.max": "1"}}), "linux.resources.unified.nothing.max"),
        (json!({"unified": {"cgroup.procs": "1"}}), "linux.resources.unified.cgroup.procs"),
        (json!({"unified": {"../../x.y": "1"}}), "linux.resources.unified"),
        (json!({"devices": [{"allow": true, "type": "x"}]}), "linux.resources.devices[0]"),
        (
            json!({"blockIO": {"throttleReadBpsDevice": [{"major": 4095, "minor": 7, "rate": 1}]}}),
            "linux.resources.blockIO.throttleReadBpsDevice",
        ),
    ] {
        refused(&|linux| linux["resources"] = resources.clone(), property);
    }
}

#[test]
fn a_group_of_others_is_refused_and_a_frozen_one_never_waited_for() {
    need!(root);
    let (bundle, path) = with_path("true", "theirs", json!({}));
    bundle.oci().args(["create", "first"]).ok();
    bundle.oci().args(["create", "second"]).fails(1).says("processes that are not the container's");
    assert_eq!(bundle.status("first"), "created");
    bundle.oci().args(["delete", "--force", "first"]).ok();
    // An engine made it, and nobody is in it.
    let top = groups("").into_iter().find(|dir| dir.join("cgroup.procs").exists()).unwrap();
    let theirs = top.join(&path);
    fs::create_dir(&theirs).unwrap();
    bundle.oci().args(["run", "third"]).ok();
    assert!(theirs.is_dir(), "it was there before");
    fs::remove_dir(&theirs).unwrap();
    let freezer = groups("").into_iter().find(|dir| dir.ends_with("freezer"));
    let (dir, file, frozen, thawed) = match freezer {
        Some(dir) => (dir, "freezer.state", "FROZEN", "THAWED"),
        None => (top, "cgroup.freeze", "1", "0"),
    };
    let dir = dir.join(&path);
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join(file), frozen).unwrap();
    let start = Instant::now();
    let done = bundle.oci().args(["run", "fourth"]).run();
    fs::write(dir.join(file), thawed).unwrap();
    fs::remove_dir(&dir).unwrap();
    assert_eq!(done.code, 1, "{done}");
    done.says("is frozen");
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(bundle.kept(), Vec::<String>::new());
}

#[test]
fn a_frozen_container_is_paused_and_can_be_ended() {
    need!(root);
    for by in ["delete", "kill"] {
        let (bundle, path) = with_path("trap '' TERM; while :; do sleep 1; done", "frozen", json!({}));
        bundle.oci().args(["create", "web"]).ok();
        bundle.oci().args(["start", "web"]).ok();
        // By the freezer of v1 and by v2: whoever did it, and in whichever way.
        for dir in groups(&path) {
            let _ = fs::write(dir.join("freezer.state"), "FROZEN");
            let _ = fs::write(dir.join("cgroup.freeze"), "1");
        }
        until("paused", || bundle.status("web") == "paused");
        if by == "kill" {
            bundle.oci().args(["kill", "--all", "web", "KILL"]).ok();
            until("stopped", || bundle.status("web") == "stopped");
        }
        bundle.oci().args(["delete", "--force", "web"]).ok();
        assert_eq!(groups(&path), Vec::<PathBuf>::new());
    }
}

#[test]
fn update_sets_all_limits_or_none() {
    need!(root);
    if !is_v1("memory") {
        return ctr_tests::skip::skip("the memory controller of cgroup v1 is not here; tests/vm has v2");
    }
    let (bundle, path) =
        with_path("exec sleep 600", "update", json!({"memory": {"limit": 50_000_000, "swap": 60_000_000}}));
    bundle.oci().args(["create", "web"]).ok();
    let is = |memory: &str, both: &str, pids: &str| {
        assert_eq!(value(&path, "memory.limit_in_bytes").unwrap(), memory);
        assert_eq!(value(&path, "memory.memsw.limit_in_bytes").unwrap(), both);
        assert_eq!(value(&path, "pids.max").unwrap(), pids);
    };
    is("49999872", "59998208", "max");
    // Above the old limit of both, and below it again: the order is found.
    bundle.oci().args(["update", "--memory", "128M", "--memory-swap", "256M", "--pids-limit", "30", "web"]).ok();
    is("134217728", "268435456", "30");
    bundle.oci().args(["update", "--memory", "32M", "--memory-swap", "64M", "web"]).ok();
    is("33554432", "67108864", "30");
    let refused =
        bundle.oci().args(["update", "--memory", "48M", "--pids-limit", "10", "--cpuset-cpus", "4095", "web"]);
    refused.fails(1).says("linux.resources.cpu.cpus");
    is("33554432", "67108864", "30");
    bundle.oci().args(["update", "--memory", "128M", "web"]).fails(1).says("linux.resources.memory.limit");
    is("33554432", "67108864", "30");
    bundle.oci().args(["update", "--memory", "-1", "--pids-limit", "-1", "web"]).ok();
    assert_eq!(value(&path, "pids.max").unwrap(), "max");
    let json =
        json!({"memory": {"limit": 16_777_216, "swap": 16_777_216}, "cpu": {"quota": 20_000}, "pids": {"limit": 5}});
    bundle.oci().args(["update", "--resources", "-", "web"]).input(json.to_string()).ok();
    is("16777216", "16777216", "5");
    assert_eq!(value(&path, "cpu.cfs_quota_us").unwrap(), "20000");
    let check = json!({"memory": {"limit": 4096, "swap": 4096, "checkBeforeUpdate": true}});
    bundle.oci().args(["update", "-r", "-", "web"]).input(check.to_string()).fails(1).says("memory.limit");
    for bad in ["", "{", "[]", "{} x", r#"{"memory": {"limit": "x"}}"#] {
        bundle.oci().args(["update", "--resources", "-", "web"]).input(bad).fails(1).says("linux.resources");
    }
    bundle.oci().args(["kill", "web", "KILL"]).ok();
    until("stopped", || bundle.status("web") == "stopped");
    bundle.oci().args(["update", "--memory", "64M", "web"]).fails(1).says("not running");
}

#[test]
fn device_rules_hold_and_an_update_replaces_them() {
    need!(root);
    let (bundle, path) = with_path("exec sleep 600", "devices", json!({}));
    let run = |devices: Value| {
        bundle.edit(|config| config["linux"]["resources"]["devices"] = devices);
        bundle.oci().args(["create", "web"]).ok();
        bundle.oci().args(["start", "web"]).ok();
    };
    run(json!([{"allow": false, "access": "rwm"}]));
    let list = value(&path, "devices.list");
    if let Some(list) = list {
        assert!(!list.contains("1:11") && list.contains("c 1:3 rwm"), "{list}");
        let rules = json!({"devices": [{"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"}]});
        bundle.oci().args(["update", "--resources", "-", "web"]).input(rules.to_string()).ok();
        let list = value(&path, "devices.list").unwrap();
        assert!(list.contains("c 1:11 r") && list.contains("c 1:3 rwm") && !list.contains("a *:*"), "{list}");
        let again = json!({"devices": [{"allow": false}]});
        bundle.oci().args(["update", "--resources", "-", "web"]).input(again.to_string()).ok();
        assert!(!value(&path, "devices.list").unwrap().contains("1:11"));
    }
    bundle.oci().args(["delete", "--force", "web"]).ok();
    run(json!([{"allow": true, "access": "rwm"}]));
    if let Some(list) = value(&path, "devices.list") {
        assert_eq!(list, "a *:* rwm");
    }
    bundle.oci().args(["delete", "--force", "web"]).ok();
}

#[test]
fn a_program_cannot_use_what_no_rule_allows() {
    need!(root);
    let script = "mknod /dev/k c 1 11; mknod /dev/n c 1 3; (true </dev/k) 2>/dev/null && echo kmsg; echo x >/dev/n && echo null; true";
    let (bundle, _) = with_path(script, "hold", json!({"devices": [{"allow": false, "access": "rwm"}]}));
    bundle.edit(|config| {
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set] = json!(["CAP_MKNOD", "CAP_SYSLOG", "CAP_SYS_ADMIN"]);
        }
    });
    assert_eq!(bundle.oci().args(["run", "v1"]).run().stdout, "null\n");
    need!("unshare");
    bundle.edit(|config| config["linux"]["cgroupsPath"] = json!(""));
    let done = in_v2_view(bundle.oci().args(["run", "v2"])).run();
    assert_eq!(done.stdout, "null\n", "{done}");
}

#[test]
fn v2_alone_has_one_group_and_ends_what_is_frozen() {
    need!(root, "unshare");
    let bundle = Bundle::sleeping();
    let oci = |args: &[&str]| in_v2_view(bundle.oci().args(args.iter().copied()));
    oci(&["create", "web"]).ok();
    oci(&["start", "web"]).ok();
    let state: Value = serde_json::from_str(&oci(&["state", "web"]).ok()).unwrap();
    let own = fs::read_to_string(format!("/proc/{}/cgroup", state["pid"])).unwrap();
    let path = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap();
    assert!(path.starts_with("/ctr-oci/") && path.ends_with("/web"), "{own}");
    assert!(!own.lines().any(|line| line.contains(":memory:/ctr-oci")), "{own}");
    let dir = ctr_tests::groups::unified().join(path.trim_start_matches('/'));
    fs::write(dir.join("cgroup.freeze"), "1").unwrap();
    let paused = || oci(&["state", "web"]).ok().contains("paused");
    until("paused", paused);
    oci(&["delete", "--force", "web"]).ok();
    assert!(!dir.exists() && !dir.parent().unwrap().exists());
}

#[test]
fn events_tell_what_is_used() {
    need!(root);
    let (bundle, path) = with_path(
        "x=0; while [ $x -lt 20000 ]; do x=$((x+1)); done; exec sleep 600",
        "stats",
        json!({"pids": {"limit": 40}}),
    );
    bundle.oci().args(["create", "web"]).ok();
    bundle.oci().args(["start", "web"]).ok();
    let stats = || serde_json::from_str::<Value>(&bundle.oci().args(["events", "--stats", "web"]).ok()).unwrap();
    until("it has computed", || stats()["data"]["cpu"]["usage"]["total"].as_u64().unwrap() > 10_000_000);
    let event = stats();
    assert_eq!((&event["type"], &event["id"]), (&json!("stats"), &json!("web")));
    let data = &event["data"];
    assert_eq!(data["pids"]["current"], 1);
    assert_eq!(data["pids"]["limit"], 40);
    assert!(data["memory"]["usage"]["usage"].as_u64().unwrap() > 4096, "{data}");
    assert!(data["memory"]["raw"].as_object().unwrap().len() > 5, "{data}");
    assert_eq!(data["network_interfaces"][0]["Name"], "lo");
    for member in ["cpu", "memory", "pids", "blkio", "hugetlb", "intel_rdt"] {
        assert!(data[member].is_object(), "{member}");
    }
    let following = bundle.oci().args(["events", "--interval", "100ms", "web"]).start();
    std::thread::sleep(Duration::from_millis(500));
    bundle.oci().args(["kill", "web", "KILL"]).ok();
    let done = following.wait();
    assert_eq!(done.code, 0, "{done}");
    assert!(done.stdout.lines().count() >= 3, "{done}");
    assert!(done.stdout.lines().all(|line| line.starts_with(r#"{"type":"stats","id":"web","data":{"cpu":"#)), "{done}");
    bundle.oci().args(["events", "--stats", "web"]).fails(1).says("not running");
    bundle.oci().args(["delete", "web"]).ok();
    assert_eq!(groups(&path), Vec::<PathBuf>::new());
}

#[test]
fn a_lack_of_memory_is_an_event() {
    need!(root);
    if !is_v1("memory") {
        return ctr_tests::skip::skip("the memory controller of cgroup v1 is not here; tests/vm has v2");
    }
    let script = "while [ ! -e /dev/go ]; do sleep 0.1; done; sh -c 'x=0123456789; while :; do x=$x$x; done'; sleep 1";
    let (bundle, _) = with_path(script, "oom", json!({"memory": {"limit": 16_777_216, "swap": 16_777_216}}));
    bundle.oci().args(["create", "web"]).ok();
    bundle.oci().args(["start", "web"]).ok();
    let following = bundle.oci().args(["events", "--interval", "1h", "web"]).start();
    std::thread::sleep(Duration::from_millis(300));
    let pid = bundle.state("web")["pid"].to_string();
    fs::write(format!("/proc/{pid}/root/dev/go"), "").unwrap();
    let done = following.wait();
    assert!(done.stdout.contains("{\"type\":\"oom\",\"id\":\"web\"}\n"), "{done}");
}

/// A process that left its session, in a PID namespace of others, goes with the container.
#[test]
fn delete_ends_processes_that_outlive_the_first() {
    need!(root);
    let (bundle, path) = with_path("setsid sleep 601 >/dev/null 2>&1 </dev/null & exit 0", "left", json!({}));
    bundle.edit(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "pid");
    });
    bundle.oci().args(["create", "web"]).ok();
    bundle.oci().args(["start", "web"]).ok();
    until("stopped", || bundle.status("web") == "stopped");
    let left =
        || groups(&path).first().map(|dir| fs::read_to_string(dir.join("cgroup.procs")).unwrap().lines().count());
    assert_eq!(left(), Some(1));
    bundle.oci().args(["delete", "web"]).ok();
    assert_eq!(groups(&path), Vec::<PathBuf>::new());
    let found = Command::new("pgrep").args(["-f", "^sleep 601$"]).output().unwrap();
    assert!(found.stdout.is_empty());
}
