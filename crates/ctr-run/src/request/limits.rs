//! Limits of the container.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use ctr_cli::Failure;
use ctr_core::quantity;
use ctr_sandbox::options::{Amount, CpuWeight, IoRate, IoUnit, IoWeight, Limits, RAW_CONTROLLERS};
use ctr_sys::dirfd::{major, minor};

use super::bad;
use crate::args::LimitArgs;

/// The kernel rounds to pages and a program needs some: less cannot start.
const MEMORY_MIN: u64 = 512 << 10;

pub(super) fn request(args: &LimitArgs) -> Result<Limits, Failure> {
    let memory = size("--memory", args.memory.as_deref())?;
    if let Some(memory) = memory.filter(|memory| *memory < MEMORY_MIN) {
        return Err(bad(
            "--memory",
            &memory.to_string(),
            format!("at least {MEMORY_MIN} bytes are needed to start a program"),
        ));
    }
    let memory_swap = match args.memory_swap.as_deref() {
        Some("-1" | "unlimited" | "max") => Some(Amount::Unlimited),
        text => size("--memory-swap", text)?.map(Amount::At),
    };
    let cpus = args.cpus.as_deref().map(|text| quantity::parse_cpus(text).map_err(|error| bad("--cpus", text, error)));
    let cpu_millis = cpus.transpose()?.map(|cpus| cpus.nanos() / 1_000_000);
    let cpu_quota = args.cpu_quota.map(|quota| match u64::try_from(quota) {
        Ok(quota @ 1..) => Ok(Amount::At(quota)),
        Ok(0) => Ok(Amount::Unlimited),
        _ if quota == -1 => Ok(Amount::Unlimited),
        _ => Err(bad("--cpu-quota", &quota.to_string(), "it is a number of microseconds, or -1 for no limit")),
    });
    let pids = args.pids_limit.map(|pids| match u64::try_from(pids) {
        Ok(pids) => Ok(pids),
        Err(_) if pids == -1 => Ok(0),
        Err(_) => Err(bad("--pids-limit", &pids.to_string(), "it is a number, or 0 or -1 for no limit")),
    });
    Ok(Limits {
        memory,
        memory_swap,
        memory_reservation: size("--memory-reservation", args.memory_reservation.as_deref())?,
        oom_kill_disable: args.oom_kill_disable,
        cpu_millis,
        cpu_quota: cpu_quota.transpose()?,
        cpu_period: args.cpu_period,
        cpu_weight: cpu_weight(args)?,
        cpuset_cpus: args.cpuset_cpus.as_deref().map(|text| list("--cpuset-cpus", text)).transpose()?,
        cpuset_mems: args.cpuset_mems.as_deref().map(|text| list("--cpuset-mems", text)).transpose()?,
        pids: pids.transpose()?,
        io_weight: io_weight(args)?,
        io_rates: io_rates(args)?,
        hugetlb: args.hugetlb.iter().map(|text| hugetlb(text)).collect::<Result<_, _>>()?,
        raw: args.cgroup_conf.iter().map(|text| raw(text)).collect::<Result<_, _>>()?,
        delegate: args.cgroup_delegate,
    })
}

/// `0` is no limit, as with docker.
fn size(option: &str, text: Option<&str>) -> Result<Option<u64>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let bytes = quantity::parse_size(text).map_err(|error| bad(option, text, error))?;
    Ok((bytes != 0).then_some(bytes))
}

fn within(option: &str, value: u64, range: std::ops::RangeInclusive<u64>) -> Result<u64, Failure> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(bad(option, &value.to_string(), format!("it is a number from {} to {}", range.start(), range.end())))
}

fn cpu_weight(args: &LimitArgs) -> Result<Option<CpuWeight>, Failure> {
    let shares = args.cpu_shares.filter(|shares| *shares != 0);
    let shares = shares.map(|shares| within("--cpu-shares", shares, 2..=262_144).map(CpuWeight::Shares));
    let weight = args.cpu_weight.map(|weight| within("--cpu-weight", weight, 1..=10_000).map(CpuWeight::Weight));
    shares.or(weight).transpose()
}

fn io_weight(args: &LimitArgs) -> Result<Option<IoWeight>, Failure> {
    let blkio = args.blkio_weight.filter(|weight| *weight != 0);
    let blkio = blkio.map(|weight| within("--blkio-weight", weight, 10..=1000).map(IoWeight::Blkio));
    let io = args.io_weight.map(|weight| within("--io-weight", weight, 1..=10_000).map(IoWeight::Io));
    blkio.or(io).transpose()
}

/// Numbers and ranges of them (cpuset(7), "List format").
fn list(option: &str, text: &str) -> Result<String, Failure> {
    let number = |text: &str| text.parse::<u32>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let good = |part: &str| match part.split_once('-') {
        Some((first, last)) => matches!((number(first), number(last)), (Some(first), Some(last)) if first <= last),
        None => number(part).is_some(),
    };
    if text.split(',').all(good) {
        return Ok(text.to_owned());
    }
    Err(bad(option, text, "it is a list of numbers and ranges, as 0-3,6"))
}

fn io_rates(args: &LimitArgs) -> Result<Vec<IoRate>, Failure> {
    let kinds = [
        ("--device-read-bps", IoUnit::ReadBytes, &args.device_read_bps),
        ("--device-write-bps", IoUnit::WriteBytes, &args.device_write_bps),
        ("--device-read-iops", IoUnit::Reads, &args.device_read_iops),
        ("--device-write-iops", IoUnit::Writes, &args.device_write_iops),
    ];
    let mut rates = Vec::new();
    for (option, unit, texts) in kinds {
        for text in texts {
            rates.push(io_rate(option, unit, text)?);
        }
    }
    Ok(rates)
}

