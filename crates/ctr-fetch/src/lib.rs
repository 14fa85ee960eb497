//! `ctr-fetch`: bring images into the store.
#![forbid(unsafe_code)]

mod argument;
mod import;
mod report;
mod source;

use std::ffi::OsString;
use std::fs::File;
use std::process::ExitCode;

use argument::Argument;
use clap::{CommandFactory as _, Parser};
use ctr_cli::{Failure, GlobalArgs, OutputFormat, Progress};
use ctr_core::digest::Digest;
use ctr_core::launch::LaunchRecord;
use ctr_core::reference::Reference;
use ctr_core::spec::platform::Platform;
use ctr_core::store::{Store, StoreError};
use ctr_layer::unpack::Ownership;
use ctr_sys::userns::{StorageMap, enter_storage_map};
use import::{Unpacking, hinted, import, is_there};
use report::Fetched;
use source::Wanted;

/// Bring images into the store
///
/// Prints `NAME DIGEST` for each. An image that is there already is not read again.
#[derive(Debug, Parser)]
#[command(name = "ctr-fetch", version = ctr_cli::VERSION, after_help = EXAMPLES)]
pub struct Options {
    /// What to bring: PATH (an .aci, an OCI layout or archive, a docker-archive, an appc image: found by content),
    /// oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:TAG]
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<OsString>,
    /// Name of the image in the store, in place of the one that the source gives it
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Of an image for several platforms take this one, not this machine's
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
    #[command(flatten)]
    global: GlobalArgs,
}

const EXAMPLES: &str = "\
Examples:
  ctr-fetch app.aci
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
    let arguments = options.sources.iter().map(|text| Argument::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let request = Request::new(&options)?;
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
    let progress = Progress::new();
    let fetcher = Fetcher { store, request, ownership, progress };
    fetcher.all(&arguments, options.global.format)
}

/// What is asked of every source.
struct Request {
    name: Option<Reference>,
    platform: Option<Platform>,
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
        Ok(Self { name, platform })
    }
}

fn userns_failure(error: &ctr_sys::SysError) -> Failure {
    let hint = ctr_sys::userns::hint(error);
    Failure::new("cannot enter a user namespace to keep the owners of files").caused_by(error).hint(hint)
}

fn cannot_open(argument: &Argument, error: &std::io::Error) -> Failure {
    let path = argument.path.display();
    let failure = Failure::new(format!("cannot open {path}")).caused_by(error);
    let name = argument.kind == argument::Kind::Path && path.to_string().parse::<Reference>().is_ok();
    if error.kind() == std::io::ErrorKind::NotFound && name {
        return failure.hint(format!(
            "images are fetched from files and directories; from a registry: \
             skopeo copy docker://{path} oci-archive:image.tar && ctr-fetch image.tar --name {path}"
        ));
    }
    failure
}

/// Brings sources in, one after the other.
struct Fetcher {
    store: Store,
    request: Request,
    ownership: Ownership,
    progress: Progress,
}

impl Fetcher {
    /// The result of each is printed as soon as it is there; one that fails does not keep the others.
    fn all(&self, arguments: &[Argument], format: OutputFormat) -> Result<ExitCode, Failure> {
        let mut fetched = Vec::new();
        let mut failed = false;
        for argument in arguments {
            match self.one(argument) {
                Ok(image) => {
                    self.progress.clear();
                    if format == OutputFormat::Table {
                        ctr_cli::print(&image.line())?;
                    }
                    fetched.push(image);
                }
                Err(failure) => {
                    self.progress.clear();
                    if let [_] = arguments {
                        return Err(failure);
                    }
                    ctr_cli::print_error(&failure);
                    failed = true;
                }
            }
        }
        if format == OutputFormat::Json {
            ctr_cli::print_json(&fetched)?;
        }
        Ok(if failed { ExitCode::from(ctr_cli::exit::FAILURE) } else { ExitCode::SUCCESS })
    }

