//! `--mount type=...,source=...,target=...` as Docker and Podman have it, and a mount while its options are read.

use ctr_sandbox::options::{MountFlags, MountKind, MountRequest};

use super::mount_options::{self, apply, unknown};

/// Keys of `--mount` with their aliases; what is none of them is an option.
const KEYS: [(&str, &[&str]); 5] = [
    ("type", &["type"]),
    ("source", &["source", "src", "from"]),
    ("target", &["target", "destination", "dst"]),
    ("bind-propagation", &["bind-propagation"]),
    ("bind-recursive", &["bind-recursive"]),
];

/// A mount whose options are being read.
#[derive(Debug)]
pub(super) struct MountText {
    pub(super) kind: MountKind,
    pub(super) flags: MountFlags,
    target: String,
    /// What was said of each thing that can be said only once.
    said: Vec<(&'static str, String)>,
}

impl MountText {
    pub(super) fn new(kind: MountKind, target: &str) -> Result<Self, String> {
        if !target.starts_with('/') {
            return Err(format!("the place in the container, \"{target}\", is not an absolute path"));
        }
        Ok(Self { kind, flags: MountFlags::default(), target: target.to_owned(), said: Vec::new() })
    }

    /// Two options that contradict each other are an error (CLI-7).
    pub(super) fn once(&mut self, group: &str, word: &str) -> Result<(), String> {
        const GROUPS: [&str; 6] = ["ro", "exec", "suid", "atime", "propagation", "idmap"];
        let Some(group) = GROUPS.into_iter().find(|name| *name == group) else { return Ok(()) };
        match self.said.iter().find(|(said, _)| *said == group) {
            Some((_, other)) if other != word => Err(format!("\"{other}\" and \"{word}\" contradict each other")),
            Some(_) => Ok(()),
            None => {
                self.said.push((group, word.to_owned()));
                Ok(())
            }
        }
    }

    pub(super) fn finish(self) -> Result<MountRequest, String> {
        if self.flags.writable_below && self.flags.read_only != Some(true) {
            return Err("bind-recursive=writable is about a read-only mount: add readonly".to_owned());
        }
        Ok(MountRequest { target: self.target, kind: self.kind, flags: self.flags })
    }
}

/// Reads `--mount`.
pub(super) fn mount(text: &str) -> Result<MountRequest, String> {
    let fields: Vec<(&str, Option<&str>)> = text
        .split(',')
        .map(|field| field.split_once('=').map_or((field, None), |(key, value)| (key, Some(value))))
        .collect();
    let value = |key: &str| -> Result<Option<&str>, String> {
        let aliases = KEYS.iter().find(|(name, _)| *name == key).map_or(&[][..], |(_, aliases)| aliases);
        let mut found = fields.iter().filter(|(name, _)| aliases.contains(name));
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(format!("{key} is given twice")),
            (Some((name, None)), _) => Err(format!("{name} needs a value, as in {name}=...")),
            (first, _) => Ok(first.and_then(|(_, value)| *value)),
        }
    };
    let target = value("target")?.ok_or("it needs target=PATH")?;
    // Docker's default is a volume, and that of everybody who knows rkt or systemd a bind: say which.
    let kind = value("type")?.ok_or("it needs type=bind, volume, tmpfs or image")?;
    let kind = kind_of(kind, value("source")?)?;
    let mut mount = MountText::new(kind, target)?;
    if let Some(name) = value("bind-propagation")? {
        apply(&mut mount, name, None)?;
    }
    if let Some(word) = value("bind-recursive")? {
        bind_recursive(&mut mount, word)?;
    }
    for (key, value) in fields.iter().filter(|(key, _)| !KEYS.iter().any(|(_, aliases)| aliases.contains(key))) {
        option(&mut mount, key, *value)?;
    }
    mount.finish()
}

fn kind_of(kind: &str, source: Option<&str>) -> Result<MountKind, String> {
    match (kind, source) {
        ("bind", Some(source)) => {
            if !source.starts_with('/') && !source.starts_with('.') {
                return Err(format!("\"{source}\" is not a path: a relative one begins with ./"));
            }
            Ok(mount_options::bind(source))
        }
        ("bind", None) => Err("a bind mount needs source=PATH".to_owned()),
        ("volume", Some(name)) => mount_options::named(name),
        ("volume", None) => mount_options::source_kind(None),
        ("tmpfs", None) => Ok(mount_options::new_tmpfs()),
        ("tmpfs", Some(_)) => Err("a tmpfs has no source".to_owned()),
        ("image", Some(name)) => Ok(MountKind::Image { name: name.to_owned(), found: None }),
        ("image", None) => Err("an image mount needs source=IMAGE".to_owned()),
        (other, _) => {
            let near = ctr_cli::nearest(other, ["bind", "volume", "tmpfs", "image"]);
            let near = near.map(|near| format!(": is it {near}?")).unwrap_or_default();
            Err(format!("unknown type \"{other}\"{near} (known: bind, volume, tmpfs, image)"))
        }
    }
}

