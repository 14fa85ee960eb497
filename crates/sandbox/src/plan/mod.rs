//! The plan: everything that a start will do, decided before any of it is done. A pure function of the launch record, the
//! request and facts of the host; `--explain` prints it, `--dry-run` stops after it.

mod capabilities;
mod cgroup;
mod devices;
mod explain;
mod kernel;
mod mounts;
mod namespaces;
mod process;
mod secrets;
mod security;
mod streams;
mod userns;
mod volumes;

use ctr_core::container::LogMode;
use ctr_core::digest::Digest;
use ctr_core::launch::{LaunchRecord, LayerId};
use ctr_core::platform::Platform;
use ctr_sys::privilege::CapSet;
use serde::Serialize;

pub use capabilities::{CapabilitySets, capabilities_by_name};
pub use cgroup::{CgroupFacts, CgroupPlan, GroupPlan, Need, UnifiedFacts, Write, weight_of_shares};
pub(crate) use cgroup::{can_make_devices, v1_controllers};
pub(crate) use devices::is_own_device;
pub use devices::{DevicePlan, HostDevice, rules as device_rules};
pub use kernel::KernelPlan;
pub use mounts::{PlannedMount, Shown, TmpfsPlan};
pub use namespaces::{JoinFacts, JoinPlan};
pub use process::{DEFAULT_CAPABILITIES, ProcessPlan, RlimitPlan};
pub(crate) use secrets::SECRETS_DIR;
pub use secrets::SecretPlan;
pub use security::SeccompPlan;
pub(crate) use security::{MASKED, READ_ONLY};
pub use streams::StreamPlan;
pub use userns::{Domain, UsernsMode, UsernsPlan};
pub use volumes::{BindPlan, ImagePlan as MountedImage};

use crate::error::SandboxError;
use crate::options::{DeviceRule, RunOptions, Source};

/// Seconds from the stop signal to the kill, unless asked otherwise (spec/limits.md).
pub const STOP_TIMEOUT: u64 = 10;

/// What the plan needs to know of the host.
#[derive(Debug, Clone)]
pub struct HostFacts {
    /// Whose ids containers can have.
    pub domain: Domain,
    /// The containers whose namespaces are asked for, as they are named, or why they cannot be joined.
    pub containers: Vec<(String, Result<JoinFacts, String>)>,
    /// The host's name, where the container is to share it.
    pub hostname: String,
    /// `R`: where store, containers and volumes lie.
    pub root: String,
    /// The control group hierarchies.
    pub cgroups: CgroupFacts,
    /// The name of our part of each hierarchy: `ctr/ROOTHASH`.
    pub cgroup_parent: String,
    /// The capabilities of the launcher, where some are asked for.
    pub held: CapSet,
    /// The security modules in force, where they are asked for.
    pub lsm: LsmFacts,
    /// The kernel's version, where it is asked for.
    pub kernel: (u32, u32),
    /// The invocation of the systemd unit whose journal stream standard output is (systemd.exec(5), `$JOURNAL_STREAM`); empty
    /// if systemd does not tell it.
    pub journal: Option<String>,
    /// What was found for each of the devices that were asked for, or why nothing was.
    pub devices: Vec<Result<Vec<HostDevice>, String>>,
}

/// Security modules of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LsmFacts {
    /// AppArmor is enabled.
    pub apparmor: bool,
    /// Our own context, where SELinux is enabled.
    pub selinux: Option<String>,
}

