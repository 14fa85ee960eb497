//! Tokens: how they are asked for, what answers are taken, and one request for all threads that need the same one
//! (distribution-spec "Token Authentication", "OAuth2 Token Authentication").

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::challenge::Challenge;
use super::file::CredentialKind;
use super::realm::Trust;
use super::scope::Scopes;
use super::secret::{Secret, scrub};
use crate::error::{RegistryError, ServerError};
use crate::url::{Origin, Url, UrlError};

/// Most bytes of a token server's answer (spec/limits.md).
pub const MAX_TOKEN_ANSWER: u64 = 1 << 20;
/// Most bytes of a token (spec/limits.md): it travels in a header.
pub const MAX_TOKEN: usize = 32 << 10;
/// A token lives so long at least, and so long if its server does not say.
const SHORTEST: Duration = Duration::from_secs(60);
/// None is kept longer.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Most tokens that are kept.
const MAX_KEPT: usize = 512;
/// What OAuth2 calls us.
const CLIENT: &str = "ctr";

/// A request that the login makes itself: for a token, or to see how a registry wants it.
#[derive(Debug)]
pub struct TokenRequest {
    /// Where to.
    pub url: Url,
    /// `Authorization`.
    pub authorization: Option<Secret>,
    /// The form to POST; without one it is a GET.
    pub form: Option<Secret>,
}

/// What came back.
#[derive(Debug)]
pub struct TokenResponse {
    /// HTTP status.
    pub status: u16,
    /// Who answered, behind all redirects.
    pub from: Origin,
    /// `WWW-Authenticate`.
    pub challenges: Vec<Challenge>,
    /// The body, at most [`MAX_TOKEN_ANSWER`] bytes of it.
    pub body: Secret,
}

/// Sends these requests. Redirects get no `Authorization` on another origin; a body above the cap is an error.
pub trait TokenTransport: Send + Sync {
    /// One request.
    fn send(&self, request: &TokenRequest) -> Result<TokenResponse, RegistryError>;
}

/// The token server of a registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Realm {
    pub(super) url: Url,
    pub(super) service: Option<String>,
    pub(super) sends_secrets: bool,
}

impl Realm {
    pub(super) fn new(url: Url, service: Option<&str>, trust: Trust) -> Self {
        Self { url, service: service.map(str::to_owned), sends_secrets: trust == Trust::Secrets }
    }

    /// The request for a token: a GET with Basic, or, of an identity token, an OAuth2 POST.
    pub(super) fn request(
        &self,
        scopes: &Scopes,
        credential: Option<&CredentialKind>,
    ) -> Result<TokenRequest, UrlError> {
        if let Some(CredentialKind::IdentityToken(token)) = credential {
            return Ok(self.exchange(scopes, token));
        }
        let mut query: Vec<(&str, String)> = self.service.iter().map(|service| ("service", service.clone())).collect();
        query.extend(scopes.texts().map(|scope| ("scope", scope)));
        let mut authorization = None;
        if let Some(CredentialKind::Password { user, password }) = credential {
            query.push(("account", user.clone()));
            authorization = Some(basic(user, password));
        }
        let mut url = self.url.clone();
        for (name, value) in query {
            url = url.with_query(name, &encoded(&value))?;
        }
        Ok(TokenRequest { url, authorization, form: None })
    }

    fn exchange(&self, scopes: &Scopes, token: &Secret) -> TokenRequest {
        let scope = scopes.texts().collect::<Vec<_>>().join(" ");
        let mut form = format!("grant_type=refresh_token&client_id={CLIENT}&scope={}", encoded(&scope));
        if let Some(service) = &self.service {
            let _ = write!(form, "&service={}", encoded(service));
        }
        let _ = write!(form, "&refresh_token={}", encoded(token.expose()));
        TokenRequest { url: self.url.clone(), authorization: None, form: Some(Secret::new(form)) }
    }
}

/// `Basic BASE64` (RFC 7617).
pub(super) fn basic(user: &str, password: &Secret) -> Secret {
    let plain = Secret::new(format!("{user}:{}", password.expose()));
    Secret::new(format!("Basic {}", STANDARD.encode(plain.expose())))
}

/// `application/x-www-form-urlencoded`, which a query may be too; colons and slashes of scopes are escaped, all servers take that.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A token that we hold.
#[derive(Debug)]
pub(super) struct Token {
    /// `Bearer TOKEN`.
    pub(super) header: Secret,
    /// Until when it is used.
    until: Instant,
    /// Tells it from the one before.
    pub(super) number: u64,
}

/// The token of an answer with status 200, and how long it is good; else what is wrong with it.
pub(super) fn read(body: &Secret, now: SystemTime) -> Result<(Secret, Duration), &'static str> {
    let document: Value = serde_json::from_str(body.expose()).map_err(|_| "its answer is not JSON")?;
    let member = |name: &str| document.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let token = member("token").or_else(|| member("access_token")).ok_or("its answer holds no token")?;
    let token = Secret::new(token);
    let header = header(&token)?;
    let lifetime = document.get("expires_in").and_then(Value::as_f64).unwrap_or_default();
    let lifetime = Duration::try_from_secs_f64(lifetime).unwrap_or_default().clamp(SHORTEST, LONGEST);
    // Some servers hand out the same token for a while: part of its life is over then.
    let age = member("issued_at").and_then(time).and_then(|issued| now.duration_since(issued).ok()).unwrap_or_default();
    Ok((header, lifetime.saturating_sub(age).max(SHORTEST)))
}

