//! Files and directories; a file that has not changed since it was imported is not read again.

use std::fs::File;

use ctr_cli::Failure;
use ctr_core::digest::Digest;

use crate::argument::Local;
use crate::fetcher::Fetcher;
use crate::import::{hinted, is_there};
use crate::report::Fetched;
use crate::source;

fn cannot_open(local: &Local, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot open {}", local.path.display())).caused_by(error)
}

impl Fetcher {
    pub(crate) fn local(&self, local: &Local) -> Result<Fetched, Failure> {
        let before = std::fs::metadata(&local.path);
        let before = before.map_err(|error| cannot_open(local, &error))?;
        // Another tag or platform of the same file is another image.
        let simple = before.is_file() && local.tag.is_none() && self.request.platform.is_none();
        if simple && let Some(known) = self.known_file(&before)? {
            return Ok(known);
        }
        let fetched = self.read(local)?;
        if simple && let Ok(file) = File::open(&local.path) {
            // Only a shortcut for the next time.
            if let Err(error) = self.store.remember_file(&before, &file, fetched.digest) {
                ctr_cli::note(format!("the file will be read again next time: {error}"));
            }
        }
        Ok(fetched)
    }

    /// The image that an unchanged file was imported as, if it still is in the store under some name.
    fn known_file(&self, metadata: &std::fs::Metadata) -> Result<Option<Fetched>, Failure> {
        let Some(digest) = self.store.known_file(metadata) else { return Ok(None) };
        let Ok(launch) = self.store.launch_record(&digest) else { return Ok(None) };
        if !is_there(&self.store, &launch) {
            return Ok(None);
        }
        let names = match &self.request.name {
            Some(name) => {
                if self.store.resolve(name).map_err(hinted)? != Some(digest) {
                    self.tell_moved(std::slice::from_ref(name), &digest)?;
                    self.store.tag(name, &digest).map_err(hinted)?;
                }
                vec![name.to_string()]
            }
            None => self.names_of(&digest)?,
        };
        Ok((!names.is_empty()).then(|| Fetched::new(names, &launch, true)))
    }

    fn names_of(&self, digest: &Digest) -> Result<Vec<String>, Failure> {
        let refs = self.store.list_refs().map_err(hinted)?;
        Ok(refs.entries.into_iter().filter(|entry| entry.digest == *digest).map(|entry| entry.name).collect())
    }

    /// All images of a file or directory, each under its own name; one that fails does not keep the others.
    pub(crate) fn each(
        &self,
        local: &Local,
        take: &mut dyn FnMut(Result<Fetched, Failure>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        // What the source unpacks for itself lies in this one.
        let scratch = self.store.begin().map_err(hinted)?;
        std::fs::metadata(&local.path).map_err(|error| cannot_open(local, &error))?;
        let mut source = source::open(local, scratch.dir())?;
        let shown = local.path.display().to_string();
        let mut wanted = self.wanted(None, local.stem());
        let entries = source.entries(&wanted.platform)?;
        if entries.is_empty() {
            return take(Err(Failure::new(format!("{shown} holds no image"))));
        }
        for entry in entries {
            wanted.entry = Some(entry);
            let txn = self.store.begin().map_err(hinted)?;
            take(self.bring(&txn, source.as_mut(), &wanted, &shown))?;
        }
        Ok(())
    }

    fn read(&self, local: &Local) -> Result<Fetched, Failure> {
        let txn = self.store.begin().map_err(hinted)?;
        let mut source = source::open(local, txn.dir())?;
        let wanted = self.wanted(local.tag.clone(), local.stem());
        self.bring(&txn, source.as_mut(), &wanted, &local.path.display().to_string())
    }
}
