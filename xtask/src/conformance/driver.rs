//! Runs the script of a judge and reads what it prints.

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

/// Runs all checks whose name matches the glob.
pub(super) fn run(judge: &Judge, runtime: &Path, pattern: &str) -> Result<Outcome> {
    let heard = heard(judge, runtime, pattern)?;
    Ok(heard.skipped.map_or(Outcome::Ran(heard.checks), Outcome::Skipped))
}

/// Runs the sessions of the judge: their names and lines.
pub(super) fn transcripts(judge: &Judge, runtime: &Path) -> Result<Vec<(String, String)>> {
    let heard = heard(judge, runtime, "--transcript")?;
    heard.skipped.map_or(Ok(heard.transcripts), |why| bail!("{}: {why}", judge.name))
}

/// Lets the judge fetch what it needs from the network, then runs it in namespaces of its own: its daemons end with it, its mounts and
/// network devices are seen by nobody.
fn heard(judge: &Judge, runtime: &Path, what: &str) -> Result<Heard> {
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
    let heard = listen(&mut fetch).and_then(|heard| {
        if heard.skipped.is_some() { Ok(heard) } else { listen(alone(judge, what).envs(environment)) }
    });
    if let Err(error) = std::fs::remove_dir_all(&work) {
        eprintln!("left behind: {}: {error}", work.display());
    }
    heard
}

fn alone(judge: &Judge, what: &str) -> Command {
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
    command.arg(judge::directory().join("frame.sh")).arg(&judge.name).arg(what);
    command
}

fn listen(command: &mut Command) -> Result<Heard> {
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
    if heard.skipped.is_none() && !heard.ended {
        bail!("the judge ended before its end: {status}");
    }
    Ok(heard)
}

/// What the script said: `@pass NAME`, `@fail NAME WHY`, `@skip NAME WHY`, `@skip-all WHY`, `@end`. All else explains the next result.
/// Instead of checks `@transcript NAME`, and its lines after a `| ` each.
#[derive(Default)]
struct Heard {
    checks: Vec<Check>,
    transcripts: Vec<(String, String)>,
    skipped: Option<String>,
    ended: bool,
}

impl Heard {
    fn line(&mut self, line: &str) -> Result<()> {
        if let (Some(shown), Some((_, text))) = (line.strip_prefix("| "), self.transcripts.last_mut()) {
            text.push_str(shown);
            text.push('\n');
        }
        let Some(rest) = line.strip_prefix('@') else { return Ok(()) };
        let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        match word {
            "end" => self.ended = true,
            "skip-all" => self.skipped = Some(rest.to_owned()),
            "transcript" => self.transcripts.push((rest.to_owned(), String::new())),
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

    #[test]
    fn the_lines_of_sessions_are_read() {
        let mut heard = Heard::default();
        for line in ["| stray", "@transcript one", "| $ id", "noise", "| @root", "@transcript two", "| $ true"] {
            heard.line(line).unwrap();
        }
        let found: Vec<_> = heard.transcripts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        assert_eq!(found, [("one", "$ id\n@root\n"), ("two", "$ true\n")]);
    }
}
