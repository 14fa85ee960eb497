//! The check of a whole store, and the removal of what is damaged, so that the next fetch brings it again.
//!
//! Everything is read without the gate: it takes long. What was found damaged is looked at again, alone, when it is
//! repaired; by then somebody may have fetched it again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::gc::Reach;
use super::layer::{self, LayerState};
use super::layout::Layout;
use super::{Store, StoreError, blob, image, record, referrers};
use crate::digest::Digest;
use crate::launch::LayerId;

/// What kind of object is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DamageKind {
    /// The file of a name.
    Name,
    /// A launch record.
    Image,
    /// An unpacked layer.
    Layer,
    /// A blob.
    Blob,
    /// The list of what refers to an image.
    Referrers,
}

/// One damaged or missing object.
#[derive(Debug, Clone)]
pub struct Damage {
    /// What it is.
    pub kind: DamageKind,
    /// Its digest, or the file's name.
    pub id: String,
    /// Where it lies, or should.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: String,
    /// Names of the images that need it; their digests where they have no name.
    pub images: Vec<String>,
    /// Whether those images cannot be started with it.
    pub fatal: bool,
    /// The very file that was found damaged: a later one at the same place is another.
    inode: Option<(u64, u64)>,
}

/// What a check found.
#[derive(Debug, Default)]
pub struct Checked {
    /// Blobs that were hashed.
    pub blobs: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Layers that were looked at.
    pub layers: u64,
    /// Images that were looked at.
    pub images: u64,
    /// What is not as it should be.
    pub damage: Vec<Damage>,
}

/// What a repair did.
#[derive(Debug, Default)]
pub struct Repaired {
    /// Images that are gone until they are fetched again.
    pub removed_images: Vec<String>,
    /// Images that can be started, of which something is missing for an export until they are fetched again.
    pub thinned_images: Vec<String>,
    /// What could not be repaired.
    pub failed: Vec<StoreError>,
}

/// Who needs an object.
#[derive(Default)]
struct Users {
    blobs: BTreeMap<Digest, BTreeSet<String>>,
    /// Manifests and configs: an image without them is none.
    vital: BTreeSet<Digest>,
    layers: BTreeMap<LayerId, BTreeSet<String>>,
}

impl Store {
    /// Hashes every blob, counts every layer, reads every record. `each` is called with the bytes hashed so far.
    pub fn check(&self, mut each: impl FnMut(u64)) -> Result<Checked, StoreError> {
        let layout = &self.layout;
        // Nothing of an image vanishes while we look at it.
        let txn = self.begin()?;
        let images = image::list_images(layout)?;
        for digest in &images {
            match txn.keep_image(digest) {
                Ok(()) | Err(StoreError::NoImage(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let mut checked = Checked::default();
        let users = check_images(layout, &mut checked)?;
        check_blobs(layout, &users, &mut checked, &mut each)?;
        check_layers(layout, &users, &mut checked)?;
        check_referrers(layout, &mut checked)?;
        Ok(checked)
    }

    /// Takes damaged objects out, and images that cannot be without them. Layers that containers use are set aside.
    pub fn repair(&self, checked: &Checked, wait: Duration) -> Result<Repaired, StoreError> {
        let trash = self.begin()?;
        let gate = self.gate_exclusive(wait)?;
        let layout = &self.layout;
        let mut repaired = Repaired::default();
        let mut removed = BTreeSet::new();
        let mut thinned = BTreeSet::new();
        let mut number = 0;
        let mut take_out = |path: &Path| {
            number += 1;
            match fs::rename(path, trash.dir().join(format!("damaged-{number}"))) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(StoreError::io("take out the damaged", path)(error))
                }
                _ => Ok(()),
            }
        };
        for damage in checked.damage.iter().filter(|damage| inode_of(&damage.path) == damage.inode) {
            let names: BTreeSet<String> = damage.images.iter().cloned().collect();
            // Names first, then records: what a name leads to is whole at any time, after a loss of power too.
            let mut done = Ok(());
            if damage.fatal {
                let (refs, records) = records_of(layout, &names);
                for (paths, dir) in [(refs, layout.refs()), (records, layout.images())] {
                    done = done.and_then(|()| paths.iter().try_for_each(|path| take_out(path)));
                    done = done.and_then(|()| record::sync_dir(&dir));
                }
            }
            let done = done.and_then(|()| match (damage.kind, Digest::from_hex(&damage.id)) {
                _ if damage.inode.is_none() => Ok(()),
                (DamageKind::Layer, Ok(digest)) => self.set_layer_aside(&LayerId(digest)),
                _ => take_out(&damage.path),
            });
            match done {
                Ok(()) if damage.fatal => removed.extend(names),
                Ok(()) => thinned.extend(names),
                Err(error) => repaired.failed.push(error),
            }
        }
        drop(gate);
        repaired.thinned_images = thinned.difference(&removed).cloned().collect();
        repaired.removed_images = removed.into_iter().collect();
        Ok(repaired)
    }
}

/// Files of names, and launch records, of images given by name or digest. A name's image goes with it.
fn records_of(layout: &Layout, names: &BTreeSet<String>) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut refs, mut records) = (Vec::new(), Vec::new());
    for name in names {
        if let Ok(digest) = name.parse::<Digest>() {
            records.push(layout.image(&digest));
        } else {
            refs.push(layout.reference(name));
            records.extend(image::read_ref(layout, name).ok().flatten().map(|digest| layout.image(&digest)));
        }
    }
    (refs, records)
}