fn io_rate(option: &str, unit: IoUnit, text: &str) -> Result<IoRate, Failure> {
    let (path, rate) = text.rsplit_once(':').ok_or_else(|| bad(option, text, "it is DEVICE:RATE, as /dev/sda:10M"))?;
    let rate = match unit {
        IoUnit::ReadBytes | IoUnit::WriteBytes => {
            quantity::parse_size(rate).map_err(|error| bad(option, text, error))?
        }
        IoUnit::Reads | IoUnit::Writes => {
            rate.parse().map_err(|_| bad(option, text, "the rate is a number of operations in a second"))?
        }
    };
    let rate = within(option, rate, 1..=u64::MAX >> 1)?;
    let (major, minor) = whole_disk(Path::new(path)).map_err(|why| bad(option, text, why))?;
    Ok(IoRate { major, minor, unit, rate })
}

/// The numbers of the disk that a block device is a part of: the kernel throttles whole disks.
fn whole_disk(path: &Path) -> Result<(u32, u32), String> {
    let meta = fs::metadata(path).map_err(|error| error.to_string())?;
    if !meta.file_type().is_block_device() {
        return Err(format!("{} is no block device", path.display()));
    }
    let (major, minor) = (major(meta.rdev()), minor(meta.rdev()));
    // The directory of a partition is in that of its disk.
    let dir = format!("/sys/dev/block/{major}:{minor}");
    if !Path::new(&dir).join("partition").exists() {
        return Ok((major, minor));
    }
    let numbers =
        fs::read_to_string(format!("{dir}/../dev")).map_err(|error| format!("cannot find its disk: {error}"))?;
    let numbers =
        numbers.trim().split_once(':').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    numbers.ok_or_else(|| "cannot find its disk".to_owned())
}

/// `2M=64M`, `1GB=2G`: the size in the kernel's notation.
fn hugetlb(text: &str) -> Result<(String, u64), Failure> {
    let option = "--hugetlb";
    let (page, limit) = text.split_once('=').ok_or_else(|| bad(option, text, "it is SIZE=LIMIT, as 2M=64M"))?;
    let bytes = quantity::parse_size(page).map_err(|error| bad(option, text, error))?;
    let limit = quantity::parse_size(limit).map_err(|error| bad(option, text, error))?;
    if !bytes.is_power_of_two() || bytes < 1 << 10 {
        return Err(bad(option, text, "the size of huge pages is a power of two, as 2M or 1G"));
    }
    let name = match bytes {
        _ if bytes >= 1 << 30 => format!("{}GB", bytes >> 30),
        _ if bytes >= 1 << 20 => format!("{}MB", bytes >> 20),
        _ => format!("{}KB", bytes >> 10),
    };
    let sizes = huge_page_sizes();
    if sizes.contains(&bytes) {
        return Ok((name, limit));
    }
    let known: Vec<String> = sizes.iter().map(|size| quantity::format_size(*size)).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Err(bad(option, text, format!("this host has no huge pages of that size (it has {known})")))
}

/// Bytes of the huge pages of this host (Linux, Documentation/admin-guide/mm/hugetlbpage.rst).
fn huge_page_sizes() -> Vec<u64> {
    let entries = fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten();
    let kib = |name: String| name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse::<u64>().ok();
    let mut sizes: Vec<u64> =
        entries.filter_map(|entry| kib(entry.file_name().into_string().ok()?)).map(|kib| kib << 10).collect();
    sizes.sort_unstable();
    sizes
}

/// A file of a controller; not those by which groups are ruled (`cgroup.procs`, `cgroup.subtree_control`).
fn raw(text: &str) -> Result<(String, String), Failure> {
    let option = "--cgroup-conf";
    let (file, value) = text.split_once('=').ok_or_else(|| bad(option, text, "it is FILE=VALUE, as memory.high=1G"))?;
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_';
    let controller = file.split_once('.').filter(|(_, rest)| !rest.is_empty()).map(|(controller, _)| controller);
    let known = controller.is_some_and(|controller| RAW_CONTROLLERS.contains(&controller));
    if !known || !file.bytes().all(letters) || file.contains("..") {
        let controllers = RAW_CONTROLLERS.join(", ");
        return Err(bad(option, text, format!("the file is CONTROLLER.NAME, of one of {controllers}")));
    }
    if value.is_empty() || value.contains('\0') {
        return Err(bad(option, text, "there is nothing to write"));
    }
    Ok((file.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus() {
        for good in ["0", "0-3", "0-3,6", "1,2,3"] {
            assert_eq!(list("--cpuset-cpus", good).unwrap(), good);
        }
        for bad in ["", ",", "3-1", "a", "0-", "-1", "1,", " 1", "+1"] {
            assert!(list("--cpuset-cpus", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn files_of_groups_by_name() {
        assert_eq!(raw("memory.high=1G").unwrap(), ("memory.high".to_owned(), "1G".to_owned()));
        for bad in [
            "cgroup.procs=1",
            "cgroup.kill=1",
            "memory=1",
            "memory.=1",
            "memory.high",
            "memory.high=",
            "memory/../x.y=1",
            "memory..=1",
            "../memory.high=1",
            "nothing.max=1",
        ] {
            assert!(raw(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates_name_a_block_device() {
        for bad in ["/dev/null:1M", "/dev/null", "1M", "/no/such:1", "/dev/null:fast"] {
            assert!(io_rate("--device-read-bps", IoUnit::ReadBytes, bad).is_err(), "{bad}");
        }
    }
}
