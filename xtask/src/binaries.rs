//! Building the binaries: static against musl where the machine can, against glibc otherwise.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::prerequisites::{self, MUSL_GCC};
use crate::{shell, tree};

/// A cargo profile of the workspace.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Quick to build and near release speed.
    Demo,
    /// What is shipped.
    Release,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Profile::Demo => "demo",
            Profile::Release => "release",
        }
    }
}

/// Built binaries.
pub(crate) struct Built {
    /// The directory that holds them.
    pub(crate) directory: PathBuf,
    /// Linked against musl, static-pie.
    pub(crate) is_static: bool,
}

/// Builds `packages` and returns where they are.
///
/// One cargo call per package: features that one binary asks of a shared crate must not leak into another (the launcher links
/// ctr-core without OCI parsing), and cargo unifies features within a call.
pub(crate) fn build(packages: &[&str], profile: Profile) -> Result<Built> {
    let target = musl_target();
    let mut directory = tree::target();
    if let Some(triple) = &target {
        directory.push(triple);
    }
    directory.push(profile.name());
    for package in packages {
        let mut cargo = shell::cargo();
        cargo.args(["build", "--quiet", "--locked", "--package", package, "--profile", profile.name()]);
        if let Some(triple) = &target {
            cargo.args(["--target", triple]).env(format!("CC_{}", triple.replace('-', "_")), MUSL_GCC.program);
        }
        shell::run(&mut cargo)?;
    }
    Ok(Built { directory, is_static: target.is_some() })
}

/// The musl target of this machine, if it can be used; says why when it cannot.
fn musl_target() -> Option<String> {
    match find_musl_target() {
        Ok(target) => Some(target),
        Err(error) => {
            eprintln!("note: building against glibc, not static: {error:#}");
            None
        }
    }
}

fn find_musl_target() -> Result<String> {
    if cfg!(not(target_arch = "x86_64")) && cfg!(not(target_arch = "aarch64")) {
        bail!("no musl build is set up for {}", std::env::consts::ARCH);
    }
    let triple = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    if !prerequisites::ensure(&[MUSL_GCC]).is_empty() {
        bail!("musl-gcc is missing; install: {}", prerequisites::install_line(&[MUSL_GCC]));
    }
    if has_standard_library(&triple)? {
        return Ok(triple);
    }
    if shell::which("rustup").is_some() && shell::run(rustup().args(["target", "add", &triple])).is_ok() {
        return Ok(triple);
    }
    bail!("the Rust target is missing; install: rustup target add {triple}")
}

fn has_standard_library(triple: &str) -> Result<bool> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let printed = shell::output(Command::new(rustc).current_dir(tree::top()).args([
        "--print",
        "target-libdir",
        "--target",
        triple,
    ]))?;
    let directory = PathBuf::from(printed.trim());
    let mut entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).with_context(|| format!("read {}", directory.display())),
    };
    Ok(entries.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))))
}

fn rustup() -> Command {
    let mut command = Command::new("rustup");
    command.current_dir(tree::top());
    command
}
