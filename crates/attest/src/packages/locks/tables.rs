//! Lock files in TOML with a table for each package: `Cargo.lock`, `poetry.lock`, `uv.lock`.

use serde::Deserialize;
use toml::Table;

use super::{Entries, Locked, Why};

const CRATES_IO: &[&str] =
    &["registry+https://github.com/rust-lang/crates.io-index", "sparse+https://index.crates.io/"];

#[derive(Deserialize)]
struct Cargo {
    #[serde(default)]
    package: Vec<Crate>,
}

#[derive(Deserialize)]
struct Crate {
    name: String,
    version: String,
    source: Option<String>,
}

#[derive(Deserialize)]
struct Python {
    #[serde(default)]
    package: Vec<Distribution>,
}

#[derive(Deserialize)]
struct Distribution {
    name: String,
    version: Option<String>,
    source: Option<Table>,
}

fn why(error: &toml::de::Error) -> Why {
    // The whole of the error quotes the file.
    error.message().lines().next().unwrap_or_default().to_owned()
}

/// Crates that come from elsewhere; those of the workspace have no source.
pub(super) fn cargo(text: &str, locked: &mut Entries) -> Result<(), Why> {
    let lock: Cargo = toml::from_str(text).map_err(|error| why(&error))?;
    locked.extend(lock.package.into_iter().filter_map(|one| {
        let source = one.source?;
        let qualifiers = if CRATES_IO.contains(&source.as_str()) {
            Vec::new()
        } else if source.starts_with("git+") {
            vec![("vcs_url", source.replacen('#', "@", 1))]
        } else {
            let (_, url) = source.split_once('+').unwrap_or(("", &source));
            vec![("repository_url", url.to_owned())]
        };
        Some(Locked { kind: "cargo", name: one.name, version: one.version, qualifiers, ..Locked::default() })
    }));
    Ok(())
}

/// Distributions that come from elsewhere: of what is in the tree itself uv says so.
pub(super) fn python(text: &str, locked: &mut Entries) -> Result<(), Why> {
    let lock: Python = toml::from_str(text).map_err(|error| why(&error))?;
    for one in lock.package {
        let local = |source: &Table| ["virtual", "editable", "directory"].iter().any(|key| source.contains_key(*key));
        let poetry = |source: &Table| source.get("type").and_then(toml::Value::as_str) == Some("directory");
        let is_here = one.source.as_ref().is_some_and(|source| local(source) || poetry(source));
        if let (Some(version), false) = (&one.version, is_here) {
            locked.push(Locked::pypi(&one.name, version));
        }
    }
    Ok(())
}
