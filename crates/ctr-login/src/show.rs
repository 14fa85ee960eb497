//! Which credentials there are, and which one is used. Never a secret.

use ctr_cli::{Failure, OutputFormat, Table};
use ctr_registry::auth::{AuthError, Credential, Known, PROGRAM_TIME, Places, Program, Source};
use ctr_registry::config::Candidate;
use ctr_registry::{Client, RegistryError};
use serde::Serialize;

use crate::Options;

/// A credential (spec/schemas/credentials.json).
#[derive(Debug, Serialize)]
struct Shown {
    /// A registry or namespace, as it is written where it is kept.
    registry: String,
    user: Option<String>,
    /// What it is; nothing for what a program keeps and was not asked for.
    kind: Option<&'static str>,
    /// The file, or the one that names the program.
    file: Option<String>,
    program: Option<String>,
}

/// Whom an image is asked of (spec/schemas/credential-which.json).
#[derive(Debug, Serialize)]
struct Asked {
    /// `HOST/PATH`.
    repository: String,
    mirror: bool,
    credential: Option<Shown>,
}

impl Shown {
    fn new(registry: String, user: Option<String>, kind: Option<&'static str>, source: &Source) -> Self {
        let (file, program) = match source {
            Source::File { path, .. } => (Some(path), None),
            Source::Program { path, program, .. } => (Some(path), Some(program.clone())),
            Source::Given => (None, None),
        };
        Self { registry, user, kind, file: file.map(|path| path.display().to_string()), program }
    }

    fn of(credential: &Credential) -> Self {
        let key = match &credential.source {
            Source::File { key, .. } | Source::Program { key, .. } => key.clone(),
            Source::Given => String::new(),
        };
        let kind = &credential.kind;
        Self::new(key, kind.user().map(str::to_owned), Some(kind.name()), &credential.source)
    }

    /// The user, or what stands in the place of one.
    fn user(&self) -> String {
        self.user.clone().or_else(|| Some(format!("({})", self.kind?))).unwrap_or_default()
    }

    fn place(&self) -> String {
        let file = self.file.clone().unwrap_or_default();
        self.program.as_ref().map_or_else(|| file.clone(), |program| format!("{program} ({file})"))
    }
}

fn hinted(error: RegistryError) -> Failure {
    Failure::hinted(error, RegistryError::hint)
}

/// All credentials that can be found.
pub(crate) fn list(options: &Options) -> Result<(), Failure> {
    let client = Client::new(options.network.settings());
    let store = client.logins().map_err(hinted)?.credentials();
    let known = store.list().map_err(|error| hinted(AuthError::from(error).into()))?;
    let places = Places::from_environment(options.network.authfile.as_deref());
    let all: Vec<Shown> = known.iter().flat_map(|known| entries(known, &places)).collect();
    if options.global.format == OutputFormat::Json {
        return ctr_cli::print_json(&all);
    }
    if options.global.quiet {
        let keys: Vec<&str> = all.iter().map(|shown| shown.registry.as_str()).collect();
        return ctr_cli::print(&keys.iter().flat_map(|key| [key, "\n"]).collect::<String>());
    }
    let mut table = Table::new(["REGISTRY", "USER", "FROM"]);
    for shown in &all {
        table.row([shown.registry.clone(), shown.user(), shown.place()]);
    }
    ctr_cli::print(&table.to_string())
}

/// One entry of a file; of a program for all registries those that it tells.
fn entries(known: &Known, places: &Places) -> Vec<Shown> {
    if let Some(key) = &known.key {
        return vec![Shown::new(key.clone(), known.user.clone(), known.kind, &known.source)];
    }
    let Source::Program { program, .. } = &known.source else { return Vec::new() };
    let name = program.trim_start_matches("docker-credential-");
    let opened = Program::new(name, places.program_time.unwrap_or(PROGRAM_TIME));
    match opened.and_then(|program| program.list()) {
        Ok(servers) => {
            servers.into_iter().map(|(server, user)| Shown::new(server, Some(user), None, &known.source)).collect()
        }
        Err(error) => {
            ctr_cli::warn(format!("what it keeps is not shown: {error}"));
            Vec::new()
        }
    }
}

/// The servers that an image is asked of, with the credentials for them.
pub(crate) fn which(options: &Options, name: &str) -> Result<(), Failure> {
    let client = Client::new(options.network.settings());
    let registries = client.registries().map_err(hinted)?;
    let store = client.logins().map_err(hinted)?.credentials();
    let resolved = registries.resolve_short(name)?;
    if let Some(note) = &resolved.note {
        ctr_cli::note(note);
    }
    let mut all = Vec::new();
    for reference in &resolved.references {
        for candidate in registries.candidates(reference)? {
            let found = store.find(candidate.host(), candidate.path());
            let found = found.map_err(|error| hinted(AuthError::from(error).into()))?;
            all.push(asked(&candidate, found.as_ref()));
        }
    }
    if options.global.format == OutputFormat::Json {
        return ctr_cli::print_json(&all);
    }
    let mut table = Table::new(["REPOSITORY", "CREDENTIAL", "USER", "FROM"]);
    for asked in &all {
        let cells = match &asked.credential {
            Some(shown) => [shown.registry.clone(), shown.user(), shown.place()],
            None => ["none", "", ""].map(str::to_owned),
        };
        table.row([&[asked.repository.clone()][..], &cells].concat());
    }
    ctr_cli::print(&table.to_string())
}

fn asked(candidate: &Candidate, credential: Option<&Credential>) -> Asked {
    Asked {
        repository: format!("{}/{}", candidate.host(), candidate.path()),
        mirror: candidate.is_mirror(),
        credential: credential.map(Shown::of),
    }
}
