//! The directories: making, finding, naming, removing.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::{ContainerError, ContainerRecord};

/// The largest `container.json` that is read, in bytes: labels and arguments can make it long.
const RECORD_MAX: usize = 8 << 20;

/// Shortest beginning of an id that names a container.
const PREFIX_MIN: usize = 3;

/// The name of a root in host-wide trees: control groups are `ctr/ROOTHASH/ID`. The first 16 hexadecimal digits of the
/// SHA-256 of the root's path, links resolved.
pub fn root_hash(root: &Path) -> String {
    let real = ctr_sys::small::real_path(root).unwrap_or_else(|_| root.to_owned());
    let mut hash = crate::digest::Digest::of(real.as_os_str().as_encoded_bytes()).hex();
    hash.truncate(16);
    hash
}

/// The `containers` directory of a root.
#[derive(Debug, Clone)]
pub struct Containers {
    dir: PathBuf,
}

/// Which of the directories a container is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Being made.
    Embryo,
    /// Made, not started.
    Prepared,
    /// Started, perhaps ended.
    Run,
    /// Being removed.
    Garbage,
}

impl Place {
    /// All places, in the order of a life.
    pub const ALL: [Self; 4] = [Self::Embryo, Self::Prepared, Self::Run, Self::Garbage];

    /// The directory's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Embryo => "embryo",
            Self::Prepared => "prepared",
            Self::Run => "run",
            Self::Garbage => "garbage",
        }
    }
}

/// A container whose `container.json` could be read.
#[derive(Debug, Clone)]
pub struct Container {
    /// Its directory.
    pub dir: PathBuf,
    /// Where it is in its life.
    pub place: Place,
    /// What it is.
    pub record: ContainerRecord,
}

/// A container that is being made: its directory in `embryo/`, locked. Dropped before [`Embryo::publish`], it removes itself.
#[derive(Debug)]
pub struct Embryo {
    containers: Containers,
    id: String,
    dir: PathBuf,
    lock: Rc<File>,
    name: Option<String>,
    kept: bool,
}

impl Containers {
    /// The containers of `root`.
    pub fn open(root: &Path) -> Self {
        Self { dir: root.join("containers") }
    }

    /// The name of the root in host-wide trees ([`root_hash`]).
    pub fn root_hash(&self) -> String {
        root_hash(self.dir.parent().unwrap_or(&self.dir))
    }

    /// The directory of a place.
    pub fn place(&self, place: Place) -> PathBuf {
        self.dir.join(place.name())
    }

    /// The directory that holds the names.
    pub fn names(&self) -> PathBuf {
        self.dir.join("names")
    }

    /// Makes the directories of `containers/` that are missing.
    fn create_places(&self) -> Result<(), ContainerError> {
        let mut builder = DirBuilder::new();
        builder.mode(0o700).recursive(true);
        // embryo/ comes last: where it is, all are, so that a start killed in between is repaired by the next one.
        for dir in std::iter::once(self.names()).chain(Place::ALL.iter().rev().map(|place| self.place(*place))) {
            builder.create(&dir).map_err(ContainerError::io("create", dir))?;
        }
        Ok(())
    }

