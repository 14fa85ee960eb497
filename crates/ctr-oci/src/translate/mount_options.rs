//! The options of a mount (config.md "Linux mount options"): what each of them is to the kernel.

use ctr_sandbox::bundle::{AttributeChange, PropagationChange};
use ctr_sandbox::options::PropagationKind;
use ctr_sys::mount::MountAttr;

use super::TranslateError;

/// Options, sorted by whose they are. Later ones win over earlier ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct MountOptions {
    /// `bind`, or with those below: `rbind`; and where that is said.
    pub(super) bind: Option<Bind>,
    /// `remount`, and where that is said.
    pub(super) remount: Option<usize>,
    /// Of the mount itself.
    pub(super) attributes: AttributeChange,
    /// Of the mounts below it too.
    pub(super) below: AttributeChange,
    /// In their order.
    pub(super) propagation: Vec<PropagationChange>,
    /// Flags of the file system: parameters of fsconfig(2), and where they are said.
    pub(super) superblock: Vec<(usize, &'static str)>,
    /// `tmpcopyup`, and where that is said.
    pub(super) copy_up: Option<usize>,
    /// `idmap` (false) or `ridmap` (true), and where that is said.
    pub(super) idmap: Option<(usize, bool)>,
    /// What only the file system knows, and where it is said.
    pub(super) data: Vec<(usize, String)>,
}

/// A bind mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bind {
    /// With the mounts below the source.
    pub(super) recursive: bool,
}

/// Attributes while options are read.
#[derive(Debug, Clone, Copy, Default)]
struct Attributes {
    set: MountAttr,
    clear: MountAttr,
    atime: Option<MountAttr>,
}

impl Attributes {
    fn flag(&mut self, attribute: MountAttr, on: bool) {
        let (to, from) = if on { (&mut self.set, &mut self.clear) } else { (&mut self.clear, &mut self.set) };
        *to = to.and(attribute);
        *from = from.without(attribute);
    }

    /// Access times are one value of three (mount_setattr(2)): to set one all their bits are cleared first.
    fn change(self) -> AttributeChange {
        match self.atime {
            Some(value) => AttributeChange { set: self.set.and(value), clear: self.clear.and(MountAttr::ATIME) },
            None => AttributeChange { set: self.set, clear: self.clear },
        }
    }

    /// Whether `name` is an attribute; it is taken on.
    fn take(&mut self, name: &str) -> bool {
        const RELATIME: MountAttr = MountAttr::NONE;
        match name {
            "ro" => self.flag(MountAttr::RDONLY, true),
            "rw" => self.flag(MountAttr::RDONLY, false),
            "nosuid" => self.flag(MountAttr::NOSUID, true),
            "suid" => self.flag(MountAttr::NOSUID, false),
            "nodev" => self.flag(MountAttr::NODEV, true),
            "dev" => self.flag(MountAttr::NODEV, false),
            "noexec" => self.flag(MountAttr::NOEXEC, true),
            "exec" => self.flag(MountAttr::NOEXEC, false),
            "nodiratime" => self.flag(MountAttr::NODIRATIME, true),
            "diratime" => self.flag(MountAttr::NODIRATIME, false),
            "nosymfollow" => self.flag(MountAttr::NOSYMFOLLOW, true),
            "symfollow" => self.flag(MountAttr::NOSYMFOLLOW, false),
            "relatime" => self.atime = Some(RELATIME),
            "noatime" => self.atime = Some(MountAttr::NOATIME),
            "strictatime" => self.atime = Some(MountAttr::STRICTATIME),
            // What is taken back leaves the kernel's own, which is relatime.
            "atime" if self.atime != Some(MountAttr::STRICTATIME) => self.atime = Some(RELATIME),
            "nostrictatime" if self.atime != Some(MountAttr::NOATIME) => self.atime = Some(RELATIME),
            "atime" | "nostrictatime" | "norelatime" => {}
            _ => return false,
        }
        true
    }
}

/// Reads the options of the mount whose property path is `property`.
pub(super) fn parse(property: &str, options: &[String]) -> Result<MountOptions, TranslateError> {
    let mut parsed = MountOptions::default();
    let (mut own, mut below) = (Attributes::default(), Attributes::default());
    for (index, option) in options.iter().enumerate() {
        let name = option.as_str();
        if own.take(name) {
            continue;
        }
        if let Some(plain) = name.strip_prefix('r').filter(|plain| below.take(plain)) {
            own.take(plain);
            continue;
        }
        if let Some(kind) = PropagationKind::parse(name) {
            parsed.propagation.push(PropagationChange { kind, recursive: name.starts_with('r') });
            continue;
        }
        parsed.take(&format!("{property}.options[{index}]"), index, name)?;
    }
    parsed.attributes = own.change();
    parsed.below = below.change();
    Ok(parsed)
}

impl MountOptions {
    fn take(&mut self, property: &str, index: usize, name: &str) -> Result<(), TranslateError> {
        match name {
            // Nobody but the kernel's log and NFS servers sees the last four, and mount(2) takes them anywhere.
            "" | "defaults" | "silent" | "loud" | "iversion" | "noiversion" | "nomand" => {}
            "bind" => self.bind = Some(Bind { recursive: false }),
            "rbind" => self.bind = Some(Bind { recursive: true }),
            "remount" => self.remount = Some(index),
            "sync" => self.flag(index, "sync", true),
            "async" => self.flag(index, "sync", false),
            "dirsync" => self.flag(index, "dirsync", true),
            "lazytime" => self.flag(index, "lazytime", true),
            "nolazytime" => self.flag(index, "lazytime", false),
            "mand" => {
                return Err(TranslateError::unavailable(property, "mandatory locks are gone since Linux 5.15")
                    .hinted("leave mand out"));
            }
            "tmpcopyup" => self.copy_up = Some(index),
            "idmap" => self.idmap = Some((index, false)),
            "ridmap" => self.idmap = Some((index, true)),
            data => self.data.push((index, data.to_owned())),
        }
        Ok(())
    }

