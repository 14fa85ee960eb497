//! Git repositories as sources of ADD, by git(1): `https://HOST/REPO.git[#REF[:DIR]]`, `git://`, `ssh://`, `git@HOST:REPO`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ctr_cli::{Context as _, Failure};

use crate::builder::{Builder, hinted};

/// What of which repository.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Repository {
    url: String,
    /// A branch, a tag, or a commit; what HEAD is without.
    reference: Option<String>,
    /// The directory of it that is taken.
    pub(crate) subdir: String,
    /// `.git` stays.
    pub(crate) keep: bool,
}

/// Protocols that are spoken; `file` would read the host's files.
const PROTOCOLS: &str = "http:https:git:ssh";

/// Whether an address is that of a repository rather than of a file.
pub(crate) fn is_repository(text: &str) -> bool {
    let path = text.split(['#', '?']).next().unwrap_or_default();
    let scheme = ["git://", "ssh://", "git@"].iter().any(|scheme| text.starts_with(scheme));
    let file = path.rsplit('/').next().unwrap_or_default();
    scheme || (text.starts_with("http") && file.strip_suffix(".git").is_some())
}

impl Repository {
    /// Reads an address.
    pub(crate) fn new(text: &str, keep: bool) -> Result<Self, Failure> {
        let (url, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (reference, subdir) = fragment.split_once(':').unwrap_or((fragment, ""));
        let wrong = |why: &str| Failure::new(format!("ADD of {text}: {why}"));
        // git would take them for options.
        if url.starts_with('-') || reference.starts_with('-') || reference.contains(char::is_whitespace) {
            return Err(wrong("it is no address of a repository"));
        }
        let reference = Some(reference).filter(|reference| !reference.is_empty()).map(str::to_owned);
        Ok(Self { url: url.to_owned(), reference, subdir: subdir.to_owned(), keep })
    }

    fn git(&self, dir: &Path, arguments: &[&str]) -> Result<String, Failure> {
        let mut command = Command::new("sh");
        // Modes of files are the repository's, whatever the caller's mask.
        command.args(["-c", "umask 022; exec git \"$@\"", "git"]);
        command.args(["-c", "protocol.file.allow=never", "-c", "core.hooksPath=/dev/null", "-c", "safe.directory=*"]);
        command.args(["-c", "core.symlinks=true", "-c", "core.autocrlf=false", "-c", "advice.detachedHead=false"]);
        command.args(arguments).current_dir(dir).stdin(Stdio::null());
        command.env("GIT_ALLOW_PROTOCOL", PROTOCOLS).env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
        command.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE").env_remove("GIT_INDEX_FILE");
        let output = command.output().context(|| "cannot run git".to_owned())?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<String> = said.lines().rev().take(5).map(|line| format!("> {line}")).collect();
        let failure = Failure::new(format!("cannot get {} by git", self.url));
        Err(match output.status.code() {
            Some(127) => failure.because("there is no git here").hint("install git"),
            _ => failure.excerpt(lines.into_iter().rev()),
        })
    }

    /// The commit that is meant now: what the step depends on.
    pub(crate) fn commit(&self) -> Result<String, Failure> {
        let wanted = self.reference.as_deref().unwrap_or("HEAD");
        if wanted.len() == 40 && wanted.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(wanted.to_ascii_lowercase());
        }
        let listed = self.git(Path::new("/"), &["ls-remote", "--", &self.url])?;
        let find = |name: &str| {
            let fits =
                |line: &str| line.split_once('\t').filter(|(_, known)| *known == name).map(|(id, _)| id.to_owned());
            listed.lines().find_map(fits)
        };
        // A tag is the commit that it names.
        let names = [
            wanted.to_owned(),
            format!("refs/heads/{wanted}"),
            format!("refs/tags/{wanted}^{{}}"),
            format!("refs/tags/{wanted}"),
        ];
        names.iter().find_map(|name| find(name)).ok_or_else(|| {
            Failure::new(format!("{} has no {wanted}", self.url))
                .hint("name a branch, a tag, or a whole commit id behind #")
        })
    }

    /// Checks the commit out into a directory of the transaction.
    pub(crate) fn checkout(&self, builder: &Builder<'_>, commit: &str) -> Result<PathBuf, Failure> {
        let dir = builder.txn.layer_staging().map_err(hinted)?.fs();
        self.git(&dir, &["init", "--quiet", "--template=", "."])?;
        // Servers need not give a commit by its id: then the name is asked for, and has to be that commit still.
        let by_id = self.git(&dir, &["fetch", "--quiet", "--depth=1", "--no-tags", "--", &self.url, commit]);
        if let Err(failure) = by_id {
            let Some(name) = &self.reference else { return Err(failure) };
            self.git(&dir, &["fetch", "--quiet", "--depth=1", "--no-tags", "--", &self.url, name])?;
            if self.git(&dir, &["rev-parse", "FETCH_HEAD^{commit}"])? != commit {
                return Err(failure);
            }
        }
        self.git(&dir, &["checkout", "--quiet", "--detach", commit])?;
        if dir.join(".gitmodules").exists() {
            self.git(&dir, &["remote", "add", "origin", &self.url])?;
            self.git(&dir, &["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"])?;
        }
        Ok(dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: BUILD-49
    #[test]
    fn addresses_are_read() {
        for (text, is) in [
            ("https://example.com/a/b.git", true),
            ("https://example.com/a/b.git#v1:dir", true),
            ("git@example.com:a/b", true),
            ("git://example.com/a", true),
            ("ssh://git@example.com/a", true),
            ("https://example.com/a/b.tar.gz", false),
            ("https://example.com/a.git/b", false),
        ] {
            assert_eq!(is_repository(text), is, "{text}");
        }
        let read = Repository::new("https://example.com/b.git#v1:sub/dir", false).unwrap();
        assert_eq!(
            (read.url.as_str(), read.reference.as_deref(), read.subdir.as_str()),
            ("https://example.com/b.git", Some("v1"), "sub/dir")
        );
        assert_eq!(Repository::new("git@example.com:a/b", false).unwrap().reference, None);
        assert!(Repository::new("git://example.com/a#--upload-pack=x", false).is_err());
    }
}
