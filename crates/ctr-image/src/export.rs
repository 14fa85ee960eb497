//! `ctr-image export`: an image of the store as a file or directory that other tools read.

use ctr_cli::{Failure, GlobalArgs, OutputFormat, Progress};
use ctr_core::digest::Digest;
use ctr_core::reference::Reference;
use ctr_core::store::Store;
use ctr_export::{Destination, Export, Item, Tree, Type, hinted, names_by_image};
use serde::Serialize;

/// Write an image to a file or directory
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Name, digest, or the beginning of a digest
    image: String,
    /// FILE (an .aci), oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], or oci:DIR[:TAG]; a directory that is an OCI layout
    /// already gets one image more
    #[arg(required_unless_present = "output")]
    destination: Option<std::ffi::OsString>,
    /// The destination, as `pack` takes it
    #[arg(short, long, value_name = "DESTINATION", conflicts_with = "destination")]
    output: Option<std::ffi::OsString>,
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
}

pub(crate) fn run(options: &Options, global: &GlobalArgs, store: &Store) -> Result<(), Failure> {
    let destination = options.destination.as_ref().or(options.output.as_ref());
    let destination = destination.ok_or_else(|| Failure::usage("an export needs a destination"))?;
    let destination = Destination::parse(destination, options.kind)?;
    let found = store.find_image(&options.image).map_err(hinted)?;
    // Held until the end: gc takes nothing of the image meanwhile.
    let txn = store.begin().map_err(hinted)?;
    txn.keep_image(&found.digest).map_err(hinted)?;
    let own = match found.name {
        Some(name) => Some(name),
        None => names_by_image(store)?.remove(&found.digest).and_then(|names| names.into_iter().next()),
    };
    let name: Option<Reference> = own.map(|name| name.parse()).transpose()?;
    let item = Item { tree: Tree::load(store, &txn, &found.digest)?, name, tag: destination.tag.clone() };
    let items = [item];
    let export = Export { store, items: &items, progress: Progress::new() };
    export.to(&destination)?;
    export.progress.clear();
    match global.format {
        OutputFormat::Table => ctr_cli::print(&format!("{}\n", found.digest)),
        OutputFormat::Json => ctr_cli::print_json(&Report {
            destination: destination.path.display().to_string(),
            r#type: destination.kind,
            name: items.into_iter().find_map(|item| item.name).map(|name| name.to_string()),
            digest: found.digest,
        }),
    }
}
