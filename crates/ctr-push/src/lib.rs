//! `ctr-push`: copy images of the store to registries, files and directories.
#![forbid(unsafe_code)]

mod destination;
mod interrupt;
mod registry;
mod report;
mod upkeep;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory as _, Parser};
use ctr_cli::{Context as _, Failure, GlobalArgs, OutputFormat, Progress};
use ctr_core::reference::Reference;
use ctr_core::store::Store;
use ctr_export::{Export, Item, Tree, names_by_image};
use ctr_registry::args::RegistryArgs;
use ctr_registry::{Client, Pusher};
use destination::Destination;
use interrupt::Interrupt;
use registry::{Push, hinted};
use report::{Outcome, Pushed};
use upkeep::UpkeepArgs;

/// Copy images of the store to registries, files and directories
///
/// Prints `NAME DIGEST`. What is there already is not sent again.
#[derive(Debug, Parser)]
#[command(name = "ctr-push", version = ctr_cli::VERSION, after_help = EXAMPLES)]
pub struct Options {
    /// Name, digest, or the beginning of a digest
    image: String,
    /// Where to: [docker://]NAME[:TAG] in its registry, oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], FILE.aci
    /// [default: the name of the image]
    destination: Option<OsString>,
    /// Write the digest to this file too
    #[arg(long, value_name = "FILE")]
    digestfile: Option<PathBuf>,
    #[command(flatten)]
    upkeep: UpkeepArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    global: GlobalArgs,
}

const EXAMPLES: &str = "\
Examples:
  ctr-push registry.example.com/app:1
  ctr-push app:1 registry.example.com/app:1
  ctr-push app:1 oci-archive:app.tar";

/// The command line of `ctr-push`; help, man page and completions come from it.
pub fn command() -> clap::Command {
    Options::command()
}

/// Entry point: parses the arguments, runs, renders the error if there is one.
pub fn main() -> ExitCode {
    ctr_cli::run_main(command(), ctr_cli::exit::TOOL, run)
}

#[allow(clippy::needless_pass_by_value, reason = "the signature that run_main takes")]
fn run(options: Options) -> Result<(), Failure> {
    if options.upkeep.run(&options.image, options.destination.as_deref(), options.global.format)? {
        return Ok(());
    }
    let destination = options.destination.as_deref().map(Destination::parse).transpose()?;
    let store = Store::open(&options.global.root_or(Store::default_root)).map_err(ctr_export::hinted)?;
    let found = store.find_image(&options.image).map_err(ctr_export::hinted)?;
    // Held until the end: gc takes nothing of the image meanwhile.
    let txn = store.begin().map_err(ctr_export::hinted)?;
    txn.keep_image(&found.digest).map_err(ctr_export::hinted)?;
    let name = match found.name {
        Some(name) => Some(name),
        None => names_by_image(&store)?.remove(&found.digest).and_then(|names| names.into_iter().next()),
    };
    let name: Option<Reference> = name.map(|name| name.parse()).transpose()?;
    let tree = Tree::load(&store, &txn, &found.digest)?;
    let destination = match (destination, &name) {
        (Some(destination), _) => destination,
        (None, Some(name)) => Destination::Registry(name.without_digest()),
        (None, None) => {
            return Err(Failure::usage(format!("{} has no name: say where it shall go", options.image)));
        }
    };
    let work = Work { options: &options, store: &store, progress: Progress::new() };
    let pushed = match &destination {
        Destination::Registry(reference) => work.to_registry(&tree, reference),
        Destination::Files(files) => work.to_files(tree, name, files),
    };
    work.progress.clear();
    let pushed = pushed?;
    if let Some(path) = &options.digestfile {
        let text = format!("{}\n", pushed.digest);
        std::fs::write(path, text).context(|| format!("cannot write {}", path.display()))?;
    }
    match options.global.format {
        OutputFormat::Table => ctr_cli::print(&pushed.line()),
        OutputFormat::Json => ctr_cli::print_json(&pushed),
    }
}

/// One push.
struct Work<'a> {
    options: &'a Options,
    store: &'a Store,
    progress: Progress,
}

impl Work<'_> {
    fn to_registry(&self, tree: &Tree, reference: &Reference) -> Result<Pushed, Failure> {
        let client = Client::new(self.options.registry.settings());
        let place = client.places(reference).map_err(hinted)?.pop();
        let place = place.ok_or_else(|| Failure::new(format!("no registry takes {reference}")))?;
        let pusher = Arc::new(Pusher::new(place.repository));
        let interrupt = Interrupt::watch(&pusher)?;
        let push = Push {
            store: self.store,
            pusher,
            progress: self.progress.clone(),
            elsewhere: std::collections::BTreeMap::new(),
        };
        push_tree(&push, tree, &place.reference).map_err(|failure| interrupt.explain(failure)).map(|mut pushed| {
            pushed.name = reference.to_string();
            pushed
        })
    }

    fn to_files(
        &self,
        tree: Tree,
        name: Option<Reference>,
        files: &ctr_export::Destination,
    ) -> Result<Pushed, Failure> {
        let items = [Item { tree, name, tag: files.tag.clone() }];
        let export = Export { store: self.store, items: &items, progress: self.progress.clone() };
        export.to(files)?;
        let [item] = items;
        let part = |digest, size| report::Part { digest, size, outcome: Outcome::Uploaded };
        let tree = item.tree;
        Ok(Pushed {
            name: files.path.display().to_string(),
            digest: tree.top().digest,
            images: 1,
            referrers: 0,
            manifests: tree.documents.iter().map(|found| part(found.digest, found.bytes.len() as u64)).collect(),
            blobs: tree.blobs.iter().map(|blob| part(blob.digest, blob.size)).collect(),
            sent: tree.blobs.iter().map(|blob| blob.size).sum(),
        })
    }
}

fn push_tree(push: &Push<'_>, tree: &Tree, reference: &Reference) -> Result<Pushed, Failure> {
    let blobs = push.blobs(&tree.blobs)?;
    let top = tree.top();
    let mut manifests = Vec::new();
    for document in &tree.documents {
        let part = match registry::target(reference).filter(|_| document.digest == top.digest) {
            Some(tag) => push.name(tag, document)?,
            None => push.document(document)?,
        };
        manifests.push(part);
    }
    let sent = blobs.iter().filter(|blob| blob.outcome == Outcome::Uploaded).map(|blob| blob.size).sum();
    Ok(Pushed { name: String::new(), digest: top.digest, images: 1, referrers: 0, manifests, blobs, sent })
}
