//! What the program may do: capabilities, the system call filter, labels; and what is hidden from it.

use serde::{Deserialize, Serialize};

use ctr_sys::privilege::CapSet;

use super::mounts::normal_path;
use super::process::DEFAULT_CAPABILITIES;
use super::{HostFacts, UsernsPlan};
use crate::error::SandboxError;
use crate::options::{SeccompChoice, SecurityOptions, SelinuxRequest};
use crate::seccomp::Program;

/// Names under `/proc` and `/sys` that tell or reach too much of the host (EXEC-21).
pub(crate) const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

/// Names under `/proc` that uid 0 could write without any capability (EXEC-22).
pub(crate) const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The bounding set of a plan. In a user namespace of its own a container can have every capability, which reaches no further
/// than that namespace; over the host's ids it can have what the launcher has.
pub(super) fn capabilities(
    options: &SecurityOptions,
    userns: &UsernsPlan,
    host: &HostFacts,
) -> Result<CapSet, SandboxError> {
    let available = if userns.is_own() { CapSet::ALL } else { host.held };
    if let Some(missing) = CapSet(options.cap_add.0 & !available.0).names().first() {
        return Err(SandboxError::request_hint(
            format!("--cap-add {missing}: ctr-run itself does not have this capability, so it cannot give it"),
            "in a user namespace of its own (without --userns=host) a container can have every capability",
        ));
    }
    let first = if options.cap_drop_all { CapSet::default() } else { DEFAULT_CAPABILITIES };
    Ok(CapSet((first.0 | options.wanted().0 & available.0) & !options.cap_drop.0))
}

/// What is hidden, and what is read-only.
pub(super) fn paths(options: &SecurityOptions) -> Result<(Vec<String>, Vec<String>), SandboxError> {
    let all = options.privileged || options.unmask_all;
    let shown = |path: &str| all || options.unmask.iter().any(|pattern| matches(pattern, path));
    let idle = |pattern: &&String| !MASKED.iter().chain(&READ_ONLY).any(|path| matches(pattern, path));
    if let Some(pattern) = options.unmask.iter().find(idle) {
        return Err(SandboxError::request_hint(
            format!("--security-opt unmask={pattern}: this path is neither hidden nor read-only"),
            "ctr-run --dry-run shows which are",
        ));
    }
    let left = |paths: &[&str]| -> Vec<String> {
        paths.iter().filter(|path| !shown(path)).map(|path| (*path).to_owned()).collect()
    };
    let (mut masked, read_only) = (left(&MASKED), left(&READ_ONLY));
    for path in &options.mask {
        let path =
            normal_path(path).map_err(|error| SandboxError::request(format!("--security-opt mask={path}: {error}")))?;
        if ["/", "/proc", "/sys", "/dev", "/dev/null"].contains(&path.as_str()) {
            return Err(SandboxError::request(format!("--security-opt mask={path}: no program runs without it")));
        }
        if !masked.contains(&path) {
            masked.push(path);
        }
    }
    Ok((masked, read_only))
}

/// A `*` at the end of a pattern stands for any rest.
fn matches(pattern: &str, path: &str) -> bool {
    pattern.strip_suffix('*').map_or(path == pattern, |beginning| path.starts_with(beginning))
}

/// What `--privileged` comes to, for people.
pub(super) fn explain_privileged(options: &SecurityOptions, userns: &UsernsPlan, notes: &mut Vec<String>) {
    if !options.privileged {
        return;
    }
    notes.push(if userns.is_own() {
        "privileged: every capability within the container's own user namespace; what belongs to the host's root stays closed"
            .to_owned()
    } else {
        "privileged: the program is root of this host: all devices, all of the kernel's settings, nothing is held back".to_owned()
    });
}

/// Labels that the program's exec takes on.
#[derive(Debug, Default)]
pub(super) struct Labels {
    pub(super) apparmor: Option<String>,
    pub(super) selinux: Option<String>,
}

/// What the host's security modules are told. One that is asked for and not in force is an error.
pub(super) fn labels(options: &SecurityOptions, host: &HostFacts) -> Result<Labels, SandboxError> {
    let mut labels = Labels::default();
    match options.apparmor.as_deref() {
        // Where nothing confines, nothing has to be lifted.
        Some("unconfined") if !host.lsm.apparmor => {}
        Some(profile) if !host.lsm.apparmor => {
            return Err(SandboxError::request_hint(
                format!("--security-opt apparmor={profile}: AppArmor is not enabled on this host"),
                "leave the option out, or start the host with AppArmor (/sys/module/apparmor/parameters/enabled)",
            ));
        }
        profile => labels.apparmor = profile.map(str::to_owned),
    }
    if let Some(request) = &options.selinux {
        let Some(own) = &host.lsm.selinux else {
            return Err(SandboxError::request_hint(
                "--security-opt label: SELinux is not enabled on this host",
                "leave the option out, or use label=disable",
            ));
        };
        labels.selinux = Some(context(request, own));
    }
    Ok(labels)
}

/// The context of a container beside ours: `system_u:system_r:container_t:s0` with what was asked for over it. The level is our
/// own lowest one.
fn context(request: &SelinuxRequest, own: &str) -> String {
    let level = own.splitn(4, ':').nth(3).unwrap_or("s0");
    let low = level.split('-').next().unwrap_or("s0");
    let part = |part: &Option<String>, default: &str| part.clone().unwrap_or_else(|| default.to_owned());
    [
        part(&request.user, "system_u"),
        part(&request.role, "system_r"),
        part(&request.kind, "container_t"),
        part(&request.level, low),
    ]
    .join(":")
}

/// Which filter a program runs under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeccompPlan {
    /// ctr's own.
    #[default]
    Default,
    /// None.
    Unconfined,
    /// A profile of the caller's.
    Profile,
}

impl SeccompPlan {
    /// As it is written in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Unconfined => "unconfined",
            Self::Profile => "profile",
        }
    }
}

/// The filter of a plan, decided.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub(super) kind: SeccompPlan,
    pub(super) path: Option<String>,
    pub(super) program: Option<Program>,
}

/// The most names of unknown calls that a note lists.
const NAMES_SHOWN: usize = 8;

/// What the choice comes to for a program with these capabilities in its bounding set.
pub(super) fn filter(
    options: &SecurityOptions,
    capabilities: CapSet,
    host: &HostFacts,
    notes: &mut Vec<String>,
) -> Result<Filter, SandboxError> {
    let (path, profile) = match &options.seccomp {
        SeccompChoice::Default if options.privileged => {
            return Ok(Filter { kind: SeccompPlan::Unconfined, ..Filter::default() });
        }
        SeccompChoice::Default => return Ok(Filter::default()),
        SeccompChoice::Unconfined => return Ok(Filter { kind: SeccompPlan::Unconfined, ..Filter::default() }),
        SeccompChoice::Profile { path, profile } => (path, profile),
    };
    let program = Program::of_profile(profile, capabilities, host.kernel).map_err(|error| {
        SandboxError::request_hint(
            format!("cannot use the seccomp profile {path}: {error}"),
            "name fewer system calls, or compare fewer arguments",
        )
    })?;
    let unknown = profile.unknown_calls();
    if !unknown.is_empty() {
        let more = unknown.len().saturating_sub(NAMES_SHOWN);
        let shown = unknown.iter().take(NAMES_SHOWN).cloned().collect::<Vec<_>>().join(" ");
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        notes.push(format!(
            "seccomp: no system call here has the name {shown}{more}: the profile's answer is passed over"
        ));
    }
    Ok(Filter { kind: SeccompPlan::Profile, path: Some(path.clone()), program: Some(program) })
}
