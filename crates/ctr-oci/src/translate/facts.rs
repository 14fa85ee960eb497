//! What a translation needs to know of the host: looked up before it.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use ctr_sys::privilege::{self, CapSet};

use super::namespaces::KINDS;
use crate::config::Config;

/// Facts of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// SELinux is enabled.
    pub selinux: bool,
    /// AppArmor is enabled.
    pub apparmor: bool,
    /// Namespaces of `linux.namespaces` that are given by a path and are the runtime's own, by their names in `/proc/PID/ns`:
    /// what is set in them would be set on the host.
    pub shared: Vec<&'static str>,
    /// The runtime's own capabilities.
    pub held: CapSet,
}

impl Facts {
    /// Looks at the host for what `config` asks for.
    pub fn of_host(config: &Config) -> Self {
        let process = config.process.as_ref();
        let labelled = config.linux.as_ref().is_some_and(|linux| !linux.mount_label.is_empty());
        let wants = |text: Option<&String>| text.is_some_and(|text| !text.is_empty());
        Self {
            selinux: (labelled || wants(process.map(|process| &process.selinux_label)))
                && Path::new("/sys/fs/selinux/enforce").exists(),
            apparmor: wants(process.map(|process| &process.apparmor_profile))
                && read("/sys/module/apparmor/parameters/enabled").is_some_and(|text| text.starts_with(b"Y")),
            shared: shared(config),
            held: privilege::held_capabilities().unwrap_or_default(),
        }
    }
}

fn shared(config: &Config) -> Vec<&'static str> {
    let namespaces =
        config.linux.iter().flat_map(|linux| &linux.namespaces).filter(|namespace| !namespace.path.is_empty());
    let own = |path: &str, kind: &str| {
        let of = |path: &str| std::fs::metadata(path).map(|facts| (facts.dev(), facts.ino())).ok();
        of(path).is_some_and(|given| of(&format!("/proc/self/ns/{kind}")) == Some(given))
    };
    let kind = |name: &str| KINDS.iter().find(|(known, _)| *known == name).map(|&(_, kind)| kind);
    namespaces.filter_map(|namespace| kind(&namespace.kind).filter(|kind| own(&namespace.path, kind))).collect()
}

fn read(path: &str) -> Option<Vec<u8>> {
    ctr_sys::small::read(Path::new(path), 4095).ok()?
}
