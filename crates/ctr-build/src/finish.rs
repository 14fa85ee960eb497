//! What comes when all platforms are built: caches elsewhere, the index, names, registries, what the user is told.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::ValueEnum as _;
use ctr_cli::{Context as _, Failure, OutputFormat};
use ctr_core::digest::Digest;
use ctr_core::platform::Platform;
use ctr_core::reference::Reference;
use ctr_core::spec::oci::{Descriptor, MediaType};
use ctr_core::spec::write;

use crate::args::{IsolationName, Options};
use crate::builder::hinted;
use crate::commit::Image;
use crate::plan::Done;
use crate::portable;
use crate::request::CachePlace;

/// What the names stand for: the image, or the index of several.
#[derive(Debug)]
pub(crate) struct Whole {
    /// The manifest, or the index.
    pub(crate) descriptor: Descriptor,
    /// The config; an index has none.
    config: Option<Digest>,
    /// Bytes of all there is.
    size: u64,
    /// Which of the builds the names lead to, where one image is needed.
    named: usize,
}

/// Writes what the builds used to where `--cache-to` says.
pub(crate) fn caches(done: &[Done<'_>]) -> Result<(), Failure> {
    for done in done {
        for place in &done.builder.request.cache_to {
            if let CachePlace::Directory(dir) = place {
                portable::write(&done.builder, dir)?;
            }
        }
    }
    // A registry gets one artifact of all platforms.
    for place in done.iter().take(1).flat_map(|done| &done.builder.request.cache_to) {
        if let CachePlace::Registry(cache) = place {
            cache.write(done)?;
        }
    }
    Ok(())
}

/// The image, or an index of the images, whose names lead to that of them which this machine runs. `statements` are entries
/// of the index that are about its images. Nothing has a name yet.
pub(crate) fn whole(done: &[Done<'_>], statements: Vec<Descriptor>) -> Result<Whole, Failure> {
    let Some(first) = done.first() else { return Err(Failure::new("nothing was built")) };
    if let [only] = done {
        only.builder.txn.publish_pending().map_err(hinted)?;
        let Image { config, size, manifest, .. } = &only.image;
        return Ok(Whole { descriptor: manifest.clone(), config: Some(*config), size: *size, named: 0 });
    }
    let entry = |done: &Done<'_>| Descriptor { platform: Some(platform(&done.image)), ..done.image.manifest.clone() };
    let bytes = write::index(&done.iter().map(entry).chain(statements).collect::<Vec<_>>());
    let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
    let host = Platform::host();
    let runs = |done: &&Done<'_>| host.runs(&platform(&done.image)).is_some();
    let named = done.iter().position(|done| runs(&done)).unwrap_or(0);
    let keeper = done.get(named).unwrap_or(first);
    keeper.builder.txn.put_blob(&bytes, Some((digest, size))).map_err(hinted)?;
    keeper.builder.txn.publish_pending().map_err(hinted)?;
    let size = size + done.iter().map(|done| done.image.size).sum::<u64>();
    let descriptor = Descriptor::new(MediaType::INDEX, digest, bytes.len() as u64);
    Ok(Whole { descriptor, config: None, size, named })
}

fn platform(image: &Image) -> Platform {
    Platform::new(&image.launch.os, &image.launch.architecture, &image.launch.variant)
}

/// Points the names at an image; those that are right stay as they are.
fn point(done: &Done<'_>, names: &[Reference], index: Option<Digest>) -> Result<(), Failure> {
    let (store, txn, image) = (&done.builder.store, &done.builder.txn, &done.image);
    for name in names {
        let known = (store.resolve(name).map_err(hinted)?, store.index_of(name).map_err(hinted)?);
        if known != (Some(image.digest), index) {
            txn.tag(name, &image.digest, index).map_err(hinted)?;
        }
    }
    Ok(())
}

/// Sends the image where its names say. They are not the image's yet.
pub(crate) fn push(root: &Path, done: &[Done<'_>], whole: &Whole, names: &[String]) -> Result<(), Failure> {
    let program = crate::beside("ctr-push", "--push is done by it")?;
    for name in names {
        let mut command = Command::new(&program);
        let voice = done.iter().take(1).flat_map(|done| &done.builder.request.voice);
        command.arg("--root").arg(root).args(voice).stdin(Stdio::null()).stdout(Stdio::null());
        if whole.config.is_some() {
            command.arg("--only-image");
        }
        command.arg("--").arg(whole.descriptor.digest.to_string()).arg(OsStr::new(name));
        let status = command
            .status()
            .map_err(|error| Failure::new(format!("cannot run {}", program.display())).caused_by(&error))?;
        if !status.success() {
            return Err(Failure::new(format!("{name} could not be pushed"))
                .because("ctr-push failed, see above")
                .hint("no name has moved; build again: the steps that are done are not done twice"));
        }
    }
    Ok(())
}

/// Says what was built.
pub(crate) fn report(
    options: &Options,
    isolation: IsolationName,
    done: &[Done<'_>],
    whole: &Whole,
    names: &[String],
    stdout_is_taken: bool,
) -> Result<(), Failure> {
    let isolation = isolation.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let (mut cached, mut run, mut time) = (0, 0, Duration::ZERO);
    for done in done {
        let (counts, took) = done.builder.view.summary();
        // The time of the first one has not stopped when the others began.
        (cached, run, time) = (cached + counts.cached, run + counts.done, time.max(took));
    }
    let digest = whole.descriptor.digest;
    let name = names.first().map_or("-", String::as_str);
    if stdout_is_taken {
        ctr_cli::note(format!("{name} {digest}"));
        return Ok(());
    }
    if options.global.format == OutputFormat::Json {
        return ctr_cli::print_json(&whole.json(done, names, &isolation, cached, run));
    }
    if done.iter().any(|done| done.builder.view.is_for_people()) {
        let seconds = time.as_secs_f64();
        ctr_cli::note(format!("{} steps, {cached} from the cache, {seconds:.1} s ({isolation})", cached + run));
    }
    ctr_cli::print(&if options.global.quiet { format!("{digest}\n") } else { format!("{name} {digest}\n") })
}

impl Whole {
    /// Gives the names to it: the last thing that a build does with the store.
    pub(crate) fn name(&self, done: &[Done<'_>]) -> Result<(), Failure> {
        let Some(named) = done.get(self.named) else { return Ok(()) };
        let index = self.config.is_none().then_some(self.descriptor.digest);
        point(named, &named.builder.request.tags, index)
    }

    fn json(&self, done: &[Done<'_>], names: &[String], isolation: &str, cached: u64, run: u64) -> serde_json::Value {
        let mut bases: Vec<_> = done.iter().flat_map(|done| done.builder.images.all()).collect();
        bases.sort();
        bases.dedup();
        let base = |(name, digest)| serde_json::json!({"name": name, "digest": digest});
        let mut object = serde_json::json!({
            "names": names,
            "digest": self.descriptor.digest,
            "size": self.size,
            "bases": bases.into_iter().map(base).collect::<Vec<_>>(),
            "isolation": isolation,
            "steps": {"cached": cached, "run": run},
        });
        let more = match done {
            [only] => serde_json::json!({"config": only.image.config, "layers": only.image.launch.layers.len()}),
            several => {
                let image = |done: &Done<'_>| {
                    let Image { digest, config, launch, .. } = &done.image;
                    let platform = platform(&done.image).to_string();
                    serde_json::json!({"platform": platform, "digest": digest, "config": config, "layers": launch.layers.len()})
                };
                serde_json::json!({"images": several.iter().map(image).collect::<Vec<_>>()})
            }
        };
        if let (Some(object), serde_json::Value::Object(more)) = (object.as_object_mut(), more) {
            object.extend(more);
        }
        object
    }

    /// `--iidfile` and `--metadata-file`, as docker has them.
    pub(crate) fn write_files(
        &self,
        iidfile: Option<&Path>,
        metadata_file: Option<&Path>,
        names: &[String],
    ) -> Result<(), Failure> {
        let descriptor = &self.descriptor;
        if let Some(path) = iidfile {
            put(path, self.config.unwrap_or(descriptor.digest).to_string().as_bytes())?;
        }
        let Some(path) = metadata_file else { return Ok(()) };
        let mut metadata = serde_json::json!({
            "containerimage.digest": descriptor.digest,
            "containerimage.descriptor": {
                "mediaType": descriptor.media_type.to_string(),
                "digest": descriptor.digest,
                "size": descriptor.size,
            },
            "image.name": names.join(","),
        });
        if let (Some(config), Some(members)) = (self.config, metadata.as_object_mut()) {
            members.insert("containerimage.config.digest".to_owned(), serde_json::json!(config));
        }
        let mut json = serde_json::to_vec_pretty(&metadata).context(|| "cannot write JSON".to_owned())?;
        json.push(b'\n');
        put(path, &json)
    }
}

/// Writes a file in one step: whoever reads it finds the old one or the new one.
fn put(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = || format!("cannot write {}", path.display());
    let mut staged = path.as_os_str().to_owned();
    staged.push(format!(".{}.new", std::process::id()));
    let mut file = std::fs::File::create(&staged).context(failed)?;
    file.write_all(bytes).context(failed)?;
    drop(file);
    std::fs::rename(&staged, path).context(failed)
}