/// Docker: `enabled`, `disabled`, `writable`, `readonly`.
fn bind_recursive(mount: &mut MountText, word: &str) -> Result<(), String> {
    let MountKind::Bind { recursive, .. } = &mut mount.kind else {
        return Err("bind-recursive is for type=bind".to_owned());
    };
    match word {
        "enabled" | "readonly" => *recursive = true,
        "disabled" => *recursive = false,
        "writable" => {
            *recursive = true;
            mount.flags.writable_below = true;
        }
        other => return Err(format!("bind-recursive={other} is none of enabled, disabled, writable, readonly")),
    }
    Ok(())
}

/// A key that is an option: with a truth value, or one of those that Docker gives to one type.
fn option(mount: &mut MountText, key: &str, value: Option<&str>) -> Result<(), String> {
    let tmpfs = matches!(mount.kind, MountKind::Tmpfs(_));
    let volume = matches!(mount.kind, MountKind::Volume { .. });
    match (key, value) {
        ("tmpfs-size", Some(_)) if tmpfs => apply(mount, "size", value),
        ("tmpfs-mode", Some(_)) if tmpfs => apply(mount, "mode", value),
        ("size" | "nr_inodes" | "mode" | "uid" | "gid", Some(_)) if tmpfs => apply(mount, key, value),
        ("volume-nocopy" | "bind-nonrecursive", _) if volume || value.is_some() => {
            if truth(value)? {
                apply(mount, key.trim_start_matches("volume-"), None)
            } else {
                Ok(())
            }
        }
        ("ro" | "readonly" | "rw" | "readwrite", Some(_)) => {
            let read_only = truth(value)? == matches!(key, "ro" | "readonly");
            apply(mount, if read_only { "ro" } else { "rw" }, None)
        }
        ("readwrite", None) => apply(mount, "rw", None),
        (key, Some(_)) if mount_options::known(&mount.kind).contains(&key) => {
            if truth(value)? {
                apply(mount, key, None)
            } else {
                Err(format!("{key}=false: leave it out instead"))
            }
        }
        (key, Some(_)) => Err(unknown(key, &all_keys(&mount.kind))),
        (key, None) => apply(mount, key, None).map_err(|error| {
            if mount_options::known(&mount.kind).contains(&key) { error } else { unknown(key, &all_keys(&mount.kind)) }
        }),
    }
}

fn all_keys(kind: &MountKind) -> Vec<&'static str> {
    let mut all: Vec<&'static str> = KEYS.iter().flat_map(|(_, aliases)| aliases.iter().copied()).collect();
    all.extend(match kind {
        MountKind::Tmpfs(_) => &["tmpfs-size", "tmpfs-mode"][..],
        MountKind::Volume { .. } => &["volume-nocopy"],
        _ => &[],
    });
    all.extend(mount_options::known(kind));
    all
}

fn truth(value: Option<&str>) -> Result<bool, String> {
    match value {
        None | Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(other) => Err(format!("\"{other}\" is neither true nor false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read() {
        let request = mount("type=tmpfs,dst=/t,tmpfs-size=1M,tmpfs-mode=700,ro").unwrap();
        let MountKind::Tmpfs(tmpfs) = request.kind else { panic!("a tmpfs") };
        assert_eq!((tmpfs.size, tmpfs.mode, request.flags.read_only), (Some(1 << 20), 0o700, Some(true)));
        let request = mount("type=bind,src=/x,target=/y,readonly=false,bind-propagation=rslave").unwrap();
        assert_eq!((request.flags.read_only, request.flags.propagation.name()), (Some(false), "rslave"));
        let below = mount("type=bind,source=/x,destination=/y,ro,bind-recursive=writable").unwrap();
        assert!(below.flags.writable_below);
        assert!(matches!(mount("type=volume,target=/y").unwrap().kind, MountKind::Volume { name: None, .. }));
        assert!(matches!(mount("type=image,source=a,target=/y").unwrap().kind, MountKind::Image { .. }));
        for bad in [
            "type=bind,target=/y",
            "src=/x",
            "src=/x,dst=/y",
            "type=bind,src=/x,dst=/y,zz",
            "type=tmpfs,src=/x,dst=/y",
            "type=bind,src=/x,dst=/y,target=/z",
            "type=bind,src=x,dst=/y",
            "type=bind,src=/x,dst=y",
            "type=image,dst=/y",
            "type=bind,src=/x,dst=/y,bind-recursive=writable",
            "type=bind,src=/x,dst=/y,tmpfs-size=1",
            "type=bind,src,dst=/y",
            "type=volume,src=a/b,dst=/y",
            "type=bind,src=/x,dst=/y,ro=maybe",
        ] {
            assert!(mount(bad).is_err(), "{bad}");
        }
        let near = mount("type=bind,src=/x,dst=/y,readonyl").unwrap_err();
        assert!(near.contains("readonly"), "{near}");
    }
}
