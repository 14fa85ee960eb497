//! `mounts`: what is mounted where (config.md "Mounts").

use std::ffi::CString;
use std::path::Path;

use ctr_sandbox::bundle::{AttributeChange, BundleMount, BundleShown, MountIdmap};
use ctr_sandbox::idmap::{Extent, IdMap, malformed};
use ctr_sys::mount::MountAttr;

use super::mount_options::{self, MountOptions};
use super::path::{c_string, is_within, normal};
use super::{Facts, TranslateError, Translated};
use crate::config::{Config, IdMapping, Mount};

/// fsconfig(2) takes no longer values.
const VALUE_MAX: usize = 255;

/// Files of procfs that tools show a container values of its own at (lxcfs, CRIU, FIPS mode). Nothing else below `/proc` can be
/// covered: programs, ctr-oci itself among them, trust what they read there.
const COVERED_IN_PROC: [&str; 11] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/sys/crypto/fips_enabled",
    "/proc/sys/kernel/ns_last_pid",
];

/// File systems that take no SELinux context as option: they have labels of the policy's.
const WITHOUT_LABEL: [&str; 5] = ["proc", "sysfs", "mqueue", "cgroup", "cgroup2"];

/// Translates all mounts.
pub(super) fn plan(
    config: &Config,
    dir: &Path,
    own_ids: bool,
    facts: &Facts,
) -> Result<Translated<Vec<BundleMount>>, TranslateError> {
    let label = match config.linux.as_ref().map_or("", |linux| linux.mount_label.as_str()) {
        "" => None,
        _ if !facts.selinux => {
            return Err(TranslateError::unavailable("linux.mountLabel", "SELinux is not enabled on this host")
                .hinted("leave it out"));
        }
        label => Some(label),
    };
    let context = Context { config, dir, own_ids, label };
    let translate = |(index, mount)| context.translate(index, mount);
    let plan = config.mounts.iter().enumerate().map(translate).collect::<Result<_, _>>()?;
    Ok(Translated { plan, warnings: config.mounts.iter().enumerate().flat_map(ignored).collect() })
}

/// Options of file systems that a bind mount has: the kernel passes over them (mount(2), `MS_BIND`), and engines write them.
fn ignored((index, mount): (usize, &Mount)) -> Vec<String> {
    let options = mount_options::parse("", &mount.options).unwrap_or_default();
    if options.remount.is_some() || !(options.bind.is_some() || mount.kind == "bind") {
        return Vec::new();
    }
    let warning = |(option, text): &(usize, String)| {
        format!("mounts[{index}].options[{option}]: \"{}\" means nothing to a bind mount", text.escape_debug())
    };
    options.data.iter().map(warning).collect()
}

struct Context<'a> {
    config: &'a Config,
    /// The bundle.
    dir: &'a Path,
    /// The container has a user namespace.
    own_ids: bool,
    label: Option<&'a str>,
}

