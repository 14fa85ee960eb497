//! `linux.netDevices`: network devices of the host that the container gets.

use std::collections::BTreeMap;

use ctr_sandbox::bundle;

use super::TranslateError;
use super::namespaces::Namespaces;
use super::path::c_string;
use crate::config::NetDevice;

/// `IFNAMSIZ`, less the end of the text.
const NAME_MAX: usize = 15;

/// By their names on the host.
pub(super) fn plan(
    devices: &BTreeMap<String, NetDevice>,
    namespaces: &Namespaces,
) -> Result<Vec<bundle::NetDevice>, TranslateError> {
    if devices.is_empty() {
        return Ok(Vec::new());
    }
    if !namespaces.has("net") {
        return Err(TranslateError::invalid("linux.netDevices", "the container has no network of its own")
            .hinted("add {\"type\": \"network\"} to linux.namespaces"));
    }
    let mut plans: Vec<bundle::NetDevice> = Vec::with_capacity(devices.len());
    for (host, device) in devices {
        let property = format!("linux.netDevices[\"{}\"]", host.escape_debug());
        if !is_name(host) {
            return Err(TranslateError::invalid(property, "it is not the name of a network device"));
        }
        let name = if device.name.is_empty() { host } else { &device.name };
        let property = format!("{property}.name");
        if !is_name(&name.replacen("%d", "0", 1)) {
            let what = format!("\"{}\" is not the name of a network device", name.escape_debug());
            return Err(TranslateError::invalid(property, what));
        }
        let plan = bundle::NetDevice { host: c_string(&property, host)?, name: c_string(&property, name)? };
        if !name.contains('%') && plans.iter().any(|other| other.name == plan.name) {
            return Err(TranslateError::invalid(property, format!("two devices get the name {name}")));
        }
        plans.push(plan);
    }
    Ok(plans)
}

/// What the kernel takes (`dev_valid_name`), without templates.
fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name.len() <= NAME_MAX
        && !name.bytes().any(|byte| b"/:%".contains(&byte) || byte.is_ascii_whitespace() || byte == 0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{with, wrong};

    #[test]
    fn names_of_devices() {
        let devices = |devices: Value| [("linux.netDevices", devices)];
        let plans = with(&devices(json!({"eth0": {"name": "e%d"}, "eth1": {}}))).unwrap().net_devices;
        let names: Vec<_> = plans.iter().map(|plan| (plan.host.as_c_str(), plan.name.as_c_str())).collect();
        assert_eq!(names, [(c"eth0", c"e%d"), (c"eth1", c"eth1")]);
        for (given, property) in [
            (json!({"a/b": {}}), "linux.netDevices[\"a/b\"]"),
            (json!({"sixteen_letters_": {}}), "linux.netDevices[\"sixteen_letters_\"]"),
            (json!({"e%d": {}}), "linux.netDevices[\"e%d\"]"),
            (json!({"e": {"name": "a b"}}), "linux.netDevices[\"e\"].name"),
            (json!({"e": {"name": "%d%d"}}), "linux.netDevices[\"e\"].name"),
            (json!({"e": {"name": ".."}}), "linux.netDevices[\"e\"].name"),
            (json!({"e": {"name": "x"}, "f": {"name": "x"}}), "linux.netDevices[\"f\"].name"),
        ] {
            assert_eq!(wrong(&devices(given)), property);
        }
        let few = json!([{"type": "mount"}]);
        assert_eq!(wrong(&[("linux.namespaces", few), ("linux.netDevices", json!({"e": {}}))]), "linux.netDevices");
    }
}