/// `Bearer TOKEN`, if the token can stand in a header (RFC 6750 section 2.1, and a few characters more).
pub(super) fn header(token: &Secret) -> Result<Secret, &'static str> {
    if token.expose().len() > MAX_TOKEN {
        return Err("its token is too long");
    }
    if token.is_empty() || !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("its token has characters that no token has");
    }
    Ok(Secret::new(format!("Bearer {}", token.expose())))
}

/// A time of RFC 3339: `2026-11-23T06:00:00.123Z`, or with an offset.
fn time(text: &str) -> Option<SystemTime> {
    let (date, rest) = text.split_once(['T', 't'])?;
    let numbers = |text: &str, separator: char| -> Option<[i64; 3]> {
        let parts: Vec<i64> = text.split(separator).map(|part| part.parse().ok()).collect::<Option<_>>()?;
        parts.try_into().ok()
    };
    let [year, month, day] = numbers(date, '-')?;
    let at = rest.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = rest.split_at(at);
    let [hour, minute, second] = numbers(clock.split('.').next()?, ':')?;
    let is_sane = (1970..3000).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !is_sane || !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0..=60).contains(&second) {
        return None;
    }
    let offset = match zone.split_once(':') {
        None => 0,
        Some((hours, minutes)) => {
            let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
            let minutes = if zone.starts_with('-') { -minutes } else { minutes };
            (-24..=24).contains(&hours).then_some(hours * 3600 + minutes * 60)?
        }
    };
    // Days since 1970 of a date of the Gregorian calendar, with years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset;
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// What a token server's refusal says, in the forms that servers have.
pub(super) fn refusal(body: &Secret, request: &TokenRequest) -> Vec<ServerError> {
    // An identity token is the last field of its form.
    let form = request.form.as_ref().and_then(|form| form.expose().rsplit_once('='));
    let sent = form.map(|(_, token)| Secret::new(format!("form {token}"))).or(request.authorization.clone());
    let sent = sent.unwrap_or_default();
    let Ok(document) = serde_json::from_str::<Value>(body.expose()) else { return Vec::new() };
    let text = |value: &Value, name: &str| -> String {
        scrub(value.get(name).and_then(Value::as_str).unwrap_or_default(), &sent).chars().take(300).collect()
    };
    if let Some(errors) = document.get("errors").and_then(Value::as_array) {
        let errors = errors.iter().take(4);
        return errors
            .map(|error| ServerError { code: text(error, "code"), message: text(error, "message"), digest: None })
            .collect();
    }
    let message = ["error_description", "details", "message"].iter().map(|name| text(&document, name));
    let message = message.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
    let error = ServerError { code: text(&document, "error"), message, digest: None };
    if error.code.is_empty() && error.message.is_empty() { Vec::new() } else { vec![error] }
}

/// What tells one token from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) realm: Realm,
    pub(super) scopes: Scopes,
    /// Where the credential was from; nothing for a stranger's token.
    pub(super) who: Option<String>,
}

/// All tokens of a registry.
#[derive(Default)]
pub(super) struct Tokens {
    slots: Mutex<Slots>,
    changed: Condvar,
}

#[derive(Default)]
struct Slots {
    /// None: somebody asks for it now.
    held: HashMap<Key, Option<Arc<Token>>>,
    issued: u64,
}

impl Tokens {
    /// The token for `key`; `fetch` is called by one thread at a time for the same key, others wait for what it brings.
    pub(super) fn get<E>(
        &self,
        key: &Key,
        fetch: impl FnOnce() -> Result<(Secret, Duration), E>,
    ) -> Result<Arc<Token>, E> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match slots.held.get(key) {
                Some(Some(token)) if Instant::now() < token.until => return Ok(Arc::clone(token)),
                Some(Some(_)) | None => break,
                Some(None) => slots = self.changed.wait(slots).unwrap_or_else(PoisonError::into_inner),
            }
        }
        if slots.held.len() >= MAX_KEPT {
            slots.held.retain(|_, slot| slot.is_none());
        }
        slots.held.insert(key.clone(), None);
        drop(slots);
        // Gives the slot free whatever happens.
        let asking = Asking { tokens: self, key };
        let (header, lifetime) = fetch()?;
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.issued += 1;
        // A little before its end, so that it does not end on the way.
        let until = Instant::now() + lifetime.mul_f32(0.9);
        let token = Arc::new(Token { header, until, number: slots.issued });
        slots.held.insert(key.clone(), Some(Arc::clone(&token)));
        drop(slots);
        drop(asking);
        Ok(token)
    }

    /// The registry refused this token: the next one who needs it asks for another, unless somebody has.
    pub(super) fn refused(&self, key: &Key, number: u64) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.held.get(key).is_some_and(|slot| slot.as_ref().is_some_and(|token| token.number == number)) {
            slots.held.remove(key);
        }
    }
}

struct Asking<'a> {
    tokens: &'a Tokens,
    key: &'a Key,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut slots = self.tokens.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.held.get(self.key).is_some_and(Option::is_none) {
            slots.held.remove(self.key);
        }
        self.tokens.changed.notify_all();
    }
}
