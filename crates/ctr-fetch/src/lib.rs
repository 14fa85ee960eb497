//! `ctr-fetch`: bring images into the store.
#![forbid(unsafe_code)]

mod argument;
mod download;
mod fetcher;
mod import;
mod local;
mod lock;
mod names;
mod pull;
mod referrers;
mod remote;
mod report;
mod source;
mod web;

use std::cell::Cell;
use std::ffi::OsString;
use std::process::ExitCode;

use argument::Argument;
use clap::{CommandFactory as _, Parser};
use ctr_cli::{Failure, GlobalArgs, ProgressArgs};
use ctr_core::reference::Reference;
use ctr_core::spec::platform::Platform;
use ctr_core::store::{Store, StoreError};
use ctr_layer::unpack::Ownership;
use ctr_registry::args::RegistryArgs;
use ctr_registry::policy::PolicyError;
use ctr_registry::{Client, RegistryError};
use ctr_sys::userns::{StorageMap, enter_storage_map};
use fetcher::{Fetcher, Request};
use import::hinted;
use names::NameArgs;

/// Bring images into the store
///
/// Prints `NAME DIGEST` for each. An image that is there already is not read again.
#[derive(Debug, Parser)]
#[command(name = "ctr-fetch", version = ctr_cli::VERSION, after_help = EXAMPLES)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub struct Options {
    /// What to bring: NAME[:TAG][@DIGEST] from its registry, PATH (an .aci, an OCI layout or archive, a docker-archive, an appc image: found by content),
    /// oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:TAG], oci+https://HOST/PATH[:TAG][@DIGEST] (an OCI layout
    /// on a web server), discover:NAME (the domain says where it is), aci://NAME[:VERSION] (appc discovery)
    #[arg(required_unless_present_any = ["lock", "locked"], value_name = "SOURCE")]
    sources: Vec<OsString>,
    /// Name of the image in the store, in place of the one that the source gives it
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Of an image for several platforms take this one, not this machine's
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
    /// Of an image for several platforms take all, to push them later. The name stands for this machine's
    #[arg(long, conflicts_with = "platform")]
    all_platforms: bool,
    /// Give the image no name: it lasts as long as something else needs it. For ctr-build, which must not move names
    #[arg(long, hide = true, conflicts_with_all = ["name", "all_platforms"])]
    unnamed: bool,
    /// Take all images of a file or directory, each under its own name
    #[arg(long, conflicts_with = "name")]
    all: bool,
    /// Most blobs to download at once
    #[arg(long, short, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=32))]
    jobs: u8,
    /// Take layers that their registry does not have from where the image says (https only)
    #[arg(long)]
    allow_foreign_layers: bool,
    /// Leave out what refers to the image: signatures, bills of materials, attestations
    #[arg(long)]
    no_referrers: bool,
    /// Take images of aci:// although their signatures are not verified
    #[arg(long)]
    insecure_no_signature: bool,
    #[command(flatten)]
    progress: ProgressArgs,
    #[command(flatten)]
    names: NameArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    #[command(flatten)]
    global: GlobalArgs,
}

const EXAMPLES: &str = "\
Examples:
  ctr-fetch debian:12
  ctr-fetch registry.example.com/app@sha256:...
  ctr-fetch --lock images.lock debian:12 registry.example.com/app && ctr-fetch --locked images.lock
  ctr-fetch app.aci
  ctr-fetch --all oci-archive:bundle.tar
  ctr-fetch --name debian:12 oci:layout:12";

/// The command line of `ctr-fetch`; help, man page and completions come from it.
pub fn command() -> clap::Command {
    Options::command()
}

/// Entry point: parses the arguments, runs, renders the error if there is one.
pub fn main() -> ExitCode {
    ctr_cli::run_main(command(), ctr_cli::exit::TOOL, run)
}

