//! The options of a mount: those of `--volume` and `--tmpfs` after the colon, and those of `--mount` that are no key of its
//! own. The names are mount(8)'s, Docker's and Podman's.

use std::path::PathBuf;

use ctr_core::quantity;
use ctr_sandbox::options::{Atime, MountKind, PropagationKind, TmpfsRequest};

use super::mount_text::MountText;

/// Mode of a tmpfs unless asked otherwise: everybody's, like `/tmp`.
const TMPFS_MODE: u32 = 0o1777;

/// Options of every mount. Each has a form with `r` before it that means the same: all options hold for the mounts below.
const FLAGS: [&str; 14] = [
    "ro",
    "rw",
    "nosuid",
    "suid",
    "nodev",
    "noexec",
    "exec",
    "noatime",
    "relatime",
    "strictatime",
    "nodiratime",
    "nosymfollow",
    "readonly",
    "dev",
];
/// Options of binds and named volumes.
const BINDS: [&str; 14] = [
    "rbind",
    "bind",
    "bind-nonrecursive",
    "private",
    "rprivate",
    "slave",
    "rslave",
    "shared",
    "rshared",
    "unbindable",
    "runbindable",
    "idmap",
    "noidmap",
    "norecursive",
];
/// Options of volumes that the store or the container keeps.
const VOLUMES: [&str; 2] = ["copy", "nocopy"];
/// Options of a tmpfs.
const TMPFS: [&str; 7] = ["size", "nr_inodes", "mode", "uid", "gid", "tmpcopyup", "notmpcopyup"];

/// What `SRC` of `--volume` is: a path of the host, the name of a volume, or nothing.
pub(super) fn source_kind(source: Option<&str>) -> Result<MountKind, String> {
    let Some(source) = source else { return Ok(MountKind::Volume { name: None, copy: true }) };
    if source.starts_with('/')
        || source.starts_with("./")
        || source.starts_with("../")
        || source == "."
        || source == ".."
    {
        return Ok(bind(source));
    }
    if source.contains('/') {
        return Err(format!("\"{source}\" is neither the name of a volume nor a path: a relative path begins with ./"));
    }
    named(source)
}

/// A path of the host.
pub(super) fn bind(source: &str) -> MountKind {
    let source = std::path::absolute(source).unwrap_or_else(|_| PathBuf::from(source));
    MountKind::Bind { source, recursive: true }
}

/// A volume by name.
pub(super) fn named(name: &str) -> Result<MountKind, String> {
    ctr_core::name::check_volume_name(name).map_err(|error| error.to_string())?;
    Ok(MountKind::Volume { name: Some(name.to_owned()), copy: true })
}

/// A tmpfs as it is without options.
pub(super) fn new_tmpfs() -> MountKind {
    MountKind::Tmpfs(TmpfsRequest { size: None, inodes: None, mode: TMPFS_MODE, uid: 0, gid: 0, copy_up: false })
}

/// Applies `KEY` or `KEY=VALUE`.
pub(super) fn apply(mount: &mut MountText, key: &str, value: Option<&str>) -> Result<(), String> {
    if let Some(value) = value {
        let known = known(&mount.kind);
        return match &mut mount.kind {
            MountKind::Tmpfs(tmpfs) if TMPFS.contains(&key) => tmpfs_value(tmpfs, key, value),
            _ if known.contains(&key) => Err(format!("the option \"{key}\" takes no value")),
            _ => Err(unknown(key, &known)),
        };
    }
    if flag(mount, key)? || propagation(mount, key)? {
        return Ok(());
    }
    match (&mut mount.kind, key) {
        (MountKind::Bind { recursive, .. }, "rbind") => *recursive = true,
        (MountKind::Bind { recursive, .. }, "bind" | "bind-nonrecursive" | "norecursive") => *recursive = false,
        (MountKind::Bind { .. } | MountKind::Volume { name: Some(_), .. }, "idmap" | "noidmap") => {
            mount.once("idmap", key)?;
            mount.flags.idmap = Some(key == "idmap");
        }
        (MountKind::Volume { copy, .. }, "copy") => *copy = true,
        (MountKind::Volume { copy, .. }, "nocopy") => *copy = false,
        (MountKind::Tmpfs(tmpfs), "tmpcopyup") => tmpfs.copy_up = true,
        (MountKind::Tmpfs(tmpfs), "notmpcopyup") => tmpfs.copy_up = false,
        (MountKind::Tmpfs(_), key) if TMPFS.contains(&key) => return Err(format!("the option is {key}=VALUE")),
        (kind, _) => return Err(unknown(key, &known(kind))),
    }
    Ok(())
}