    fn flag(&mut self, index: usize, name: &'static str, on: bool) {
        self.superblock.retain(|(_, other)| *other != name);
        if on {
            self.superblock.push((index, name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &[&str]) -> MountOptions {
        parse("mounts[0]", &options.iter().map(|&option| option.to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn options_that_features_lists_are_no_file_systems() {
        // spec: OCI-61
        for option in crate::verbs::features::MOUNT_OPTIONS {
            assert!(read(&[option]).data.is_empty(), "{option}");
        }
    }

    #[test]
    fn attributes_are_set_and_cleared() {
        let (none, atime) = (MountAttr::NONE, MountAttr::ATIME);
        for (options, set, clear) in [
            (&["ro"][..], MountAttr::RDONLY, none),
            (&["rw"], none, MountAttr::RDONLY),
            (&["ro", "rw"], none, MountAttr::RDONLY),
            (&["rw", "ro"], MountAttr::RDONLY, none),
            (&["nosuid", "nodev"], MountAttr::NOSUID.and(MountAttr::NODEV), none),
            (&["suid", "dev", "exec"], none, MountAttr::NOSUID.and(MountAttr::NODEV).and(MountAttr::NOEXEC)),
            (&["noexec"], MountAttr::NOEXEC, none),
            (&["nodiratime"], MountAttr::NODIRATIME, none),
            (&["diratime"], none, MountAttr::NODIRATIME),
            (&["nosymfollow"], MountAttr::NOSYMFOLLOW, none),
            (&["symfollow"], none, MountAttr::NOSYMFOLLOW),
            (&["relatime"], none, atime),
            (&["noatime"], MountAttr::NOATIME, atime),
            (&["noatime", "strictatime"], MountAttr::STRICTATIME, atime),
            (&["noatime", "atime"], none, atime),
            (&["strictatime", "atime"], MountAttr::STRICTATIME, atime),
            (&["noatime", "nostrictatime"], MountAttr::NOATIME, atime),
            (&["strictatime", "nostrictatime"], none, atime),
            (&["norelatime", "defaults", "silent", "loud", "iversion", "noiversion", "nomand", ""], none, none),
        ] {
            let parsed = read(options);
            assert_eq!(parsed.attributes, AttributeChange { set, clear }, "{options:?}");
            assert_eq!((parsed.below, parsed.data), (AttributeChange::default(), Vec::new()), "{options:?}");
        }
    }

    #[test]
    fn recursive_forms_are_of_the_mount_too() {
        for name in [
            "ro",
            "rw",
            "nosuid",
            "suid",
            "nodev",
            "dev",
            "noexec",
            "exec",
            "nodiratime",
            "diratime",
            "relatime",
            "noatime",
            "atime",
            "strictatime",
            "nostrictatime",
            "nosymfollow",
            "symfollow",
        ] {
            let (plain, recursive) = (read(&[name]), read(&[&format!("r{name}")]));
            assert_ne!(plain.attributes, AttributeChange::default(), "{name}");
            assert_eq!(recursive.attributes, plain.attributes, "{name}");
            assert_eq!(recursive.below, plain.attributes, "{name}");
            assert_eq!(plain.below, AttributeChange::default(), "{name}");
        }
        assert_eq!(read(&["rnorelatime"]), MountOptions::default());
        let mixed = read(&["rro", "rw"]);
        assert_eq!(mixed.attributes.clear, MountAttr::RDONLY);
        assert_eq!(mixed.below.set, MountAttr::RDONLY);
    }

    #[test]
    fn propagation_keeps_its_order() {
        let kinds = |options: &[&str]| {
            read(options).propagation.into_iter().map(|change| (change.kind, change.recursive)).collect::<Vec<_>>()
        };
        assert_eq!(kinds(&["rslave", "shared"]), [(PropagationKind::Slave, true), (PropagationKind::Shared, false)]);
        assert_eq!(kinds(&["private", "rprivate", "slave", "rshared", "unbindable", "runbindable"]).len(), 6);
    }

    #[test]
    fn the_rest_is_the_file_systems() {
        let parsed = read(&["sync", "dirsync", "lazytime", "async", "mode=755", "newinstance", "tmpcopyup", "ridmap"]);
        assert_eq!(parsed.superblock, [(1, "dirsync"), (2, "lazytime")]);
        assert_eq!(parsed.data, [(4, "mode=755".to_owned()), (5, "newinstance".to_owned())]);
        assert_eq!((parsed.copy_up, parsed.idmap), (Some(6), Some((7, true))));
        assert_eq!(read(&["lazytime", "nolazytime"]).superblock, []);
        assert_eq!(read(&["bind", "rbind"]).bind, Some(Bind { recursive: true }));
        assert_eq!(read(&["remount"]).remount, Some(0));
        assert_eq!(read(&["acl", "rr", "r", "RO"]).data.len(), 4);
        assert_eq!(parse("mounts[7]", &["mand".to_owned()]).unwrap_err().property(), "mounts[7].options[0]");
    }
}
