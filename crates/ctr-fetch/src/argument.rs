//! What a SOURCE on the command line names.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use ctr_cli::Failure;
use ctr_core::reference::Reference;
use ctr_registry::RegistryError;
use ctr_registry::appc::AciName;
use ctr_registry::layout::LayoutAddress;

/// A source as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Argument {
    /// A file or directory.
    Local(Local),
    /// An image name, for registries; normalized later.
    Name(String),
    /// `oci+https://HOST/PATH`: an image layout on a web server, and the name of its image if another one was asked for.
    Layout(LayoutAddress, Option<Reference>),
    /// `discover:NAME`: the domain of the name says where the image is.
    Discover(Reference),
    /// The image of the first name, which is called by the second one.
    Elsewhere(Reference, Reference),
    /// `aci://NAME`: an appc image.
    Aci(AciName),
}

/// A file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Local {
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
    /// Without a scheme it is a path if something lies there, or if it begins like one; else it is a name. A tag begins at the first `:` behind the scheme, as skopeo(1) has it: a file name with a colon is given as a
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
            let path = PathBuf::from(OsString::from_vec(path.to_vec()));
            return Ok(Self::Local(Local { kind, path, tag }));
        }
        if let Some(name) = bytes.strip_prefix(b"docker://") {
            return match std::str::from_utf8(name) {
                Ok(name) if !name.is_empty() => Ok(Self::Name(name.to_owned())),
                _ => Err(Failure::usage(format!("\"{}\" names no image", text.display()))),
            };
        }
        if let Some(argument) = Self::of_web(text)? {
            return Ok(argument);
        }
        let known = |scheme: &&str| bytes.starts_with(scheme.as_bytes());
        if let Some(scheme) = ["http://", "https://", "dir:", "docker-daemon:"].iter().find(|s| known(s)) {
            return Err(Failure::usage(format!("sources of the kind {scheme} are not supported"))
                .hint("sources are an image name, a path, oci:DIR, oci-archive:FILE, docker-archive:FILE or oci+https://HOST/PATH"));
        }
        if bytes.is_empty() {
            return Err(Failure::usage("an empty source"));
        }
        let path = PathBuf::from(text);
        match text.to_str().filter(|text| is_name(text, &path)) {
            Some(name) => Ok(Self::Name(name.to_owned())),
            None => Ok(Self::Local(Local { kind: Kind::Path, path, tag: None })),
        }
    }
}

impl Argument {
    /// Sources with a scheme of the web.
    fn of_web(text: &OsStr) -> Result<Option<Self>, Failure> {
        let Some(text) = text.to_str() else { return Ok(None) };
        let wrong = |error: RegistryError| Failure::usage(error.to_string());
        if text.starts_with("oci+") {
            return text.parse().map(|address| Some(Self::Layout(address, None))).map_err(wrong);
        }
        if let Some(name) = text.strip_prefix("discover:") {
            return Ok(Some(Self::Discover(
                name.parse().map_err(|error: ctr_core::reference::ReferenceError| Failure::usage(error.to_string()))?,
            )));
        }
        if text.starts_with("aci://") {
            return text.parse().map(|name| Some(Self::Aci(name))).map_err(wrong);
        }
        Ok(None)
    }
}

/// Whether a text without a scheme means an image: nothing of that name lies here that is one.
fn is_name(text: &str, path: &Path) -> bool {
    if text.starts_with(['/', '.']) || text.parse::<Reference>().is_err() {
        return false;
    }
    match std::fs::metadata(path) {
        Ok(found) => found.is_dir() && !path.join("oci-layout").exists(),
        // A misspelt file is not asked for in a registry.
        Err(_) => !path.extension().is_some_and(|end| end == "aci" || end == "tar"),
    }
}

impl Local {
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
            let local = Local { kind, path: path.into(), tag: tag.map(str::to_owned) };
            assert_eq!(parsed, Argument::Local(local), "{text}");
        }
        for (text, name) in [
            ("debian", "debian"),
            ("docker://debian:12", "debian:12"),
            ("localhost:5000/a@sha256:x", ""),
            ("example.com/app:1", "example.com/app:1"),
            // A directory of this name lies here, but no image.
            ("src", "src"),
        ] {
            let parsed = Argument::parse(OsStr::new(text)).unwrap();
            assert_eq!(parsed == Argument::Name(name.to_owned()), !name.is_empty(), "{text}: {parsed:?}");
        }
        for bad in ["", "oci:", "oci:dir:", "docker://", "oci-archive::x", "https://example.com"] {
            assert!(Argument::parse(OsStr::new(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn stems_leave_the_format_out() {
        for (path, stem) in
            [("/x/App.aci", "app"), ("a.tar.gz", "a"), ("b.oci.tar.zst", "b"), (".aci", ".aci"), ("d", "d")]
        {
            let local = Local { kind: Kind::Path, path: path.into(), tag: None };
            assert_eq!(local.stem(), stem);
        }
    }
}
