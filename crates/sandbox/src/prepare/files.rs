//! Files in the container's directory: the exit record, the logs, and what is mounted over the image's `/etc`.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ctr_core::container::ContainerError;

use crate::error::SandboxError;
use crate::options::Network;
use crate::plan::{Plan, Shown};

fn open(dir: &Path, name: &str, mode: u32, append: bool) -> Result<OwnedFd, SandboxError> {
    let path = dir.join(name);
    let mut options = OpenOptions::new();
    options.create_new(true).mode(mode);
    if append {
        options.append(true)
    } else {
        options.write(true)
    };
    match options.open(&path) {
        Ok(file) => Ok(file.into()),
        Err(source) => Err(ContainerError::Io { action: "create", path, source }.into()),
    }
}

/// A new file that init writes once.
pub(super) fn create(dir: &Path, name: &str) -> Result<OwnedFd, SandboxError> {
    open(dir, name, 0o600, false)
}

/// A new file that init appends to.
pub(super) fn append(dir: &Path, name: &str) -> Result<OwnedFd, SandboxError> {
    open(dir, name, 0o600, true)
}

/// Writes the files that the plan mounts as generated.
pub(super) fn generate(plan: &Plan, dir: &Path) -> Result<(), SandboxError> {
    for mount in &plan.mounts {
        let Shown::Generated { file } = mount.shown else { continue };
        let text = match file {
            "hosts" => hosts(plan),
            "hostname" => format!("{}\n", plan.hostname),
            _ => resolv_conf(plan),
        };
        // The program reads them as whatever user it is.
        let fd = open(dir, file, 0o644, false)?;
        ctr_sys::files::change_mode(std::os::fd::AsFd::as_fd(&fd), 0o644)
            .and_then(|()| ctr_sys::files::write_all(std::os::fd::AsFd::as_fd(&fd), text.as_bytes()))
            .map_err(|errno| SandboxError::host(format!("write {file}"), "write", dir.display().to_string(), errno))?;
    }
    Ok(())
}

fn hosts(plan: &Plan) -> String {
    let mut text = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n".to_owned();
    let own = if plan.network == Network::None { "127.0.0.1" } else { "127.0.1.1" };
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
