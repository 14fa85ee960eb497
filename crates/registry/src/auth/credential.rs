//! Which credential belongs to a repository: the files and programs that users have, in the order that they know
//! (containers-auth.json(5); Docker's `config.json`).

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::file::{AuthFile, CredentialKind, DOCKER_SERVER, Document, canonical};
use super::places::Places;
use super::program::{PROGRAM_TIME, Program, ProgramError, TOKEN_USER};
use super::secret::Secret;

/// What stands for the files in `credential-helpers` (containers-registries.conf(5)).
const FILES: &str = "containers-auth.json";

/// A credential, and where it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// What is shown to the registry.
    pub kind: CredentialKind,
    /// Where it is from.
    pub source: Source,
}

/// Where a credential is from: for people who look for the one that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An entry of a file.
    File {
        /// The file.
        path: PathBuf,
        /// The entry.
        key: String,
    },
    /// A program that a file names.
    Program {
        /// `docker-credential-NAME`.
        program: String,
        /// The file that names it.
        path: PathBuf,
        /// The entry that names it: a registry, or `credsStore`.
        key: String,
    },
    /// What the caller was given.
    Given,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, key } => write!(f, "\"{key}\" in {}", path.display()),
            Self::Program { program, path, key } => write!(f, "{program}, by \"{key}\" in {}", path.display()),
            Self::Given => f.write_str("the command line"),
        }
    }
}

/// Why it cannot be said which credential belongs to a repository. None of the texts holds one.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// A file that cannot be read.
    #[error("cannot read the credentials in {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is not what it should be.
    #[error("cannot read the credentials in {}: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// An entry of a file that is not what it should be.
    #[error("cannot use the credential \"{key}\" in {}: {why}", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// The entry.
        key: String,
        /// Why.
        why: &'static str,
    },
    /// A credential program that failed.
    #[error("cannot get the credential for {registry}, which \"{key}\" in {} leaves to a program", path.display())]
    Program {
        /// The registry.
        registry: String,
        /// The file that names the program.
        path: PathBuf,
        /// The entry that names it.
        key: String,
        /// Why.
        source: Box<ProgramError>,
    },
}

impl CredentialError {
    /// What the user can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Unreadable { .. } => "name another file with --authfile or REGISTRY_AUTH_FILE".to_owned(),
            Self::Malformed { .. } => "correct it; ctr-login writes such files".to_owned(),
            Self::Entry { path, key, .. } => format!("ctr-login --authfile {} {key} writes it anew", path.display()),
            Self::Program { path, key, .. } => {
                format!("install the program and try it by hand, or take \"{key}\" out of {}", path.display())
            }
        }
    }
}

/// One line of a list: what there is, without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// A registry or namespace, as the file writes it; nothing for a program for all registries.
    pub key: Option<String>,
    /// The user, where the file has one.
    pub user: Option<String>,
    /// [`CredentialKind::name`]; nothing for what a program keeps.
    pub kind: Option<&'static str>,
    /// Where it is.
    pub source: Source,
}

/// Finds credentials. Files are read when they are first needed, programs run once for each registry.
#[derive(Debug)]
pub struct CredentialStore {
    files: Vec<AuthFile>,
    /// `credential-helpers` of a registries.conf, and that file: what is asked in place of the files alone.
    order: Option<(Vec<String>, PathBuf)>,
    given: Option<Credential>,
    program_time: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    documents: HashMap<PathBuf, Arc<Document>>,
    /// By program and registry.
    programs: HashMap<(String, String), Option<CredentialKind>>,
}

impl CredentialStore {
    /// The files of `places`.
    pub fn new(places: &Places) -> Self {
        let program_time = places.program_time.unwrap_or(PROGRAM_TIME);
        Self { files: places.files(), order: None, given: None, program_time, state: Mutex::default() }
    }

    /// No credentials at all.
    pub fn anonymous() -> Self {
        Self { files: Vec::new(), order: None, given: None, program_time: PROGRAM_TIME, state: Mutex::default() }
    }

    /// This one, for every repository.
    pub fn given(kind: CredentialKind) -> Self {
        Self { given: Some(Credential { kind, source: Source::Given }), ..Self::anonymous() }
    }

    /// With `credential-helpers` of the registries.conf `path` (containers-registries.conf(5)): programs, and the files where
    /// [`FILES`] stands.
    #[must_use]
    pub fn with_programs(self, programs: &[String], path: &Path) -> Self {
        Self { order: Some((programs.to_vec(), path.to_owned())), ..self }
    }

