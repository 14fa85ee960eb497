//! Volumes and images that the store keeps, taken before a container's record names them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use ctr_cli::Failure;
use ctr_core::store::Store;
use ctr_core::volume::{VolumeError, VolumeRecord, Volumes, VolumesHeld};
use ctr_sandbox::options::{ImageFound, MountKind, RunOptions};
use ctr_sandbox::plan::{Plan, Shown};

use crate::image::store_failure;

/// The request with the images of its mounts looked up. To be called under a hold of the store's gate, which also keeps
/// their layers until the container's record does.
pub(crate) fn with_images<'a>(store: &Store, options: &'a RunOptions) -> Result<Cow<'a, RunOptions>, Failure> {
    let mut options = Cow::Borrowed(options);
    if !options.filesystem.mounts.iter().any(|mount| matches!(mount.kind, MountKind::Image { .. })) {
        return Ok(options);
    }
    for mount in &mut options.to_mut().filesystem.mounts {
        if let MountKind::Image { name, found } = &mut mount.kind {
            let digest = store.find_image(name).map_err(store_failure)?.digest;
            let launch = store.launch_record(&digest).map_err(store_failure)?;
            *found = Some(ImageFound { digest, layers: launch.layers });
        }
    }
    Ok(options)
}

/// Makes the named volumes of a plan that are not there yet. While the result is held none of them is removed; once the
/// container's record names them, they are in use.
pub(crate) fn take(root: &Path, plan: &Plan) -> Result<Option<VolumesHeld>, Failure> {
    let names = plan.mounts.iter().filter_map(|mount| match &mount.shown {
        Shown::Volume { name, .. } => Some(name.as_str()),
        _ => None,
    });
    let mut held = None;
    for name in names {
        let volumes = Volumes::open(root);
        let hold = match held.take() {
            Some(hold) => hold,
            None => volumes.hold().map_err(failure)?,
        };
        volumes.create(&VolumeRecord::new(name, BTreeMap::new()), &hold).map_err(failure)?;
        held = Some(hold);
    }
    Ok(held)
}

fn failure(error: VolumeError) -> Failure {
    Failure::hinted(error, VolumeError::hint)
}
