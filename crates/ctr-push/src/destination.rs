//! Where an image goes, as it was written.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use ctr_cli::Failure;
use ctr_core::reference::Reference;
use ctr_export::{Destination as Files, Type};

/// Stands where references have a registry, for names that have none.
const STATIC_HOST: &str = "static.invalid";

/// A destination.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// A registry: `[docker://]NAME[:TAG]`.
    Registry(Reference),
    /// `oci:`, `oci-archive:`, `docker-archive:`, `FILE.aci`.
    Files(Files),
    /// `static:DIR[:NAME[:TAG]]`: a directory that a web server hands out as a registry.
    Static(PathBuf, Option<Reference>),
}

impl Destination {
    pub(crate) fn parse(text: &OsStr) -> Result<Self, Failure> {
        let Some(utf8) = text.to_str() else { return Files::parse(text, None).map(Self::Files) };
        if let Some(name) = utf8.strip_prefix("docker://") {
            return registry(name);
        }
        if let Some(rest) = utf8.strip_prefix("static:") {
            return static_tree(rest);
        }
        let is_file = ["oci:", "oci-archive:", "docker-archive:"].iter().any(|prefix| utf8.starts_with(prefix));
        if is_file {
            return Files::parse(text, None).map(Self::Files);
        }
        // What can only be a path is one; names have neither of these.
        let extension = Path::new(utf8).extension();
        if extension.is_some_and(|extension| extension == "aci") || utf8.starts_with(['/', '.']) {
            return Files::parse(text, Some(Type::Aci)).map(Self::Files);
        }
        registry(utf8)
    }
}

/// A name there has no registry before it: the directory is one.
fn static_tree(text: &str) -> Result<Destination, Failure> {
    let (dir, name) = text.split_once(':').map_or((text, None), |(dir, name)| (dir, Some(name)));
    if dir.is_empty() {
        return Err(Failure::usage("static: needs a directory behind it"));
    }
    let name = name.map(|name| format!("{STATIC_HOST}/{name}").parse::<Reference>());
    let name = name.transpose().map_err(|error| Failure::usage(error.to_string()))?;
    Ok(Destination::Static(PathBuf::from(dir), name))
}

fn registry(name: &str) -> Result<Destination, Failure> {
    let reference: Reference = name.parse().map_err(|error: ctr_core::reference::ReferenceError| {
        Failure::usage(error.to_string())
            .hint("a destination is a name in a registry, oci:DIR, oci-archive:FILE, docker-archive:FILE, FILE.aci or static:DIR")
    })?;
    Ok(Destination::Registry(reference))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_told_apart() {
        let files = |kind, path: &str, tag: Option<&str>| {
            Destination::Files(Files { kind, path: path.into(), tag: tag.map(str::to_owned) })
        };
        let registry = |name: &str| Destination::Registry(name.parse().unwrap());
        let tree = |name: &str| Destination::Static("/srv".into(), Some(name.parse().unwrap()));
        for (text, expected) in [
            ("docker://localhost:5000/a:1", registry("localhost:5000/a:1")),
            ("registry.example.com/a", registry("registry.example.com/a:latest")),
            ("static:/srv:a/b:1", tree("static.invalid/a/b:1")),
            ("static:/srv", Destination::Static("/srv".into(), None)),
            ("oci:d:1", files(Type::Oci, "d", Some("1"))),
            ("oci-archive:f.tar", files(Type::OciArchive, "f.tar", None)),
            ("docker-archive:f:a:1", files(Type::DockerArchive, "f", Some("a:1"))),
            ("x/y.aci", files(Type::Aci, "x/y.aci", None)),
            ("./y", files(Type::Aci, "./y", None)),
        ] {
            assert_eq!(Destination::parse(OsStr::new(text)).unwrap(), expected, "{text}");
        }
        for bad in ["docker://", "A b", "oci:", "static:", "static:/x:A", "https://x/y"] {
            assert!(Destination::parse(OsStr::new(bad)).is_err(), "{bad}");
        }
    }
}
