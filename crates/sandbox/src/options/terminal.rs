//! Terminal and standard input.

/// Which of the program's streams the caller has a hand in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TerminalOptions {
    /// The program can be given input.
    pub interactive: bool,
    /// The program has a terminal.
    pub tty: bool,
    /// Do not stay, although there is input or a terminal.
    pub detach: bool,
}
