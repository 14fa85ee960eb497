//! Files of `/etc` that every program finds.

use std::fmt::Write as _;

use super::{Step, StepNetwork};

/// Names of files of `/etc`, and what is in them for this step.
pub fn own_files(step: &Step) -> [(&'static str, String); 3] {
    [
        ("hostname", format!("{}\n", step.hostname)),
        ("hosts", hosts(step)),
        ("resolv.conf", std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default()),
    ]
}

fn hosts(step: &Step) -> String {
    let mut text = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n".to_owned();
    let own = if step.network == StepNetwork::None { "127.0.0.1" } else { "127.0.1.1" };
    let _ = writeln!(text, "{own} {}", step.hostname);
    for (address, name) in &step.hosts {
        let _ = writeln!(text, "{address} {name}");
    }
    text
}
