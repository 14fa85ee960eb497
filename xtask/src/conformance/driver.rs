//! Runs the script of a judge and reads what it prints.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::conformance::Outcome;
use crate::conformance::judge::{self, Check, Judge, Verdict};
use crate::tree;

/// Where judges keep what they build or unpack, between runs.
fn cache(judge: &Judge) -> PathBuf {
    tree::target().join("conformance").join(&judge.name)
}

/// Lets the judge fetch what it needs from the network, then runs all checks whose name matches the glob, in namespaces of the judge's own:
/// its daemons end with it, its mounts and network devices are seen by nobody.
pub(super) fn run(judge: &Judge, runtime: &Path, pattern: &str) -> Result<Outcome> {
    let cache = cache(judge);
    std::fs::create_dir_all(&cache).with_context(|| format!("create {}", cache.display()))?;
    let work = PathBuf::from("/var/tmp").join(format!("ctr-conformance-{}-{}", judge.name, std::process::id()));
    std::fs::create_dir(&work).with_context(|| format!("create {}", work.display()))?;
    let environment = [
        ("RUNTIME", runtime.as_os_str()),
        ("CACHE", cache.as_os_str()),
        ("WORK", work.as_os_str()),
        ("LIMIT", judge.seconds.to_string().as_ref()),
    ]
    .map(|(name, value)| (name, value.to_owned()));
    let mut fetch = Command::new("bash");
    fetch.arg(judge::directory().join("frame.sh")).args([&judge.name, "--fetch"]).envs(environment.clone());
    let outcome = listen(&mut fetch).and_then(|outcome| match outcome {
        Outcome::Skipped(why) => Ok(Outcome::Skipped(why)),
        Outcome::Ran(_) => checks(judge, pattern, environment),
    });
    if let Err(error) = std::fs::remove_dir_all(&work) {
        eprintln!("left behind: {}: {error}", work.display());
    }
    outcome
}

fn checks(judge: &Judge, pattern: &str, environment: [(&str, OsString); 4]) -> Result<Outcome> {
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--net",
        "--pid",
        "--fork",
        "--mount-proc",
        "--kill-child",
        "--propagation",
        "private",
        "bash",
    ]);
    command.arg(judge::directory().join("frame.sh")).arg(&judge.name).arg(pattern);
    listen(command.envs(environment))
}

fn listen(command: &mut Command) -> Result<Outcome> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("run the judge")?;
    let output = child.stdout.take().context("the judge has no output")?;
    let mut heard = Heard::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("read the judge's output")?;
        let line = String::from_utf8_lossy(&line);
        eprintln!("{line}");
        heard.line(&line)?;
    }
    let status = child.wait().context("wait for the judge")?;
    if let Some(why) = heard.skipped {
        return Ok(Outcome::Skipped(why));
    }
    if !heard.ended {
        bail!("the judge ended before its end: {status}");
    }
    Ok(Outcome::Ran(heard.checks))
}

/// What the script said: `@pass NAME`, `@fail NAME WHY`, `@skip NAME WHY`, `@skip-all WHY`, `@end`. All else explains the next result.
#[derive(Default)]
struct Heard {
    checks: Vec<Check>,
    skipped: Option<String>,
    ended: bool,
}

impl Heard {
    fn line(&mut self, line: &str) -> Result<()> {
        let Some(rest) = line.strip_prefix('@') else { return Ok(()) };
        let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        match word {
            "end" => self.ended = true,
            "skip-all" => self.skipped = Some(rest.to_owned()),
            word => {
                let verdict: Verdict = word.parse().with_context(|| format!("the judge printed {line:?}"))?;
                let (name, why) = rest.split_once(' ').unwrap_or((rest, ""));
                self.checks.push(Check { name: name.to_owned(), verdict, why: why.trim().to_owned() });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_judge_are_read() {
        let mut heard = Heard::default();
        for line in ["noise", "@pass one", "@fail two it broke", "@skip three no network", "@end"] {
            heard.line(line).unwrap();
        }
        assert!(heard.ended && heard.skipped.is_none());
        assert_eq!(heard.checks.len(), 3);
        assert_eq!(heard.checks[1].verdict, Verdict::Fail);
        assert_eq!(heard.checks[2].why, "no network");
        assert!(heard.line("@maybe four").is_err());
    }
}
