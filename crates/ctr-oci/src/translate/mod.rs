//! What a `config.json` comes to: a pure function of the configuration, of how the runtime was called and of facts of the host.
//!
//! Nothing is looked up here. What cannot be met is an error that names the property.

mod devices;
mod error;
mod facts;
mod hooks;
mod linux;
mod mount_options;
mod mounts;
mod namespaces;
mod net_devices;
mod path;
mod process;
mod scheduling;
mod sysctl;

use std::path::Path;

use ctr_sandbox::bundle::{Bundle, Rootfs};

pub use error::TranslateError;
pub use facts::Facts;
pub use hooks::plans as hook_plans;
pub use process::{Ids, plan as process_plan};

use crate::config::{Config, Linux};

/// How the runtime was called.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--no-pivot`.
    pub no_pivot: bool,
    /// `--no-new-keyring`.
    pub keep_keyring: bool,
    /// `--preserve-fds`.
    pub preserve_fds: u32,
}

/// What a configuration comes to.
#[derive(Debug, Clone)]
pub struct Translated<T> {
    /// It.
    pub plan: T,
    /// What the specification wants to be told and not to be refused.
    pub warnings: Vec<String>,
}

/// Translates `config`, whose bundle is the directory `dir`.
pub fn bundle(
    config: &Config,
    dir: &Path,
    options: &Options,
    facts: &Facts,
) -> Result<Translated<Bundle>, TranslateError> {
    check_version(&config.oci_version)?;
    if config.annotations.contains_key("") {
        return Err(TranslateError::invalid("annotations", "a key is empty"));
    }
    let none = Linux::default();
    let linux = config.linux.as_ref().unwrap_or(&none);
    let namespaces = namespaces::plan(linux, facts)?;
    let process = config.process.as_ref().ok_or_else(|| {
        TranslateError::missing("process").hinted("a container needs a program: give process.args and process.cwd")
    })?;
    let Translated { plan: mut program, mut warnings } = process::plan("process", process, &namespaces.ids(), facts)?;
    program.scheduling.personality = linux::personality(linux.personality.as_ref())?;
    program.scheduling.memory = linux::memory_policy(linux.memory_policy.as_ref())?;
    linux::check_unsupported(linux)?;
    let Translated { plan: mounts, warnings: more } = mounts::plan(config, dir, namespaces.has("user"), facts)?;
    warnings.extend(more);
    let mut kernel = sysctl::plan(linux, &config.hostname, &namespaces)?;
    kernel.domainname = linux::domainname(&config.domainname, &namespaces)?;
    kernel.clocks = linux::clocks(&linux.time_offsets, &namespaces)?;
    hooks::check(&config.hooks, &namespaces)?;
    let hooks = &config.hooks;
    let plan = Bundle {
        rootfs: rootfs(config, dir, linux)?,
        hostname: linux::hostname(&config.hostname, &namespaces)?,
        kernel,
        net_devices: net_devices::plan(&linux.net_devices, &namespaces)?,
        devices: devices::plan(linux, process.terminal, &mounts)?,
        mounts,
        masked_paths: linux::paths("linux.maskedPaths", &linux.masked_paths)?,
        read_only_paths: linux::paths("linux.readonlyPaths", &linux.readonly_paths)?,
        process: program,
        terminal: process::terminal(process)?,
        create_container: hooks::plans("hooks.createContainer", &hooks.create_container)?,
        start_container: hooks::plans("hooks.startContainer", &hooks.start_container)?,
        caller_hooks: !(hooks.prestart.is_empty() && hooks.create_runtime.is_empty()),
        dies_with_creator: false,
        keep_keyring: options.keep_keyring,
        no_pivot: options.no_pivot,
        preserve_fds: options.preserve_fds,
        map: namespaces.map,
        namespaces: namespaces.new,
        joins: namespaces.joins,
    };
    Ok(Translated { plan, warnings })
}

/// Version 1.0 to 1.3, of which there are releases, candidates (`-rc.1`) and states in between (`-dev`).
fn check_version(version: &str) -> Result<(), TranslateError> {
    let known = || {
        let release = version.split(['-', '+']).next()?;
        let mut numbers = release.split('.').map(|number| {
            let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| number.parse::<u32>().ok()).flatten()
        });
        let (major, minor, patch) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let _ = patch;
        (numbers.next().is_none() && major == 1 && minor <= 3).then_some(())
    };
    known().ok_or_else(|| TranslateError::Version { found: version.to_owned() })
}

fn rootfs(config: &Config, dir: &Path, linux: &Linux) -> Result<Rootfs, TranslateError> {
    let root = config.root.as_ref().ok_or_else(|| TranslateError::missing("root"))?;
    if root.path.as_os_str().is_empty() {
        return Err(TranslateError::missing("root.path"));
    }
    path::c_string("root.path", &root.path.to_string_lossy())?;
    Ok(Rootfs {
        path: dir.join(&root.path),
        read_only: root.readonly,
        propagation: linux::rootfs_propagation(&linux.rootfs_propagation)?,
    })
}

#[cfg(test)]
mod tests;
