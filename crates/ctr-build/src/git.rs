//! The time of the commit that a context is a checkout of, read from the repository's own files by git(1), if it is there.

use std::path::Path;
use std::process::{Command, Stdio};

/// Committer time of HEAD in seconds since 1970; none outside of a repository, or without git.
pub(crate) fn commit_time(context: &Path) -> Option<i64> {
    // A look first: most contexts that are no checkout need no program to say so.
    let absolute = std::path::absolute(context).ok()?;
    absolute.ancestors().find(|dir| dir.join(".git").exists())?;
    let time = ask(context);
    if time.is_none() {
        ctr_cli::note(
            "the time of the commit is not known: git does not tell it; times in the image are those of 1970",
        );
    }
    time
}

fn ask(context: &Path) -> Option<i64> {
    let output = Command::new("git")
        // What a repository configures is not executed: this reads one object.
        // Whose checkout it is is no matter: root gives the time that its owner gives.
        .args(["-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-C"])
        .arg(context)
        .args(["log", "-1", "--format=%ct", "--no-show-signature"])
        // An object that is missing is not fetched: that would execute what the repository names.
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_ALLOW_PROTOCOL", "none")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    if !output.status.success() {
        return None;
    }
    String::from_utf8(output.stdout).ok()?.trim().parse().ok().filter(|seconds| *seconds >= 0)
}
