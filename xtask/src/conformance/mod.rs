//! `cargo xtask conformance`: engines and test suites of others, with ctr-oci as their runtime, and what others make of the same input.
//!
//! A judge is a script in `tests/conformance/` and a list of what is expected of it in `tests/conformance/expected/`. A result that differs
//! from its list, to the better or the worse, is shown and makes the task fail; `--bless` accepts it and renews docs/conformance.md, which
//! says nothing but what the lists say.
//!
//! `--only A,B` picks judges, `--check GLOB` picks checks, `--runtime PROGRAM` takes another runtime than ctr-oci (a path, or a name on
//! `PATH`: `runc` has lists of its own, and they stand beside ours), `--no-build` takes what was built last. A judge of another program of
//! ours (`# programs:` in its head) takes a path to that, and is skipped with any other runtime.
//!
//! `--transcript` runs what users type first, `tests/conformance/transcripts/JUDGE*.txt`, instead of the checks, and puts it with what it
//! printed into docs/engines.md.

mod driver;
mod expected;
mod judge;
mod page;
mod transcript;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::arguments::Arguments;
use crate::binaries::{self, Profile};
use crate::conformance::expected::{Change, List};
use crate::conformance::judge::{Check, Judge, Verdict};
use crate::{prerequisites, shell, tree};

/// The runtime that is ours: whom most judges judge, and how `--runtime` and the names of lists call all that is ours.
const OURS: &str = "ctr-oci";

/// What came of one judge.
enum Outcome {
    /// It could not be had or run.
    Skipped(String),
    Ran(Vec<Check>),
}

pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let only: Option<String> = arguments.value("--only")?;
    let pattern: Option<String> = arguments.value("--check")?;
    let runtime: Option<String> = arguments.value("--runtime")?;
    let built = arguments.flag("--no-build");
    let bless = arguments.flag("--bless");
    let transcript = arguments.flag("--transcript");
    arguments.finish()?;
    let judges = chosen(judge::all()?, only.as_deref())?;
    if !shell::is_root() {
        bail!("the judges are engines of root; run them as root");
    }
    let subjects = Subjects::find(&judges, runtime, built)?;
    if transcript {
        let judges: Vec<Judge> = judges.into_iter().filter(|judge| judge.program() == OURS).collect();
        return transcript::renew(&judges, &subjects.of(OURS));
    }
    let side = subjects.side();
    let (mut rows, mut changes) = (Vec::new(), Vec::new());
    for judge in &judges {
        let subject = subjects.of(judge.program());
        eprintln!("=== conformance: {} with {}", judge.name, subject.display());
        let outcome = match bring(judge) {
            Err(error) => Outcome::Skipped(error.to_string()),
            Ok(()) if !judge.takes(&name(&subject)) => Outcome::Skipped(format!("it judges {}", judge.program())),
            Ok(()) => driver::run(judge, &subject, pattern.as_deref().unwrap_or("*"))?,
        };
        rows.push((judge.name.as_str(), row(&outcome)));
        let Outcome::Ran(checks) = outcome else { continue };
        let list = List::read(&judge.name, &side)?;
        let whole = pattern.is_none();
        let found = list.compare(&checks, whole);
        if bless {
            list.renewed(checks, whole).write(&judge.name, &side)?;
        }
        changes.extend(found.into_iter().map(|change| (judge.name.clone(), change)));
    }
    println!("\n{}", table(&side, &rows));
    if bless {
        page::write()?;
    }
    verdict(&changes, bless)
}

fn chosen(judges: Vec<Judge>, only: Option<&str>) -> Result<Vec<Judge>> {
    let Some(only) = only else { return Ok(judges) };
    let names: Vec<&str> = only.split(',').collect();
    if let Some(name) = names.iter().find(|name| !judges.iter().any(|judge| judge.name == **name)) {
        let known: Vec<&str> = judges.iter().map(|judge| judge.name.as_str()).collect();
        bail!("no judge {name:?}; there are: {}", known.join(", "));
    }
    Ok(judges.into_iter().filter(|judge| names.contains(&judge.name.as_str())).collect())
}

/// What is judged.
enum Subjects {
    /// Programs of ours, all in this directory.
    Ours(PathBuf),
    /// The one that was given.
    Given(PathBuf),
}

impl Subjects {
    /// The given program, or ours, which are built first unless they were `built`.
    fn find(judges: &[Judge], given: Option<String>, built: bool) -> Result<Self> {
        let path = match given {
            Some(word) if word.contains('/') => PathBuf::from(word),
            Some(word) => shell::which(&word).with_context(|| format!("no {word} on PATH"))?,
            None => {
                let programs: BTreeSet<&str> =
                    judges.iter().flat_map(|judge| &judge.programs).map(String::as_str).collect();
                let programs: Vec<&str> = programs.into_iter().filter(|_| !built).collect();
                return Ok(Self::Ours(binaries::build(&programs, Profile::Demo)?.directory));
            }
        };
        Ok(Self::Given(path.canonicalize().with_context(|| format!("the runtime {}", path.display()))?))
    }

    /// The program that stands for this one of ours.
    fn of(&self, program: &str) -> PathBuf {
        match self {
            Self::Ours(directory) => directory.join(program),
            Self::Given(path) => path.clone(),
        }
    }

    /// Which lists the results are held against: ours, or those of the given program's name.
    fn side(&self) -> String {
        match self {
            Self::Given(path) if !name(path).starts_with("ctr-") => name(path),
            _ => OURS.to_owned(),
        }
    }
}

fn name(program: &Path) -> String {
    program.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Installs what the judge needs; an error says what is missing.
fn bring(judge: &Judge) -> Result<()> {
    let missing: Vec<&str> = judge.packages.iter().map(String::as_str).filter(|name| !is_installed(name)).collect();
    prerequisites::install_packages(&missing);
    let missing: Vec<&str> = missing.into_iter().filter(|name| !is_installed(name)).collect();
    if !missing.is_empty() {
        bail!("not to be had: {}; install: apt-get install {}", missing.join(", "), missing.join(" "));
    }
    Ok(())
}

fn is_installed(package: &str) -> bool {
    let mut query = std::process::Command::new("dpkg-query");
    shell::output(query.args(["--show", "--showformat=${Status}", package]))
        .is_ok_and(|status| status.ends_with(" installed"))
}

fn row(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Skipped(why) => format!("skipped: {why}"),
        Outcome::Ran(checks) => {
            let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
            format!("{:>6} {:>6} {:>7}", count(Verdict::Pass), count(Verdict::Fail), count(Verdict::Skip))
        }
    }
}

fn table(side: &str, rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(5);
    let mut text = format!("{:width$}  passed failed skipped   (runtime: {side})\n", "judge");
    for (name, row) in rows {
        let _ = writeln!(text, "{name:width$}  {row}");
    }
    text
}

fn verdict(changes: &[(String, Change)], bless: bool) -> Result<()> {
    for (judge, change) in changes {
        println!("{judge}: {change}");
    }
    let broken = changes.iter().filter(|(_, change)| change.counts()).count();
    if broken > 0 && !bless {
        bail!("{broken} results are not what the lists say; accept them with --bless");
    }
    println!("docs: {}", tree::top().join("docs/conformance.md").display());
    Ok(())
}
