//! Processes, huge pages, RDMA, network, and files of v2 by name.

use std::collections::BTreeMap;

use super::super::CgroupError;
use super::super::facts::Hierarchies;
use super::{Write, Writes, given, invalid, only_v1};
use crate::config::{HugepageLimit, Network, Pids, Rdma};

/// Files of every v2 group that are no limits: they would move processes, stop or end them, or change what the group is.
const NO_LIMITS: [&str; 6] =
    ["cgroup.procs", "cgroup.threads", "cgroup.kill", "cgroup.freeze", "cgroup.type", "cgroup.subtree_control"];

pub(super) fn pids(pids: &Pids) -> Vec<Write> {
    let Some(limit) = pids.limit else { return Vec::new() };
    let value = if limit > 0 { limit.to_string() } else { "max".to_owned() };
    vec![Write::new("pids.limit", "pids.max", value).optional_if(limit <= 0)]
}

pub(super) fn hugepages(limits: &[HugepageLimit], v1: bool) -> Writes {
    let mut writes = Vec::new();
    for HugepageLimit { page_size: size, limit } in limits {
        if !is_page_size(size) {
            let shown = size.escape_debug();
            return Err(invalid("hugepageLimits.pageSize", format!("\"{shown}\" is no size as 64KB, 2MB or 1GB")));
        }
        let end = if v1 { "limit_in_bytes" } else { "max" };
        let unlimited = i64::try_from(*limit).is_err();
        let value = if unlimited { if v1 { "-1" } else { "max" }.to_owned() } else { limit.to_string() };
        let write = Write::new("hugepageLimits", format!("hugetlb.{size}.{end}"), &value);
        writes.push(write.optional_if(unlimited));
        // Reservations too: what is reserved and not there ends a program by SIGBUS. Since Linux 5.7.
        let reserved = Write::new("hugepageLimits", format!("hugetlb.{size}.rsvd.{end}"), &value);
        writes.push(reserved.optional_if(true));
    }
    Ok(writes)
}

fn is_page_size(size: &str) -> bool {
    let digits = size.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = size.strip_prefix(digits).unwrap_or_default();
    (1..=6).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && matches!(unit, "KB" | "MB" | "GB")
}

pub(super) fn rdma(limits: &BTreeMap<String, Rdma>) -> Writes {
    let mut writes = Vec::new();
    for (device, limit) in limits {
        if device.is_empty() || device.bytes().any(|byte| byte.is_ascii_whitespace() || byte < b' ') {
            return Err(invalid("rdma", format!("\"{}\" is no name of a device", device.escape_debug())));
        }
        let numbers = [("hca_handle", limit.hca_handles), ("hca_object", limit.hca_objects)];
        let numbers: Vec<String> =
            numbers.iter().filter_map(|(key, number)| Some(format!("{key}={}", (*number)?))).collect();
        if numbers.is_empty() {
            return Err(invalid(&format!("rdma.{device}"), "it has neither hcaHandles nor hcaObjects"));
        }
        writes.push(Write::new(&format!("rdma.{device}"), "rdma.max", format!("{device} {}", numbers.join(" "))));
    }
    Ok(writes)
}

pub(super) fn class(network: &Network) -> Vec<Write> {
    let class = network.class_id;
    class
        .map(|class| Write::new("network.classID", "net_cls.classid", class).optional_if(class == 0))
        .into_iter()
        .collect()
}

pub(super) fn no_class(network: &Network) -> Writes {
    if given(network.class_id).is_some() {
        return Err(only_v1("network.classID", "the class of a group's packets"));
    }
    Ok(Vec::new())
}

pub(super) fn priorities(network: &Network) -> Writes {
    let mut writes = Vec::new();
    for entry in &network.priorities {
        if entry.name.is_empty() || entry.name.bytes().any(|byte| byte.is_ascii_whitespace() || byte < b' ') {
            let shown = entry.name.escape_debug();
            return Err(invalid("network.priorities", format!("\"{shown}\" is no name of an interface")));
        }
        let value = format!("{} {}", entry.name, entry.priority);
        writes.push(Write::new("network.priorities", "net_prio.ifpriomap", value));
    }
    Ok(writes)
}

pub(super) fn no_priorities(network: &Network) -> Writes {
    if network.priorities.is_empty() {
        return Ok(Vec::new());
    }
    Err(only_v1("network.priorities", "a priority of a group's packets"))
}

/// Written as they are; a file whose lines are written one at a time gets each by itself.
pub(super) fn unified(files: &BTreeMap<String, String>, host: &Hierarchies) -> Writes {
    let mut writes = Vec::new();
    for (file, value) in files {
        let property = format!("unified.{}", file.escape_debug());
        let error = |what: String| invalid(&property, what);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let controller = match file.split_once('.') {
            Some((controller, rest)) if !controller.is_empty() && !rest.is_empty() && file.bytes().all(plain) => {
                controller
            }
            _ => return Err(error("the name of a file has the form CONTROLLER.PARAMETER".to_owned())),
        };
        if NO_LIMITS.contains(&file.as_str()) {
            return Err(error("it sets no limit, and is the runtime's".to_owned()));
        }
        if host.unified.is_none() || !(controller == "cgroup" || host.unified_has(controller)) {
            return Err(no_controller(&property, controller, host));
        }
        let lines: Vec<&str> = value.lines().filter(|line| !line.trim().is_empty()).collect();
        let lines = if lines.is_empty() { vec![value.as_str()] } else { lines };
        writes.extend(lines.into_iter().map(|line| Write::new(&property, file, line)));
    }
    Ok(writes)
}

fn no_controller(property: &str, controller: &str, host: &Hierarchies) -> CgroupError {
    match host.v1_of(if controller == "io" { "blkio" } else { controller }) {
        Some(v1) => invalid(
            property,
            format!("this host has the controller \"{controller}\" in cgroup v1, at {}", v1.mount.display()),
        ),
        None => invalid(property, format!("cgroup v2 has no controller \"{controller}\" here")),
    }
}
