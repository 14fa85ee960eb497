//! Hooks in the runtime's own namespaces (config.md "POSIX-platform Hooks"): executed one after the other, the state on standard
//! input.

use std::io::{ErrorKind, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use ctr_cli::Failure;
use ctr_sys::{pidfd, poll};

use crate::config::Hook;

/// Runs `hooks`; the first that fails ends it. `kind` is their name in config.json.
pub(crate) fn run(kind: &str, hooks: &[Hook], state: &[u8]) -> Result<(), Failure> {
    for (number, hook) in hooks.iter().enumerate() {
        crate::report::debug(|| format!("hooks.{kind}[{number}]: {}", hook.path.display()));
        one(hook, state).map_err(|why| {
            Failure::new(format!("hooks.{kind}[{number}] ({}) failed", hook.path.display())).because(why)
        })?;
    }
    Ok(())
}

/// As [`run`], but goes on after failures and tells them as warnings: what the hooks are for has happened.
pub(crate) fn run_all(kind: &str, hooks: &[Hook], state: &[u8]) {
    for (number, hook) in hooks.iter().enumerate() {
        if let Err(why) = one(hook, state) {
            crate::report::warn(&format!("hooks.{kind}[{number}] ({}) failed: {why}", hook.path.display()));
        }
    }
}

fn one(hook: &Hook, state: &[u8]) -> Result<(), String> {
    let mut command = Command::new(&hook.path);
    let mut args = hook.args.iter();
    if let Some(name) = args.next() {
        command.arg0(name);
    }
    command.args(args).env_clear().stdin(Stdio::piped());
    command.envs(hook.env.iter().map(|variable| variable.split_once('=').unwrap_or((variable, ""))));
    let mut child = command.spawn().map_err(|error| format!("cannot execute it: {error}"))?;
    if let Some(mut input) = child.stdin.take() {
        // A hook need not read.
        match input.write_all(state) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                return Err(format!("cannot write its input: {error}"));
            }
            _ => {}
        }
    }
    if let Some(seconds) = hook.timeout {
        let limit = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let pid = i32::try_from(child.id()).unwrap_or(0);
        let ended = match pidfd::open(pid).map_err(|error| error.to_string())? {
            Some(pidfd) => {
                use std::os::fd::AsFd as _;
                poll::readable(&[pidfd.as_fd()], Some(limit)).map_err(|error| error.to_string())? == [true]
            }
            None => true,
        };
        if !ended {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("it took longer than its timeout of {seconds} seconds and was ended"));
        }
    }
    let status = child.wait().map_err(|error| format!("cannot wait for it: {error}"))?;
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(format!("it returned {code}")),
        (None, signal) => Err(format!("signal {} ended it", signal.unwrap_or_default())),
    }
}
