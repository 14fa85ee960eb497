//! Namespaces, and what is set in them.

use ctr_cli::Failure;
use ctr_sandbox::options::{NamespaceOptions, Network};

use super::bad;
use crate::args::{NamespaceArgs, NetworkArg};

pub(super) fn request(args: &NamespaceArgs) -> Result<NamespaceOptions, Failure> {
    Ok(NamespaceOptions {
        network: match args.network {
            NetworkArg::None => Network::None,
            NetworkArg::Host => Network::Host,
        },
        hostname: args.hostname.clone(),
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
