//! Every numbered case of faults has a test, and docs/registries.md has the list of them, made from the comments above
//! the tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// Cases are numbered from 1 to this.
const CASES: u32 = 46;
const BEGIN: &str = "<!-- made by tests/tests/registry_faults.rs: begin -->\n";
const END: &str = "<!-- end -->\n";
const HEAD: &str = "| case | what the other side does | what comes of it | test |\n|---|---|---|---|\n";

/// `// FAULT N: what is done => what comes of it`, and the test below it, whose name begins with `case_NN_`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fault {
    number: u32,
    test: String,
    done: String,
    result: String,
}

fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The faults of one file. A comment goes on in lines that begin with `//  `.
fn faults(file: &str, text: &str) -> Vec<Fault> {
    let (mut found, mut comment, mut is_test) = (Vec::new(), None::<String>, false);
    for line in text.lines().map(str::trim) {
        if let Some(begin) = line.strip_prefix("// FAULT ") {
            assert!(comment.is_none(), "{file}: two comments for one test: {line}");
            comment = Some(begin.to_owned());
        } else if let (Some(more), Some(last)) = (line.strip_prefix("//  "), comment.as_mut()) {
            last.push(' ');
            last.push_str(more.trim());
        } else if line == "#[test]" {
            is_test = true;
        } else if let Some(rest) = line.strip_prefix("fn ").filter(|_| is_test) {
            let name = rest.split('(').next().unwrap_or_default();
            let told = comment.take().unwrap_or_else(|| panic!("{file}: no \"// FAULT N: ... => ...\" above {name}"));
            found.push(fault(file, name, &told));
            is_test = false;
        }
    }
    assert_eq!(comment, None, "{file}: no test below");
    found
}

fn fault(file: &str, name: &str, told: &str) -> Fault {
    let parts = told.split_once(": ").and_then(|(number, rest)| {
        let (done, result) = rest.split_once(" => ")?;
        Some((number.parse().ok()?, done.to_owned(), result.to_owned()))
    });
    let (number, done, result) = parts.unwrap_or_else(|| panic!("{name}: not \"N: ... => ...\": {told}"));
    assert!(name.starts_with(&format!("case_{number:02}_")), "{name} is about case {number}");
    Fault { number, test: format!("{}::{name}", file.trim_end_matches(".rs")), done, result }
}

/// Those of all files, by number.
fn all() -> Vec<Fault> {
    let dir = workspace().join("tests/tests");
    let files = ctr_tests::scratch::names(&dir);
    let files = files.iter().filter(|name| name.starts_with("registry_faults_"));
    let mut all: Vec<Fault> =
        files.flat_map(|name| faults(name, &fs::read_to_string(dir.join(name)).unwrap())).collect();
    all.sort();
    all
}

#[test]
fn every_case_has_a_test() {
    let there: BTreeSet<u32> = all().iter().map(|fault| fault.number).collect();
    let missing: Vec<u32> = (1..=CASES).filter(|number| !there.contains(number)).collect();
    assert!(missing.is_empty(), "cases without a test: {missing:?}");
    assert_eq!(there.last(), Some(&CASES));
}

#[test]
fn the_table_is_that_of_the_tests() {
    let cell = |text: &str| text.replace('|', "\\|");
    let line = |fault: &Fault| {
        format!("| {} | {} | {} | `{}` |\n", fault.number, cell(&fault.done), cell(&fault.result), fault.test)
    };
    let table = format!("{HEAD}{}", all().iter().map(line).collect::<String>());
    let path = workspace().join("docs/registries.md");
    let written = fs::read_to_string(&path).unwrap();
    let parts = written.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?)));
    let (before, (now, after)) = parts.expect("docs/registries.md has the two marks of the table");
    if std::env::var_os("CTR_BLESS").is_some_and(|set| set == "1") {
        fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    let stale: Vec<&str> = table.lines().filter(|line| !now.lines().any(|other| other == *line)).collect();
    assert!(
        now == table,
        "docs/registries.md is stale: CTR_BLESS=1 cargo nextest run -p ctr-tests --test registry_faults; new: {stale:#?}"
    );
}
