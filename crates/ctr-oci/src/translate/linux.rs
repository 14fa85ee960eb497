//! Properties of `linux` that stand for themselves, and the container's names.

use std::collections::BTreeMap;

use ctr_sandbox::options::{ClockOffsets, Cpus, MemoryPolicy, PropagationKind};
use ctr_sys::schedule;

use super::TranslateError;
use super::namespaces::Namespaces;
use super::path::{absolute, c_string};
use crate::config::{self, Linux, Personality, TimeOffset};

/// sethostname(2), setdomainname(2): so many bytes at most.
const NAME_MAX: usize = 64;
/// `PER_LINUX32` (personality(2)).
const LINUX32: u32 = 8;

/// The host name, if one is asked for.
pub(super) fn hostname(name: &str, namespaces: &Namespaces) -> Result<Option<String>, TranslateError> {
    uts_name("hostname", name, namespaces)
}

/// The NIS domain name.
pub(super) fn domainname(name: &str, namespaces: &Namespaces) -> Result<Option<String>, TranslateError> {
    uts_name("domainname", name, namespaces)
}

fn uts_name(property: &str, name: &str, namespaces: &Namespaces) -> Result<Option<String>, TranslateError> {
    if name.is_empty() {
        return Ok(None);
    }
    c_string(property, name)?;
    if name.len() > NAME_MAX {
        return Err(TranslateError::invalid(property, format!("it has more than {NAME_MAX} bytes")));
    }
    if !namespaces.has("uts") {
        return Err(TranslateError::invalid(
            property,
            "it would change the host's: the container has no uts namespace of its own",
        )
        .hinted("add {\"type\": \"uts\"} to linux.namespaces"));
    }
    Ok(Some(name.to_owned()))
}

/// Propagation of the root filesystem; private if nothing is said.
pub(super) fn rootfs_propagation(text: &str) -> Result<PropagationKind, TranslateError> {
    if text.is_empty() {
        return Ok(PropagationKind::Private);
    }
    PropagationKind::parse(text).ok_or_else(|| {
        TranslateError::invalid(
            "linux.rootfsPropagation",
            format!("\"{}\" is none of shared, slave, private, unbindable", text.escape_debug()),
        )
    })
}

/// The execution domain as personality(2) takes it.
pub(super) fn personality(wanted: Option<&Personality>) -> Result<Option<u32>, TranslateError> {
    let Some(wanted) = wanted else { return Ok(None) };
    if let Some(flag) = wanted.flags.first() {
        return Err(TranslateError::invalid(
            "linux.personality.flags[0]",
            format!("\"{}\": no flag is defined", flag.escape_debug()),
        ));
    }
    match wanted.domain.as_str() {
        "LINUX" => Ok(Some(0)),
        "LINUX32" => Ok(Some(LINUX32)),
        other => Err(TranslateError::invalid(
            "linux.personality.domain",
            format!("\"{}\" is neither LINUX nor LINUX32", other.escape_debug()),
        )),
    }
}

/// Where memory is taken from. Which modes go with which nodes and flags is the kernel's to say, but what set_mempolicy(2) says
/// of all of them.
pub(super) fn memory_policy(wanted: Option<&config::MemoryPolicy>) -> Result<Option<MemoryPolicy>, TranslateError> {
    let Some(wanted) = wanted else { return Ok(None) };
    let invalid = |name: &str, what: String| TranslateError::invalid(format!("linux.memoryPolicy{name}"), what);
    let mut mode = schedule::memory_mode(&wanted.mode)
        .ok_or_else(|| invalid(".mode", format!("there is no mode \"{}\"", wanted.mode.escape_debug())))?;
    let without_nodes = matches!(wanted.mode.as_str(), "MPOL_DEFAULT" | "MPOL_LOCAL");
    let nodes = match wanted.nodes.as_str() {
        // The preferred node may be the one where the program runs.
        "" if without_nodes || wanted.mode == "MPOL_PREFERRED" => None,
        "" => {
            return Err(
                TranslateError::missing("linux.memoryPolicy.nodes").hinted(format!("{} needs nodes", wanted.mode))
            );
        }
        nodes if without_nodes => {
            return Err(invalid(".nodes", format!("{} takes no nodes: \"{}\"", wanted.mode, nodes.escape_debug())));
        }
        nodes => Some(
            Cpus::parse(nodes)
                .ok_or_else(|| invalid(".nodes", format!("\"{}\" is no list of nodes", nodes.escape_debug())))?,
        ),
    };
    for (index, flag) in wanted.flags.iter().enumerate() {
        mode |= schedule::memory_flag(flag).ok_or_else(|| {
            invalid(&format!(".flags[{index}]"), format!("there is no flag \"{}\"", flag.escape_debug()))
        })?;
    }
    let both = ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"];
    if both.iter().all(|flag| wanted.flags.iter().any(|given| given == flag)) {
        return Err(invalid(".flags", format!("{} exclude each other", both.join(" and "))));
    }
    Ok(Some(MemoryPolicy { mode, nodes }))
}

/// Clock offsets, which a new time namespace alone can have.
pub(super) fn clocks(
    offsets: &BTreeMap<String, TimeOffset>,
    namespaces: &Namespaces,
) -> Result<Option<ClockOffsets>, TranslateError> {
    if offsets.is_empty() {
        return Ok(None);
    }
    if !namespaces.new.contains(&"time") {
        return Err(TranslateError::invalid("linux.timeOffsets", "the container has no new time namespace")
            .hinted("add {\"type\": \"time\"} to linux.namespaces"));
    }
    let mut clocks = ClockOffsets::default();
    for (name, offset) in offsets {
        let property = format!("linux.timeOffsets[\"{}\"]", name.escape_debug());
        let clock = match name.as_str() {
            "monotonic" => &mut clocks.monotonic,
            "boottime" => &mut clocks.boottime,
            _ => return Err(TranslateError::invalid(property, "it is neither monotonic nor boottime")),
        };
        let nanoseconds = (offset.nanosecs < 1_000_000_000)
            .then(|| offset.secs.checked_mul(1_000_000_000)?.checked_add(i64::from(offset.nanosecs)))
            .flatten();
        *clock = Some(nanoseconds.ok_or_else(|| {
            TranslateError::invalid(property, "it has more than 292 years, or nanosecs that are a second or more")
        })?);
    }
    Ok(Some(clocks))
}

/// Paths to hide or to make read-only.
pub(super) fn paths(property: &str, paths: &[String]) -> Result<Vec<String>, TranslateError> {
    let path = |(index, path): (usize, &String)| {
        let property = format!("{property}[{index}]");
        match absolute(&property, path)? {
            path if path == "/" => Err(TranslateError::invalid(property, "it is the whole root filesystem")),
            path => Ok(path),
        }
    };
    paths.iter().enumerate().map(path).collect()
}

/// Properties that ask for what is not done.
pub(super) fn check_unsupported(linux: &Linux) -> Result<(), TranslateError> {
    match linux.intel_rdt {
        None => Ok(()),
        Some(_) => Err(TranslateError::unavailable("linux.intelRdt", "ctr-oci does not do this")),
    }
}
