//! Whole configurations, and one property after the other of a small one.

use serde_json::{Value, json};

use super::*;
use ctr_sandbox::bundle::{BundleShown, NodeKind};
use ctr_sandbox::options::PropagationKind;
use ctr_sys::mount::MountAttr;
use ctr_sys::privilege::CapSet;
use std::path::PathBuf;

pub(super) fn translated(config: &Config, facts: &Facts) -> Result<Bundle, TranslateError> {
    bundle(config, Path::new("/b"), &Options::default(), facts).map(|translated| translated.plan)
}

fn read(document: Value) -> Config {
    serde_json::from_value(document).unwrap()
}

/// A small configuration with `changes`: paths as `linux.devices`, and their values.
pub(super) fn config(changes: &[(&str, Value)]) -> Config {
    let mut document = json!({
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs"},
        "process": {"cwd": "/", "args": ["sh"], "user": {"uid": 0, "gid": 0}},
        "linux": {"namespaces": [
            {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}
        ]}
    });
    for (path, value) in changes {
        let place = path.split('.').fold(&mut document, |place, name| &mut place[name]);
        *place = value.clone();
    }
    read(document)
}

pub(super) fn with(changes: &[(&str, Value)]) -> Result<Bundle, TranslateError> {
    translated(&config(changes), &Facts { held: CapSet::ALL, ..Facts::default() })
}

/// The property that is wrong with these changes.
pub(super) fn wrong(changes: &[(&str, Value)]) -> String {
    match with(changes) {
        Ok(_) => panic!("{changes:?} is translated"),
        Err(error) => error.property().to_owned(),
    }
}

#[test]
fn the_default_configuration() {
    let config = read(serde_json::from_str(include_str!("../../../../tests/data/oci/spec.json")).unwrap());
    let bundle = translated(&config, &Facts { held: CapSet::ALL, ..Facts::default() }).unwrap();
    assert_eq!(bundle.rootfs.path, PathBuf::from("/b/rootfs"));
    assert!(bundle.rootfs.read_only);
    assert_eq!(bundle.namespaces, ["pid", "net", "ipc", "uts", "mnt"]);
    assert_eq!((bundle.process.user.as_str(), bundle.process.umask), ("0:0", 0o022));
    assert_eq!(bundle.process.capabilities.len(), 3);
    assert_eq!(bundle.hostname.as_deref(), Some("runc"));
    assert_eq!((bundle.mounts.len(), bundle.masked_paths.len(), bundle.read_only_paths.len()), (7, 10, 5));
    assert_eq!(bundle.devices.len(), 6);
    assert!(bundle.terminal.is_some() && bundle.process.home_from_passwd);
    let dev = &bundle.mounts[1];
    assert_eq!(dev.attributes.set, MountAttr::NOSUID.and(MountAttr::STRICTATIME));
    let options = [(c"source", c"tmpfs"), (c"mode", c"755"), (c"size", c"65536k")];
    let expected = BundleShown::Filesystem {
        kind: c"tmpfs".to_owned(),
        options: options.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec(),
        copy_up: false,
    };
    assert_eq!(dev.shown, expected);
    assert_eq!(bundle.mounts[6].shown, BundleShown::Cgroups);
}

#[test]
fn the_default_configuration_of_a_user() {
    let config = read(serde_json::from_str(include_str!("../../../../tests/data/oci/spec-rootless.json")).unwrap());
    let bundle = translated(&config, &Facts::default()).unwrap();
    assert!(bundle.map.is_single() && bundle.namespaces.contains(&"user"));
    let sys = bundle.mounts.iter().find(|mount| mount.target == "/sys").unwrap();
    assert_eq!(sys.shown, BundleShown::Bind { source: PathBuf::from("/sys"), recursive: true });
}

#[test]
fn what_is_required() {
    for (path, value) in [
        ("process", json!(null)),
        ("process.cwd", json!("")),
        ("process.args", json!([])),
        ("root", json!(null)),
        ("root.path", json!("")),
    ] {
        assert_eq!(wrong(&[(path, value)]), path);
    }
    assert_eq!(wrong(&[("ociVersion", json!("2.0.0"))]), "ociVersion");
    assert_eq!(wrong(&[("annotations", json!({"": "x"}))]), "annotations");
    assert_eq!(wrong(&[("linux.namespaces", json!([{"type": "pid"}]))]), "linux.namespaces");
    assert_eq!(wrong(&[("linux", json!(null))]), "linux.namespaces");
}

