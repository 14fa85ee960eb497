//! Faults of redirects, challenges, tokens and credentials. Nobody but the registry, and the token server that belongs to
//! it, ever sees a credential.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ctr_tests::faults::tls::{Acceptor, Authority, Valid};
use ctr_tests::faults::{Fixed, Guard, On, Registry, Response, Scene, Server, Tokens, sample};
use ctr_tests::need;
use ctr_tests::scratch::{Cmd, Done};
use nix::sched::{CloneFlags, unshare};
use serde_json::json;

const PASSWORD: &str = "s3cret-Passw0rd";
const CUT: usize = 100_001;

/// A registry that wants the user `bob` by Basic.
fn basic() -> Scene {
    let registry = Registry::with("demo", "1", sample().layout());
    Scene::of(Server::start(registry.guarded(Guard::Basic("bob".into(), PASSWORD.into()))))
}

/// A registry that wants tokens of this server.
fn bearer(tokens: &Server<Tokens>) -> Scene {
    let guard = Guard::Bearer { realm: tokens.url("/token"), book: tokens.site().book() };
    Scene::of(Server::start(Registry::with("demo", "1", sample().layout()).guarded(guard)))
}

/// A file with a credential of `bob` for the registry of the scene.
fn authfile(scene: &Scene, password: &str) -> PathBuf {
    let auth = STANDARD.encode(format!("bob:{password}"));
    let text = json!({"auths": {scene.server.host(): {"auth": auth}}}).to_string();
    scene.root.write("auth.json", text)
}

/// `ctr-fetch demo:1` with the right password at hand.
fn fetch(scene: &Scene) -> Cmd {
    scene.fetch().arg("--authfile").arg(authfile(scene, PASSWORD))
}

/// What is said, whatever it is, holds no secret.
#[track_caller]
fn assert_discreet(done: &Done) {
    let encoded = STANDARD.encode(format!("bob:{PASSWORD}"));
    for secret in [PASSWORD, &encoded, "token-", "Passw0rd"] {
        assert!(!done.stderr.contains(secret) && !done.stdout.contains(secret), "{done}");
    }
    assert!(!done.stderr.contains("panicked"), "{done}");
}

// FAULT 26: a layer is redirected to another port, scheme or host => followed without Authorization, also when it goes on by Range
#[test]
fn case_26_redirect_to_another_host() {
    // spec: REG-3
    for status in [301, 302, 303, 307, 308] {
        let scene = basic();
        let elsewhere = Server::start(Registry::with("demo", "1", sample().layout()));
        elsewhere.on(On::get(scene.image.big()).first(1), |call| call.ordinary().cut(CUT));
        let target = elsewhere.url(&format!("/v2/demo/blobs/{}?X-Signature=abc", scene.image.big()));
        scene.server.on(On::get(scene.image.big()).with("authorization"), move |_| {
            Response::new(status).header("Location", &target)
        });
        assert_discreet(&{
            let done = fetch(&scene).run();
            assert_eq!(done.code, 0, "{status}: {done}");
            done
        });
        scene.assert_whole();
        elsewhere.assert_no_credentials();
        let seen = elsewhere.seen_of("GET", scene.image.big());
        let ranges: Vec<_> = seen.iter().map(|seen| seen.request.header("range").is_some()).collect();
        assert_eq!(ranges, [false, true]);
    }
}

