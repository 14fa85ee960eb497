//! The whole way, from a request without a word to its answer, against a server on loopback.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::served::{Answer, Asked, Served};
use super::*;
use crate::client::Repository;
use crate::error::RegistryError;
use crate::http::{Http, Request, Settings};

fn password(user: &str, password: &str) -> CredentialStore {
    CredentialStore::given(CredentialKind::Password { user: user.to_owned(), password: Secret::new(password) })
}

/// `WWW-Authenticate` of a registry with tokens from `http://AUTHORITY/token`.
fn bearer(authority: &str, more: &str) -> String {
    format!("WWW-Authenticate: Bearer realm=\"http://{authority}/token\",service=\"s\"{more}\r\n")
}

fn denied(headers: String) -> Answer {
    (401, headers, r#"{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}"#.to_owned())
}

fn token(text: &str) -> Answer {
    (200, String::new(), format!(r#"{{"token":"{text}"}}"#))
}

fn fine() -> Answer {
    (200, String::new(), "{}".to_owned())
}

/// Asks for the tag `1` of `app`, as the client does.
fn pull(served: &Served, login: &Arc<Authenticator>) -> Result<u16, RegistryError> {
    ask(served, login, Scopes::pull("app"))
}

fn ask(served: &Served, login: &Arc<Authenticator>, scopes: Scopes) -> Result<u16, RegistryError> {
    let http = Arc::new(Http::new(Settings { retries: 0, ..Settings::default() }));
    let repository = Repository::new(http, served.origin(), "app").with_login(Arc::clone(login));
    let mut request = Request::get(repository.url("manifests/1")?);
    let response = repository.ask_for(scopes, &mut request)?;
    match response.status {
        200 => Ok(200),
        _ => Err(repository.refused(response, "image app:1")),
    }
}

/// A registry whose tokens are `good` for whoever is let in by `who`, and nothing but an empty `Authorization` for strangers.
fn registry(who: impl Fn(&Asked) -> bool + Send + Sync + 'static) -> Served {
    Served::new(move |authority, asked| match asked.line.starts_with("GET /token") || asked.line.starts_with("POST") {
        true if who(asked) => token("good"),
        true => denied(String::new()),
        false if asked.authorization == "Bearer good" => fine(),
        false => denied(bearer(authority, "")),
    })
}

#[test]
fn a_stranger_gets_a_token() {
    // spec: REG-32
    let served = registry(|asked| asked.authorization.is_empty());
    let login = served.login(CredentialStore::anonymous());
    assert_eq!(pull(&served, &login).unwrap(), 200);
    let manifest = "GET /v2/app/manifests/1";
    assert_eq!(served.lines(), [manifest, "GET /token", manifest]);
    assert_eq!(served.asked()[1].line, "GET /token?service=s&scope=repository%3Aapp%3Apull");
    // The second request has its token at once.
    assert_eq!(pull(&served, &login).unwrap(), 200);
    assert_eq!(served.lines().len(), 4);
}

#[test]
fn a_user_asks_first_how_to_log_in() {
    // spec: REG-32, REG-33
    let served = registry(|asked| asked.authorization == "Basic bWU6cHc=");
    let login = served.login(password("me", "pw"));
    assert_eq!(pull(&served, &login).unwrap(), 200);
    assert_eq!(served.lines(), ["GET /v2/", "GET /token", "GET /v2/app/manifests/1"]);
    assert!(served.asked()[1].line.ends_with("&account=me"));
    assert!(
        served
            .asked()
            .iter()
            .all(|asked| asked.line.starts_with("GET /token") || !asked.authorization.starts_with("Basic"))
    );
}

#[test]
fn an_identity_token_is_exchanged() {
    // spec: REG-33
    let served =
        registry(|asked| asked.body.ends_with("&scope=repository%3Aapp%3Apull%2Cpush&service=s&refresh_token=a%2Bb"));
    let login = served.login(CredentialStore::given(CredentialKind::IdentityToken(Secret::new("a+b"))));
    assert_eq!(ask(&served, &login, Scopes::push("app")).unwrap(), 200);
    assert!(served.asked()[1].body.starts_with("grant_type=refresh_token&client_id="));
    assert!(!served.asked().iter().any(|asked| asked.line.contains("refresh_token")), "never in a URL");
}

#[test]
fn a_registry_token_goes_to_the_registry() {
    let served = registry(|_| false);
    let login = served.login(CredentialStore::given(CredentialKind::RegistryToken(Secret::new("good"))));
    assert_eq!(pull(&served, &login).unwrap(), 200);
    assert_eq!(served.lines(), ["GET /v2/", "GET /v2/app/manifests/1"]);
}

#[test]
fn basic_is_for_the_registry_alone() {
    // spec: REG-32
    let served = Served::new(|_, asked| match asked.authorization.as_str() {
        "Basic bWU6cHc=" => fine(),
        _ => denied("WWW-Authenticate: Basic realm=\"http://elsewhere.example/\"\r\n".to_owned()),
    });
    assert_eq!(pull(&served, &served.login(password("me", "pw"))).unwrap(), 200);
    assert_eq!(served.lines(), ["GET /v2/", "GET /v2/app/manifests/1"]);
    let error = pull(&served, &served.login(CredentialStore::anonymous())).unwrap_err();
    assert!(error.hint().unwrap().starts_with("ctr-login "), "{error}");
    let token = CredentialStore::given(CredentialKind::IdentityToken(Secret::new("hidden")));
    let error = pull(&served, &served.login(token)).unwrap_err().to_string();
    assert!(error.contains("an identity token") && !error.contains("hidden"), "{error}");
}

#[test]
fn a_refused_credential_does_not_hide_what_is_public() {
    // spec: REG-38
    let served = registry(|asked| asked.authorization.is_empty());
    let login = served.login(password("me", "old"));
    for _ in 0..3 {
        assert_eq!(pull(&served, &login).unwrap(), 200);
    }
    let secrets = served.asked().iter().filter(|asked| asked.authorization.starts_with("Basic")).count();
    assert_eq!(secrets, 1, "it is shown once: accounts are locked for less");
    let notes = login.take_notes();
    assert!(notes.len() == 1 && notes[0].contains("the command line") && notes[0].contains("app"), "{notes:?}");
    assert!(login.take_notes().is_empty());
    // Who writes is not helped by a stranger's token.
    let error = ask(&served, &login, Scopes::push("app")).unwrap_err();
    assert!(matches!(&error, RegistryError::Denied { credential: Some(source), .. } if source == "the command line"));
    assert!(!error.to_string().contains("old"), "{error}");
}

#[test]
fn a_private_image_names_the_credential() {
    // spec: REG-38
    let served = registry(|_| false);
    let login = served.login(password("me", "old"));
    for _ in 0..2 {
        let error = pull(&served, &login).unwrap_err();
        assert!(
            matches!(&error, RegistryError::Denied { credential: Some(_), errors, .. } if errors[0].message == "no")
        );
    }
    assert!(login.take_notes().is_empty());
    let error = pull(&served, &served.login(CredentialStore::anonymous())).unwrap_err();
    assert!(matches!(&error, RegistryError::Denied { credential: None, .. }), "{error}");
}

#[test]
fn a_token_that_ends_is_renewed_and_a_fresh_one_is_tried_again_once() {
    // spec: REG-35
    let issued = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&issued);
    // Tokens 1 and 3 are refused.
    let served = Served::new(move |authority, asked| {
        if asked.line.starts_with("GET /token") {
            return token(&format!("t{}", counter.fetch_add(1, Ordering::Relaxed) + 1));
        }
        if asked.authorization == "Bearer t2" && asked.line.ends_with("/1") {
            fine()
        } else {
            denied(bearer(authority, ""))
        }
    });
    let login = served.login(CredentialStore::anonymous());
    assert_eq!(pull(&served, &login).unwrap(), 200);
    assert_eq!(issued.load(Ordering::Relaxed), 2);
    assert_eq!(pull(&served, &login).unwrap(), 200);
    assert_eq!(issued.load(Ordering::Relaxed), 2);
    // Never good: two tokens, and then the answer is no.
    assert!(ask(&served, &login, Scopes::pull("other")).is_err());
    assert_eq!(issued.load(Ordering::Relaxed), 4);
}

#[test]
fn a_wider_scope_is_asked_for_once_and_kept() {
    // spec: REG-34
    let served = Served::new(move |authority, asked| {
        if asked.line.starts_with("GET /token") {
            return token(if asked.line.contains("pull%2Cread") { "wide" } else { "narrow" });
        }
        match asked.authorization.as_str() {
            "Bearer wide" => fine(),
            "" => denied(bearer(authority, "")),
            _ => (403, bearer(authority, ",scope=\"repository:app:read\",error=\"insufficient_scope\""), String::new()),
        }
    });
    let login = served.login(CredentialStore::anonymous());
    assert_eq!(pull(&served, &login).unwrap(), 200);
    assert_eq!(served.lines().len(), 5);
    assert_eq!(pull(&served, &login).unwrap(), 200);
    assert_eq!(served.lines().len(), 6);
}

#[test]
fn threads_share_one_request_for_a_token() {
    // spec: REG-35
    let served = Served::new(|authority, asked| {
        if asked.line.starts_with("GET /token") {
            std::thread::sleep(std::time::Duration::from_millis(100));
            return token("good");
        }
        if asked.authorization == "Bearer good" { fine() } else { denied(bearer(authority, "")) }
    });
    let login = served.login(CredentialStore::anonymous());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(pull(&served, &login).unwrap(), 200));
        }
    });
    assert_eq!(served.lines().iter().filter(|line| *line == "GET /token").count(), 1);
}

