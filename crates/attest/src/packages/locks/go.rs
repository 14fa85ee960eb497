//! `go.mod`: what a module requires, and what is taken in place of it.

use std::collections::BTreeMap;

use super::{Entries, Locked, Why};

/// Where a module is taken from: another module in a version, or a directory.
type Replacement<'a> = Option<(&'a str, &'a str)>;

/// Modules that are required, directly or not.
pub(super) fn module(text: &str, locked: &mut Entries) -> Result<(), Why> {
    let mut required = Vec::new();
    let mut replaced: BTreeMap<(&str, Option<&str>), Replacement<'_>> = BTreeMap::new();
    let (mut block, mut is_module) = ("", false);
    for line in text.lines() {
        let line = line.split_once("//").map_or(line, |(before, _)| before);
        let words: Vec<&str> = line.split_whitespace().map(|word| word.trim_matches(['"', '`'])).collect();
        let (verb, rest) = match words.as_slice() {
            [")"] => {
                block = "";
                continue;
            }
            [verb, "("] => {
                block = verb;
                continue;
            }
            rest if !block.is_empty() => (block, rest),
            [verb, rest @ ..] => (*verb, rest),
            [] => continue,
        };
        match (verb, rest) {
            ("module", [_]) => is_module = true,
            ("require", [path, version]) => required.push((*path, *version)),
            ("replace", [path, "=>", to @ ..]) => drop(replaced.insert((path, None), replacement(to))),
            ("replace", [path, version, "=>", to @ ..]) => {
                replaced.insert((path, Some(version)), replacement(to));
            }
            _ => {}
        }
    }
    if !is_module {
        return Err("it names no module".to_owned());
    }
    for (path, version) in required {
        let instead = replaced.get(&(path, Some(version))).or_else(|| replaced.get(&(path, None)));
        let Some((path, version)) = instead.copied().unwrap_or(Some((path, version))) else { continue };
        let lower = path.to_ascii_lowercase();
        let (namespace, name) = lower.rsplit_once('/').map_or((None, lower.as_str()), |(one, two)| (Some(one), two));
        locked.push(Locked {
            kind: "golang",
            namespace: namespace.map(str::to_owned),
            purl_name: Some(name.to_owned()),
            name: path.to_owned(),
            version: version.to_owned(),
            ..Locked::default()
        });
    }
    Ok(())
}

fn replacement<'a>(to: &[&'a str]) -> Replacement<'a> {
    match to {
        [path, version] => Some((path, version)),
        _ => None,
    }
}