    /// Keeps every other caller of this function waiting until the file is dropped: for a look at what an id has left, its
    /// removal and [`Self::create`] as one step. Ids that callers choose need it; random ones never meet.
    pub fn lock_ids(&self) -> Result<File, ContainerError> {
        let path = self.dir.join("ids.lock");
        let mut opened = ctr_sys::small::open_lock(&path, 0o600);
        if opened.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            self.create_places()?;
            opened = ctr_sys::small::open_lock(&path, 0o600);
        }
        let lock = File::from(opened.map_err(ContainerError::io("open", path.clone()))?);
        ctr_sys::lock::exclusive(lock.as_fd()).map_err(|source| ContainerError::Lock { path, source })?;
        Ok(lock)
    }

    /// Makes `embryo/ID`, locked by this process.
    pub fn create(&self, id: &str) -> Result<Embryo, ContainerError> {
        let dir = self.place(Place::Embryo).join(id);
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        let mut made = builder.create(&dir);
        if made.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            self.create_places()?;
            made = builder.create(&dir);
        }
        made.map_err(ContainerError::io("create", dir.clone()))?;
        let path = dir.join("lock");
        let lock = ctr_sys::small::create(&path, 0o600).map_err(ContainerError::io("create", path.clone()))?;
        let lock = Rc::new(File::from(lock));
        ctr_sys::lock::try_exclusive(lock.as_fd()).map_err(|source| ContainerError::Lock { path, source })?;
        Ok(Embryo { containers: self.clone(), id: id.to_owned(), dir, lock, name: None, kept: false })
    }

    /// Every container in `embryo`, `prepared` and `run`, oldest first; the first that cannot be read is an error.
    pub fn list(&self) -> Result<Vec<Container>, ContainerError> {
        let (found, damaged) = self.scan()?;
        damaged.into_iter().next().map_or(Ok(found), Err)
    }

    /// Every container in `embryo`, `prepared` and `run`, oldest first, and why others could not be read: one damaged file
    /// must not hide the rest. What vanishes meanwhile is left out; a directory without a `container.json` is one that is
    /// being made or removed, and is left out too.
    pub fn scan(&self) -> Result<(Vec<Container>, Vec<ContainerError>), ContainerError> {
        let (mut found, mut damaged) = (Vec::new(), Vec::new());
        for place in [Place::Embryo, Place::Prepared, Place::Run] {
            for id in ids(&self.place(place))? {
                match self.load(place, &id) {
                    Ok(container) => found.extend(container),
                    Err(error) => damaged.push(error),
                }
            }
        }
        found.sort_by(|a, b| (a.record.created_at, &a.record.id).cmp(&(b.record.created_at, &b.record.id)));
        Ok((found, damaged))
    }

    /// Reads one container; `None` if there is no such directory or it has no whole `container.json`.
    pub fn load(&self, place: Place, id: &str) -> Result<Option<Container>, ContainerError> {
        let dir = self.place(place).join(id);
        let path = dir.join("container.json");
        let bytes = match ctr_sys::small::read(&path, RECORD_MAX) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                return Err(ContainerError::Damaged { path, reason: format!("it has more than {RECORD_MAX} bytes") });
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            Err(error) => return Err(ContainerError::io("read", path)(error)),
        };
        match serde_json::from_slice(&bytes) {
            Ok(record) => Ok(Some(Container { dir, place, record })),
            Err(_) if place == Place::Embryo => Ok(None),
            Err(error) => Err(ContainerError::Damaged { path, reason: error.to_string() }),
        }
    }

    /// The container with this name, id, or beginning of an id.
    pub fn find(&self, text: &str) -> Result<Container, ContainerError> {
        let not_found = || ContainerError::NotFound(text.to_owned());
        if text.is_empty() || text.contains('/') || text.starts_with('.') {
            return Err(not_found());
        }
        let id = match self.id_of_name(text)? {
            Some(id) => id,
            None => self.id_of_prefix(text)?,
        };
        for place in [Place::Run, Place::Prepared, Place::Embryo] {
            if let Some(container) = self.load(place, &id)? {
                return Ok(container);
            }
        }
        Err(not_found())
    }

    fn id_of_prefix(&self, text: &str) -> Result<String, ContainerError> {
        let mut matching = Vec::new();
        for place in [Place::Run, Place::Prepared, Place::Embryo] {
            let found = ids(&self.place(place))?.into_iter();
            matching.extend(found.filter(|id| id == text || (text.len() >= PREFIX_MIN && id.starts_with(text))));
        }
        match matching.as_slice() {
            [] => Err(ContainerError::NotFound(text.to_owned())),
            [id] => Ok(id.clone()),
            several => Err(ContainerError::Ambiguous { prefix: text.to_owned(), count: several.len() }),
        }
    }

    /// The id that a name points to.
    pub fn id_of_name(&self, name: &str) -> Result<Option<String>, ContainerError> {
        let path = self.names().join(name);
        match fs::read_link(&path) {
            Ok(target) => Ok(target.to_str().map(str::to_owned)),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => Ok(None),
            Err(error) => Err(ContainerError::io("read", path)(error)),
        }
    }

    /// Whether any place but garbage has this id.
    fn exists(&self, id: &str) -> bool {
        [Place::Embryo, Place::Prepared, Place::Run].iter().any(|place| self.place(*place).join(id).exists())
    }

    /// Gives a name back if it points to `id`.
    ///
    /// Takers never replace a link, so only removers can race; they take a lock between the look and the removal.
    pub fn release_name(&self, name: &str, id: &str) -> Result<(), ContainerError> {
        let path = self.names().join(".lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let lock = lock.map_err(ContainerError::io("open", path.clone()))?;
        ctr_sys::lock::exclusive(lock.as_fd()).map_err(|source| ContainerError::Lock { path, source })?;
        if self.id_of_name(name)?.as_deref() != Some(id) {
            return Ok(());
        }
        let path = self.names().join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(ContainerError::io("remove", path)(error)),
            _ => Ok(()),
        }
    }

    /// Moves a container that was made to `run/`. `false` if it was not there: started already, or gone.
    pub fn promote(&self, id: &str) -> Result<bool, ContainerError> {
        let dir = self.place(Place::Prepared).join(id);
        match fs::rename(&dir, self.place(Place::Run).join(id)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(ContainerError::io("rename", dir)(error)),
        }
    }

    /// Moves a dead container to `garbage/` and returns its directory there, for the caller to delete. The caller has seen
    /// that it is dead. `None` if another process was first.
    pub fn discard(&self, container: &Container) -> Result<Option<PathBuf>, ContainerError> {
        self.discard_dir(&container.dir, &container.record.id, container.record.name.as_deref())
    }

    /// [`Self::discard`] of a container whose record need not be read again.
    pub fn discard_dir(&self, dir: &Path, id: &str, name: Option<&str>) -> Result<Option<PathBuf>, ContainerError> {
        let garbage = self.place(Place::Garbage).join(id);
        let mut moved = fs::rename(dir, &garbage);
        // An earlier container of this id, whose removal was cut off.
        if moved.as_ref().is_err_and(|error| error.kind() == ErrorKind::DirectoryNotEmpty) {
            delete(&garbage).map_err(|error| ContainerError::io("remove", &garbage)(std::io::Error::other(error)))?;
            moved = fs::rename(dir, &garbage);
        }
        match moved {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ContainerError::io("rename", dir)(error)),
        }
        if let Some(name) = name {
            self.release_name(name, id)?;
        }
        Ok(Some(garbage))
    }
}

