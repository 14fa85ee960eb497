//! The control group hierarchies of this host (cgroups(7)).

use std::fs;
use std::path::{Component, Path, PathBuf};

use ctr_core::container::groups;
use ctr_sys::small;

/// What is mounted where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hierarchies {
    /// Each hierarchy of v1.
    pub v1: Vec<V1>,
    /// The one of v2.
    pub unified: Option<Unified>,
}

/// A hierarchy of v1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct V1 {
    /// Its controllers: `cpu` and `cpuacct` may have one together; `name=systemd` has none.
    pub controllers: Vec<String>,
    /// Its mount point.
    pub mount: PathBuf,
}

/// The hierarchy of v2.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unified {
    /// Its mount point: `/sys/fs/cgroup`, or `/sys/fs/cgroup/unified` beside v1.
    pub mount: PathBuf,
    /// The controllers of `base`.
    pub controllers: Vec<String>,
    /// The group that belongs to the caller: the root of the hierarchy (empty), or what a user was given.
    pub base: String,
    /// There is no v1 beside it.
    pub pure: bool,
}

impl Hierarchies {
    /// Looks at the host.
    pub fn of_host() -> Self {
        let top = Path::new(groups::MOUNTS);
        let unified = groups::unified_mount().map(|mount| {
            let pure = mount == top;
            // Where a user was given nothing the attempt to make a group tells why.
            let base = groups::base(&mount).unwrap_or_default();
            let list = small::read_text(&mount.join(&base).join("cgroup.controllers")).unwrap_or_default();
            let controllers = list.split_ascii_whitespace().map(str::to_owned).collect();
            Unified { mount, controllers, base, pure }
        });
        if unified.as_ref().is_some_and(|unified| unified.pure) {
            return Self { v1: Vec::new(), unified };
        }
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let v1 = v1_lists(&own).filter_map(|list| Some(V1 { mount: v1_mount(top, list)?, controllers: names(list) }));
        Self { v1: v1.collect(), unified }
    }

    /// The hierarchy of a v1 controller.
    pub fn v1_of(&self, controller: &str) -> Option<&V1> {
        self.v1.iter().find(|v1| v1.controllers.iter().any(|name| name == controller))
    }

    /// Whether v2 has a controller here.
    pub fn unified_has(&self, controller: &str) -> bool {
        self.unified.as_ref().is_some_and(|unified| unified.controllers.iter().any(|name| name == controller))
    }
}

/// Whether `dir` is a group below the root of a hierarchy, and not the root itself. `pure`: v2 is mounted at the top, else there
/// is one directory there for each hierarchy.
pub(super) fn is_group(dir: &Path, pure: bool) -> bool {
    let plain = |part: &Component<'_>| matches!(part, Component::Normal(_));
    let Ok(below) = dir.strip_prefix(groups::MOUNTS) else { return false };
    below.components().all(|part| plain(&part)) && below.components().count() > usize::from(!pure)
}

/// Whether this host has v2 alone.
pub(super) fn is_pure() -> bool {
    groups::unified_mount().is_some_and(|mount| mount == Path::new(groups::MOUNTS))
}

fn names(list: &str) -> Vec<String> {
    list.split(',').map(str::to_owned).collect()
}

/// The second fields of `/proc/PID/cgroup` that are not v2's.
fn v1_lists(own: &str) -> impl Iterator<Item = &str> {
    own.lines().filter_map(|line| line.split(':').nth(1)).filter(|list| !list.is_empty())
}

/// Where every distribution mounts a hierarchy: at its list of controllers, or at one of them.
fn v1_mount(top: &Path, list: &str) -> Option<PathBuf> {
    let whole = list.strip_prefix("name=").unwrap_or(list);
    let mut names = std::iter::once(whole).chain(list.split(','));
    names.find_map(|name| {
        let named = top.join(name);
        let mount = match fs::read_link(&named) {
            Ok(target) => top.join(target),
            Err(_) => named,
        };
        mount.join("tasks").exists().then_some(mount)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_told_by_the_kernel() {
        let own = "5:cpu,cpuacct:/\n4:memory:/a:b\n1:name=systemd:/x\n0::/y\n";
        assert_eq!(v1_lists(own).collect::<Vec<_>>(), ["cpu,cpuacct", "memory", "name=systemd"]);
    }

    #[test]
    fn roots_and_what_is_outside_are_no_groups() {
        for (dir, mixed, pure) in [
            ("/sys/fs/cgroup/memory/a", true, true),
            ("/sys/fs/cgroup/unified/a/b", true, true),
            ("/sys/fs/cgroup/memory", false, true),
            ("/sys/fs/cgroup/memory/", false, true),
            ("/sys/fs/cgroup", false, false),
            ("/sys/fs/cgroup/", false, false),
            ("/sys/fs/cgroups/a/b", false, false),
            ("/sys/fs/cgroup/memory/../../x", false, false),
            ("/etc/a/b", false, false),
            ("memory/a", false, false),
            ("", false, false),
        ] {
            assert_eq!((is_group(Path::new(dir), false), is_group(Path::new(dir), true)), (mixed, pure), "{dir}");
        }
    }
}
