//! `cargo xtask docs`: docs/cli (kept in git), man pages and completions (in target/docs).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::arguments::Arguments;
use crate::{shell, tree};

/// Where man pages and completions go.
pub(crate) fn generated() -> PathBuf {
    tree::target().join("docs")
}

pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let check = arguments.flag("--check");
    arguments.finish()?;
    if check { check_fresh() } else { generate(&tree::top().join("docs/cli")) }
}

/// Writes everything, the Markdown pages to `markdown`.
pub(crate) fn generate(markdown: &Path) -> Result<()> {
    let mut cargo = shell::cargo();
    cargo.args(["run", "--quiet", "--locked", "--package", "xtask-docs", "--"]);
    shell::run(cargo.arg(markdown).arg(generated().join("man")).arg(generated().join("completions")))
}

/// Fails when docs/cli is not what the binaries say.
pub(crate) fn check_fresh() -> Result<()> {
    let fresh = generated().join("cli");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).with_context(|| format!("remove {}", fresh.display()))?;
    }
    generate(&fresh)?;
    let (kept, fresh) = (pages(&tree::top().join("docs/cli"))?, pages(&fresh)?);
    let names: Vec<&String> =
        kept.keys().chain(fresh.keys()).filter(|name| kept.get(*name) != fresh.get(*name)).collect();
    if let Some(name) = names.first() {
        bail!("docs/cli/{name} is not what the binary's command line says; run: cargo xtask docs");
    }
    Ok(())
}

fn pages(directory: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut pages = BTreeMap::new();
    for entry in fs::read_dir(directory).with_context(|| format!("read {}", directory.display()))? {
        let entry = entry?;
        let bytes = fs::read(entry.path()).with_context(|| format!("read {}", entry.path().display()))?;
        pages.insert(entry.file_name().to_string_lossy().into_owned(), bytes);
    }
    Ok(pages)
}