/// A start, decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The container's id.
    pub id: String,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The image.
    pub image: ImagePlan,
    /// New namespaces, by their names in `/proc/PID/ns`.
    pub namespaces: Vec<&'static str>,
    /// Which ids the container's are outside.
    pub userns: UsernsPlan,
    /// Namespaces of others that it is in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub joins: Vec<JoinPlan>,
    /// Its network: `none`, `host`, `container:NAME`, `ns:PATH`.
    pub network: String,
    /// Host name.
    pub hostname: String,
    /// Lines for `/etc/hosts`: address, name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add_hosts: Vec<(String, String)>,
    /// Name servers for `/etc/resolv.conf`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<String>,
    /// Kernel parameters and clocks.
    #[serde(flatten)]
    pub kernel: KernelPlan,
    /// The root filesystem.
    pub rootfs: RootfsPlan,
    /// Mounts on it, in their order.
    pub mounts: Vec<PlannedMount>,
    /// Secrets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretPlan>,
    /// Device nodes in `/dev`.
    pub devices: Vec<DevicePlan>,
    /// Device numbers that may be used beyond those.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub device_rules: Vec<DeviceRule>,
    /// Paths hidden under an empty directory or `/dev/null`.
    pub masked_paths: Vec<String>,
    /// Paths made read-only.
    pub read_only_paths: Vec<String>,
    /// The program.
    pub process: ProcessPlan,
    /// Whether a working directory that is missing is made: the image's is, the caller's must be there.
    pub make_cwd: bool,
    /// Control groups.
    pub cgroups: CgroupPlan,
    /// The program's standard streams.
    pub streams: StreamPlan,
    /// Where the output goes.
    pub log: LogMode,
    /// The invocation of the systemd unit in whose journal it can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal: Option<String>,
    /// Whether our init is PID 1.
    pub init: bool,
    /// Whether the container is removed once it has ended.
    pub rm: bool,
    /// The signal that asks the program to end.
    pub stop_signal: i32,
    /// Seconds from that to the kill.
    pub stop_timeout: u64,
    /// Milliseconds that the program may run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// What a reader of the plan should know: fallbacks, defaults that this host cannot hold.
    pub notes: Vec<String>,
}

impl Plan {
    /// Whether it has a new namespace of this kind, by its name in `/proc/PID/ns`.
    pub(crate) fn has_own(&self, kind: &str) -> bool {
        self.namespaces.contains(&kind)
    }
}

/// The image of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImagePlan {
    /// As it was named, if by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Digest of its manifest.
    pub digest: Digest,
}

/// The root filesystem of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RootfsPlan {
    /// Layer directories, lowest first.
    pub layers: Vec<LayerId>,
    /// Nothing can be written to it.
    pub read_only: bool,
    /// Writes are not synced (overlay's `volatile`): the container goes when it ends.
    pub volatile: bool,
}

/// Decides a start.
pub fn plan(
    id: &str,
    image_name: Option<&str>,
    image: &LaunchRecord,
    options: &RunOptions,
    host: &HostFacts,
) -> Result<Plan, SandboxError> {
    check_platform(image, options.life.platform.as_ref())?;
    if image.layers.is_empty() {
        return Err(SandboxError::request("the image has no layers: there is nothing to run"));
    }
    let hostname = hostname(id, options, host)?;
    let mut notes = Vec::new();
    let userns = userns::plan(&namespaces::effective_userns(&options.namespaces, host), image, host)?;
    let devices = devices::plan(options, host, userns.is_own())?;
    let (mut namespaces, joins) = namespaces::plan(&options.namespaces, host, userns.is_own(), &mut notes)?;
    let mut process = process::plan(image, options, &hostname, &userns, host, &mut notes)?;
    if let (Some((uid, gid)), None) = (userns.keeps, &options.program.user) {
        process.user = format!("{uid}:{gid}");
    }
    let cgroups = cgroup::plan(id, options, (&process, &devices, &userns), host, &mut notes)?;
    let mut mounts = mounts::plan(image, options, host, &userns)?;
    volumes::harden(&mut mounts, &process, &userns, &mut notes);
    security::explain_privileged(&options.security, &userns, &mut notes);
    let (masked_paths, read_only_paths) = security::paths(&options.security)?;
    let secrets = secrets::plan(options, &userns)?;
    let kernel = kernel::plan(&options.kernel, &mut namespaces)?;
    process::check_groups(&process, host)?;
    let log = streams::log_mode(options, host, &mut notes)?;
    Ok(Plan {
        id: id.to_owned(),
        name: options.life.name.clone(),
        image: ImagePlan { name: image_name.map(str::to_owned), digest: image.image },
        namespaces,
        userns,
        joins,
        network: match &options.namespaces.network {
            Source::Own => "none".to_owned(),
            other => other.name(),
        },
        hostname,
        add_hosts: options.namespaces.add_hosts.clone(),
        dns: options.namespaces.dns.clone(),
        kernel,
        make_cwd: options.program.workdir.is_none(),
        rootfs: RootfsPlan {
            layers: image.layers.clone(),
            read_only: options.filesystem.read_only,
            volatile: options.life.rm,
        },
        mounts,
        secrets,
        devices,
        device_rules: options.devices.rules.clone(),
        masked_paths,
        read_only_paths,
        process,
        cgroups,
        streams: streams::plan(options)?,
        log,
        journal: host.journal.clone().filter(|invocation| log == LogMode::Inherit && !invocation.is_empty()),
        init: !options.life.no_init,
        rm: options.life.rm,
        stop_signal: stop_signal(image, options)?,
        stop_timeout: options.life.stop_timeout.unwrap_or(STOP_TIMEOUT),
        timeout_ms: options.life.timeout.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        notes,
    })
}

