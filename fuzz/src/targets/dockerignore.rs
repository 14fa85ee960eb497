//! `.dockerignore`, and paths under it.

use std::time::{Duration, Instant};

use ctr_dockerfile::ignore::{Ignore, Pattern};

use crate::Target;

/// A path on the first line, patterns below it. What decides of a path is told in no time, and a directory above something that is
/// taken back is not passed over.
pub(crate) const DOCKERIGNORE: Target = Target {
    name: "dockerignore",
    run,
    vectors: &[],
    data: Some(("tests/data/build", ".dockerignore")),
    seeds: &[
        b"node_modules/kept/a.js\n# c\n *.md \n!README.md\nnode_modules\n!node_modules/kept/*.js\n",
        b"a/b/c/d.txt\n**\n!**/d.txt\n**/[^a-c]?/\\*\n/./x/../y//z/\n",
        b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n**/a*a*a*a*a*a*a*b\n!**a**a**a**a**b\n",
    ],
};

const MOST: Duration = Duration::from_secs(5);

fn run(bytes: &[u8]) {
    let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (path, patterns) = (&bytes[..line], bytes.get(line + 1..).unwrap_or_default());
    // Names of files have an end.
    let path = &path[..path.len().min(4096)];
    let start = Instant::now();
    read(path, patterns);
    assert!(start.elapsed() < MOST, "{} bytes took {:?}", bytes.len(), start.elapsed());
}

fn read(path: &[u8], patterns: &[u8]) {
    let Ok(ignore) = Ignore::parse(patterns) else { return };
    let taken = !ignore.is_ignored(path);
    let directories = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at]);
    for directory in directories.take(16) {
        if taken && ignore.is_ignored(directory) {
            assert!(ignore.may_hold_exception(directory), "{path:?} is taken back below {directory:?}");
        }
    }
    for line in patterns.split(|byte| *byte == b'\n').take(64).filter_map(|line| std::str::from_utf8(line).ok()) {
        if let Ok(pattern) = Pattern::parse(line) {
            let _ = pattern.matches(path);
        }
    }
}
