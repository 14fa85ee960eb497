//! `WWW-Authenticate`, as any server may write it.

use ctr_registry::auth::challenge::{MAX_CHALLENGES, parse};

use crate::Target;

/// Challenges are few, have a scheme that is a token in lower case, and reading is the same for one header or its copy.
pub(crate) const WWW_AUTHENTICATE: Target = Target {
    name: "www_authenticate",
    run,
    vectors: &[],
    data: None,
    seeds: &[
        br#"Bearer realm="https://auth.example.com/token",service="s",scope="repository:a:pull,push""#,
        br#"Basic realm="a, \"b\"", BEARER Realm=x error="insufficient_scope""#,
        b"Negotiate oYG2==, NTLM ,, Basic",
    ],
};

fn run(bytes: &[u8]) {
    let challenges = parse([bytes]);
    assert!(challenges.len() <= MAX_CHALLENGES);
    for challenge in &challenges {
        let scheme = challenge.scheme.bytes();
        assert!(
            !challenge.scheme.is_empty() && scheme.clone().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase())
        );
        assert!(challenge.get("realm").is_none_or(|realm| realm.len() <= bytes.len()));
    }
    let twice = parse([bytes, bytes]);
    assert_eq!(twice.get(..challenges.len()), Some(challenges.as_slice()));
}
