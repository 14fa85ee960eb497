//! Which namespaces are the container's own and which are somebody else's.

use std::path::PathBuf;

use serde::Serialize;

use super::{Domain, HostFacts};
use crate::error::SandboxError;
use crate::idmap::IdMap;
use crate::options::{NamespaceOptions, Source, Userns};

/// A namespace that exists already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JoinPlan {
    /// Its name in `/proc/PID/ns`.
    pub kind: &'static str,
    /// Whose it is: `container:ID` or `ns:PATH`.
    pub from: String,
    /// The file that it is joined by.
    #[serde(skip)]
    pub path: PathBuf,
    /// The process whose file that is: its id and its start time (field 22 of `/proc/PID/stat`).
    #[serde(skip)]
    pub process: Option<(i32, u64)>,
}

/// A running container whose namespaces are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinFacts {
    /// Its id.
    pub id: String,
    /// Its PID 1.
    pub pid: i32,
    /// When that was started (field 22 of `/proc/PID/stat`).
    pub start_time: u64,
    /// The map of its user namespace; `None` if it has none of its own.
    pub map: Option<IdMap>,
    /// Its host name.
    pub hostname: String,
}

impl HostFacts {
    /// The container that was looked up under `name`.
    pub(super) fn container(&self, name: &str) -> Result<&JoinFacts, SandboxError> {
        let found = self.containers.iter().find(|(other, _)| other == name).map(|(_, found)| found);
        match found {
            Some(Ok(facts)) => Ok(facts),
            Some(Err(why)) => Err(SandboxError::request_hint(
                format!("cannot join the namespaces of container \"{name}\": {why}"),
                "ctr-ps lists the containers that run",
            )),
            None => Err(SandboxError::request(format!("container \"{name}\" was not looked up"))),
        }
    }
}

/// The user namespace that is meant where none is named: that of the container whose other namespaces are joined, because
/// they belong to it. One that has none of its own gives none: host ids are asked for or not given.
pub(super) fn effective_userns(options: &NamespaceOptions, host: &HostFacts) -> Userns {
    let joined = options.containers().find(|name| host.container(name).is_ok_and(|facts| facts.map.is_some()));
    match (&options.userns, joined) {
        (Userns::Auto, Some(name)) => Userns::Container(name.to_owned()),
        (userns, _) => userns.clone(),
    }
}

/// The new namespaces, by their names, and those that are joined. Neither has what is the host's.
pub(super) fn plan(
    options: &NamespaceOptions,
    host: &HostFacts,
    own_userns: bool,
    notes: &mut Vec<String>,
) -> Result<(Vec<&'static str>, Vec<JoinPlan>), SandboxError> {
    let (mut new, mut joins) = (vec!["mnt"], Vec::new());
    for (kind, source) in options.sources() {
        match source {
            Source::Own => new.push(kind),
            Source::Host => {}
            Source::Container(name) => joins.push(join_container(kind, host.container(name)?, host)?),
            Source::Path(path) => {
                joins.push(JoinPlan { kind, from: source.name(), path: path.clone(), process: None });
            }
        }
    }
    if let Source::Path(_) = options.network
        && own_userns
    {
        notes.push(
            "/sys/class/net shows the host's interfaces: only root over a network namespace can mount its sysfs"
                .to_owned(),
        );
    }
    let userns = effective_userns(options, host);
    let foreign_pids = match &options.pid {
        Source::Own | Source::Host => false,
        Source::Path(_) => own_userns,
        Source::Container(_) => own_userns && !matches!(userns, Userns::Container(_)),
    };
    if foreign_pids {
        return Err(SandboxError::request_hint(
            format!(
                "--pid={} needs the user namespace that the PID namespace belongs to: its procfs could not be mounted",
                options.pid.name()
            ),
            "run with --userns=host too, or with --userns=container:CONTAINER",
        ));
    }
    match userns {
        Userns::Container(name) => {
            let facts = host.container(&name)?;
            if facts.map.is_some() {
                joins.push(join_container("user", facts, host)?);
            }
        }
        Userns::Host => {}
        _ => new.push("user"),
    }
    Ok((new, joins))
}

fn join_container(kind: &'static str, facts: &JoinFacts, host: &HostFacts) -> Result<JoinPlan, SandboxError> {
    if host.domain != Domain::Host {
        return Err(SandboxError::request_hint(
            format!("the {kind} namespace of another container can be joined by root on the host only"),
            "run as root, or give the container a namespace of its own",
        ));
    }
    Ok(JoinPlan {
        kind,
        from: format!("container:{}", facts.id),
        path: PathBuf::from(format!("/proc/{}/ns/{kind}", facts.pid)),
        process: Some((facts.pid, facts.start_time)),
    })
}