// FAULT 26: redirects from https to http, in a circle, without an address, to no address at all => not followed; each is told
#[test]
fn case_26_redirects_that_are_not_followed() {
    let plain = Server::start(Registry::with("demo", "1", sample().layout()));
    for (location, message) in [
        (Some("/v2/demo/manifests/1"), "too many"),
        (None, "without Location"),
        (Some(""), "redirect"),
        (Some("http://"), "not valid"),
        (Some("file:///etc/passwd"), "not valid"),
        (Some("ftp://127.0.0.1/x"), "not valid"),
        (Some("http://bob:s3cret-Passw0rd@127.0.0.1:1/x"), "not valid"),
        (Some("http://[::1/x"), "not valid"),
        (Some("http://127.0.0.1:99999/x"), "not valid"),
        (Some("gopher:\u{7f}"), "not"),
    ] {
        let scene = basic();
        scene.server.on(On::get("/manifests/1").with("authorization"), move |_| {
            let answer = Response::new(307);
            match location {
                Some(location) => answer.header("Location", location),
                None => answer,
            }
        });
        let done = fetch(&scene).fails(1);
        assert!(done.stderr.contains(message) || location == Some(""), "{location:?}: {done}");
        assert_discreet(&done);
        assert!(scene.server.log().len() < 20);
        scene.assert_nothing();
    }
    let authority = Authority::new();
    let acceptor = Acceptor::new(&authority.server(&["127.0.0.1"], Valid::Now));
    let scene = Scene::of(Server::start_tls(Registry::with("demo", "1", sample().layout()), acceptor));
    let directory = scene.root.file("certs.d").join(scene.server.host());
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("ca.crt"), authority.pem()).unwrap();
    let target = plain.url("/v2/demo/manifests/1");
    scene.server.on(On::get("/manifests/1"), move |_| Response::new(307).header("Location", &target));
    fetch(&scene).arg("--cert-dir").arg(scene.root.file("certs.d")).fails(1).says("leaves TLS");
    assert_eq!(plain.log(), Vec::<String>::new());
}

/// The test goes on in a network of its own, where this machine has a second address that is not loopback.
fn second_address() -> &'static str {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    Cmd::new("ip").args(["link", "set", "lo", "up"]).ok();
    Cmd::new("ip").args(["address", "add", "192.0.2.1/32", "dev", "lo"]).ok();
    "192.0.2.1"
}

// FAULT 27: the registry sends us for a token to another host, with and without TLS => the password is not sent there; without TLS nothing is asked
#[test]
fn case_27_realm_on_another_host() {
    need!(root, "ip");
    let other = second_address();
    // Without TLS.
    let thief = Server::start_at(Tokens::anonymous(), &format!("{other}:0"));
    let challenge = format!("Bearer realm=\"{}\",service=\"x\",scope=\"repository:demo:pull\"", thief.url("/token"));
    let scene = Scene::new();
    scene.server.on(On::any("/v2/"), move |_| Response::new(401).header("WWW-Authenticate", &challenge));
    let done = fetch(&scene).fails(1).says("another host, without TLS");
    assert_discreet(&done);
    assert_eq!(thief.log(), Vec::<String>::new());
    // The same for who has no password.
    scene.fetch().fails(1).says("another host, without TLS");
    assert_eq!(thief.log(), Vec::<String>::new());
    scene.server.assert_no_credentials();
}

// FAULT 27: the registry speaks TLS, its realm does not => nothing is asked there
#[test]
fn case_27_realm_without_tls() {
    let tokens = Server::start(Tokens::anonymous());
    let authority = Authority::new();
    let acceptor = Acceptor::new(&authority.server(&["127.0.0.1"], Valid::Now));
    let guard = Guard::Bearer { realm: tokens.url("/token"), book: tokens.site().book() };
    let registry = Registry::with("demo", "1", sample().layout()).guarded(guard);
    let scene = Scene::of(Server::start_tls(registry, acceptor));
    let directory = scene.root.file("certs.d").join(scene.server.host());
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("ca.crt"), authority.pem()).unwrap();
    let done = fetch(&scene).arg("--cert-dir").arg(scene.root.file("certs.d")).fails(1).says("leaves TLS");
    assert_discreet(&done);
    assert_eq!(tokens.log(), Vec::<String>::new());
}

