//! Build contexts: directories of the host, without what `.dockerignore` names.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ctr_cli::{Context as _, Failure};
use ctr_dockerfile::ignore::Ignore;
use ctr_tree::digest::Reading;
use ctr_tree::stat_cache::StatCache;
use ctr_tree::{Attributes, HostDir, Kind, Meta, Remembered, Tree, TreeError, TreePath};

/// The largest Dockerfile and ignore file that is read, in bytes.
const FILE_MAX: usize = 1 << 20;

/// A context, for all that needs it in a build.
#[derive(Debug)]
pub(crate) struct Context {
    dir: Arc<Shown>,
    /// What was seen of it.
    seen: Mutex<Arc<Remembered>>,
    /// What its files had in them, and where that is kept.
    cache: OnceLock<StatCache>,
    cache_file: PathBuf,
}

impl Context {
    /// Opens the directory. `ignore_files` are looked at in their order; the first that is there counts.
    pub(crate) fn open(dir: &Path, ignore_files: &[PathBuf], root: &Path) -> Result<Self, Failure> {
        let tree = HostDir::open(dir).map_err(|error| {
            let failure = Failure::new(format!("cannot open the context {}", dir.display())).caused_by(&error);
            failure.hint("the context is a directory: ctr-build [OPTIONS] DIRECTORY")
        })?;
        let mut ignore = None;
        for path in ignore_files {
            if let Some(bytes) = read(path)? {
                let parsed = Ignore::parse(&bytes);
                ignore = Some(parsed.map_err(|error| Failure::new(path.display().to_string()).caused_by(&error))?);
                break;
            }
        }
        let meta = std::fs::metadata(dir).context(|| format!("cannot look at {}", dir.display()))?;
        let cache_file = root.join(format!("build/stat/{}-{}", meta.dev(), meta.ino()));
        let dir = Arc::new(Shown { tree, ignore });
        let seen = Mutex::new(Arc::new(Remembered::new(Arc::<Shown>::clone(&dir))));
        Ok(Self { dir, seen, cache: OnceLock::new(), cache_file })
    }

    /// What is left out of it.
    pub(crate) fn ignore(&self) -> Option<&Ignore> {
        self.dir.ignore.as_ref()
    }