impl Context<'_> {
    fn translate(&self, index: usize, mount: &Mount) -> Result<BundleMount, TranslateError> {
        let property = format!("mounts[{index}]");
        let options = mount_options::parse(&property, &mount.options)?;
        let bind = options.bind.is_some() || mount.kind == "bind";
        if let Some(option) = options.remount {
            return self.remount(&property, (index, option), mount, options);
        }
        let target = target(&property, mount, bind)?;
        let shown = if bind {
            self.bind(&property, mount, &options)?
        } else if mount.kind == "cgroup" {
            no_data(&property, &options, "control groups have no such option")?;
            BundleShown::Cgroups
        } else {
            self.filesystem(&property, mount, &options)?
        };
        Ok(BundleMount {
            target,
            idmap: self.idmap(&property, mount, &options, bind)?,
            shown,
            attributes: options.attributes,
            below: options.below,
            propagation: options.propagation,
        })
    }

    /// Attributes of whatever is mounted there. The file system itself is changed only if an earlier mount of the bundle has made
    /// it: one of the host's is the host's.
    fn remount(
        &self,
        property: &str,
        (index, option): (usize, usize),
        mount: &Mount,
        options: MountOptions,
    ) -> Result<BundleMount, TranslateError> {
        let at = |option: usize| format!("{property}.options[{option}]");
        let target = normal(&mount.destination);
        c_string(&format!("{property}.destination"), &target)?;
        if target == "/" {
            return Err(TranslateError::invalid(format!("{property}.destination"), "it is the root filesystem")
                .hinted("root.readonly makes it read-only"));
        }
        let bind = options.bind.is_some() || mount.kind == "bind";
        let made = self.config.mounts.iter().take(index).any(|earlier| {
            let parsed = mount_options::parse("", &earlier.options).unwrap_or_default();
            normal(&earlier.destination) == target && parsed.bind.is_none() && earlier.kind != "bind"
        });
        if bind || !made {
            no_data(property, &options, "a mount that was not made here has its file system from the host")?;
        }
        if let Some(option) = options.copy_up.or(options.idmap.map(|(option, _)| option)) {
            return Err(TranslateError::invalid(at(option), "it is of a new mount"));
        }
        if options.below != AttributeChange::default() {
            return Err(TranslateError::invalid(at(option), "it is of one mount, without those below it"));
        }
        let source = Mount { source: String::new(), ..mount.clone() };
        let mut parameters = self.parameters(property, &source, &options)?;
        parameters.retain(|(key, _)| key.as_c_str() != c"context");
        Ok(BundleMount {
            target,
            shown: BundleShown::Remount { options: parameters },
            attributes: options.attributes,
            below: AttributeChange::default(),
            propagation: options.propagation,
            idmap: None,
        })
    }

    fn bind(&self, property: &str, mount: &Mount, options: &MountOptions) -> Result<BundleShown, TranslateError> {
        if mount.source.is_empty() {
            return Err(TranslateError::missing(format!("{property}.source"))
                .hinted("a bind mount shows a file or directory of the host: name it"));
        }
        c_string(&format!("{property}.source"), &mount.source)?;
        if let Some((index, option)) = options.superblock.first() {
            return Err(TranslateError::invalid(
                format!("{property}.options[{index}]"),
                format!("{option}: a bind mount has no such option: the file system that it shows is mounted already"),
            ));
        }
        if let Some(option) = options.copy_up {
            return Err(TranslateError::invalid(
                format!("{property}.options[{option}]"),
                "tmpcopyup is for tmpfs alone",
            ));
        }
        Ok(BundleShown::Bind {
            source: self.dir.join(&mount.source),
            recursive: options.bind.is_some_and(|bind| bind.recursive),
        })
    }

    fn filesystem(&self, property: &str, mount: &Mount, options: &MountOptions) -> Result<BundleShown, TranslateError> {
        if matches!(mount.kind.as_str(), "" | "none") {
            return Err(TranslateError::missing(format!("{property}.type"))
                .hinted("name a file system, or add the option bind or rbind"));
        }
        if let (Some(option), true) = (options.copy_up, mount.kind != "tmpfs") {
            return Err(TranslateError::invalid(
                format!("{property}.options[{option}]"),
                "tmpcopyup is for tmpfs alone",
            ));
        }
        let kind = c_string(&format!("{property}.type"), &mount.kind)?;
        Ok(BundleShown::Filesystem {
            kind,
            options: self.parameters(property, mount, options)?,
            copy_up: options.copy_up.is_some(),
        })
    }

    /// As fsconfig(2) takes them.
    fn parameters(
        &self,
        property: &str,
        mount: &Mount,
        options: &MountOptions,
    ) -> Result<Vec<(CString, CString)>, TranslateError> {
        let flag = |name: &str| (CString::new(name).unwrap_or_default(), CString::default());
        let mut parameters = Vec::with_capacity(options.data.len() + 2);
        if !mount.source.is_empty() {
            let source = value(&format!("{property}.source"), &mount.source)?;
            parameters.push((c"source".to_owned(), source));
        }
        // What a device has is not written either. Other file systems may be shared with the host: there it is the mount alone.
        if options.attributes.set.has(MountAttr::RDONLY) && mount.source.starts_with('/') {
            parameters.push(flag("ro"));
        }
        parameters.extend(options.superblock.iter().map(|(_, name)| flag(name)));
        let mut labelled = false;
        for (index, text) in &options.data {
            let at = format!("{property}.options[{index}]");
            let (key, text) = text.split_once('=').unwrap_or((text, ""));
            labelled |= key.ends_with("context");
            parameters.push((c_string(&at, key)?, value(&at, text)?));
        }
        if let Some(label) = self.label.filter(|_| !labelled && !WITHOUT_LABEL.contains(&mount.kind.as_str())) {
            parameters.push((c"context".to_owned(), value("linux.mountLabel", label)?));
        }
        Ok(parameters)
    }

    fn idmap(
        &self,
        property: &str,
        mount: &Mount,
        options: &MountOptions,
        bind: bool,
    ) -> Result<Option<MountIdmap>, TranslateError> {
        let mapped = !(mount.uid_mappings.is_empty() && mount.gid_mappings.is_empty());
        if !mapped && options.idmap.is_none() {
            return Ok(None);
        }
        let at = options
            .idmap
            .map_or_else(|| format!("{property}.uidMappings"), |(index, _)| format!("{property}.options[{index}]"));
        if !bind {
            return Err(TranslateError::invalid(at, "ids are mapped for bind mounts alone"));
        }
        let recursive = options.idmap.is_some_and(|(_, recursive)| recursive);
        if !mapped {
            let no_ids =
                "without uidMappings and gidMappings it means those of the container, which has no user namespace";
            return if self.own_ids {
                Ok(Some(MountIdmap { map: None, recursive }))
            } else {
                Err(TranslateError::invalid(at, no_ids).hinted(format!("give {property}.uidMappings and gidMappings")))
            };
        }
        let map = IdMap {
            uids: extents(&format!("{property}.uidMappings"), &mount.uid_mappings)?,
            gids: extents(&format!("{property}.gidMappings"), &mount.gid_mappings)?,
        };
        Ok(Some(MountIdmap { map: Some(map), recursive }))
    }
}