// FAULT 28: several challenges in one header and in several, quoted commas and quotes, other cases and spaces, junk before them => understood; what cannot be is
//  told, not guessed
#[test]
fn case_28_challenges() {
    let forms: [&[&str]; 6] = [
        &["BEARER REALM=\"{realm}\" , Service=\"a, b=\\\"c\\\"\",scope=\"repository:demo:pull\""],
        &["Basic realm=\"x, y\", Bearer realm=\"{realm}\",service=x"],
        &["Negotiate", "Digest realm=\"x\", nonce=\"1\"", "bearer realm=\"{realm}\""],
        &["Bearer realm={realm}"],
        &[",, Bearer   realm=\"{realm}\",,"],
        &["Unknown abc==, Bearer realm=\"{realm}\", scope=\"repository:demo:pull,push repository:x:pull\""],
    ];
    for form in forms {
        let tokens = Server::start(Tokens::anonymous());
        let scene = bearer(&tokens);
        let lines: Vec<String> = form.iter().map(|line| line.replace("{realm}", &tokens.url("/token"))).collect();
        let shown = lines.clone();
        scene.server.on(On::any("/v2/").without("authorization"), move |_| {
            lines.iter().fold(Response::new(401), |answer, line| answer.header("WWW-Authenticate", line))
        });
        let done = scene.fetch().run();
        // A URL without quotes is no token of RFC 9110; it may be taken or not.
        if !shown[0].starts_with("Bearer realm=h") {
            assert_eq!(done.code, 0, "{shown:?}: {done}");
            scene.assert_whole();
        }
        assert_discreet(&done);
    }
    for bad in [
        "",
        "Bearer",
        "Bearer realm",
        "Bearer realm=\"",
        "Bearer realm=\"/token\"",
        "Negotiate",
        "\u{fffd}",
        "Bearer realm=\"file:///etc/passwd\"",
    ] {
        let scene = Scene::new();
        scene.server.on(On::any("/v2/"), move |_| Response::new(401).header("WWW-Authenticate", bad));
        let done = scene.fetch().run();
        assert_eq!(done.code, 1, "{bad:?}: {done}");
        assert_discreet(&done);
    }
    let scene = Scene::new();
    let huge = format!("Bearer realm=\"x\"{}", ",a=\"b\"".repeat(8000));
    scene.server.on(On::any("/v2/"), move |_| Response::new(401).header("WWW-Authenticate", &huge));
    scene.fetch().fails(1);
}

// FAULT 29: a token that ends while layers come: the next request is refused with 401 => a new one is asked for once, and it goes on where it was
#[test]
fn case_29_token_that_ends() {
    let tokens = Server::start(Tokens::of("bob", PASSWORD));
    let scene = bearer(&tokens);
    let book = tokens.site().book();
    scene.server.on(On::get(scene.image.big()).with("authorization").first(1), move |call| {
        let answer = call.ordinary().cut(CUT);
        book.expire();
        answer
    });
    let done = fetch(&scene).run();
    assert_eq!(done.code, 0, "{done}");
    scene.assert_whole();
    assert!(scene.ranges().ends_with(&[Some(CUT as u64)]), "{:?}", scene.ranges());
    assert!((2..=3).contains(&tokens.log().len()), "{:?}", tokens.log());
    assert_discreet(&done);
}

// FAULT 29: tokens without expires_in, with 5 seconds, negative, as text, from the year 2999 => used; one token does for all requests
#[test]
fn case_29_life_of_tokens() {
    for life in [
        "",
        ",\"expires_in\":5",
        ",\"expires_in\":-1",
        ",\"expires_in\":\"x\"",
        ",\"expires_in\":1e300",
        ",\"issued_at\":\"2999-01-01T00:00:00Z\"",
        ",\"issued_at\":\"junk\"",
    ] {
        let tokens = Server::start(Tokens::anonymous());
        let scene = bearer(&tokens);
        let book = tokens.site().book();
        tokens.on(On::get("/token"), move |_| {
            book.accept("abc", &["repository:demo:pull".to_owned()]);
            Response::new(200).body(format!("{{\"token\":\"abc\"{life}}}"))
        });
        let done = scene.fetch().run();
        assert_eq!(done.code, 0, "{life}: {done}");
        assert_eq!(tokens.log().len(), 1, "{life}");
    }
}

