use super::super::facts::{Unified, V1};
use super::*;

/// A host whose v1 and v2 hierarchies have these controllers.
fn host(v1: &str, unified: Option<(&str, bool)>) -> Hierarchies {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    Hierarchies {
        v1: words(v1)
            .into_iter()
            .map(|name| V1 { mount: format!("/cg/{name}").into(), controllers: vec![name] })
            .collect(),
        unified: unified.map(|(controllers, pure)| Unified {
            mount: "/cg".into(),
            controllers: words(controllers),
            base: String::new(),
            pure,
        }),
    }
}

const V1: &str = "cpu cpuset memory blkio pids hugetlb net_cls net_prio rdma";
const V2: &str = "cpu cpuset memory io pids hugetlb rdma";

fn lines(json: &str, known: &Known, host: &Hierarchies) -> Result<Vec<String>, String> {
    let resources: Resources = serde_json::from_str(json).unwrap();
    let placed = writes(&resources, known, host).map_err(|error| error.to_string())?;
    let line = |Placed { v1, write }: Placed| {
        let optional = if write.optional { "?" } else { "" };
        let other = write.other.map(|(file, value)| format!(" | {file}={value}")).unwrap_or_default();
        format!(
            "{}{optional}{}={}{other}",
            v1.map_or(String::new(), |name| format!("{name}:")),
            write.file,
            write.value
        )
    };
    Ok(placed.into_iter().map(line).collect())
}

