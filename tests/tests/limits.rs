//! Limits of `ctr-run`, in the hierarchies that this host has: what was asked for is in the file of the group, or the start
//! fails and says why.

use std::fs;
use std::path::Path;
use std::time::Instant;

use ctr_tests::busybox::{assert_nothing_left, inside, run};
use ctr_tests::groups::{self, has_controller};
use ctr_tests::need;
use ctr_tests::scratch::{Root, until};

/// Starts with `options`, gives the value of the first of `files` that is there, ends it.
#[track_caller]
fn value(root: &Root, options: &[&str], files: &[&str]) -> String {
    let id = root.ctr("run").args(options.iter().copied()).args(["busybox", "sleep", "600"]).ok();
    let found = files.iter().find_map(|file| groups::read(root, &id, file));
    root.ctr("stop").args(["--timeout", "0", &id]).ok();
    found.unwrap_or_else(|| panic!("{options:?}: none of {files:?}"))
}

#[test]
fn memory_and_swap() {
    // spec: EXEC-71, EXEC-72
    need!(root);
    let root = Root::with_busybox();
    let options = ["-m", "64M", "--memory-swap", "96M", "--memory-reservation", "32M"];
    assert_eq!(value(&root, &options, &["memory.max", "memory.limit_in_bytes"]), (64 << 20).to_string());
    assert_eq!(value(&root, &options, &["memory.low", "memory.soft_limit_in_bytes"]), (32 << 20).to_string());
    let swap = value(&root, &options, &["memory.swap.max", "memory.memsw.limit_in_bytes"]);
    assert!([32 << 20, 96 << 20].map(|bytes| bytes.to_string()).contains(&swap), "{swap}");
    // As much swap as memory, none, and no limit of it.
    let swap = |options: &[&str]| value(&root, options, &["memory.swap.max", "memory.memsw.limit_in_bytes"]);
    let v2 = has_controller("no-such", "memory");
    assert_eq!(swap(&["-m", "64M"]), ((if v2 { 64 } else { 128 }) << 20).to_string());
    assert_eq!(swap(&["-m", "64M", "--memory-swap", "64M"]), (if v2 { 0 } else { 64 << 20 }).to_string());
    let unlimited = swap(&["-m", "64M", "--memory-swap", "-1"]);
    assert!(unlimited == "max" || unlimited.parse::<u64>().unwrap() > 1 << 60, "{unlimited}");
}

#[test]
fn processor_time() {
    // spec: EXEC-71
    need!(root);
    let root = Root::with_busybox();
    let quota = |options: &[&str]| {
        let text = value(&root, options, &["cpu.max", "cpu.cfs_quota_us"]);
        text.split_whitespace().next().unwrap().to_owned()
    };
    assert_eq!(quota(&["--cpus", "0.5"]), "50000");
    assert_eq!(quota(&["--cpu-quota", "20000", "--cpu-period", "50000"]), "20000");
    assert_eq!(quota(&["--cpus", "1.5", "--cpu-period", "20000"]), "30000");
    let none = quota(&["--cpu-quota", "-1"]);
    assert!(none == "max" || none == "-1", "{none}");
    let weight = |options: &[&str]| value(&root, options, &["cpu.weight", "cpu.shares"]);
    assert!(["100", "1024"].contains(&weight(&["--cpu-shares", "1024"]).as_str()));
    assert!(["50", "512"].contains(&weight(&["--cpu-weight", "50"]).as_str()));
}

/// A quarter of a CPU is a quarter: half a second of work takes more than a second.
#[test]
fn a_quota_slows_down() {
    // spec: EXEC-71
    need!(root);
    let root = Root::with_busybox();
    // User and system time of the shell itself, in ticks of 10 ms (proc_pid_stat(5)).
    let work = "t=0; while [ $t -lt 40 ]; do read -r s </proc/self/stat; set -- ${s##*) }; t=$((${12} + ${13})); done; echo $t";
    let start = Instant::now();
    let ticks = inside(&root, &["--cpus", "0.25"], work);
    assert!(ticks.parse::<u32>().unwrap() >= 40);
    assert!(start.elapsed().as_millis() > 1000, "{:?}", start.elapsed());
}

#[test]
fn processors_and_memory_nodes() {
    need!(root);
    let root = Root::with_busybox();
    if !has_controller("cpuset", "cpuset") {
        run(&root, &["--cpuset", "0"], &["true"]).says("cpuset").says("cgroup.controllers");
        return;
    }
    assert_eq!(value(&root, &["--cpuset-cpus", "0"], &["cpuset.cpus"]), "0");
    assert_eq!(value(&root, &["--cpuset-mems", "0"], &["cpuset.mems"]), "0");
    assert_eq!(inside(&root, &["--cpuset", "0"], "grep Cpus_allowed_list /proc/self/status | cut -f2"), "0");
    let done = run(&root, &["--cpuset", "4095"], &["true"]);
    assert_eq!(done.code, 125, "{done}");
    done.says("--cpuset-cpus").says("cpuset.cpus");
    assert_eq!(ctr_tests::leaks::outside(&root.path(), &[]), Vec::<String>::new());
}

#[test]
fn processes_without_limit() {
    // spec: EXEC-71
    need!(root);
    let root = Root::with_busybox();
    assert_eq!(value(&root, &["--pids-limit", "20"], &["pids.max"]), "20");
    assert_eq!(value(&root, &[], &["pids.max"]), "2048");
    for none in ["0", "-1"] {
        let id = root.ctr("run").args(["--pids-limit", none, "busybox", "sleep", "600"]).ok();
        let limit = groups::read(&root, &id, "pids.max");
        assert!(limit.is_none() || limit.as_deref() == Some("max"), "{limit:?}");
        root.ctr("stop").args(["--timeout", "0", &id]).ok();
    }
    run(&root, &["--pids-limit", "-2"], &["true"]).says("--pids-limit");
}

