//! `blockIO`.

use super::{Write, Writes, given, invalid, only_v1};
use crate::config::{BlockIo, ThrottleDevice, WeightDevice};

pub(super) fn v1(block: &BlockIo) -> Writes {
    check(block)?;
    let mut writes = Vec::new();
    if let Some(weight) = given(block.weight) {
        writes.push(Write::new("blockIO.weight", "blkio.weight", weight).or("blkio.bfq.weight", weight));
    }
    if let Some(weight) = given(block.leaf_weight) {
        writes.push(Write::new("blockIO.leafWeight", "blkio.leaf_weight", weight));
    }
    for device in &block.weight_device {
        let number = number(device.major, device.minor);
        if let Some(weight) = given(device.weight) {
            let value = format!("{number} {weight}");
            let write = Write::new("blockIO.weightDevice", "blkio.weight_device", &value);
            writes.push(write.or("blkio.bfq.weight_device", value));
        }
        if let Some(weight) = given(device.leaf_weight) {
            let value = format!("{number} {weight}");
            writes.push(Write::new("blockIO.weightDevice.leafWeight", "blkio.leaf_weight_device", value));
        }
    }
    for (property, devices, file, _) in throttles(block) {
        let lines = devices.iter().map(|device| format!("{} {}", number(device.major, device.minor), device.rate));
        writes.extend(lines.map(|line| Write::new(property, file, line)));
    }
    Ok(writes)
}

pub(super) fn v2(block: &BlockIo) -> Writes {
    check(block)?;
    if given(block.leaf_weight).is_some() {
        return Err(only_v1("blockIO.leafWeight", "a weight against the groups below"));
    }
    let mut writes = Vec::new();
    if let Some(weight) = given(block.weight) {
        let write = Write::new("blockIO.weight", "io.bfq.weight", weight);
        writes.push(write.or("io.weight", format!("default {}", io_weight(weight))));
    }
    for device in &block.weight_device {
        if given(device.leaf_weight).is_some() {
            return Err(only_v1("blockIO.weightDevice.leafWeight", "a weight against the groups below"));
        }
        if let Some(weight) = given(device.weight) {
            let number = number(device.major, device.minor);
            let write = Write::new("blockIO.weightDevice", "io.bfq.weight", format!("{number} {weight}"));
            writes.push(write.or("io.weight", format!("{number} {}", io_weight(weight))));
        }
    }
    for (property, devices, _, key) in throttles(block) {
        for device in devices {
            let number = number(device.major, device.minor);
            let rate = if device.rate == 0 { "max".to_owned() } else { device.rate.to_string() };
            writes.push(Write::new(property, "io.max", format!("{number} {key}={rate}")));
        }
    }
    Ok(writes)
}

/// Property, devices, the file of v1, the key of v2's.
type Throttle<'a> = (&'static str, &'a [ThrottleDevice], &'static str, &'static str);

fn throttles(block: &BlockIo) -> [Throttle<'_>; 4] {
    [
        ("blockIO.throttleReadBpsDevice", &block.throttle_read_bps_device, "blkio.throttle.read_bps_device", "rbps"),
        ("blockIO.throttleWriteBpsDevice", &block.throttle_write_bps_device, "blkio.throttle.write_bps_device", "wbps"),
        (
            "blockIO.throttleReadIOPSDevice",
            &block.throttle_read_iops_device,
            "blkio.throttle.read_iops_device",
            "riops",
        ),
        (
            "blockIO.throttleWriteIOPSDevice",
            &block.throttle_write_iops_device,
            "blkio.throttle.write_iops_device",
            "wiops",
        ),
    ]
}

/// The line that runc and crun draw from 10..1000 to 1..10000.
fn io_weight(weight: u16) -> u32 {
    1 + (u32::from(weight).saturating_sub(10)) * 9999 / 990
}

fn number(major: i64, minor: i64) -> String {
    format!("{major}:{minor}")
}

fn check(block: &BlockIo) -> Result<(), super::CgroupError> {
    let weights = [("blockIO.weight", block.weight), ("blockIO.leafWeight", block.leaf_weight)];
    let of_device = |device: &WeightDevice| {
        [("blockIO.weightDevice.weight", device.weight), ("blockIO.weightDevice.leafWeight", device.leaf_weight)]
    };
    for (property, weight) in weights.into_iter().chain(block.weight_device.iter().flat_map(of_device)) {
        if given(weight).is_some_and(|weight| !(10..=1000).contains(&weight)) {
            return Err(invalid(property, "it is 10 to 1000"));
        }
    }
    let throttled = throttles(block)
        .into_iter()
        .flat_map(|(property, devices, ..)| devices.iter().map(move |device| (property, device.major, device.minor)));
    let weighed = block.weight_device.iter().map(|device| ("blockIO.weightDevice", device.major, device.minor));
    for (property, major, minor) in throttled.chain(weighed) {
        if u32::try_from(major).is_err() || u32::try_from(minor).is_err() {
            return Err(invalid(property, format!("{major}:{minor} is no device number")));
        }
    }
    Ok(())
}