#[test]
fn how_the_runtime_was_called() {
    let options = Options { no_pivot: true, keep_keyring: true, preserve_fds: 3 };
    let config = config(&[("root.path", json!("/abs")), ("root.readonly", json!(true))]);
    let bundle = bundle(&config, Path::new("/b"), &options, &Facts::default()).unwrap().plan;
    assert!(bundle.no_pivot && bundle.keep_keyring && bundle.rootfs.read_only);
    assert_eq!((bundle.preserve_fds, bundle.rootfs.path), (3, PathBuf::from("/abs")));
    assert_eq!(bundle.rootfs.propagation, PropagationKind::Private);
}

#[test]
fn devices() {
    let device = |changes: Value| {
        let mut device = json!({"type": "c", "path": "/dev/fuse", "major": 10, "minor": 229});
        device.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        device
    };
    let nodes = |list: Value| with(&[("linux.devices", list)]).unwrap().devices;
    let last = |changes: Value| nodes(json!([device(changes)])).pop().unwrap();
    assert_eq!(nodes(json!([])).len(), 6);
    assert_eq!(last(json!({})).kind, NodeKind::Char(10, 229));
    assert_eq!((last(json!({})).mode, last(json!({})).uid, last(json!({})).gid), (0o666, 0, 0));
    assert_eq!(last(json!({"type": "u"})).kind, NodeKind::Char(10, 229));
    assert_eq!(last(json!({"type": "b"})).kind, NodeKind::Block(10, 229));
    assert_eq!(last(json!({"type": "p", "major": null, "minor": null})).kind, NodeKind::Fifo);
    assert_eq!(last(json!({"fileMode": 0o20640, "uid": 3, "gid": 4})).mode, 0o640);
    assert_eq!(last(json!({"path": "/dev//net/../net/tun"})).path, "/dev/net/tun");
    let null = nodes(json!([device(json!({"path": "/dev/null"})), device(json!({"path": "/dev/null", "minor": 3}))]));
    assert_eq!(null.iter().filter(|node| node.path == "/dev/null").count(), 1);
    assert_eq!(null.last().unwrap().kind, NodeKind::Char(10, 3));
    assert_eq!(nodes(json!([device(json!({"path": "/dev/ptmx"}))])).len(), 6);
    let bind = json!([{"destination": "/dev", "type": "bind", "source": "/dev", "options": ["rbind"]}]);
    let own = with(&[("mounts", bind), ("linux.devices", json!([device(json!({}))]))]).unwrap();
    assert_eq!(own.devices, []);
    for (changes, property) in [
        (json!({"type": "x"}), "type"),
        (json!({"type": ""}), "type"),
        (json!({"path": "/etc/x"}), "path"),
        (json!({"path": "/dev/../etc/x"}), "path"),
        (json!({"path": "dev/x"}), "path"),
        (json!({"path": "/dev"}), "path"),
        (json!({"path": "/dev/stdin"}), "path"),
        (json!({"path": "/dev/a\u{0}"}), "path"),
        (json!({"major": null}), "major"),
        (json!({"major": -1}), "major"),
        (json!({"minor": 1 << 20}), "minor"),
        (json!({"minor": i64::MAX}), "minor"),
    ] {
        let found = wrong(&[("linux.devices", json!([device(json!({})), device(changes.clone())]))]);
        assert_eq!(found, format!("linux.devices[1].{property}"), "{changes}");
    }
}

