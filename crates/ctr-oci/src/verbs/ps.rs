//! `ps`: the processes of a container, as ps(1) shows them or by number.

use std::collections::BTreeSet;
use std::process::{Command, ExitCode, Stdio};

use ctr_cli::{Context as _, Failure, escape};

use super::pause::failure;
use super::start::state_failure;
use crate::args::{self, Global, PsFormat};
use crate::state::States;

/// Where distributions have ps(1): the caller's search path is not asked.
const PLACES: [&str; 2] = ["/usr/bin/ps", "/bin/ps"];

/// `ctr-oci ps`.
pub(crate) fn ps(global: &Global, args: &args::Ps) -> Result<ExitCode, Failure> {
    let id = args.id().map_err(|error| Failure::usage("there is no such container").caused_by(&error))?;
    let known = States::open(global)?.find(&id).map_err(state_failure)?;
    let listed = known.oci.cgroup.processes().map_err(failure)?;
    // A container without a group of its own has at least its program.
    let pids: BTreeSet<i32> = listed.into_iter().chain(known.pid).collect();
    let text = match args.format {
        PsFormat::Json => format!("{}\n", ctr_cli::to_json(&pids, false)?),
        PsFormat::Table => {
            let default = ["-ef".to_owned()];
            let options = if args.options().is_empty() { &default[..] } else { args.options() };
            rows(&listing(options)?, &pids)?
        }
    };
    ctr_cli::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// What ps(1) prints of all processes that it is told to show.
fn listing(options: &[String]) -> Result<String, Failure> {
    let program = PLACES.iter().find(|place| std::path::Path::new(place).exists()).ok_or_else(|| {
        Failure::new("there is no ps(1) on this host")
            .hint("give --format json for the process ids, or install the package procps")
    })?;
    let done = Command::new(program)
        .args(options)
        .stdin(Stdio::null())
        .output()
        .context(|| format!("cannot execute {program}"))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let failure = Failure::new(format!("{program} failed: {}", done.status));
    Err(said.lines().find(|line| !line.trim().is_empty()).map_or(failure.clone(), |line| failure.because(line.trim())))
}

/// The head, and the lines of these processes.
fn rows(listing: &str, pids: &BTreeSet<i32>) -> Result<String, Failure> {
    let mut lines = listing.lines();
    let head = lines.next().unwrap_or_default();
    let column = head.split_whitespace().position(|name| name == "PID").ok_or_else(|| {
        Failure::new("the table of ps(1) has no column PID").hint("its lines are chosen by it: add pid to the columns")
    })?;
    let ours = |line: &&str| {
        let pid = line.split_whitespace().nth(column).and_then(|pid| pid.parse().ok());
        pid.is_some_and(|pid: i32| pids.contains(&pid))
    };
    let shown: Vec<String> =
        std::iter::once(head).chain(lines.filter(ours)).map(escape::visible).map(|line| format!("{line}\n")).collect();
    Ok(shown.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_chosen_by_the_column() {
        // spec: OCI-33
        let listing =
            "UID          PID    PPID CMD\nroot           1       0 init 7\nroot           7       1 sh -c \x1b[1m\n";
        let rows = |listing: &str| rows(listing, &[7].into());
        assert_eq!(rows(listing).unwrap(), "UID          PID    PPID CMD\nroot           7       1 sh -c \\x1b[1m\n");
        assert_eq!(rows("PID\n").unwrap(), "PID\n");
        for bad in ["", "UID CMD\nroot 7\n"] {
            assert!(rows(bad).is_err(), "{bad}");
        }
    }
}