    /// The files: each is looked at when it is first asked for, and stays what it was then.
    pub(crate) fn seen(&self) -> Arc<Remembered> {
        Arc::clone(&self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// If files were not what `seen` remembers, from now on they are what they are now.
    pub(crate) fn look_again(&self, seen: &Arc<Remembered>) -> bool {
        if !seen.is_doubtful() {
            return false;
        }
        let mut now = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // Another step may have done it already.
        if Arc::ptr_eq(&now, seen) {
            *now = Arc::new(Remembered::new(Arc::<Shown>::clone(&self.dir)));
        }
        true
    }

    /// Does `work` with the files as they were seen. They may be others since: if it fails for that, once more as they are.
    pub(crate) fn with<R, E>(&self, mut work: impl FnMut(&Arc<Remembered>) -> Result<R, E>) -> Result<R, E> {
        let seen = self.seen();
        match work(&seen) {
            Err(_) if self.look_again(&seen) => work(&self.seen()),
            done => done,
        }
    }

    /// How its files are read.
    pub(crate) fn reading(&self, threads: usize) -> Reading<'_> {
        let cache = self.cache.get_or_init(|| StatCache::load(&self.cache_file));
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = since.map_or(0, |time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
        Reading { threads, cache: Some((cache, now)), owners: false }
    }

    /// Keeps what is known for the next build. Without it files are read once more, no more.
    pub(crate) fn save_cache(&self) {
        if let (Some(cache), Some(dir)) = (self.cache.get(), self.cache_file.parent()) {
            let _ = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
            let _ = cache.save(&self.cache_file);
        }
    }
}

/// What a context shows of its directory.
#[derive(Debug)]
struct Shown {
    tree: HostDir,
    ignore: Option<Ignore>,
}

impl Shown {
    fn is_hidden(&self, path: &TreePath) -> bool {
        !path.is_root() && self.ignore.as_ref().is_some_and(|ignore| ignore.is_ignored(path.as_bytes()))
    }

    /// An ignored directory is there for what is not ignored in it.
    fn shows_below(&self, path: &TreePath) -> Result<bool, TreeError> {
        let Some(ignore) = &self.ignore else { return Ok(true) };
        if !ignore.may_hold_exception(path.as_bytes()) {
            return Ok(false);
        }
        for (name, meta) in self.tree.list(path)? {
            let child = path.join(&name);
            if !self.is_hidden(&child) || (meta.kind == Kind::Directory && self.shows_below(&child)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn shows(&self, path: &TreePath, meta: &Meta) -> Result<bool, TreeError> {
        if !self.is_hidden(path) {
            return Ok(true);
        }
        Ok(meta.kind == Kind::Directory && self.shows_below(path)?)
    }
}

impl Tree for Shown {
    fn look(&self, path: &TreePath) -> Result<Option<Meta>, TreeError> {
        match self.tree.look(path)? {
            Some(meta) if self.shows(path, &meta)? => Ok(Some(meta)),
            _ => Ok(None),
        }
    }

    fn list(&self, path: &TreePath) -> Result<Vec<(Vec<u8>, Meta)>, TreeError> {
        let all = self.tree.list(path)?;
        if self.ignore.is_none() {
            return Ok(all);
        }
        let mut shown = Vec::with_capacity(all.len());
        for (name, meta) in all {
            if self.shows(&path.join(&name), &meta)? {
                shown.push((name, meta));
            }
        }
        Ok(shown)
    }

    fn read_link(&self, path: &TreePath) -> Result<Vec<u8>, TreeError> {
        self.tree.read_link(path)
    }

    fn open(&self, path: &TreePath) -> Result<File, TreeError> {
        self.tree.open(path)
    }

    fn attributes(&self, path: &TreePath) -> Result<Attributes, TreeError> {
        self.tree.attributes(path)
    }
}

/// A Dockerfile that was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// As messages name it.
    pub(crate) name: String,
    /// What it says.
    pub(crate) text: String,
    /// Where `.dockerignore` is looked for.
    pub(crate) ignore_files: Vec<PathBuf>,
}

/// Finds and reads the Dockerfile: `file`, else the usual names in the context.
pub(crate) fn dockerfile(context: &Path, file: Option<&Path>) -> Result<Found, Failure> {
    let in_context = [".containerignore", ".dockerignore"].map(|name| context.join(name));
    if file == Some(Path::new("-")) {
        let text = std::io::read_to_string(std::io::Read::take(std::io::stdin().lock(), FILE_MAX as u64 + 1))
            .context(|| "cannot read the Dockerfile from standard input".to_owned())?;
        if text.len() > FILE_MAX {
            return Err(Failure::new(format!("the Dockerfile on standard input has more than {FILE_MAX} bytes")));
        }
        return Ok(Found { name: "-".to_owned(), text, ignore_files: in_context.to_vec() });
    }
    let candidates = match file {
        Some(file) => vec![file.to_owned()],
        None => ["Dockerfile", "Containerfile"].map(|name| context.join(name)).to_vec(),
    };
    for path in &candidates {
        let Some(bytes) = read(path)? else { continue };
        let text =
            String::from_utf8(bytes).map_err(|_| Failure::new(format!("{} is not UTF-8 text", path.display())))?;
        let mut own = path.clone().into_os_string();
        own.push(".dockerignore");
        let ignore_files = std::iter::once(PathBuf::from(own)).chain(in_context).collect();
        let name = match file {
            Some(file) => file.display().to_string(),
            None => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        };
        return Ok(Found { name, text, ignore_files });
    }
    let Some(first) = candidates.first() else { return Err(Failure::new("there is no Dockerfile")) };
    if !context.is_dir() {
        let name = context.to_string_lossy();
        let hint = match &*name {
            "-" => "a Dockerfile is read from standard input with --file -; the context is a directory",
            _ if name.contains("://") => "get the files first: git clone ADDRESS DIRECTORY, then ctr-build DIRECTORY",
            _ => "the context is a directory: ctr-build [OPTIONS] DIRECTORY",
        };
        return Err(Failure::new(format!("the context {name} is no directory")).hint(hint));
    }
    Err(Failure::new(format!("there is no {}", first.display())).hint("name the Dockerfile with --file"))
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match crate::input::read(path, FILE_MAX) {
        Ok(Some(bytes)) => Ok(Some(bytes)),
        Ok(None) => Err(Failure::new(format!("{} has more than {FILE_MAX} bytes", path.display()))),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(Failure::new(format!("cannot read {}", path.display())).caused_by(&error)),
    }
}
