//! Named volumes: directories that outlive containers (spec/05-store.md "Volumes").
//!
//! ```text
//! R/volumes/NAME/volume.json   what it is; written once
//! R/volumes/NAME/data/         what containers see
//! R/volumes/NAME/lock          held while it gets its first content
//! R/volumes/NAME/filling       there while that goes on: a crash in between is seen by it
//! R/volumes/.lock              shared by those who take a volume, exclusive for those who remove some
//! R/volumes/.new-RANDOM        being made
//! R/volumes/.old-RANDOM        being removed
//! ```
//! `R/volumes` has mode 0700: what a container's root leaves there, set-user-ID files too, no other user of the host can
//! reach. The collector never touches it.

mod error;
mod record;
mod remove;

use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub use error::VolumeError;
pub use record::{VOLUME_VERSION, VolumeRecord};
pub use remove::Users;

/// The largest `volume.json` that is read, in bytes: labels of the largest size, many of them.
const RECORD_MAX: usize = 8 << 20;

/// The volumes of one `--root`.
#[derive(Debug, Clone)]
pub struct Volumes {
    root: PathBuf,
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its directory.
    pub dir: PathBuf,
    /// What it is.
    pub record: VolumeRecord,
}

/// Nobody removes a volume while this is held.
#[derive(Debug)]
pub struct VolumesHeld(#[expect(dead_code, reason = "closing the file is what lets the lock go")] File);

impl Volumes {
    /// The volumes below `root`. Nothing is looked at.
    pub fn open(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// `R/volumes`.
    pub fn place(&self) -> PathBuf {
        self.root.join("volumes")
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.place().join(name)
    }

    /// Keeps removers out. A container's record that names its volumes is written under it.
    pub fn hold(&self) -> Result<VolumesHeld, VolumeError> {
        self.lock_file(|file| {
            ctr_sys::lock::lock(file, ctr_sys::lock::LockKind::Shared, ctr_sys::lock::LockRange::WHOLE)
        })
    }

    fn lock_file(&self, take: impl FnOnce(&File) -> ctr_sys::Result<()>) -> Result<VolumesHeld, VolumeError> {
        let place = self.place();
        match DirBuilder::new().mode(0o700).recursive(true).create(&place) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(VolumeError::io("create", &place)(error));
            }
            _ => {}
        }
        let path = place.join(".lock");
        let file = File::options().create(true).truncate(false).read(true).write(true).mode(0o600).open(&path);
        let file = file.map_err(VolumeError::io("open", &path))?;
        take(&file).map_err(|source| VolumeError::Lock { path, source })?;
        Ok(VolumesHeld(file))
    }

    /// Makes a volume, unless there is one of this name: `None`.
    ///
    /// It appears whole, by a rename, and lasts from then on.
    pub fn create(&self, record: &VolumeRecord, _held: &VolumesHeld) -> Result<Option<Volume>, VolumeError> {
        crate::name::check_volume_name(&record.name).map_err(VolumeError::Name)?;
        let dir = self.dir(&record.name);
        if dir.exists() {
            return Ok(None);
        }
        let new = self.place().join(format!(".new-{}", random()?));
        let made = write_new(&new, record);
        let renamed = made.and_then(|()| match ctr_sys::durable::rename_noreplace(&new, &dir) {
            Ok(()) => Ok(true),
            Err(error) if error.errno == ctr_sys::Errno::EEXIST => Ok(false),
            Err(source) => Err(VolumeError::Call { path: dir.clone(), source }),
        });
        if !matches!(renamed, Ok(true)) {
            let _ = ctr_sys::tree::remove_tree(&new);
        }
        if !renamed? {
            return Ok(None);
        }
        let place = self.place();
        ctr_sys::durable::fsync_dir(&place).map_err(|source| VolumeError::Call { path: place, source })?;
        Ok(Some(Volume { dir, record: record.clone() }))
    }

    /// The volume of this name.
    pub fn find(&self, name: &str) -> Result<Volume, VolumeError> {
        crate::name::check_volume_name(name).map_err(VolumeError::Name)?;
        let dir = self.dir(name);
        if !dir.is_dir() {
            return Err(VolumeError::NotFound(name.to_owned()));
        }
        load(dir)
    }

    /// All volumes by name, and why others could not be read.
    pub fn list(&self) -> Result<(Vec<Volume>, Vec<VolumeError>), VolumeError> {
        let (mut found, mut damaged) = (Vec::new(), Vec::new());
        let place = self.place();
        let entries = match fs::read_dir(&place) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((found, damaged)),
            Err(error) => return Err(VolumeError::io("read", &place)(error)),
        };
        for entry in entries {
            let name = entry.map_err(VolumeError::io("read", &place))?.file_name();
            let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
            match load(self.dir(name)) {
                Ok(volume) => found.push(volume),
                Err(error) => damaged.push(error),
            }
        }
        found.sort_by(|one, other| one.record.name.cmp(&other.record.name));
        Ok((found, damaged))
    }
}

