//! From an image config to the record that the start path reads.

use super::oci::ImageConfig;
use crate::digest::Digest;
use crate::launch::{LAUNCH_VERSION, LaunchRecord, LayerId};

/// What was found out about the layers of an image when they were unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnpackedLayers {
    /// Their directories under `store/layers`, lowest first.
    pub layers: Vec<LayerId>,
    /// The largest user id that owns a file.
    pub max_uid: u32,
    /// The largest group id that owns a file.
    pub max_gid: u32,
}

/// The launch record of the image with manifest digest `image` and config digest `digest`.
pub fn launch_record(image: Digest, digest: Digest, config: &ImageConfig, unpacked: UnpackedLayers) -> LaunchRecord {
    LaunchRecord {
        version: LAUNCH_VERSION,
        image,
        config: digest,
        os: config.platform.os.clone(),
        architecture: config.platform.architecture.clone(),
        variant: config.platform.variant.clone(),
        layers: unpacked.layers,
        max_uid: unpacked.max_uid,
        max_gid: unpacked.max_gid,
        entrypoint: config.entrypoint.clone(),
        cmd: config.cmd.clone(),
        env: config.env.clone(),
        user: config.user.clone(),
        working_dir: config.working_dir.clone(),
        stop_signal: config.stop_signal.clone(),
        volumes: config.volumes.clone(),
        exposed_ports: config.exposed_ports.clone(),
        labels: config.labels.clone(),
    }
}
