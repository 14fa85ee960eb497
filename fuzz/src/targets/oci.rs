//! Configurations of engines, and process documents.

use std::path::Path;

use ctr_oci::config::{Config, Process};
use ctr_oci::translate::{self, Facts, Ids, Options};
use ctr_sys::privilege::CapSet;

use crate::Target;

/// A plan, or an error that names a property; in a plan nothing is mounted on `/`, no path leads upwards, and devices are below
/// `/dev`.
pub(crate) const OCI_CONFIG: Target = Target {
    name: "oci_config",
    run,
    vectors: &["../../tests/data/oci"],
    data: None,
    seeds: &[
        br#"{"ociVersion":"1.3.0","root":{"path":"r"},"process":{"cwd":"/","args":["sh"],"env":["A=b"],"user":{"uid":1,"gid":2,"additionalGids":[3]},"rlimits":[{"type":"RLIMIT_NOFILE","soft":1,"hard":2}],"scheduler":{"policy":"SCHED_FIFO","priority":3,"flags":["SCHED_FLAG_RESET_ON_FORK"]},"ioPriority":{"class":"IOPRIO_CLASS_RT","priority":7},"execCPUAffinity":{"initial":"0-3","final":"1"},"consoleSize":{"height":1,"width":2},"terminal":true},"mounts":[{"destination":"a/../proc","type":"proc","options":["remount","rro","mode=5","idmap","rshared","tmpcopyup"]},{"destination":"/b","source":"s","options":["rbind","ridmap"],"uidMappings":[{"containerID":0,"hostID":4294967295,"size":4294967295}],"gidMappings":[{"containerID":0,"hostID":1,"size":2}]}],"hooks":{"prestart":[{"path":"/h","timeout":1}]},"linux":{"namespaces":[{"type":"mount"},{"type":"user"},{"type":"time"},{"type":"network","path":"/n"}],"uidMappings":[{"containerID":0,"hostID":1,"size":9}],"gidMappings":[{"containerID":0,"hostID":1,"size":9}],"devices":[{"type":"c","path":"/dev/../dev/x","major":1,"minor":2,"fileMode":8630}],"sysctl":{"net.a/b.c":"1"},"timeOffsets":{"monotonic":{"secs":-9223372036854775808,"nanosecs":999999999}},"memoryPolicy":{"mode":"MPOL_BIND","nodes":"0-1","flags":["MPOL_F_STATIC_NODES"]},"netDevices":{"e":{"name":"f%d"}},"personality":{"domain":"LINUX32"},"rootfsPropagation":"rslave","maskedPaths":["/a"],"readonlyPaths":["/b/.."],"mountLabel":"l"}}"#,
        br#"{"cwd":"/","args":["x"],"capabilities":{"bounding":["CAP_KILL","X"],"ambient":["CAP_KILL"]},"selinuxLabel":"a","apparmorProfile":"b","oomScoreAdj":-1001}"#,
    ],
};

fn run(bytes: &[u8]) {
    let facts = Facts { selinux: true, apparmor: true, shared: vec!["uts"], held: CapSet(0xff) };
    if let Ok(process) = serde_json::from_slice::<Process>(bytes)
        && let Err(error) = translate::process_plan("process", &process, &Ids::Foreign, &facts)
    {
        assert!(error.property().starts_with("process"), "{error}");
    }
    let Ok(config) = serde_json::from_slice::<Config>(bytes) else { return };
    match translate::bundle(&config, Path::new("/b"), &Options::default(), &facts) {
        Err(error) => assert!(!error.property().is_empty(), "{error}"),
        Ok(translated) => {
            let plan = translated.plan;
            let paths =
                plan.mounts.iter().map(|mount| &mount.target).chain(&plan.masked_paths).chain(&plan.read_only_paths);
            for path in paths.chain(plan.devices.iter().map(|device| &device.path)) {
                assert!(path.len() > 1 && path.starts_with('/') && !path.split('/').any(|part| part == ".."), "{path}");
            }
            assert!(plan.devices.iter().all(|device| device.path.starts_with("/dev/")));
            assert!(plan.namespaces.contains(&"mnt"));
        }
    }
}
