//! Namespaces, and what is set in them.

use ctr_cli::Failure;
use ctr_sandbox::idmap::{self, Extent, IdMap};
use ctr_sandbox::options::{NamespaceOptions, Source, Userns};

use super::bad;
use crate::args::NamespaceArgs;

pub(super) fn request(args: &NamespaceArgs) -> Result<NamespaceOptions, Failure> {
    Ok(NamespaceOptions {
        userns: userns(args)?,
        network: source("--network", "none", &args.network)?,
        ipc: source("--ipc", "own", &args.ipc)?,
        pid: source("--pid", "own", &args.pid)?,
        uts: source("--uts", "own", &args.uts)?,
        cgroup: source("--cgroupns", "own", &args.cgroupns)?,
        hostname: args.hostname.clone(),
        no_hosts: args.no_hosts,
        add_hosts: args.add_host.iter().map(|host| add_host(host)).collect::<Result<_, _>>()?,
        dns: args.dns.iter().map(|server| name_server(server)).collect::<Result<_, _>>()?,
    })
}

fn add_host(text: &str) -> Result<(String, String), Failure> {
    let why = "it is NAME:ADDRESS, as in db:10.0.0.5";
    let (name, address) = text.split_once(':').ok_or_else(|| bad("--add-host", text, why))?;
    let good = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    match address.trim_matches(['[', ']']).parse::<std::net::IpAddr>() {
        Ok(address) if good => Ok((address.to_string(), name.to_owned())),
        _ => Err(bad("--add-host", text, why)),
    }
}

fn name_server(text: &str) -> Result<String, Failure> {
    let address: Result<std::net::IpAddr, _> = text.parse();
    address.map(|address| address.to_string()).map_err(|_| bad("--dns", text, "it is the address of a name server"))
}

/// `own` is what the option calls a namespace of the container's own; `private` is podman's and docker's word for it.
fn source(option: &str, own: &str, text: &str) -> Result<Source, Failure> {
    match text.split_once(':') {
        None if text == own || text == "private" => Ok(Source::Own),
        None if text == "host" => Ok(Source::Host),
        Some(("container", name)) if !name.is_empty() => Ok(Source::Container(name.to_owned())),
        Some(("ns", path)) if path.starts_with('/') => Ok(Source::Path(path.into())),
        _ => Err(bad(option, text, format!("it is {own}, host, container:CONTAINER or ns:/PATH"))),
    }
}

fn userns(args: &NamespaceArgs) -> Result<Userns, Failure> {
    if !args.uidmap.is_empty() || !args.gidmap.is_empty() {
        let uids = extents("--uidmap", &args.uidmap)?;
        let gids = extents("--gidmap", &args.gidmap)?;
        let map = match (uids.is_empty(), gids.is_empty()) {
            (true, _) => IdMap::both(gids),
            (_, true) => IdMap::both(uids),
            _ => IdMap { uids, gids },
        };
        return Ok(Userns::Map(map));
    }
    let Some(text) = &args.userns else { return Ok(Userns::Auto) };
    match text.split_once(':').unwrap_or((text, "")) {
        ("auto", "") => Ok(Userns::Auto),
        ("host", "") => Ok(Userns::Host),
        ("container", name) if !name.is_empty() => Ok(Userns::Container(name.to_owned())),
        ("keep-id", ids) => keep_id(text, ids),
        (first, _) if first.bytes().all(|byte| byte.is_ascii_digit()) => {
            let lines: Vec<String> = text.split(',').map(str::to_owned).collect();
            extents("--userns", &lines).map(|extents| Userns::Map(IdMap::both(extents)))
        }
        _ => Err(bad(
            "--userns",
            text,
            "it is auto, host, keep-id[:uid=UID,gid=GID], container:CONTAINER or CONTAINER:HOST:COUNT[,...]",
        )),
    }
}

fn keep_id(text: &str, ids: &str) -> Result<Userns, Failure> {
    let (mut uid, mut gid) = (None, None);
    for field in ids.split(',').filter(|field| !field.is_empty()) {
        let number = |value: &str| {
            let id = value.parse::<u32>().ok().filter(|id| *id != u32::MAX);
            id.map(Some).ok_or_else(|| bad("--userns", text, format!("\"{value}\" is not an id")))
        };
        match field.split_once('=') {
            Some(("uid", value)) => uid = number(value)?,
            Some(("gid", value)) => gid = number(value)?,
            _ => return Err(bad("--userns", text, format!("unknown part \"{field}\" (known: uid=UID, gid=GID)"))),
        }
    }
    Ok(Userns::KeepId { uid, gid })
}

/// Lines `CONTAINER:HOST:COUNT`.
fn extents(option: &str, lines: &[String]) -> Result<Vec<Extent>, Failure> {
    let mut extents = Vec::with_capacity(lines.len());
    for line in lines {
        let numbers: Option<Vec<u32>> = line.split(':').map(|number| number.parse().ok()).collect();
        let Some([inside, outside, count]) = numbers.as_deref() else {
            return Err(bad(option, line, "it is CONTAINER:HOST:COUNT, three numbers, as in 0:100000:65536"));
        };
        extents.push(Extent { inside: *inside, outside: *outside, count: *count });
    }
    match idmap::problem(&extents).filter(|_| !extents.is_empty()) {
        Some(why) => Err(bad(option, &lines.join(","), why)),
        None => Ok(extents),
    }
}
