//! Exit codes (spec/08-command-lines.md "Exit codes"; those of `ctr-run` are the ones of chroot(1) and env(1)).

/// All went well.
pub const SUCCESS: u8 = 0;
/// What was asked for could not be done.
pub const FAILURE: u8 = 1;
/// The command line cannot be understood.
pub const USAGE: u8 = 2;
/// `ctr-run`, `ctr-exec`: a failure of ours, usage errors too.
pub const RUNNER_FAILURE: u8 = 125;
/// `ctr-run`, `ctr-exec`: the program was found and cannot be executed.
pub const CANNOT_INVOKE: u8 = 126;
/// `ctr-run`, `ctr-exec`: the program was not found.
pub const NOT_FOUND: u8 = 127;
/// A reader closed our standard output: what a shell reports of a tool that SIGPIPE ended (128 + 13).
pub const BROKEN_PIPE: u8 = 141;

/// The exit code that stands for a program ended by `signal`: 128 + its number.
pub fn signalled(signal: i32) -> u8 {
    u8::try_from(signal.clamp(0, 127)).unwrap_or(127).saturating_add(128)
}

/// The exit codes of a binary for errors that name none themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codes {
    /// For failures.
    pub failure: u8,
    /// For command lines that cannot be understood.
    pub usage: u8,
}

/// Of all binaries but those that return the status of a program.
pub const TOOL: Codes = Codes { failure: FAILURE, usage: USAGE };
/// Of `ctr-run` and `ctr-exec`, whose other codes belong to the program that they run.
pub const RUNNER: Codes = Codes { failure: RUNNER_FAILURE, usage: RUNNER_FAILURE };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_fit_the_code() {
        assert_eq!(signalled(9), 137);
        assert_eq!(signalled(64), 192);
        assert_eq!(signalled(-1), 128);
        assert_eq!(signalled(1000), 255);
    }
}
