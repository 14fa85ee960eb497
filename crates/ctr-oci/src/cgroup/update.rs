//! New limits for a container that is there: all of them or none.

use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::devices::{self, V1State};
use super::facts::Hierarchies;
use super::limits::{self, Known, Write};
use super::plan::Group;
use super::{CgroupError, CgroupRecord, control, make, systemd};
use crate::config::{Memory, Resources};

impl CgroupRecord {
    /// Sets what `resources` speak of; the rest stays. If the kernel refuses one limit, those that were set before it are what
    /// they were. Device rules, if there are any, take the place of all that there are.
    pub fn update(&self, resources: &Resources) -> Result<(), CgroupError> {
        let host = Hierarchies::of_host();
        let (mut groups, known) = (self.groups(&host), self.known());
        if let Some(memory) = &resources.memory {
            self.check_memory(memory)?;
        }
        for placed in limits::writes(resources, &known, &host)? {
            let property = placed.write.property.clone();
            match groups.iter_mut().find(|group| placed.v1.map_or(group.is_v2(), |name| group.is_of(name))) {
                Some(group) => group.writes.push(placed.write),
                None if placed.write.optional => {}
                None => {
                    return Err(CgroupError::property(
                        property,
                        "the container has no control group that could hold it",
                    ));
                }
            }
        }
        let rules = if resources.devices.is_empty() { None } else { Some(devices::rules(&resources.devices)?) };
        let v1 = rules.as_deref().filter(|_| groups.iter().any(|group| group.is_of("devices")));
        let v1 = v1.map(V1State::of).transpose()?;
        let before: Vec<(PathBuf, String)> = groups.iter().flat_map(before).collect();
        let write = || groups.iter().try_for_each(|group| control::write_all(group, &group.writes));
        // systemd hears of what the kernel takes alone. It writes what it knows itself, in its own rounding.
        let result = write()
            .and_then(|()| {
                let told = self.unit.as_ref().map(|unit| systemd::update(unit, resources, &known, &host));
                told.map_or(Ok(()), |told| told.and_then(|()| write()))
            })
            .and_then(|()| {
                if super::can_set_device_rules() { set_devices(&groups, rules.as_deref(), v1.as_ref()) } else { Ok(()) }
            });
        if result.is_err() {
            // Twice, as a value may be possible only when another one is back.
            for _ in 0..2 {
                for (path, value) in before.iter().rev() {
                    let _ = ctr_sys::small::write_existing(path, value.as_bytes());
                }
            }
        }
        result
    }

    /// Its groups without anything to write.
    fn groups(&self, host: &Hierarchies) -> Vec<Group> {
        let group = |dir: &PathBuf| {
            let v1 = host.v1.iter().find(|v1| dir.starts_with(&v1.mount));
            let mount = v1.map(|v1| v1.mount.clone());
            let mount = mount.or_else(|| host.unified.as_ref().map(|unified| unified.mount.clone()))?;
            let v1 = v1.map(|v1| v1.controllers.clone()).unwrap_or_default();
            dir.is_dir().then(|| Group { base: mount.clone(), mount, dir: dir.clone(), v1, ..Group::default() })
        };
        self.dirs.iter().filter_map(group).collect()
    }

    fn read(&self, file: &str) -> Option<String> {
        self.dirs.iter().find_map(|dir| fs::read_to_string(dir.join(file)).ok())
    }

    fn known(&self) -> Known {
        Known {
            memory_limit: self.read("memory.max").and_then(|limit| limit.trim().parse().ok()),
            cpu_quota: self.read("cpu.max").and_then(|max| Some(max.split_whitespace().next()?.to_owned())),
            cpu_period: self.read("cpu.max").and_then(|max| max.split_whitespace().nth(1)?.parse().ok()),
        }
    }

    /// `checkBeforeUpdate`: v2 would otherwise end processes until the rest fits.
    fn check_memory(&self, memory: &Memory) -> Result<(), CgroupError> {
        let Some(limit) = memory.limit.filter(|limit| memory.check_before_update == Some(true) && *limit > 0) else {
            return Ok(());
        };
        let used = self.read("memory.current").or_else(|| self.read("memory.usage_in_bytes"));
        let used: i64 = used.and_then(|used| used.trim().parse().ok()).unwrap_or(0);
        if used > limit {
            return Err(CgroupError::property(
                "linux.resources.memory.limit",
                format!("the container uses {used} bytes, more than {limit} (checkBeforeUpdate)"),
            ));
        }
        Ok(())
    }
}

