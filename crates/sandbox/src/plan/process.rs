//! What is executed: arguments, environment, identity, privileges.

use std::collections::BTreeMap;

use ctr_core::launch::LaunchRecord;
use ctr_sys::privilege::CapSet;
use serde::{Deserialize, Serialize};

use super::{CapabilitySets, Domain, HostFacts, UsernsPlan};
use crate::error::SandboxError;
use crate::options::{RunOptions, Scheduling};
use crate::seccomp::{Agent, Program};

use super::security::{self, SeccompPlan};

/// What a program finds in `PATH` if neither the image nor the command line sets it.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The capabilities of a container unless asked otherwise, by number: CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID,
/// SETUID, SETPCAP, NET_BIND_SERVICE, SYS_CHROOT, SETFCAP (spec/07-executor.md "Capabilities").
pub const DEFAULT_CAPABILITIES: CapSet =
    CapSet(1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 18 | 1 << 31);

/// The program of a plan. It is also `process` of container.json, the profile by which another program is executed in the
/// container later (LIFE-90): what is added here holds for that program too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessPlan {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// The environment, `NAME=value`, without `HOME` if that comes from the image's passwd.
    pub env: Vec<String>,
    /// Whether `HOME` is set from the image's passwd.
    pub home_from_passwd: bool,
    /// Working directory.
    pub cwd: String,
    /// `user[:group]` as given; resolved in the image's own files.
    pub user: String,
    /// More groups, resolved likewise.
    pub groups: Vec<String>,
    /// The caller's supplementary groups stay, instead.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_groups: bool,
    /// File mode creation mask.
    pub umask: u32,
    /// Bounding set; permitted and effective too, for uid 0.
    pub capabilities: Vec<String>,
    /// The same as bits.
    #[serde(skip)]
    pub cap_set: CapSet,
    /// Each set by itself, for every user: rules in place of `capabilities` where it is there. `capabilities` and `cap_set` are
    /// its bounding set then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capability_sets: Option<CapabilitySets>,
    /// `no_new_privs`.
    pub no_new_privileges: bool,
    /// The filter.
    pub seccomp: SeccompPlan,
    /// The file that its profile was read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seccomp_profile: Option<String>,
    /// Who answers the calls that the filter passes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seccomp_agent: Option<Agent>,
    /// What that profile comes to; `seccomp.bpf` in the container's directory.
    #[serde(skip)]
    pub filter: Option<Program>,
    /// AppArmor profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apparmor: Option<String>,
    /// SELinux context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selinux: Option<String>,
    /// Resource limits.
    pub rlimits: Vec<RlimitPlan>,
    /// How it is scheduled.
    #[serde(default, skip_serializing_if = "Scheduling::is_default")]
    pub scheduling: Scheduling,
}

impl ProcessPlan {
    /// Whether its filter passes calls on to an agent.
    pub fn filter_has_agent(&self) -> bool {
        self.seccomp == SeccompPlan::Profile && self.seccomp_agent.is_some()
    }
}

/// A resource limit; `None` is unlimited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RlimitPlan {
    /// `nofile` ...
    pub resource: String,
    /// Soft.
    pub soft: Option<u64>,
    /// Hard.
    pub hard: Option<u64>,
}