/// The mappings as a map that the kernel takes.
pub(super) fn extents(property: &str, mappings: &[IdMapping]) -> Result<Vec<Extent>, TranslateError> {
    if mappings.is_empty() {
        return Err(TranslateError::missing(property).hinted("users and groups are mapped together: give both"));
    }
    let extent =
        |mapping: &IdMapping| Extent { inside: mapping.container_id, outside: mapping.host_id, count: mapping.size };
    let extents: Vec<Extent> = mappings.iter().map(extent).collect();
    match malformed(&extents) {
        Some(problem) => Err(TranslateError::invalid(property, problem)),
        None => Ok(extents),
    }
}

/// A relative destination is taken from `/`, and none leads out of the container.
fn target(property: &str, mount: &Mount, bind: bool) -> Result<String, TranslateError> {
    let property = format!("{property}.destination");
    c_string(&property, &mount.destination)?;
    if mount.destination.is_empty() {
        return Err(TranslateError::missing(property));
    }
    let target = normal(&mount.destination);
    let refused = |what: &str| Err(TranslateError::invalid(&property, format!("\"{target}\" {what}")));
    if target == "/" {
        return refused("is the root filesystem: give that in root.path");
    }
    if !is_within(&target, "/proc") {
        return Ok(target);
    }
    match target.as_str() {
        "/proc" if bind || mount.kind == "proc" => Ok(target),
        "/proc" => refused("can be a procfs only: programs trust what they read there"),
        below if bind && COVERED_IN_PROC.contains(&below) => Ok(target),
        _ => refused("is inside /proc: only files such as /proc/cpuinfo can be covered there, by a bind mount"),
    }
}

fn no_data(property: &str, options: &MountOptions, what: &str) -> Result<(), TranslateError> {
    let data = options.data.first().map(|(index, text)| (*index, text.as_str()));
    match data.or_else(|| options.superblock.first().copied()) {
        None => Ok(()),
        Some((index, option)) => Err(TranslateError::invalid(
            format!("{property}.options[{index}]"),
            format!("\"{}\": {what}", option.escape_debug()),
        )),
    }
}

