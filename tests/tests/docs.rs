//! The user guide and the specification against the binaries: no option that is not there, no link to nowhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ctr_tests::bins;
use ctr_tests::scratch::{Cmd, Root};
use regex_lite::Regex;

fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Markdown file of the user guide and the specification.
fn pages() -> Vec<(PathBuf, String)> {
    let mut pages = Vec::new();
    for dir in ["docs", "spec", "spec/vectors"] {
        for entry in fs::read_dir(workspace().join(dir)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(&path).unwrap();
                pages.push((path, text));
            }
        }
    }
    assert!(pages.len() > 15);
    pages
}

/// The lines of blocks of commands, without their prompt.
fn commands(text: &str) -> Vec<&str> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("```") {
            inside = kind == "console";
        } else if inside && let Some(command) = line.strip_prefix("$ ") {
            found.push(command);
        }
    }
    found
}

fn help(cache: &mut BTreeMap<String, String>, words: &[&str]) -> String {
    let key = words.join(" ");
    if let Some(text) = cache.get(&key) {
        return text.clone();
    }
    let text = Cmd::new(bins::binary(words[0])).args(words[1..].iter().copied()).arg("--help").ok();
    cache.insert(key, text.clone());
    text
}

/// Of `ctr-oci`.
const VERBS: [&str; 8] = ["create", "run", "exec", "kill", "delete", "update", "spec", "ps"];

#[test]
fn options_in_the_guide_are_there() {
    let command = Regex::new(r"\bctr-(run|exec|fetch|image|oci|ps|stop|rm|logs|gc)\b([^|;&]*)").unwrap();
    let option = Regex::new(r"(?:^|\s)(--[a-z][a-z-]*)").unwrap();
    let mut cache = BTreeMap::new();
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for (path, text) in pages() {
        for line in commands(&text) {
            for found in command.captures_iter(line) {
                let name = format!("ctr-{}", &found[1]);
                let mut words = vec![name.as_str()];
                if name == "ctr-image" {
                    words.extend(found[2].split_whitespace().find(|word| !word.starts_with('-')));
                }
                // Options before the verb have values, and those of the program are not its own.
                if name == "ctr-oci" {
                    let verb = |word: &&str| VERBS.contains(word);
                    words.extend(found[2].split_whitespace().find(verb));
                }
                let help = help(&mut cache, &words);
                for option in option.captures_iter(&found[2]) {
                    checked += 1;
                    let whole = Regex::new(&format!(r"(^|[\s,]){}($|[\s,=\]])", &option[1])).unwrap();
                    if !whole.is_match(&help) {
                        wrong.push(format!("{}: {} has no {}: {line}", path.display(), words.join(" "), &option[1]));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 40, "only {checked} options were found");
}

#[test]
fn links_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)#]+)").unwrap();
    let mut wrong = Vec::new();
    for (path, text) in pages() {
        let dir = path.parent().unwrap();
        for found in link.captures_iter(&text).filter(|found| !found[1].contains("://")) {
            if !dir.join(&found[1]).exists() {
                wrong.push(format!("{}: {}", path.display(), &found[1]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The first page works by copy and paste.
#[test]
fn the_first_page_runs() {
    ctr_tests::need!(root, "busybox");
    let root = Root::new();
    let path = format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", bins::dir().display());
    let text = fs::read_to_string(workspace().join("docs/getting-started.md")).unwrap();
    let work = root.file("work");
    fs::create_dir(&work).unwrap();
    let lines = commands(&text);
    let lines = lines.iter().filter(|line| !line.starts_with("cargo ") && !line.starts_with("install "));
    let mut ran = 0;
    for line in lines {
        let shell = Cmd::new("sh").args(["-ec", line]).dir(&work).env("PATH", &path).env("CTR_ROOT", root.path());
        let done = shell.run();
        assert_eq!(done.code, 0, "{line}: {done}");
        ran += 1;
    }
    assert!(ran > 8, "only {ran} commands were found");
    assert!(root.containers("run").is_empty(), "the page ends with nothing left");
}

/// A label like `[STORE-12]` is given once; one that is cited exists.
#[test]
fn clauses_are_numbered_once_and_cited_right() {
    let defined = Regex::new(r"\*\*\[([A-Z]+-I?\d+)\]\*\*").unwrap();
    let cited = Regex::new(r"\b((?:OVR|TYPE|ACI|CFG|LAY|STORE|LIFE|EXEC|CLI|OCI|LIM|KERN)-I?\d+)\b").unwrap();
    let mut labels = BTreeMap::new();
    let mut wrong = Vec::new();
    for (path, text) in pages() {
        for found in defined.captures_iter(&text) {
            if let Some(other) = labels.insert(found[1].to_owned(), path.clone()) {
                wrong.push(format!("{} stands in {} and {}", &found[1], other.display(), path.display()));
            }
        }
    }
    let mut files = Vec::new();
    for dir in ["crates", "tests", "spec", "docs", "xtask"] {
        sources(&workspace().join(dir), &mut files);
    }
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        for found in cited.captures_iter(&text).filter(|found| !labels.contains_key(&found[1])) {
            wrong.push(format!("{} cites {}, which is not there", path.display(), &found[1]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(labels.len() > 200, "only {} clauses", labels.len());
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| ["rs", "md", "json"].iter().any(|known| extension == *known))
        {
            found.push(path);
        }
    }
}
