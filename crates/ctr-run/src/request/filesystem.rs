//! The root filesystem and what is mounted on it: `--volume`, `--mount`, `--tmpfs`.

use std::path::PathBuf;

use ctr_cli::Failure;
use ctr_core::quantity;
use ctr_sandbox::options::{FilesystemOptions, MountKind, MountRequest};

use super::bad;
use crate::args::FilesystemArgs;

/// Mode of a tmpfs unless asked otherwise: everybody's, like `/tmp`.
const TMPFS_MODE: u32 = 0o1777;

pub(super) fn request(args: &FilesystemArgs) -> Result<FilesystemOptions, Failure> {
    Ok(FilesystemOptions { read_only: args.read_only, mounts: requests(args)? })
}

/// All that were asked for; two on one place are an error.
fn requests(args: &FilesystemArgs) -> Result<Vec<MountRequest>, Failure> {
    let mut mounts = Vec::new();
    for text in &args.volume {
        mounts.push(("--volume", text, volume(text)?));
    }
    for text in &args.mount {
        mounts.push(("--mount", text, mount(text)?));
    }
    for text in &args.tmpfs {
        mounts.push(("--tmpfs", text, tmpfs(text)?));
    }
    for (index, (option, text, request)) in mounts.iter().enumerate() {
        if mounts.iter().take(index).any(|(_, _, other)| other.target == request.target) {
            return Err(bad(option, text, format!("there is another mount on {}", request.target)));
        }
    }
    Ok(mounts.into_iter().map(|(_, _, request)| request).collect())
}

/// `SRC:DST[:OPTIONS]`, options separated by commas.
fn volume(text: &str) -> Result<MountRequest, Failure> {
    let cannot = |why: String| bad("--volume", text, why);
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts.as_slice() {
        [source, target] => (source, target, ""),
        [source, target, options] => (source, target, *options),
        _ => return Err(cannot("it is SRC:DST or SRC:DST:OPTIONS, as in /srv/data:/data:ro".to_owned())),
    };
    let mut request = bind(source, target).map_err(&cannot)?;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        bind_option(&mut request, option).map_err(&cannot)?;
    }
    Ok(request)
}

fn bind(source: &str, target: &str) -> Result<MountRequest, String> {
    if !source.starts_with('/') && !source.starts_with("./") && !source.starts_with("../") && source != "." {
        return Err(format!(
            "\"{source}\" is not a path; named volumes are not there yet, and a relative path begins with ./"
        ));
    }
    if !target.starts_with('/') {
        return Err(format!("the place in the container, \"{target}\", is not an absolute path"));
    }
    let source = std::path::absolute(source).unwrap_or_else(|_| PathBuf::from(source));
    let kind = MountKind::Bind { source, recursive: true, slave: false };
    Ok(MountRequest { target: target.to_owned(), kind, read_only: false, noexec: false })
}

fn bind_option(request: &mut MountRequest, option: &str) -> Result<(), String> {
    let MountKind::Bind { recursive, slave, .. } = &mut request.kind else { return Err(unknown(option)) };
    match option {
        "ro" | "readonly" => request.read_only = true,
        "rw" => request.read_only = false,
        "noexec" => request.noexec = true,
        "exec" => request.noexec = false,
        "rbind" => *recursive = true,
        "bind" => *recursive = false,
        "rslave" | "slave" => *slave = true,
        "rprivate" | "private" => *slave = false,
        // Always so, and said for those who ask for it.
        "nosuid" | "nodev" => {}
        other => return Err(unknown(other)),
    }
    Ok(())
}

fn unknown(option: &str) -> String {
    format!(
        "unknown option \"{option}\" (known: ro, rw, noexec, exec, bind, rbind, private, rprivate, slave, rslave, nosuid, nodev)"
    )
}