/// An image of another platform fails with words, not with "exec format error".
fn check_platform(image: &LaunchRecord, wanted: Option<&Platform>) -> Result<(), SandboxError> {
    let found = Platform::new(&image.os, &image.architecture, &image.variant);
    if let Some(wanted) = wanted.filter(|wanted| wanted.runs(&found).is_none()) {
        return Err(SandboxError::request_hint(
            format!("the image is for {found}, not for {wanted} (--platform)"),
            format!("fetch the image for that platform: ctr-fetch --platform {wanted} SOURCE"),
        ));
    }
    let host = Platform::host();
    let runs = found.architecture == host.architecture || (host.architecture == "amd64" && found.architecture == "386");
    if found.os == "linux" && runs {
        return Ok(());
    }
    Err(SandboxError::request_hint(
        format!("the image is for {found}, this host is {host}"),
        format!("fetch the image for this platform: ctr-fetch --platform {host} SOURCE"),
    ))
}

/// The name that was asked for, else the first twelve digits of the id (sethostname(2): 64 bytes at most).
fn hostname(id: &str, options: &RunOptions, host: &HostFacts) -> Result<String, SandboxError> {
    let shared = match &options.namespaces.uts {
        Source::Own => None,
        Source::Container(name) => Some(host.container(name)?.hostname.clone()),
        Source::Host | Source::Path(_) => Some(host.hostname.clone()),
    };
    let name = match (&options.namespaces.hostname, shared) {
        (None, Some(shared)) => return Ok(shared),
        (Some(_), Some(_)) => {
            return Err(SandboxError::request_hint(
                "--hostname would change the name of somebody else's namespace",
                "run without --uts, or without --hostname",
            ));
        }
        (None, None) => return Ok(id.chars().take(12).collect()),
        (Some(name), None) => name,
    };
    let good =
        !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    if good {
        return Ok(name.clone());
    }
    Err(SandboxError::request(format!("\"{name}\" is not a host name (1 to 64 letters, digits, '-', '.', '_')")))
}

fn stop_signal(image: &LaunchRecord, options: &RunOptions) -> Result<i32, SandboxError> {
    if let Some(signal) = options.life.stop_signal {
        return Ok(signal);
    }
    if image.stop_signal.is_empty() {
        return Ok(ctr_sys::signal::SIGTERM);
    }
    ctr_sys::signal::parse(&image.stop_signal).ok_or_else(|| {
        SandboxError::request_hint(
            format!("the image's stop signal \"{}\" is not a signal", image.stop_signal),
            "give one with --stop-signal",
        )
    })
}
