//! Logging in and out.

use ctr_cli::{Failure, OutputFormat};
use ctr_registry::auth::{CredentialKind, CredentialStore, DOCKER_SERVER, PROGRAM_TIME, Places, Program, Secret};
use ctr_registry::{Client, RegistryError};
use serde::Serialize;

use crate::Options;
use crate::file::AuthFile;
use crate::prompt;
use crate::target::Target;

/// A login on standard output (spec/schemas/logged-in.json).
#[derive(Debug, Serialize)]
struct LoggedIn<'a> {
    /// The key that was written.
    registry: &'a str,
    user: &'a str,
    /// The file that was written, or that names the program.
    file: String,
    /// The program that keeps the credential.
    program: Option<String>,
    /// Whether the registry took it.
    verified: bool,
}

/// A logout on standard output (spec/schemas/logged-out.json).
#[derive(Debug, Serialize)]
struct LoggedOut<'a> {
    registry: &'a str,
    file: String,
    program: Option<String>,
}

/// Asks for a credential, asks the registry about it, and keeps it.
pub(crate) fn login(options: &Options, target: &Target) -> Result<(), Failure> {
    let places = Places::from_environment(options.network.authfile.as_deref());
    let client = Client::new(options.network.settings());
    let (user, password) = prompt::credential(options.username.as_deref(), options.password_stdin, &target.registry)?;
    let verified = !options.no_verify && verify(&client, target, &user, &password)?;
    let path = places.primary();
    let mut file = AuthFile::open(&path)?;
    let program = file.program(&target.registry).map(|name| open(name, &places)).transpose()?;
    if let Some(program) = &program {
        whole_registry(target, program)?;
        program.store(server(target), &user, &password)?;
    } else {
        file.set(target, &user, &password)?;
        file.write()?;
    }
    let (key, shown) = (target.key(), path.display().to_string());
    let program = program.map(|program| program.name().to_owned());
    ctr_cli::note(match &program {
        Some(program) => format!("logged in as {user}; {program} keeps the password"),
        None => format!("logged in as {user}; the password is in {shown}, for its owner to read"),
    });
    if options.global.format == OutputFormat::Json {
        let logged_in = LoggedIn { registry: &key, user: &user, file: shown, program, verified };
        return ctr_cli::print_json(&logged_in);
    }
    ctr_cli::print(&format!("{key}\n"))
}

/// Whether the registry was asked and took the credential; an error, if it did not.
fn verify(client: &Client, target: &Target, user: &str, password: &Secret) -> Result<bool, Failure> {
    let credential = CredentialKind::Password { user: user.to_owned(), password: password.clone() };
    let verified = client.verify(&target.registry, credential).map_err(|error| match &error {
        RegistryError::Denied { errors, .. } => {
            let told = errors.iter().map(|error| format!("{} {}", error.code, error.message).trim().to_owned());
            let told: Vec<String> = told.filter(|told| !told.is_empty()).collect();
            let failure = Failure::new(format!("{} does not take this user and password", target.registry));
            if told.is_empty() { failure } else { failure.because(told.join("; ")) }
        }
        _ => Failure::hinted(error, RegistryError::hint),
    })?;
    if !verified.encrypted {
        ctr_cli::warn(format!("{} is spoken to without TLS: who listens on the way has the password", target.registry));
    }
    if !verified.taken {
        ctr_cli::warn(format!(
            "{} did not ask for a login: nobody knows whether the password is right",
            target.registry
        ));
    }
    Ok(verified.taken)
}

fn open(name: &str, places: &Places) -> Result<Program, Failure> {
    Ok(Program::new(name, places.program_time.unwrap_or(PROGRAM_TIME))?)
}

/// How a program files the registry: where Docker's tools look for it.
fn server(target: &Target) -> &str {
    if target.registry == "docker.io" { DOCKER_SERVER } else { &target.registry }
}

fn whole_registry(target: &Target, program: &Program) -> Result<(), Failure> {
    if target.namespace.is_empty() {
        return Ok(());
    }
    let what = format!("{} keeps credentials of whole registries, not of {}", program.name(), target.key());
    Err(Failure::new(what).hint(format!("log in to {}, or name another file with --authfile", target.registry)))
}

/// Forgets a credential.
pub(crate) fn remove(options: &Options, target: &Target) -> Result<(), Failure> {
    let places = Places::from_environment(options.network.authfile.as_deref());
    let path = places.primary();
    let mut file = AuthFile::open(&path)?;
    let mut gone = !file.remove(target)?.is_empty();
    let program = file.program(&target.registry).filter(|_| target.namespace.is_empty());
    let program = program.map(|name| open(name, &places)).transpose()?;
    if gone {
        file.write()?;
    }
    if let Some(program) = &program {
        gone |= program.erase(server(target))?;
    }
    let (key, shown) = (target.key(), path.display().to_string());
    if !gone {
        return Err(absent(&places, target, &shown));
    }
    if options.global.format == OutputFormat::Json {
        let program = program.map(|program| program.name().to_owned());
        return ctr_cli::print_json(&LoggedOut { registry: &key, file: shown, program });
    }
    ctr_cli::print(&format!("{key}\n"))
}

/// There is nothing to forget; but there may be one elsewhere.
fn absent(places: &Places, target: &Target, file: &str) -> Failure {
    let failure = Failure::new(format!("{file} has no credential for {}", target.key()));
    let store = CredentialStore::new(places);
    match store.find(&target.registry, &target.namespace) {
        Ok(Some(found)) => failure.hint(format!(
            "the one that is used is {}; --authfile FILE --remove takes it from another file",
            found.source
        )),
        _ => failure.hint("ctr-login --list shows all that there are"),
    }
}
