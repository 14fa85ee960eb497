//! Limits of the container.

use ctr_cli::Failure;
use ctr_core::quantity;
use ctr_sandbox::options::Limits;

use super::bad;
use crate::args::LimitArgs;

pub(super) fn request(args: &LimitArgs) -> Result<Limits, Failure> {
    /// The kernel rounds to pages and a program needs some: less cannot start.
    const MEMORY_MIN: u64 = 512 << 10;
    let memory =
        args.memory.as_deref().map(|text| quantity::parse_size(text).map_err(|error| bad("--memory", text, error)));
    let memory = memory.transpose()?;
    if let Some(memory) = memory.filter(|memory| *memory < MEMORY_MIN) {
        return Err(bad(
            "--memory",
            &memory.to_string(),
            format!("at least {MEMORY_MIN} bytes are needed to start a program"),
        ));
    }
    let cpus = args.cpus.as_deref().map(|text| quantity::parse_cpus(text).map_err(|error| bad("--cpus", text, error)));
    let cpu_millis = cpus.transpose()?.map(|cpus| cpus.nanos() / 1_000_000);
    if cpu_millis.is_some_and(|millis| millis < 10) {
        return Err(bad("--cpus", args.cpus.as_deref().unwrap_or_default(), "at least 0.01 is needed"));
    }
    Ok(Limits { memory, cpu_millis, pids: args.pids_limit })
}
