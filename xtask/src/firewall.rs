//! `cargo xtask firewall`: what each binary links, and the rules of the source tree that the compiler does not hold.
//!
//! xtask/firewall/BINARY.txt lists the crates that the binary links, by name. A change shows in review as a line of that list; `--bless`
//! writes it. The launcher has, besides, a list of what it must never link.

mod rules;

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::arguments::Arguments;
use crate::{shell, tree};

/// What the privileged launcher must not contain: archive readers, decompressors, OCI parsing, TLS, HTTP, async runtimes, and the
/// regular expressions that oci-spec brings.
const NEVER_IN_LAUNCHER: &[&str] =
    &["tar", "zstd", "flate2", "oci-spec", "regex", "http", "ureq", "rustls", "tokio", "ring", "ctr-layer"];

pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let bless = arguments.flag("--bless");
    arguments.finish()?;
    let mut faults = Vec::new();
    for binary in tree::BINARIES {
        let linked = linked(binary)?;
        if *binary == "ctr-run" {
            let never = NEVER_IN_LAUNCHER.iter().filter(|name| linked.contains(**name));
            faults.extend(never.map(|name| format!("ctr-run links {name}, which the launcher must never contain")));
        }
        if bless {
            write_list(binary, &linked)?;
        } else {
            faults.extend(differences(binary, &linked)?);
        }
    }
    faults.extend(rules::faults()?);
    if faults.is_empty() {
        println!(
            "firewall: {} binaries link what their lists say; the rules of the source tree hold",
            tree::BINARIES.len()
        );
        return Ok(());
    }
    bail!("{}\n  to accept changed lists: cargo xtask firewall --bless", faults.join("\n"))
}

/// Names of all crates in the binary, itself included. Procedural macros run in the compiler and are not linked.
fn linked(binary: &str) -> Result<BTreeSet<String>> {
    let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let mut cargo = shell::cargo();
    cargo.args([
        "tree",
        "--quiet",
        "--locked",
        "--edges",
        "normal,no-proc-macro",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]);
    let text = shell::output(cargo.args(["--target", &target, "--package", binary]))?;
    Ok(text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

fn differences(binary: &str, linked: &BTreeSet<String>) -> Result<Vec<String>> {
    let path = list_path(binary);
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let listed: BTreeSet<String> = text.lines().map(str::to_owned).collect();
    let added = linked.difference(&listed).map(|name| format!("{binary} links {name}, which its list does not have"));
    let gone = listed.difference(linked).map(|name| format!("{binary} no longer links {name}; take it off its list"));
    Ok(added.chain(gone).collect())
}

fn write_list(binary: &str, linked: &BTreeSet<String>) -> Result<()> {
    let path = list_path(binary);
    let lines: Vec<&str> = linked.iter().map(String::as_str).collect();
    fs::write(&path, lines.join("\n") + "\n").with_context(|| format!("write {}", path.display()))
}

fn list_path(binary: &str) -> std::path::PathBuf {
    tree::top().join(format!("xtask/firewall/{binary}.txt"))
}
