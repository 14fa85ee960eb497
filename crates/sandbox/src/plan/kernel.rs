//! Which kernel parameters a container may have of its own, its names and clocks.

use serde::Serialize;

use crate::error::SandboxError;
use crate::options::{ClockOffsets, KernelOptions, Sysctl, Timezone};

/// Kernel parameters and clocks of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct KernelPlan {
    /// Parameters of the container's namespaces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sysctls: Vec<Sysctl>,
    /// NIS domain name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domainname: Option<String>,
    /// Offsets of clocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clocks: Option<ClockOffsets>,
    /// Time zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<Timezone>,
}

/// Parameters below `kernel/` that the IPC namespace has (ipc_namespaces(7)).
const IPC: [&str; 8] = ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"];

/// `namespaces` are those that the container has of its own; a time namespace comes to them if a clock has an offset.
pub(super) fn plan(options: &KernelOptions, namespaces: &mut Vec<&'static str>) -> Result<KernelPlan, SandboxError> {
    let mut domainname = options.domainname.clone();
    let mut sysctls: Vec<Sysctl> = Vec::with_capacity(options.sysctls.len());
    for sysctl in &options.sysctls {
        if sysctl.path == "kernel/domainname" && domainname.is_none() {
            domainname = Some(sysctl.value.clone());
            continue;
        }
        check(sysctl, namespaces)?;
        // The last one of a name counts.
        sysctls.retain(|other| other.path != sysctl.path);
        sysctls.push(sysctl.clone());
    }
    if let Some(name) = &domainname {
        check_domainname(name, namespaces)?;
    }
    let clocks = options.clocks.is_some().then_some(options.clocks);
    if clocks.is_some() {
        namespaces.push("time");
    }
    Ok(KernelPlan { sysctls, domainname, clocks, timezone: options.timezone.clone() })
}

/// Whether the parameter belongs to a namespace that the container has of its own.
fn check(sysctl: &Sysctl, namespaces: &[&'static str]) -> Result<(), SandboxError> {
    let name = sysctl.name();
    let path = sysctl.path.as_str();
    let (namespace, option) = match path.split_once('/') {
        Some(("kernel", rest)) if IPC.contains(&rest) => ("ipc", "--ipc"),
        Some(("fs", rest)) if rest.starts_with("mqueue/") => ("ipc", "--ipc"),
        Some(("net", _)) => ("net", "--network"),
        Some(("kernel", "hostname")) => {
            return Err(SandboxError::request_hint(
                format!("--sysctl {name}: the host name has an option of its own"),
                format!("--hostname {}", sysctl.value),
            ));
        }
        Some(("kernel", "domainname")) => {
            return Err(SandboxError::request(format!("--sysctl {name} and --domainname say the same thing twice")));
        }
        _ => {
            return Err(SandboxError::request_hint(
                format!("--sysctl {name} is not of a container alone: it would change the host"),
                "a container can have net.*, fs.mqueue.*, kernel.msg*, kernel.sem, kernel.shm*, kernel.domainname; set others on the host",
            ));
        }
    };
    if namespaces.contains(&namespace) {
        return Ok(());
    }
    Err(SandboxError::request_hint(
        format!("--sysctl {name} would change the host: the container has no {namespace} namespace of its own"),
        format!("leave {option} out, or set it on the host"),
    ))
}

/// setdomainname(2): 64 bytes at most.
fn check_domainname(name: &str, namespaces: &[&'static str]) -> Result<(), SandboxError> {
    let good = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._()".contains(&b));
    if !good {
        return Err(SandboxError::request(format!(
            "\"{}\" is not a domain name (1 to 64 letters, digits, '-', '.', '_')",
            name.escape_debug()
        )));
    }
    if namespaces.contains(&"uts") {
        return Ok(());
    }
    Err(SandboxError::request_hint(
        "--domainname would change the host's: the container has no uts namespace of its own",
        "leave --uts out",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(pairs: &[(&str, &str)], own: &[&'static str]) -> Result<KernelPlan, String> {
        let sysctl = |(path, value): &(&str, &str)| Sysctl { path: (*path).into(), value: (*value).into() };
        let options = KernelOptions { sysctls: pairs.iter().map(sysctl).collect(), ..KernelOptions::default() };
        plan(&options, &mut own.to_vec()).map_err(|error| error.to_string())
    }

    #[test]
    fn only_parameters_of_own_namespaces() {
        let all = ["ipc", "uts", "net"];
        for good in ["kernel/shm_rmid_forced", "kernel/sem", "fs/mqueue/msg_max", "net/ipv4/ip_forward"] {
            assert!(decide(&[(good, "1")], &all).is_ok(), "{good}");
            assert!(decide(&[(good, "1")], &["uts"]).is_err(), "{good}");
        }
        for bad in [
            "kernel/core_pattern",
            "vm/swappiness",
            "fs/mqueue",
            "fs/file-max",
            "kernel/hostname",
            "kernel/shm",
            "netx/y",
        ] {
            assert!(decide(&[(bad, "1")], &all).is_err(), "{bad}");
        }
        let twice = decide(&[("kernel/sem", "1"), ("net/x", "2"), ("kernel/sem", "3")], &all).unwrap();
        assert_eq!(twice.sysctls.iter().map(|s| s.value.as_str()).collect::<Vec<_>>(), ["2", "3"]);
        assert_eq!(decide(&[("kernel/domainname", "d.e")], &all).unwrap().domainname.as_deref(), Some("d.e"));
        assert!(decide(&[("kernel/domainname", "d")], &["net"]).is_err());
        assert!(decide(&[("kernel/domainname", "a b")], &all).is_err());
    }
}