#[test]
fn answers_that_hold_no_token_are_errors() {
    // spec: REG-35
    for (body, why) in [
        ("{}", "no token"),
        (r#"{"token":""}"#, "no token"),
        (r#"{"token":["x"]}"#, "no token"),
        (r#"{"token":"a\nX-Evil: 1"}"#, "characters"),
        ("<html>", "not JSON"),
        ("", "not JSON"),
    ] {
        let served = Served::new(move |authority, asked| {
            if asked.line.starts_with("GET /token") {
                (200, String::new(), body.to_owned())
            } else {
                denied(bearer(authority, ""))
            }
        });
        let error = pull(&served, &served.login(CredentialStore::anonymous())).unwrap_err().to_string();
        assert!(error.contains(why), "{body}: {error}");
    }
    for length in [MAX_TOKEN + 1, usize::try_from(MAX_TOKEN_ANSWER).unwrap() + 1] {
        let served = Served::new(move |authority, asked| {
            if asked.line.starts_with("GET /token") {
                token(&"x".repeat(length))
            } else {
                denied(bearer(authority, ""))
            }
        });
        assert!(pull(&served, &served.login(CredentialStore::anonymous())).is_err());
    }
}

#[test]
fn a_realm_on_another_host_is_told_nothing() {
    // spec: REG-36, REG-37
    let served = Served::new(|_, _| {
        denied("WWW-Authenticate: Bearer realm=\"https://token.invalid/t\",service=\"s\"\r\n".to_owned())
    });
    let login = served.login(password("me", "pw"));
    let error = ask(&served, &login, Scopes::push("app")).unwrap_err();
    assert!(error.to_string().contains("the credential of the command line is not for that host"), "{error}");
    assert!(error.hint().unwrap().contains("auth-realm"));
    for realm in ["http://token.invalid/t", "ftp://token.invalid", "", "https://u:p@token.invalid/"] {
        let served = Served::new(move |_, _| denied(format!("WWW-Authenticate: Bearer realm=\"{realm}\"\r\n")));
        let error = pull(&served, &served.login(CredentialStore::anonymous())).unwrap_err();
        assert!(matches!(&error, RegistryError::Auth(inner) if matches!(**inner, AuthError::Realm { .. })), "{error}");
    }
}

#[test]
fn a_server_that_repeats_secrets_is_not_quoted() {
    // spec: REG-30
    let echo = |asked: &Asked| {
        let sent = format!("{} {} hunter2", asked.authorization, asked.body).replace(['"', '\\'], "");
        (401, String::new(), format!(r#"{{"errors":[{{"code":"UNAUTHORIZED","message":"you sent {sent}"}}]}}"#))
    };
    let served = Served::new(move |authority, asked| match asked.line.as_str() {
        "GET /v2/" => denied(bearer(authority, "")),
        _ => echo(asked),
    });
    let identity = CredentialStore::given(CredentialKind::IdentityToken(Secret::new("hunter2")));
    for store in [password("me", "hunter2"), identity] {
        let error = ask(&served, &served.login(store), Scopes::push("app")).unwrap_err().to_string();
        assert!(error.contains("you sent"), "{error}");
        assert!(!error.contains("hunter2") && !error.contains("bWU6aHVudGVyMg"), "{error}");
    }
}

#[test]
fn a_way_that_we_do_not_know_is_named() {
    let served = Served::new(|_, _| denied("WWW-Authenticate: Negotiate, NTLM\r\n".to_owned()));
    let error = pull(&served, &served.login(CredentialStore::anonymous())).unwrap_err().to_string();
    assert!(error.contains("negotiate, ntlm"), "{error}");
    // A 401 without a challenge is an answer, not a puzzle.
    let served = Served::new(|_, _| denied(String::new()));
    let error = pull(&served, &served.login(password("me", "pw"))).unwrap_err();
    assert!(matches!(error, RegistryError::Denied { .. }), "{error}");
}

#[test]
fn servers_that_change_their_minds_come_to_an_end() {
    let count = AtomicUsize::new(0);
    let served = Served::new(move |authority, asked| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        match asked.line.starts_with("GET /token") {
            true => token("x"),
            false if number.is_multiple_of(2) => denied("WWW-Authenticate: Basic\r\n".to_owned()),
            false => denied(bearer(authority, &format!(",scope=\"repository:r{number}:pull\""))),
        }
    });
    assert!(pull(&served, &served.login(password("me", "pw"))).is_err());
    assert!(served.lines().len() < 20, "{:?}", served.lines());
}