#[test]
fn namespaces_and_ids() {
    let mount = json!({"type": "mount"});
    let set = |list: Value, uids: Value, gids: Value| {
        with(&[("linux.namespaces", list), ("linux.uidMappings", uids), ("linux.gidMappings", gids)])
    };
    let (none, ids) = (json!([]), json!([{"containerID": 0, "hostID": 1000, "size": 10}]));
    let user = json!([mount, {"type": "user"}]);
    let bundle = set(user.clone(), ids.clone(), ids.clone()).unwrap();
    assert_eq!(bundle.map.outside_uid(5), Some(1005));
    let joined = json!([mount, {"type": "user", "path": "/proc/1/ns/user"}, {"type": "network", "path": "/n"}]);
    let bundle = set(joined, ids.clone(), none.clone()).unwrap();
    assert_eq!(bundle.joins.iter().map(|join| join.kind).collect::<Vec<_>>(), ["user", "net"]);
    assert!(bundle.map.uids.is_empty());
    let mapping = |a: u32, b: u32, c: u32| json!([{"containerID": a, "hostID": b, "size": c}]);
    for (list, uids, gids, property) in [
        (json!([mount, mount]), none.clone(), none.clone(), "linux.namespaces[1]"),
        (json!([mount, {"type": "net"}]), none.clone(), none.clone(), "linux.namespaces[1].type"),
        (json!([{"type": "mount", "path": "m"}]), none.clone(), none.clone(), "linux.namespaces[0].path"),
        (json!([]), none.clone(), none.clone(), "linux.namespaces"),
        (json!([mount, {"type": "pid", "path": "rel"}]), none.clone(), none.clone(), "linux.namespaces[1].path"),
        (json!([mount]), ids.clone(), none.clone(), "linux.uidMappings"),
        (json!([mount]), none.clone(), ids.clone(), "linux.gidMappings"),
        (user.clone(), none.clone(), ids.clone(), "linux.uidMappings"),
        (user.clone(), ids.clone(), none.clone(), "linux.gidMappings"),
        (user.clone(), mapping(0, 1, 0), ids.clone(), "linux.uidMappings"),
        (user.clone(), mapping(1, 1, 5), ids.clone(), "linux.uidMappings"),
        (user.clone(), ids.clone(), mapping(0, u32::MAX, 5), "linux.gidMappings"),
    ] {
        assert_eq!(set(list.clone(), uids, gids).unwrap_err().property(), property, "{list}");
    }
}

#[test]
fn names_parameters_and_clocks() {
    let bundle = with(&[
        ("hostname", json!("h")),
        ("domainname", json!("d.e")),
        ("linux.sysctl", json!({"net.ipv4.ip_forward": "1", "kernel/shmmax": "5", "fs.mqueue.msg_max": "9"})),
        ("linux.personality", json!({"domain": "LINUX32"})),
        ("linux.rootfsPropagation", json!("rslave")),
    ])
    .unwrap();
    assert_eq!((bundle.hostname.as_deref(), bundle.kernel.domainname.as_deref()), (Some("h"), Some("d.e")));
    assert_eq!(bundle.kernel.sysctls.len(), 3);
    assert_eq!(bundle.process.scheduling.personality, Some(8));
    assert_eq!(bundle.rootfs.propagation, PropagationKind::Slave);
    let few = json!([{"type": "mount"}]);
    let time = json!([{"type": "mount"}, {"type": "time"}]);
    for (changes, property) in [
        (vec![("linux.namespaces", few.clone()), ("hostname", json!("h"))], "hostname"),
        (vec![("linux.namespaces", few.clone()), ("domainname", json!("h"))], "domainname"),
        (vec![("hostname", json!("h".repeat(65)))], "hostname"),
        (
            vec![("linux.sysctl", json!({"kernel.hostname": "x"})), ("hostname", json!("h"))],
            "linux.sysctl[\"kernel.hostname\"]",
        ),
        (vec![("linux.sysctl", json!({"vm.swappiness": "1"}))], "linux.sysctl[\"vm.swappiness\"]"),
        (
            vec![("linux.sysctl", json!({"net/../kernel/core_pattern": "1"}))],
            "linux.sysctl[\"net/../kernel/core_pattern\"]",
        ),
        (vec![("linux.sysctl", json!({"user.max_net_namespaces": "1"}))], "linux.sysctl[\"user.max_net_namespaces\"]"),
        (
            vec![("linux.sysctl", json!({"net.x.y": "1"})), ("linux.namespaces", few.clone())],
            "linux.sysctl[\"net.x.y\"]",
        ),
        (vec![("linux.personality", json!({"domain": "LINUX64"}))], "linux.personality.domain"),
        (vec![("linux.personality", json!({"domain": "LINUX", "flags": ["X"]}))], "linux.personality.flags[0]"),
        (vec![("linux.rootfsPropagation", json!("none"))], "linux.rootfsPropagation"),
        (vec![("linux.timeOffsets", json!({"monotonic": {"secs": 1}}))], "linux.timeOffsets"),
        (
            vec![("linux.namespaces", time.clone()), ("linux.timeOffsets", json!({"realtime": {"secs": 1}}))],
            "linux.timeOffsets[\"realtime\"]",
        ),
        (
            vec![("linux.namespaces", time.clone()), ("linux.timeOffsets", json!({"boottime": {"secs": i64::MAX}}))],
            "linux.timeOffsets[\"boottime\"]",
        ),
        (vec![("linux.maskedPaths", json!(["/proc/x", "rel"]))], "linux.maskedPaths[1]"),
        (vec![("linux.readonlyPaths", json!(["/.."]))], "linux.readonlyPaths[0]"),
        (vec![("linux.mountLabel", json!("a:b:c:d"))], "linux.mountLabel"),
    ] {
        assert_eq!(wrong(&changes), property);
    }
    let clocks = json!({"monotonic": {"secs": -2, "nanosecs": 5}, "boottime": {"secs": 3}});
    let bundle = with(&[("linux.namespaces", time), ("linux.timeOffsets", clocks)]).unwrap();
    let clocks = bundle.kernel.clocks.unwrap();
    assert_eq!((clocks.monotonic, clocks.boottime), (Some(-1_999_999_995), Some(3_000_000_000)));
}

