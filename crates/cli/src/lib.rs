//! What every ctr binary shares at its command line: how an error reads, exit codes, output formats, tables.
//!
//! A binary is `command()`, `run(options)` and a `main` of three lines:
//!
//! ```
//! # use std::process::ExitCode;
//! use clap::CommandFactory as _;
//!
//! /// list things
//! #[derive(clap::Parser)]
//! #[command(name = "ctr-things", version = ctr_cli::VERSION)]
//! struct Options {
//!     #[command(flatten)]
//!     global: ctr_cli::GlobalArgs,
//! }
//!
//! fn run(options: Options) -> Result<(), ctr_cli::Failure> {
//!     let mut table = ctr_cli::Table::new(["THING"]);
//!     table.row([options.global.format.to_string()]);
//!     ctr_cli::print(&table.to_string())
//! }
//!
//! fn main() -> ExitCode {
//!     ctr_cli::run_main(Options::command(), ctr_cli::exit::TOOL, run)
//! }
//! ```
//!
//! Data goes to standard output, everything else to standard error. What comes from images and containers is
//! escaped by [`escape`] before a person sees it. Without features the crate links nothing but clap and serde.
#![forbid(unsafe_code)]

mod environment;
pub mod escape;
pub mod exit;
mod failure;
mod global;
pub mod human;
mod near;
mod output;
#[cfg(feature = "progress")]
mod progress;
mod report;
mod run;
mod table;

pub use environment::environment;
pub use failure::{Context, Failure};
pub use global::{GlobalArgs, OutputFormat};
pub use near::nearest;
pub use output::{Stdout, print, print_json, stdout, to_json};
#[cfg(feature = "progress")]
pub use progress::{Bar, Progress, ProgressArgs, ProgressMode, Speaker, speak_through};
pub use report::{note, print_error, warn};
pub use run::{run_main, run_main_telling};
pub use table::Table;

/// What `--version` prints after the name of the binary: the release, and the store format that it reads and writes.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (store format 1)");
