//! `yarn.lock` of yarn 1, a format of its own, and of yarn 2 and later ("berry"), which is YAML of few forms.
//!
//! Both are blocks: a line that is not indented names what was asked for, indented lines say what it was resolved to.

use super::{Entries, Locked, Why};

/// Where packages are that are part of the tree itself.
const LOCAL: &[&str] = &["workspace:", "link:", "portal:", "file:"];

#[derive(Default)]
struct Block<'a> {
    /// The first of what was asked for, `NAME@RANGE`.
    asked: &'a str,
    version: &'a str,
    resolution: &'a str,
}

/// Packages, those for development too.
pub(super) fn yarn(text: &str, locked: &mut Entries) -> Result<(), Why> {
    let is_yarn = |line: &str| line.trim_end() == "# yarn lockfile v1" || line.trim_end() == "__metadata:";
    if !text.lines().any(is_yarn) {
        return Err("it is of no yarn".to_owned());
    }
    let mut block = Block::default();
    for line in text.lines().chain(["end:"]) {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let indent = line.len() - line.trim_start_matches(' ').len();
        if indent == 0 {
            locked.extend(package(&std::mem::take(&mut block)));
            let key = line.trim_end().strip_suffix(':').ok_or("a line is neither a name nor indented")?;
            block.asked = key.trim_start_matches('"').split([',', '"']).next().unwrap_or_default();
        } else if indent == 2 {
            // `version "1.0"` and `version: 1.0`
            let (field, value) = line.trim().split_once(' ').unwrap_or_default();
            let value = value.trim().trim_matches('"');
            match field.trim_end_matches(':') {
                "version" => block.version = value,
                "resolution" => block.resolution = value,
                _ => {}
            }
        }
    }
    Ok(())
}

/// `NAME@RANGE` in its parts; the name may begin with `@`.
fn split(text: &str) -> Option<(&str, &str)> {
    let at = text.get(1..)?.find('@')? + 1;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

fn package(block: &Block<'_>) -> Option<Locked> {
    let (asked, range) = split(if block.resolution.is_empty() { block.asked } else { block.resolution })?;
    if LOCAL.iter().any(|local| range.starts_with(local)) {
        return None;
    }
    // Another name for a package: `mine@npm:theirs@1`.
    let alias = range.strip_prefix("npm:").and_then(split);
    Some(Locked::npm(alias.map_or(asked, |(name, _)| name), block.version))
}