/// Deletes a directory that [`Containers::discard`] returned.
///
/// A container that changed nothing leaves the same few names every time; taking those by name saves a look into each
/// directory. Whatever else is there, the walk finds.
pub fn delete(garbage: &Path) -> Result<(), ctr_sys::SysError> {
    for file in ["work/work/incompat/volatile/dirty", "container.json", "process", "exit", "lock", "hosts", "hostname"]
    {
        let _ = fs::remove_file(garbage.join(file));
    }
    for dir in ["work/work/incompat/volatile", "work/work/incompat", "work/work", "work", "upper"] {
        let _ = fs::remove_dir(garbage.join(dir));
    }
    if fs::remove_dir(garbage).is_ok() { Ok(()) } else { ctr_sys::tree::remove_tree(garbage) }
}

impl Embryo {
    /// The container's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its directory, where it is now.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The lock file, locked. Whoever inherits the descriptor keeps the container alive.
    pub fn lock(&self) -> Rc<File> {
        Rc::clone(&self.lock)
    }

    /// Takes a name, or says whose it is. A name whose container is gone is taken over.
    pub fn take_name(&mut self, name: &str) -> Result<(), ContainerError> {
        let path = self.containers.names().join(name);
        for _ in 0..8 {
            match symlink(&self.id, &path) {
                Ok(()) => {
                    self.name = Some(name.to_owned());
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(ContainerError::io("create", path)(error)),
            }
            match self.containers.id_of_name(name)? {
                Some(id) if self.containers.exists(&id) => {
                    return Err(ContainerError::NameInUse { name: name.to_owned(), id });
                }
                // Left by a crash between the removal of a container and of its name.
                Some(id) => self.containers.release_name(name, &id)?,
                None => {}
            }
        }
        Err(ContainerError::NameInUse { name: name.to_owned(), id: "(changing)".to_owned() })
    }

    /// Writes `container.json`: a [`ContainerRecord`], with whatever members the caller keeps beside it.
    pub fn write_record(&self, record: &impl serde::Serialize) -> Result<(), ContainerError> {
        let path = self.dir.join("container.json");
        let json = serde_json::to_vec(record)
            .map_err(|error| ContainerError::Damaged { path: path.clone(), reason: error.to_string() })?;
        ctr_sys::small::write_new(&path, &json, 0o600).map_err(ContainerError::io("write", path))
    }

    /// Renames the directory to `run/`: from now on it is a container, dead or alive by its lock.
    pub fn publish(&mut self) -> Result<(), ContainerError> {
        self.publish_as(Place::Run)
    }

    /// [`Self::publish`] to another place.
    pub fn publish_as(&mut self, place: Place) -> Result<(), ContainerError> {
        let dir = self.containers.place(place).join(&self.id);
        fs::rename(&self.dir, &dir).map_err(ContainerError::io("rename", &self.dir))?;
        self.dir = dir;
        Ok(())
    }

    /// The program runs: the directory stays when this value goes.
    pub fn keep(mut self) -> PathBuf {
        self.kept = true;
        self.dir.clone()
    }
}

impl Drop for Embryo {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        // The start failed or was given up; what cannot be removed here, ctr-gc finds by the free lock.
        if let Some(name) = &self.name {
            let _ = self.containers.release_name(name, &self.id);
        }
        let garbage = self.containers.place(Place::Garbage).join(&self.id);
        if fs::rename(&self.dir, &garbage).is_ok() {
            let _ = delete(&garbage);
        }
    }
}

