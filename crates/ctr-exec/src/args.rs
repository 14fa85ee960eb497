//! The command line.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::Parser;
use ctr_cli::{Failure, GlobalArgs};
use ctr_sandbox::join::{JoinOptions, JoinStreams};
use ctr_sandbox::terminal::DetachKeys;
use ctr_sys::privilege::{self, CapSet};

/// Execute a program in a container that runs
///
/// The program has what the container's own program has: user, capabilities, system call filter, limits, control groups,
/// environment, working directory; options change that. Exit codes: the program's, or 128 + the signal that ended it (with
/// --detach 0 when the program runs); 125 for failures of ctr-exec itself, 126 if the program cannot be executed, 127 if it is
/// not found.
#[derive(Debug, Parser)]
#[command(
    name = "ctr-exec",
    version = ctr_cli::VERSION,
    override_usage = "ctr-exec [OPTIONS] CONTAINER PROGRAM [ARG]..."
)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,

    /// Container, by id, beginning of the id (3 characters or more) or name; then the program and its arguments
    #[arg(value_names = ["CONTAINER", "PROGRAM"], required = true, num_args = 2.., trailing_var_arg = true)]
    container_and_program: Vec<String>,

    /// Give the program the caller's standard input; without it, its input has an end at once
    #[arg(long, short)]
    interactive: bool,
    /// Give the program a terminal of its own, shown at the caller's
    #[arg(long, short, conflicts_with = "detach")]
    tty: bool,
    /// Keys that end ctr-exec and hang up on the program; '' for none
    #[arg(long, value_name = "KEYS", default_value = ctr_sandbox::terminal::DEFAULT_DETACH_KEYS)]
    pub(crate) detach_keys: DetachKeys,
    /// End when the program runs; its output goes nowhere
    #[arg(long, short, conflicts_with = "interactive")]
    pub(crate) detach: bool,
    /// Environment variable, over the container's; without a value, the caller's
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// File with a NAME=VALUE on each line
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Working directory [default: the container's]
    #[arg(long, short, value_name = "DIR")]
    workdir: Option<String>,
    /// User and group, by the container's own names or by number [default: the container's]
    #[arg(long, short, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// All capabilities of the container's user namespace and no system call filter
    #[arg(long)]
    privileged: bool,
    /// Capability to add to the container's
    #[arg(long, value_name = "CAP")]
    cap_add: Vec<String>,
    /// Capability to drop, or ALL
    #[arg(long, value_name = "CAP")]
    cap_drop: Vec<String>,
}

impl Args {
    /// The container as it was named.
    pub(crate) fn container(&self) -> &str {
        self.container_and_program.first().map_or("", String::as_str)
    }

    /// Checks every option.
    pub(crate) fn options(self) -> Result<JoinOptions, Failure> {
        let all = |name: &String| name.eq_ignore_ascii_case("ALL");
        if self.cap_add.iter().any(all) {
            return Err(Failure::usage("--cap-add ALL").because("--privileged gives all capabilities"));
        }
        if self.tty && self.interactive && !std::io::stdin().is_terminal() {
            return Err(Failure::new("the input device is not a TTY")
                .because("-it passes on what is typed at ctr-exec's own terminal")
                .hint("leave -t out to pipe input to the program, or -i to only show its terminal"));
        }
        let mut env = ctr_cli::environment(&self.env_file, &self.env)?;
        if self.tty && !env.iter().any(|variable| variable.starts_with("TERM=")) {
            env.insert(0, "TERM=xterm".to_owned());
        }
        Ok(JoinOptions {
            args: self.container_and_program.into_iter().skip(1).collect(),
            env,
            workdir: self.workdir,
            user: self.user,
            privileged: self.privileged,
            cap_drop_all: self.cap_drop.iter().any(all),
            cap_add: capabilities("--cap-add", &self.cap_add)?,
            cap_drop: capabilities("--cap-drop", &self.cap_drop)?,
            streams: match (self.detach, self.tty, self.interactive) {
                (true, _, _) => JoinStreams::Nowhere,
                (false, true, input) => JoinStreams::Terminal { input },
                (false, false, true) => JoinStreams::Caller,
                (false, false, false) => JoinStreams::Output,
            },
        })
    }
}

/// Those that are named; `ALL` is left out.
fn capabilities(option: &str, names: &[String]) -> Result<CapSet, Failure> {
    let mut set = CapSet::default();
    for name in names.iter().filter(|name| !name.eq_ignore_ascii_case("ALL")) {
        let number = privilege::capability(name).ok_or_else(|| {
            Failure::usage(format!("{option} {name}"))
                .because("there is no such capability (capabilities(7) lists them)")
        })?;
        set.0 |= 1 << number;
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_container_belongs_to_the_program() {
        let args =
            Args::try_parse_from(["ctr-exec", "-u", "bob", "web", "ls", "-l", "--user", "x", "--", "y"]).unwrap();
        assert_eq!(args.container(), "web");
        let options = args.options().unwrap();
        assert_eq!(options.args, ["ls", "-l", "--user", "x", "--", "y"]);
        assert_eq!(options.user.as_deref(), Some("bob"));
    }

    #[test]
    fn bad_lines_are_refused() {
        super::super::command().debug_assert();
        for bad in [
            &["ctr-exec"][..],
            &["ctr-exec", "web"],
            &["ctr-exec", "-d", "-i", "web", "true"],
            &["ctr-exec", "--nope", "web", "true"],
        ] {
            assert!(Args::try_parse_from(bad).is_err(), "{bad:?}");
        }
        for bad in [["--cap-add", "NOPE"], ["--cap-add", "all"], ["--env", "=x"]] {
            let args = Args::try_parse_from(["ctr-exec", bad[0], bad[1], "web", "true"]).unwrap();
            assert!(args.options().is_err(), "{bad:?}");
        }
    }
}
