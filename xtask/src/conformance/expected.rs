//! The lists of what is expected: `NAME pass|fail|skip [WHY]`, one check a line; `#` starts a comment.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::conformance::OURS;
use crate::conformance::judge::{self, Check, Verdict};

/// Starts a reason that nobody has looked into yet.
const SAID: &str = "said: ";

/// The list of a judge and a runtime. The comments at its head are kept when it is renewed.
#[derive(Default)]
pub(super) struct List {
    head: String,
    pub(super) checks: Vec<Check>,
}

/// A result that is not what the list says.
pub(super) struct Change {
    name: String,
    expected: Option<Verdict>,
    found: Option<Check>,
}

impl Change {
    /// A check that was skipped on this machine tells nothing against its list.
    pub(super) fn counts(&self) -> bool {
        self.found.as_ref().is_none_or(|found| found.verdict != Verdict::Skip)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected = self.expected.map_or("not in the list", Verdict::word);
        match &self.found {
            Some(found) => {
                write!(f, "{}: expected {expected}, found {} {}", self.name, found.verdict.word(), found.why)
            }
            None => write!(f, "{}: expected {expected}, but there is no such check any more", self.name),
        }
    }
}

fn path(judge: &str, side: &str) -> PathBuf {
    let file = if side == OURS { format!("{judge}.txt") } else { format!("{judge}.{side}.txt") };
    judge::directory().join("expected").join(file)
}

impl List {
    /// The list; an empty one if there is no such file yet.
    pub(super) fn read(judge: &str, side: &str) -> Result<Self> {
        let path = path(judge, side);
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).with_context(|| format!("read {}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    fn parse(text: &str) -> Result<Self> {
        let mut list = Self::default();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            if line.starts_with('#') {
                list.head.push_str(line);
                list.head.push('\n');
                continue;
            }
            let (name, rest) = line.split_once(' ').with_context(|| format!("{line:?} has no verdict"))?;
            let (word, why) = rest.split_once(' ').unwrap_or((rest, ""));
            let verdict = word.parse().with_context(|| format!("line {line:?}"))?;
            list.checks.push(Check { name: name.to_owned(), verdict, why: why.trim().to_owned() });
        }
        Ok(list)
    }

    /// What differs. Checks that were not run count only if the `whole` judge was.
    pub(super) fn compare(&self, found: &[Check], whole: bool) -> Vec<Change> {
        let expected: BTreeMap<&str, Verdict> =
            self.checks.iter().map(|check| (check.name.as_str(), check.verdict)).collect();
        let mut changes: Vec<Change> = found
            .iter()
            .filter(|check| expected.get(check.name.as_str()) != Some(&check.verdict))
            .map(|check| Change {
                name: check.name.clone(),
                expected: expected.get(check.name.as_str()).copied(),
                found: Some(check.clone()),
            })
            .collect();
        let gone = self.checks.iter().filter(|check| whole && !found.iter().any(|found| found.name == check.name));
        changes.extend(gone.map(|check| Change {
            name: check.name.clone(),
            expected: Some(check.verdict),
            found: None,
        }));
        changes
    }

    /// The list with these results. A reason that a person wrote stays as long as the verdict does; one that only repeats what the judge
    /// said starts with [`SAID`] and is renewed.
    pub(super) fn renewed(self, found: Vec<Check>, whole: bool) -> Self {
        let mut old: BTreeMap<String, Check> =
            self.checks.into_iter().map(|check| (check.name.clone(), check)).collect();
        let mut checks = Vec::new();
        for mut check in found {
            let old = old.remove(&check.name).filter(|old| old.verdict == check.verdict && !old.why.starts_with(SAID));
            check.why = match old {
                Some(old) => old.why,
                None if check.why.is_empty() => String::new(),
                None => format!("{SAID}{}", check.why),
            };
            checks.push(check);
        }
        if !whole {
            checks.extend(old.into_values());
        }
        checks.sort_by(|one, other| one.name.cmp(&other.name));
        Self { head: self.head, checks }
    }

    pub(super) fn write(&self, judge: &str, side: &str) -> Result<()> {
        let path = path(judge, side);
        std::fs::write(&path, self.text()).with_context(|| format!("write {}", path.display()))
    }

    fn text(&self) -> String {
        let line = |check: &Check| {
            format!("{} {} {}", check.name, check.verdict.word(), check.why).trim_end().to_owned() + "\n"
        };
        self.head.clone() + &self.checks.iter().map(line).collect::<String>()
    }

    pub(super) fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|check| check.verdict == verdict).count()
    }

    pub(super) fn find(&self, name: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# head\nalpha pass\nbeta fail the kernel lacks it\n";

    fn check(name: &str, verdict: Verdict, why: &str) -> Check {
        Check { name: name.to_owned(), verdict, why: why.to_owned() }
    }

    #[test]
    fn a_list_is_read_and_written_alike() {
        assert_eq!(List::parse(TEXT).unwrap().text(), TEXT);
        assert!(List::parse("alpha maybe\n").is_err() && List::parse("alpha\n").is_err());
    }

    #[test]
    fn a_change_in_either_direction_counts() {
        let list = List::parse(TEXT).unwrap();
        let found =
            [check("alpha", Verdict::Fail, "x"), check("beta", Verdict::Pass, ""), check("new", Verdict::Pass, "")];
        let changes = list.compare(&found, true);
        assert_eq!(changes.iter().filter(|change| change.counts()).count(), 3);
        assert_eq!(changes[0].to_string(), "alpha: expected pass, found fail x");
        assert!(!list.compare(&[check("alpha", Verdict::Skip, "no net")], false)[0].counts());
    }

    #[test]
    fn a_check_that_is_gone_counts_if_all_were_run() {
        let list = List::parse(TEXT).unwrap();
        let found = [check("alpha", Verdict::Pass, "")];
        assert!(list.compare(&found, false).is_empty());
        assert!(list.compare(&found, true)[0].to_string().contains("beta"));
    }

    #[test]
    fn renewing_keeps_what_a_person_wrote() {
        let found = vec![check("beta", Verdict::Fail, "exit status 1")];
        assert_eq!(List::parse(TEXT).unwrap().renewed(found.clone(), false).text(), TEXT);
        assert_eq!(List::parse(TEXT).unwrap().renewed(found, true).text(), "# head\nbeta fail the kernel lacks it\n");
        let said = List::parse("beta fail said: exit status 2\n").unwrap();
        assert_eq!(
            said.renewed(vec![check("beta", Verdict::Fail, "exit status 1")], true).text(),
            "beta fail said: exit status 1\n"
        );
    }
}
