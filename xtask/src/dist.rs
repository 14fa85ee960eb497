//! `cargo xtask dist`: what is shipped, in target/dist.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::arguments::Arguments;
use crate::binaries::{self, Profile};
use crate::{docs, tree};

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    arguments.finish()?;
    let built = binaries::build(tree::BINARIES, Profile::Release)?;
    docs::generate(&docs::generated().join("cli"))?;
    let dist = tree::target().join("dist");
    if dist.exists() {
        fs::remove_dir_all(&dist).with_context(|| format!("remove {}", dist.display()))?;
    }
    let mut sizes = Vec::new();
    for name in tree::BINARIES {
        let size = copy(&built.directory.join(name), &dist.join("bin").join(name))?;
        sizes.push((*name, size));
    }
    copy_all(&docs::generated().join("man"), &dist.join("share/man/man1"))?;
    copy_all(&docs::generated().join("completions"), &dist.join("share/completions"))?;
    for name in ["LICENSE", "README.md", "CHANGELOG.md"] {
        copy(&tree::top().join(name), &dist.join(name))?;
    }
    println!("{} ({})", dist.display(), if built.is_static { "static" } else { "glibc" });
    for (name, size) in sizes {
        println!("{:>8} KiB  {name}", size / 1024);
    }
    Ok(())
}

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Copies a file, with its mode; returns its size in bytes.
fn copy(from: &Path, to: &Path) -> Result<u64> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
    }
    fs::copy(from, to).with_context(|| format!("copy {} to {}", from.display(), to.display()))
}