pub(super) fn plan(
    image: &LaunchRecord,
    options: &RunOptions,
    hostname: &str,
    userns: &UsernsPlan,
    host: &HostFacts,
    notes: &mut Vec<String>,
) -> Result<ProcessPlan, SandboxError> {
    let args = arguments(image, options)?;
    let mut env = environment(image, options, hostname)?;
    let home_from_passwd = !env.contains_key("HOME");
    let cwd = options.program.workdir.as_deref().unwrap_or(&image.working_dir);
    let cwd = if cwd.is_empty() { "/" } else { cwd };
    if !cwd.starts_with('/') {
        return Err(SandboxError::request_hint(
            format!("the working directory \"{cwd}\" is not an absolute path"),
            "give one with --workdir /PATH",
        ));
    }
    let cap_set = security::capabilities(&options.security, userns, host)?;
    let labels = security::labels(&options.security, host)?;
    let filter = security::filter(&options.security, cap_set, host, notes)?;
    let unlimited = |value: u64| (value != u64::MAX).then_some(value);
    Ok(ProcessPlan {
        args,
        env: std::mem::take(&mut env).into_iter().map(|(name, value)| format!("{name}={value}")).collect(),
        home_from_passwd,
        cwd: cwd.to_owned(),
        user: options.program.user.clone().unwrap_or_else(|| image.user.clone()),
        groups: options.program.groups.clone(),
        keep_groups: options.program.keep_groups,
        umask: options.program.umask.unwrap_or(0o022),
        capabilities: cap_set.names(),
        cap_set,
        capability_sets: None,
        no_new_privileges: options.security.no_new_privileges,
        seccomp: filter.kind,
        seccomp_profile: filter.path,
        seccomp_agent: None,
        filter: filter.program,
        apparmor: labels.apparmor,
        selinux: labels.selinux,
        rlimits: options
            .program
            .ulimits
            .iter()
            .map(|u| RlimitPlan {
                resource: u.resource.name().to_owned(),
                soft: unlimited(u.soft),
                hard: unlimited(u.hard),
            })
            .collect(),
        scheduling: options.scheduling.clone(),
    })
}

/// The caller's groups stay only where the kernel would let nobody take others: root on the host could give a container any.
pub(super) fn check_groups(process: &ProcessPlan, host: &HostFacts) -> Result<(), SandboxError> {
    if process.keep_groups && host.domain == Domain::Host {
        return Err(SandboxError::request_hint(
            "--group-add keep-groups is for containers of ordinary users: root's groups stay outside",
            "name the groups, as in --group-add audio --group-add 1234",
        ));
    }
    Ok(())
}

/// Entrypoint, then command: arguments of the caller replace the image's command, an entrypoint of the caller replaces the
/// image's and clears its command (OCI image-spec, config.md "Entrypoint", "Cmd").
fn arguments(image: &LaunchRecord, options: &RunOptions) -> Result<Vec<String>, SandboxError> {
    let (entrypoint, own_entrypoint) = match &options.program.entrypoint {
        Some(entrypoint) => (entrypoint, true),
        None => (&image.entrypoint, false),
    };
    let command = if !options.program.args.is_empty() || own_entrypoint { &options.program.args } else { &image.cmd };
    let args: Vec<String> = entrypoint.iter().chain(command).cloned().collect();
    match args.first() {
        None => Err(SandboxError::request_hint(
            "there is nothing to run: the image has neither entrypoint nor command",
            "name a program after the image, as in: ctr-run IMAGE /bin/sh -c '...'",
        )),
        Some(program) if program.is_empty() => Err(SandboxError::request("the name of the program is empty")),
        Some(_) if args.iter().any(|arg| arg.contains('\0')) => {
            Err(SandboxError::request("an argument of the program holds a NUL byte"))
        }
        Some(_) => Ok(args),
    }
}

/// The image's variables, ours where the image sets none, the caller's over both.
fn environment(
    image: &LaunchRecord,
    options: &RunOptions,
    hostname: &str,
) -> Result<BTreeMap<String, String>, SandboxError> {
    let mut env = BTreeMap::from([
        ("PATH".to_owned(), DEFAULT_PATH.to_owned()),
        ("HOSTNAME".to_owned(), hostname.to_owned()),
        ("container".to_owned(), "ctr".to_owned()),
    ]);
    if options.terminal.tty {
        env.insert("TERM".to_owned(), "xterm".to_owned());
    }
    // A TZ of the image would win over the /etc/localtime that was asked for.
    let image_env = image.env.iter().filter(|v| options.kernel.timezone.is_none() || !v.starts_with("TZ="));
    for variable in image_env.chain(&options.program.env) {
        let Some((name, value)) = variable.split_once('=') else {
            return Err(SandboxError::request(format!("\"{variable}\" is not NAME=value")));
        };
        if name.is_empty() || variable.contains('\0') {
            return Err(SandboxError::request(format!("\"{}\" is not NAME=value", variable.escape_debug())));
        }
        env.insert(name.to_owned(), value.to_owned());
    }
    Ok(env)
}
