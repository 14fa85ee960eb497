//! `ctr-image export`: an image of the store as a file or directory that other tools read.

use std::ffi::{OsStr, OsString};

use ctr_cli::{Failure, GlobalArgs, OutputFormat, Progress};
use ctr_core::digest::Digest;
use ctr_core::reference::Reference;
use ctr_core::store::Store;
use ctr_export::{Destination, Export, Item, Tree, Type, hinted, names_by_image};
use serde::Serialize;

/// Write images to a file or directory
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "ctr-image export [OPTIONS] IMAGE... DESTINATION\n       ctr-image export [OPTIONS] -o DESTINATION IMAGE..."
)]
pub(crate) struct Options {
    /// Names, digests, or beginnings of digests, and where they go: FILE (an .aci, which holds one image),
    /// oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], or oci:DIR[:TAG]; a directory that is an OCI layout already gets
    /// the images besides. `ctr-fetch --all` takes all images of a file or directory in
    #[arg(required = true, num_args = 1.., value_names = ["IMAGE", "DESTINATION"])]
    images_and_destination: Vec<OsString>,
    /// The destination, as `pack` takes it; all arguments are images then
    #[arg(short, long, value_name = "DESTINATION")]
    output: Option<OsString>,
    /// What to write to a path that has no prefix; .aci if it is not told
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    kind: Option<Type>,
}

/// What was written (spec/schemas/image-exported.json).
#[derive(Debug, Serialize)]
struct Report {
    destination: String,
    r#type: Type,
    name: Option<String>,
    digest: Digest,
    /// All of them; the first one is also told above.
    images: Vec<Exported>,
}

#[derive(Debug, Serialize)]
struct Exported {
    name: Option<String>,
    digest: Digest,
}

impl Options {
    /// The images and where they go.
    fn split(&self) -> Result<(Vec<&str>, &OsStr), Failure> {
        let (images, destination) = match (&self.output, self.images_and_destination.split_last()) {
            (Some(output), _) => (self.images_and_destination.as_slice(), output),
            (None, Some((destination, images))) => (images, destination),
            (None, None) => return Err(Failure::usage("an export needs an image and a destination")),
        };
        if images.is_empty() {
            return Err(Failure::usage("an export needs an image and a destination"));
        }
        let mut texts: Vec<&str> = Vec::new();
        for image in images {
            let no_text = || Failure::usage(format!("\"{}\" is no image: it is not UTF-8", image.display()));
            let name = image.to_str().ok_or_else(no_text)?;
            if !texts.contains(&name) {
                texts.push(name);
            }
        }
        Ok((texts, destination))
    }
}

pub(crate) fn run(options: &Options, global: &GlobalArgs, store: &Store) -> Result<(), Failure> {
    let (images, destination) = options.split()?;
    let destination = Destination::parse(destination, options.kind)?;
    if images.len() > 1 && destination.kind == Type::Aci {
        return Err(Failure::usage("an .aci holds one image").hint("write oci-archive: before the file for several"));
    }
    if images.len() > 1 && destination.tag.is_some() {
        return Err(Failure::usage("a tag behind the destination names one image, but there are several"));
    }
    // Held until the end: gc takes nothing of the images meanwhile.
    let txn = store.begin().map_err(hinted)?;
    let mut items = Vec::with_capacity(images.len());
    let mut exported = Vec::with_capacity(images.len());
    for image in images {
        let found = store.find_image(image).map_err(hinted)?;
        txn.keep_image(&found.digest).map_err(hinted)?;
        let own = match found.name {
            Some(name) => Some(name),
            None => names_by_image(store)?.remove(&found.digest).and_then(|names| names.into_iter().next()),
        };
        let name: Option<Reference> = own.map(|name| name.parse()).transpose()?;
        exported.push(Exported { name: name.as_ref().map(ToString::to_string), digest: found.digest });
        items.push(Item { tree: Tree::load(store, &txn, &found.digest)?, name, tag: destination.tag.clone() });
    }
    let export = Export { store, items: &items, progress: Progress::new() };
    export.to(&destination)?;
    export.progress.clear();
    let Some(first) = exported.first() else { return Ok(()) };
    match global.format {
        OutputFormat::Table => exported.iter().try_for_each(|image| ctr_cli::print(&format!("{}\n", image.digest))),
        OutputFormat::Json => ctr_cli::print_json(&Report {
            destination: destination.path.display().to_string(),
            r#type: destination.kind,
            name: first.name.clone(),
            digest: first.digest,
            images: exported,
        }),
    }
}