fn value(property: &str, text: &str) -> Result<CString, TranslateError> {
    if text.len() > VALUE_MAX {
        return Err(TranslateError::invalid(property, format!("its value has more than {VALUE_MAX} bytes")));
    }
    c_string(property, text)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{config, translated, with, wrong};
    use super::*;
    use std::path::PathBuf;

    fn one(mount: Value) -> BundleMount {
        with(&[("mounts", Value::Array(vec![mount]))]).unwrap().mounts.pop().unwrap()
    }

    fn parameters(mount: Value) -> Vec<(String, String)> {
        let BundleShown::Filesystem { options, .. } = one(mount).shown else { panic!("no file system") };
        let text = |text: CString| text.into_string().unwrap();
        options.into_iter().map(|(key, value)| (text(key), text(value))).collect()
    }

    #[test]
    fn destinations() {
        for (destination, expected) in
            [("/a/b", "/a/b"), ("a", "/a"), ("/a/../b", "/b"), ("../../x", "/x"), ("/dev/shm/", "/dev/shm")]
        {
            assert_eq!(one(json!({"destination": destination, "type": "tmpfs"})).target, expected);
        }
        assert_eq!(one(json!({"destination": "/proc", "type": "proc"})).target, "/proc");
        for below in ["/proc/uptime", "/proc/net/dev"] {
            assert_eq!(one(json!({"destination": below, "source": "x", "options": ["bind"]})).target, below);
            assert_eq!(wrong(&[("mounts", json!([{"destination": below, "type": "tmpfs"}]))]), "mounts[0].destination");
        }
        for refused in ["", "/", "..", "a/..", "/proc", "/proc/self/attr", "/x/../proc/sys", "/a\u{0}"] {
            assert_eq!(
                wrong(&[("mounts", json!([{"destination": refused, "type": "tmpfs"}]))]),
                "mounts[0].destination",
                "{refused}"
            );
        }
    }

    #[test]
    fn bind_mounts() {
        let bind = |mount: Value| match one(mount).shown {
            BundleShown::Bind { source, recursive } => (source, recursive),
            other => panic!("{other:?}"),
        };
        for (mount, source, recursive) in [
            (json!({"destination": "/a", "source": "/s", "options": ["rbind", "ro"]}), "/s", true),
            (json!({"destination": "/a", "source": "s", "type": "none", "options": ["bind"]}), "/b/s", false),
            (json!({"destination": "/a", "source": "/s", "type": "bind"}), "/s", false),
            (json!({"destination": "/a", "source": "/s", "type": "ext4", "options": ["rbind", "async"]}), "/s", true),
        ] {
            assert_eq!(bind(mount), (PathBuf::from(source), recursive));
        }
        for (options, property) in
            [(json!(["bind", "sync"]), "options[1]"), (json!(["ro", "bind", "tmpcopyup"]), "options[2]")]
        {
            let mounts = json!([{"destination": "/m", "type": "tmpfs"}, {"destination": "/a", "source": "/s", "options": options}]);
            assert_eq!(wrong(&[("mounts", mounts)]), format!("mounts[1].{property}"));
        }
        assert_eq!(wrong(&[("mounts", json!([{"destination": "/a", "options": ["bind"]}]))]), "mounts[0].source");
        let passed_over = json!([{"destination": "/a", "source": "/s", "options": ["bind", "ro", "mode=755", "rot"]}]);
        let config = config(&[("mounts", passed_over)]);
        let found =
            super::super::bundle(&config, Path::new("/b"), &super::super::Options::default(), &Facts::default());
        let warnings = found.unwrap().warnings;
        assert_eq!(warnings[0], "mounts[0].options[2]: \"mode=755\" means nothing to a bind mount");
        assert_eq!(warnings.len(), 2);
    }

    #[test]
    fn file_systems() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let tmpfs = json!({"destination": "/t", "type": "tmpfs", "source": "tmpfs",
            "options": ["ro", "sync", "size=65536k", "mode=1777", "huge", "a=b=c"]});
        assert_eq!(
            parameters(tmpfs),
            [
                pair("source", "tmpfs"),
                pair("sync", ""),
                pair("size", "65536k"),
                pair("mode", "1777"),
                pair("huge", ""),
                pair("a", "b=c")
            ]
        );
        let disk = json!({"destination": "/t", "type": "ext4", "source": "/dev/x", "options": ["ro"]});
        assert_eq!(parameters(disk), [pair("source", "/dev/x"), pair("ro", "")]);
        assert!(parameters(json!({"destination": "/t", "type": "tmpfs"})).is_empty());
        for (mount, property) in [
            (json!({"destination": "/t", "source": "/s"}), "type"),
            (json!({"destination": "/t", "source": "/s", "type": "none", "options": ["rshared"]}), "type"),
            (json!({"destination": "/t", "type": "proc", "options": ["tmpcopyup"]}), "options[0]"),
            (
                json!({"destination": "/t", "type": "tmpfs", "options": [format!("a={}", "x".repeat(256))]}),
                "options[0]",
            ),
            (json!({"destination": "/t", "type": "cgroup", "options": ["ro", "nsdelegate"]}), "options[1]"),
            (json!({"destination": "/t", "type": "tmpfs", "options": ["idmap"]}), "options[0]"),
        ] {
            assert_eq!(wrong(&[("mounts", json!([mount]))]), format!("mounts[0].{property}"), "{mount}");
        }
    }

    #[test]
    fn changes_of_what_is_mounted() {
        let mounts = |options: Value| {
            json!([
                {"destination": "/t", "type": "tmpfs", "options": ["noexec"]},
                {"destination": "/b", "source": "/s", "options": ["bind"]},
                {"destination": "/x/../t", "type": "tmpfs", "options": options},
            ])
        };
        let last = |options: Value| with(&[("mounts", mounts(options))]).unwrap().mounts.pop().unwrap();
        let remounted = last(json!(["remount", "ro", "size=5m", "sync"]));
        assert_eq!((remounted.target.as_str(), remounted.attributes.set), ("/t", MountAttr::RDONLY));
        let BundleShown::Remount { options } = remounted.shown else { panic!("no remount") };
        assert_eq!(options, [(c"sync".to_owned(), c"".to_owned()), (c"size".to_owned(), c"5m".to_owned())]);
        for (options, property) in [
            (json!(["remount", "bind", "size=5m"]), "options[2]"),
            (json!(["remount", "tmpcopyup"]), "options[1]"),
            (json!(["remount", "rro"]), "options[0]"),
        ] {
            assert_eq!(wrong(&[("mounts", mounts(options))]), format!("mounts[2].{property}"));
        }
        let other = json!([{"destination": "/b", "source": "/s", "options": ["bind"]},
            {"destination": "/b", "options": ["remount", "size=1"]}]);
        assert_eq!(wrong(&[("mounts", other)]), "mounts[1].options[1]");
    }

    #[test]
    fn labels() {
        let mounts = json!([
            {"destination": "/t", "type": "tmpfs"},
            {"destination": "/u", "type": "tmpfs", "options": ["context=x"]},
            {"destination": "/sys", "type": "sysfs"},
        ]);
        let config = config(&[("mounts", mounts), ("linux.mountLabel", json!("a:b:c:s0:c1,c2"))]);
        let facts = Facts { selinux: true, ..Facts::default() };
        let bundle = translated(&config, &facts).unwrap();
        let options = |index: usize| match &bundle.mounts[index].shown {
            BundleShown::Filesystem { options, .. } => options.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(options(0), [(c"context".to_owned(), c"a:b:c:s0:c1,c2".to_owned())]);
        assert_eq!(options(1), [(c"context".to_owned(), c"x".to_owned())]);
        assert!(options(2).is_empty());
    }

    #[test]
    fn mapped_ids() {
        let mapping = json!([{"containerID": 5, "hostID": 1000, "size": 10}]);
        let mount = |options: Value, uids: Value, gids: Value| json!([{"destination": "/a", "source": "/s", "options": options, "uidMappings": uids, "gidMappings": gids}]);
        let idmap = |mounts: Value| with(&[("mounts", mounts)]).unwrap().mounts.pop().unwrap().idmap.unwrap();
        let plain = idmap(mount(json!(["bind"]), mapping.clone(), mapping.clone()));
        assert_eq!((plain.recursive, plain.map.unwrap().outside_uid(6)), (false, Some(1001)));
        assert!(idmap(mount(json!(["rbind", "ridmap"]), mapping.clone(), mapping.clone())).recursive);
        for (options, uids, gids, property) in [
            (json!(["bind"]), mapping.clone(), json!([]), "gidMappings"),
            (json!(["bind", "idmap"]), json!([]), mapping.clone(), "uidMappings"),
            (json!(["bind", "idmap"]), json!([]), json!([]), "options[1]"),
            (json!(["bind"]), json!([{"containerID": 0, "hostID": 0, "size": 0}]), mapping.clone(), "uidMappings"),
        ] {
            assert_eq!(wrong(&[("mounts", mount(options, uids, gids))]), format!("mounts[0].{property}"));
        }
        let ids = json!([{"containerID": 0, "hostID": 1000, "size": 10}]);
        let own = with(&[
            ("linux.namespaces", json!([{"type": "mount"}, {"type": "user"}])),
            ("linux.uidMappings", ids.clone()),
            ("linux.gidMappings", ids),
            ("mounts", mount(json!(["bind", "idmap"]), json!([]), json!([]))),
        ]);
        assert_eq!(own.unwrap().mounts[0].idmap, Some(MountIdmap { map: None, recursive: false }));
    }
}