fn write_new(new: &Path, record: &VolumeRecord) -> Result<(), VolumeError> {
    let data = new.join("data");
    DirBuilder::new().mode(0o700).create(new).map_err(VolumeError::io("create", new))?;
    DirBuilder::new().mode(0o755).create(&data).map_err(VolumeError::io("create", &data))?;
    // mkdir(2) minds the umask; the root of a volume is everybody's to read, below a directory that is nobody's.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&data, mode).map_err(VolumeError::io("set the mode of", &data))?;
    let path = new.join("volume.json");
    let json = serde_json::to_vec(record)
        .map_err(|error| VolumeError::Damaged { path: path.clone(), reason: error.to_string() })?;
    ctr_sys::small::write_new(&path, &json, 0o600).map_err(VolumeError::io("write", &path))?;
    let lock = new.join("lock");
    ctr_sys::small::write_new(&lock, b"", 0o600).map_err(VolumeError::io("write", &lock))?;
    let file = File::open(&path).map_err(VolumeError::io("open", &path))?;
    let synced = ctr_sys::durable::fsync(&file).and_then(|()| ctr_sys::durable::fsync_dir(new));
    synced.map_err(|source| VolumeError::Call { path, source })
}

fn load(dir: PathBuf) -> Result<Volume, VolumeError> {
    let path = dir.join("volume.json");
    let damaged = |reason: String| VolumeError::Damaged { path: path.clone(), reason };
    let bytes = ctr_sys::small::read(&path, RECORD_MAX).map_err(VolumeError::io("read", &path))?;
    let bytes = bytes.ok_or_else(|| damaged(format!("it has more than {RECORD_MAX} bytes")))?;
    let record: VolumeRecord = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    Ok(Volume { dir, record })
}

/// 64 random bits in hexadecimal.
fn random() -> Result<String, VolumeError> {
    let bytes: [u8; 8] =
        ctr_sys::random::bytes().map_err(|source| VolumeError::Call { path: PathBuf::from("/dev/urandom"), source })?;
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}

impl Volume {
    /// What containers see.
    pub fn data(&self) -> PathBuf {
        data_of(&self.dir)
    }
}

/// What containers see of the volume in `dir`.
fn data_of(dir: &Path) -> PathBuf {
    dir.join("data")
}

/// The right to put the first content into a volume.
#[derive(Debug)]
pub struct Filling {
    dir: PathBuf,
    _lock: File,
}

/// Takes the right to fill the volume whose data directory is `data`. `None`: it has content.
///
/// What a start that was killed had put there is removed before.
pub fn begin_filling(data: &Path) -> Result<Option<Filling>, VolumeError> {
    let dir = data.parent().unwrap_or(data).to_owned();
    let path = dir.join("lock");
    let lock = File::options().read(true).write(true).open(&path).map_err(VolumeError::io("open", &path))?;
    ctr_sys::lock::exclusive(lock.as_fd()).map_err(|source| VolumeError::Lock { path, source })?;
    let marker = dir.join("filling");
    let began = marker.exists();
    let mut entries = fs::read_dir(data).map_err(VolumeError::io("read", data))?;
    if !began && entries.next().is_some() {
        return Ok(None);
    }
    if began {
        for entry in entries {
            let path = entry.map_err(VolumeError::io("read", data))?.path();
            ctr_sys::tree::remove_tree(&path).map_err(|source| VolumeError::Call { path, source })?;
        }
    } else {
        ctr_sys::small::write_new(&marker, b"", 0o600).map_err(VolumeError::io("create", &marker))?;
    }
    Ok(Some(Filling { dir, _lock: lock }))
}

impl Filling {
    /// The content is there: makes it last if something was `written`, and lets others in.
    pub fn done(self, written: bool) -> Result<(), VolumeError> {
        let path = self.dir;
        if written {
            let opened = ctr_sys::durable::open_dir(&path).and_then(ctr_sys::durable::syncfs);
            opened.map_err(|source| VolumeError::Call { path: path.clone(), source })?;
        }
        let marker = path.join("filling");
        fs::remove_file(&marker).map_err(VolumeError::io("remove", &marker))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn record(name: &str) -> VolumeRecord {
        VolumeRecord::new(name, BTreeMap::new())
    }

    #[test]
    fn volumes_are_made_once_and_found() {
        let root = tempfile::tempdir().unwrap();
        let volumes = Volumes::open(root.path());
        let held = volumes.hold().unwrap();
        let made = volumes.create(&record("a"), &held).unwrap().unwrap();
        assert!(made.data().is_dir());
        assert_eq!(volumes.create(&record("a"), &held).unwrap(), None);
        assert!(volumes.create(&record("../a"), &held).is_err());
        assert_eq!(volumes.find("a").unwrap(), made);
        assert!(matches!(volumes.find("b"), Err(VolumeError::NotFound(_))));
        fs::create_dir(volumes.place().join("broken")).unwrap();
        let (found, damaged) = volumes.list().unwrap();
        assert_eq!((found.len(), damaged.len()), (1, 1));
        let left: Vec<_> = fs::read_dir(volumes.place()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".new")), "{left:?}");
    }

    #[test]
    fn filling_that_was_interrupted_begins_again() {
        let root = tempfile::tempdir().unwrap();
        let volumes = Volumes::open(root.path());
        let held = volumes.hold().unwrap();
        let data = volumes.create(&record("a"), &held).unwrap().unwrap().data();
        let first = begin_filling(&data).unwrap().unwrap();
        fs::create_dir(data.join("half")).unwrap();
        fs::write(data.join("half/file"), "x").unwrap();
        drop(first);
        let second = begin_filling(&data).unwrap().unwrap();
        assert_eq!(fs::read_dir(&data).unwrap().count(), 0);
        fs::write(data.join("whole"), "x").unwrap();
        second.done(true).unwrap();
        assert!(begin_filling(&data).unwrap().is_none());
    }
}
