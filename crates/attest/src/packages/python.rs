//! Python distributions: `*.dist-info/METADATA` in the directories that interpreters of distributions and of `/usr/local` look in.

use ctr_tree::{Tree, TreePath};

use crate::inventory::{AttestError, Package, add};
use crate::{purl, read};

/// Python distributions that are installed for all users.
pub fn read(tree: &dyn Tree, packages: &mut Vec<Package>) -> Result<(), AttestError> {
    for lib in ["/usr/lib", "/usr/local/lib"].map(TreePath::new) {
        for python in read::names(tree, &lib)?.iter().filter(|name| name.starts_with(b"python")) {
            for site in ["site-packages", "dist-packages"] {
                let site = lib.join(python).join(site);
                for info in read::names(tree, &site)?.iter().filter(|name| name.ends_with(b".dist-info")) {
                    let file = site.join(info).join("METADATA");
                    let Some(text) = read::text(tree, &file)? else { continue };
                    add(packages, package(&text, file))?;
                }
            }
        }
    }
    Ok(())
}

/// Of the headers of the file, which end with the first empty line.
fn package(text: &str, found_in: TreePath) -> Option<Package> {
    let header = |wanted: &str| {
        text.lines().take_while(|line| !line.trim().is_empty()).find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let value = value.trim();
            (name.eq_ignore_ascii_case(wanted) && !value.is_empty()).then(|| value.to_owned())
        })
    };
    let (name, version) = (header("Name")?, header("Version")?);
    Some(Package {
        purl: purl::write("pypi", None, &purl::pypi_name(&name), &version, &[]),
        found_in,
        licence: header("License-Expression").or_else(|| header("License")),
        name,
        version,
        arch: None,
    })
}