fn set_devices(
    groups: &[Group],
    rules: Option<&[ctr_sandbox::devices_bpf::OrderedRule]>,
    v1: Option<&V1State>,
) -> Result<(), CgroupError> {
    let Some(rules) = rules else { return Ok(()) };
    if let (Some(group), Some(state)) = (groups.iter().find(|group| group.is_of("devices")), v1) {
        let list = fs::read_to_string(group.dir.join("devices.list")).unwrap_or_default();
        return make::set_v1_devices(&group.dir, state, V1State::parse(&list).as_ref());
    }
    let Some(group) = groups.iter().find(|group| group.is_v2()) else { return Ok(()) };
    let dir = make::open_dir(&group.dir)?;
    make::set_program(dir.as_fd(), devices::program_of(rules))
}

/// Files of a group that will be written, with what brings back what they have now.
fn before(group: &Group) -> Vec<(PathBuf, String)> {
    let value = |write: &Write| {
        let names =
            std::iter::once((&write.file, &write.value)).chain(write.other.iter().map(|(file, value)| (file, value)));
        names.into_iter().find_map(|(file, value)| {
            let path = group.dir.join(file);
            let now = fs::read_to_string(&path).ok()?;
            Some((path.clone(), undo(&path, value, &now)))
        })
    };
    group.writes.iter().filter_map(value).collect()
}

/// What to write to have `now` again after `value` was written. Files with a line for each device tell of one at a time.
fn undo(path: &Path, value: &str, now: &str) -> String {
    let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if file == "memory.oom_control" {
        return now.split_whitespace().nth(1).unwrap_or("0").to_owned();
    }
    let key = value.split_whitespace().next().unwrap_or_default();
    let keyed = value.contains(' ') && file != "cpu.max";
    if !keyed {
        return now.lines().next().unwrap_or_default().trim_start_matches("default ").to_owned();
    }
    let line = now.lines().find(|line| line.split_whitespace().next() == Some(key));
    line.map_or_else(|| format!("{key} {}", absent(file)), str::to_owned)
}

/// What a device has that a file does not list.
fn absent(file: &str) -> &'static str {
    match file {
        "io.max" => "rbps=max wbps=max riops=max wiops=max",
        "rdma.max" => "hca_handle=max hca_object=max",
        "io.weight" | "io.bfq.weight" => "default",
        _ => "0",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_can_be_written_again() {
        for (file, value, now, expected) in [
            ("memory.max", "100", "max\n", "max"),
            ("memory.limit_in_bytes", "100", "9223372036854771712\n", "9223372036854771712"),
            ("memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 1\n", "0"),
            ("cpu.max", "1000 5000", "max 100000\n", "max 100000"),
            ("cpuset.cpus", "0", "\n", ""),
            ("io.weight", "default 5", "default 100\n8:0 7\n", "default 100"),
            ("io.weight", "8:0 5", "default 100\n8:0 7\n", "8:0 7"),
            ("io.weight", "8:16 5", "default 100\n8:0 7\n", "8:16 default"),
            ("io.bfq.weight", "5", "default 100\n", "100"),
            ("io.max", "8:0 rbps=1", "8:16 rbps=2 wbps=max\n", "8:0 rbps=max wbps=max riops=max wiops=max"),
            ("io.max", "8:0 rbps=1", "8:0 rbps=2 wbps=max\n", "8:0 rbps=2 wbps=max"),
            ("blkio.throttle.read_bps_device", "8:0 5", "", "8:0 0"),
            ("rdma.max", "m hca_handle=1", "m hca_handle=max hca_object=2\n", "m hca_handle=max hca_object=2"),
            ("net_prio.ifpriomap", "eth0 5", "lo 0\neth0 2\n", "eth0 2"),
        ] {
            assert_eq!(undo(Path::new(file), value, now), expected, "{file} {value}");
        }
    }
}
