//! Options for names of images in registries.

use std::path::PathBuf;

use ctr_cli::Failure;
use ctr_core::spec::platform::Platform;

use crate::argument::Argument;
use crate::fetcher::Request;
use crate::lock::{self, Lock};
use crate::pull::Pull;

/// Options for names of images in registries.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options for names")]
pub(crate) struct NameArgs {
    /// When to ask the registry
    #[arg(long, value_enum, default_value_t)]
    pub(crate) pull: Pull,
    /// Fail if the tag of NAME:TAG@DIGEST means something else in the registry now
    #[arg(long)]
    pub(crate) check_tag: bool,
    /// Write down in FILE what the names mean now; without SOURCE the names that stand there, anew
    #[arg(long, value_name = "FILE", conflicts_with = "locked")]
    pub(crate) lock: Option<PathBuf>,
    /// Fetch exactly what FILE says of the names; without SOURCE all of them
    #[arg(long, value_name = "FILE")]
    pub(crate) locked: Option<PathBuf>,
}

impl NameArgs {
    /// Reads the file of `--locked`, and takes the names of the lock file where there is no SOURCE.
    pub(crate) fn of_lock(
        &self,
        request: &Request,
        arguments: &mut Vec<Argument>,
    ) -> Result<Option<(Lock, PathBuf)>, Failure> {
        let Self { pull, check_tag, lock, locked } = self;
        let given = [
            (lock.is_some(), "--lock"),
            (locked.is_some(), "--locked"),
            (*check_tag, "--check-tag"),
            (*pull != Pull::default(), "--pull"),
        ];
        let given = given.iter().find(|(given, _)| *given);
        let no_name = |argument: &&Argument| !matches!(argument, Argument::Name(_));
        if let (Some((_, option)), Some(argument)) = (given, arguments.iter().find(no_name)) {
            return Err(Failure::usage(match argument {
                Argument::Local(local) => {
                    format!("{option} is for names, and {} is a file or directory", local.path.display())
                }
                _ => format!("{option} is for names of registries only"),
            }));
        }
        if let Some(path) = lock {
            lock::check_writable(path)?;
        }
        let Some(path) = locked.as_ref().or(lock.as_ref().filter(|_| arguments.is_empty())) else { return Ok(None) };
        let file = Lock::read(path)?;
        if arguments.is_empty() {
            if request.name.is_some() {
                return Err(Failure::usage("--name names one image, and a lock file several"));
            }
            let platform = request.platform.clone().unwrap_or_else(Platform::host);
            arguments.extend(file.all(&platform).into_iter().map(|entry| Argument::Name(entry.name.full())));
        }
        if arguments.is_empty() {
            return Err(Failure::new(format!("{} has no image for this platform", path.display())));
        }
        Ok(locked.as_ref().map(|path| (file, path.clone())))
    }
}
