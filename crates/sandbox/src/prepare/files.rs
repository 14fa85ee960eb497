//! Files in the container's directory: the exit record, the logs, and what is mounted over the image's `/etc`.

use std::fmt::Write as _;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use ctr_core::container::ContainerError;
use ctr_sys::small;

use crate::error::SandboxError;
use crate::plan::{Plan, ProcessPlan, Shown};
use crate::seccomp::FILE_NAME as FILTER;

fn failed(path: &Path) -> impl FnOnce(io::Error) -> SandboxError {
    let path = path.to_owned();
    move |source| ContainerError::Io { action: "create", path, source }.into()
}

/// A new file that init writes once.
pub(super) fn create(dir: &Path, name: &str) -> Result<OwnedFd, SandboxError> {
    let path = dir.join(name);
    small::create(&path, 0o600).map_err(failed(&path))
}

/// A new file that init appends to.
pub(super) fn append(dir: &Path, name: &str) -> Result<OwnedFd, SandboxError> {
    let path = dir.join(name);
    small::create_append(&path, 0o600).map_err(failed(&path))
}

/// Keeps a filter that is not the default for ctr-exec (LIFE-90).
pub(crate) fn keep_filter(process: &ProcessPlan, dir: &Path) -> Result<(), SandboxError> {
    let Some(filter) = &process.filter else { return Ok(()) };
    let path = dir.join(FILTER);
    small::write_new(&path, &filter.to_bytes(), 0o600).map_err(failed(&path))
}

/// Writes the files that the plan mounts as generated.
pub(super) fn generate(plan: &Plan, dir: &Path) -> Result<(), SandboxError> {
    for mount in &plan.mounts {
        let Shown::Generated { file } = mount.shown else { continue };
        let text = match file {
            "hosts" => hosts(plan).into_bytes(),
            "hostname" => format!("{}\n", plan.hostname).into_bytes(),
            "localtime" => match &plan.kernel.timezone {
                Some(timezone) => super::timezone::read(timezone)?,
                None => continue,
            },
            _ => resolv_conf(plan).into_bytes(),
        };
        // The program reads them as whatever user it is.
        let path = dir.join(file);
        small::write_new(&path, &text, 0o644).map_err(failed(&path))?;
        let (uid, gid) = super::userns::outside(&plan.userns, 0, 0);
        if uid != 0 {
            std::os::unix::fs::chown(&path, Some(uid), Some(gid)).map_err(failed(&path))?;
        }
    }
    Ok(())
}

fn hosts(plan: &Plan) -> String {
    let mut text = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n".to_owned();
    let own = if plan.has_own("net") { "127.0.0.1" } else { "127.0.1.1" };
    let _ = writeln!(text, "{own} {}", plan.hostname);
    for (address, name) in &plan.add_hosts {
        let _ = writeln!(text, "{address} {name}");
    }
    text
}

/// The servers that were asked for, else the host's file (with the host's network, where its servers can be reached).
fn resolv_conf(plan: &Plan) -> String {
    if plan.dns.is_empty() {
        return std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    }
    plan.dns.iter().fold(String::new(), |mut text, server| {
        let _ = writeln!(text, "nameserver {server}");
        text
    })
}
