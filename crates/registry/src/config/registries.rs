//! All files together: which servers are asked for a name.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use ctr_core::digest::Digest;
use ctr_core::reference::Reference;

use super::file::{self, PullFrom, Registry, Settings, ShortNameMode};
use super::{ConfigError, Locations};

/// What all the files say together. The default is what they say when there are none.
#[derive(Debug, Default)]
pub struct Registries {
    tables: Vec<Registry>,
    pub(super) search: Option<(Vec<String>, PathBuf)>,
    pub(super) mode: Option<ShortNameMode>,
    pub(super) aliases: BTreeMap<String, (String, PathBuf)>,
    credential_helpers: Option<(Vec<String>, PathBuf)>,
    warnings: Vec<String>,
}

/// A server that may have an image, and how the image is called there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    reference: Reference,
    insecure: bool,
    mirror: bool,
    tags: bool,
}

impl Candidate {
    /// The name as it is written, asked where it says.
    pub fn of(reference: &Reference) -> Self {
        Self { reference: reference.clone(), insecure: false, mirror: false, tags: true }
    }

    /// The image's name there.
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Host, with its port if it has one. `docker.io` is the name of a registry whose server has another one.
    pub fn host(&self) -> &str {
        self.reference.domain()
    }

    /// Path of the repository there.
    pub fn path(&self) -> &str {
        self.reference.path()
    }

    /// The tag to ask there; none where tags are not asked.
    pub fn tag(&self) -> Option<&str> {
        self.reference.tag().filter(|_| self.tags)
    }

    /// The digest that was asked for.
    pub fn digest(&self) -> Option<&Digest> {
        self.reference.digest()
    }

    /// `insecure = true`: a certificate that nobody vouches for and unencrypted HTTP are both allowed there.
    pub fn insecure(&self) -> bool {
        self.insecure
    }

    /// It is a mirror: a failure there is passed over.
    pub fn is_mirror(&self) -> bool {
        self.mirror
    }

    /// Whether tags may be asked there. Where not, content may still be got by a digest that another candidate told.
    pub fn tags(&self) -> bool {
        self.tags
    }
}

impl Registries {
    /// Reads all files. One that was named by the caller must be there.
    pub fn load(locations: &Locations) -> Result<Self, ConfigError> {
        let mut all = Self::default();
        for path in locations.files()? {
            all.merge(file::read(&path)?, &path);
        }
        // What Podman recorded when its user chose goes before what files say.
        if let Some(path) = locations.aliases.as_ref().filter(|_| locations.explicit.is_none()) {
            match file::read(path) {
                Err(ConfigError::Read { source, .. })
                    if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {}
                settings => {
                    let aliases = settings?.aliases;
                    all.merge(Settings { aliases, ..Settings::default() }, path);
                }
            }
        }
        Ok(all)
    }

    /// Reads one file's content, as if it were the only file: for tests and fuzzing.
    pub fn parse(path: &Path, content: &[u8]) -> Result<Self, ConfigError> {
        let mut all = Self::default();
        all.merge(file::parse(path, content)?, path);
        Ok(all)
    }

    /// A later file changes what earlier ones say: tables of the same prefix as a whole, lists as a whole.
    fn merge(&mut self, from: Settings, path: &Path) {
        for registry in from.registries {
            match self.tables.iter_mut().find(|old| old.prefix == registry.prefix) {
                Some(old) => *old = registry,
                None => self.tables.push(registry),
            }
        }
        let told = |list: Option<Vec<String>>| list.map(|list| (list, path.to_owned()));
        self.search = told(from.search).or_else(|| self.search.take());
        self.credential_helpers = told(from.credential_helpers).or_else(|| self.credential_helpers.take());
        self.mode = from.mode.or(self.mode);
        for (name, target) in from.aliases {
            match target {
                Some(target) => self.aliases.insert(name, (target, path.to_owned())),
                None => self.aliases.remove(&name),
            };
        }
        self.warnings.extend(from.warnings);
    }

    /// What was read and has no effect, in words. To be told once.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// `credential-helpers`, and the file that has them. None: not set.
    pub fn credential_helpers(&self) -> Option<(&[String], &Path)> {
        self.credential_helpers.as_ref().map(|(list, path)| (list.as_slice(), path.as_path()))
    }

    /// The servers to ask for `reference`, mirrors first; the last one is the registry itself.
    ///
    /// A candidate whose [`Candidate::tags`] is false is there for content by digest alone: it is not asked for a tag,
    /// but may serve what another one has resolved.
    pub fn candidates(&self, reference: &Reference) -> Result<Vec<Candidate>, ConfigError> {
        let fitting = self.tables.iter().filter_map(|table| Some((table, table.prefix.covers(reference)?)));
        let Some((table, covered)) = fitting.max_by_key(|(table, _)| table.prefix.length()) else {
            return Ok(vec![Candidate::of(reference)]);
        };
        if table.blocked {
            return Err(ConfigError::Blocked {
                name: reference.full(),
                prefix: table.prefix.to_string(),
                path: table.file.clone(),
            });
        }
        let mut candidates = Vec::with_capacity(table.mirrors.len() + 1);
        for mirror in &table.mirrors {
            if mirror.pull == PullFrom::TagOnly && reference.digest().is_some() {
                continue;
            }
            let tags = mirror.pull != PullFrom::DigestOnly;
            let reference = rewritten(table, &mirror.location, reference, covered)?;
            candidates.push(Candidate { reference, insecure: mirror.insecure, mirror: true, tags });
        }
        let own = match &table.location {
            Some(location) => rewritten(table, location, reference, covered)?,
            None => reference.clone(),
        };
        candidates.push(Candidate { reference: own, insecure: table.insecure, mirror: false, tags: true });
        Ok(candidates)
    }
}

/// `reference` with `location` in place of its first `covered` bytes.
fn rewritten(
    table: &Registry,
    location: &str,
    reference: &Reference,
    covered: usize,
) -> Result<Reference, ConfigError> {
    let name = reference.full();
    let rewritten = format!("{location}{}", name.get(covered..).unwrap_or(""));
    let fail = |rewritten| ConfigError::Rewrite {
        name: name.clone(),
        rewritten,
        prefix: table.prefix.to_string(),
        path: table.file.clone(),
    };
    if !ctr_core::reference::has_domain(&rewritten) {
        return Err(fail(rewritten));
    }
    let parsed: Reference = rewritten.parse().map_err(|_| fail(rewritten.clone()))?;
    // The digest that was asked for is never given up for another one.
    if parsed.digest() != reference.digest() {
        return Err(fail(rewritten));
    }
    Ok(parsed)
}

#[cfg(test)]
#[path = "registries_tests.rs"]
mod tests;
