//! A token server for docker-registry: signs what is asked for, for who has the password.
//! (<https://distribution.github.io/distribution/spec/auth/jwt/>)

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};

use crate::faults::tls::{self, Certificate};
use crate::faults::{Request, Response, Server, Site, error};

/// The server; it runs in this process.
pub struct TokenServer {
    server: Server<Signer>,
}

struct Signer {
    user: Option<(String, String)>,
    certificate: Certificate,
    serial: AtomicUsize,
    /// How long a token holds, in seconds.
    holds: u64,
}

impl std::fmt::Debug for TokenServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenServer").field("realm", &self.realm()).finish_non_exhaustive()
    }
}

impl TokenServer {
    /// Gives tokens that pull to everybody, and those that push to this user.
    pub fn start(user: &str, password: &str) -> Self {
        Self::run(Some((user.to_owned(), password.to_owned())), 300)
    }

    /// Gives everybody tokens that hold for so many seconds.
    pub fn anonymous(holds: u64) -> Self {
        Self::run(None, holds)
    }

    fn run(user: Option<(String, String)>, holds: u64) -> Self {
        let certificate = tls::self_signed(&["localhost"]);
        Self { server: Server::start(Signer { user, certificate, serial: AtomicUsize::new(0), holds }) }
    }

    /// `http://127.0.0.1:PORT/token`.
    pub fn realm(&self) -> String {
        self.server.url("/token")
    }

    /// The certificate of its key (PEM).
    pub fn certificate(&self) -> String {
        self.server.site().certificate.pem.clone()
    }

    /// The server, to see what was asked and to add rules.
    pub fn server(&self) -> &Server<impl Site + use<>> {
        &self.server
    }
}

impl Signer {
    fn token(&self, access: &[Value]) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let header = json!({"typ": "JWT", "alg": "ES256", "x5c": [STANDARD.encode(self.certificate.der())]});
        let claims = json!({
            "iss": "ctr-tests", "sub": "", "aud": "ctr-tests", "nbf": now - 10, "iat": now, "exp": now + self.holds,
            "jti": self.serial.fetch_add(1, Ordering::SeqCst).to_string(), "access": access,
        });
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let text = format!("{}.{}", part(&header), part(&claims));
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, self.certificate.key_der(), &random);
        let signature = key.expect("a P-256 key").sign(&random, text.as_bytes()).expect("a signature");
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

impl Site for Signer {
    fn answer(&self, request: &Request) -> Response {
        let login = request.basic();
        let known = self.user.is_none() || login == self.user;
        if login.is_some() && !known {
            return error(401, "UNAUTHORIZED", "incorrect username or password");
        }
        let scopes = request.queries("scope");
        let access: Vec<Value> = scopes
            .iter()
            .flat_map(|text| text.split(' '))
            .filter_map(|scope| {
                let (rest, actions) = scope.rsplit_once(':')?;
                let (kind, name) = rest.split_once(':')?;
                let may = |action: &&str| known || *action == "pull";
                let actions: Vec<&str> = actions.split(',').filter(may).collect();
                Some(json!({"type": kind, "name": name, "actions": actions}))
            })
            .collect();
        let body = json!({"token": self.token(&access), "expires_in": self.holds});
        Response::new(200).header("Content-Type", "application/json").body(body.to_string())
    }
}
