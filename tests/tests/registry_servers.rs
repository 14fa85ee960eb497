//! The servers that the tests of registries stand on, seen by other clients: skopeo, curl.

use ctr_tests::faults::tls::{Acceptor, Authority, Valid};
use ctr_tests::faults::{Guard, On, Registry, Response, Server, Tokens, sample};
use ctr_tests::scratch::{Cmd, Root};
use ctr_tests::servers::{DockerRegistry, Login, Nginx, TokenServer};
use ctr_tests::{images, need, store_check};

/// Copies by skopeo with the bytes as they are.
fn copy(args: &[&str], from: &str, to: &str) {
    let args: Vec<&str> = ["--preserve-digests"].iter().chain(args).copied().collect();
    images::skopeo_copy(&args, from, to);
}

fn layout(dir: &std::path::Path) -> String {
    format!("oci:{}:latest", dir.display())
}

/// Asserts that what skopeo brought to `dir` is the sample.
#[track_caller]
fn assert_sample(dir: &std::path::Path) {
    let root = Root::new();
    assert_eq!(root.fetch(&layout(dir), "x"), sample().digest());
    assert_eq!(store_check::complaints(&root.store()), Vec::<String>::new());
}

#[test]
fn skopeo_pulls_from_and_pushes_to_the_fault_server() {
    need!("skopeo");
    let (image, root) = (sample(), Root::new());
    let server = Server::start(Registry::with("demo", "1", image.layout()));
    let name = format!("docker://{}", server.name("demo:1"));
    copy(&["--src-tls-verify=false"], &name, &layout(&root.file("out")));
    assert_sample(&root.file("out"));
    let target = format!("docker://{}", server.name("other/name:2"));
    copy(&["--dest-tls-verify=false"], &layout(image.layout()), &target);
    assert_eq!(server.site().tagged("other/name", "2").as_deref(), Some(image.digest()));
    assert_eq!(server.site().blob("other/name", image.big()), Some(image.blob(image.big())));
    server.assert_no_credentials();
}

#[test]
fn the_fault_server_wants_tokens_of_a_second_one() {
    need!("skopeo");
    let (image, root) = (sample(), Root::new());
    let tokens = Server::start(Tokens::of("bob", "secret"));
    let guard = Guard::Bearer { realm: tokens.url("/token"), book: tokens.site().book() };
    let server = Server::start(Registry::with("demo", "1", image.layout()).guarded(guard));
    let name = format!("docker://{}", server.name("demo:1"));
    copy(&["--src-tls-verify=false", "--src-creds=bob:secret"], &name, &layout(&root.file("out")));
    assert_sample(&root.file("out"));
    let asked = tokens.seen();
    assert_eq!(asked[0].request.query("scope").as_deref(), Some("repository:demo:pull"));
    assert_eq!(asked[0].request.basic(), Some(("bob".into(), "secret".into())));
    assert!(server.seen().iter().any(|seen| seen.request.bearer().is_some()));
}

#[test]
fn faults_are_as_they_are_told() {
    need!("curl");
    let (image, root) = (sample(), Root::new());
    let server = Server::start(Registry::with("demo", "1", image.layout()));
    let url = server.url(&format!("/v2/demo/blobs/{}", image.big()));
    let curl = || {
        let args = ["-sS", "--max-time", "2", "-o"];
        Cmd::new("curl").args(args).arg(root.file("body"))
    };
    let body = || std::fs::read(root.file("body")).unwrap();
    let whole = image.blob(image.big());

    server.on(On::get(image.big()).nth(1), |call| call.ordinary().cut(1000));
    assert_eq!(curl().arg(&url).run().code, 18, "curl: partial file");
    assert_eq!(body(), whole[..1000]);
    server.on(On::get(image.big()).nth(1), |call| call.ordinary().reset(1000));
    assert_eq!(curl().arg(&url).run().code, 56, "curl: connection reset");
    server.on(On::get(image.big()).nth(1), |call| call.ordinary().stall(1000));
    assert_eq!(curl().args(["--max-time", "0.3"]).arg(&url).run().code, 28, "curl: timeout");
    server.on(On::get(image.big()).nth(1), |call| call.ordinary().chunked().cut(1000));
    assert_eq!(curl().arg(&url).run().code, 18, "curl: partial file");
    server.on(On::get(image.big()).nth(1), |_| Response::new(503).header("Retry-After", "0").after_interim(102));
    assert_eq!(curl().args(["-f"]).arg(&url).run().code, 22, "curl: 503");
    // No rule is left: whole, in part, and beyond its end.
    curl().arg(&url).ok();
    assert_eq!(body(), whole);
    curl().args(["-r", "10-19"]).arg(&url).ok();
    assert_eq!(body(), whole[10..20]);
    let done = curl().args(["-w", "%{http_code}", "-r", "999999999-"]).arg(&url).ok();
    assert_eq!(done, "416");
    assert_eq!(server.seen_of("GET", image.big())[1].sent, 1000);
}

