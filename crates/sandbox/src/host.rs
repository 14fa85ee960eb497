//! Facts of this host that a plan depends on.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::options::RunOptions;
use crate::plan::{CgroupLayout, HostFacts};

/// Looks at the host for containers of `root`.
/// Looks only for what `options` need: each look is a system call of every start.
pub fn facts(root: &Path, options: &RunOptions) -> HostFacts {
    HostFacts {
        cgroups: cgroup_layout(Path::new("/sys/fs/cgroup"), options),
        cgroup_parent: format!("ctr/{}", ctr_core::container::root_hash(root)),
        stdout_is_journal: stdout_is_journal(),
        devices: options.devices.devices.iter().map(|request| crate::devices::find(&request.source)).collect(),
    }
}

/// The hierarchies where every distribution mounts them (cgroups(7)).
fn cgroup_layout(mounted: &Path, options: &RunOptions) -> CgroupLayout {
    let is_v2 = |path: &Path| {
        path.to_str().and_then(|path| CString::new(path).ok()).is_some_and(|path| ctr_sys::files::is_cgroup2(&path))
    };
    if is_v2(mounted) {
        return CgroupLayout::Unified;
    }
    let unified = is_v2(&mounted.join("unified"));
    let limits = options.limits;
    let controllers: Vec<_> = [
        ("memory", limits.memory.is_some()),
        ("cpu", limits.cpu_millis.is_some()),
        ("pids", limits.pids != Some(0)),
        ("devices", crate::plan::needs_device_rules(options.security.cap_add)),
        ("freezer", !unified),
    ]
    .into_iter()
    .filter(|(name, needed)| *needed && mounted.join(name).join("cgroup.procs").exists())
    .map(|(name, _)| name)
    .collect();
    if controllers.is_empty() && !unified { CgroupLayout::None } else { CgroupLayout::V1 { unified, controllers } }
}

/// systemd.exec(5): `JOURNAL_STREAM` has device and inode number of the journal's stream, colon-separated.
fn stdout_is_journal() -> bool {
    let Some(stream) = std::env::var("JOURNAL_STREAM").ok() else { return false };
    let Ok(copy) = std::io::stdout().as_fd().try_clone_to_owned() else { return false };
    std::fs::File::from(copy).metadata().is_ok_and(|facts| stream == format!("{}:{}", facts.dev(), facts.ino()))
}
