//! The root filesystem and what is mounted on it: `--volume`, `--mount`, `--tmpfs`, `--shm-size`, `--secret`.

use ctr_cli::Failure;
use ctr_core::quantity;
use ctr_sandbox::options::{FilesystemOptions, MountRequest, ShmChoice};

use super::mount_text::{self, MountText};
use super::{bad, mount_options, secrets};
use crate::args::FilesystemArgs;

pub(super) fn request(args: &FilesystemArgs) -> Result<FilesystemOptions, Failure> {
    Ok(FilesystemOptions {
        read_only: args.read_only,
        mounts: requests(args)?,
        no_image_volumes: args.no_image_volumes,
        shm: args.shm_size.as_deref().map_or(Ok(ShmChoice::Default), shm)?,
        secrets: secrets::request(&args.secret)?,
    })
}

/// What `--read-only-tmpfs` gives.
const WRITABLE: [&str; 3] = ["/run:mode=755", "/tmp:mode=1777", "/var/tmp:mode=1777"];

/// Reads the text of one option.
type Reader = fn(&str) -> Result<MountRequest, String>;

/// All that were asked for; two on one place are an error.
fn requests(args: &FilesystemArgs) -> Result<Vec<MountRequest>, Failure> {
    let mut mounts = Vec::new();
    let forms: [(&str, &[String], Reader); 3] = [
        ("--volume", &args.volume, volume),
        ("--mount", &args.mount, mount_text::mount),
        ("--tmpfs", &args.tmpfs, tmpfs),
    ];
    for (option, texts, read) in forms {
        for text in texts {
            mounts.push((option, text, read(text).map_err(|why| bad(option, text, why))?));
        }
    }
    for (index, (option, text, request)) in mounts.iter().enumerate() {
        if mounts.iter().take(index).any(|(_, _, other)| same_place(&other.target, &request.target)) {
            return Err(bad(option, text, format!("there is another mount on {}", request.target)));
        }
    }
    let mut requests: Vec<MountRequest> = mounts.into_iter().map(|(_, _, request)| request).collect();
    for text in WRITABLE.iter().filter(|_| args.read_only_tmpfs) {
        let request = tmpfs(text).map_err(|why| bad("--read-only-tmpfs", text, why))?;
        if !requests.iter().any(|other| same_place(&other.target, &request.target)) {
            requests.push(request);
        }
    }
    Ok(requests)
}

/// Whether two paths differ in slashes only.
fn same_place(one: &str, other: &str) -> bool {
    let parts = |path: &str| {
        path.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect::<Vec<_>>()
    };
    parts(one) == parts(other)
}

/// `[SRC:]DST[:OPTIONS]`, options separated by commas.
fn volume(text: &str) -> Result<MountRequest, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts.as_slice() {
        [target] => (None, *target, ""),
        [target, options] if target.starts_with('/') && !options.starts_with('/') => (None, *target, *options),
        [source, target] => (Some(*source), *target, ""),
        [source, target, options] => (Some(*source), *target, *options),
        _ => return Err("it is SRC:DST or SRC:DST:OPTIONS, as in /srv/data:/data:ro".to_owned()),
    };
    let kind = mount_options::source_kind(source)?;
    let mut mount = MountText::new(kind, target)?;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        mount_options::apply(&mut mount, option, None)?;
    }
    mount.finish()
}

/// `DST[:OPTIONS]`; programs can be executed on it only with `exec`.
fn tmpfs(text: &str) -> Result<MountRequest, String> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let mut mount = MountText::new(mount_options::new_tmpfs(), target)?;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let (key, value) = option.split_once('=').map_or((option, None), |(key, value)| (key, Some(value)));
        mount_options::apply(&mut mount, key, value)?;
    }
    mount.finish()
}

/// `--shm-size`.
fn shm(text: &str) -> Result<ShmChoice, Failure> {
    if text == "none" {
        return Ok(ShmChoice::None);
    }
    match quantity::parse_size(text) {
        Ok(0) => Err(bad("--shm-size", text, "to the kernel 0 means no limit at all; \"none\" leaves /dev/shm out")),
        Ok(size) => Ok(ShmChoice::Size(size)),
        Err(error) => Err(bad("--shm-size", text, error)),
    }
}

#[cfg(test)]
mod tests {
    use ctr_sandbox::options::{MountKind, PropagationKind};

    use super::*;

    #[test]
    fn volumes_are_read() {
        let request = volume("/a:/b:ro,noexec,rslave").unwrap();
        assert_eq!(request.kind, MountKind::Bind { source: "/a".into(), recursive: true });
        assert_eq!(
            (request.target.as_str(), request.flags.read_only, request.flags.exec),
            ("/b", Some(true), Some(false))
        );
        assert_eq!(request.flags.propagation, PropagationKind::Slave);
        let named = |name: Option<&str>, copy| MountKind::Volume { name: name.map(str::to_owned), copy };
        assert_eq!(volume("data:/b").unwrap().kind, named(Some("data"), true));
        assert_eq!(volume("data:/b:nocopy,ro").unwrap().kind, named(Some("data"), false));
        assert_eq!(volume("/b").unwrap().kind, named(None, true));
        for bad in [
            "",
            "a",
            "a/b:/b",
            "/a:b",
            "/a:/b:zz",
            "/a:/b:ro:rw",
            ".x:/b",
            "/a:/b:ro,rw",
            "/a:/b:nocopy",
            "/a:/b:dev",
            "data:/b:bind",
        ] {
            assert!(volume(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn memory_is_read() {
        let request = tmpfs("/t:size=1M,mode=700,uid=5,ro").unwrap();
        let MountKind::Tmpfs(tmpfs_request) = request.kind else { panic!("a tmpfs") };
        assert_eq!((tmpfs_request.size, tmpfs_request.mode, tmpfs_request.uid), (Some(1 << 20), 0o700, 5));
        for bad in ["t", "/t:size=", "/t:mode=9", "/t:zz", "/t:idmap", "/t:exec,noexec", "/t:ro=1"] {
            assert!(tmpfs(bad).is_err(), "{bad}");
        }
        assert_eq!(shm("none").ok(), Some(ShmChoice::None));
        assert_eq!(shm("1M").ok(), Some(ShmChoice::Size(1 << 20)));
        assert!(shm("0").is_err() && shm("x").is_err());
    }
}
