//! `ctr-image tag` and `ctr-image rm`: names come and go, content goes with gc.

use std::collections::BTreeSet;

use ctr_cli::{Failure, GlobalArgs, OutputFormat, human};
use ctr_core::digest::Digest;
use ctr_core::launch::LayerId;
use ctr_core::reference::Reference;
use ctr_core::store::{ImageRef, Store};
use serde::Serialize;

use ctr_export::hinted;
use ctr_export::{Details, familiar, names_by_image};

/// Give an image another name
#[derive(Debug, clap::Args)]
pub(crate) struct TagOptions {
    /// Name, digest, or the beginning of a digest
    image: String,
    /// The names to give it; what had such a name before loses it
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// Take names away
///
/// The content goes when ctr-gc finds that nothing uses it.
#[derive(Debug, clap::Args)]
pub(crate) struct RemoveOptions {
    /// Name; or the digest, or its beginning, of an image with one name
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Take all names of these images away
    #[arg(long)]
    all_names: bool,
}

/// What `rm` did (spec/schemas/image-removed.json).
#[derive(Debug, Serialize)]
struct Removed {
    name: String,
    digest: Digest,
    /// Names that the image has still.
    left: Vec<String>,
    /// Bytes of blobs and layers that no other image has.
    freed_by_gc: u64,
}

pub(crate) fn tag(options: &TagOptions, store: &Store) -> Result<(), Failure> {
    let names = options.names.iter().map(|name| new_name(name)).collect::<Result<Vec<_>, _>>()?;
    let image = store.find_image(&options.image).map_err(hinted)?;
    for name in names {
        if let Some(old) = store.resolve(&name).map_err(hinted)?.filter(|old| *old != image.digest) {
            ctr_cli::note(format!("{name} was {} and is now {}", old.short(), image.digest.short()));
        }
        store.tag(&name, &image.digest).map_err(hinted)?;
    }
    Ok(())
}

/// A name that can be given: a digest cannot, content decides it.
fn new_name(text: &str) -> Result<Reference, Failure> {
    let name: Reference = text.parse().map_err(|error| Failure::usage(format!("{error}")))?;
    if name.digest().is_some() {
        return Err(Failure::usage(format!("\"{text}\" has a digest, which no name can be given")));
    }
    Ok(name)
}

pub(crate) fn remove(options: &RemoveOptions, global: &GlobalArgs, store: &Store) -> Result<(), Failure> {
    let mut removed = Vec::new();
    for text in &options.images {
        let found = store.find_image(text).map_err(hinted)?;
        for name in names_to_remove(options.all_names, text, &found, store)? {
            let reference: Reference = name.parse()?;
            if !store.untag(&reference).map_err(hinted)? {
                return Err(Failure::new(format!("{name} was removed meanwhile")));
            }
            let left = names_by_image(store)?.remove(&found.digest).unwrap_or_default();
            let freed = if left.is_empty() { only_here(store, &found.digest) } else { 0 };
            let result = Removed { name, digest: found.digest, left, freed_by_gc: freed };
            if global.format == OutputFormat::Table {
                tell(&result, global.quiet)?;
            }
            removed.push(result);
        }
    }
    if global.format == OutputFormat::Json {
        ctr_cli::print_json(&removed)?;
    }
    Ok(())
}

fn names_to_remove(all: bool, text: &str, found: &ImageRef, store: &Store) -> Result<Vec<String>, Failure> {
    let names = names_by_image(store)?.remove(&found.digest).unwrap_or_default();
    if all {
        return Ok(names);
    }
    match (&found.name, names.as_slice()) {
        (Some(name), _) if names.contains(name) => Ok(vec![name.clone()]),
        (_, []) => Err(Failure::new(format!("{} has no name to take away", found.digest))
            .hint("ctr-gc removes images without a name when nothing uses them")),
        (_, [_]) => Ok(names),
        _ => {
            let shown: Vec<String> = names.iter().map(|name| familiar(name)).collect();
            let text = format!("\"{text}\" has {} names: {}", names.len(), shown.join(", "));
            Err(Failure::new(text).hint("say which one to take away, or take all with --all-names"))
        }
    }
}

fn tell(removed: &Removed, quiet: bool) -> Result<(), Failure> {
    ctr_cli::print(&format!("{}\n", removed.name))?;
    if quiet {
        return Ok(());
    }
    if removed.left.is_empty() {
        let size = human::size(removed.freed_by_gc);
        ctr_cli::note(format!("the image has no name any more: ctr-gc frees {size} unless a container uses it"));
    } else {
        let left: Vec<String> = removed.left.iter().map(|name| familiar(name)).collect();
        ctr_cli::note(format!("the image still has the name {}", left.join(", ")));
    }
    Ok(())
}

/// Bytes of blobs and unpacked layers that the image shares with no image that has a name.
fn only_here(store: &Store, digest: &Digest) -> u64 {
    let Ok(details) = Details::load(store, digest) else { return 0 };
    let (mut blobs, mut layers) = (BTreeSet::new(), BTreeSet::new());
    let others = names_by_image(store).unwrap_or_default();
    for (other, _) in others.iter().filter(|(other, names)| *other != digest && !names.is_empty()) {
        if let Ok(other) = Details::load(store, other) {
            blobs.extend(other.manifest.layers.iter().map(|layer| layer.digest));
            blobs.insert(other.manifest.config.digest);
            layers.extend(other.launch.layers.iter().copied());
        }
    }
    let own = details.manifest.layers.iter().chain([&details.manifest.config]);
    let own: BTreeSet<(Digest, u64)> = own.map(|blob| (blob.digest, blob.size)).collect();
    let in_blobs: u64 = own.iter().filter(|(digest, _)| !blobs.contains(digest)).map(|(_, size)| size).sum();
    let unpacked: BTreeSet<LayerId> = details.launch.layers.iter().copied().filter(|id| !layers.contains(id)).collect();
    let in_layers = unpacked.iter().filter_map(|id| store.layer(id).ok().flatten()).map(|done| done.bytes).sum::<u64>();
    in_blobs + in_layers + details.manifest_bytes.len() as u64
}
