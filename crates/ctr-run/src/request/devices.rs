//! Devices of the host: `--device`, `--device-cgroup-rule`.

use std::path::PathBuf;

use ctr_cli::Failure;
use ctr_sandbox::options::{DeviceAccess, DeviceOptions, DeviceRequest, DeviceRule};

use super::bad;
use crate::args::DeviceArgs;

pub(super) fn request(args: &DeviceArgs, privileged: bool) -> Result<DeviceOptions, Failure> {
    let rule = |text: &String| {
        let why = "it is TYPE MAJOR:MINOR ACCESS, as in 'c 10:200 rw', with a, b or c for TYPE and * for any number";
        DeviceRule::parse(text).ok_or_else(|| bad("--device-cgroup-rule", text, why))
    };
    let mut options = DeviceOptions {
        devices: args.device.iter().map(|text| device(text)).collect::<Result<_, _>>()?,
        rules: args.device_cgroup_rule.iter().map(rule).collect::<Result<_, _>>()?,
    };
    if privileged {
        // What was asked for by itself keeps its place; the rest of the host's devices come behind it.
        let all = DeviceRequest { source: PathBuf::from("/dev"), target: None, access: DeviceAccess::ALL };
        options.devices.push(all);
        options.rules.push(DeviceRule { kind: None, major: None, minor: None, access: DeviceAccess::ALL });
    }
    Ok(options)
}

/// `HOST[:CONTAINER][:rwm]`.
fn device(text: &str) -> Result<DeviceRequest, Failure> {
    let cannot = |why: &str| bad("--device", text, why);
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, access) = match parts.as_slice() {
        [source] => (*source, None, None),
        [source, second] if second.starts_with('/') => (*source, Some(*second), None),
        [source, second] => (*source, None, Some(*second)),
        [source, target, access] => (*source, Some(*target), Some(*access)),
        _ => return Err(cannot("it is HOST, HOST:CONTAINER or HOST:CONTAINER:rwm")),
    };
    if !source.starts_with('/') {
        return Err(cannot("the device is an absolute path of the host, as /dev/fuse"));
    }
    if target.is_some_and(|target| !target.starts_with('/')) {
        return Err(cannot("the place in the container is an absolute path below /dev"));
    }
    let access = match access {
        Some(letters) => DeviceAccess::parse(letters)
            .ok_or_else(|| cannot("the access is one or more of r (read), w (write), m (mknod), each once"))?,
        None => DeviceAccess::ALL,
    };
    Ok(DeviceRequest { source: PathBuf::from(source), target: target.map(str::to_owned), access })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read() {
        let request = |text: &str| device(text).unwrap();
        assert_eq!(request("/dev/fuse").access, DeviceAccess::ALL);
        assert_eq!(request("/dev/fuse:r").access.to_string(), "r");
        assert_eq!(request("/dev/fuse:/dev/x").target.as_deref(), Some("/dev/x"));
        assert_eq!(request("/dev/fuse:/dev/x:wr").access.to_string(), "rw");
        for bad in ["", "fuse", "/dev/fuse:x", "/dev/fuse:", "/dev/fuse:/dev/x:", "/dev/fuse:x:rw", "/a:/b:r:w"] {
            assert!(device(bad).is_err(), "{bad}");
        }
    }
}
