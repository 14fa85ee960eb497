//! The one way for a test to say that it cannot run here.

use std::fs::OpenOptions;
use std::io::Write;

use crate::bins;

/// Reasons that are no failure even where nothing may be skipped, one a line.
const ALLOWED: &str = include_str!("../allowed-skips.txt");

/// Says why the running test does not run. Return right after it.
///
/// The reason goes to standard error and to `target/ctr-tests/skips.log`, which CI counts. With `CTR_NO_SKIP=1` a reason
/// that is not in `tests/allowed-skips.txt` fails the test.
pub fn skip(reason: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    eprintln!("SKIP {test}: {reason}");
    if let Ok(mut log) = OpenOptions::new().create(true).append(true).open(bins::work_dir().join("skips.log")) {
        writeln!(log, "{test}: {reason}").ok();
    }
    let allowed = ALLOWED.lines().any(|line| !line.starts_with('#') && !line.is_empty() && reason.starts_with(line));
    assert!(
        allowed || std::env::var_os("CTR_NO_SKIP").is_none_or(|set| set != "1"),
        "skipped although CTR_NO_SKIP=1: {reason}"
    );
}

/// Why a test that needs root and these programs cannot run, if so.
pub fn missing(root: bool, programs: &[&str]) -> Option<String> {
    if root && !nix::unistd::geteuid().is_root() {
        return Some("not root".to_owned());
    }
    programs.iter().find(|program| !on_path(program)).map(|program| format!("no program {program}"))
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).any(|dir| dir.join(program).is_file())
}

/// Ends the test with [`skip`] unless it runs as root and finds these programs.
#[macro_export]
macro_rules! need {
    (root $(, $program:literal)*) => {
        if let Some(reason) = $crate::skip::missing(true, &[$($program),*]) {
            return $crate::skip::skip(&reason);
        }
    };
    ($($program:literal),+) => {
        if let Some(reason) = $crate::skip::missing(false, &[$($program),+]) {
            return $crate::skip::skip(&reason);
        }
    };
}
