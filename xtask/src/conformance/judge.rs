//! A judge: a script whose head says what it is and what it needs.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail};

use crate::conformance::OURS;
use crate::tree;

/// Where the scripts lie.
pub(super) fn directory() -> PathBuf {
    tree::top().join("tests/conformance")
}

/// A judge, as the comments at the head of its script describe it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Judge {
    /// The name of the script without `.sh`.
    pub(super) name: String,
    /// `# title:`, the heading of its section.
    pub(super) title: String,
    /// `# about:` lines: what it is, where it comes from, how it is run.
    pub(super) about: String,
    /// `# programs:` the program of ours that is judged, and those that it needs beside it.
    pub(super) programs: Vec<String>,
    /// `# packages:` Debian packages.
    pub(super) packages: Vec<String>,
    /// `# limit:` seconds for one check.
    pub(super) seconds: u64,
}

impl Judge {
    /// The program of ours that it judges.
    pub(super) fn program(&self) -> &str {
        self.programs.first().map_or(OURS, String::as_str)
    }

    /// Whether a program of this name can stand in the place of ours: any other runtime for ctr-oci, nothing for other programs.
    pub(super) fn takes(&self, name: &str) -> bool {
        name == self.program() || self.program() == OURS && !name.starts_with("ctr-")
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    Fail,
    Skip,
}

impl Verdict {
    pub(super) fn word(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::Skip => "skip",
        }
    }
}

impl FromStr for Verdict {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        [Verdict::Pass, Verdict::Fail, Verdict::Skip]
            .into_iter()
            .find(|verdict| verdict.word() == word)
            .with_context(|| format!("{word:?} is not pass, fail or skip"))
    }
}

/// One check of a judge: its name, how it ended, and why unless it passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) verdict: Verdict,
    pub(super) why: String,
}

/// Every judge, by name. `frame.sh` is what they share.
pub(super) fn all() -> Result<Vec<Judge>> {
    let directory = directory();
    let entries = std::fs::read_dir(&directory).with_context(|| format!("read {}", directory.display()))?;
    let mut judges = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_script = path.extension().is_some_and(|extension| extension == "sh");
        if is_script && path.file_stem().is_some_and(|stem| stem != "frame") {
            judges.push(read(&path)?);
        }
    }
    judges.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(judges)
}

fn read(path: &Path) -> Result<Judge> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    parse(&name, &text).with_context(|| format!("the head of {}", path.display()))
}

fn parse(name: &str, text: &str) -> Result<Judge> {
    let mut judge = Judge {
        name: name.to_owned(),
        title: String::new(),
        about: String::new(),
        programs: Vec::new(),
        packages: Vec::new(),
        seconds: 60,
    };
    for line in text.lines().take_while(|line| line.starts_with('#')) {
        let Some((key, value)) = line.trim_start_matches(['#', ' ']).split_once(": ") else { continue };
        match key {
            "title" => value.clone_into(&mut judge.title),
            "about" => {
                if !judge.about.is_empty() {
                    judge.about.push(' ');
                }
                judge.about.push_str(value);
            }
            "programs" => judge.programs.extend(value.split_whitespace().map(str::to_owned)),
            "packages" => judge.packages.extend(value.split_whitespace().map(str::to_owned)),
            "limit" => judge.seconds = value.parse().with_context(|| format!("limit: {value}"))?,
            _ => {}
        }
    }
    if judge.programs.is_empty() {
        judge.programs.push(OURS.to_owned());
    }
    if judge.title.is_empty() || judge.about.is_empty() {
        bail!("it lacks \"# title: ...\" or \"# about: ...\"");
    }
    Ok(judge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_script_describes_the_judge() {
        let judge = parse(
            "x",
            "#!/bin/bash\n# title: X\n# about: one\n# about: two\n# packages: a b\n# limit: 5\ncode\n# limit: 6\n",
        )
        .unwrap();
        assert_eq!((judge.title.as_str(), judge.about.as_str(), judge.seconds), ("X", "one two", 5));
        assert_eq!(judge.packages, ["a", "b"]);
        assert!(judge.takes("ctr-oci") && judge.takes("runc") && !judge.takes("ctr-build"));
        let judge = parse("x", "# title: X\n# about: one\n# programs: ctr-build ctr-fetch\n").unwrap();
        assert_eq!(judge.programs, ["ctr-build", "ctr-fetch"]);
        assert!(judge.takes("ctr-build") && !judge.takes("runc"));
        assert!(parse("x", "#!/bin/bash\n# title: X\n").is_err());
    }

    #[test]
    fn every_script_has_a_head() {
        assert!(all().unwrap().iter().any(|judge| judge.name == "runtime-tools"));
    }
}
