//! Lock files in JSON with lists of packages: `Pipfile.lock`, `composer.lock`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Entries, Locked, Why};

#[derive(Deserialize)]
struct Pipfile {
    #[serde(rename = "_meta")]
    _meta: serde::de::IgnoredAny,
    #[serde(flatten)]
    groups: BTreeMap<String, BTreeMap<String, Pin>>,
}

#[derive(Deserialize)]
struct Pin {
    version: Option<String>,
}

#[derive(Deserialize)]
struct Composer {
    packages: Vec<Library>,
    #[serde(default, rename = "packages-dev")]
    for_development: Vec<Library>,
}

#[derive(Deserialize)]
struct Library {
    name: String,
    version: String,
    #[serde(default)]
    license: Vec<String>,
}

/// What is wrong with a text, without the text.
pub(super) fn why(error: &serde_json::Error) -> Why {
    error.to_string()
}

/// Distributions of all groups.
pub(super) fn pipfile(text: &str, locked: &mut Entries) -> Result<(), Why> {
    let lock: Pipfile = serde_json::from_str(text).map_err(|error| why(&error))?;
    for (name, pin) in lock.groups.values().flatten() {
        if let Some(version) = pin.version.as_ref().and_then(|version| version.strip_prefix("==")) {
            locked.push(Locked::pypi(name, version));
        }
    }
    Ok(())
}

/// Libraries, those for development too. Of several licences one may be chosen.
pub(super) fn composer(text: &str, locked: &mut Entries) -> Result<(), Why> {
    let lock: Composer = serde_json::from_str(text).map_err(|error| why(&error))?;
    for one in lock.packages.into_iter().chain(lock.for_development) {
        let lower = one.name.to_ascii_lowercase();
        let (vendor, name) =
            lower.split_once('/').map_or((None, lower.as_str()), |(vendor, name)| (Some(vendor), name));
        locked.push(Locked {
            kind: "composer",
            namespace: vendor.map(str::to_owned),
            purl_name: Some(name.to_owned()),
            licence: Some(one.license.join(" or ")),
            name: one.name,
            version: one.version,
            ..Locked::default()
        });
    }
    Ok(())
}