/// `type=...,source=...,target=...` as docker run --mount has it.
fn mount(text: &str) -> Result<MountRequest, Failure> {
    let cannot = |why: String| bad("--mount", text, why);
    let fields: Vec<(&str, &str)> = text.split(',').map(|field| field.split_once('=').unwrap_or((field, ""))).collect();
    let value = |names: &[&str]| fields.iter().find(|(key, _)| names.contains(key)).map(|(_, value)| *value);
    let target = value(&["target", "destination", "dst"]).ok_or_else(|| cannot("it needs target=PATH".to_owned()))?;
    let mut request = match value(&["type"]).unwrap_or("bind") {
        "bind" => {
            let source =
                value(&["source", "src"]).ok_or_else(|| cannot("a bind mount needs source=PATH".to_owned()))?;
            bind(source, target).map_err(&cannot)?
        }
        "tmpfs" => new_tmpfs(target).map_err(&cannot)?,
        other => return Err(cannot(format!("unknown type \"{other}\" (known: bind, tmpfs)"))),
    };
    for (key, value) in &fields {
        match *key {
            "type" | "target" | "destination" | "dst" => {}
            "source" | "src" if matches!(request.kind, MountKind::Bind { .. }) => {}
            "bind-propagation" => bind_option(&mut request, value).map_err(&cannot)?,
            "tmpfs-size" => tmpfs_option(&mut request, &format!("size={value}")).map_err(&cannot)?,
            "tmpfs-mode" => tmpfs_option(&mut request, &format!("mode={value}")).map_err(&cannot)?,
            "ro" | "readonly" => request.read_only = flag(value).map_err(&cannot)?,
            key => match &request.kind {
                MountKind::Bind { .. } => bind_option(&mut request, key).map_err(&cannot)?,
                MountKind::Tmpfs { .. } => tmpfs_option(&mut request, key).map_err(&cannot)?,
            },
        }
    }
    Ok(request)
}

fn flag(value: &str) -> Result<bool, String> {
    match value {
        "" | "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        other => Err(format!("\"{other}\" is neither true nor false")),
    }
}

fn new_tmpfs(target: &str) -> Result<MountRequest, String> {
    if !target.starts_with('/') {
        return Err(format!("the place in the container, \"{target}\", is not an absolute path"));
    }
    let kind = MountKind::Tmpfs { size: None, mode: TMPFS_MODE };
    Ok(MountRequest { target: target.to_owned(), kind, read_only: false, noexec: true })
}

/// `DST[:OPTIONS]`; programs can be executed on it only with `exec`.
fn tmpfs(text: &str) -> Result<MountRequest, Failure> {
    let cannot = |why: String| bad("--tmpfs", text, why);
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let mut request = new_tmpfs(target).map_err(&cannot)?;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        tmpfs_option(&mut request, option).map_err(&cannot)?;
    }
    Ok(request)
}

fn tmpfs_option(request: &mut MountRequest, option: &str) -> Result<(), String> {
    let MountKind::Tmpfs { size, mode } = &mut request.kind else { return Err(unknown(option)) };
    match option.split_once('=').unwrap_or((option, "")) {
        ("size", value) => *size = Some(quantity::parse_size(value).map_err(|error| error.to_string())?),
        ("mode", value) => {
            let parsed = u32::from_str_radix(value, 8).ok().filter(|mode| *mode <= 0o7777);
            *mode = parsed.ok_or_else(|| format!("mode \"{value}\" is not an octal number up to 7777"))?;
        }
        ("ro", "") => request.read_only = true,
        ("rw", "") => request.read_only = false,
        ("noexec", "") => request.noexec = true,
        ("exec", "") => request.noexec = false,
        ("nosuid" | "nodev", "") => {}
        _ => {
            return Err(format!(
                "unknown option \"{option}\" (known: size=, mode=, ro, rw, noexec, exec, nosuid, nodev)"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_read() {
        let request = volume("/a:/b:ro,noexec,rslave").unwrap();
        let kind = MountKind::Bind { source: "/a".into(), recursive: true, slave: true };
        assert_eq!(request, MountRequest { target: "/b".into(), kind, read_only: true, noexec: true });
        for bad in ["", "/a", "a:/b", "/a:b", "/a:/b:zz", "/a:/b:ro:rw"] {
            assert!(volume(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn mounts_are_read() {
        let request = mount("type=tmpfs,dst=/t,tmpfs-size=1M,tmpfs-mode=700,ro").unwrap();
        let kind = MountKind::Tmpfs { size: Some(1 << 20), mode: 0o700 };
        assert_eq!(request, MountRequest { target: "/t".into(), kind, read_only: true, noexec: true });
        assert!(mount("type=bind,src=/x,target=/y,readonly=false").is_ok_and(|request| !request.read_only));
        for bad in
            ["type=bind,target=/y", "type=volume,target=/y", "src=/x", "src=/x,dst=/y,zz", "type=tmpfs,src=/x,dst=/y"]
        {
            assert!(mount(bad).is_err(), "{bad}");
        }
    }
}
