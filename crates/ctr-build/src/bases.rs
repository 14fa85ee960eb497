//! Images that a build stands on. `ctr-fetch` brings them in, before anything else is done: as who the caller is.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use ctr_cli::Failure;
use ctr_core::digest::Digest;
use ctr_core::platform::Platform;
use ctr_core::reference::Reference;
use ctr_core::spec::{MAX_DOCUMENT, oci};
use ctr_core::store::{Store, StoreError};

use crate::actions::LayerAction;
use crate::args::Pull;
use crate::builder::{Builder, Built, hinted};
use crate::config::Config;
use crate::key::KeyHasher;
use crate::layer::{Layer, Sealed, chain_id};
use crate::request::Request;
use crate::scope::Arguments;

/// The images of a build by the names that the Dockerfile has for them, and by platform where FROM says one.
#[derive(Debug, Default)]
pub(crate) struct Images {
    digests: Mutex<BTreeMap<(String, Option<String>), Digest>>,
}

impl Images {
    /// Finds `name`, or fetches it.
    pub(crate) fn prepare(
        &self,
        root: &Path,
        request: &Request,
        name: &str,
        platform: Option<&str>,
    ) -> Result<Digest, Failure> {
        if let Some(digest) = self.known(name, platform) {
            return Ok(digest);
        }
        let digest = find(root, request, name, platform)?;
        let key = (name.to_owned(), platform.map(str::to_owned));
        self.digests.lock().unwrap_or_else(PoisonError::into_inner).insert(key, digest);
        Ok(digest)
    }

    fn known(&self, name: &str, platform: Option<&str>) -> Option<Digest> {
        let key = (name.to_owned(), platform.map(str::to_owned));
        self.digests.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied()
    }

    /// The image as the beginning of a stage.
    pub(crate) fn get(&self, builder: &Builder<'_>, name: &str, platform: Option<&str>) -> Result<Built, Failure> {
        let digest = if let Some(digest) = self.known(name, platform) {
            digest
        } else {
            // Only a trigger of a base can name one that was not prepared. ctr-fetch shows how far it is.
            let _paused = builder.view.pause();
            self.prepare(builder.store.root(), builder.request, name, platform)?
        };
        load(builder, &digest).map_err(|failure| failure.within(format!("cannot build on {name}")))
    }

    /// Names and digests, sorted.
    pub(crate) fn all(&self) -> Vec<(String, Digest)> {
        let digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        digests.iter().map(|((name, _), digest)| (name.clone(), *digest)).collect()
    }
}

fn find(root: &Path, request: &Request, name: &str, platform: Option<&str>) -> Result<Digest, Failure> {
    let is_file = name.starts_with("oci:") || name.starts_with("oci-archive:") || name.starts_with('/');
    let ask = matches!(request.pull, Pull::Always | Pull::Newer);
    let platform: Platform = match platform {
        Some(text) => text.parse().map_err(|error| Failure::new(format!("--platform={text}: {error}")))?,
        None => request.platform.clone(),
    };
    if !ask && !is_file {
        match stored(root, name, &platform) {
            Ok(Some(digest)) => return Ok(digest),
            Ok(None) if request.pull == Pull::Never => {
                return Err(Failure::new(format!("the store has {name}, but not for {platform}"))
                    .hint(format!("ctr-fetch --all-platforms {name}")));
            }
            Err(error @ (StoreError::NoImage(_) | StoreError::Missing { .. })) if request.pull == Pull::Never => {
                return Err(hinted(error));
            }
            Ok(None) | Err(StoreError::NoImage(_) | StoreError::Missing { .. }) => {}
            Err(error) => return Err(hinted(error)),
        }
    }
    let mut options = Vec::new();
    if !is_file {
        let word = match request.pull {
            Pull::Always => "always",
            Pull::Missing => "missing",
            Pull::Newer => "newer",
            Pull::Never => "never",
        };
        options.extend(["--pull", word]);
    }
    if Platform::host().runs(&platform).is_none() {
        // Whoever runs that name here means the image of this machine.
        options.push("--unnamed");
    }
    let platform = platform.to_string();
    options.extend(["--platform", &platform]);
    options.extend(&request.voice);
    fetch(root, OsStr::new(name), &options)
}

