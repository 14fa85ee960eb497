//! `cargo xtask test`: builds the binaries, brings what the tests compare with, runs everything.
//!
//! Words after the task go to the runner: `cargo xtask test -p ctr-core digest`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::arguments::Arguments;
use crate::binaries::{self, Profile};
use crate::{prerequisites, shell, tree};

/// The ordinary user whom the rootless tests run as when the suite runs as root.
const USER: &str = "ctr-test";
/// The subordinate id range of that user.
const SUBIDS: &str = "ctr-test:2000000:65536\n";

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    prerequisites::report(&prerequisites::ensure(prerequisites::FOR_TESTS));
    let built = binaries::build(tree::BINARIES, Profile::Demo)?;
    let hello = binaries::build(&["hello"], Profile::Demo)?;
    let binaries = reachable(&built.directory)?;
    let mut runner = runner();
    runner.args(["--workspace", "--locked"]).args(arguments.rest());
    // In CI a test that does not run is a failure, unless tests/allowed-skips.txt lists its reason.
    if std::env::var_os("CI").is_some() && shell::is_root() {
        runner.env("CTR_NO_SKIP", "1");
    }
    runner.env("CTR_BIN_DIR", &binaries).env("CTR_HELLO", hello.directory.join("hello"));
    match ordinary_user() {
        Ok(Some(user)) => {
            runner.env("CTR_TEST_USER", user);
        }
        Ok(None) => eprintln!("note: not root, so tests that need root say that they are skipped"),
        Err(error) => eprintln!("note: no ordinary user for the rootless tests: {error:#}"),
    }
    shell::run(&mut runner)
}

/// cargo-nextest where it is installed, else cargo's own runner.
fn runner() -> Command {
    let mut cargo = shell::cargo();
    if shell::which("cargo-nextest").is_some() {
        cargo.args(["nextest", "run", "--no-fail-fast"]);
    } else {
        cargo.args(["test", "--no-fail-fast"]);
    }
    cargo
}

/// A directory of the binaries that every user can reach: a clone may lie under a home directory that is closed to others.
fn reachable(directory: &Path) -> Result<PathBuf> {
    if !shell::is_root() || directory.ancestors().all(|ancestor| mode(ancestor) & 0o001 != 0) {
        return Ok(directory.to_owned());
    }
    let copy = PathBuf::from("/var/tmp").join(format!("ctr-test-bin-{}", std::process::id()));
    fs::create_dir_all(&copy).with_context(|| format!("create {}", copy.display()))?;
    for name in tree::BINARIES.iter().chain(&["hello"]) {
        let from = directory.join(name);
        fs::copy(&from, copy.join(name)).with_context(|| format!("copy {}", from.display()))?;
    }
    Ok(copy)
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().map_or(0, |meta| meta.permissions().mode())
}

/// Makes sure that the ordinary user and the subordinate ids exist. `None` where we are an ordinary user ourselves.
fn ordinary_user() -> Result<Option<&'static str>> {
    if !shell::is_root() {
        return Ok(None);
    }
    if !shell::succeeds(Command::new("id").arg(USER)) {
        shell::run(Command::new("useradd").args(["--create-home", "--shell", "/bin/sh", USER]))?;
    }
    for file in ["/etc/subuid", "/etc/subgid"] {
        let text = fs::read_to_string(file).unwrap_or_default();
        if !text.lines().any(|line| line.starts_with("ctr-test:")) {
            let text = if text.is_empty() || text.ends_with('\n') { text } else { text + "\n" };
            fs::write(file, text + SUBIDS).with_context(|| format!("write {file}"))?;
        }
    }
    Ok(Some(USER))
}