#[test]
fn a_namespace_that_is_the_runtimes_own_is_the_hosts() {
    let joined = config(&[("linux.namespaces", json!([{"type": "mount", "path": "/m"}]))]);
    assert_eq!(translated(&joined, &Facts::default()).unwrap().joins.len(), 1);
    let facts = Facts { shared: vec!["mnt"], ..Facts::default() };
    assert_eq!(translated(&joined, &facts).unwrap_err().property(), "linux.namespaces");
    let config = config(&[
        ("linux.namespaces", json!([{"type": "mount"}, {"type": "uts", "path": "/proc/1/ns/uts"}])),
        ("hostname", json!("h")),
    ]);
    assert!(translated(&config, &Facts::default()).is_ok());
    let facts = Facts { shared: vec!["uts"], ..Facts::default() };
    assert_eq!(translated(&config, &facts).unwrap_err().property(), "hostname");
}

#[test]
fn hooks() {
    let hook = json!([{"path": "/h", "timeout": 2, "env": ["A=b"]}]);
    let bundle = with(&[("hooks.createContainer", hook.clone()), ("hooks.poststop", hook.clone())]).unwrap();
    assert_eq!(bundle.create_container[0].args, [c"/h".to_owned()]);
    assert_eq!(bundle.create_container[0].timeout.unwrap().as_secs(), 2);
    assert!(!bundle.caller_hooks && with(&[("hooks.prestart", hook)]).unwrap().caller_hooks);
    for (kind, hook, property) in [
        ("prestart", json!({"path": "h"}), "path"),
        ("createRuntime", json!({"path": "/h", "timeout": 0}), "timeout"),
        ("createContainer", json!({"path": "/h", "timeout": -1}), "timeout"),
        ("startContainer", json!({"path": "/h", "args": ["a", "b\u{0}"]}), "args[1]"),
        ("poststart", json!({"path": ""}), "path"),
        ("poststop", json!({"path": "/h", "env": ["\u{0}"]}), "env[0]"),
    ] {
        let changes = [(format!("hooks.{kind}"), json!([hook]))];
        let changes: Vec<_> = changes.iter().map(|(path, value)| (path.as_str(), value.clone())).collect();
        assert_eq!(wrong(&changes), format!("hooks.{kind}[0].{property}"));
    }
}

#[test]
fn versions() {
    for good in ["1.0.0", "1.0.0-rc5", "1.0.2-dev", "1.1.0-rc.2+dev", "1.2.1", "1.3.0", "1.3.99+build"] {
        assert_eq!(check_version(good), Ok(()), "{good}");
    }
    for bad in ["", "1", "1.0", "0.9.0", "1.4.0", "2.0.0", "1.0.0.0", "v1.0.0", "1.x.0", "1.+1.0", "-1.0.0", "1..0"] {
        let error = check_version(bad).unwrap_err();
        assert_eq!(error.property(), "ociVersion");
        assert!(error.to_string().contains(&format!("\"{bad}\"")), "{error}");
    }
}

/// What engines write: recorded, and cleaned of names of the machine.
#[test]
fn every_engines_configuration_is_translated() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/oci");
    let facts = Facts { held: CapSet::ALL, apparmor: true, selinux: true, ..Facts::default() };
    let (mut found, mut failed) = (0, Vec::new());
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let done = if name.contains("process") {
            let process = serde_json::from_str(&text).unwrap();
            process::plan("process", &process, &Ids::Callers, &facts).map(drop)
        } else {
            translated(&serde_json::from_str(&text).unwrap(), &facts).map(drop)
        };
        failed.extend(done.err().map(|error| format!("{name}: {error}")));
        found += 1;
    }
    assert_eq!(failed, Vec::<String>::new());
    assert!(found >= 30, "{found}");
}
