//! Rules of the source tree: where unsafe code and system call crates may stand, how long a file may be, how a module may be named.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::tree;

const MAX_LINES: usize = 500;
/// A file of end-to-end tests is one program, and each is linked for itself; a list of cases reads well at greater length.
const MAX_LINES_OF_TESTS: usize = 600;
/// The only crate with unsafe code and with direct system calls.
const ISLAND: &str = "crates/sys/";
/// Crates that make system calls; only the island may name them.
const SYSTEM_CALL_CRATES: &[&str] = &["libc", "nix", "rustix", "syscalls"];
/// The crash injector of the tests traces processes itself; nothing of it is shipped.
const TEST_TOOLS: &str = "tests/";
/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["utils", "util", "helpers", "helper", "common", "manager", "misc"];

/// Everything in the tree that breaks a rule.
pub(super) fn faults() -> Result<Vec<String>> {
    let mut files = Vec::new();
    for directory in ["crates", "xtask", "tests", "examples", "fuzz"] {
        collect(&tree::top().join(directory), &mut files)?;
    }
    files.sort();
    let mut faults = Vec::new();
    for path in files {
        let name = path.strip_prefix(tree::top()).unwrap_or(&path).to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).with_context(|| format!("read {name}"))?;
        faults.extend(of_file(&name, &text));
    }
    Ok(faults)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !directory.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(directory).with_context(|| format!("read {}", directory.display()))? {
        let path = entry?.path();
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !matches!(file_name.as_str(), "target" | "corpus" | "artifacts") {
            collect(&path, files)?;
        } else if matches!(path.extension().and_then(|e| e.to_str()), Some("rs" | "c")) || file_name == "Cargo.toml" {
            files.push(path);
        }
    }
    Ok(())
}

/// The rules that one file breaks.
fn of_file(name: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if name.ends_with("Cargo.toml") {
        if !name.starts_with(ISLAND) && !name.starts_with(TEST_TOOLS) {
            let named =
                text.lines().filter_map(dependency).filter(|dependency| SYSTEM_CALL_CRATES.contains(dependency));
            faults.extend(named.map(|dependency| format!("{name} names {dependency}; only ctr-sys may")));
        }
        return faults;
    }
    let lines = text.lines().count();
    let most = if name.starts_with("tests/tests/") { MAX_LINES_OF_TESTS } else { MAX_LINES };
    if lines > most {
        faults.push(format!("{name} has {lines} lines, more than {most}; split it by concept"));
    }
    let stem = Path::new(name).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    if EMPTY_NAMES.contains(&stem.as_str()) {
        faults.push(format!("{name}: name the module by its concept, not {stem:?}"));
    }
    let is_rust = Path::new(name).extension().is_some_and(|extension| extension == "rs");
    if !name.starts_with(ISLAND) && is_rust {
        if let Some(at) = text.lines().position(has_unsafe) {
            faults.push(format!("{name}:{} has unsafe code; it belongs in ctr-sys", at + 1));
        }
        if name.ends_with("src/lib.rs") && !text.contains("#![forbid(unsafe_code)]") {
            faults.push(format!("{name} lacks #![forbid(unsafe_code)]"));
        }
    }
    faults
}

/// The name on the left of a line of a dependency table (`libc = "1"`, `libc.workspace = true`).
fn dependency(line: &str) -> Option<&str> {
    line.split(['=', '.']).next().map(str::trim).filter(|name| !name.is_empty())
}

/// True if the line opens unsafe code. Comments and strings may speak of it.
fn has_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "unsafe trait", "[unsafe("]
        .iter()
        .any(|word| code.find(word).is_some_and(|at| !code.get(..at).unwrap_or_default().contains('"')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_finds_what_breaks_it() {
        let long = "\n".repeat(MAX_LINES + 1);
        let cases = [
            ("crates/core/Cargo.toml", "[dependencies]\nlibc.workspace = true\n", 1),
            ("crates/core/Cargo.toml", "[dependencies]\nnix = \"0.31\"\n", 1),
            ("crates/sys/Cargo.toml", "[dependencies]\nlibc.workspace = true\n", 0),
            ("tests/Cargo.toml", "[dependencies]\nnix = \"0.31\"\n", 0),
            ("crates/core/src/a.rs", "fn a() { unsafe { b() } }\n", 1),
            ("crates/core/src/a.rs", "// unsafe { b() }\n", 0),
            ("crates/sys/src/a.rs", "fn a() { unsafe { b() } }\n", 0),
            ("crates/core/src/lib.rs", "//! A crate.\n", 1),
            ("crates/core/src/lib.rs", "#![forbid(unsafe_code)]\n", 0),
            ("crates/core/src/utils.rs", "", 1),
            ("crates/core/src/long.rs", long.as_str(), 1),
        ];
        for (name, text, expected) in cases {
            assert_eq!(of_file(name, text).len(), expected, "{name}: {text:?}");
        }
    }
}
