//! Kernel parameters, names and clocks: `--sysctl`, `--domainname`, `--time-offset`, `--tz`.

use ctr_cli::Failure;
use ctr_core::quantity;
use ctr_sandbox::options::{ClockOffsets, KernelOptions, Sysctl, Timezone, sysctl_path};

use super::bad;
use crate::args::KernelArgs;

pub(super) fn request(args: &KernelArgs) -> Result<KernelOptions, Failure> {
    Ok(KernelOptions {
        sysctls: args.sysctl.iter().map(|text| sysctl(text)).collect::<Result<_, _>>()?,
        domainname: args.domainname.clone(),
        clocks: args.time_offset.as_deref().map(clocks).transpose()?.unwrap_or_default(),
        timezone: args.tz.as_deref().map(timezone).transpose()?,
    })
}

fn sysctl(text: &str) -> Result<Sysctl, Failure> {
    let why = "it is NAME=VALUE, as in net.ipv4.ip_forward=1 or net/ipv4/ip_forward=1";
    let (name, value) = text.split_once('=').ok_or_else(|| bad("--sysctl", text, why))?;
    let path = sysctl_path(name.trim()).ok_or_else(|| bad("--sysctl", text, why))?;
    if value.is_empty() || value.contains(['\0', '\n']) {
        return Err(bad("--sysctl", text, "the value is empty or has more than one line"));
    }
    Ok(Sysctl { path, value: value.to_owned() })
}

/// `monotonic=1h,boottime=-10s`.
fn clocks(text: &str) -> Result<ClockOffsets, Failure> {
    let cannot = |why: String| bad("--time-offset", text, why);
    let mut clocks = ClockOffsets::default();
    for part in text.split(',') {
        let (clock, offset) = part.split_once('=').unwrap_or((part, ""));
        let slot = match clock {
            "monotonic" => &mut clocks.monotonic,
            "boottime" => &mut clocks.boottime,
            _ => return Err(cannot("the clocks that can have an offset are monotonic and boottime".to_owned())),
        };
        let (sign, length) = match offset.strip_prefix('-') {
            Some(length) => (-1, length),
            None => (1, offset.strip_prefix('+').unwrap_or(offset)),
        };
        let length = quantity::parse_duration(length).map_err(|error| cannot(error.to_string()))?;
        let nanos = i64::try_from(length.as_nanos()).map_err(|_| cannot("it is more than 292 years".to_owned()))?;
        if slot.replace(sign * nanos).is_some() {
            return Err(cannot(format!("{clock} is given twice")));
        }
    }
    Ok(clocks)
}

fn timezone(text: &str) -> Result<Timezone, Failure> {
    if text == "local" {
        return Ok(Timezone::Local);
    }
    let good = |part: &str| {
        !matches!(part, "" | "." | "..") && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-+.".contains(&b))
    };
    if text.len() <= 128 && text.split('/').all(good) {
        return Ok(Timezone::Zone(text.to_owned()));
    }
    Err(bad("--tz", text, "it is a name of the time zone database, as Europe/Berlin, or 'local'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_and_zones_are_read() {
        let read = |text: &str| clocks(text).map(|clocks| (clocks.monotonic, clocks.boottime)).ok();
        assert_eq!(read("monotonic=1h,boottime=-10s"), Some((Some(3_600_000_000_000), Some(-10_000_000_000))));
        assert_eq!(read("boottime=+500ms"), Some((None, Some(500_000_000))));
        for bad in [
            "",
            "monotonic",
            "monotonic=",
            "realtime=1s",
            "monotonic=1s,monotonic=2s",
            "monotonic=--1s",
            "monotonic=500y",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(
            timezone("America/Argentina/Buenos_Aires").unwrap(),
            Timezone::Zone("America/Argentina/Buenos_Aires".into())
        );
        for bad in ["", "/etc/passwd", "../../etc/passwd", "Europe/../x", "Europe//Berlin", "a b", "Europe/"] {
            assert!(timezone(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn kernel_parameters_are_read() {
        let read = sysctl("kernel.sem=32000 1024000000 500 32000").unwrap();
        assert_eq!((read.path.as_str(), read.value.as_str()), ("kernel/sem", "32000 1024000000 500 32000"));
        assert_eq!(sysctl("net.ipv4.x=a=b").unwrap().value, "a=b");
        for bad in ["", "net.x", "net.x=", "=1", "net.x=1\n2", "../x=1"] {
            assert!(sysctl(bad).is_err(), "{bad}");
        }
    }
}
