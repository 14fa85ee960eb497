//! The contexts of a build: each is opened once, for all stages and all platforms.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ctr_cli::Failure;

use crate::context::Context;

/// A directory, and the files that say what is left out of it.
type Place = (PathBuf, Vec<PathBuf>);

/// Contexts by their places.
#[derive(Debug, Default)]
pub(crate) struct Sources(Mutex<BTreeMap<Place, Arc<Context>>>);

impl Sources {
    /// The context in `dir`, opened if it was not.
    pub(crate) fn open(&self, dir: &Path, ignore_files: &[PathBuf], root: &Path) -> Result<Arc<Context>, Failure> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (dir.to_owned(), ignore_files.to_vec());
        if let Some(context) = all.get(&name) {
            return Ok(Arc::clone(context));
        }
        let context = Arc::new(Context::open(dir, ignore_files, root)?);
        all.insert(name, Arc::clone(&context));
        Ok(context)
    }
}