/// Each row: resources, what v1 gets, what v2 gets; an error begins with `!`.
const TABLE: &[(&str, &str, &str)] = &[
    ("{}", "", ""),
    (r#"{"memory":{}}"#, "", ""),
    (r#"{"memory":{"limit":0,"swap":0,"reservation":0}}"#, "", ""),
    (r#"{"memory":{"limit":1048576}}"#, "memory:memory.limit_in_bytes=1048576", "memory.max=1048576"),
    (
        r#"{"memory":{"limit":100,"swap":300,"reservation":50}}"#,
        "memory:memory.limit_in_bytes=100 memory:memory.memsw.limit_in_bytes=300 memory:memory.soft_limit_in_bytes=50",
        "memory.max=100 memory.swap.max=200 memory.low=50",
    ),
    (
        r#"{"memory":{"limit":100,"swap":100}}"#,
        "memory:memory.limit_in_bytes=100 memory:memory.memsw.limit_in_bytes=100",
        "memory.max=100 ?memory.swap.max=0",
    ),
    (
        r#"{"memory":{"limit":-1}}"#,
        "memory:?memory.limit_in_bytes=-1 memory:?memory.memsw.limit_in_bytes=-1",
        "?memory.max=max ?memory.swap.max=max",
    ),
    (
        r#"{"memory":{"limit":100,"swap":-1}}"#,
        "memory:memory.limit_in_bytes=100 memory:?memory.memsw.limit_in_bytes=-1",
        "memory.max=100 ?memory.swap.max=max",
    ),
    (
        r#"{"memory":{"limit":100,"swap":50}}"#,
        "memory:memory.limit_in_bytes=100 memory:memory.memsw.limit_in_bytes=50",
        "!memory.swap",
    ),
    (r#"{"memory":{"swap":50}}"#, "memory:memory.memsw.limit_in_bytes=50", "!memory.swap"),
    (r#"{"memory":{"limit":-2}}"#, "!memory.limit", "!memory.limit"),
    (
        r#"{"memory":{"kernel":5,"kernelTCP":6}}"#,
        "memory:memory.kmem.limit_in_bytes=5 memory:memory.kmem.tcp.limit_in_bytes=6",
        "!memory.kernel",
    ),
    (r#"{"memory":{"kernelTCP":6}}"#, "memory:memory.kmem.tcp.limit_in_bytes=6", "!memory.kernelTCP"),
    (r#"{"memory":{"kernel":-1}}"#, "memory:?memory.kmem.limit_in_bytes=-1", ""),
    (r#"{"memory":{"swappiness":0}}"#, "memory:memory.swappiness=0", "!memory.swappiness"),
    (r#"{"memory":{"swappiness":101}}"#, "!memory.swappiness", "!memory.swappiness"),
    (r#"{"memory":{"disableOOMKiller":true}}"#, "memory:memory.oom_control=1", "!memory.disableOOMKiller"),
    (r#"{"memory":{"disableOOMKiller":false}}"#, "memory:?memory.oom_control=0", ""),
    (r#"{"memory":{"useHierarchy":true}}"#, "memory:?memory.use_hierarchy=1", ""),
    (r#"{"memory":{"useHierarchy":false}}"#, "memory:memory.use_hierarchy=0", "!memory.useHierarchy"),
    (r#"{"cpu":{"shares":1024}}"#, "cpu:cpu.shares=1024", "cpu.weight=100"),
    (r#"{"cpu":{"shares":2}}"#, "cpu:cpu.shares=2", "cpu.weight=1"),
    (r#"{"cpu":{"shares":262144}}"#, "cpu:cpu.shares=262144", "cpu.weight=10000"),
    (r#"{"cpu":{"shares":0}}"#, "", ""),
    (r#"{"cpu":{"shares":1}}"#, "!cpu.shares", "cpu.weight=1"),
    (
        r#"{"cpu":{"quota":50000,"period":100000}}"#,
        "cpu:cpu.cfs_period_us=100000 cpu:cpu.cfs_quota_us=50000",
        "cpu.max=50000 100000",
    ),
    (r#"{"cpu":{"quota":50000}}"#, "cpu:cpu.cfs_quota_us=50000", "cpu.max=50000"),
    (r#"{"cpu":{"period":50000}}"#, "cpu:cpu.cfs_period_us=50000", "cpu.max=max 50000"),
    (r#"{"cpu":{"quota":-1}}"#, "cpu:?cpu.cfs_quota_us=-1", "?cpu.max=max"),
    (
        r#"{"cpu":{"quota":-1,"period":50000}}"#,
        "cpu:cpu.cfs_period_us=50000 cpu:?cpu.cfs_quota_us=-1",
        "?cpu.max=max 50000",
    ),
    (r#"{"cpu":{"quota":10}}"#, "!cpu.quota", "!cpu.quota"),
    (r#"{"cpu":{"period":10}}"#, "!cpu.period", "!cpu.period"),
    (r#"{"cpu":{"burst":1000}}"#, "cpu:cpu.cfs_burst_us=1000", "cpu.max.burst=1000"),
    (r#"{"cpu":{"burst":0,"idle":0}}"#, "cpu:?cpu.cfs_burst_us=0 cpu:?cpu.idle=0", "?cpu.max.burst=0 ?cpu.idle=0"),
    (r#"{"cpu":{"idle":1}}"#, "cpu:cpu.idle=1", "cpu.idle=1"),
    (r#"{"cpu":{"idle":2}}"#, "!cpu.idle", "!cpu.idle"),
    (
        r#"{"cpu":{"realtimePeriod":1000000,"realtimeRuntime":950000}}"#,
        "cpu:cpu.rt_period_us=1000000 cpu:cpu.rt_runtime_us=950000",
        "!cpu.realtimePeriod",
    ),
    (r#"{"cpu":{"realtimeRuntime":1}}"#, "cpu:cpu.rt_runtime_us=1", "!cpu.realtimeRuntime"),
    (
        r#"{"cpu":{"cpus":"0-1","mems":"0"}}"#,
        "cpuset:cpuset.cpus=0-1 cpuset:cpuset.mems=0",
        "cpuset.cpus=0-1 cpuset.mems=0",
    ),
    (r#"{"pids":{"limit":64}}"#, "pids:pids.max=64", "pids.max=64"),
    (r#"{"pids":{"limit":0}}"#, "pids:?pids.max=max", "?pids.max=max"),
    (r#"{"pids":{"limit":-1}}"#, "pids:?pids.max=max", "?pids.max=max"),
    (
        r#"{"blockIO":{"weight":500}}"#,
        "blkio:blkio.weight=500 | blkio.bfq.weight=500",
        "io.bfq.weight=500 | io.weight=default 4950",
    ),
    (
        r#"{"blockIO":{"weight":10}}"#,
        "blkio:blkio.weight=10 | blkio.bfq.weight=10",
        "io.bfq.weight=10 | io.weight=default 1",
    ),
    (
        r#"{"blockIO":{"weight":1000}}"#,
        "blkio:blkio.weight=1000 | blkio.bfq.weight=1000",
        "io.bfq.weight=1000 | io.weight=default 10000",
    ),
    (r#"{"blockIO":{"weight":5}}"#, "!blockIO.weight", "!blockIO.weight"),
    (r#"{"blockIO":{"leafWeight":500}}"#, "blkio:blkio.leaf_weight=500", "!blockIO.leafWeight"),
    (
        r#"{"blockIO":{"weightDevice":[{"major":8,"minor":0,"weight":500}]}}"#,
        "blkio:blkio.weight_device=8:0 500 | blkio.bfq.weight_device=8:0 500",
        "io.bfq.weight=8:0 500 | io.weight=8:0 4950",
    ),
    (
        r#"{"blockIO":{"weightDevice":[{"major":8,"minor":0,"leafWeight":500}]}}"#,
        "blkio:blkio.leaf_weight_device=8:0 500",
        "!blockIO.weightDevice.leafWeight",
    ),
    (
        r#"{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":5}],"throttleWriteIOPSDevice":[{"major":8,"minor":1,"rate":0}]}}"#,
        "blkio:blkio.throttle.read_bps_device=8:0 5 blkio:blkio.throttle.write_iops_device=8:1 0",
        "io.max=8:0 rbps=5 io.max=8:1 wiops=max",
    ),
    (
        r#"{"blockIO":{"throttleWriteBpsDevice":[{"major":8,"minor":0,"rate":5}],"throttleReadIOPSDevice":[{"major":8,"minor":1,"rate":7}]}}"#,
        "blkio:blkio.throttle.write_bps_device=8:0 5 blkio:blkio.throttle.read_iops_device=8:1 7",
        "io.max=8:0 wbps=5 io.max=8:1 riops=7",
    ),
    (
        r#"{"blockIO":{"throttleReadBpsDevice":[{"major":-1,"minor":0,"rate":5}]}}"#,
        "!blockIO.throttleReadBpsDevice",
        "!blockIO.throttleReadBpsDevice",
    ),
    (
        r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}"#,
        "hugetlb:hugetlb.2MB.limit_in_bytes=4194304 hugetlb:?hugetlb.2MB.rsvd.limit_in_bytes=4194304",
        "hugetlb.2MB.max=4194304 ?hugetlb.2MB.rsvd.max=4194304",
    ),
    (r#"{"hugepageLimits":[{"pageSize":"../x","limit":1}]}"#, "!hugepageLimits.pageSize", "!hugepageLimits.pageSize"),
    (r#"{"hugepageLimits":[{"pageSize":"MB","limit":1}]}"#, "!hugepageLimits.pageSize", "!hugepageLimits.pageSize"),
    (
        r#"{"rdma":{"mlx5_0":{"hcaHandles":3,"hcaObjects":10000}}}"#,
        "rdma:rdma.max=mlx5_0 hca_handle=3 hca_object=10000",
        "rdma.max=mlx5_0 hca_handle=3 hca_object=10000",
    ),
    (r#"{"rdma":{"mlx5_0":{"hcaHandles":3}}}"#, "rdma:rdma.max=mlx5_0 hca_handle=3", "rdma.max=mlx5_0 hca_handle=3"),
    (r#"{"rdma":{"mlx5_0":{}}}"#, "!rdma.mlx5_0", "!rdma.mlx5_0"),
    (r#"{"rdma":{"a b":{"hcaHandles":3}}}"#, "!rdma", "!rdma"),
    (r#"{"network":{"classID":1048577}}"#, "net_cls:net_cls.classid=1048577", "!network.classID"),
    (r#"{"network":{"classID":0}}"#, "net_cls:?net_cls.classid=0", ""),
    (
        r#"{"network":{"priorities":[{"name":"eth0","priority":5}]}}"#,
        "net_prio:net_prio.ifpriomap=eth0 5",
        "!network.priorities",
    ),
    (r#"{"network":{"priorities":[{"name":"eth0 6\nx","priority":5}]}}"#, "!network.priorities", "!network.priorities"),
    (r#"{"unified":{"memory.high":"1G","pids.max":"7"}}"#, "!unified.memory.high", "memory.high=1G pids.max=7"),
    (r#"{"unified":{"io.max":"8:0 rbps=1\n8:1 rbps=2\n"}}"#, "!unified.io.max", "io.max=8:0 rbps=1 io.max=8:1 rbps=2"),
    (r#"{"unified":{"cgroup.max.depth":"3"}}"#, "!unified.cgroup.max.depth", "cgroup.max.depth=3"),
    (r#"{"unified":{"cgroup.procs":"1"}}"#, "!unified.cgroup.procs", "!unified.cgroup.procs"),
    (r#"{"unified":{"cgroup.freeze":"1"}}"#, "!unified.cgroup.freeze", "!unified.cgroup.freeze"),
    (r#"{"unified":{"../x.y":"1"}}"#, "!unified.../x.y", "!unified.../x.y"),
    (r#"{"unified":{"memory":"1"}}"#, "!unified.memory", "!unified.memory"),
    (r#"{"unified":{"misc.max":"1"}}"#, "!unified.misc.max", "!unified.misc.max"),
];

#[test]
fn every_property_in_both_versions() {
    let sides = [(host(V1, None), 0), (host("", Some((V2, true))), 1)];
    for (json, v1, v2) in TABLE {
        for (host, side) in &sides {
            let expected = if *side == 0 { v1 } else { v2 };
            let got = lines(json, &Known::default(), host);
            match expected.strip_prefix('!') {
                Some(property) => {
                    let error = got.expect_err(json);
                    assert!(error.starts_with(&format!("linux.resources.{property}")), "{json}: {error}");
                }
                None => assert_eq!(got.unwrap().join(" "), *expected, "{json}"),
            }
        }
    }
}

#[test]
fn a_hybrid_host_has_each_controller_on_one_side() {
    let host = host("memory pids", Some(("hugetlb", false)));
    let json =
        r#"{"memory":{"limit":9},"hugepageLimits":[{"pageSize":"2MB","limit":0}],"unified":{"hugetlb.2MB.max":"1"}}"#;
    let expected =
        ["memory:memory.limit_in_bytes=9", "hugetlb.2MB.max=0", "?hugetlb.2MB.rsvd.max=0", "hugetlb.2MB.max=1"];
    assert_eq!(lines(json, &Known::default(), &host).unwrap(), expected);
    let error = lines(r#"{"unified":{"memory.high":"1"}}"#, &Known::default(), &host).unwrap_err();
    assert!(error.contains("cgroup v1, at /cg/memory"), "{error}");
}

#[test]
fn what_no_controller_holds_is_told_and_unlimited_is_none() {
    for host in [host("", None), host("", Some(("", true)))] {
        for (json, property) in [
            (r#"{"memory":{"limit":5}}"#, "memory.limit"),
            (r#"{"cpu":{"quota":5000}}"#, "cpu.quota"),
            (r#"{"cpu":{"cpus":"0"}}"#, "cpu.cpus"),
            (r#"{"pids":{"limit":5}}"#, "pids.limit"),
            (r#"{"blockIO":{"weight":500}}"#, "blockIO.weight"),
            (r#"{"hugepageLimits":[{"pageSize":"2MB","limit":1}]}"#, "hugepageLimits"),
            (r#"{"rdma":{"x":{"hcaHandles":1}}}"#, "rdma.x"),
            (r#"{"network":{"classID":5}}"#, "network.classID"),
        ] {
            let error = lines(json, &Known::default(), &host).unwrap_err();
            assert!(error.starts_with(&format!("linux.resources.{property}: ")), "{error}");
        }
        for json in [
            r#"{"memory":{"limit":-1,"swap":-1,"disableOOMKiller":false}}"#,
            r#"{"cpu":{"quota":-1,"burst":0},"pids":{"limit":-1}}"#,
            r#"{"hugepageLimits":[{"pageSize":"2MB","limit":18446744073709551615}],"network":{"classID":0}}"#,
        ] {
            assert_eq!(lines(json, &Known::default(), &host), Ok(Vec::new()), "{json}");
        }
    }
}

#[test]
fn an_update_of_half_a_file_keeps_the_other_half() {
    let host = host("", Some((V2, true)));
    let known = Known { memory_limit: Some(100), cpu_quota: Some("5000".to_owned()), cpu_period: Some(9) };
    for (json, expected) in [
        (r#"{"cpu":{"period":50000}}"#, "cpu.max=5000 50000"),
        (r#"{"cpu":{"quota":6000}}"#, "cpu.max=6000"),
        (r#"{"memory":{"swap":150}}"#, "memory.swap.max=50"),
        (r#"{"memory":{"limit":120,"swap":150}}"#, "memory.max=120 memory.swap.max=30"),
    ] {
        assert_eq!(lines(json, &known, &host).unwrap().join(" "), expected);
    }
}
