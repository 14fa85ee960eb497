//! Files that appear in whole or not at all: written without a name, synced, named, renamed to their place.
//!
//! Where the filesystem has no files without a name they are written under another one beside their place.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ctr_cli::{Context as _, Failure};

/// A file that is being written. Dropped without [`NewFile::publish`], it leaves nothing.
pub struct NewFile {
    file: File,
    staged: PathBuf,
    target: PathBuf,
    unnamed: bool,
}

impl NewFile {
    /// Will be `target`, which may be there already.
    pub fn create(target: &Path) -> Result<Self, Failure> {
        let failed = || format!("cannot create {}", target.display());
        let name = target.file_name().ok_or_else(|| Failure::new(failed()).because("it names no file"))?;
        if target.is_dir() {
            return Err(Failure::new(failed()).because("it is a directory"));
        }
        let random = ctr_sys::random::bytes::<8>().context(failed)?;
        let mut staged = std::ffi::OsString::from(".");
        staged.push(name);
        staged.push(format!(".{:016x}", u64::from_le_bytes(random)));
        let staged = target.with_file_name(staged);
        let unnamed = ctr_sys::unnamed::create(parent(target)).context(failed)?;
        let (file, unnamed) = match unnamed {
            Some(file) => (file, true),
            None => (create_new(&staged).context(failed)?, false),
        };
        Ok(Self { file, staged, target: target.to_owned(), unnamed })
    }

    /// A file without a name on the same filesystem, for what is needed on the way.
    pub fn scratch(&self) -> Result<File, Failure> {
        let failed = || format!("cannot write beside {}", self.target.display());
        if let Some(file) = ctr_sys::unnamed::create(parent(&self.target)).context(failed)? {
            return Ok(file);
        }
        let path = self.staged.with_extension("scratch");
        let file = create_new(&path).context(failed)?;
        std::fs::remove_file(&path).context(failed)?;
        Ok(file)
    }

    /// Gives the file its name; it is on the disk then.
    pub fn publish(self) -> Result<(), Failure> {
        let failed = || format!("cannot write {}", self.target.display());
        ctr_sys::durable::fsync(&self.file).context(failed)?;
        if self.unnamed {
            ctr_sys::unnamed::name(&self.file, &self.staged).context(failed)?;
        }
        std::fs::rename(&self.staged, &self.target).context(failed)?;
        ctr_sys::durable::fsync_dir(parent(&self.target)).context(failed)
    }
}

/// The directory that a file lies in.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn create_new(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).create_new(true).open(path)
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // After a rename there is nothing of this name.
        let _ = std::fs::remove_file(&self.staged);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_or_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let mut file = NewFile::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);

        let mut file = NewFile::create(&path).unwrap();
        file.write_all(b"whole").unwrap();
        file.publish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(NewFile::create(dir.path()).is_err(), "a directory is not replaced");
    }
}
