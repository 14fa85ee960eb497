//! The database of apk: stanzas of lines `LETTER:VALUE`.

use ctr_tree::{Tree, TreePath};

use super::os_release::Release;
use crate::inventory::{AttestError, Package, add};
use crate::{purl, read};

/// Packages that apk has installed.
pub fn read(tree: &dyn Tree, release: &Release, packages: &mut Vec<Package>) -> Result<(), AttestError> {
    let mut seen = Vec::new();
    for path in ["/lib/apk/db/installed", "/usr/lib/apk/db/installed"] {
        // With /lib a link to usr/lib both are one file.
        let Some((file, _)) = read::resolve(tree, &TreePath::new(path))? else { continue };
        if seen.contains(&file) {
            continue;
        }
        if let Some(text) = read::text(tree, &file)? {
            parse(&text, &file, release, packages)?;
        }
        seen.push(file);
    }
    Ok(())
}

#[derive(Default)]
struct Stanza<'a> {
    name: &'a str,
    version: &'a str,
    arch: &'a str,
    licence: &'a str,
}

fn parse(text: &str, file: &TreePath, release: &Release, packages: &mut Vec<Package>) -> Result<(), AttestError> {
    let mut stanza = Stanza::default();
    for line in text.lines().chain([""]) {
        if line.trim().is_empty() {
            add(packages, package(&std::mem::take(&mut stanza), file, release))?;
            continue;
        }
        match line.split_once(':') {
            Some(("P", value)) => stanza.name = value.trim(),
            Some(("V", value)) => stanza.version = value.trim(),
            Some(("A", value)) => stanza.arch = value.trim(),
            Some(("L", value)) => stanza.licence = value.trim(),
            _ => {}
        }
    }
    Ok(())
}

fn package(stanza: &Stanza<'_>, file: &TreePath, release: &Release) -> Option<Package> {
    if stanza.name.is_empty() || stanza.version.is_empty() {
        return None;
    }
    let distribution = release.distribution();
    let namespace = release.id.as_deref().unwrap_or("alpine");
    let qualifiers = [("arch", Some(stanza.arch)), ("distro", distribution.as_deref())];
    Some(Package {
        purl: purl::write("apk", Some(namespace), &stanza.name.to_ascii_lowercase(), stanza.version, &qualifiers),
        found_in: file.clone(),
        name: stanza.name.to_owned(),
        version: stanza.version.to_owned(),
        arch: Some(stanza.arch.to_owned()).filter(|arch| !arch.is_empty()),
        licence: Some(stanza.licence.to_owned()).filter(|licence| !licence.is_empty()),
    })
}
