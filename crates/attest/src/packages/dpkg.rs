//! The status file of dpkg, and the one file for each package that distroless images have.

use ctr_tree::{Tree, TreePath};

use super::os_release::Release;
use crate::inventory::{AttestError, Package, add};
use crate::{purl, read};

/// Packages that dpkg knows as unpacked or installed.
pub fn read(tree: &dyn Tree, release: &Release, packages: &mut Vec<Package>) -> Result<(), AttestError> {
    let mut files = vec![TreePath::new("/var/lib/dpkg/status")];
    let parts = TreePath::new("/var/lib/dpkg/status.d");
    // Beside each package lie the digests of its files.
    files.extend(
        read::names(tree, &parts)?.iter().filter(|name| !name.ends_with(b".md5sums")).map(|name| parts.join(name)),
    );
    for file in files {
        let Some(text) = read::text(tree, &file)? else { continue };
        parse(&text, &file, release, packages)?;
    }
    Ok(())
}

#[derive(Default)]
struct Stanza<'a> {
    name: &'a str,
    version: &'a str,
    arch: &'a str,
    status: &'a str,
}

fn parse(text: &str, file: &TreePath, release: &Release, packages: &mut Vec<Package>) -> Result<(), AttestError> {
    let mut stanza = Stanza::default();
    for line in text.lines().chain([""]) {
        if line.trim().is_empty() {
            add(packages, package(&std::mem::take(&mut stanza), file, release))?;
            continue;
        }
        // A line that begins with a blank continues the field above, and none of ours has such lines.
        if line.starts_with([' ', '\t']) {
            continue;
        }
        let Some((field, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match field.to_ascii_lowercase().as_str() {
            "package" => stanza.name = value,
            "version" => stanza.version = value,
            "architecture" => stanza.arch = value,
            "status" => stanza.status = value,
            _ => {}
        }
    }
    Ok(())
}

fn package(stanza: &Stanza<'_>, file: &TreePath, release: &Release) -> Option<Package> {
    // Of a package that was removed dpkg keeps the stanza, for its configuration files. Distroless stanzas have no status.
    let removed = matches!(stanza.status.split_whitespace().nth(2), Some("config-files" | "not-installed"));
    if removed || stanza.name.is_empty() || stanza.version.is_empty() {
        return None;
    }
    let distribution = release.distribution();
    let namespace = release.id.as_deref().unwrap_or("debian");
    let qualifiers = [("arch", Some(stanza.arch)), ("distro", distribution.as_deref())];
    Some(Package {
        purl: purl::write("deb", Some(namespace), &stanza.name.to_ascii_lowercase(), stanza.version, &qualifiers),
        found_in: file.clone(),
        name: stanza.name.to_owned(),
        version: stanza.version.to_owned(),
        arch: Some(stanza.arch.to_owned()).filter(|arch| !arch.is_empty()),
        licence: None,
    })
}
