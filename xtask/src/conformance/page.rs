//! docs/conformance.md: the lists, as a page.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::conformance::OURS;
use crate::conformance::expected::List;
use crate::conformance::judge::{self, Judge, Verdict};
use crate::tree;

/// The runtimes whose lists stand beside ours, where there are any.
const BESIDE: &[&str] = &["runc", "crun"];

fn path() -> PathBuf {
    tree::top().join("docs/conformance.md")
}

pub(super) fn write() -> Result<()> {
    let path = path();
    std::fs::write(&path, text()?).with_context(|| format!("write {}", path.display()))
}

fn text() -> Result<String> {
    let mut text = String::from(
        "# Conformance\n\nWritten by `cargo xtask conformance --bless` from the lists in `tests/conformance/expected`, which that task holds each run \
         against: engines and test suites of others, with `ctr-oci` as their runtime, and builders of others that make the same of the same \
         Dockerfiles as `ctr-build`. A result that changes in either direction makes it fail.\n\n| judge | passed | failed | skipped |\n|---|---:|---:|---:|\n",
    );
    let mut sections = String::new();
    for judge in judge::all()? {
        let ours = List::read(&judge.name, OURS)?;
        let anchor =
            judge.title.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric() && c != ' ' && c != '-', "");
        let _ = writeln!(
            text,
            "| [{}](#{}) | {} | {} | {} |",
            judge.title,
            anchor.replace(' ', "-"),
            ours.count(Verdict::Pass),
            ours.count(Verdict::Fail),
            ours.count(Verdict::Skip)
        );
        sections += &section(&judge, &ours)?;
    }
    Ok(text + &sections)
}

/// One judge: a row for each check, with what runtimes beside ours do.
fn section(judge: &Judge, ours: &List) -> Result<String> {
    let mut beside = Vec::new();
    for side in BESIDE {
        let list = List::read(&judge.name, side)?;
        if !list.checks.is_empty() {
            beside.push((*side, list));
        }
    }
    let mut text = format!("\n## {}\n{}\n\n", judge.title, judge.about);
    if ours.checks.is_empty() && beside.is_empty() {
        text += "Not run yet.\n";
        return Ok(text);
    }
    let _ = write!(text, "| check | {} |", judge.program());
    for (side, _) in &beside {
        let _ = write!(text, " {side} |");
    }
    let _ = writeln!(text, " why |\n|---|---|{}---|", "---|".repeat(beside.len()));
    let mut names: Vec<&str> = ours.checks.iter().map(|check| check.name.as_str()).collect();
    names.extend(beside.iter().flat_map(|(_, list)| &list.checks).map(|check| check.name.as_str()));
    names.sort_unstable();
    names.dedup();
    for name in names {
        let found: Vec<_> =
            std::iter::once(ours).chain(beside.iter().map(|(_, list)| list)).map(|list| list.find(name)).collect();
        let _ = write!(text, "| {name} |");
        for check in &found {
            let _ = write!(text, " {} |", check.map_or("-", |check| check.verdict.word()));
        }
        let why =
            found.iter().flatten().map(|check| check.why.as_str()).find(|why| !why.is_empty()).unwrap_or_default();
        let _ = writeln!(text, " {} |", why.replace('|', "\\|"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_what_the_lists_say() {
        let found = std::fs::read_to_string(path()).unwrap();
        assert!(found == text().unwrap(), "docs/conformance.md is stale; run: cargo xtask conformance --bless");
    }

    #[test]
    fn reasons_name_no_place_of_a_machine() {
        let text = text().unwrap();
        for part in ["/work/", "/home/", "/root/", "/var/tmp/ctr-", "/target/"] {
            assert!(!text.contains(part), "docs/conformance.md names {part}");
        }
    }
}
