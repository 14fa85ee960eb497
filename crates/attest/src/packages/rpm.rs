//! The database of rpm in `SQLite`, as Fedora has it since 33 and RHEL since 9.

mod header;
mod sqlite;

use std::io::{Read, Seek};

use ctr_tree::{Kind, Tree, TreePath};

use self::header::Header;
use self::sqlite::{Database, Fault, Value, columns};
use super::os_release::Release;
use crate::inventory::{AttestError, Inventory, Package, RPM_DATABASE_MAX, add};
use crate::{purl, read};

/// Where databases are. The first is often a link to the second.
const PLACES: &[&str] = &["/var/lib/rpm", "/usr/lib/sysimage/rpm"];
/// Databases of older formats, and what they are.
const NOT_READ: &[(&str, &str)] = &[("Packages", "in Berkeley DB"), ("Packages.db", "in ndb")];
/// What rpm takes for a package and is the key of those who signed packages.
const KEY: &str = "gpg-pubkey";

/// Packages that rpm has installed, and notes of databases that are not read, or not whole.
pub fn read(tree: &dyn Tree, release: &Release, found: &mut Inventory) -> Result<(), AttestError> {
    let mut seen = Vec::new();
    for place in PLACES {
        let Some((place, meta)) = read::resolve(tree, &TreePath::new(place))? else { continue };
        if meta.kind != Kind::Directory || seen.contains(&place) {
            continue;
        }
        for (name, what) in NOT_READ {
            let file = place.join(name);
            if read::file(tree, &file)?.is_some() {
                found.note(format!("The rpm database {file} ({what}) is not read; its packages are not listed."));
            }
        }
        if let Some((file, meta)) = read::file(tree, &place.join("rpmdb.sqlite"))? {
            database(tree, &file, meta.size, release, found)?;
            for log in ["rpmdb.sqlite-wal", "rpmdb.sqlite-journal"] {
                if let Some((log, meta)) = read::file(tree, &place.join(log))?
                    && meta.size > 0
                {
                    found.note(format!("{log} is not read; the packages are those of the rpm database without it."));
                }
            }
        }
        seen.push(place);
    }
    Ok(())
}

fn database(
    tree: &dyn Tree,
    path: &TreePath,
    size: u64,
    release: &Release,
    found: &mut Inventory,
) -> Result<(), AttestError> {
    if size > RPM_DATABASE_MAX {
        found.note(format!("The rpm database {path} has more than {RPM_DATABASE_MAX} bytes; it is not read."));
        return Ok(());
    }
    let packages = &mut found.packages;
    let done = headers(tree.open(path)?, size, &mut |header| add(packages, package(header, path, release)));
    match done {
        Ok(0) => Ok(()),
        Ok(unread) => {
            found.note(format!("{unread} packages of the rpm database {path} cannot be read; they are not listed."));
            Ok(())
        }
        Err(Fault::Damaged(why)) => {
            found.note(format!("The rpm database {path} is damaged: {why}; packages of it may be missing."));
            Ok(())
        }
        Err(Fault::Io(source)) => Err(AttestError::Read { path: path.clone(), source }),
        Err(Fault::Stop(error)) => Err(error),
    }
}

/// Gives the header of each package, and how many there are that cannot be read.
fn headers<R: Read + Seek>(
    file: R,
    size: u64,
    each: &mut dyn FnMut(&Header) -> Result<(), AttestError>,
) -> Result<u64, Fault> {
    let mut database = Database::open(file, size)?;
    let root = database.table("Packages")?.ok_or(Fault::Damaged("it has no table of packages"))?;
    let mut unread = 0;
    database.rows(root, &mut |row| {
        // hnum, which is the id of the row and NULL here, and the header.
        let header = match columns(row) {
            Some([_, Value::Blob(blob), ..]) => header::parse(blob),
            _ => None,
        };
        if let Some(header) = header {
            return each(&header).map_err(Fault::Stop);
        }
        unread += 1;
        Ok(())
    })?;
    Ok(unread)
}

fn package(header: &Header, file: &TreePath, release: &Release) -> Option<Package> {
    if header.name == KEY {
        return None;
    }
    let version = if header.release.is_empty() {
        header.version.clone()
    } else {
        format!("{}-{}", header.version, header.release)
    };
    let distribution = release.distribution();
    let epoch = header.epoch.map(|epoch| epoch.to_string());
    let qualifiers =
        [("arch", header.arch.as_deref()), ("distro", distribution.as_deref()), ("epoch", epoch.as_deref())];
    Some(Package {
        purl: purl::write("rpm", release.id.as_deref(), &header.name, &version, &qualifiers),
        found_in: file.clone(),
        name: header.name.clone(),
        version: header.epoch.map_or_else(|| version.clone(), |epoch| format!("{epoch}:{version}")),
        arch: header.arch.clone().filter(|arch| !arch.is_empty()),
        licence: header.licence.clone().filter(|licence| !licence.is_empty()),
    })
}

#[cfg(test)]
mod tests;
