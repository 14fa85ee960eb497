//! The program and its process.

use ctr_sys::privilege::Resource;

/// What is executed, and as whom.
#[derive(Debug, Clone, Default)]
pub struct ProgramOptions {
    /// Arguments after the image: they replace the image's command.
    pub args: Vec<String>,
    /// Replaces the image's entrypoint; an empty list clears it.
    pub entrypoint: Option<Vec<String>>,
    /// `NAME=value` from files, then from `--env`; later ones win.
    pub env: Vec<String>,
    /// Working directory.
    pub workdir: Option<String>,
    /// `user[:group]`, names or numbers.
    pub user: Option<String>,
    /// Additional groups, names or numbers.
    pub groups: Vec<String>,
    /// Keep the caller's supplementary groups, instead of those.
    pub keep_groups: bool,
    /// File mode creation mask.
    pub umask: Option<u32>,
    /// Resource limits of the program.
    pub ulimits: Vec<Ulimit>,
}

/// A soft and a hard limit; `u64::MAX` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ulimit {
    /// Of what.
    pub resource: Resource,
    /// Soft.
    pub soft: u64,
    /// Hard.
    pub hard: u64,
}
