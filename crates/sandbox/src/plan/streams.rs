//! The program's standard streams: a terminal or none, where input comes from, where the output goes.

use ctr_core::container::LogMode;
use serde::Serialize;

use super::HostFacts;
use crate::error::SandboxError;
use crate::options::RunOptions;

/// The streams of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StreamPlan {
    /// The program has a terminal.
    pub tty: bool,
    /// The program can be given input.
    pub stdin: bool,
    /// The caller stays, and is the first to have a hand in them.
    pub attached: bool,
}

impl StreamPlan {
    /// Whether init hands the terminal, or the way to the program's input, to whoever attaches (LIFE-100).
    pub fn can_be_attached(self, init: bool) -> bool {
        init && (self.tty || (self.stdin && !self.attached))
    }
}

pub(super) fn plan(options: &RunOptions) -> Result<StreamPlan, SandboxError> {
    let terminal = options.terminal;
    let plan = StreamPlan { tty: terminal.tty, stdin: terminal.interactive, attached: options.stays() };
    let needs_init = |what: &str| {
        SandboxError::request_hint(
            format!("{what} needs ctr's init, which --no-init leaves out"),
            "leave --no-init or --detach out",
        )
    };
    match (options.life.no_init && !plan.attached, plan.tty, plan.stdin) {
        (true, true, _) => Err(needs_init("a terminal that nobody is attached to")),
        (true, false, true) => Err(needs_init("input for a program that nobody is attached to")),
        _ if options.life.no_init && options.life.timeout.is_some() => Err(SandboxError::request_hint(
            "--timeout needs ctr's init, which --no-init leaves out",
            "leave --no-init out, or stop the container with ctr-stop",
        )),
        _ => Ok(plan),
    }
}

/// Detached: the journal if that is where we write, else files. Waiting: as the caller has it. With a terminal the caller is
/// shown it, and the log has what comes while nobody is attached.
pub(super) fn log_mode(
    options: &RunOptions,
    host: &HostFacts,
    notes: &mut Vec<String>,
) -> Result<LogMode, SandboxError> {
    let (init, tty, stays) = (!options.life.no_init, options.terminal.tty, options.stays());
    let mode = options.life.log.unwrap_or(match (stays, host.journal.is_some()) {
        _ if tty && init => LogMode::File,
        (true, _) => LogMode::Inherit,
        (false, true) => {
            notes.push("log: standard output is the journal stream of a systemd unit, so it is inherited".to_owned());
            LogMode::Inherit
        }
        (false, false) if !init => LogMode::None,
        (false, false) => LogMode::File,
    });
    if mode == LogMode::File && !init {
        return Err(SandboxError::request_hint(
            "--log=file needs ctr's init, which --no-init leaves out",
            "use --log=inherit or --log=none with --no-init",
        ));
    }
    if mode == LogMode::Inherit && tty && !stays {
        return Err(SandboxError::request_hint(
            "--log=inherit cannot be had for a terminal that nobody is attached to",
            "use --log=file or --log=none with --tty --detach",
        ));
    }
    Ok(mode)
}