// FAULT 30: the token server answers 200 without a token, with one that has a line break, with junk, without an end, with 500 or not at all => it fails with the
//  reason; the token is shown nowhere and sent nowhere
#[test]
fn case_30_bad_tokens() {
    type Fault = fn() -> Response;
    let faults: [(&str, Fault, &str); 8] = [
        ("none", || Response::new(200).body("{}"), "holds no token"),
        ("empty", || Response::new(200).body("{\"token\":\"\"}"), "holds no token"),
        (
            "line break",
            || Response::new(200).body("{\"token\":\"token-a\\r\\nX-Evil: 1\"}"),
            "characters that no token has",
        ),
        ("control", || Response::new(200).body("{\"token\":\"token-\\u0000\"}"), "characters that no token has"),
        ("HTML", || Response::new(200).body("<html>token-1</html>"), "not JSON"),
        ("long", || Response::new(200).body(format!("{{\"token\":\"token-{}\"}}", "x".repeat(100_000))), "too long"),
        ("endless", || Response::new(200).body("{\"token\":\"token-").endless(), "1048576 bytes"),
        ("500", || Response::new(500).body("token-1"), "500"),
    ];
    for (what, fault, message) in faults {
        let tokens = Server::start(Tokens::anonymous());
        let scene = bearer(&tokens);
        tokens.on(On::get("/token"), move |_| fault());
        let done = scene.fetch().fails(1);
        assert!(done.stderr.contains(message), "{what}: no {message:?} in {done}");
        assert_discreet(&done);
        scene.server.assert_no_credentials();
        scene.assert_nothing();
        assert!(tokens.sent("/token") < 32 << 20);
    }
}

// FAULT 31: the scope of the token is too small (insufficient_scope), 403 in place of 401, a wrong password for a public image => asked once for a wider token; the
//  refusal names the file of the credential; a public image comes without it, and that is told
#[test]
fn case_31_refused() {
    let tokens = Server::start(Tokens::anonymous());
    let scene = bearer(&tokens);
    let book = tokens.site().book();
    tokens.on(On::get("/token").first(1), move |_| {
        book.accept("small", &["repository:other:pull".to_owned()]);
        Response::new(200).body("{\"token\":\"small\"}")
    });
    let done = scene.fetch().run();
    assert_eq!(done.code, 0, "{done}");
    scene.assert_whole();
    // A wrong password, and no other way in.
    for status in [401, 403] {
        let scene = basic();
        scene.server.on(On::any("/v2/").with("authorization"), move |_| {
            Response::new(status).header("WWW-Authenticate", "Basic realm=\"x\"")
        });
        let file = authfile(&scene, PASSWORD);
        let done = scene.fetch().arg("--authfile").arg(&file).fails(1);
        assert!(
            done.stderr.contains("refuses access to demo") && done.stderr.contains(file.to_str().unwrap()),
            "{status}: {done}"
        );
        assert!(scene.server.log().len() < 12, "{:?}", scene.server.log());
        assert_discreet(&done);
        scene.assert_nothing();
    }
    // Without one.
    let scene = basic();
    let done = scene.fetch().fails(1).says("refuses access to demo").says("ctr-login");
    assert_discreet(&done);
    // A wrong password for what everybody may read.
    let scene = Scene::new();
    scene.server.on(On::any("/v2/").with("authorization"), |_| {
        Response::new(401).header("WWW-Authenticate", "Basic realm=\"x\"")
    });
    let done = fetch(&scene).run();
    assert_eq!(done.code, 0, "{done}");
    scene.assert_whole();
    assert_discreet(&done);
}