    fn one(&self, argument: &Argument) -> Result<Fetched, Failure> {
        let before = std::fs::metadata(&argument.path);
        let before = before.map_err(|error| cannot_open(argument, &error))?;
        // Another tag or platform of the same file is another image.
        let simple = before.is_file() && argument.tag.is_none() && self.request.platform.is_none();
        if simple && let Some(known) = self.known(&before)? {
            return Ok(known);
        }
        let fetched = self.read(argument)?;
        if simple && let Ok(file) = File::open(&argument.path) {
            // Only a shortcut for the next time.
            if let Err(error) = self.store.remember_file(&before, &file, fetched.digest) {
                ctr_cli::note(format!("the file will be read again next time: {error}"));
            }
        }
        Ok(fetched)
    }

    /// The image that an unchanged file was imported as, if it still is in the store under some name.
    fn known(&self, metadata: &std::fs::Metadata) -> Result<Option<Fetched>, Failure> {
        let Some(digest) = self.store.known_file(metadata) else { return Ok(None) };
        let Ok(launch) = self.store.launch_record(&digest) else { return Ok(None) };
        if !is_there(&self.store, &launch) {
            return Ok(None);
        }
        let names = match &self.request.name {
            Some(name) => {
                if self.store.resolve(name).map_err(hinted)? != Some(digest) {
                    self.tell_moved(std::slice::from_ref(name), &digest)?;
                    self.store.tag(name, &digest).map_err(hinted)?;
                }
                vec![name.to_string()]
            }
            None => self.names_of(&digest)?,
        };
        Ok((!names.is_empty()).then(|| Fetched::new(names, &launch, true)))
    }

    fn names_of(&self, digest: &Digest) -> Result<Vec<String>, Failure> {
        let refs = self.store.list_refs().map_err(hinted)?;
        Ok(refs.entries.into_iter().filter(|entry| entry.digest == *digest).map(|entry| entry.name).collect())
    }

    fn read(&self, argument: &Argument) -> Result<Fetched, Failure> {
        let txn = self.store.begin().map_err(hinted)?;
        let wanted = Wanted {
            platform: self.request.platform.clone().unwrap_or_else(Platform::host),
            tag: argument.tag.clone(),
            stem: argument.stem(),
        };
        let mut source = source::open(argument, txn.dir())?;
        let image = source.image(&wanted)?;
        self.check_platform(argument, &wanted.platform, &image.config.platform)?;
        for note in &image.notes {
            ctr_cli::note(format!("{}: {note}", argument.path.display()));
        }
        let names = self.request.name.as_ref().map_or_else(|| image.names.clone(), |name| vec![name.clone()]);
        self.tell_moved(&names, &image.digest)?;
        let unpacking =
            Unpacking { dialect: self.store.dialect(), ownership: self.ownership, progress: self.progress.clone() };
        let launch: LaunchRecord = import(&self.store, txn, source.as_ref(), &image, &names, &unpacking)?;
        Ok(Fetched::new(names.iter().map(ToString::to_string).collect(), &launch, false))
    }

    fn check_platform(&self, argument: &Argument, wanted: &Platform, found: &Platform) -> Result<(), Failure> {
        if wanted.runs(found).is_some() {
            return Ok(());
        }
        let text = format!("{} is an image for {found}", argument.path.display());
        if self.request.platform.is_some() {
            return Err(Failure::new(format!("{text}, not for {wanted}")));
        }
        ctr_cli::warn(format!("{text}; this machine is {wanted} and may not be able to run it"));
        Ok(())
    }

    /// A name that stood for another image until now: the user may not have meant that.
    fn tell_moved(&self, names: &[Reference], digest: &Digest) -> Result<(), Failure> {
        for name in names {
            if let Some(old) = self.store.resolve(name).map_err(hinted)?.filter(|old| old != digest) {
                ctr_cli::note(format!("{name} was {} and is now {}", old.short(), digest.short()));
            }
        }
        Ok(())
    }
}
