//! The sources of one command line, one after the other.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ctr_cli::{Failure, OutputFormat, Progress};
use ctr_core::digest::Digest;
use ctr_core::launch::LaunchRecord;
use ctr_core::reference::Reference;
use ctr_core::spec::platform::Platform;
use ctr_core::store::{Store, Txn};
use ctr_layer::unpack::Ownership;
use ctr_registry::Client;
use ctr_registry::policy::Policy;

use crate::argument::Argument;
use crate::import::{Unpacking, hinted, import};
use crate::lock::Lock;
use crate::pull::Pull;
use crate::report::Fetched;
use crate::source::{Image, Source, Wanted};

/// What is asked of every source.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(crate) struct Request {
    /// Name of the image in the store, in place of the one that the source gives it.
    pub(crate) name: Option<Reference>,
    /// Of an image for several platforms this one.
    pub(crate) platform: Option<Platform>,
    /// When registries are asked.
    pub(crate) pull: Pull,
    /// Whether a tag has to mean the digest beside it.
    pub(crate) check_tag: bool,
    /// Whether all images of files and directories are meant.
    pub(crate) all: bool,
    /// Most downloads at once.
    pub(crate) jobs: usize,
    /// Whether appc images are taken whose signatures nobody looks at.
    pub(crate) unsigned: bool,
    /// Whether foreign layers may be had from where images say.
    pub(crate) foreign: bool,
    /// Whether the other platforms of an index are fetched too.
    pub(crate) all_platforms: bool,
    /// Whether images get no names.
    pub(crate) unnamed: bool,
    /// Whether what refers to images is fetched too.
    pub(crate) referrers: bool,
}

/// Brings sources in.
pub(crate) struct Fetcher {
    pub(crate) store: Store,
    pub(crate) request: Request,
    pub(crate) ownership: Ownership,
    pub(crate) progress: Progress,
    pub(crate) client: Client,
    pub(crate) policy: Policy,
    /// Names are what this file says, and no others.
    pub(crate) locked: Option<(Lock, PathBuf)>,
    /// What registries.conf has to no avail was told.
    pub(crate) warned: Cell<bool>,
}

impl Fetcher {
    /// The result of each is printed as soon as it is there; one that fails does not keep the others. What came by name is
    /// written to `lock`, if all came.
    pub(crate) fn all(
        &self,
        arguments: &[Argument],
        lock: Option<&Path>,
        format: OutputFormat,
    ) -> Result<ExitCode, Failure> {
        let mut fetched = Vec::new();
        let mut failed = false;
        for argument in arguments {
            let mut take = |result: Result<Fetched, Failure>| -> Result<(), Failure> {
                self.progress.clear();
                self.client.take_notes().iter().for_each(ctr_cli::warn);
                match result {
                    Ok(image) => {
                        if format == OutputFormat::Table {
                            ctr_cli::print(&image.line())?;
                        }
                        fetched.push(image);
                    }
                    Err(failure) if arguments.len() == 1 && !self.request.all => return Err(failure),
                    Err(failure) => {
                        ctr_cli::print_error(&failure);
                        failed = true;
                    }
                }
                Ok(())
            };
            match argument {
                Argument::Local(local) if self.request.all => self.each(local, &mut take)?,
                Argument::Local(local) => take(self.local(local))?,
                Argument::Name(name) => take(self.remote(name))?,
                Argument::Layout(address, name) => take(self.layout(address, name.as_ref()))?,
                Argument::Discover(name) => take(Err(Failure::new(format!("nobody was asked where {name} is"))))?,
                Argument::Elsewhere(reference, name) => take(self.elsewhere(reference, name))?,
                Argument::Aci(name) => take(self.aci(name))?,
            }
        }
        if let Some(path) = lock.filter(|_| !failed) {
            let mut lock = Lock::default();
            fetched.iter().filter_map(Fetched::entry).for_each(|entry| lock.insert(entry.clone()));
            lock.write(path)?;
        }
        if format == OutputFormat::Json {
            ctr_cli::print_json(&fetched)?;
        }
        Ok(if failed { ExitCode::from(ctr_cli::exit::FAILURE) } else { ExitCode::SUCCESS })
    }

    /// Which image of a source is meant.
    pub(crate) fn wanted(&self, tag: Option<String>, stem: String) -> Wanted {
        let platform = self.request.platform.clone().unwrap_or_else(Platform::host);
        Wanted { platform, manifest: None, entry: None, tag, stem }
    }

    /// Brings in the image that `source` has; `shown` names the source in messages.
    pub(crate) fn bring(
        &self,
        txn: &Txn,
        source: &mut dyn Source,
        wanted: &Wanted,
        shown: &str,
    ) -> Result<Fetched, Failure> {
        let image = source.image(wanted)?;
        if let Some(manifest) = wanted.manifest.filter(|manifest| *manifest != image.digest) {
            return Err(Failure::new(format!("{shown} has the image {}, not {manifest}", image.digest))
                .because("the lock file names an image that the index of that name does not lead to"));
        }
        self.check_platform(shown, &wanted.platform, &image.config.platform)?;
        for note in &image.notes {
            ctr_cli::note(format!("{shown}: {note}"));
        }
        let names = match &self.request.name {
            _ if self.request.unnamed => Vec::new(),
            Some(name) => vec![name.clone()],
            None => image.names.clone(),
        };
        self.tell_moved(&names, &image.digest)?;
        let launch = self.import(txn, source, &image, &names)?;
        Ok(Fetched::new(names.iter().map(ToString::to_string).collect(), &launch, false).with_index(image.index))
    }

    /// Brings in one image under these names.
    pub(crate) fn import(
        &self,
        txn: &Txn,
        source: &dyn Source,
        image: &Image,
        names: &[Reference],
    ) -> Result<LaunchRecord, Failure> {
        let unpacking = Unpacking {
            dialect: self.store.dialect(),
            ownership: self.ownership,
            progress: self.progress.clone(),
            jobs: self.request.jobs,
            referrers: self.request.referrers,
        };
        import(&self.store, txn, source, image, names, &unpacking)
    }

    fn check_platform(&self, shown: &str, wanted: &Platform, found: &Platform) -> Result<(), Failure> {
        if wanted.runs(found).is_some() {
            return Ok(());
        }
        let text = format!("{shown} is an image for {found}");
        if self.request.platform.is_some() {
            return Err(Failure::new(format!("{text}, not for {wanted}")));
        }
        ctr_cli::warn(format!("{text}; this machine is {wanted} and may not be able to run it"));
        Ok(())
    }

    /// A name that stood for another image until now: the user may not have meant that.
    pub(crate) fn tell_moved(&self, names: &[Reference], digest: &Digest) -> Result<(), Failure> {
        for name in names {
            if let Some(old) = self.store.resolve(name).map_err(hinted)?.filter(|old| old != digest) {
                ctr_cli::note(format!("{name} was {} and is now {}", old.short(), digest.short()));
            }
        }
        Ok(())
    }
}
