//! `ctr-push`: copy images of the store to registries, files and directories.
#![forbid(unsafe_code)]

mod destination;
mod interrupt;
mod registry;
mod report;
mod selection;
mod static_tree;
mod upkeep;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory as _, Parser};
use ctr_cli::{Context as _, Failure, GlobalArgs, OutputFormat, Progress, ProgressArgs};
use ctr_core::reference::Reference;
use ctr_core::spec::platform::Platform;
use ctr_core::store::Store;
use ctr_export::{Export, Item, Type};
use ctr_registry::args::RegistryArgs;
use ctr_registry::{Client, Pusher};
use destination::Destination;
use interrupt::Interrupt;
use registry::{Push, hinted};
use report::{Outcome, Part, Pushed};
use selection::{Selection, Which};
use upkeep::UpkeepArgs;

/// Copy images of the store to registries, files and directories
///
/// Prints `NAME DIGEST`. What is there already is not sent again.
#[derive(Debug, Parser)]
#[command(name = "ctr-push", version = ctr_cli::VERSION, after_help = EXAMPLES)]
pub struct Options {
    /// Name, digest, or the beginning of a digest
    image: String,
    /// Where to: [docker://]NAME[:TAG] in its registry, oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], FILE.aci,
    /// static:DIR[:NAME[:TAG]] (a directory that a web server hands out as a registry) [default: the name of the image]
    destination: Option<OsString>,
    /// Write the digest to this file too
    #[arg(long, value_name = "FILE")]
    digestfile: Option<PathBuf>,
    /// Of an index push the image for this platform alone
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", conflicts_with_all = ["all_platforms", "only_image"])]
    platform: Option<String>,
    /// Push the index with all of its images, or fail if the store has not all of them
    #[arg(long, conflicts_with = "only_image")]
    all_platforms: bool,
    /// Push the image that the name stands for here, without the index that it came with
    #[arg(long)]
    only_image: bool,
    /// Leave out what refers to the image: signatures, bills of materials, attestations
    #[arg(long)]
    no_referrers: bool,
    #[command(flatten)]
    progress: ProgressArgs,
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
    let progress = options.progress.progress()?;
    let destination = options.destination.as_deref().map(Destination::parse).transpose()?;
    let which = options.which(destination.as_ref())?;
    let store = Store::open(&options.global.root_or(Store::default_root)).map_err(ctr_export::hinted)?;
    // Held until the end: gc takes nothing of the image meanwhile.
    let txn = store.begin().map_err(ctr_export::hinted)?;
    let mut selection = Selection::find(&store, &txn, &options.image, &which)?;
    let destination = match (destination, &selection.name) {
        (Some(destination), _) => destination,
        (None, Some(name)) => Destination::Registry(name.without_digest()),
        (None, None) => {
            return Err(Failure::usage(format!("{} has no name: say where it shall go", options.image)));
        }
    };
    if !options.no_referrers && !matches!(destination, Destination::Files(_)) {
        selection = selection.with_referrers(&store, &txn)?;
    }
    let work = Work { options: &options, store: &store, progress };
    let pushed = match &destination {
        Destination::Registry(reference) => work.to_registry(&selection, reference),
        Destination::Files(files) => work.to_files(selection, files),
        Destination::Static(dir, name) => work.to_static(&selection, dir, name.as_ref()),
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

impl Options {
    /// Which images of an index. Files of one image get one.
    fn which(&self, destination: Option<&Destination>) -> Result<Which, Failure> {
        let single = matches!(destination, Some(Destination::Files(files)) if matches!(files.kind, Type::Aci | Type::DockerArchive));
        if self.all_platforms && single {
            return Err(Failure::usage("a docker-archive or an .aci holds one image")
                .hint("oci:DIR and oci-archive:FILE hold an index with all of its images"));
        }
        if let Some(platform) = &self.platform {
            let platform = platform.parse::<Platform>().map_err(|error| Failure::usage(error.to_string()))?;
            return Ok(Which::Platform(platform));
        }
        Ok(match (self.all_platforms, self.only_image || single) {
            (true, _) => Which::All,
            (false, true) => Which::Only,
            (false, false) => Which::Best,
        })
    }
}

/// One push.
struct Work<'a> {
    options: &'a Options,
    store: &'a Store,
    progress: Progress,
}

impl Work<'_> {
    fn to_registry(&self, selection: &Selection, reference: &Reference) -> Result<Pushed, Failure> {
        if reference.digest().is_some() {
            return Err(Failure::usage("a destination has no digest: the content decides it"));
        }
        let client = Client::new(self.options.registry.settings());
        // The last one is the registry of the name itself: nothing is pushed to mirrors.
        let place = client.places(reference).map_err(hinted)?.pop();
        let place = place.ok_or_else(|| Failure::new(format!("no registry takes {reference}")))?;
        let own = repository_of(&client, reference);
        let same_registry = |name: &Reference| {
            let (host, path) = repository_of(&client, name)?;
            own.as_ref().is_some_and(|own| own.0 == host && own.1 != path).then_some(path)
        };
        let elsewhere = selection::elsewhere(self.store, &selection.blobs(), same_registry)?;
        let pusher = Arc::new(Pusher::new(place.repository));
        let interrupt = Interrupt::watch(&pusher)?;
        let push = Push { store: self.store, pusher, progress: self.progress.clone(), elsewhere };
        let pushed = push.all(selection, place.reference.tag());
        let pushed = pushed.map_err(|failure| interrupt.explain(failure))?;
        client.take_notes().iter().for_each(ctr_cli::warn);
        Ok(Pushed { name: reference.to_string(), ..pushed })
    }

    fn to_static(&self, selection: &Selection, dir: &Path, name: Option<&Reference>) -> Result<Pushed, Failure> {
        let name = name.or(selection.name.as_ref()).map(Reference::without_digest);
        let name = name.ok_or_else(|| Failure::usage("the image has no name: give one, static:DIR:NAME:TAG"))?;
        static_tree::publish(self.store, selection, dir, &name, &self.progress)
    }

    fn to_files(&self, selection: Selection, files: &ctr_export::Destination) -> Result<Pushed, Failure> {
        let mut pushed = Pushed::of(&selection, files.path.display().to_string());
        let items = [Item { tree: selection.tree, name: selection.name, tag: files.tag.clone() }];
        let export = Export { store: self.store, items: &items, progress: self.progress.clone() };
        export.to(files)?;
        let part = |digest, size| Part { digest, size, outcome: Outcome::Uploaded };
        let [item] = items;
        pushed.manifests.extend(item.tree.documents.iter().map(|found| part(found.digest, found.bytes.len() as u64)));
        item.tree.blobs.iter().for_each(|blob| pushed.blob(part(blob.digest, blob.size)));
        Ok(pushed)
    }
}

/// Host and path of the repository that a name leads to; none where it is blocked.
fn repository_of(client: &Client, name: &Reference) -> Option<(String, String)> {
    let candidates = client.registries().ok()?.candidates(name).ok()?;
    candidates.last().map(|last| (last.host().to_owned(), last.path().to_owned()))
}