/// Attributes that every mount can have.
fn flag(mount: &mut MountText, key: &str) -> Result<bool, String> {
    // "ro" and "rw" begin with the letter that means "and those below".
    let plain = key.strip_prefix('r').filter(|rest| FLAGS.contains(rest)).unwrap_or(key);
    let group = match plain {
        "ro" | "rw" | "readonly" => "ro",
        "exec" | "noexec" => "exec",
        "suid" | "nosuid" => "suid",
        "relatime" | "noatime" | "strictatime" => "atime",
        other => other,
    };
    let flags = &mut mount.flags;
    match plain {
        "ro" | "readonly" => flags.read_only = Some(true),
        "rw" => flags.read_only = Some(false),
        "exec" => flags.exec = Some(true),
        "noexec" => flags.exec = Some(false),
        "suid" => flags.suid = true,
        "nosuid" => flags.suid = false,
        "relatime" => flags.atime = Some(Atime::Relatime),
        "noatime" => flags.atime = Some(Atime::Noatime),
        "strictatime" => flags.atime = Some(Atime::Strictatime),
        "nodiratime" => flags.nodiratime = true,
        "nosymfollow" => flags.nosymfollow = true,
        // Always so, and said for those who ask for it.
        "nodev" => {}
        "dev" => return Err("devices cannot be used through a mount: give them with --device".to_owned()),
        _ => return Ok(false),
    }
    mount.once(group, plain)?;
    Ok(true)
}

fn propagation(mount: &mut MountText, key: &str) -> Result<bool, String> {
    let Some(kind) = PropagationKind::parse(key) else { return Ok(false) };
    if !matches!(mount.kind, MountKind::Bind { .. } | MountKind::Volume { name: Some(_), .. }) {
        return Err(format!("the option \"{key}\" is for directories of the host"));
    }
    mount.once("propagation", kind.name())?;
    mount.flags.propagation = kind;
    Ok(true)
}

fn tmpfs_value(tmpfs: &mut TmpfsRequest, key: &str, value: &str) -> Result<(), String> {
    let id =
        || value.parse::<u32>().ok().filter(|id| *id != u32::MAX).ok_or_else(|| format!("\"{value}\" is not an id"));
    match key {
        "size" => tmpfs.size = Some(quantity::parse_size(value).map_err(|error| error.to_string())?),
        "nr_inodes" => tmpfs.inodes = Some(quantity::parse_size(value).map_err(|error| error.to_string())?),
        "mode" => tmpfs.mode = octal_mode(value)?,
        "uid" => tmpfs.uid = id()?,
        "gid" => tmpfs.gid = id()?,
        key => return Err(format!("the option \"{key}\" takes no value")),
    }
    Ok(())
}

/// Permission bits in octal.
pub(super) fn octal_mode(text: &str) -> Result<u32, String> {
    let parsed = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
    parsed.ok_or_else(|| format!("mode \"{text}\" is not an octal number up to 7777"))
}

/// The options of a kind of mount.
pub(super) fn known(kind: &MountKind) -> Vec<&'static str> {
    let own: &[&[&str]] = match kind {
        MountKind::Bind { .. } => &[&BINDS],
        MountKind::Volume { name: Some(_), .. } => &[&BINDS, &VOLUMES],
        MountKind::Volume { name: None, .. } => &[&VOLUMES],
        MountKind::Tmpfs(_) => &[&TMPFS],
        MountKind::Image { .. } => &[],
    };
    FLAGS.iter().copied().chain(own.iter().flat_map(|names| names.iter().copied())).collect()
}

/// An option that nobody knows, with the nearest that somebody does.
pub(super) fn unknown(key: &str, known: &[&str]) -> String {
    let said = match key {
        "z" | "Z" => {
            return "SELinux labels of volumes are not changed: leave z and Z out, and label the directory with chcon"
                .to_owned();
        }
        "U" | "chown" => return "volumes are never chowned: their ids are mapped".to_owned(),
        "cached" | "consistent" | "delegated" => return format!("\"{key}\" means nothing on Linux: leave it out"),
        key => ctr_cli::nearest(key, known.iter().copied()),
    };
    let known = known.join(", ");
    said.map_or_else(
        || format!("unknown option \"{key}\" (known: {known})"),
        |near| format!("unknown option \"{key}\": is it \"{near}\"? (known: {known})"),
    )
}
