//! `--progress`.

use std::io::IsTerminal as _;

use super::Progress;
use crate::failure::Failure;
use crate::global::OutputFormat;
use crate::report::{self, Voice};

/// Flatten this into the options of a binary that moves bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct ProgressArgs {
    /// How to show what has been moved
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    progress: ProgressMode,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ProgressMode {
    /// Bars on a terminal, else plain; nothing with --quiet or --format json
    #[default]
    Auto,
    /// A line for each piece that is finished, and every ten seconds
    Plain,
    /// For programs: one JSON object per line on standard error, at least every second
    Json,
    /// Nothing
    None,
}

impl ProgressArgs {
    /// The progress of this run. Plain lines among JSON messages are refused as wrong usage.
    pub fn progress(&self) -> Result<Progress, Failure> {
        let voice = report::voice();
        if self.progress == ProgressMode::Plain && voice.format == OutputFormat::Json {
            let failure = Failure::usage("--progress=plain and --format=json contradict each other");
            return Err(failure.hint("--progress=json prints progress that programs can read"));
        }
        let terminal = std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Ok(Progress::shown(show(self.progress, &voice, terminal)))
    }
}

/// What a [`Progress`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Show {
    Nothing,
    Bars,
    Lines,
    Json,
}

/// What was asked for by name is done, whatever else was asked for.
fn show(mode: ProgressMode, voice: &Voice, terminal: bool) -> Show {
    match mode {
        ProgressMode::None => Show::Nothing,
        ProgressMode::Json => Show::Json,
        ProgressMode::Auto if voice.quiet || voice.format == OutputFormat::Json => Show::Nothing,
        ProgressMode::Auto if terminal => Show::Bars,
        ProgressMode::Auto | ProgressMode::Plain => Show::Lines,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_by_name_is_done() {
        let voice = |format, quiet| Voice { program: "ctr-x".into(), format, quiet };
        let people = voice(OutputFormat::Table, false);
        assert_eq!(show(ProgressMode::Auto, &people, true), Show::Bars);
        assert_eq!(show(ProgressMode::Auto, &people, false), Show::Lines);
        assert_eq!(show(ProgressMode::Plain, &people, true), Show::Lines);
        for silent in [voice(OutputFormat::Json, false), voice(OutputFormat::Table, true)] {
            assert_eq!(show(ProgressMode::Auto, &silent, true), Show::Nothing);
            assert_eq!(show(ProgressMode::Json, &silent, true), Show::Json);
            assert_eq!(show(ProgressMode::None, &silent, false), Show::Nothing);
        }
    }
}
