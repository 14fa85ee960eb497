//! Removal, and the look at who uses a volume.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::{Volume, VolumeError, Volumes, VolumesHeld};
use crate::container::{Containers, State};

/// Containers by the volume that they use; those that have ended are left out, because nobody starts them again.
pub type Users = BTreeMap<String, Vec<String>>;

impl Volumes {
    /// Which volumes are used by containers that live or are being made. Fails if one cannot be read.
    pub fn users(&self) -> Result<Users, VolumeError> {
        let mut users = Users::new();
        for container in Containers::open(&self.root).list()? {
            if container.record.volumes.is_empty() {
                continue;
            }
            let uses = match container.status()?.state {
                // Where its maker was killed the lock is free.
                State::Embryo => container.lock_is_held()?,
                State::Prepared | State::Running => true,
                _ => false,
            };
            if !uses {
                continue;
            }
            let shown = container.record.name.clone().unwrap_or_else(|| container.record.id.chars().take(12).collect());
            for volume in &container.record.volumes {
                users.entry(volume.clone()).or_default().push(shown.clone());
            }
        }
        Ok(users)
    }

    /// Waits until nobody takes a volume, and keeps them from it.
    fn hold_alone(&self) -> Result<VolumesHeld, VolumeError> {
        self.lock_file(|file| ctr_sys::lock::exclusive(std::os::fd::AsFd::as_fd(file)))
    }

    /// Removes a volume with its content unless a container uses it.
    pub fn remove(&self, name: &str) -> Result<(), VolumeError> {
        let held = self.hold_alone()?;
        crate::name::check_volume_name(name).map_err(VolumeError::Name)?;
        let dir = self.dir(name);
        if !dir.is_dir() {
            return Err(VolumeError::NotFound(name.to_owned()));
        }
        if let Some(containers) = self.users()?.remove(name) {
            return Err(VolumeError::InUse { name: name.to_owned(), containers });
        }
        let old = self.take_away(&Volume { dir, record: super::VolumeRecord::new(name, BTreeMap::new()) })?;
        drop(held);
        delete(old)
    }

    /// Removes all volumes that no container uses and that `wanted` chooses, and what earlier removals left. Returns the
    /// names.
    pub fn prune(&self, wanted: impl Fn(&Volume) -> bool) -> Result<Vec<String>, VolumeError> {
        let held = self.hold_alone()?;
        let users = self.users()?;
        let (mut names, mut old) = (Vec::new(), self.leftovers()?);
        for volume in self.list()?.0 {
            if !users.contains_key(&volume.record.name) && wanted(&volume) {
                old.push(self.take_away(&volume)?);
                names.push(volume.record.name);
            }
        }
        drop(held);
        old.into_iter().try_for_each(delete)?;
        Ok(names)
    }

    /// What a crash left of volumes that were being made or removed. Nobody makes one: the lock is ours.
    fn leftovers(&self) -> Result<Vec<PathBuf>, VolumeError> {
        let place = self.place();
        let mut found = Vec::new();
        for entry in fs::read_dir(&place).map_err(VolumeError::io("read", &place))? {
            let entry = entry.map_err(VolumeError::io("read", &place))?;
            let name = entry.file_name();
            if name.to_str().is_some_and(|name| name.starts_with(".new-") || name.starts_with(".old-")) {
                found.push(entry.path());
            }
        }
        Ok(found)
    }

    fn take_away(&self, volume: &Volume) -> Result<PathBuf, VolumeError> {
        let old = self.place().join(format!(".old-{}", super::random()?));
        fs::rename(&volume.dir, &old).map_err(VolumeError::io("rename", &volume.dir))?;
        Ok(old)
    }
}

fn delete(path: PathBuf) -> Result<(), VolumeError> {
    ctr_sys::tree::remove_tree(&path).map_err(|source| VolumeError::Call { path, source })
}
