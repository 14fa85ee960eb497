//! Properties of a config.json as the kernel has them in the container.

use std::fs;

use ctr_tests::bundle::Bundle;
use ctr_tests::need;
use ctr_tests::scratch::{Cmd, Done};
use serde_json::{Value, json};

/// A bundle with `changes`: paths as `linux.devices`, and their values.
fn bundle(script: &str, changes: &[(&str, Value)]) -> Bundle {
    let bundle = Bundle::new(script);
    bundle.edit(|config| {
        for (path, value) in changes {
            let place = path.split('.').fold(&mut *config, |place, name| &mut place[name]);
            *place = value.clone();
        }
    });
    bundle
}

fn run(script: &str, changes: &[(&str, Value)]) -> String {
    bundle(script, changes).oci().args(["run", "c"]).ok()
}

/// What a container with these changes fails with; it leaves nothing.
fn refused(changes: &[(&str, Value)]) -> Done {
    let bundle = bundle("echo started", changes);
    let done = bundle.oci().args(["run", "c"]).fails(1);
    assert_eq!((done.stdout.as_str(), bundle.kept()), ("", Vec::new()), "{done}");
    done
}

/// The default namespaces and one more.
fn namespaces(more: Value) -> Value {
    let kinds = ["pid", "network", "ipc", "uts", "mount", "cgroup"];
    let mut list: Vec<Value> = kinds.iter().map(|kind| json!({"type": kind})).collect();
    list.push(more);
    Value::Array(list)
}

