//! `linux.namespaces`, and the ids of the user namespace.

use std::path::PathBuf;

use ctr_sandbox::idmap::{IdMap, problem};
use ctr_sandbox::plan::JoinPlan;

use super::mounts::extents;
use super::path::c_string;
use super::process::Ids;
use super::{Facts, TranslateError};
use crate::config::Linux;

/// Types, and their names in `/proc/PID/ns`.
pub(super) const KINDS: [(&str, &str); 8] = [
    ("pid", "pid"),
    ("network", "net"),
    ("mount", "mnt"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("user", "user"),
    ("cgroup", "cgroup"),
    ("time", "time"),
];

/// The namespaces of a container.
#[derive(Debug, Clone, Default)]
pub(super) struct Namespaces {
    /// New ones, by their names in `/proc/PID/ns`.
    pub(super) new: Vec<&'static str>,
    /// Existing ones.
    pub(super) joins: Vec<JoinPlan>,
    /// Of the existing ones those that are the runtime's own.
    shared: Vec<&'static str>,
    /// The ids of a new user namespace; empty without one.
    pub(super) map: IdMap,
}

impl Namespaces {
    /// Whether the container has this one and the runtime has not.
    pub(super) fn has(&self, kind: &str) -> bool {
        let joined = self.joins.iter().any(|join| join.kind == kind);
        self.new.contains(&kind) || (joined && !self.shared.contains(&kind))
    }

    /// Which ids the container has.
    pub(super) fn ids(&self) -> Ids<'_> {
        if self.new.contains(&"user") {
            Ids::Mapped(&self.map)
        } else if self.has("user") {
            Ids::Foreign
        } else {
            Ids::Callers
        }
    }
}

/// Decides the namespaces.
pub(super) fn plan(linux: &Linux, facts: &Facts) -> Result<Namespaces, TranslateError> {
    let mut namespaces = Namespaces { shared: facts.shared.clone(), ..Namespaces::default() };
    for (index, namespace) in linux.namespaces.iter().enumerate() {
        let property = format!("linux.namespaces[{index}]");
        let found = KINDS.iter().find(|(name, _)| *name == namespace.kind).map(|&(_, kind)| kind);
        let kind = found.ok_or_else(|| {
            let known = KINDS.map(|(name, _)| name).join(", ");
            TranslateError::invalid(
                format!("{property}.type"),
                format!("\"{}\" is none of {known}", namespace.kind.escape_debug()),
            )
        })?;
        if namespaces.new.contains(&kind) || namespaces.joins.iter().any(|join| join.kind == kind) {
            return Err(TranslateError::invalid(property, format!("there are two of the type {}", namespace.kind)));
        }
        if namespace.path.is_empty() {
            namespaces.new.push(kind);
        } else {
            namespaces.joins.push(join(&format!("{property}.path"), kind, &namespace.path)?);
        }
    }
    // In the runtime's own the container's root would be everybody's.
    if !namespaces.has("mnt") {
        return Err(TranslateError::missing("linux.namespaces")
            .hinted("a container needs a mount namespace that is not the runtime's: add {\"type\": \"mount\"}"));
    }
    namespaces.map = map(linux, &namespaces)?;
    Ok(namespaces)
}

fn join(property: &str, kind: &'static str, path: &str) -> Result<JoinPlan, TranslateError> {
    c_string(property, path)?;
    if !path.starts_with('/') {
        return Err(TranslateError::invalid(property, format!("\"{}\" is not an absolute path", path.escape_debug())));
    }
    Ok(JoinPlan { kind, from: format!("ns:{path}"), path: PathBuf::from(path), process: None })
}

/// Mappings beside a user namespace that exists are passed over: it has its own, and engines that know no way to leave them
/// out write a line that means nothing.
fn map(linux: &Linux, namespaces: &Namespaces) -> Result<IdMap, TranslateError> {
    if namespaces.joins.iter().any(|join| join.kind == "user") {
        return Ok(IdMap::default());
    }
    if !namespaces.new.contains(&"user") {
        let property = match (linux.uid_mappings.is_empty(), linux.gid_mappings.is_empty()) {
            (true, true) => return Ok(IdMap::default()),
            (false, _) => "linux.uidMappings",
            (true, false) => "linux.gidMappings",
        };
        return Err(TranslateError::invalid(property, "there is no user namespace whose ids could be mapped")
            .hinted("add {\"type\": \"user\"} to linux.namespaces, or leave the mappings out"));
    }
    let read = |property: &str, mappings| {
        let extents = extents(property, mappings)?;
        match problem(&extents) {
            None => Ok(extents),
            Some(problem) => Err(TranslateError::invalid(property, problem)),
        }
    };
    Ok(IdMap {
        uids: read("linux.uidMappings", &linux.uid_mappings)?,
        gids: read("linux.gidMappings", &linux.gid_mappings)?,
    })
}
