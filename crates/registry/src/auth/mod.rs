//! Who we are to a registry: credentials, challenges, tokens.
//!
//! ```text
//!  Logins ── of(registry) ──> Authenticator          one per registry, shared by threads
//!                               │  CredentialStore    which credential, from which file or program
//!                               │  RealmRules         who may be told it
//!                               │  way                Unknown -> Open | Basic | Bearer(realm), learned from challenges
//!                               │  tokens             by realm, scopes and credential; one request for all who wait
//!                               └─ attempt(scopes) ──> Attempt, for one request:
//!
//!     loop {
//!         request.authorization = attempt.authorization()?;      // may ask for a token
//!         response = http.send(request)?;
//!         match attempt.judge(status, origin, challenges)? {     // learns from a 401
//!             Again => continue,                                 // at most: token, new token, wider token, stranger
//!             Final => break,                                    // attempt.source(): whose credential was refused
//!         }
//!     }
//! ```
//!
//! - The first request of a stranger goes out without a word; the 401 tells the way. Where a credential waits to be used, `/v2/` is
//!   asked first: some registries show a stranger an empty house in place of a door. From then on every
//!   request has its token before it is sent.
//! - A token is asked for by Basic, or by an OAuth2 POST of an identity token. It is renewed a little before its end, and once
//!   more where the registry refuses it all the same.
//! - A credential goes to the registry's origin and to a realm that [`RealmRules`] trust, nowhere else.
//! - Where it is refused and the request only reads, the request is made once more without it, and
//!   [`Authenticator::take_notes`] says so.
//! - Credential programs run as the user that the process is: call [`CredentialStore::find`] for what will be needed before
//!   entering a user namespace. The answer is kept.

mod attempt;
mod authenticator;
pub mod challenge;
mod credential;
mod error;
mod file;
mod places;
mod program;
mod realm;
mod scope;
mod secret;
mod token;
mod transport;

#[cfg(test)]
mod credential_tests;
#[cfg(test)]
mod flow_tests;
#[cfg(test)]
mod served;

pub use attempt::{Attempt, Verdict};
pub use authenticator::Authenticator;
pub use credential::{Credential, CredentialError, CredentialStore, Known, Source};
pub use error::AuthError;
pub use file::{CredentialKind, DOCKER_SERVER, MAX_AUTH_FILE, is_same_registry, place};
pub use places::Places;
pub use program::{PROGRAM_OUTPUT, PROGRAM_TIME, Program, ProgramError, ProgramProblem};
pub use realm::{RealmRules, Trust};
pub use scope::Scopes;
pub use secret::Secret;
pub(crate) use secret::scrub;
pub use token::{MAX_TOKEN, MAX_TOKEN_ANSWER, TokenRequest, TokenResponse, TokenTransport};
pub use transport::{Logins, challenges};
