//! When a container needs device rules.

use ctr_sys::privilege::CapSet;

use super::super::devices;
use super::super::{DevicePlan, ProcessPlan};
use crate::options::{DeviceKind, DeviceRule};

/// `CAP_SYS_ADMIN` and `CAP_MKNOD`, with which device nodes can be made or mounted.
const MAKES_DEVICES: [u8; 2] = [21, 27];

/// Whether capabilities over the host's ids let a program make or mount device nodes.
pub(crate) fn can_make_devices(capabilities: CapSet) -> bool {
    MAKES_DEVICES.iter().any(|capability| capabilities.has(*capability))
}

/// The rules of a container; none where it can get at no other devices, and in no other way, than it was given.
///
/// In a user namespace of its own nobody can make or mount usable nodes, whatever the capabilities.
pub(super) fn rules(
    process: &ProcessPlan,
    devices: &[DevicePlan],
    more: &[DeviceRule],
    host_ids: bool,
) -> Vec<DeviceRule> {
    let makes = host_ids && can_make_devices(process.cap_set);
    if makes || devices.iter().any(DevicePlan::needs_rules) { devices::rules(devices, more) } else { Vec::new() }
}

/// Lines for v1's `devices.allow`, where `a` would mean everything, whatever numbers follow it.
pub(super) fn v1_lines(rules: &[DeviceRule]) -> Vec<String> {
    let kinds = |rule: &DeviceRule| match rule.kind {
        Some(kind) => vec![kind],
        None => vec![DeviceKind::Char, DeviceKind::Block],
    };
    let lines =
        rules.iter().flat_map(|rule| kinds(rule).into_iter().map(|kind| DeviceRule { kind: Some(kind), ..*rule }));
    lines.map(|rule| rule.to_string()).collect()
}
