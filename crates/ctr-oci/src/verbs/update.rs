//! `update`: other limits for a container that runs, or that waits for its start.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use ctr_cli::{Context as _, Failure};

use super::start::state_failure;
use crate::args::{self, Global};
use crate::cgroup;
use crate::config::{BlockIo, Cpu, Memory, Pids, Resources};
use crate::state::{States, Status};

/// The largest document that is read, in bytes.
const RESOURCES_MAX: u64 = 1 << 20;

/// `ctr-oci update`.
pub(crate) fn update(global: &Global, args: &args::Update) -> Result<ExitCode, Failure> {
    let known = States::open(global)?.find(&args.id).map_err(state_failure)?;
    if matches!(known.status, Status::Stopped | Status::Creating) {
        return Err(Failure::new(format!("cannot update container \"{}\"", args.id))
            .because(format!("container not running: it is {}", known.status.name())));
    }
    let resources = match &args.resources {
        Some(path) => read(path)?,
        None => from_options(args)?,
    };
    cgroup::update(&known.oci.cgroup, &resources)?;
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<Resources, Failure> {
    let shown = path.display();
    let mut bytes = Vec::new();
    let opened: Box<dyn std::io::Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).context(|| format!("cannot read {shown}"))?)
    };
    opened.take(RESOURCES_MAX + 1).read_to_end(&mut bytes).context(|| format!("cannot read {shown}"))?;
    if bytes.len() as u64 > RESOURCES_MAX {
        return Err(Failure::new(format!("cannot read {shown}: it has more than {RESOURCES_MAX} bytes")));
    }
    let mut json = serde_json::Deserializer::from_slice(&bytes);
    let invalid =
        |reason: String| Failure::new(format!("{shown} is not what runtime-spec wants of linux.resources: {reason}"));
    // Serde takes a list for the members of a struct in their order.
    if bytes.trim_ascii_start().first().is_some_and(|byte| *byte != b'{') {
        return Err(invalid("it is no object".to_owned()));
    }
    let resources = serde_path_to_error::deserialize(&mut json).map_err(|error| invalid(error.to_string()))?;
    json.end().map_err(|error| invalid(error.to_string()))?;
    Ok(resources)
}

fn from_options(args: &args::Update) -> Result<Resources, Failure> {
    for (option, given) in [("--l3-cache-schema", &args.l3_cache_schema), ("--mem-bw-schema", &args.mem_bw_schema)] {
        if given.is_some() {
            return Err(Failure::new(format!("cannot do {option}: linux.intelRdt of a container cannot be changed")));
        }
    }
    let memory = Memory {
        limit: args.memory,
        reservation: args.memory_reservation,
        swap: args.memory_swap,
        kernel: args.kernel_memory,
        kernel_tcp: args.kernel_memory_tcp,
        ..Memory::default()
    };
    let cpu = Cpu {
        shares: args.cpu_share,
        quota: args.cpu_quota,
        period: args.cpu_period,
        burst: args.cpu_burst,
        realtime_runtime: args.cpu_rt_runtime,
        realtime_period: args.cpu_rt_period,
        idle: args.cpu_idle,
        cpus: args.cpuset_cpus.clone().unwrap_or_default(),
        mems: args.cpuset_mems.clone().unwrap_or_default(),
    };
    let block_io = args.blkio_weight.map(|weight| BlockIo { weight: Some(weight), ..BlockIo::default() });
    let pids = args.pids_limit.map(|limit| Pids { limit: Some(limit) });
    Ok(Resources { memory: Some(memory), cpu: Some(cpu), block_io, pids, ..Resources::default() })
}
