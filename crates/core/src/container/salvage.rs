//! A container whose `container.json` is damaged: what stopping and removing it needs is known without that file.

use std::fs;
use std::path::Path;

use super::record::{ContainerRecord, IsolationRecord, LogMode, RECORD_VERSION};
use super::{Container, ContainerError, Containers, Place, groups};
use crate::timestamp::Timestamp;

/// Seconds from the stop signal to the kill, where nobody can tell what was asked for.
const STOP_TIMEOUT: u64 = 10;
/// SIGTERM.
const STOP_SIGNAL: i32 = 15;

/// A record of which only the id is known.
pub(super) fn unknown(id: &str) -> ContainerRecord {
    ContainerRecord {
        version: RECORD_VERSION,
        id: id.to_owned(),
        name: None,
        image: None,
        bundle: None,
        layers: Vec::new(),
        mounted_images: Vec::new(),
        volumes: Vec::new(),
        hostname: String::new(),
        command: Vec::new(),
        created_at: Timestamp(0),
        labels: std::collections::BTreeMap::new(),
        stop_signal: STOP_SIGNAL,
        stop_timeout: STOP_TIMEOUT,
        log: LogMode::None,
        tty: false,
        stdin: false,
        journal: None,
        init: true,
        rm: false,
        cgroups: Vec::new(),
        isolation: IsolationRecord::default(),
    }
}

impl Containers {
    /// The container whose record `error` calls damaged: id and place by its directory, the name by the link to it, control
    /// groups by their place. All else is the default. `None` if that is not what the error is about.
    pub fn salvage(&self, error: &ContainerError) -> Option<Container> {
        let ContainerError::Damaged { path, .. } = error else { return None };
        let dir = path.parent()?;
        if path.file_name()? != "container.json" {
            return None;
        }
        let id = dir.file_name()?.to_str()?.to_owned();
        let place = Place::ALL.into_iter().find(|place| self.place(*place).join(&id) == *dir)?;
        let groups = groups::parents(&self.root_hash()).into_iter().map(|parent| parent.join(&id));
        let groups = groups.filter(|group| group.is_dir()).map(|group| group.display().to_string()).collect();
        let mut record = unknown(&id);
        record.name = self.name_of(&id);
        record.cgroups = groups;
        Some(Container { dir: dir.to_owned(), place, record })
    }

    /// The name that points to `id`.
    fn name_of(&self, id: &str) -> Option<String> {
        let entries = fs::read_dir(self.names()).ok()?;
        let points = |path: &Path| fs::read_link(path).is_ok_and(|target| target == Path::new(id));
        entries.flatten().find(|entry| points(&entry.path()))?.file_name().into_string().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_record_hides_neither_id_nor_name() {
        let root = tempfile::tempdir().unwrap();
        let containers = Containers::open(root.path());
        let mut embryo = containers.create("abc123").unwrap();
        embryo.take_name("web").unwrap();
        embryo.publish().unwrap();
        let dir = embryo.keep();
        fs::write(dir.join("container.json"), "{").unwrap();
        let error = containers.find("web").unwrap_err();
        let container = containers.salvage(&error).unwrap();
        assert_eq!((container.record.id.as_str(), container.record.name.as_deref()), ("abc123", Some("web")));
        assert_eq!((container.place, container.dir), (Place::Run, dir));
        assert!(containers.salvage(&ContainerError::NotFound("x".into())).is_none());
    }
}
