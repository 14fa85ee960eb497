//! Terminal and standard input.

use std::io::IsTerminal as _;

use ctr_cli::Failure;
use ctr_sandbox::options::TerminalOptions;

use crate::args::TerminalArgs;

pub(super) fn request(args: &TerminalArgs) -> Result<TerminalOptions, Failure> {
    let options = TerminalOptions { interactive: args.interactive, tty: args.tty, detach: args.detach };
    if options.interactive && options.tty && !options.detach && !std::io::stdin().is_terminal() {
        return Err(Failure::new("the input device is not a TTY")
            .because("-it passes on what is typed at ctr-run's own terminal")
            .hint("leave -t out to pipe input to the program, or -i to only show its terminal"));
    }
    Ok(options)
}
