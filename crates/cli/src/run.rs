//! From the command line to the exit code.

use std::ffi::{OsStr, OsString};
use std::process::{ExitCode, Termination};

use clap::error::ErrorKind;
use clap::{ArgMatches, Command, FromArgMatches};

use crate::exit::{self, Codes};
use crate::failure::{Failure, Kind};
use crate::global::OutputFormat;
use crate::output;
use crate::report::{self, Voice};

/// Parses the arguments of this process by `command`, gives them to `run` and renders the error, if there is one.
///
/// `run` returns `()` for 0, or an [`ExitCode`].
pub fn run_main<O, T>(command: Command, codes: Codes, run: impl FnOnce(O) -> Result<T, Failure>) -> ExitCode
where
    O: FromArgMatches,
    T: Termination,
{
    run_main_telling(command, codes, run, |_| false)
}

/// [`run_main`] for a binary that tells failures elsewhere too: `tell` gets the one that ends it, also where the command line
/// could not be understood, and returns whether standard error has nothing more to say.
pub fn run_main_telling<O, T>(
    command: Command,
    codes: Codes,
    run: impl FnOnce(O) -> Result<T, Failure>,
    tell: impl FnOnce(&Failure) -> bool,
) -> ExitCode
where
    O: FromArgMatches,
    T: Termination,
{
    let program = command.get_name().to_owned();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let parsed = command.try_get_matches_from(&arguments).and_then(|matches| {
        let options = O::from_arg_matches(&matches)?;
        Ok((matches, options))
    });
    let result = match parsed {
        Ok((matches, options)) => {
            report::set_voice(voice_of(&matches, program));
            run(options).map(Termination::report)
        }
        Err(error) => {
            report::set_voice(Voice { format: requested_format(&arguments), program, quiet: false });
            match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                    output::print(&error.render().to_string()).map(|()| ExitCode::SUCCESS)
                }
                _ => Err(usage_failure(&report::voice().program, &error)),
            }
        }
    };
    match result {
        Ok(code) => code,
        Err(failure) => end(&failure, codes, tell),
    }
}

fn end(failure: &Failure, codes: Codes, tell: impl FnOnce(&Failure) -> bool) -> ExitCode {
    let code = match failure.kind {
        Kind::Failure => codes.failure,
        Kind::Usage => codes.usage,
        Kind::Code(code) => code,
        Kind::BrokenPipe => return ExitCode::from(exit::BROKEN_PIPE),
    };
    if !tell(failure) {
        report::say(&report::render(&report::voice(), failure, Some(code)));
    }
    ExitCode::from(code)
}

/// The global options, of binaries that have them.
fn voice_of(matches: &ArgMatches, program: String) -> Voice {
    let format = matches.try_get_one::<OutputFormat>("format").ok().flatten().copied().unwrap_or_default();
    let quiet = matches.try_get_one::<bool>("quiet").ok().flatten().copied().unwrap_or_default();
    Voice { program, format, quiet }
}

/// Whether a command line that could not be parsed asked for JSON.
fn requested_format(arguments: &[OsString]) -> OutputFormat {
    let mut before = OsStr::new("");
    for argument in arguments.iter().skip(1).take_while(|argument| *argument != "--") {
        if argument == "--format=json" || (before == "--format" && argument == "json") {
            return OutputFormat::Json;
        }
        before = argument;
    }
    OutputFormat::Table
}

/// Brings clap's several paragraphs (`error: WHAT`, `tip: ...`, `Usage: ...`) into the form of all our errors.
fn usage_failure(program: &str, error: &clap::Error) -> Failure {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::usage("nothing to do: no arguments were given").hint(format!("see `{program} --help`"));
    }
    let text = error.render().to_string();
    let mut what = String::new();
    let (mut tips, mut usage) = (Vec::new(), None);
    for paragraph in text.split("\n\n") {
        let line = paragraph.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        if let Some(rest) = line.strip_prefix("error: ") {
            rest.clone_into(&mut what);
        } else if line.starts_with("tip: ") {
            tips.extend(paragraph.lines().filter_map(|line| line.trim().strip_prefix("tip: ")));
        } else if let Some(rest) = line.strip_prefix("Usage: ") {
            usage = Some(rest.to_owned());
        }
    }
    let hint = match (tips.is_empty(), usage) {
        (false, _) => format!("{}; see `{program} --help`", tips.join("; ")),
        (true, Some(usage)) => format!("usage is `{usage}`; see `{program} --help`"),
        (true, None) => format!("see `{program} --help`"),
    };
    Failure::usage(what).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[derive(Debug, clap::Parser)]
    #[command(name = "ctr-x", version = crate::VERSION)]
    struct Options {
        #[command(flatten)]
        global: crate::GlobalArgs,
        #[arg(long)]
        number: Option<u8>,
        #[arg(required = true)]
        image: String,
    }

    fn failed(arguments: &[&str]) -> Failure {
        let full = std::iter::once("ctr-x").chain(arguments.iter().copied());
        usage_failure("ctr-x", &Options::command().try_get_matches_from(full).unwrap_err())
    }

    #[test]
    fn usage_errors_read_like_ours() {
        for (arguments, what, hint) in [
            (&["--forma", "json", "x"][..], "unexpected argument '--forma' found", "'--format'"),
            (&[], "the following required arguments were not provided: <IMAGE>", "usage is `ctr-x <IMAGE>`"),
            (&["--number", "300", "x"], "invalid value '300' for '--number <NUMBER>': 300 is not in 0..=255", "--help"),
            (
                &["--format", "xml", "x"],
                "invalid value 'xml' for '--format <FORMAT>' [possible values: table, json]",
                "",
            ),
        ] {
            let failure = failed(arguments);
            assert_eq!(failure.what(), what);
            assert_eq!(failure.kind, Kind::Usage);
            assert!(failure.hint.as_deref().unwrap().contains(hint), "{failure:?}");
        }
    }

    #[test]
    fn json_is_found_in_a_line_that_does_not_parse() {
        let format = |line: &str| requested_format(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(format("ctr-x --format json --bad"), OutputFormat::Json);
        assert_eq!(format("ctr-x --bad --format=json"), OutputFormat::Json);
        assert_eq!(format("ctr-x --bad -- --format=json"), OutputFormat::Table);
        assert_eq!(format("ctr-x json --format"), OutputFormat::Table);
    }

    #[test]
    fn the_voice_follows_the_options() {
        let matches = Options::command().get_matches_from(["ctr-x", "-q", "--format", "json", "image"]);
        let voice = voice_of(&matches, "ctr-x".into());
        assert_eq!((voice.format, voice.quiet), (OutputFormat::Json, true));
        let bare = Command::new("bare").get_matches_from(["bare"]);
        assert_eq!(voice_of(&bare, "bare".into()).format, OutputFormat::Table);
    }

    #[test]
    fn the_command_line_is_sound() {
        Options::command().debug_assert();
        assert_eq!(Options::command().render_version(), format!("ctr-x {}\n", crate::VERSION));
    }
}