#[allow(clippy::needless_pass_by_value, reason = "the signature that run_main takes")]
fn run(options: Options) -> Result<ExitCode, Failure> {
    let progress = options.progress.progress()?;
    let mut arguments = options.sources.iter().map(|text| Argument::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let request = Request::new(&options)?;
    let locked = options.names.of_lock(&request, &mut arguments)?;
    let client = Client::new(options.registry.settings());
    let policy = options.registry.policy().map_err(|error| Failure::hinted(error, PolicyError::hint))?;
    web::find(&client, &mut arguments)?;
    find_credentials(&client, &arguments)?;
    // Looked up before the user namespace is entered: there this user is root.
    let root = options.global.root_or(Store::default_root);
    // So is whose store it is.
    match Store::open(&root) {
        Ok(_) | Err(StoreError::Missing { .. }) => {}
        Err(error) => return Err(hinted(error)),
    }
    let map = enter_storage_map().map_err(|error| userns_failure(&error))?;
    if let StorageMap::Single { reason } = &map {
        ctr_cli::note(format!("owners of files are recorded, not set: {reason}"));
    }
    let store = Store::open_or_create(&root).map_err(hinted)?;
    let ownership = if map.single_id() { Ownership::Record } else { Ownership::Chown };
    let fetcher = Fetcher { store, request, ownership, progress, client, policy, locked, warned: Cell::new(false) };
    fetcher.all(&arguments, options.names.lock.as_deref(), options.global.format)
}

impl Request {
    fn new(options: &Options) -> Result<Self, Failure> {
        if options.name.is_some() && options.sources.len() > 1 {
            return Err(Failure::usage("--name names one image, but there are several sources"));
        }
        let name = options.name.as_deref().map(str::parse::<Reference>).transpose();
        let name = name.map_err(|error| Failure::usage(error.to_string()))?;
        if name.as_ref().is_some_and(|name| name.digest().is_some()) {
            return Err(Failure::usage("--name cannot have a digest: the content decides it"));
        }
        let platform = options.platform.as_deref().map(str::parse::<Platform>).transpose();
        let platform = platform.map_err(|error| Failure::usage(error.to_string()))?;
        let name_or_tag = |text: &OsString| match Argument::parse(text) {
            Ok(Argument::Local(local)) => local.tag.is_some(),
            Ok(_) => true,
            Err(_) => false,
        };
        if let Some(source) = options.sources.iter().find(|text| options.all && name_or_tag(text)) {
            return Err(Failure::usage(format!(
                "--all takes all images of a file, and \"{}\" is one",
                source.display()
            )));
        }
        let NameArgs { pull, check_tag, .. } = options.names;
        let jobs = usize::from(options.jobs);
        Ok(Self {
            name,
            platform,
            pull,
            check_tag,
            all: options.all,
            jobs,
            unsigned: options.insecure_no_signature,
            referrers: !options.no_referrers,
            foreign: options.allow_foreign_layers,
            all_platforms: options.all_platforms,
            unnamed: options.unnamed,
        })
    }
}

/// Credential programs run as the user that this process still is. Root stays root: it asks them when they are needed.
fn find_credentials(client: &Client, arguments: &[Argument]) -> Result<(), Failure> {
    if ctr_sys::ids::effective_uid() == 0 {
        return Ok(());
    }
    // What is wrong with a name or with registries.conf is told when its turn comes.
    let Ok(registries) = client.registries() else { return Ok(()) };
    for argument in arguments {
        let references = match argument {
            Argument::Name(name) => match registries.resolve_short(name) {
                Ok(resolved) => resolved.references,
                Err(_) => continue,
            },
            Argument::Elsewhere(reference, _) => vec![reference.clone()],
            _ => continue,
        };
        for reference in &references {
            if let Err(error @ RegistryError::Auth(_)) = client.find_credentials(reference) {
                return Err(Failure::hinted(error, RegistryError::hint));
            }
        }
    }
    Ok(())
}

fn userns_failure(error: &ctr_sys::SysError) -> Failure {
    let hint = ctr_sys::userns::hint(error);
    Failure::new("cannot enter a user namespace to keep the owners of files").caused_by(error).hint(hint)
}
