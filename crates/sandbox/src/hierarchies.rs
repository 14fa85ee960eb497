//! The control group hierarchies of this host, as far as a start needs them.

use std::fs;
use std::path::{Path, PathBuf};

use ctr_core::container::groups;

use crate::options::RunOptions;
use crate::plan::{CgroupFacts, UnifiedFacts, v1_controllers};

/// Looks where every distribution mounts them (cgroups(7)), and only for what `options` need: each look is a system call
/// of every start.
pub(crate) fn facts(options: &RunOptions) -> CgroupFacts {
    let top = Path::new(groups::MOUNTS);
    let mut facts = CgroupFacts::default();
    if let Some(mount) = groups::unified_mount() {
        let pure = mount == top;
        match groups::base(&mount) {
            Ok(base) => {
                let list = fs::read_to_string(mount.join(&base).join("cgroup.controllers")).unwrap_or_default();
                let controllers = list.split_ascii_whitespace().map(str::to_owned).collect();
                facts.unified = Some(UnifiedFacts { mount: mount.display().to_string(), base, controllers, pure });
            }
            Err(why) => facts.missing = Some(why),
        }
        if pure {
            return facts;
        }
    }
    if facts.missing.is_some() || !owns_v1(top) {
        facts.missing.get_or_insert_with(|| "the hierarchies of cgroup v1 belong to root alone".to_owned());
        return facts;
    }
    let names = v1_controllers(options, facts.unified.is_some());
    facts.v1 = names.into_iter().filter_map(|name| Some((name, v1_mount(top, name)?.display().to_string()))).collect();
    facts
}

/// Whether the caller may make groups in v1 hierarchies: they are delegated to nobody but root.
fn owns_v1(top: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(top).is_ok_and(|meta| meta.uid() == ctr_sys::ids::effective_uid())
}

/// The mount point of a v1 controller: the directory of its name, or the one that a link of its name leads to, where several
/// are mounted together (`cpu` is then `cpu,cpuacct`).
fn v1_mount(top: &Path, name: &str) -> Option<PathBuf> {
    let named = top.join(name);
    let mount = match fs::read_link(&named) {
        Ok(target) => top.join(target),
        Err(_) => named,
    };
    if mount.join("cgroup.procs").exists() {
        return Some(mount);
    }
    // Mounted together, and nobody made the links.
    let entries = fs::read_dir(top).ok()?.flatten();
    let mut together =
        entries.filter(|entry| entry.file_name().to_str().is_some_and(|all| all.split(',').any(|one| one == name)));
    together.next().map(|entry| entry.path()).filter(|mount| mount.join("cgroup.procs").exists())
}
