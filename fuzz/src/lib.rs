//! Fuzz targets: each takes any bytes, and must neither panic nor break the property that it states.
//!
//! Two drivers run them: `libfuzzer` (coverage-guided) and `mutate` (a plain mutation loop that needs nothing but a stable compiler).
#![forbid(unsafe_code)]

mod seeds;
mod targets;

pub use seeds::seeds;

/// One target.
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it does with an input.
    pub run: fn(&[u8]),
    /// Directories under `spec/vectors` whose files are its first inputs.
    pub vectors: &'static [&'static str],
    /// A directory of the repository, and how the names of those of its files end that are first inputs too.
    pub data: Option<(&'static str, &'static str)>,
    /// First inputs of its own.
    pub seeds: &'static [&'static [u8]],
}

/// Every target.
pub const TARGETS: &[Target] = &[
    targets::REFERENCE,
    targets::MANIFEST_CONFIG,
    targets::APPC_MANIFEST,
    targets::SECCOMP_PROFILE,
    targets::OCI_CONFIG,
    targets::TAR_EXTRACT,
    targets::PASSWD_GROUP,
    targets::WWW_AUTHENTICATE,
    targets::REGISTRIES_CONF,
    targets::DOCKERFILE,
    targets::DOCKERIGNORE,
];

/// The target of that name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
