//! Options that every binary takes.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// `--root`, `--format`, `--quiet`: flatten this into the options of a binary.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Options of every ctr binary")]
pub struct GlobalArgs {
    /// Directory of images and containers [env: CTR_ROOT] [default: /var/lib/ctr, for users ~/.local/share/ctr]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// How to print results, and errors with them
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: OutputFormat,
    /// Say less: no progress, no notes, and of a list only the identifiers
    #[arg(long, short)]
    pub quiet: bool,
}

impl GlobalArgs {
    /// The root that `--root` or else `CTR_ROOT` names, else `default()`.
    pub fn root_or(&self, default: impl FnOnce() -> PathBuf) -> PathBuf {
        self.root_from(std::env::var_os("CTR_ROOT"), default)
    }

    fn root_from(&self, variable: Option<OsString>, default: impl FnOnce() -> PathBuf) -> PathBuf {
        let variable = variable.filter(|value| !value.is_empty()).map(PathBuf::from);
        self.root.clone().or(variable).unwrap_or_else(default)
    }
}

/// How results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputFormat {
    /// For people: aligned columns, short identifiers, relative times
    #[default]
    Table,
    /// For programs: one JSON document, as the schemas in spec/ describe it
    Json,
}

impl fmt::Display for OutputFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Table => "table",
            Self::Json => "json",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn option_before_variable_before_default() {
        let with = |root: Option<&str>, variable: Option<&str>| {
            GlobalArgs { root: root.map(PathBuf::from), ..GlobalArgs::default() }
                .root_from(variable.map(OsString::from), || PathBuf::from("/default"))
        };
        assert_eq!(with(Some("/a"), Some("/b")), PathBuf::from("/a"));
        assert_eq!(with(None, Some("/b")), PathBuf::from("/b"));
        assert_eq!(with(None, Some("")), PathBuf::from("/default"));
        assert_eq!(with(None, None), PathBuf::from("/default"));
    }
}
