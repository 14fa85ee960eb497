//! The machine's kernel and disk, made once and kept in `target/vm/KEY`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{shell, tree};

/// How the image is made. Its text is the key of the cache.
const RECIPE: &str = include_str!("image.sh");

/// A bootable image.
pub(crate) struct Image {
    pub(crate) directory: PathBuf,
}

impl Image {
    pub(crate) fn kernel(&self) -> PathBuf {
        self.directory.join("vmlinuz")
    }

    pub(crate) fn initrd(&self) -> PathBuf {
        self.directory.join("initrd.gz")
    }

    pub(crate) fn disk(&self) -> PathBuf {
        self.directory.join("root.ext4")
    }
}

/// The image of the recipe, made if it is not there (some minutes, and Debian's archive).
pub(crate) fn cached() -> Result<Image> {
    let mut hasher = DefaultHasher::new();
    RECIPE.hash(&mut hasher);
    let cache = std::env::var_os("CTR_VM_CACHE").map_or_else(|| tree::target().join("vm"), PathBuf::from);
    let directory = cache.join(format!("{:016x}", hasher.finish()));
    if directory.join("root.ext4").exists() {
        return Ok(Image { directory });
    }
    if !shell::is_root() {
        bail!("making the machine's image needs root (later runs do not)");
    }
    // Made beside its place and renamed: an image that was interrupted is never taken for a whole one.
    let half = directory.with_extension("half");
    if half.exists() {
        std::fs::remove_dir_all(&half).with_context(|| format!("remove {}", half.display()))?;
    }
    std::fs::create_dir_all(&half).with_context(|| format!("create {}", half.display()))?;
    eprintln!("making the machine's image: a few minutes, once");
    shell::run(Command::new("sh").arg(tree::top().join("xtask/src/vm/image.sh")).arg(&half))?;
    std::fs::rename(&half, &directory).with_context(|| format!("rename {}", half.display()))?;
    Ok(Image { directory })
}