#[test]
fn disks() {
    need!(root);
    let root = Root::with_busybox();
    let disk = fs::read_dir("/sys/block").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let Some(disk) = disk.filter(|name| !name.starts_with("zram") && Path::new("/dev").join(name).exists()).min()
    else {
        return ctr_tests::skip::skip("this host has no block device");
    };
    let numbers = fs::read_to_string(format!("/sys/block/{disk}/dev")).unwrap().trim().to_owned();
    let option = |rate: &str| format!("/dev/{disk}:{rate}");
    let files = ["io.max", "blkio.throttle.write_bps_device", "blkio.throttle.read_iops_device"];
    let found = value(&root, &["--device-write-bps", &option("1M")], &files);
    assert!(found.starts_with(&numbers) && found.contains("1048576"), "{found}");
    let id = root
        .ctr("run")
        .args(["--device-read-iops", &option("50"), "--device-read-bps", &option("2M"), "busybox", "sleep", "600"])
        .ok();
    let all: Vec<String> = ["io.max", "blkio.throttle.read_iops_device", "blkio.throttle.read_bps_device"]
        .iter()
        .filter_map(|file| groups::read(&root, &id, file))
        .collect();
    assert!(all.concat().contains("50") && all.concat().contains("2097152"), "{all:?}");
    run(&root, &["--device-read-bps", "/dev/null:1M"], &["true"]).says("no block device");
    run(&root, &["--device-read-bps", &option("fast")], &["true"]).says("--device-read-bps");
}

#[test]
fn huge_pages_and_files_by_name() {
    need!(root);
    let root = Root::with_busybox();
    let done = run(&root, &["--hugetlb", "3M=4M"], &["true"]);
    assert_eq!(done.code, 125, "{done}");
    done.says("power of two");
    run(&root, &["--hugetlb", "256G=4M"], &["true"]).says("no huge pages of that size");
    let sizes = Path::new("/sys/kernel/mm/hugepages/hugepages-2048kB").is_dir();
    if sizes && has_controller("hugetlb", "hugetlb") {
        let files = ["hugetlb.2MB.max", "hugetlb.2MB.limit_in_bytes"];
        assert_eq!(value(&root, &["--hugetlb", "2M=4M"], &files), (4 << 20).to_string());
        if has_controller("no-such", "hugetlb") {
            assert_eq!(value(&root, &["--cgroup-conf", "hugetlb.2MB.max=2097152"], &files), (2 << 20).to_string());
        }
    }
    for bad in ["cgroup.procs=1", "../x=1", "memory=1", "memory.high"] {
        let done = run(&root, &["--cgroup-conf", bad], &["true"]);
        assert_eq!(done.code, 125, "{done}");
        done.says("--cgroup-conf");
    }
}

/// What two options say against each other, and what the kernel cannot do, is an error before anything is made.
#[test]
fn what_cannot_be_is_refused() {
    // spec: OVR-5
    need!(root);
    let root = Root::with_busybox();
    for (options, word) in [
        (&["--memory-swap", "1G"][..], "needs --memory"),
        (&["-m", "64M", "--memory-swap", "32M"], "smaller than --memory"),
        (&["-m", "64M", "--memory-reservation", "65M"], "larger than --memory"),
        (&["-m", "4k"], "at least"),
        (&["--cpus", "1", "--cpu-quota", "1000"], "one of them"),
        (&["--cpu-quota", "10"], "1000"),
        (&["--cpu-period", "10"], "1000000"),
        (&["--cpu-shares", "1"], "from 2"),
        (&["--io-weight", "20000"], "10000"),
        (&["--blkio-weight", "5"], "from 10"),
        (&["--cpuset-cpus", "3-1"], "list of numbers"),
    ] {
        let done = run(&root, options, &["true"]);
        assert_eq!(done.code, 125, "{done}");
        let done = done.says(word);
        assert!(done.stderr.contains("ctr-run: "), "{done}");
    }
    assert_nothing_left(&root, "refused options");
}

/// A container that ends by itself leaves the groups of no hierarchy behind.
#[test]
fn groups_of_every_hierarchy_go() {
    // spec: LIFE-70, LIFE-82
    need!(root);
    let root = Root::with_busybox();
    let options = ["--memory", "64M", "--cpus", "1", "--pids-limit", "50"];
    assert_eq!(run(&root, &options, &["true"]).code, 0);
    assert_nothing_left(&root, "with --wait");
    let id = root.ctr("run").args(options).args(["busybox", "sleep", "600"]).ok();
    let parents = ctr_tests::leaks::parent_groups(&root.path());
    // A broken start may have left one that the record does not name, and a program with the right to do so nested ones.
    let stray = parents.iter().find(|parent| !parent.join(&id).exists()).map(|parent| parent.join(&id));
    for group in stray.iter().chain(&parents.iter().map(|parent| parent.join(&id)).collect::<Vec<_>>()) {
        fs::create_dir_all(group.join("nested/deeper")).unwrap();
    }
    root.ctr("stop").args(["--timeout", "0", &id]).ok();
    until("dead", || ctr_tests::leaks::processes(&root.path(), std::slice::from_ref(&id)).is_empty());
    root.ctr("gc").args(["--grace", "0"]).ok();
    assert_eq!(ctr_tests::leaks::cgroups(&[id]), Vec::<std::path::PathBuf>::new());
    assert_eq!(ctr_tests::leaks::parent_groups(&root.path()), Vec::<std::path::PathBuf>::new());
}
