//! `memory`.

use super::{Known, Write, Writes, given, invalid, only_v1};
use crate::config::Memory;

pub(super) fn v1(memory: &Memory) -> Writes {
    check(memory)?;
    let mut writes = Vec::new();
    let limit = given(memory.limit);
    // Unlimited memory with a limit of both is what the kernel refuses.
    let both = given(memory.swap).or(limit.filter(|limit| *limit == -1));
    for (property, number, file) in [
        ("memory.limit", limit, "memory.limit_in_bytes"),
        ("memory.swap", both, "memory.memsw.limit_in_bytes"),
        ("memory.reservation", given(memory.reservation), "memory.soft_limit_in_bytes"),
        ("memory.kernel", given(memory.kernel), "memory.kmem.limit_in_bytes"),
        ("memory.kernelTCP", given(memory.kernel_tcp), "memory.kmem.tcp.limit_in_bytes"),
    ] {
        writes.extend(number.map(|number| Write::new(property, file, number).optional_if(number == -1)));
    }
    writes.extend(memory.swappiness.map(|number| Write::new("memory.swappiness", "memory.swappiness", number)));
    if let Some(disable) = memory.disable_oom_killer {
        let write = Write::new("memory.disableOOMKiller", "memory.oom_control", u8::from(disable));
        writes.push(write.optional_if(!disable));
    }
    if let Some(hierarchy) = memory.use_hierarchy {
        let write = Write::new("memory.useHierarchy", "memory.use_hierarchy", u8::from(hierarchy));
        // Kernels without the file always count what is below.
        writes.push(write.optional_if(hierarchy));
    }
    Ok(writes)
}

pub(super) fn v2(memory: &Memory, known: &Known) -> Writes {
    check(memory)?;
    for (property, number) in [("memory.kernel", memory.kernel), ("memory.kernelTCP", memory.kernel_tcp)] {
        if given(number).is_some_and(|number| number != -1) {
            return Err(only_v1(property, "a limit of kernel memory"));
        }
    }
    if memory.swappiness.is_some() {
        return Err(only_v1("memory.swappiness", "swappiness of a control group"));
    }
    if memory.disable_oom_killer == Some(true) {
        return Err(only_v1("memory.disableOOMKiller", "a group whose processes wait for memory"));
    }
    if memory.use_hierarchy == Some(false) {
        return Err(only_v1("memory.useHierarchy", "a group that does not count those below"));
    }
    let mut writes = Vec::new();
    let limit = given(memory.limit);
    writes.extend(limit.map(|limit| Write::new("memory.limit", "memory.max", max(limit)).optional_if(limit == -1)));
    if let Some(swap) = swap(memory, limit.or(known.memory_limit))? {
        // Where there is no swap the file may be missing (swapaccount=0), and none is used.
        writes.push(Write::new("memory.swap", "memory.swap.max", max(swap)).optional_if(swap <= 0));
    }
    if let Some(reservation) = given(memory.reservation) {
        let write = Write::new("memory.reservation", "memory.low", max(reservation));
        writes.push(write.optional_if(reservation == -1));
    }
    Ok(writes)
}

/// v2 counts swap alone, the property memory and swap together.
fn swap(memory: &Memory, limit: Option<i64>) -> Result<Option<i64>, super::CgroupError> {
    match (given(memory.swap), limit) {
        // For who knew v1: no limit of memory is none of swap either.
        (None, _) => Ok(given(memory.limit).filter(|limit| *limit == -1)),
        (Some(-1), _) => Ok(Some(-1)),
        (Some(_), None | Some(-1)) => Err(invalid(
            "memory.swap",
            "it is the sum of memory and swap, and needs linux.resources.memory.limit with cgroup v2",
        )),
        (Some(both), Some(limit)) if both < limit => {
            Err(invalid("memory.swap", format!("{both} is less than the limit of memory ({limit}), which it includes")))
        }
        (Some(both), Some(limit)) => Ok(Some(both - limit)),
    }
}

fn check(memory: &Memory) -> Result<(), super::CgroupError> {
    for (property, number) in [
        ("memory.limit", memory.limit),
        ("memory.swap", memory.swap),
        ("memory.reservation", memory.reservation),
        ("memory.kernel", memory.kernel),
        ("memory.kernelTCP", memory.kernel_tcp),
    ] {
        if number.is_some_and(|number| number < -1) {
            return Err(invalid(property, "it is a number of bytes, or -1 for unlimited"));
        }
    }
    if memory.swappiness.is_some_and(|number| number > 100) {
        return Err(invalid("memory.swappiness", "it is 0 to 100"));
    }
    Ok(())
}

fn max(number: i64) -> String {
    if number == -1 { "max".to_owned() } else { number.to_string() }
}
