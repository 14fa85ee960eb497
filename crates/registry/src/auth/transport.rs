//! The login's own requests, over the connections that everything else goes over too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::authenticator::Authenticator;
use super::challenge::{self, Challenge};
use super::credential::CredentialStore;
use super::realm::RealmRules;
use super::secret::Secret;
use super::token::{MAX_TOKEN_ANSWER, TokenRequest, TokenResponse, TokenTransport};
use crate::error::RegistryError;
use crate::http::{Http, Payload, Request, Response};
use crate::url::Origin;
use ureq::http::Method;

impl TokenTransport for Http {
    fn send(&self, request: &TokenRequest) -> Result<TokenResponse, RegistryError> {
        let mut sent = match &request.form {
            None => Request::get(request.url.clone()),
            Some(form) => Request::new(Method::POST, request.url.clone())
                .header("content-type", "application/x-www-form-urlencoded")
                .payload(Payload::Bytes(form.expose().as_bytes())),
        };
        // To ask for the same token twice does no harm.
        sent.repeatable = true;
        sent.authorization.clone_from(&request.authorization);
        let response = Http::send(self, &mut sent.header("accept", "application/json"))?;
        let (status, from) = (response.status, response.url.origin().clone());
        let challenges = challenges(&response);
        let url = response.url.clone();
        let body = response.bytes("the token server's answer", MAX_TOKEN_ANSWER)?;
        let body = match String::from_utf8(body) {
            Ok(text) => Secret::new(text),
            Err(_) if status == 200 => {
                return Err(RegistryError::Protocol { url, why: "its answer is not UTF-8".to_owned() });
            }
            Err(_) => Secret::default(),
        };
        Ok(TokenResponse { status, from, challenges, body })
    }
}

/// The challenges of an answer.
pub fn challenges(response: &Response) -> Vec<Challenge> {
    let headers = response.headers.get_all("www-authenticate");
    challenge::parse(headers.iter().map(ureq::http::HeaderValue::as_bytes))
}

/// The logins of all registries that one program speaks to.
#[derive(Debug)]
pub struct Logins {
    credentials: Arc<CredentialStore>,
    rules: Arc<RealmRules>,
    registries: Mutex<HashMap<(String, Origin), Arc<Authenticator>>>,
}

impl Logins {
    /// With these credentials and these rules.
    pub fn new(credentials: Arc<CredentialStore>, rules: RealmRules) -> Self {
        Self { credentials, rules: Arc::new(rules), registries: Mutex::default() }
    }

    /// Nobody is logged in anywhere.
    pub fn anonymous() -> Self {
        Self::new(Arc::new(CredentialStore::anonymous()), RealmRules::default())
    }

    /// The credentials.
    pub fn credentials(&self) -> &Arc<CredentialStore> {
        &self.credentials
    }

    /// The login of the registry that references call `registry` (`docker.io`) and that is reached at `origin`.
    pub fn of(&self, registry: &str, origin: &Origin, http: &Arc<Http>) -> Arc<Authenticator> {
        let mut registries = self.registries.lock().unwrap_or_else(PoisonError::into_inner);
        let found = registries.entry((registry.to_owned(), origin.clone())).or_insert_with(|| {
            let (credentials, rules) = (Arc::clone(&self.credentials), Arc::clone(&self.rules));
            let transport: Arc<dyn TokenTransport> = http.clone();
            Arc::new(Authenticator::new(registry, origin.clone(), credentials, rules, transport))
        });
        Arc::clone(found)
    }

    /// What the user should be told of all of them; each once.
    pub fn take_notes(&self) -> Vec<String> {
        let registries = self.registries.lock().unwrap_or_else(PoisonError::into_inner);
        registries.values().flat_map(|authenticator| authenticator.take_notes()).collect()
    }
}
