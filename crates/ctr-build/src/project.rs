//! `ctr-build.toml`: builds by name. What it says are options of the command line, and nothing else.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};

use ctr_cli::{Context as _, Failure};
use serde::Deserialize;

/// The file's name, in the directory where the command is given.
const NAME: &str = "ctr-build.toml";

/// The largest file that is read, in bytes.
const MAX: usize = 1 << 20;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Project {
    /// Builds by their names, sorted.
    #[serde(default)]
    build: BTreeMap<String, Build>,
}

/// One build. Lists and tables are options that can be given several times.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Build {
    /// Of another build: what is not said here is as there.
    inherits: Option<String>,
    context: Option<String>,
    file: Option<String>,
    target: Option<String>,
    network: Option<String>,
    compression: Option<String>,
    provenance: Option<String>,
    cache_dir: Option<String>,
    push: Option<bool>,
    tags: Option<Vec<String>>,
    platforms: Option<Vec<String>>,
    outputs: Option<Vec<String>>,
    secrets: Option<Vec<String>>,
    ssh: Option<Vec<String>>,
    sbom: Option<Vec<String>>,
    cache_from: Option<Vec<String>>,
    cache_to: Option<Vec<String>>,
    args: Option<BTreeMap<String, String>>,
    contexts: Option<BTreeMap<String, String>>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
}

/// Carries out the named builds, one after the other; all of the file if no name is given. `arguments` are those of the
/// command line, which come after those of the file.
pub(crate) fn run(names: &[String], arguments: &[OsString]) -> Result<ExitCode, Failure> {
    let project = read(Path::new(NAME))?;
    let names: Vec<&String> =
        if names.iter().any(|name| name == "all") { project.build.keys().collect() } else { names.iter().collect() };
    // All are looked at before the first is begun.
    let builds = names.iter().map(|name| Ok((*name, project.options(name)?))).collect::<Result<Vec<_>, Failure>>()?;
    for (name, options) in builds {
        let status = Command::new("/proc/self/exe")
            .args(options)
            .args(arguments)
            .status()
            .context(|| format!("cannot begin the build {name}"))?;
        if !status.success() {
            let failure = Failure::new(format!("the build {name} failed, see above"));
            return Err(match status.code().and_then(|code| u8::try_from(code).ok()) {
                Some(code) => failure.code(code),
                None => failure,
            });
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<Project, Failure> {
    let bytes = ctr_sys::small::read(path, MAX)
        .context(|| format!("cannot read {}", path.display()))
        .map_err(|failure| failure.hint(format!("--named takes builds of {NAME} in this directory")))?
        .ok_or_else(|| Failure::new(format!("{} has more than {MAX} bytes", path.display())))?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::new(format!("{} is not UTF-8 text", path.display())))?;
    toml::from_str(&text).map_err(|error| {
        let failure = Failure::new(format!("{}: {}", path.display(), error.message()));
        let line = error.span().map(|span| text.get(..span.start).unwrap_or_default().matches('\n').count());
        let shown = line.and_then(|line| Some(format!("{} | {}", line + 1, text.lines().nth(line)?)));
        failure.excerpt(shown)
    })
}

impl Project {
    /// A build with what it inherits, as options.
    fn options(&self, name: &str) -> Result<Vec<String>, Failure> {
        let mut chain: Vec<&str> = Vec::new();
        let mut builds = Vec::new();
        let mut next = Some(name);
        while let Some(name) = next {
            if chain.contains(&name) {
                return Err(Failure::new(format!("builds of {NAME} inherit from each other: {}", chain.join(", "))));
            }
            let build = self.build.get(name).ok_or_else(|| {
                let names: Vec<&str> = self.build.keys().map(String::as_str).collect();
                let failure = Failure::new(format!("{NAME} has no build {name}"));
                failure.hint(format!("its builds are {}", names.join(", ")))
            })?;
            chain.push(name);
            builds.push(build);
            next = build.inherits.as_deref();
        }
        Ok(options(&builds))
    }
}

/// The first of `builds` that says something of an option decides.
fn options(builds: &[&Build]) -> Vec<String> {
    let mut options = Vec::new();
    let first = |of: fn(&Build) -> Option<&String>| builds.iter().find_map(|build| of(build));
    for (option, value) in [
        ("file", first(|build| build.file.as_ref())),
        ("target", first(|build| build.target.as_ref())),
        ("network", first(|build| build.network.as_ref())),
        ("compression", first(|build| build.compression.as_ref())),
        ("provenance", first(|build| build.provenance.as_ref())),
        ("cache-dir", first(|build| build.cache_dir.as_ref())),
    ] {
        options.extend(value.map(|value| format!("--{option}={value}")));
    }
    if builds.iter().find_map(|build| build.push) == Some(true) {
        options.push("--push".to_owned());
    }
    let list = |of: fn(&Build) -> Option<&Vec<String>>| builds.iter().find_map(|build| of(build)).into_iter().flatten();
    for (option, values) in [
        ("tag", list(|build| build.tags.as_ref())),
        ("platform", list(|build| build.platforms.as_ref())),
        ("output", list(|build| build.outputs.as_ref())),
        ("secret", list(|build| build.secrets.as_ref())),
        ("ssh", list(|build| build.ssh.as_ref())),
        ("sbom", list(|build| build.sbom.as_ref())),
        ("cache-from", list(|build| build.cache_from.as_ref())),
        ("cache-to", list(|build| build.cache_to.as_ref())),
    ] {
        options.extend(values.map(|value| format!("--{option}={value}")));
    }
    // Tables are put together, key by key.
    for (option, of) in [
        ("build-arg", (|build| build.args.as_ref()) as fn(&Build) -> Option<&BTreeMap<String, String>>),
        ("build-context", |build| build.contexts.as_ref()),
        ("label", |build| build.labels.as_ref()),
        ("annotation", |build| build.annotations.as_ref()),
    ] {
        let mut table = BTreeMap::new();
        for build in builds.iter().rev() {
            table.extend(of(build).into_iter().flatten());
        }
        options.extend(table.iter().map(|(key, value)| format!("--{option}={key}={value}")));
    }
    options.extend(first(|build| build.context.as_ref()).cloned());
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: BUILD-118
    #[test]
    fn builds_inherit() {
        let text = r#"
            [build.app]
            tags = ["app:1", "app:latest"]
            args = { VERSION = "1", A = "x" }
            context = "src"
            [build.debug]
            inherits = "app"
            target = "debug"
            tags = ["app:debug"]
            args = { A = "y" }
            push = true
        "#;
        let project: Project = toml::from_str(text).unwrap();
        let app = project.options("app").unwrap().join(" ");
        assert_eq!(app, "--tag=app:1 --tag=app:latest --build-arg=A=x --build-arg=VERSION=1 src");
        let debug = project.options("debug").unwrap().join(" ");
        assert_eq!(debug, "--target=debug --push --tag=app:debug --build-arg=A=y --build-arg=VERSION=1 src");
        assert!(project.options("nope").unwrap_err().one_line().contains("no build nope"));
        let ring: Project = toml::from_str("[build.a]\ninherits = 'b'\n[build.b]\ninherits = 'a'\n").unwrap();
        assert!(ring.options("a").unwrap_err().one_line().contains("inherit from each other"));
        assert!(toml::from_str::<Project>("[build.a]\ntag = 'x'\n").is_err());
    }
}
