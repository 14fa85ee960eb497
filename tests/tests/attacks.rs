//! docs/attacks.md is the list of the attack tests: made from the comments above them.

use std::fs;
use std::path::{Path, PathBuf};

/// `// ATTACK: CLASS: what is tried => result`, and the test below it.
#[derive(Debug)]
struct Attack {
    class: String,
    tried: String,
    result: String,
    test: String,
}

fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every test file, by name.
fn files() -> Vec<(String, String)> {
    let mut paths: Vec<PathBuf> = fs::read_dir(workspace().join("tests/tests"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    paths.sort();
    let name = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
    paths.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// The attacks of one file, and the tests of it that have no such comment. A comment goes on in lines that begin with `//  `.
fn attacks(file: &str, text: &str) -> (Vec<Attack>, Vec<String>) {
    let (mut found, mut without) = (Vec::new(), Vec::new());
    let mut comments: Vec<String> = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("// ATTACK: ") {
            comments.push(comment.to_owned());
        } else if let (Some(more), Some(last)) = (line.strip_prefix("//  "), comments.last_mut()) {
            last.push(' ');
            last.push_str(more.trim());
        } else if line == "#[test]" {
            is_test = true;
        } else if let Some(rest) = line.strip_prefix("fn ").filter(|_| is_test) {
            let test = format!("{file}::{}", rest.split('(').next().unwrap());
            if comments.is_empty() {
                without.push(test.clone());
            }
            found.extend(comments.drain(..).map(|comment| parse(&comment, &test)));
            is_test = false;
        }
    }
    assert!(comments.is_empty(), "{file}: no test below {comments:?}");
    (found, without)
}

fn parse(comment: &str, test: &str) -> Attack {
    let parts = comment.split_once(": ").and_then(|(class, rest)| {
        let (tried, result) = rest.split_once(" => ")?;
        Some(Attack {
            class: class.to_owned(),
            tried: tried.to_owned(),
            result: result.to_owned(),
            test: test.to_owned(),
        })
    });
    parts.unwrap_or_else(|| panic!("{test}: not \"CLASS: what is tried => result\": {comment}"))
}

const HEAD: &str = "# Attacks

What a hostile image, program, volume or caller may try, and what comes of it. Each line is a test that tries it with the real binaries on the real kernel; the list is made from the
comments above the tests (`CTR_BLESS=1 cargo nextest run -p ctr-tests --test attacks`) and a test holds it to them.

| class | what is tried | result | test |
|---|---|---|---|
";

#[test]
fn the_list_of_attacks_is_that_of_the_tests() {
    let (mut all, mut without) = (Vec::new(), Vec::new());
    for (file, text) in files() {
        let (found, lacking) = attacks(&file, &text);
        all.extend(found);
        if file.starts_with("attack_") {
            without.extend(lacking);
        }
    }
    assert!(without.is_empty(), "no \"// ATTACK: CLASS: what is tried => result\" above: {without:?}");
    // CVEs first, by number; then kinds.
    all.sort_by(|a, b| {
        (!a.class.starts_with("CVE"), &a.class, &a.test).cmp(&(!b.class.starts_with("CVE"), &b.class, &b.test))
    });
    let cell = |text: &str| text.replace('|', "\\|");
    let lines = all.iter().map(|attack| {
        format!(
            "| {} | {} | {} | `{}` |\n",
            cell(&attack.class),
            cell(&attack.tried),
            cell(&attack.result),
            attack.test
        )
    });
    let text = format!("{HEAD}{}", lines.collect::<String>());
    let path = workspace().join("docs/attacks.md");
    if std::env::var_os("CTR_BLESS").is_some_and(|set| set == "1") {
        fs::write(&path, &text).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    let stale: Vec<&str> = text.lines().filter(|line| !written.lines().any(|other| other == *line)).collect();
    assert!(
        written == text,
        "docs/attacks.md is stale: CTR_BLESS=1 cargo nextest run -p ctr-tests --test attacks; new: {stale:#?}"
    );
}

#[test]
fn a_comment_belongs_to_the_test_below_it() {
    let text =
        "// ATTACK: A: one\n//  more => held\n// ATTACK: B: two => held\n#[test]\nfn t() {}\n#[test]\nfn plain() {}\n";
    let (found, without) = attacks("f", text);
    let seen: Vec<_> =
        found.iter().map(|attack| (&*attack.class, &*attack.tried, &*attack.result, &*attack.test)).collect();
    assert_eq!(seen, [("A", "one more", "held", "f::t"), ("B", "two", "held", "f::t")]);
    assert_eq!(without, ["f::plain"]);
}
