//! Device nodes of the host, looked at for `--device`.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use ctr_sys::dirfd;

use crate::options::DeviceKind;
use crate::plan::HostDevice;

/// Device nodes that one directory may hold, with those below it (spec/limits.md).
const DEVICES_MAX: usize = 256;
/// Directories below each other that are looked into.
const DEPTH_MAX: usize = 8;

/// The device at `source`, or those in the directory `source` and below. Links are followed for `source` itself only.
pub(crate) fn find(source: &Path) -> Result<Vec<HostDevice>, String> {
    let Some(path) = source.to_str() else { return Err("the path is not UTF-8".to_owned()) };
    let facts = fs::metadata(source).map_err(|error| in_words(&error))?;
    if let Some(device) = device(path, "", &facts) {
        return Ok(vec![device]);
    }
    if !facts.is_dir() {
        return Err("this is not a device".to_owned());
    }
    let mut found = Vec::new();
    collect(source, "", 0, &mut found)?;
    if source == Path::new("/dev") {
        // What every container has of its own is not meant.
        found.retain(|device| !crate::plan::is_own_device(&device.below));
    }
    if found.is_empty() {
        return Err("there is no device in this directory".to_owned());
    }
    // Directories have no order of their own, and a plan is the same each time.
    found.sort_by(|one, other| one.below.cmp(&other.below));
    Ok(found)
}

fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file on this host".to_owned(),
        _ => error.to_string(),
    }
}

fn device(path: &str, below: &str, facts: &Metadata) -> Option<HostDevice> {
    let kind = match facts.file_type() {
        kind if kind.is_char_device() => DeviceKind::Char,
        kind if kind.is_block_device() => DeviceKind::Block,
        _ => return None,
    };
    Some(HostDevice {
        path: path.to_owned(),
        below: below.to_owned(),
        kind,
        major: dirfd::major(facts.rdev()),
        minor: dirfd::minor(facts.rdev()),
        mode: facts.mode() & 0o777,
        uid: facts.uid(),
        gid: facts.gid(),
    })
}

fn collect(dir: &Path, below: &str, depth: usize, found: &mut Vec<HostDevice>) -> Result<(), String> {
    let unreadable = |error: io::Error| format!("{}: {error}", dir.display());
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let (path, name) = (entry.path(), entry.file_name());
        let (Some(shown), Some(name)) = (path.to_str(), name.to_str()) else { continue };
        let below = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
        // Not followed: a directory of devices is what lies in it, /dev/disk/by-id and the like are names for others.
        let facts = entry.metadata().map_err(unreadable)?;
        if let Some(device) = device(shown, &below, &facts) {
            found.push(device);
        } else if facts.is_dir() && depth < DEPTH_MAX {
            collect(&path, &below, depth + 1, found)?;
        }
        if found.len() > DEVICES_MAX {
            return Err(format!("there are more than {DEVICES_MAX} devices in this directory"));
        }
    }
    Ok(())
}
