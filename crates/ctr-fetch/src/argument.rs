//! What a SOURCE on the command line names.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use ctr_cli::Failure;

/// A source as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Argument {
    /// What kind of thing lies at the path.
    pub(crate) kind: Kind,
    /// Directory or file.
    pub(crate) path: PathBuf,
    /// Which image of several.
    pub(crate) tag: Option<String>,
}

/// The kinds of source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `PATH`: found by content.
    Path,
    /// `oci:DIR[:TAG]`.
    OciDirectory,
    /// `oci-archive:FILE[:TAG]`.
    OciArchive,
    /// `docker-archive:FILE[:TAG]`.
    DockerArchive,
}

impl Argument {
    /// Parses one SOURCE argument.
    ///
    /// A tag begins at the first `:` behind the scheme, as skopeo(1) has it: a file name with a colon is given as a
    /// bare path.
    pub(crate) fn parse(text: &OsStr) -> Result<Self, Failure> {
        let bytes = text.as_bytes();
        for (scheme, kind) in [
            (&b"oci:"[..], Kind::OciDirectory),
            (b"oci-archive:", Kind::OciArchive),
            (b"docker-archive:", Kind::DockerArchive),
        ] {
            let Some(rest) = bytes.strip_prefix(scheme) else { continue };
            let (path, tag) = match rest.iter().position(|b| *b == b':') {
                Some(colon) => rest.split_at(colon),
                None => (rest, &[][..]),
            };
            let shown = text.display();
            if path.is_empty() {
                return Err(Failure::usage(format!("\"{shown}\" names no path")));
            }
            let tag = match tag.split_first() {
                None => None,
                Some((_, [])) => return Err(Failure::usage(format!("\"{shown}\" has an empty tag"))),
                Some((_, tag)) => match std::str::from_utf8(tag) {
                    Ok(tag) => Some(tag.to_owned()),
                    Err(_) => return Err(Failure::usage(format!("the tag of \"{shown}\" is not UTF-8"))),
                },
            };
            return Ok(Self { kind, path: PathBuf::from(OsString::from_vec(path.to_vec())), tag });
        }
        let known = |scheme: &&str| bytes.starts_with(scheme.as_bytes());
        if let Some(scheme) = ["docker://", "http://", "https://", "dir:", "docker-daemon:"].iter().find(|s| known(s)) {
            return Err(Failure::usage(format!("sources of the kind {scheme} are not supported yet"))
                .hint("sources are a path, oci:DIR, oci-archive:FILE or docker-archive:FILE"));
        }
        if bytes.is_empty() {
            return Err(Failure::usage("an empty source"));
        }
        Ok(Self { kind: Kind::Path, path: PathBuf::from(text), tag: None })
    }

    /// The last part of the path without what only tells the format: `app` of `/x/App.tar.gz`.
    pub(crate) fn stem(&self) -> String {
        let canonical = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let name = canonical.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let mut stem = name.as_str();
        loop {
            let cut = [".aci", ".tar", ".tgz", ".gz", ".zst", ".bz2", ".xz", ".oci"].iter();
            match cut.filter_map(|end| stem.strip_suffix(end)).find(|rest| !rest.is_empty()) {
                Some(rest) => stem = rest,
                None => return stem.to_owned(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_apart() {
        for (text, kind, path, tag) in [
            ("app.aci", Kind::Path, "app.aci", None),
            ("./a:b", Kind::Path, "./a:b", None),
            ("oci:dir", Kind::OciDirectory, "dir", None),
            ("oci:/a/b:1.0", Kind::OciDirectory, "/a/b", Some("1.0")),
            ("oci-archive:f.tar:x/y:1", Kind::OciArchive, "f.tar", Some("x/y:1")),
            ("docker-archive:f.tar", Kind::DockerArchive, "f.tar", None),
        ] {
            let parsed = Argument::parse(OsStr::new(text)).unwrap();
            assert_eq!(parsed, Argument { kind, path: path.into(), tag: tag.map(str::to_owned) }, "{text}");
        }
        for bad in ["", "oci:", "oci:dir:", "docker://debian", "oci-archive::x"] {
            assert!(Argument::parse(OsStr::new(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn stems_leave_the_format_out() {
        for (path, stem) in
            [("/x/App.aci", "app"), ("a.tar.gz", "a"), ("b.oci.tar.zst", "b"), (".aci", ".aci"), ("d", "d")]
        {
            assert_eq!(Argument::parse(OsStr::new(path)).unwrap().stem(), stem);
        }
    }
}