/// The image of that name for the platform: that which the name stands for, or another one of the index that it came with.
fn stored(root: &Path, name: &str, platform: &Platform) -> Result<Option<Digest>, StoreError> {
    let store = Store::open(root)?;
    let found = store.find_image(name)?;
    let fits = |image: &Digest| {
        store.launch_record(image).is_ok_and(|launch| {
            platform.runs(&Platform::new(&launch.os, &launch.architecture, &launch.variant)).is_some()
        })
    };
    if fits(&found.digest) {
        return Ok(Some(found.digest));
    }
    let Some(Ok(reference)) = found.name.map(|name| name.parse::<Reference>()) else { return Ok(None) };
    let Some(index) = store.index_of(&reference)? else { return Ok(None) };
    let Ok(index) = oci::parse_index(&store.read_blob_capped(&index, MAX_DOCUMENT)?) else { return Ok(None) };
    let chosen = platform.choose(&index.manifests).ok().and_then(|at| index.manifests.get(at));
    Ok(chosen.map(|entry| entry.digest).filter(fits))
}

/// Runs the `ctr-fetch` beside this executable, never one of `$PATH`, and reads `NAME DIGEST`.
fn fetch(root: &Path, source: &OsStr, options: &[&str]) -> Result<Digest, Failure> {
    let program = crate::beside("ctr-fetch", "images that the store does not have are brought in by it")?;
    let mut command = Command::new(&program);
    command.arg("--root").arg(root).args(options).stdin(Stdio::null()).stderr(Stdio::inherit());
    command.arg("--").arg(source);
    let output = command
        .output()
        .map_err(|error| Failure::new(format!("cannot run {}", program.display())).caused_by(&error))?;
    if !output.status.success() {
        return Err(
            Failure::new(format!("{} could not be fetched", source.display())).because("ctr-fetch failed, see above")
        );
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let digest = text.lines().last().and_then(|line| line.rsplit_once(' ')).and_then(|(_, digest)| digest.parse().ok());
    digest.ok_or_else(|| Failure::new(format!("ctr-fetch printed no digest for {}", source.display())))
}

fn load(builder: &Builder<'_>, digest: &Digest) -> Result<Built, Failure> {
    let (store, txn) = (&builder.store, &builder.txn);
    txn.keep_image(digest).map_err(hinted)?;
    let read = |digest: &Digest| store.read_blob_capped(digest, MAX_DOCUMENT).map_err(hinted);
    let spec = |error: ctr_core::spec::SpecError| Failure::new(error.to_string());
    let manifest = oci::parse_manifest(&read(digest)?).map_err(spec)?;
    let bytes = read(&manifest.config.digest)?;
    let parsed = oci::parse_config(&bytes, manifest.layers.len()).map_err(spec)?;
    let config =
        Config::of_base(&bytes).map_err(|error| Failure::new("its config cannot be read").caused_by(&error))?;
    let mut layers = Vec::with_capacity(manifest.layers.len());
    let mut chain = None;
    for (descriptor, diff_id) in manifest.layers.iter().zip(&parsed.diff_ids) {
        let chain_id = chain_id(chain, diff_id);
        chain = Some(chain_id);
        let done = txn.keep_whole_layer(&chain_id, diff_id).map_err(hinted)?.ok_or_else(|| {
            Failure::new(format!("the store has no unpacked layer {diff_id}")).hint("ctr-gc fsck --repair")
        })?;
        let blob = LayerAction {
            digest: descriptor.digest,
            size: descriptor.size,
            media_type: descriptor.media_type.to_string(),
            diff_id: *diff_id,
            chain_id,
        };
        layers.push(Layer::sealed(Sealed::new(blob, &done)));
    }
    let mut key = KeyHasher::new("image");
    if let Some(chain) = &chain {
        key.digest("chain", chain);
    }
    Ok(Built { config, layers, key: key.finish(), arguments: Arguments::default() })
}
