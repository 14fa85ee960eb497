//! `ctr-login`: keep credentials for registries, and say which one is used.
#![forbid(unsafe_code)]

mod file;
mod login;
mod prompt;
mod show;
mod target;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};
use ctr_cli::{Failure, GlobalArgs};
use ctr_registry::args::RegistryArgs;

/// Keep credentials for registries
///
/// Asks the registry whether it takes the user name and password, and writes them to the file that Podman, Buildah and skopeo
/// read too (containers-auth.json(5)), or gives them to the credential program that the file names.
#[derive(Debug, Parser)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
#[command(name = "ctr-login", version = ctr_cli::VERSION, after_help = EXAMPLES)]
pub struct Options {
    /// The registry, or a part of it that has a login of its own
    #[arg(value_name = "REGISTRY[/NAMESPACE]", required_unless_present_any = ["list", "which"])]
    registry: Option<String>,
    /// The user; without it the terminal is asked
    #[arg(long, short, value_name = "USER", conflicts_with_all = ["remove", "list", "which"])]
    username: Option<String>,
    /// Take the password from standard input, not from the terminal. A password never stands in a command line
    #[arg(long, requires = "username")]
    password_stdin: bool,
    /// Do not ask the registry whether it takes them
    #[arg(long, conflicts_with_all = ["remove", "list", "which"])]
    no_verify: bool,
    /// Forget the credential of the registry
    #[arg(long)]
    remove: bool,
    /// Show all credentials that there are, without passwords, the first one that fits counts
    #[arg(long, conflicts_with_all = ["registry", "remove"])]
    list: bool,
    /// Show whom an image is asked of, and which credential is used there
    #[arg(long, value_name = "NAME", conflicts_with_all = ["registry", "remove", "list"])]
    which: Option<String>,
    #[command(flatten)]
    network: RegistryArgs,
    #[command(flatten)]
    global: GlobalArgs,
}

const EXAMPLES: &str = "\
Examples:
  ctr-login registry.example.com
  ctr-login -u robot --password-stdin registry.example.com/team < token
  ctr-login --which registry.example.com/team/app
  ctr-login --remove registry.example.com/team";

/// The command line of `ctr-login`; help, man page and completions come from it.
pub fn command() -> clap::Command {
    // Nothing is taken from the registry.
    Options::command().mut_arg("policy", |argument| argument.hide(true))
}

/// Entry point: parses the arguments, runs, renders the error if there is one.
pub fn main() -> ExitCode {
    ctr_cli::run_main(command(), ctr_cli::exit::TOOL, run)
}

#[allow(clippy::needless_pass_by_value, reason = "the signature that run_main takes")]
fn run(options: Options) -> Result<(), Failure> {
    if options.list {
        return show::list(&options);
    }
    if let Some(name) = &options.which {
        return show::which(&options, name);
    }
    let Some(registry) = &options.registry else { return Err(Failure::usage("no registry was given")) };
    let target = target::Target::parse(registry).map_err(Failure::usage)?;
    if options.remove { login::remove(&options, &target) } else { login::login(&options, &target) }
}
