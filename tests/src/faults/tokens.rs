//! Registries that want credentials, and the servers that give tokens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;

use super::registry::error;
use super::request::Request;
use super::response::Response;
use super::server::Site;

/// What a registry wants before it answers.
#[derive(Debug, Clone)]
pub enum Guard {
    /// HTTP Basic with this user and password.
    Basic(String, String),
    /// A token of a [`Tokens`] server.
    Bearer {
        /// `http://127.0.0.1:PORT/token`.
        realm: String,
        /// The tokens that hold.
        book: Arc<Book>,
    },
}

/// The tokens that were given, and what each may do.
#[derive(Debug, Default)]
pub struct Book {
    given: Mutex<BTreeMap<String, Vec<String>>>,
}

impl Book {
    fn given(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<String>>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No token holds any longer.
    pub fn expire(&self) {
        self.given().clear();
    }

    /// Lets this token do all that these scopes say (`repository:demo:pull,push`).
    pub fn accept(&self, token: &str, scopes: &[String]) {
        self.given().insert(token.to_owned(), scopes.to_vec());
    }

    fn allows(&self, token: &str, repository: Option<&str>, action: &str) -> Option<bool> {
        let given = self.given();
        let scopes = given.get(token)?;
        let Some(repository) = repository else { return Some(true) };
        let covers = |scope: &String| {
            // `repository:NAME:ACTIONS`; a name may have a colon in it only for a host's port.
            let Some((rest, actions)) = scope.rsplit_once(':') else { return false };
            rest == format!("repository:{repository}") && actions.split(',').any(|one| one == action)
        };
        Some(scopes.iter().any(covers))
    }
}

/// The action that a request needs.
fn action(request: &Request) -> &'static str {
    match request.method.as_str() {
        "GET" if request.target.contains("/blobs/uploads/") => "push",
        "GET" | "HEAD" => "pull",
        "DELETE" if !request.target.contains("/blobs/uploads/") => "delete",
        _ => "push",
    }
}

impl Guard {
    /// The refusal, if the request does not show what is wanted.
    pub(super) fn check(&self, request: &Request, repository: Option<&str>) -> Option<Response> {
        let refused = |challenge: String| {
            error(401, "UNAUTHORIZED", "authentication required").header("WWW-Authenticate", challenge)
        };
        match self {
            Self::Basic(user, password) => {
                let held = request.basic() == Some((user.clone(), password.clone()));
                (!held).then(|| refused("Basic realm=\"registry\"".to_owned()))
            }
            Self::Bearer { realm, book } => {
                let action = action(request);
                let held = request.bearer().map(|token| book.allows(&token, repository, action));
                if held == Some(Some(true)) {
                    return None;
                }
                let wanted = if action == "push" { "pull,push" } else { action };
                let scope = repository.map(|name| format!(",scope=\"repository:{name}:{wanted}\"")).unwrap_or_default();
                let why = match held {
                    None => "",
                    Some(None) => ",error=\"invalid_token\"",
                    Some(Some(_)) => ",error=\"insufficient_scope\"",
                };
                Some(refused(format!("Bearer realm=\"{realm}\",service=\"registry\"{scope}{why}")))
            }
        }
    }
}

/// A token endpoint (`/token`): gives tokens to everybody, or to who has the password or the identity token.
#[derive(Debug, Default)]
pub struct Tokens {
    book: Arc<Book>,
    user: Option<(String, String)>,
    identity: Option<String>,
    count: Mutex<usize>,
}

impl Tokens {
    /// One for everybody.
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// One for this user.
    pub fn of(user: &str, password: &str) -> Self {
        Self { user: Some((user.to_owned(), password.to_owned())), ..Self::default() }
    }

    /// One for who has this identity token (OAuth2 refresh token).
    pub fn identity(token: &str) -> Self {
        Self { identity: Some(token.to_owned()), ..Self::default() }
    }

    /// The tokens that it gave: what a [`Guard::Bearer`] asks.
    pub fn book(&self) -> Arc<Book> {
        Arc::clone(&self.book)
    }
}

impl Site for Tokens {
    fn answer(&self, request: &Request) -> Response {
        let denied = || error(401, "UNAUTHORIZED", "incorrect username or password");
        let scopes = if request.method == "POST" {
            request.form("scope").map(|text| text.split(' ').map(str::to_owned).collect()).unwrap_or_default()
        } else {
            request.queries("scope").iter().flat_map(|text| text.split(' ')).map(str::to_owned).collect::<Vec<_>>()
        };
        let by_password = || request.basic().or_else(|| Some((request.form("username")?, request.form("password")?)));
        let known = match (&self.user, &self.identity) {
            (Some(user), _) => by_password().as_ref() == Some(user),
            (None, Some(identity)) => request.form("refresh_token").as_ref() == Some(identity),
            (None, None) => true,
        };
        if !known {
            return denied();
        }
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count += 1;
        let token = format!("token-{}-{count}", std::process::id());
        self.book.accept(&token, &scopes);
        let key = if request.method == "POST" { "access_token" } else { "token" };
        let body = json!({key: token, "expires_in": 300});
        Response::new(200).header("Content-Type", "application/json").body(body.to_string())
    }
}