#[test]
fn identity_and_environment() {
    need!(root);
    let script = "id -u; id -g; id -G; umask; pwd; echo $A $HOME $B; grep -E 'NoNewPrivs|Cap(Eff|Bnd|Amb|Inh)' /proc/self/status; cat /proc/self/oom_score_adj; ulimit -n; ulimit -Hn";
    let bits = json!(["CAP_KILL", "CAP_CHOWN"]);
    let output = run(
        script,
        &[
            ("process.user", json!({"uid": 12, "gid": 34, "additionalGids": [56, 78], "umask": 0o027})),
            ("process.cwd", json!("/bin/../tmp")),
            ("process.env", json!(["PATH=/bin", "A=1", "HOME=/h", "A=2", "B=x=y"])),
            ("process.oomScoreAdj", json!(300)),
            ("process.rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}])),
            ("process.noNewPrivileges", json!(true)),
            (
                "process.capabilities",
                json!({"bounding": bits, "effective": bits, "permitted": bits, "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]}),
            ),
        ],
    );
    let expected = "12\n34\n34 56 78\n0027\n/tmp\n2 /h x=y\nCapInh:\t0000000000000020\nCapEff:\t0000000000000020\n\
        CapBnd:\t0000000000000021\nCapAmb:\t0000000000000020\nNoNewPrivs:\t1\n300\n100\n200";
    assert_eq!(output, expected);
}

#[test]
fn names_and_kernel_parameters() {
    need!(root);
    let output = run(
        "hostname; cat /proc/sys/kernel/domainname /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni /proc/sys/fs/mqueue/msg_max",
        &[
            ("hostname", json!("a.b-c")),
            ("domainname", json!("d.e")),
            ("linux.sysctl", json!({"net.ipv4.ip_forward": "1", "kernel/shmmni": "77", "fs.mqueue.msg_max": "9"})),
        ],
    );
    assert_eq!(output, "a.b-c\nd.e\n1\n77\n9");
    let few = json!([{"type": "mount"}, {"type": "pid"}]);
    for (changes, property) in [
        (vec![("linux.sysctl", json!({"kernel.core_pattern": "|/x"}))], "kernel.core_pattern"),
        (vec![("linux.sysctl", json!({"net.ipv4.none_such": "1"}))], "linux.sysctl[\"net.ipv4.none_such\"]"),
        (vec![("linux.sysctl", json!({"net/../kernel/core_pattern": "1"}))], "linux.sysctl"),
        (
            vec![("linux.namespaces", few.clone()), ("linux.sysctl", json!({})), ("domainname", json!("x"))],
            "domainname",
        ),
        (vec![("linux.namespaces", few), ("hostname", json!("")), ("domainname", json!("x"))], "domainname"),
    ] {
        refused(&changes).says(property);
    }
}

#[test]
fn namespaces_are_new_or_joined() {
    need!(root);
    let host = fs::read_link("/proc/self/ns/net").unwrap().display().to_string();
    let script = "for n in pid net ipc uts mnt cgroup user time; do readlink /proc/self/ns/$n; done";
    let output = run(script, &[("linux.namespaces", namespaces(json!({"type": "time"})))]);
    for (line, kind) in output.lines().zip(["pid", "net", "ipc", "uts", "mnt", "cgroup", "user", "time"]) {
        let own = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string();
        assert_eq!(line == own, kind == "user", "{kind}: {line}");
    }
    let mut holder = std::process::Command::new("unshare").args(["-n", "-u", "-i", "sleep", "600"]).spawn().unwrap();
    let pid = holder.id();
    let path = |kind: &str| format!("/proc/{pid}/ns/{kind}");
    ctr_tests::scratch::until("the namespaces are there", || {
        fs::read_link(path("net")).is_ok_and(|link| link.display().to_string() != host)
    });
    let list = json!([{"type": "mount"}, {"type": "pid"}, {"type": "network", "path": path("net")}, {"type": "uts", "path": path("uts")}, {"type": "ipc", "path": path("ipc")}]);
    let joined =
        bundle("for n in net uts ipc; do readlink /proc/self/ns/$n; done; hostname", &[("linux.namespaces", list)]);
    let done = joined.oci().args(["run", "c"]).run();
    let there = ["net", "uts", "ipc"].map(|kind| fs::read_link(path(kind)).unwrap().display().to_string());
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(done.ok(), format!("{}\nbundle", there.join("\n")));
    let own_uts = namespaces(json!({"type": "user"}));
    let own_uts = Value::Array(
        own_uts
            .as_array()
            .unwrap()
            .iter()
            .map(|one| match one["type"].as_str() {
                Some("uts") => json!({"type": "uts", "path": "/proc/self/ns/uts"}),
                _ => one.clone(),
            })
            .filter(|one| one["type"] != "user")
            .collect(),
    );
    refused(&[("linux.namespaces", own_uts)]).says("hostname");
    refused(&[("linux.namespaces", namespaces(json!({"type": "time", "path": "/none"})))]).says("/none");
}

#[test]
fn a_mount_namespace_that_is_joined_becomes_the_containers() {
    // spec: OCI-44
    need!(root);
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    // PID 2 of the pid namespace that it runs in, whose PID 1 everybody may look at.
    let mount = json!({"type": "mount", "path": "/proc/2/ns/mnt"});
    let script = "readlink /proc/self/ns/mnt; grep -c . /proc/self/mountinfo; ls -d /bin /dev/null";
    let joined = bundle(script, &[("linux.namespaces", json!([{"type": "pid"}, mount]))]);
    joined.edit(|config| drop(config.as_object_mut().unwrap().remove("hostname")));
    let own = bundle("grep -c . /proc/self/mountinfo", &[]).oci().args(["run", "c"]).ok();
    let runtime = ctr_tests::bins::binary("ctr-oci");
    let line = format!(
        "unshare -m sleep 600 & until [ $(readlink /proc/2/ns/mnt) != $(readlink /proc/1/ns/mnt) ]; do :; done; \
         readlink /proc/2/ns/mnt; {} --root {} run c",
        runtime.display(),
        joined.root().path().display()
    );
    let done = Cmd::new("unshare").args(["-m", "-p", "-f", "--mount-proc", "sh", "-c", &line]).dir(joined.dir()).ok();
    let (there, seen) = done.split_once('\n').unwrap();
    // Nothing of what the namespace had is left in it, and nothing of it is seen on the host.
    assert_eq!(seen, format!("{there}\n{own}\n/bin\n/dev/null"));
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
    assert_eq!(joined.kept(), Vec::<String>::new());
    let hook = json!([{"path": "/bin/true"}]);
    let list = json!([{"type": "uts"}, {"type": "mount", "path": "/none"}]);
    refused(&[("linux.namespaces", list), ("hooks", json!({"createContainer": hook}))]).says("hooks.createContainer");
}

/// In a pid namespace of its own, so that PID 1 is one whose root may change if it comes to that.
#[test]
fn the_mount_namespace_of_the_runtime_or_of_pid_1_is_not_joined() {
    // spec: OCI-44
    need!(root);
    for path in ["/proc/self/ns/mnt", "/proc/1/ns/mnt", "/proc/thread-self/ns/mnt", ""] {
        let bundle = bundle("echo started", &[]);
        let kept = if path.is_empty() { json!([]) } else { json!([{"type": "mount", "path": path}]) };
        bundle.edit(|config| {
            config["linux"]["namespaces"] = kept;
            drop(config.as_object_mut().unwrap().remove("hostname"));
        });
        let runtime = ctr_tests::bins::binary("ctr-oci");
        let line = format!("unshare -m {} --root {} run c; echo $?", runtime.display(), bundle.root().path().display());
        let done =
            Cmd::new("unshare").args(["-m", "-p", "-f", "--mount-proc", "sh", "-c", &line]).dir(bundle.dir()).run();
        assert_eq!(done.stdout.trim(), "1", "{path}: {done}");
        assert!(done.stderr.contains("linux.namespaces"), "{path}: {done}");
        assert_eq!(bundle.kept(), Vec::<String>::new(), "{path}: {done}");
    }
}

#[test]
fn ids_and_clocks() {
    need!(root);
    let ids = json!([{"containerID": 0, "hostID": 100_000, "size": 1000}]);
    let output = bundle(
        "cat /proc/self/uid_map /proc/self/gid_map; id -u; touch /tmp/made",
        &[
            ("linux.namespaces", namespaces(json!({"type": "user"}))),
            ("linux.uidMappings", ids.clone()),
            ("linux.gidMappings", ids),
        ],
    );
    for dir in ["", "tmp", "dev", "proc", "sys"] {
        std::os::unix::fs::chown(output.rootfs().join(dir), Some(100_000), Some(100_000)).unwrap();
    }
    let text = output.oci().args(["run", "c"]).ok();
    let words: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(words, ["0", "100000", "1000", "0", "100000", "1000", "0"]);
    let uptime = fs::read_to_string("/proc/uptime").unwrap();
    let now: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    let there = run(
        "cat /proc/uptime /proc/self/timens_offsets",
        &[
            ("linux.namespaces", namespaces(json!({"type": "time"}))),
            ("linux.timeOffsets", json!({"boottime": {"secs": 100_000}, "monotonic": {"secs": 7, "nanosecs": 5}})),
        ],
    );
    let shown: f64 = there.split(' ').next().unwrap().parse().unwrap();
    assert!((99_990.0..100_600.0).contains(&(shown - now)), "{there}");
    let words: Vec<&str> = there.split_whitespace().collect();
    assert_eq!(words[words.len() - 6..], ["monotonic", "7", "5", "boottime", "100000", "0"]);
}

#[test]
fn device_nodes() {
    need!(root);
    let output = run(
        "cd /dev; stat -c '%n %F %t:%T %a %u:%g' null tty own/char block fifo over; test ! -e console; readlink ptmx; readlink fd",
        &[(
            "linux.devices",
            json!([
                {"path": "/dev/own/char", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 5, "gid": 6},
                {"path": "/dev/block", "type": "b", "major": 7, "minor": 255},
                {"path": "/dev/fifo", "type": "p", "fileMode": 0o600},
                {"path": "/dev/over", "type": "u", "major": 1, "minor": 3},
                {"path": "/dev/over", "type": "c", "major": 1, "minor": 5},
                {"path": "/dev/ptmx", "type": "c", "major": 5, "minor": 2},
            ]),
        )],
    );
    let expected = "null character special file 1:3 666 0:0\ntty character special file 5:0 666 0:0\n\
        own/char character special file 1:3 640 5:6\nblock block special file 7:ff 666 0:0\n\
        fifo fifo 0:0 600 0:0\nover character special file 1:5 666 0:0\npts/ptmx\n/proc/self/fd";
    assert_eq!(output, expected);
    refused(&[("linux.devices", json!([{"path": "/etc/x", "type": "c", "major": 1, "minor": 3}]))])
        .says("linux.devices[0].path");
}

#[test]
fn scheduling_and_execution_domain() {
    need!(root);
    let output = run(
        "uname -m; cut -d ' ' -f 19,41 /proc/self/stat; ionice; grep -o -m1 bind.static:0 /proc/self/numa_maps",
        &[
            ("linux.personality", json!({"domain": "LINUX32"})),
            ("process.scheduler", json!({"policy": "SCHED_BATCH", "nice": 5})),
            ("process.ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 6})),
            ("linux.memoryPolicy", json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]})),
        ],
    );
    let lines: Vec<&str> = output.lines().collect();
    let machine = if cfg!(target_arch = "x86_64") { "i686" } else { "armv8l" };
    assert_eq!(lines[..3], [machine, "5 3", "best-effort: prio 6"]);
    assert_eq!(lines.get(3), Some(&"bind=static:0"), "{output}");
    for (policy, property) in [
        (json!({"mode": "MPOL_X"}), "linux.memoryPolicy.mode"),
        (json!({"mode": "MPOL_BIND"}), "linux.memoryPolicy.nodes"),
        (json!({"mode": "MPOL_LOCAL", "nodes": "0"}), "linux.memoryPolicy.nodes"),
        (json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["X"]}), "linux.memoryPolicy.flags[0]"),
        (json!({"mode": "MPOL_BIND", "nodes": "900"}), "linux.memoryPolicy"),
    ] {
        refused(&[("linux.memoryPolicy", policy)]).says(property);
    }
}

