//! The cases of `tests/data/build`: its README.md says what they are.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::scratch::{Cmd, names};
use crate::users::Ordinary;

/// Where they lie.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/build")
}

/// One case.
#[derive(Debug)]
pub struct Case {
    /// Its directory's name.
    pub name: String,
    /// `case.toml`.
    pub settings: Settings,
    /// `expected`, if there is one.
    pub expected: Option<Vec<String>>,
}

/// `case.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Values of `--build-arg`.
    pub args: Vec<String>,
    /// `--target`.
    pub target: Option<String>,
    /// Further options.
    pub options: Vec<String>,
    /// Another Dockerfile.
    pub file: Option<String>,
    /// Values of `--secret`; `src=` is relative to the case.
    pub secrets: Vec<String>,
    /// `--build-context`: names, and directories below the case.
    pub contexts: BTreeMap<String, String>,
    /// A shell script that runs in the copy of the case.
    pub prepare: Option<String>,
    /// What the script needs.
    pub programs: Vec<String>,
    /// What comes of it.
    pub expect: Expect,
    /// Part of the error's message.
    pub says: Option<String>,
    /// The line of the Dockerfile that the error names.
    pub line: Option<u32>,
    /// Judges that are not asked, and why.
    pub skip: BTreeMap<String, String>,
    /// What must hold for paths of the image.
    pub tree: BTreeMap<String, Node>,
    /// Members of the config that must hold.
    pub config: BTreeMap<String, Value>,
}

/// What comes of a build.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expect {
    /// An image.
    #[default]
    Image,
    /// An error.
    Error,
}

/// What must hold for a path.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// `file`, `directory`, `link`...
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Permission bits.
    pub mode: Option<u32>,
    /// `UID:GID`.
    pub owner: Option<String>,
    /// Content of a file.
    pub content: Option<String>,
    /// Where a link leads.
    pub link: Option<String>,
    /// There is no such path.
    pub gone: bool,
}

impl Case {
    /// The case of this name.
    pub fn read(name: &str) -> Self {
        let dir = directory().join(name);
        let text = fs::read_to_string(dir.join("case.toml")).unwrap_or_default();
        let settings = toml::from_str(&text).unwrap_or_else(|error| panic!("case.toml of {name}: {error}"));
        let expected = fs::read_to_string(dir.join("expected")).ok();
        Self {
            name: name.to_owned(),
            settings,
            expected: expected.map(|text| text.lines().map(str::to_owned).collect()),
        }
    }

    /// The first word of the name.
    pub fn group(&self) -> &str {
        self.name.split('-').next().unwrap_or_default()
    }

    /// A copy of the case at `to`, with the modes that a checkout may have lost, prepared; by this user and in its possession, if one is given.
    pub fn prepare(&self, to: &Path, user: Option<&Ordinary>) {
        copy(&directory().join(&self.name), to, &["case.toml", "expected"]);
        if let Some(user) = user {
            Cmd::new("chown").args(["-R", &format!("{}:{}", user.uid, user.gid)]).arg(to).ok();
        }
        if let Some(script) = &self.settings.prepare {
            // Not before: a change of the owner takes set-user-ID bits away.
            let shell = Cmd::new("sh").args(["-euc", &format!("umask 022\n{script}")]).dir(to);
            user.map_or(shell.clone(), |user| shell.as_user(user.uid, user.gid)).ok();
        }
    }

    /// Arguments of the build for the copy at `context`, but names and outputs.
    pub fn arguments(&self, context: &Path) -> Vec<OsString> {
        let told = &self.settings;
        let at = context.display();
        let mut words: Vec<String> = told.args.iter().map(|value| format!("--build-arg={value}")).collect();
        words.extend(told.options.iter().cloned());
        words.extend(told.target.iter().map(|stage| format!("--target={stage}")));
        words.extend(
            told.secrets.iter().map(|value| format!("--secret={}", value.replace("src=", &format!("src={at}/")))),
        );
        words.extend(told.contexts.iter().map(|(name, path)| format!("--build-context={name}={at}/{path}")));
        words.push(format!("--file={at}/{}", told.file.as_deref().unwrap_or("Dockerfile")));
        words.push(at.to_string());
        words.into_iter().map(OsString::from).collect()
    }
}

fn copy(from: &Path, to: &Path, without: &[&str]) {
    fs::create_dir_all(to).expect("directory of the copy");
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).expect("mode of a directory");
    for name in names(from).iter().filter(|name| !without.contains(&name.as_str())) {
        let (from, to) = (from.join(name), to.join(name));
        if from.is_dir() {
            copy(&from, &to, &[]);
        } else {
            fs::copy(&from, &to).expect("copy of a file");
            fs::set_permissions(&to, fs::Permissions::from_mode(0o644)).expect("mode of a file");
        }
    }
}

/// All of them, by name.
pub fn all() -> Vec<Case> {
    let cases = directory();
    names(&cases).iter().filter(|name| cases.join(name).is_dir()).map(|name| Case::read(name)).collect()
}

/// `known-differences.toml`: case -> why what ctr-build makes of it is not what the case says.
pub fn known_differences() -> BTreeMap<String, String> {
    let text = fs::read_to_string(directory().join("known-differences.toml")).expect("the list of differences");
    toml::from_str(&text).expect("a table of reasons")
}
