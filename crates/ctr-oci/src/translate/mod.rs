//! stub
use crate::config::Config;
use ctr_sandbox::bundle::*;
use ctr_sandbox::options::PropagationKind;
use ctr_sandbox::plan::*;
use ctr_sys::mount::MountAttr;
use std::ffi::CString;
use std::path::Path;
/// s
#[derive(Debug, Default)]
pub struct Options {
    /// s
    pub no_pivot: bool,
    /// s
    pub keep_keyring: bool,
    /// s
    pub preserve_fds: u32,
}
/// s
#[derive(Debug, Default)]
pub struct Facts {}
impl Facts {
    /// s
    pub fn of_host() -> Self {
        Self {}
    }
}
/// s
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TranslateError(String);
impl TranslateError {
    /// s
    pub fn hint(&self) -> Option<&str> {
        None
    }
}
/// s
pub fn bundle(config: &Config, dir: &Path, o: &Options, _: &Facts) -> Result<Bundle, TranslateError> {
    let c = |s: &str| CString::new(s).unwrap();
    let p = config.process.clone().unwrap();
    let linux = config.linux.clone().unwrap();
    let kinds = [
        ("pid", "pid"),
        ("network", "net"),
        ("ipc", "ipc"),
        ("uts", "uts"),
        ("mount", "mnt"),
        ("cgroup", "cgroup"),
        ("user", "user"),
    ];
    let mounts = config
        .mounts
        .iter()
        .map(|m| {
            let mut set = MountAttr::NONE;
            let mut data = vec![];
            let mut bind = false;
            let mut rec = false;
            if !m.source.is_empty() {
                data.push((c("source"), c(&m.source)));
            }
            for opt in &m.options {
                match opt.as_str() {
                    "nosuid" => set = set.and(MountAttr::NOSUID),
                    "noexec" => set = set.and(MountAttr::NOEXEC),
                    "nodev" => set = set.and(MountAttr::NODEV),
                    "ro" => set = set.and(MountAttr::RDONLY),
                    "strictatime" => set = set.and(MountAttr::STRICTATIME),
                    "relatime" => {}
                    "bind" => bind = true,
                    "rbind" => {
                        bind = true;
                        rec = true
                    }
                    "rw" | "rprivate" | "private" => {}
                    other => {
                        let (k, v) = other.split_once('=').unwrap_or((other, ""));
                        data.push((c(k), c(v)));
                    }
                }
            }
            let shown = if bind {
                BundleShown::Bind { source: dir.join(&m.source), recursive: rec }
            } else if m.kind == "cgroup" {
                BundleShown::Cgroups
            } else {
                BundleShown::Filesystem { kind: c(&m.kind), options: data, copy_up: false }
            };
            BundleMount {
                target: m.destination.clone(),
                shown,
                attributes: AttributeChange { set, clear: MountAttr::NONE },
                below: AttributeChange::default(),
                propagation: vec![],
                idmap: None,
            }
        })
        .collect();
    let dev = |n: &str, ma, mi| DeviceNode {
        path: format!("/dev/{n}"),
        kind: NodeKind::Char(ma, mi),
        mode: 0o666,
        uid: 0,
        gid: 0,
    };
    let process: ProcessPlan = serde_json::from_value(serde_json::json!({"args": p.args, "env": p.env, "home_from_passwd": true, "cwd": p.cwd, "user": format!("{}:{}", p.user.uid, p.user.gid), "groups": [], "umask": 0o22, "capabilities": [], "no_new_privileges": p.no_new_privileges, "seccomp": "unconfined", "rlimits": []})).unwrap();
    Ok(Bundle {
        rootfs: Rootfs {
            path: dir.join(&config.root.as_ref().unwrap().path),
            read_only: config.root.as_ref().unwrap().readonly,
            propagation: PropagationKind::Slave,
        },
        namespaces: linux.namespaces.iter().filter_map(|n| kinds.iter().find(|k| k.0 == n.kind).map(|k| k.1)).collect(),
        joins: vec![],
        map: Default::default(),
        kernel: KernelPlan::default(),
        hostname: Some(config.hostname.clone()),
        mounts,
        devices: vec![
            dev("null", 1, 3),
            dev("zero", 1, 5),
            dev("full", 1, 7),
            dev("random", 1, 8),
            dev("urandom", 1, 9),
            dev("tty", 5, 0),
        ],
        masked_paths: linux.masked_paths,
        read_only_paths: linux.readonly_paths,
        process,
        terminal: p.terminal.then_some(ctr_sandbox::terminal::WindowSize::DEFAULT),
        create_container: vec![],
        start_container: vec![],
        caller_hooks: !config.hooks.prestart.is_empty() || !config.hooks.create_runtime.is_empty(),
        keep_keyring: o.keep_keyring,
        no_pivot: o.no_pivot,
        preserve_fds: o.preserve_fds,
    })
}
