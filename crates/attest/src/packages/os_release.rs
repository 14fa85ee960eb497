//! os-release(5): which distribution a tree is of.

use ctr_tree::{Tree, TreePath};

use crate::inventory::AttestError;
use crate::read;

/// What is used of an os-release.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Release {
    /// `ID`.
    pub id: Option<String>,
    /// `VERSION_ID`.
    pub version: Option<String>,
}

impl Release {
    /// `ID-VERSION_ID`, or `ID` alone.
    pub fn distribution(&self) -> Option<String> {
        let id = self.id.as_ref()?;
        Some(self.version.as_ref().map_or_else(|| id.clone(), |version| format!("{id}-{version}")))
    }
}

/// The os-release of a tree; empty if it has none.
pub fn read(tree: &dyn Tree) -> Result<Release, AttestError> {
    for path in ["/etc/os-release", "/usr/lib/os-release"] {
        if let Some(text) = read::text(tree, &TreePath::new(path))? {
            return Ok(parse(&text));
        }
    }
    Ok(Release::default())
}

/// Assignments as a shell reads them; of quotes only those around the whole value, since neither value has others.
fn parse(text: &str) -> Release {
    let mut release = Release::default();
    for line in text.lines() {
        let Some((name, value)) = line.split_once('=') else { continue };
        let value = value.trim().trim_matches(['"', '\'']).to_owned();
        if value.is_empty() {
            continue;
        }
        match name.trim() {
            "ID" => release.id = Some(value.to_ascii_lowercase()),
            "VERSION_ID" => release.version = Some(value),
            _ => {}
        }
    }
    release
}
