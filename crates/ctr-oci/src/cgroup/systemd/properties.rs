//! Limits as properties of a unit (systemd.resource-control(5)), so that systemd does not take them for none when it writes
//! its own: pure.

use super::super::limits::{Known, Placed};
use super::wire::{Properties, Value};
use crate::config::Resources;

/// Properties for what `placed` writes to the group of v2, in systemd's words.
pub(super) fn of_v2(resources: &Resources, placed: &[Placed], known: &Known) -> Properties {
    let mut properties = Vec::new();
    for write in placed.iter().filter(|placed| placed.v1.is_none()).map(|placed| &placed.write) {
        let name = match write.file.as_str() {
            "memory.max" => "MemoryMax",
            "memory.high" => "MemoryHigh",
            "memory.low" => "MemoryLow",
            "memory.min" => "MemoryMin",
            "memory.swap.max" => "MemorySwapMax",
            "cpu.weight" => "CPUWeight",
            "pids.max" => "TasksMax",
            "cpuset.cpus" | "cpuset.mems" => {
                let name = if write.file == "cpuset.cpus" { "AllowedCPUs" } else { "AllowedMemoryNodes" };
                properties.extend(bits(&write.value).map(|bits| (name.to_owned(), Value::Bytes(bits))));
                continue;
            }
            "cpu.max" => {
                properties.extend(quota(&write.value, known));
                continue;
            }
            _ => continue,
        };
        let number = if write.value == "max" { Some(u64::MAX) } else { write.value.parse().ok() };
        properties.extend(number.map(|number| (name.to_owned(), Value::U64(number))));
    }
    if let Some(weight) = resources.block_io.as_ref().and_then(|block| block.weight).filter(|weight| *weight != 0) {
        let weight = 1 + u64::from(weight.saturating_sub(10)) * 9999 / 990;
        properties.push(("IOWeight".to_owned(), Value::U64(weight)));
    }
    properties
}

/// `cpu.max` as time in each second, which systemd keeps in hundredths: rounded up, so that it is never less than the group's.
fn quota(max: &str, known: &Known) -> Properties {
    let mut words = max.split_whitespace();
    let (quota, period) =
        (words.next().unwrap_or_default(), words.next().and_then(|period| period.parse::<u64>().ok()));
    let period = period.or(known.cpu_period).unwrap_or(100_000).max(1);
    let per_second = match quota.parse::<u64>() {
        Ok(quota) => quota.saturating_mul(1_000_000).div_ceil(period).next_multiple_of(10_000),
        Err(_) => u64::MAX,
    };
    vec![
        ("CPUQuotaPeriodUSec".to_owned(), Value::U64(period)),
        ("CPUQuotaPerSecUSec".to_owned(), Value::U64(per_second)),
    ]
}

/// Properties of v1; systemd has older words for it.
pub(super) fn of_v1(resources: &Resources) -> Properties {
    let mut properties = Vec::new();
    let mut put = |name: &str, number: Option<u64>| {
        properties.extend(number.map(|number| (name.to_owned(), Value::U64(number))));
    };
    let amount = |number: i64| if number < 0 { u64::MAX } else { number.cast_unsigned() };
    let memory = resources.memory.as_ref().and_then(|memory| memory.limit).filter(|limit| *limit != 0);
    put("MemoryLimit", memory.map(amount));
    put("CPUShares", resources.cpu.as_ref().and_then(|cpu| cpu.shares).filter(|shares| *shares != 0));
    let pids = resources.pids.as_ref().and_then(|pids| pids.limit);
    put("TasksMax", pids.map(|limit| if limit <= 0 { u64::MAX } else { limit.cast_unsigned() }));
    let weight = resources.block_io.as_ref().and_then(|block| block.weight);
    put("BlockIOWeight", weight.filter(|weight| *weight != 0).map(u64::from));
    properties
}

/// A list as `0-3,7` as bytes of a bit set, the lowest first. `None`: it is no list.
fn bits(list: &str) -> Option<Vec<u8>> {
    let mut bytes: Vec<u8> = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if last > 8191 {
            return None;
        }
        for number in first..=last {
            if bytes.len() <= number / 8 {
                bytes.resize(number / 8 + 1, 0);
            }
            *bytes.get_mut(number / 8)? |= 1 << (number % 8);
        }
    }
    (!bytes.is_empty()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::super::facts::{Hierarchies, Unified};
    use super::super::super::limits;
    use super::*;

    #[test]
    fn limits_in_the_words_of_systemd() {
        let controllers = ["cpu", "cpuset", "memory", "io", "pids"].map(str::to_owned).to_vec();
        let unified = Unified { mount: "/cg".into(), controllers, base: String::new(), pure: true };
        let host = Hierarchies { v1: Vec::new(), unified: Some(unified) };
        for (json, expected) in [
            (r#"{"memory":{"limit":100,"swap":300}}"#, "MemoryMax=U64(100) MemorySwapMax=U64(200)"),
            (
                r#"{"memory":{"limit":-1}}"#,
                "MemoryMax=U64(18446744073709551615) MemorySwapMax=U64(18446744073709551615)",
            ),
            (r#"{"cpu":{"shares":1024}}"#, "CPUWeight=U64(100)"),
            (
                r#"{"cpu":{"quota":50000,"period":100000}}"#,
                "CPUQuotaPeriodUSec=U64(100000) CPUQuotaPerSecUSec=U64(500000)",
            ),
            (
                r#"{"cpu":{"quota":33333,"period":100000}}"#,
                "CPUQuotaPeriodUSec=U64(100000) CPUQuotaPerSecUSec=U64(340000)",
            ),
            (r#"{"cpu":{"cpus":"0-2,9"}}"#, "AllowedCPUs=Bytes([7, 2])"),
            (r#"{"pids":{"limit":5}}"#, "TasksMax=U64(5)"),
            (r#"{"blockIO":{"weight":1000}}"#, "IOWeight=U64(10000)"),
            (r#"{"unified":{"memory.high":"9"}}"#, "MemoryHigh=U64(9)"),
        ] {
            let resources: Resources = serde_json::from_str(json).unwrap();
            let known = Known::default();
            let placed = limits::writes(&resources, &known, &host).unwrap();
            let properties = of_v2(&resources, &placed, &known);
            let shown: Vec<String> = properties.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
            assert_eq!(shown.join(" "), expected, "{json}");
        }
        assert_eq!((bits(""), bits("x"), bits("0-9999999")), (None, None, None));
    }
}