// FAULT 32: the program with the credential hangs, prints junk, prints without an end, ends with 1, is not there, has a path for a name => it fails, names program and
//  file, shows nothing of what it printed
#[test]
fn case_32_credential_programs() {
    let cases: [(&str, Option<&str>, &str); 6] = [
        ("hang", Some("sleep 600"), "docker-credential-test"),
        ("junk", Some("echo s3cret-Passw0rd"), "docker-credential-test"),
        ("flood", Some("yes s3cret-Passw0rd"), "docker-credential-test"),
        (
            "fails",
            Some("echo '{\"Username\":\"bob\",\"Secret\":\"s3cret-Passw0rd\"}'; echo no >&2; exit 1"),
            "docker-credential-test",
        ),
        ("not there", None, "docker-credential-test"),
        ("not executable", Some(""), "docker-credential-test"),
    ];
    for (what, script, message) in cases {
        let scene = basic();
        let bin = scene.root.file("bin");
        fs::create_dir(&bin).unwrap();
        if let Some(script) = script {
            let path = bin.join("docker-credential-test");
            fs::write(&path, format!("#!/bin/sh\ncat >/dev/null\n{script}\n")).unwrap();
            let mode = if script.is_empty() { 0o644 } else { 0o755 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let text = json!({"credHelpers": {scene.server.host(): "test"}}).to_string();
        let file = scene.root.write("auth.json", text);
        let path = format!("{}:/usr/bin:/bin", bin.display());
        let cmd = scene.fetch().arg("--authfile").arg(&file).env("PATH", path).env("CTR_CREDENTIAL_TIMEOUT", "300ms");
        let done = cmd.run();
        assert_eq!(done.code, 1, "{what}: {done}");
        assert!(done.stderr.contains(message) && done.stderr.contains("auth.json"), "{what}: {done}");
        assert_discreet(&done);
        scene.server.assert_no_credentials();
    }
    for name in ["../../bin/sh", "a b", "-x", ""] {
        let scene = basic();
        let text = json!({"credHelpers": {scene.server.host(): name}}).to_string();
        let file = scene.root.write("auth.json", text);
        let done = scene.fetch().arg("--authfile").arg(&file).run();
        assert_eq!(done.code, 1, "{name:?}: {done}");
    }
}

// FAULT 33: secrets in addresses: signed queries of redirects that then fail, user and password in a name => in no message
#[test]
fn case_33_secrets_in_addresses() {
    // spec: REG-9
    for target in ["/dead?X-Amz-Signature=s3cret-Passw0rd&X-Amz-Credential=Passw0rd", "/gone?sig=s3cret-Passw0rd"] {
        let scene = basic();
        let elsewhere = Server::start(Fixed(Response::new(403).body("<Error>no</Error>")));
        elsewhere.on(On::get("/dead"), |call| call.ordinary().reset_before());
        let target = elsewhere.url(target);
        scene.server.on(On::get(scene.image.big()).with("authorization"), move |_| {
            Response::new(307).header("Location", &target)
        });
        let done = fetch(&scene).fails(1);
        assert_discreet(&done);
        elsewhere.assert_no_credentials();
        assert!(!done.stderr.contains("X-Amz-Signature=s"), "{done}");
    }
    let scene = Scene::new();
    let name = scene.server.name("demo:1");
    for name in [format!("bob:{PASSWORD}@{name}"), format!("http://bob:{PASSWORD}@{name}")] {
        let done = scene.ctr("fetch").arg(&name).run();
        assert_ne!(done.code, 0, "{done}");
        assert_eq!(scene.server.log(), Vec::<String>::new());
    }
    // A file with credentials that is no JSON.
    let file = scene.root.write("auth.json", format!("{{\"auths\": {{\"x\": {{\"auth\": \"{PASSWORD}\" \"\n"));
    let done = scene.fetch().arg("--authfile").arg(file).fails(1).says("auth.json");
    assert_discreet(&done);
}

// FAULT 34: proxies by environment, with a password, that refuse or do not answer; NO_PROXY => the proxy gets its own password only, no message shows it; loopback
//  needs none
#[test]
fn case_34_proxies() {
    need!(root, "ip");
    let other = second_address();
    let registry = || {
        let registry = Registry::with("demo", "1", sample().layout());
        Server::start_at(registry.guarded(Guard::Basic("bob".into(), PASSWORD.into())), &format!("{other}:0"))
    };
    let proxy = Server::start(Fixed(Response::new(407).header("Proxy-Authenticate", "Basic realm=\"p\"")));
    let with_password = format!("http://user:s3cret-Passw0rd@{}", proxy.host());
    let scene = Scene::of(registry());
    let proxied = |scene: &Scene| {
        let cmd = fetch(scene).arg("--plain-http");
        ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].into_iter().fold(cmd, |cmd, name| cmd.env(name, &with_password))
    };
    let done = proxied(&scene).fails(1);
    assert_discreet(&done);
    assert_eq!(scene.server.log(), Vec::<String>::new());
    assert!(!proxy.log().is_empty());
    for seen in proxy.seen() {
        assert_eq!(seen.request.header("authorization"), None, "{:?}", seen.request);
    }
    let asked = proxy.log().len();
    let scene = Scene::of(registry());
    let done = proxied(&scene).env("NO_PROXY", other).run();
    assert_eq!(done.code, 0, "{done}");
    scene.assert_whole();
    assert_eq!(proxy.log().len(), asked);
    // Loopback is not asked for by way of a proxy.
    let scene = basic();
    proxied(&scene).ok();
    assert_eq!(proxy.log().len(), asked);
}
