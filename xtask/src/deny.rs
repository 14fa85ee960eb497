//! `cargo xtask deny`: licences, sources and banned crates, by deny.toml.
//!
//! cargo-deny does it where it is installed. It takes many minutes to compile, so nothing here installs it; without it the check below
//! reads the same file and holds the same three rules. The advisory database is looked at by neither: it lies outside the registries
//! that a closed machine reaches (`cargo deny check advisories` does it where the network allows).

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::arguments::Arguments;
use crate::{shell, tree};

/// What deny.toml says, as far as the built-in check reads it.
struct Policy {
    licences: BTreeSet<String>,
    banned: BTreeSet<String>,
    registries: BTreeSet<String>,
}

pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let built_in = arguments.flag("--built-in");
    arguments.finish()?;
    println!(
        "deny: licences, sources, banned crates; advisories are not looked at (their database is not reached from here)"
    );
    if !built_in && shell::which("cargo-deny").is_some() {
        let mut cargo = shell::cargo();
        return shell::run(cargo.args(["deny", "--log-level", "error", "check", "bans", "licenses", "sources"]));
    }
    let policy = Policy::read()?;
    let packages = packages()?;
    let faults: Vec<String> = packages.iter().flat_map(|package| policy.faults(package)).collect();
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    println!("deny: {} crates keep deny.toml (built-in check)", packages.len());
    Ok(())
}

fn packages() -> Result<Vec<Value>> {
    let text = shell::output(shell::cargo().args(["metadata", "--locked", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&text).context("output of cargo metadata")?;
    let packages = metadata.get("packages").and_then(Value::as_array).context("cargo metadata lists no packages")?;
    Ok(packages.clone())
}

impl Policy {
    fn read() -> Result<Self> {
        let path = tree::top().join("deny.toml");
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let table: toml::Table = text.parse().with_context(|| format!("parse {}", path.display()))?;
        let list = |section: &str, key: &str| -> Result<Vec<toml::Value>> {
            let value = table.get(section).and_then(|section| section.get(key)).and_then(toml::Value::as_array);
            value.cloned().with_context(|| format!("deny.toml has no list {section}.{key}"))
        };
        let text = |value: &toml::Value| value.as_str().map(str::to_owned);
        Ok(Self {
            licences: list("licenses", "allow")?.iter().filter_map(text).collect(),
            banned: list("bans", "deny")?.iter().filter_map(|ban| ban.get("name").and_then(text)).collect(),
            registries: list("sources", "allow-registry")?.iter().filter_map(text).collect(),
        })
    }

    fn faults(&self, package: &Value) -> Vec<String> {
        let field = |key: &str| package.get(key).and_then(Value::as_str);
        let name = field("name").unwrap_or("?");
        let mut faults = Vec::new();
        if self.banned.contains(name) {
            faults.push(format!("{name} is banned by deny.toml"));
        }
        let expression = field("license").unwrap_or_default();
        if !self.allows(expression) {
            faults.push(format!("{name}: licence {expression:?} is not allowed by deny.toml"));
        }
        // Crates of the workspace have no source.
        if let Some(source) = field("source") {
            let known = source.strip_prefix("registry+").is_some_and(|registry| self.registries.contains(registry));
            if !known {
                faults.push(format!("{name} comes from {source}, which deny.toml does not know"));
            }
        }
        faults
    }

    /// Evaluates an SPDX expression: `OR` binds weaker than `AND`, parentheses group, `/` is the old way to write `OR`.
    fn allows(&self, expression: &str) -> bool {
        let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let mut rest = words.as_slice();
        !words.is_empty() && self.any(&mut rest) && rest.is_empty()
    }

    fn any(&self, words: &mut &[&str]) -> bool {
        let mut allowed = self.all(words);
        while let ["OR", rest @ ..] = *words {
            *words = rest;
            allowed |= self.all(words);
        }
        allowed
    }

    fn all(&self, words: &mut &[&str]) -> bool {
        let mut allowed = self.one(words);
        while let ["AND", rest @ ..] = *words {
            *words = rest;
            allowed &= self.one(words);
        }
        allowed
    }

    fn one(&self, words: &mut &[&str]) -> bool {
        match *words {
            ["(", rest @ ..] => {
                *words = rest;
                let allowed = self.any(words);
                let closed = words.first() == Some(&")");
                *words = words.get(1..).unwrap_or_default();
                allowed && closed
            }
            [licence, "WITH", exception, rest @ ..] => {
                *words = rest;
                self.licences.contains(&format!("{licence} WITH {exception}")) || self.licences.contains(*licence)
            }
            [licence, rest @ ..] => {
                *words = rest;
                self.licences.contains(*licence)
            }
            [] => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licence_expressions() {
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let policy = Policy { licences: set(&["MIT", "Zlib"]), banned: set(&[]), registries: set(&[]) };
        let cases = [
            ("MIT", true),
            ("GPL-3.0", false),
            ("", false),
            ("GPL-3.0 OR MIT", true),
            ("GPL-3.0/MIT", true),
            ("GPL-3.0 AND MIT", false),
            ("(MIT OR Apache-2.0) AND Zlib", true),
            ("(Apache-2.0 OR GPL-3.0) AND Zlib", false),
            ("MIT AND (Apache-2.0 OR Zlib)", true),
            ("MIT OR", true),
            ("MIT)", false),
        ];
        for (expression, expected) in cases {
            assert_eq!(policy.allows(expression), expected, "{expression:?}");
        }
    }
}
