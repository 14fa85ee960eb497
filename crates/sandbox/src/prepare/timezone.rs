//! The container's `/etc/localtime`: a copy of one of the host's files (tzfile(5)).

use std::os::fd::AsFd;
use std::path::Path;

use ctr_sys::Errno;
use ctr_sys::files::{self, OpenAs};
use ctr_sys::small;

use super::c_string;
use crate::error::SandboxError;
use crate::options::Timezone;

/// The host's time zone database.
const DATABASE: &str = "/usr/share/zoneinfo";
/// The largest file of it that is taken, in bytes; real ones have less than 4 KiB (spec/limits.md).
const ZONE_MAX: usize = 64 << 10;

/// The bytes of the file.
pub(super) fn read(timezone: &Timezone) -> Result<Vec<u8>, SandboxError> {
    let bytes = match timezone {
        Timezone::Local => small::read(Path::new("/etc/localtime"), ZONE_MAX).map_err(|error| {
            let what = format!("cannot take the host's time zone for --tz local: /etc/localtime: {error}");
            SandboxError::request_hint(what, "name one, as in --tz Europe/Berlin, or set it with --env TZ=UTC0")
        })?,
        Timezone::Zone(name) => zone(name)?,
    };
    match bytes {
        Some(bytes) if bytes.starts_with(b"TZif") => Ok(bytes),
        _ => Err(SandboxError::request("--tz: the host's file is not a time zone (tzfile(5))")),
    }
}

/// A link of the database that leads out of it leads nowhere.
fn zone(name: &str) -> Result<Option<Vec<u8>>, SandboxError> {
    let path = c_string(name)?;
    let opened = files::open_directory(&c_string(DATABASE)?)
        .and_then(|database| files::open_in_root(database.as_fd(), &path, OpenAs::Read, 0))
        .and_then(|file| small::read_open(file.as_fd(), ZONE_MAX));
    opened.map_err(|errno| match errno {
        Errno::ENOENT | Errno::ENOTDIR | Errno::EISDIR | Errno::ELOOP => SandboxError::request_hint(
            format!("--tz {name}: there is no such time zone in {DATABASE} of this host"),
            "install the host's tzdata, or let the image's own do: --env TZ=NAME",
        ),
        errno => {
            SandboxError::host(format!("read the time zone {name}"), "openat2", format!("{DATABASE}/{name}"), errno)
        }
    })
}