#[test]
fn network_devices_are_moved() {
    need!(root);
    let bundle = bundle(
        "ip -o addr show; cat /sys/class/net/*/address; ip -o link",
        &[("linux.netDevices", json!({"here0": {"name": "eth0"}, "here1": {"name": "dev%d"}}))],
    );
    let oci = bundle.oci().args(["run", "c"]);
    let command = oci.command();
    let quoted: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| format!("'{}'", word.display()))
        .collect();
    let script = format!(
        "set -e; ip link add here0 type veth peer name there0; ip link add here1 type veth peer name there1\n\
        ip addr add 192.0.2.7/24 dev here0; ip addr add 2001:db8::7/64 dev here0 nodad; ip link set here0 up; ip link set there0 up\n\
        ip link set here0 address 02:00:00:00:00:07; ip addr add 192.0.2.9/24 dev here0 valid_lft 300 preferred_lft 300\n\
        cd {}; {}; ip -o link | grep -c ': here' || true",
        bundle.dir().display(),
        quoted.join(" ")
    );
    let output = Cmd::new("unshare").args(["-n", "sh", "-c", &script]).ok();
    for words in ["eth0    inet 192.0.2.7/24", "inet6 2001:db8::7/64", "02:00:00:00:00:07", "dev0@", "UP"] {
        assert!(output.contains(words), "{words}: {output}");
    }
    // An address that runs out is somebody's who renews it.
    assert!(!output.contains("192.0.2.9") && output.ends_with("\n0"), "{output}");
    refused(&[("linux.netDevices", json!({"none-such": {}}))]).says("linux.netDevices[\"none-such\"]");
    refused(&[("linux.netDevices", json!({"lo": {}}))]).says("linux.netDevices[\"lo\"]");
}

#[test]
fn what_this_host_lacks_is_said() {
    need!(root);
    for (changes, property) in [
        ([("linux.intelRdt", json!({"closID": "x"}))], "linux.intelRdt"),
        ([("process.apparmorProfile", json!("p"))], "process.apparmorProfile"),
        ([("process.selinuxLabel", json!("a:b:c"))], "process.selinuxLabel"),
        ([("linux.mountLabel", json!("a:b:c"))], "linux.mountLabel"),
        ([("process.scheduler", json!({"policy": "SCHED_ISO"}))], "process.scheduler.policy"),
        ([("ociVersion", json!("2.0.0"))], "2.0.0"),
        ([("root.path", json!("/none/such"))], "root.path"),
    ] {
        refused(&changes).says(property);
    }
}
