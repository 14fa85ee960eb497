//! `spec`: a config.json to begin with. What is in it is what every other runtime writes, so that its users find what they know.

use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;

use ctr_cli::{Context as _, Failure};

use crate::args::Spec;
use crate::config::{
    Capabilities, Config, DeviceRule, IdMapping, Linux, Mount, Namespace, Process, Resources, Rlimit, Root,
};

/// Writes it.
pub(super) fn run(args: &Spec) -> Result<ExitCode, Failure> {
    let mut config = default();
    if args.rootless {
        for_user(&mut config, ctr_sys::ids::effective_uid(), ctr_sys::ids::effective_gid());
    }
    let path = args.bundle.as_deref().unwrap_or(Path::new("")).join("config.json");
    let mut text = ctr_cli::to_json(&config, true)?;
    text.push('\n');
    match ctr_sys::small::write_new(&path, text.as_bytes(), 0o666) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(Failure::new(format!("cannot write {}", path.display()))
                .because("it is there already")
                .hint("remove it before, or name another directory with --bundle"))
        }
        Err(error) => Err(error).context(|| format!("cannot write {}", path.display())),
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.to_owned(),
        kind: kind.to_owned(),
        source: source.to_owned(),
        options: texts(options),
        ..Mount::default()
    }
}

/// What config.md "Default Filesystems" wants, and the usual rest.
fn mounts() -> Vec<Mount> {
    let shm = ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"];
    let pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
    vec![
        mount("/proc", "proc", "proc", &[]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", "devpts", &pts),
        mount("/dev/shm", "tmpfs", "shm", &shm),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ]
}

fn process() -> Process {
    let capabilities = texts(&["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    Process {
        terminal: true,
        args: texts(&["sh"]),
        env: texts(&["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"]),
        cwd: "/".to_owned(),
        capabilities: Some(Capabilities {
            bounding: capabilities.clone(),
            effective: capabilities.clone(),
            permitted: capabilities,
            ..Capabilities::default()
        }),
        rlimits: vec![Rlimit { kind: "RLIMIT_NOFILE".to_owned(), hard: 1024, soft: 1024 }],
        no_new_privileges: true,
        ..Process::default()
    }
}

fn default() -> Config {
    let namespaces = ["pid", "network", "ipc", "uts", "mount", "cgroup"];
    Config {
        oci_version: "1.3.0".to_owned(),
        root: Some(Root { path: "rootfs".into(), readonly: true }),
        mounts: mounts(),
        process: Some(process()),
        hostname: "ctr".to_owned(),
        linux: Some(Linux {
            resources: Some(Resources {
                devices: vec![DeviceRule { allow: false, access: "rwm".to_owned(), ..DeviceRule::default() }],
                ..Resources::default()
            }),
            namespaces: namespaces.map(|kind| Namespace { kind: kind.to_owned(), path: String::new() }).to_vec(),
            masked_paths: texts(&[
                "/proc/acpi",
                "/proc/asound",
                "/proc/kcore",
                "/proc/keys",
                "/proc/latency_stats",
                "/proc/timer_list",
                "/proc/timer_stats",
                "/proc/sched_debug",
                "/sys/firmware",
                "/proc/scsi",
            ]),
            readonly_paths: texts(&["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]),
            ..Linux::default()
        }),
        ..Config::default()
    }
}

/// What an ordinary user can have: the own ids, the host's network, no limits.
fn for_user(config: &mut Config, uid: u32, gid: u32) {
    for mount in &mut config.mounts {
        // Groups other than the own one are not mapped.
        mount.options.retain(|option| !option.starts_with("gid=") && !option.starts_with("uid="));
    }
    // A sysfs can be mounted by the owner of the network namespace alone.
    config.mounts.retain(|mount| !mount.destination.starts_with("/sys"));
    config.mounts.push(mount("/sys", "none", "/sys", &["rbind", "nosuid", "noexec", "nodev", "ro"]));
    let Some(linux) = &mut config.linux else { return };
    linux.resources = None;
    linux.namespaces.retain(|namespace| namespace.kind != "network");
    linux.namespaces.push(Namespace { kind: "user".to_owned(), path: String::new() });
    linux.uid_mappings = vec![IdMapping { container_id: 0, host_id: uid, size: 1 }];
    linux.gid_mappings = vec![IdMapping { container_id: 0, host_id: gid, size: 1 }];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        // spec: OCI-60
        let mut config = default();
        let read =
            |config: &Config| -> Config { serde_json::from_str(&serde_json::to_string(config).unwrap()).unwrap() };
        assert_eq!(read(&config), config);
        let json = serde_json::to_value(&config).unwrap();
        assert_eq!(json["process"]["user"], serde_json::json!({"uid": 0, "gid": 0}));
        assert_eq!(json["linux"]["resources"]["devices"], serde_json::json!([{"allow": false, "access": "rwm"}]));
        for_user(&mut config, 1000, 100);
        assert_eq!(read(&config), config);
        let linux = config.linux.unwrap();
        assert_eq!((linux.uid_mappings[0].host_id, linux.gid_mappings[0].host_id), (1000, 100));
        assert!(linux.resources.is_none() && linux.namespaces.iter().all(|namespace| namespace.kind != "network"));
    }
}
