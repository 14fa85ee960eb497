//! `linux.sysctl`: kernel parameters, of which a container can have those of its own namespaces.

use ctr_sandbox::options::{Sysctl, sysctl_path};
use ctr_sandbox::plan::KernelPlan;

use super::TranslateError;
use super::namespaces::Namespaces;
use super::path::c_string;
use crate::config::Linux;

/// Parameters below `kernel/` that the IPC namespace has (ipc_namespaces(7)).
const IPC: [&str; 8] = ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"];

/// The host name has a property of its own, which excludes the parameter.
pub(super) fn plan(linux: &Linux, hostname: &str, namespaces: &Namespaces) -> Result<KernelPlan, TranslateError> {
    let mut kernel = KernelPlan::default();
    for (name, value) in &linux.sysctl {
        let property = format!("linux.sysctl[\"{}\"]", name.escape_debug());
        c_string(&property, value)?;
        let path = sysctl_path(name)
            .ok_or_else(|| TranslateError::invalid(&property, "it is not the name of a kernel parameter"))?;
        let namespace = match path.split_once('/') {
            Some(("kernel", rest)) if IPC.contains(&rest) => "ipc",
            Some(("fs", rest)) if rest.starts_with("mqueue/") => "ipc",
            Some(("kernel", "domainname")) => "uts",
            Some(("kernel", "hostname")) if hostname.is_empty() => "uts",
            Some(("kernel", "hostname")) => {
                return Err(TranslateError::invalid(property, "hostname says the same").hinted("give one of the two"));
            }
            Some(("net", _)) => "net",
            Some(("user", _)) => "user",
            _ => {
                return Err(TranslateError::invalid(property, "it is not of a container alone: it would change the host")
                    .hinted("a container can have net.*, fs.mqueue.*, kernel.msg*, kernel.sem, kernel.shm*, user.*; set others on the host"));
            }
        };
        if !namespaces.has(namespace) {
            let what = format!("it would change the host: the container has no {namespace} namespace of its own");
            return Err(TranslateError::invalid(property, what).hinted("add that to linux.namespaces"));
        }
        kernel.sysctls.push(Sysctl { path, value: value.clone() });
    }
    Ok(kernel)
}
