//! The command line as it is given, one file for each subject; `request/` makes a validated request of it.

mod devices;
mod filesystem;
mod health;
mod kernel;
mod life;
mod limits;
mod namespaces;
mod program;
mod schedule;
mod security;
mod terminal;

use clap::Parser;
use ctr_cli::GlobalArgs;

pub(crate) use devices::DeviceArgs;
pub(crate) use filesystem::FilesystemArgs;
pub(crate) use health::HealthArgs;
pub(crate) use kernel::KernelArgs;
pub(crate) use life::{LifeArgs, LogArg, Pull};
pub(crate) use limits::LimitArgs;
pub(crate) use namespaces::NamespaceArgs;
pub(crate) use program::ProgramArgs;
pub(crate) use schedule::ScheduleArgs;
pub(crate) use security::SecurityArgs;
pub(crate) use terminal::TerminalArgs;

/// Start a container and exit once its program runs
///
/// IMAGE is the name of a stored image, its digest, or the path of an image file or directory. The container's id is printed.
/// Exit codes: 0 when the program runs (with --wait: the program's, or 128 + the signal that ended it); 125 for failures of
/// ctr-run itself, 126 if the program cannot be executed, 127 if it is not found.
#[derive(Debug, Parser)]
#[command(name = "ctr-run", version = ctr_cli::VERSION, override_usage = "ctr-run [OPTIONS] IMAGE [ARG]...")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,

    /// Name, digest or path of the image, then arguments of its entrypoint, or the program to run
    ///
    /// One list, not two: whatever follows the image belongs to the container, also where ctr-run has an option of that name.
    #[arg(value_names = ["IMAGE", "ARG"], required = true, num_args = 1.., trailing_var_arg = true)]
    image_and_program: Vec<String>,

    #[command(flatten)]
    pub(crate) life: LifeArgs,
    #[command(flatten)]
    pub(crate) health: HealthArgs,
    #[command(flatten)]
    pub(crate) terminal: TerminalArgs,
    #[command(flatten)]
    pub(crate) program: ProgramArgs,
    #[command(flatten)]
    pub(crate) filesystem: FilesystemArgs,
    #[command(flatten)]
    pub(crate) devices: DeviceArgs,
    #[command(flatten)]
    pub(crate) namespaces: NamespaceArgs,
    #[command(flatten)]
    pub(crate) kernel: KernelArgs,
    #[command(flatten)]
    pub(crate) scheduling: ScheduleArgs,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    #[command(flatten)]
    pub(crate) security: SecurityArgs,
}

impl Args {
    /// The image as it was named.
    pub(crate) fn image(&self) -> &str {
        self.image_and_program.first().map_or("", String::as_str)
    }

    /// What follows the image: arguments of its entrypoint, or the program to run.
    pub(crate) fn program(&self) -> &[String] {
        self.image_and_program.get(1..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_image_belongs_to_the_container() {
        let args =
            Args::try_parse_from(["ctr-run", "--rm", "image", "--version", "-m", "64", "--rm", "--", "x"]).unwrap();
        assert_eq!(args.image(), "image");
        assert_eq!(args.program(), ["--version", "-m", "64", "--rm", "--", "x"]);
        assert!(args.life.rm && args.limits.memory.is_none());
        assert!(Args::try_parse_from(["ctr-run", "--no-such-option", "image"]).is_err());
        assert!(Args::try_parse_from(["ctr-run", "--rm"]).is_err());
    }
}