#[test]
fn the_fault_server_speaks_tls() {
    need!("curl");
    let (image, root) = (sample(), Root::new());
    let authority = Authority::new();
    let ca = root.write("ca.crt", authority.pem());
    let client = authority.client();
    client.write(&root.file("certs"), "client");
    let code = |server: &Server, args: &[&str]| {
        let done = Cmd::new("curl").args(["-sS", "--max-time", "5", "--cacert"]).arg(&ca).args(args.to_vec());
        done.arg(server.url("/v2/")).run().code
    };
    let start = |acceptor| Server::start_tls(Registry::with("demo", "1", image.layout()), acceptor);
    let good = authority.server(&["127.0.0.1"], Valid::Now);
    assert_eq!(code(&start(Acceptor::new(&good)), &[]), 0);
    for (hosts, valid) in
        [("127.0.0.1", Valid::Expired), ("127.0.0.1", Valid::NotYet), ("other.example.com", Valid::Now)]
    {
        assert_eq!(code(&start(Acceptor::new(&authority.server(&[hosts], valid))), &[]), 60, "{hosts} {valid:?}");
    }
    let mutual = start(Acceptor::mutual(&good, &authority));
    assert_ne!(code(&mutual, &[]), 0);
    let (cert, key) = (root.file("certs/client.cert"), root.file("certs/client.key"));
    assert_eq!(code(&mutual, &["--cert", cert.to_str().unwrap(), "--key", key.to_str().unwrap()]), 0);
}

#[test]
fn docker_registry_starts_in_every_way() {
    need!("docker-registry", "skopeo", "htpasswd");
    let (image, root) = (sample(), Root::new());
    let source = layout(image.layout());
    // Plain, and a pull-through cache of it.
    let plain = DockerRegistry::new().start();
    copy(&["--dest-tls-verify=false"], &source, &format!("docker://{}", plain.name("demo:1")));
    let cache = DockerRegistry::new().proxy_of(&plain.origin()).start();
    let name = format!("docker://{}", cache.name("demo:1"));
    copy(&["--src-tls-verify=false"], &name, &layout(&root.file("cached")));
    assert_sample(&root.file("cached"));
    // htpasswd, with TLS.
    let authority = Authority::new();
    let certificate = authority.server(&["127.0.0.1"], Valid::Now);
    let basic = DockerRegistry::new().tls(&certificate).login(Login::Basic("bob", "secret")).start();
    std::fs::create_dir(root.file("certs")).unwrap();
    std::fs::write(root.file("certs/ca.crt"), authority.pem()).unwrap();
    let certs = format!("--dest-cert-dir={}", root.file("certs").display());
    let target = format!("docker://{}", basic.name("demo:1"));
    copy(&[&certs, "--dest-creds=bob:secret"], &source, &target);
    // Tokens.
    let tokens = TokenServer::start("bob", "secret");
    let guarded = DockerRegistry::new().login(Login::Token(&tokens)).start();
    let name = format!("docker://{}", guarded.name("demo:1"));
    copy(&["--dest-tls-verify=false", "--dest-creds=bob:secret"], &source, &name);
    copy(&["--src-tls-verify=false"], &name, &layout(&root.file("by-token")));
    assert_sample(&root.file("by-token"));
    assert!(tokens.server().seen().len() >= 2);
}

#[test]
fn nginx_serves_a_directory() {
    need!("nginx", "curl");
    let root = Root::new();
    std::fs::create_dir(root.file("www")).unwrap();
    std::fs::write(root.file("www/a"), "text").unwrap();
    let nginx = Nginx::start(&root.file("www"), "location /secret { return 403; }");
    assert_eq!(Cmd::new("curl").args(["-sS", &format!("{}/a", nginx.origin())]).ok(), "text");
    let authority = Authority::new();
    let ca = root.write("ca.crt", authority.pem());
    let tls = Nginx::start_tls(&root.file("www"), "", &authority.server(&["127.0.0.1"], Valid::Now));
    let done = Cmd::new("curl").args(["-sS", "--cacert"]).arg(ca).arg(format!("{}/a", tls.origin())).ok();
    assert_eq!(done, "text");
    assert!(nginx.access().contains("GET /a"));
}