    /// The credential for the repository `path` of `registry`, a host as references have it (`docker.io`). The first file that
    /// has one counts. A program is asked as the user that calls: before a user namespace is entered, call this for
    /// what will be needed; the answer is kept.
    pub fn find(&self, registry: &str, path: &str) -> Result<Option<Credential>, CredentialError> {
        if let Some(given) = &self.given {
            return Ok(Some(given.clone()));
        }
        let Some((order, conf)) = &self.order else { return self.find_in_files(registry, path) };
        for name in order {
            let found = match name.as_str() {
                FILES => self.find_in_files(registry, path)?,
                name => self.find_by_program(name, registry, conf, "credential-helpers")?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn find_in_files(&self, registry: &str, path: &str) -> Result<Option<Credential>, CredentialError> {
        for file in &self.files {
            let found = self.find_in(file, registry, path)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Asks the program that `key` of `file` names.
    fn find_by_program(
        &self,
        name: &str,
        registry: &str,
        file: &Path,
        key: &str,
    ) -> Result<Option<Credential>, CredentialError> {
        let (path, key) = (file.to_owned(), key.to_owned());
        match self.ask(name, registry) {
            Ok(None) => Ok(None),
            Ok(Some(kind)) => {
                let program = format!("docker-credential-{name}");
                Ok(Some(Credential { kind, source: Source::Program { program, path, key } }))
            }
            Err(source) => {
                let (registry, source) = (registry.to_owned(), Box::new(source));
                Err(CredentialError::Program { registry, path, key, source })
            }
        }
    }

    fn find_in(&self, file: &AuthFile, registry: &str, path: &str) -> Result<Option<Credential>, CredentialError> {
        let document = self.document(file)?;
        let from_program = |key, name| self.find_by_program(name, registry, &file.path, key);
        match document.program(registry) {
            // An empty name: this file itself, also where it has a program for all.
            Some((_, "")) => {}
            // This file leaves the registry to the program alone.
            Some((key, name)) => return from_program(key, name),
            None => {
                let name = document.program_of_all();
                let found = name.map(|name| from_program("credsStore", name)).transpose()?.flatten();
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        for (key, entry) in document.candidates(registry, path, file.legacy) {
            let path = &file.path;
            let kind = entry.credential().map_err(|why| CredentialError::Entry {
                path: path.clone(),
                key: key.to_owned(),
                why,
            })?;
            if let Some(kind) = kind {
                return Ok(Some(Credential { kind, source: Source::File { path: path.clone(), key: key.to_owned() } }));
            }
        }
        Ok(None)
    }

    fn document(&self, file: &AuthFile) -> Result<Arc<Document>, CredentialError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(document) = state.documents.get(&file.path) {
            return Ok(Arc::clone(document));
        }
        let document = Arc::new(file.read()?);
        state.documents.insert(file.path.clone(), Arc::clone(&document));
        Ok(document)
    }

    /// Asks a program for a registry, once: others wait for the answer.
    fn ask(&self, name: &str, registry: &str) -> Result<Option<CredentialKind>, ProgramError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (name.to_owned(), registry.to_owned());
        if let Some(known) = state.programs.get(&key) {
            return Ok(known.clone());
        }
        let program = Program::new(name, self.program_time)?;
        let mut found = None;
        // Docker's tools file their own registry under a URL, containers' tools under its name.
        let servers =
            if canonical(registry) == "docker.io" { vec![DOCKER_SERVER, "docker.io"] } else { vec![registry] };
        for server in servers {
            found = program.get(server)?;
            if found.is_some() {
                break;
            }
        }
        let kind = found.map(|(user, secret)| credential_of(user, secret));
        state.programs.insert(key, kind.clone());
        Ok(kind)
    }

    /// Everything that the files have, in the order in which it counts. Programs for all registries are named, not asked.
    pub fn list(&self) -> Result<Vec<Known>, CredentialError> {
        let mut list = Vec::new();
        for (name, path) in self.order.iter().flat_map(|(order, path)| order.iter().map(move |name| (name, path))) {
            if name != FILES {
                let (program, path) = (format!("docker-credential-{name}"), path.clone());
                let source = Source::Program { program, path, key: "credential-helpers".to_owned() };
                list.push(Known { key: None, user: None, kind: None, source });
            }
        }
        for file in &self.files {
            let document = self.document(file)?;
            let path = &file.path;
            let program = |key: &str, name: &str, of: Option<String>| {
                let program = format!("docker-credential-{name}");
                let source = Source::Program { program, path: path.clone(), key: key.to_owned() };
                Known { key: of, user: None, kind: None, source }
            };
            list.extend(document.programs().map(|(key, name)| program(key, name, Some(key.to_owned()))));
            list.extend(document.program_of_all().map(|name| program("credsStore", name, None)));
            for (key, entry) in document.entries() {
                let bad = |why| CredentialError::Entry { path: path.clone(), key: key.to_owned(), why };
                let Some(kind) = entry.credential().map_err(bad)? else { continue };
                let source = Source::File { path: path.clone(), key: key.to_owned() };
                let (user, kind) = (kind.user().map(str::to_owned), Some(kind.name()));
                list.push(Known { key: Some(key.to_owned()), user, kind, source });
            }
        }
        Ok(list)
    }
}

/// What a program gave: a password, or the identity token that the user name `<token>` announces.
fn credential_of(user: String, secret: Secret) -> CredentialKind {
    if user == TOKEN_USER {
        CredentialKind::IdentityToken(secret)
    } else {
        CredentialKind::Password { user, password: secret }
    }
}

impl CredentialKind {
    /// The user, where there is one.
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::Password { user, .. } => Some(user),
            Self::IdentityToken(_) | Self::RegistryToken(_) => None,
        }
    }

    /// What it is: `password`, `identity token`, `registry token`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Password { .. } => "password",
            Self::IdentityToken(_) => "identity token",
            Self::RegistryToken(_) => "registry token",
        }
    }
}
