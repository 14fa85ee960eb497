//! A hundred detached containers: nothing of ours stays outside of them, and what stays inside is small.

use std::fs;

use ctr_tests::need;
use ctr_tests::scratch::{Root, names};

/// Private_Dirty of an init, in KiB, at most.
const INIT_MAX_KIB: u64 = 150;

/// Every process of the host whose executable is one of ours: its id, and the depth of its pid namespace.
fn ours(directory: &std::path::Path) -> Vec<(i32, usize)> {
    let mut found = Vec::new();
    for pid in names(std::path::Path::new("/proc")).iter().filter_map(|name| name.parse::<i32>().ok()) {
        let Ok(executable) = fs::read_link(format!("/proc/{pid}/exe")) else { continue };
        let name = executable.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_ours = executable.starts_with(directory) && name.starts_with("ctr-");
        if !is_ours && !name.contains("ctr-sealed") {
            continue;
        }
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
        let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
        found.push((pid, ids.split_whitespace().count()));
    }
    found
}

fn private_dirty(pid: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn after_a_hundred_starts_nothing_of_ours_is_outside() {
    // spec: OVR-1
    need!(root);
    let root = Root::with_busybox();
    // Binaries of its own, so that no other test's are counted.
    let bin = root.file("bin");
    fs::create_dir(&bin).unwrap();
    for name in ["ctr-run", "ctr-stop"] {
        fs::copy(ctr_tests::bins::binary(name), bin.join(name)).unwrap();
    }
    let command = |name: &str| ctr_tests::scratch::Cmd::new(bin.join(name)).env("CTR_ROOT", root.path());
    let depth = |line: &str| line.split_whitespace().count() - 1;
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let here = depth(status.lines().find(|line| line.starts_with("NSpid:")).unwrap());
    let mut pids = Vec::new();
    for number in 0..100 {
        let pidfile = root.file(&format!("pid-{number}"));
        let log = if number % 2 == 0 { "--log=file" } else { "--log=none" };
        command("ctr-run").args([log, "--pidfile"]).arg(&pidfile).args(["busybox", "sleep", "600"]).ok();
        pids.push(fs::read_to_string(&pidfile).unwrap().trim().to_owned());
    }
    assert_eq!(root.containers("run").len(), 100);
    let found = ours(&bin);
    let outside: Vec<_> = found.iter().filter(|(_, depth)| *depth <= here).collect();
    assert!(outside.is_empty(), "processes of ours outside of containers: {outside:?}");
    assert_eq!(found.len(), 100, "one init in each container");
    let dirty: Vec<u64> = pids.iter().map(|pid| private_dirty(pid)).collect();
    let largest = dirty.iter().max().copied().unwrap();
    println!("Private_Dirty of init: {} to {largest} KiB", dirty.iter().min().copied().unwrap());
    // The promise is about what is shipped: a binary that is linked dynamically, for the tests alone, has relocations and a libc of its own.
    let maps = fs::read_to_string(format!("/proc/{}/maps", pids[0])).unwrap();
    assert!(largest <= INIT_MAX_KIB || maps.contains("libc.so"), "an init has {largest} KiB of its own");
    command("ctr-stop").args(["--all", "--timeout", "0"]).ok();
    assert_eq!(ours(&bin), []);
}
