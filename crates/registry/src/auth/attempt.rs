//! One request, and how often it is made before a no is a no.

use super::authenticator::{Authenticator, TokenFailure, Way};
use super::challenge::Challenge;
use super::credential::Credential;
use super::error::AuthError;
use super::file::CredentialKind;
use super::scope::Scopes;
use super::secret::Secret;
use super::token::{Key, Realm, basic};
use crate::error::{RegistryError, ServerError};
use crate::url::Origin;

/// Most answers of one request that are no. Each reason to try again counts once; this is for servers that change their minds.
const MAX_ROUNDS: u32 = 8;

/// One request on its way: [`Attempt::authorization`] before it is sent, [`Attempt::judge`] with its answer, until that says that
/// the answer is final.
#[derive(Debug)]
pub struct Attempt<'a> {
    auth: &'a Authenticator,
    scopes: Scopes,
    used: Used,
    /// Where the credential was from that was used last or given up.
    source: Option<String>,
    renewed: bool,
    widened: bool,
    gave_up: bool,
    rounds: u32,
}

/// What a request was sent with.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Used {
    Nothing,
    Basic,
    Token(Box<Key>, u64),
}

/// What to do with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Make the request again, with another authorization.
    Again,
    /// It is the answer.
    Final,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(auth: &'a Authenticator, scopes: Scopes) -> Self {
        Self {
            auth,
            scopes,
            used: Used::Nothing,
            source: None,
            renewed: false,
            widened: false,
            gave_up: false,
            rounds: 0,
        }
    }

    /// The value of `Authorization` to send, if any. Asks for a token where one is needed.
    pub fn authorization(&mut self) -> Result<Option<Secret>, RegistryError> {
        let credential = self.auth.credential(&self.scopes)?;
        self.source = match &credential {
            Some(credential) => Some(credential.source.to_string()),
            None => self.auth.given_up(self.scopes.repository()).filter(|_| self.scopes.is_read_only()),
        };
        self.used = Used::Nothing;
        match (self.auth.way(credential.is_some())?, credential) {
            (Way::Unknown | Way::Open, _) | (Way::Basic, None) => Ok(None),
            (Way::Basic, Some(credential)) => self.basic(credential).map(Some),
            (Way::Bearer(realm), credential) => self.bearer(&realm, credential).map(Some),
        }
    }

    /// Where the credential is from that the request was made with, or that was refused before: for the error of a
    /// final refusal.
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    fn basic(&mut self, credential: Credential) -> Result<Secret, RegistryError> {
        let kind = match credential.kind {
            CredentialKind::Password { user, password } => {
                self.used = Used::Basic;
                return Ok(basic(&user, &password));
            }
            CredentialKind::IdentityToken(_) => "an identity token",
            CredentialKind::RegistryToken(_) => "a registry token",
        };
        let source_of = credential.source.to_string();
        let registry = self.auth.registry.clone();
        Err(AuthError::Kind { registry, source_of, kind, taken: "a user name with a password" }.into())
    }

    fn bearer(&mut self, realm: &Realm, credential: Option<Credential>) -> Result<Secret, RegistryError> {
        let credential = self.may_send(realm, credential)?;
        if let Some(credential) = credential {
            match self.token(realm, Some(&credential)) {
                Err(TokenFailure::Refused(errors)) if !self.scopes.is_read_only() => return Err(self.denied(errors)),
                Err(TokenFailure::Refused(_)) => self.give_up(),
                Err(TokenFailure::Other(error)) => return Err(error),
                Ok(header) => return Ok(header),
            }
        }
        self.token(realm, None).map_err(|failure| match failure {
            TokenFailure::Refused(errors) => self.denied(errors),
            TokenFailure::Other(error) => error,
        })
    }

    /// The credential, if this token server may see it. Who only reads goes on as a stranger then.
    fn may_send(&mut self, realm: &Realm, credential: Option<Credential>) -> Result<Option<Credential>, RegistryError> {
        let Some(credential) = credential else { return Ok(None) };
        // A registry token goes to the registry itself.
        if realm.sends_secrets || matches!(credential.kind, CredentialKind::RegistryToken(_)) {
            return Ok(Some(credential));
        }
        let (registry, source_of) = (self.auth.registry.clone(), credential.source.to_string());
        let host = realm.url.origin().authority();
        let error = AuthError::Elsewhere { registry, realm: host, source_of };
        if !self.scopes.is_read_only() {
            return Err(error.into());
        }
        self.source = None;
        self.auth.note(format!("{error}: nothing was sent there but the question"));
        Ok(None)
    }

    fn token(&mut self, realm: &Realm, credential: Option<&Credential>) -> Result<Secret, TokenFailure> {
        let who = credential.map(|credential| credential.source.to_string());
        let key = Key { realm: realm.clone(), scopes: self.auth.widened(&self.scopes), who };
        let token = self.auth.token(&key, credential.map(|credential| &credential.kind))?;
        self.used = Used::Token(Box::new(key), token.number);
        Ok(token.header.clone())
    }

    fn denied(&self, errors: Vec<ServerError>) -> RegistryError {
        let repository = match self.scopes.repository() {
            "" => "it".to_owned(),
            repository => repository.to_owned(),
        };
        RegistryError::Denied {
            registry: self.auth.registry.clone(),
            repository,
            credential: self.source.clone(),
            errors,
        }
    }

    /// What to do with an answer of this status, `from` this server, with these challenges.
    pub fn judge(&mut self, status: u16, from: &Origin, challenges: &[Challenge]) -> Result<Verdict, RegistryError> {
        if *from == self.auth.origin && self.rounds < MAX_ROUNDS {
            self.rounds += 1;
            match status {
                401 => return self.unauthorized(challenges),
                403 => return Ok(self.forbidden(challenges)),
                _ => {}
            }
        }
        if let Some(source) = self.source.as_ref().filter(|_| self.gave_up && status < 400) {
            let (registry, repository) = (&self.auth.registry, self.scopes.repository());
            self.auth.note(format!(
                "{registry} refuses the credential of {source}; {repository} can be read without it, and was"
            ));
        }
        Ok(Verdict::Final)
    }

    fn unauthorized(&mut self, challenges: &[Challenge]) -> Result<Verdict, RegistryError> {
        let chosen = self.auth.challenged(challenges)?;
        let is_wider = match &chosen {
            Some((Way::Bearer(_), challenge)) => self.auth.learn(&self.scopes, challenge),
            _ => false,
        };
        Ok(match (&self.used, chosen) {
            (Used::Nothing, Some((Way::Bearer(_), _))) => Verdict::Again,
            (Used::Nothing, Some(_)) if self.auth.credential(&self.scopes)?.is_some() => Verdict::Again,
            (Used::Nothing, _) => Verdict::Final,
            (Used::Token(..), _) if is_wider && !self.widened => {
                self.widened = true;
                Verdict::Again
            }
            (Used::Token(key, number), _) => {
                self.auth.token_refused(key, *number);
                // It may have ended just now; or the servers do not agree yet on a new repository.
                if self.renewed { self.as_stranger() } else { self.again_renewed() }
            }
            (Used::Basic, _) => self.as_stranger(),
        })
    }

    fn forbidden(&mut self, challenges: &[Challenge]) -> Verdict {
        let insufficient = challenges.iter().find(|challenge| challenge.get("error") == Some("insufficient_scope"));
        if let Some(challenge) = insufficient
            && !self.widened
            && self.auth.learn(&self.scopes, challenge)
        {
            self.widened = true;
            return Verdict::Again;
        }
        self.as_stranger()
    }

    fn again_renewed(&mut self) -> Verdict {
        self.renewed = true;
        Verdict::Again
    }

    /// A credential that is refused must not hide what everybody may read.
    fn as_stranger(&mut self) -> Verdict {
        let used_credential = match &self.used {
            Used::Nothing => false,
            Used::Basic => true,
            Used::Token(key, _) => key.who.is_some(),
        };
        if !used_credential || self.gave_up || !self.scopes.is_read_only() {
            return Verdict::Final;
        }
        self.give_up();
        Verdict::Again
    }

    /// From now on the repository is read as a stranger reads it.
    fn give_up(&mut self) {
        if let Some(source) = &self.source {
            self.auth.give_up(self.scopes.repository(), source.clone());
            self.gave_up = true;
        }
    }
}
