//! Where an export goes.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use ctr_cli::Failure;
use serde::Serialize;

/// The forms of an exported image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Type {
    /// One file of ours, which other tools read as an OCI archive
    Aci,
    /// The same under its other name
    OciArchive,
    /// What docker load reads
    DockerArchive,
    /// An OCI image layout in a directory
    Oci,
}

/// A destination as it was written.
#[derive(Debug, PartialEq, Eq)]
pub struct Destination {
    /// The form.
    pub kind: Type,
    /// File or directory.
    pub path: PathBuf,
    /// Tag or name behind the path.
    pub tag: Option<String>,
}

impl Destination {
    /// Reads `oci:DIR[:TAG]` and the like; `kind` is what a path without a prefix becomes.
    pub fn parse(text: &OsStr, kind: Option<Type>) -> Result<Self, Failure> {
        let bytes = text.as_bytes();
        for (scheme, named) in
            [(&b"oci:"[..], Type::Oci), (b"oci-archive:", Type::OciArchive), (b"docker-archive:", Type::DockerArchive)]
        {
            let Some(rest) = bytes.strip_prefix(scheme) else { continue };
            if kind.is_some_and(|kind| kind != named) {
                return Err(Failure::usage(format!("\"{}\" says another type than --type", text.display())));
            }
            let (path, tag) = match rest.iter().position(|b| *b == b':') {
                Some(colon) => (rest.get(..colon), rest.get(colon + 1..)),
                None => (Some(rest), None),
            };
            let path = path.filter(|path| !path.is_empty());
            let path = path.ok_or_else(|| Failure::usage(format!("\"{}\" names no path", text.display())))?;
            let tag = tag.map(|tag| std::str::from_utf8(tag).map(str::to_owned)).transpose();
            let tag = tag.map_err(|_| Failure::usage(format!("the tag of \"{}\" is not UTF-8", text.display())))?;
            if tag.as_ref().is_some_and(String::is_empty) {
                return Err(Failure::usage(format!("\"{}\" has an empty tag", text.display())));
            }
            return Ok(Self { kind: named, path: PathBuf::from(OsString::from_vec(path.to_vec())), tag });
        }
        let path = PathBuf::from(text);
        // A .tar could be one of two things, and the reader of the other one would fail on it later.
        let ambiguous = path.extension().is_some_and(|extension| extension == "tar");
        let kind = kind.or((!ambiguous).then_some(Type::Aci)).ok_or_else(|| {
            Failure::usage(format!("what shall \"{}\" become?", text.display()))
                .hint("write oci-archive: or docker-archive: before it, or give --type")
        })?;
        Ok(Self { kind, path, tag: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_told_apart() {
        for (text, kind, expected) in [
            ("a.aci", None, (Type::Aci, "a.aci", None)),
            ("oci:d", None, (Type::Oci, "d", None)),
            ("oci:d:1", Some(Type::Oci), (Type::Oci, "d", Some("1"))),
            ("docker-archive:/f.tar:a/b:1", None, (Type::DockerArchive, "/f.tar", Some("a/b:1"))),
            ("x", None, (Type::Aci, "x", None)),
            ("x", Some(Type::OciArchive), (Type::OciArchive, "x", None)),
        ] {
            let found = Destination::parse(OsStr::new(text), kind).unwrap();
            let (kind, path, tag) = expected;
            assert_eq!(found, Destination { kind, path: path.into(), tag: tag.map(str::to_owned) }, "{text}");
        }
        for (bad, kind) in [("x.tar", None), ("oci:", None), ("oci:d:", None), ("oci:d", Some(Type::Aci))] {
            assert!(Destination::parse(OsStr::new(bad), kind).is_err(), "{bad}");
        }
    }
}