fn inode_of(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

fn damage(kind: DamageKind, id: String, path: PathBuf, problem: String) -> Damage {
    let inode = inode_of(&path);
    Damage { kind, id, path, problem, images: Vec::new(), fatal: false, inode }
}

fn check_images(layout: &Layout, checked: &mut Checked) -> Result<Users, StoreError> {
    let mut users = Users::default();
    let refs = image::list_refs(layout)?;
    for (path, error) in refs.damaged {
        let id = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        checked.damage.push(damage(DamageKind::Name, id, path, error.to_string()));
    }
    let mut images: BTreeMap<Digest, BTreeSet<String>> = BTreeMap::new();
    for entry in refs.entries {
        images.entry(entry.digest).or_default().insert(entry.name);
    }
    for digest in image::list_images(layout)? {
        images.entry(digest).or_insert_with(|| BTreeSet::from([digest.to_string()]));
    }
    let mut reach = Reach::default();
    for (digest, names) in images {
        checked.images += 1;
        users.vital.insert(digest);
        users.blobs.entry(digest).or_default().extend(names.iter().cloned());
        match image::read_launch(layout, &digest) {
            Ok(Some(launch)) => {
                users.vital.insert(launch.config);
                users.blobs.entry(launch.config).or_default().extend(names.iter().cloned());
                for id in launch.layers {
                    users.layers.entry(id).or_default().extend(names.iter().cloned());
                }
            }
            broken => {
                let problem = broken.err().map_or_else(|| "there is no launch record".to_owned(), |e| e.to_string());
                let mut found = damage(DamageKind::Image, digest.hex(), layout.image(&digest), problem);
                (found.images, found.fatal) = (names.iter().cloned().collect(), true);
                checked.damage.push(found);
            }
        }
        // A manifest that cannot be read is found when all blobs are hashed.
        let mut reached = BTreeSet::new();
        if reach.follow(layout, &digest, &mut reached).is_ok() {
            for blob in reached {
                users.blobs.entry(blob).or_default().extend(names.iter().cloned());
            }
        }
    }
    Ok(users)
}

/// A list that cannot be read keeps nobody knows what: without it the collector can work again.
fn check_referrers(layout: &Layout, checked: &mut Checked) -> Result<(), StoreError> {
    for name in record::names_in(&layout.referrers())? {
        let Ok(subject) = Digest::from_hex(&name) else { continue };
        if let Err(error) = referrers::read(layout, &subject) {
            let path = layout.referrers().join(&name);
            checked.damage.push(damage(DamageKind::Referrers, name, path, error.to_string()));
        }
    }
    Ok(())
}

fn check_blobs(
    layout: &Layout,
    users: &Users,
    checked: &mut Checked,
    each: &mut impl FnMut(u64),
) -> Result<(), StoreError> {
    let users_of = |digest: &Digest| users.blobs.get(digest).map(|names| names.iter().cloned().collect());
    let mut there = BTreeSet::new();
    for name in record::names_in(&layout.blobs())? {
        let Ok(digest) = Digest::from_hex(&name) else { continue };
        let path = layout.blob(&digest);
        there.insert(digest);
        let problem = match blob::matches(&path, &digest) {
            Ok(true) => None,
            Ok(false) => Some("its content does not have its digest".to_owned()),
            // Removed by gc meanwhile: nobody needed it.
            Err(_) if !path.exists() => continue,
            Err(error) => Some(error.to_string()),
        };
        checked.blobs += 1;
        checked.bytes += fs::metadata(&path).map_or(0, |meta| meta.len());
        each(checked.bytes);
        if let Some(problem) = problem {
            let mut found = damage(DamageKind::Blob, digest.hex(), path, problem);
            (found.images, found.fatal) = (users_of(&digest).unwrap_or_default(), users.vital.contains(&digest));
            checked.damage.push(found);
        }
    }
    for digest in users.vital.difference(&there) {
        let path = layout.blob(digest);
        if !path.exists() {
            let mut found = damage(DamageKind::Blob, digest.hex(), path, "it is missing".to_owned());
            (found.images, found.fatal) = (users_of(digest).unwrap_or_default(), true);
            checked.damage.push(found);
        }
    }
    Ok(())
}

fn check_layers(layout: &Layout, users: &Users, checked: &mut Checked) -> Result<(), StoreError> {
    let mut all: BTreeSet<LayerId> = users.layers.keys().copied().collect();
    let names = record::names_in(&layout.layers())?;
    all.extend(names.iter().filter_map(|name| Digest::from_hex(name).ok()).map(LayerId));
    for id in all {
        checked.layers += 1;
        let names = users.layers.get(&id);
        let problem = match layer::inspect(layout, &id)? {
            LayerState::Whole(_) => continue,
            LayerState::Absent if names.is_none() => continue,
            LayerState::Absent => "it is missing".to_owned(),
            LayerState::Damaged(problem) => problem,
        };
        let mut found = damage(DamageKind::Layer, id.to_string(), layout.layer(&id), problem);
        found.fatal = names.is_some();
        found.images = names.into_iter().flatten().cloned().collect();
        checked.damage.push(found);
    }
    Ok(())
}
