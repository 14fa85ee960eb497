//! `ctr-gc`: remove dead containers, unreferenced images and leftovers; check and repair the store.
//!
//! ```text
//! look (without the gate: reads what is slow to read)
//! gate, alone: containers -> dead ones to garbage/ -> roots -> plan -> renamed into a transaction's directory
//! gate given up: control groups, names, directories deleted
//! ```
#![forbid(unsafe_code)]

mod check;
mod collect;
mod containers;
mod groups;
mod report;

use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, Parser};
use ctr_cli::{Failure, GlobalArgs, exit};
use ctr_core::store::gc::NameRule;
use ctr_core::store::{Store, StoreError};

/// Remove dead containers, images that nothing uses, and what crashes left
///
/// Removes containers that ended longer ago than the grace period, containers started with --rm that ended, images
/// without a name that no container uses, the layers and blobs of no image, and whatever a process left that was killed.
/// Images that have a name stay, unless an option says otherwise. Volumes are never touched.
#[derive(Debug, Parser)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
#[command(name = "ctr-gc", version = ctr_cli::VERSION)]
pub struct Options {
    /// Print what would be removed and why, and remove nothing
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Keep ended containers, and images without a name, this long after their end or import
    #[arg(long, value_name = "DURATION", value_parser = ctr_core::quantity::parse_duration, default_value = "1h")]
    grace: Duration,
    /// Remove all images that no container uses, with their names
    #[arg(long)]
    all_images: bool,
    /// Remove names of images that were last fetched or tagged longer ago than this, unless a container uses the image
    #[arg(long, value_name = "DURATION", value_parser = ctr_core::quantity::parse_duration, conflicts_with = "all_images")]
    images_older_than: Option<Duration>,
    /// Keep what builds remember this long after it was last of use
    #[arg(long, value_name = "DURATION", value_parser = ctr_core::quantity::parse_duration, default_value = "14d")]
    build_cache_age: Duration,
    /// Of what builds remember keep so many bytes of layers, those last that were of use last
    #[arg(long, value_name = "SIZE", value_parser = ctr_core::quantity::parse_size)]
    build_cache_size: Option<u64>,
    /// Check all that is in the store, and collect nothing
    #[arg(long, conflicts_with_all = ["all_images", "images_older_than"])]
    check: bool,
    /// Remove what the check finds damaged, so that the next ctr-fetch brings it again
    #[arg(long, requires = "check")]
    repair: bool,
    /// Give up when others use the store for so long without a moment in between
    #[arg(long, value_name = "DURATION", value_parser = ctr_core::quantity::parse_duration, default_value = "30s")]
    wait: Duration,
    /// Options of every binary.
    #[command(flatten)]
    global: GlobalArgs,
}

impl Options {
    fn names(&self) -> NameRule {
        match (self.all_images, self.images_older_than) {
            (true, _) => NameRule::All,
            (false, Some(age)) => NameRule::OlderThan(age),
            (false, None) => NameRule::Keep,
        }
    }

    /// An image that `--all-images` or `--images-older-than` leaves without a name goes at once; others have the grace.
    fn image_grace(&self) -> Duration {
        if self.all_images { Duration::ZERO } else { self.grace }
    }
}

/// The command line of `ctr-gc`; help, man page and completions come from it.
pub fn command() -> clap::Command {
    Options::command()
}

/// Entry point: parses the arguments, runs, renders the error if there is one.
pub fn main() -> ExitCode {
    ctr_cli::run_main(command(), exit::TOOL, run)
}

/// Does what `options` ask for.
#[allow(clippy::needless_pass_by_value, reason = "the form that run_main takes")]
pub fn run(options: Options) -> Result<ExitCode, Failure> {
    let root = options.global.root_or(Store::default_root);
    // The namespace gives an ordinary user power over files of the subordinate ids. Without it most can be removed still.
    let entered = ctr_sys::userns::enter_storage_map();
    let store = match Store::open(&root) {
        Ok(store) => store,
        Err(error @ StoreError::Missing { .. }) => {
            // A timer on a host without images yet is no failure.
            ctr_cli::note(error.to_string());
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => return Err(failure(error)),
    };
    if let Err(error) = entered {
        ctr_cli::note(format!("files of subordinate user ids cannot be removed: {error}"));
    }
    if options.check { check::run(&store, &options) } else { collect::run(&store, &options) }
}

fn failure(error: StoreError) -> Failure {
    Failure::hinted(error, StoreError::hint)
}
