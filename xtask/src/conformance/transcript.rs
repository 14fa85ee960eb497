//! Sessions with engines in docs/engines.md: each stands in a fenced block below `<!-- transcript: NAME -->`.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::conformance::judge::Judge;
use crate::conformance::{bring, driver};
use crate::tree;

/// Runs the sessions of these judges and puts them into the page.
pub(super) fn renew(judges: &[Judge], runtime: &Path) -> Result<()> {
    let path = tree::top().join("docs/engines.md");
    let mut page = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    for judge in judges {
        bring(judge)?;
        for (name, text) in driver::transcripts(judge, runtime)? {
            page = with(&page, &name, &text).with_context(|| format!("the page {}", path.display()))?;
        }
    }
    std::fs::write(&path, page).with_context(|| format!("write {}", path.display()))
}

/// The page with this text in the block of that name.
fn with(page: &str, name: &str, text: &str) -> Result<String> {
    let head = format!("<!-- transcript: {name} -->\n```text\n");
    let Some((before, rest)) = page.split_once(&head) else { bail!("there is no {head:?} in it") };
    let (_, after) = rest.split_once("```\n").with_context(|| format!("the block of {name} has no end"))?;
    Ok(format!("{before}{head}{text}```\n{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_takes_the_place_of_the_one_before() {
        let page = "a\n<!-- transcript: one -->\n```text\nold\n```\nb\n";
        let renewed = with(page, "one", "$ id\n").unwrap();
        assert_eq!(renewed, "a\n<!-- transcript: one -->\n```text\n$ id\n```\nb\n");
        assert!(with(page, "two", "").is_err());
    }
}
