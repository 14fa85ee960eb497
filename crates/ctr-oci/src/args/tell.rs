//! Verbs that tell something, and those that say that they are not there.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::id::{ContainerId, IdError};

/// `ps`.
#[derive(Debug, Clone, Args)]
#[command(override_usage = "ctr-oci ps [OPTIONS] ID [OPTION OF PS]...")]
pub struct Ps {
    /// Container; then options of ps(1), which must show a column PID [default: -ef]
    #[arg(value_names = ["ID", "OPTION OF PS"], required = true, num_args = 1.., trailing_var_arg = true)]
    id_and_options: Vec<String>,
    /// A table of ps(1), or the process ids as JSON
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: PsFormat,
}

impl Ps {
    /// The container.
    pub fn id(&self) -> Result<ContainerId, IdError> {
        self.id_and_options.first().map_or("", String::as_str).parse()
    }

    /// Options for ps(1).
    pub fn options(&self) -> &[String] {
        self.id_and_options.get(1..).unwrap_or_default()
    }
}

/// `ps --format`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum PsFormat {
    /// What ps(1) prints of them
    #[default]
    Table,
    /// [PID, ...]
    Json,
}

/// `list`.
#[derive(Debug, Clone, Args)]
pub struct List {
    /// Aligned columns, or a JSON array
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: ListFormat,
    /// Only the ids
    #[arg(long, short)]
    pub quiet: bool,
}

/// `list --format`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// ID PID STATUS BUNDLE CREATED OWNER
    #[default]
    Table,
    /// All that state tells, of each
    Json,
}

/// `spec`.
#[derive(Debug, Clone, Args)]
pub struct Spec {
    /// Directory to write config.json in [default: the working directory]
    #[arg(long, short, value_name = "DIR")]
    pub bundle: Option<PathBuf>,
    /// For a container of the calling user
    #[arg(id = "rootless-config", long = "rootless")]
    pub rootless: bool,
}

/// `features`.
#[derive(Debug, Clone, Args)]
pub struct Features {}

/// `checkpoint`.
#[derive(Debug, Clone, Args)]
pub struct Checkpoint {
    /// Anything
    #[arg(value_name = "ARG", allow_hyphen_values = true, trailing_var_arg = true)]
    pub rest: Vec<OsString>,
}

/// `restore`.
#[derive(Debug, Clone, Args)]
pub struct Restore {
    /// Anything
    #[arg(value_name = "ARG", allow_hyphen_values = true, trailing_var_arg = true)]
    pub rest: Vec<OsString>,
}
