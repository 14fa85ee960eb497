//! Bundles for `ctr-oci`: a directory with a config.json and a busybox root filesystem, in a root of its own.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::scratch::{Cmd, Root, names};
use crate::{bins, images};

/// A bundle and the root that its containers are kept in. Dropping it deletes them.
#[derive(Debug)]
pub struct Bundle {
    root: Root,
    dir: PathBuf,
}

impl Bundle {
    /// One that runs `script` in a shell, with namespaces of its own but no user namespace.
    pub fn new(script: &str) -> Self {
        let root = Root::new();
        let dir = root.file("bundle");
        fs::create_dir(&dir).expect("bundle");
        fill_rootfs(&dir.join("rootfs"));
        let bundle = Self { root, dir };
        bundle.write(&default_config());
        bundle.edit(|config| config["process"]["args"] = json!(["sh", "-c", script]));
        bundle
    }

    /// One that sleeps.
    pub fn sleeping() -> Self {
        Self::new("exec sleep 600")
    }

    /// The bundle's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The root filesystem.
    pub fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs")
    }

    /// The root that is given to `ctr-oci`.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The config.json.
    pub fn config(&self) -> Value {
        serde_json::from_slice(&fs::read(self.dir.join("config.json")).expect("config.json")).expect("JSON")
    }

    /// Replaces it.
    pub fn write(&self, config: &Value) {
        fs::write(self.dir.join("config.json"), config.to_string()).expect("config.json");
    }

    /// Changes it.
    pub fn edit(&self, change: impl FnOnce(&mut Value)) {
        let mut config = self.config();
        change(&mut config);
        self.write(&config);
    }

    /// `ctr-oci --root ...`, to be run in the bundle's directory.
    pub fn oci(&self) -> Cmd {
        Cmd::new(bins::binary("ctr-oci")).arg("--root").arg(self.root.path()).dir(&self.dir)
    }

    /// What `state` prints of a container.
    pub fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.oci().args(["state", id]).ok()).expect("JSON")
    }

    /// Its status.
    pub fn status(&self, id: &str) -> String {
        self.state(id)["status"].as_str().expect("status").to_owned()
    }

    /// The ids of all that is kept, whatever state it is in.
    pub fn kept(&self) -> Vec<String> {
        let containers = self.root.path().join("containers");
        ["embryo", "prepared", "run", "garbage"].iter().flat_map(|place| names(&containers.join(place))).collect()
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        for id in self.kept() {
            let _ = self.oci().args(["delete", "--force", &id]).run();
        }
    }
}

fn fill_rootfs(rootfs: &Path) {
    let tree = bins::work_dir().join("busybox-rootfs-1");
    bins::once(&tree, |half| {
        fs::create_dir(half).expect("rootfs");
        Cmd::new("tar").args(["-x", "-C"]).arg(half).input(images::busybox_tree().finish()).ok();
    });
    Cmd::new("cp").args(["-a", "--reflink=auto"]).arg(&tree).arg(rootfs).ok();
}

/// What engines and `ctr-oci spec` write, without a terminal.
pub fn default_config() -> Value {
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    let mount = |destination: &str, kind: &str, options: &[&str]| json!({"destination": destination, "type": kind, "source": kind, "options": options});
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            },
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs"},
        "hostname": "bundle",
        "mounts": [
            mount("/proc", "proc", &[]),
            mount("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
            mount("/dev/shm", "tmpfs", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            mount("/sys", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        ],
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"},
                {"type": "cgroup"},
            ],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}
