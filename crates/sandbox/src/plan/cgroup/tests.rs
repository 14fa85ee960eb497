//! What is written where, on every layout of hierarchies.

use super::*;
use crate::options::{Amount, CpuWeight, IoRate, IoUnit, IoWeight, Limits};

fn v2(controllers: &str, base: &str) -> CgroupFacts {
    let controllers = controllers.split_whitespace().map(str::to_owned).collect();
    let unified = UnifiedFacts { mount: "/sys/fs/cgroup".to_owned(), base: base.to_owned(), controllers, pure: true };
    CgroupFacts { unified: Some(unified), ..CgroupFacts::default() }
}

/// v1 controllers with their mounts, and a v2 hierarchy with these controllers beside them.
fn hybrid(v1: &[(&'static str, &str)], stray: &str) -> CgroupFacts {
    let mut facts = v2(stray, "");
    let unified = facts.unified.as_mut().unwrap();
    (unified.mount, unified.pure) = ("/sys/fs/cgroup/unified".to_owned(), false);
    facts.v1 = v1.iter().map(|(name, dir)| (*name, format!("/sys/fs/cgroup/{dir}"))).collect();
    facts
}

/// The groups of a container with these limits, as lines, or the error with its hint.
#[expect(clippy::needless_pass_by_value, reason = "made for the call")]
fn groups(facts: &CgroupFacts, limits: Limits, notes: &mut Vec<String>) -> Result<Vec<String>, String> {
    let pids = Some(limits.pids.unwrap_or(DEFAULT_PIDS)).filter(|pids| *pids != 0);
    let fail = |error: SandboxError| format!("{error}; {}", error.hint().unwrap_or_default());
    let (wanted, _) = limits::wanted(&limits, pids).map_err(fail)?;
    let mut places = Places::new(facts, "ctr/root/id".to_owned());
    let mut plan = CgroupPlan { pids, ..CgroupPlan::default() };
    for wanted in wanted {
        places.put(wanted, &mut plan, notes).map_err(fail)?;
    }
    let mut lines = Vec::new();
    for group in places.finish() {
        let dir = format!("{}/{}", group.hierarchy, group.path);
        if group.writes.is_empty() {
            lines.push(dir.clone());
        }
        lines.extend(group.writes.iter().map(|write| format!("{dir}/{} {}", write.file, write.value)));
    }
    Ok(lines)
}

fn all() -> Limits {
    let rate = |unit, rate| IoRate { major: 8, minor: 16, unit, rate };
    Limits {
        memory: Some(1 << 20),
        memory_swap: Some(Amount::At(3 << 20)),
        memory_reservation: Some(1 << 19),
        cpu_millis: Some(1500),
        cpu_period: Some(50_000),
        cpu_weight: Some(CpuWeight::Shares(1024)),
        cpuset_cpus: Some("0-1".to_owned()),
        cpuset_mems: Some("0".to_owned()),
        pids: Some(7),
        io_weight: Some(IoWeight::Blkio(500)),
        io_rates: vec![rate(IoUnit::ReadBytes, 4096), rate(IoUnit::Writes, 10)],
        hugetlb: vec![("2MB".to_owned(), 4 << 20)],
        ..Limits::default()
    }
}

#[test]
fn every_limit_on_v2() {
    let facts = v2("cpuset cpu io memory hugetlb pids", "");
    let lines = groups(&facts, all(), &mut Vec::new()).unwrap();
    let expected = [
        "memory.max 1048576",
        "memory.oom.group 1",
        "memory.swap.max 2097152",
        "memory.low 524288",
        "cpu.max 75000 50000",
        "cpu.weight 100",
        "cpuset.cpus 0-1",
        "cpuset.mems 0",
        "io.weight default 4950",
        "io.max 8:16 rbps=4096",
        "io.max 8:16 wiops=10",
        "hugetlb.2MB.max 4194304",
        "hugetlb.2MB.rsvd.max 4194304",
        "pids.max 7",
    ];
    assert_eq!(lines, expected.map(|line| format!("/sys/fs/cgroup/ctr/root/id/{line}")));
}

#[test]
fn every_limit_on_v1_with_controllers_mounted_together() {
    let names = ["memory", "cpuset", "blkio", "pids"].map(|name| (name, name));
    let v1 = [&[("cpu", "cpu,cpuacct")][..], &names].concat();
    // A controller that v1 does not have is where the kernel has it: on the v2 side.
    let facts = hybrid(&v1, "hugetlb");
    let lines = groups(&facts, all(), &mut Vec::new()).unwrap();
    let expected = [
        "unified/ctr/root/id/hugetlb.2MB.max 4194304",
        "unified/ctr/root/id/hugetlb.2MB.rsvd.max 4194304",
        "memory/ctr/root/id/memory.limit_in_bytes 1048576",
        "memory/ctr/root/id/memory.memsw.limit_in_bytes 3145728",
        "memory/ctr/root/id/memory.soft_limit_in_bytes 524288",
        "cpu,cpuacct/ctr/root/id/cpu.cfs_period_us 50000",
        "cpu,cpuacct/ctr/root/id/cpu.cfs_quota_us 75000",
        "cpu,cpuacct/ctr/root/id/cpu.shares 1024",
        "cpuset/ctr/root/id/cpuset.cpus 0-1",
        "cpuset/ctr/root/id/cpuset.mems 0",
        "blkio/ctr/root/id/blkio.weight 500",
        "blkio/ctr/root/id/blkio.throttle.read_bps_device 8:16 4096",
        "blkio/ctr/root/id/blkio.throttle.write_iops_device 8:16 10",
        "pids/ctr/root/id/pids.max 7",
    ];
    assert_eq!(lines, expected.map(|line| format!("/sys/fs/cgroup/{line}")));
}

#[test]
fn two_controllers_of_one_mount_share_a_group() {
    let facts = hybrid(&[("cpu", "cpu,memory"), ("memory", "cpu,memory")], "");
    let limits = Limits { memory: Some(1 << 20), cpu_millis: Some(500), pids: Some(0), ..Limits::default() };
    let lines = groups(&facts, limits, &mut Vec::new()).unwrap();
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert!(lines[1..].iter().all(|line| line.starts_with("/sys/fs/cgroup/cpu,memory/ctr/root/id/")), "{lines:?}");
}

#[test]
fn defaults_and_what_they_need() {
    let mut notes = Vec::new();
    let at = |lines: &[&str]| Ok(lines.iter().map(|line| format!("/sys/fs/cgroup/{line}")).collect::<Vec<_>>());
    let facts = v2("pids", "user.slice/user-7.slice");
    assert_eq!(
        groups(&facts, Limits::default(), &mut notes),
        at(&["user.slice/user-7.slice/ctr/root/id/pids.max 2048"])
    );
    let none = Limits { pids: Some(0), ..Limits::default() };
    assert_eq!(groups(&facts, none.clone(), &mut notes), at(&["user.slice/user-7.slice/ctr/root/id"]));
    assert_eq!(groups(&hybrid(&[("freezer", "freezer")], ""), none.clone(), &mut notes), at(&["unified/ctr/root/id"]));
    let v1 = CgroupFacts { unified: None, ..hybrid(&[("freezer", "freezer")], "") };
    assert_eq!(groups(&v1, none, &mut notes), at(&["freezer/ctr/root/id"]));
    assert_eq!(notes, Vec::<String>::new());
    // A default that no hierarchy can hold: a note.
    assert_eq!(groups(&v2("cpu", ""), Limits::default(), &mut notes), at(&["ctr/root/id"]));
    assert_eq!(groups(&CgroupFacts::default(), Limits::default(), &mut notes), at(&[]));
    assert!(notes.len() == 2 && notes[0].contains("/sys/fs/cgroup/cgroup.controllers does not list it"), "{notes:?}");
}

#[test]
fn swap_is_counted_as_docker_does() {
    let facts = v2("memory pids", "");
    let swap = |memory, memory_swap| {
        let lines = groups(&facts, Limits { memory, memory_swap, ..Limits::default() }, &mut Vec::new());
        lines.map(|lines| lines.iter().find_map(|line| Some(line.split_once("swap.max ")?.1.to_owned())))
    };
    let word = |word: &str| Ok(Some(word.to_owned()));
    assert_eq!(swap(Some(100), None), word("100"));
    assert_eq!(swap(Some(100), Some(Amount::At(100))), word("0"));
    assert_eq!(swap(Some(100), Some(Amount::Unlimited)), word("max"));
    assert!(swap(Some(100), Some(Amount::At(99))).unwrap_err().contains("smaller than --memory"));
    assert!(swap(None, Some(Amount::At(99))).unwrap_err().contains("needs --memory"));
}

#[test]
fn shares_and_weights_meet_at_the_ends_and_in_the_middle() {
    let facts = v2("cpu", "");
    let weight = |weight| {
        let limits = Limits { cpu_weight: Some(weight), pids: Some(0), ..Limits::default() };
        groups(&facts, limits, &mut Vec::new()).unwrap()[0].rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    for (shares, expected) in [(2, 1), (512, 59), (1024, 100), (2048, 174), (262_144, 10_000)] {
        assert_eq!(weight(CpuWeight::Shares(shares)), expected, "{shares}");
    }
    let v1 = hybrid(&[("cpu", "cpu")], "");
    for (weight, shares) in [(1, "10"), (50, "512"), (100, "1024"), (10_000, "102400")] {
        let limits = Limits { cpu_weight: Some(CpuWeight::Weight(weight)), pids: Some(0), ..Limits::default() };
        let lines = groups(&v1, limits, &mut Vec::new()).unwrap();
        assert!(lines[1].ends_with(&format!("cpu.shares {shares}")), "{lines:?}");
    }
}

/// Every limit that is asked for and cannot be held is an error that names option, controller and hierarchy.
#[test]
fn what_cannot_be_held_is_an_error() {
    let limits = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        limits
    };
    let memory = limits(|limits| limits.memory = Some(1 << 20));
    let pids = limits(|limits| limits.pids = Some(5));
    let oom = limits(|limits| limits.oom_kill_disable = true);
    let raw = limits(|limits| limits.raw = vec![("memory.high".to_owned(), "1".to_owned())]);
    let both = limits(|limits| (limits.cpu_millis, limits.cpu_quota) = (Some(1), Some(Amount::At(1))));
    let little = limits(|limits| limits.cpu_quota = Some(Amount::At(999)));
    let period = limits(|limits| limits.cpu_period = Some(999));
    let missing = CgroupFacts { missing: Some("no group is delegated".to_owned()), ..CgroupFacts::default() };
    for (facts, limits, words) in [
        (v2("pids", ""), &memory, ["--memory", "\"memory\"", "/sys/fs/cgroup/cgroup.controllers"]),
        (
            v2("cpu", "user.slice"),
            &pids,
            ["--pids-limit", "/sys/fs/cgroup/user.slice/cgroup.controllers", "Delegate=yes"],
        ),
        (
            hybrid(&[("cpu", "cpu")], "hugetlb"),
            &memory,
            ["--memory", "unified/cgroup.controllers", "/sys/fs/cgroup/memory"],
        ),
        (missing, &memory, ["--memory", "no group is delegated", "systemd-run"]),
        (CgroupFacts::default(), &memory, ["--memory", "neither cgroup2", "/sys/fs/cgroup/memory"]),
        (v2("memory", ""), &oom, ["--oom-kill-disable", "v1", "without"]),
        (hybrid(&[("memory", "memory")], ""), &raw, ["--cgroup-conf", "v2", "/sys/fs/cgroup/memory"]),
        (v2("cpu", ""), &both, ["--cpus", "--cpu-quota", "one of them"]),
        (v2("cpu", ""), &little, ["--cpu-quota", "1000", ""]),
        (v2("cpu", ""), &period, ["--cpu-period", "1000 to 1000000", ""]),
    ] {
        let error = groups(&facts, limits.clone(), &mut Vec::new()).unwrap_err();
        assert!(words.iter().all(|word| error.contains(word)), "{words:?} in: {error}");
    }
}

#[test]
fn v1_device_rules_name_both_kinds() {
    let rules = ["a 7:1 r", "c 1:3 rwm"].map(|text| DeviceRule::parse(text).unwrap());
    assert_eq!(devices::v1_lines(&rules), ["c 7:1 r", "b 7:1 r", "c 1:3 rwm"]);
}
