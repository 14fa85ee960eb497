//! `package-lock.json`, versions 1 to 3, and `npm-shrinkwrap.json`, which is the same.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::json::why;
use super::{Entries, Locked, Why};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lock {
    lockfile_version: u64,
    /// Since version 2: by the place where it is installed.
    packages: Option<BTreeMap<String, Installed>>,
    /// Versions 1 and 2: by name.
    #[serde(default)]
    dependencies: BTreeMap<String, Dependency>,
}

#[derive(Deserialize)]
struct Installed {
    /// Only if the place does not tell it.
    name: Option<String>,
    version: Option<String>,
    /// Text in all lock files of now; old packages have objects.
    license: Option<Value>,
    #[serde(default)]
    link: bool,
}

#[derive(Deserialize)]
struct Dependency {
    version: Option<String>,
    #[serde(default)]
    dependencies: BTreeMap<String, Dependency>,
}

/// Packages that are installed below `node_modules`, those for development too.
pub(super) fn package_lock(text: &str, locked: &mut Entries) -> Result<(), Why> {
    let lock: Lock = serde_json::from_str(text).map_err(|error| why(&error))?;
    match (lock.lockfile_version, lock.packages) {
        (1, _) | (2, None) => {
            dependencies(&lock.dependencies, locked);
            Ok(())
        }
        (2 | 3, packages) => {
            locked.extend(packages.unwrap_or_default().iter().filter_map(|(place, package)| installed(place, package)));
            Ok(())
        }
        (version, _) => Err(format!("its version {version} is not known")),
    }
}

fn installed(place: &str, package: &Installed) -> Option<Locked> {
    // What has another place is part of the tree itself, and what is a link leads to such a place.
    let (_, name) = place.rsplit_once("node_modules/").filter(|_| !package.link)?;
    let name = package.name.as_deref().unwrap_or(name);
    let licence = package.license.as_ref().and_then(Value::as_str).map(str::to_owned);
    Some(Locked { licence, ..Locked::npm(name, package.version.as_ref()?) })
}

/// Nesting is limited by the parser.
fn dependencies(of: &BTreeMap<String, Dependency>, locked: &mut Entries) {
    for (name, dependency) in of {
        let version = dependency.version.as_deref().unwrap_or_default();
        match version.strip_prefix("npm:").and_then(|alias| alias.rsplit_once('@')) {
            Some((name, version)) => locked.push(Locked::npm(name, version)),
            None if version.starts_with("file:") => {}
            None => locked.push(Locked::npm(name, version)),
        }
        dependencies(&dependency.dependencies, locked);
    }
}