/// Names in a directory of containers; none if the directory does not exist.
fn ids(dir: &Path) -> Result<Vec<String>, ContainerError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(ContainerError::io("read", dir)(error)),
    };
    let mut ids = Vec::new();
    for entry in entries {
        let entry = entry.map_err(ContainerError::io("read", dir))?;
        ids.extend(entry.file_name().into_string());
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exclusive_and_taken_over_from_the_gone() {
        let root = tempfile::tempdir().unwrap();
        let containers = Containers::open(root.path());
        let mut first = containers.create("aaa111").unwrap();
        first.take_name("web").unwrap();
        let mut second = containers.create("bbb222").unwrap();
        assert!(matches!(second.take_name("web"), Err(ContainerError::NameInUse { id, .. }) if id == "aaa111"));
        fs::remove_dir_all(first.keep()).unwrap();
        second.take_name("web").unwrap();
        assert_eq!(containers.id_of_name("web").unwrap().as_deref(), Some("bbb222"));
        drop(second);
        assert_eq!(containers.id_of_name("web").unwrap(), None);
        assert!(ids(&containers.place(Place::Embryo)).unwrap().is_empty());
        assert!(ids(&containers.place(Place::Garbage)).unwrap().is_empty());
    }

    #[test]
    fn the_lock_of_an_embryo_is_seen_by_others() {
        let root = tempfile::tempdir().unwrap();
        let embryo = Containers::open(root.path()).create("ccc333").unwrap();
        let other = File::open(embryo.dir().join("lock")).unwrap();
        assert!(ctr_sys::lock::is_locked(other.as_fd()).unwrap());
        drop(embryo);
        assert!(!ctr_sys::lock::is_locked(other.as_fd()).unwrap());
    }
}
