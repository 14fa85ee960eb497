//! Facts of this host that a plan depends on.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ctr_core::container::Containers;
use ctr_sys::privilege::CapSet;

use crate::idmap::{IdMap, parse_extents};
use crate::options::{RunOptions, SeccompChoice, Source, Userns};
use crate::plan::{Domain, HostFacts, JoinFacts};

/// Looks at the host for containers of `root`.
/// Looks only for what `options` need: each look is a system call of every start.
pub fn facts(root: &Path, options: &RunOptions) -> HostFacts {
    HostFacts {
        domain: domain(),
        containers: containers(root, options),
        hostname: match options.namespaces.uts {
            Source::Own | Source::Container(_) => String::new(),
            Source::Host | Source::Path(_) => {
                let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
                name.trim_end().to_owned()
            }
        },
        root: root.display().to_string(),
        cgroups: crate::hierarchies::facts(options),
        cgroup_parent: format!("ctr/{}", ctr_core::container::root_hash(root)),
        held: held(options),
        lsm: crate::lsm::facts(&options.security),
        kernel: kernel(options),
        journal: stdout_is_journal().then(invocation),
        devices: options.devices.devices.iter().map(|request| crate::devices::find(&request.source)).collect(),
    }
}

/// Whether the container's processes can have the uids of this one: it may have no user namespace of its own, or
/// one that maps ids of ours.
pub fn shares_ids(options: &RunOptions) -> bool {
    let joins = options.namespaces.containers().next().is_some();
    joins || !matches!(options.namespaces.userns, Userns::Auto) || domain() != Domain::Host
}

/// The running containers whose namespaces are asked for.
fn containers(root: &Path, options: &RunOptions) -> Vec<(String, Result<JoinFacts, String>)> {
    let names: BTreeSet<&str> = options.namespaces.containers().collect();
    names.into_iter().map(|name| (name.to_owned(), join_facts(root, name))).collect()
}

fn join_facts(root: &Path, name: &str) -> Result<JoinFacts, String> {
    let container = Containers::open(root).find(name).map_err(|error| error.to_string())?;
    let status = container.status().map_err(|error| error.to_string())?;
    let process = container.process().map_err(|error| error.to_string())?;
    let (Some(pid), Some(process)) = (status.pid, process) else { return Err("it does not run".to_owned()) };
    let record = &container.record;
    let extents = |lines: &[String]| parse_extents(&lines.join("\n").replace(':', " "));
    let map = IdMap { uids: extents(&record.isolation.uid_map), gids: extents(&record.isolation.gid_map) };
    Ok(JoinFacts {
        id: record.id.clone(),
        pid,
        start_time: process.start_time,
        map: (!map.uids.is_empty()).then_some(map),
        hostname: record.hostname.clone(),
    })
}

/// The user namespace that this process is root in. Maps that cannot be read are taken for the host's: then the kernel
/// refuses what a namespace within another cannot do.
fn domain() -> Domain {
    if ctr_sys::ids::in_initial_user_namespace() {
        return Domain::Host;
    }
    match ctr_sys::userns::current_maps() {
        Ok((uids, gids)) => {
            let ids = IdMap { uids: parse_extents(&uids), gids: parse_extents(&gids) };
            Domain::User { ids, single: std::env::var(SINGLE_ID_VARIABLE).ok() }
        }
        Err(_) => Domain::Host,
    }
}

/// Why an ordinary user has one id only, from the launcher that entered the user's namespace to itself in it.
pub const SINGLE_ID_VARIABLE: &str = "CTR_SINGLE_ID";

/// Asked for where capabilities beyond the default ones are. What cannot be read is taken for nothing.
fn held(options: &RunOptions) -> CapSet {
    if options.security.wanted() == CapSet::default() {
        return CapSet::default();
    }
    ctr_sys::privilege::held_capabilities().unwrap_or_default()
}

/// Asked for where a seccomp profile may depend on it.
fn kernel(options: &RunOptions) -> (u32, u32) {
    match options.security.seccomp {
        SeccompChoice::Profile { .. } => ctr_sys::process::kernel_version(),
        SeccompChoice::Default | SeccompChoice::Unconfined => (0, 0),
    }
}

/// The running unit's invocation, 32 hexadecimal digits; empty if systemd is too old to tell.
fn invocation() -> String {
    let id = std::env::var("INVOCATION_ID").unwrap_or_default();
    let good = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if good { id } else { String::new() }
}

/// systemd.exec(5): `JOURNAL_STREAM` has device and inode number of the journal's stream, colon-separated.
fn stdout_is_journal() -> bool {
    let Some(stream) = std::env::var("JOURNAL_STREAM").ok() else { return false };
    let Ok(copy) = std::io::stdout().as_fd().try_clone_to_owned() else { return false };
    std::fs::File::from(copy).metadata().is_ok_and(|facts| stream == format!("{}:{}", facts.dev(), facts.ino()))
}
