//! Faults of TLS.

use std::fs;

use ctr_tests::faults::tls::{self, Acceptor, Authority, Certificate, Valid};
use ctr_tests::faults::{Fixed, Registry, Response, Scene, Server, sample};
use ctr_tests::scratch::{Cmd, Root};

/// A server with this certificate, and a `certs.d` that makes ctr speak TLS to it.
fn scene(acceptor: Acceptor) -> Scene {
    let scene = Scene::of(Server::start_tls(Registry::with("demo", "1", sample().layout()), acceptor));
    fs::create_dir_all(entry(&scene.root, &scene.server.host())).unwrap();
    scene
}

/// The directory in `certs.d` for a host.
fn entry(root: &Root, host: &str) -> std::path::PathBuf {
    root.file("certs.d").join(host)
}

fn trust(scene: &Scene, authority: &str) {
    fs::write(entry(&scene.root, &scene.server.host()).join("ca.crt"), authority).unwrap();
}

/// Only what `certs.d` says is trusted: the host's own list is a file with another authority.
fn fetch(scene: &Scene) -> Cmd {
    let list = scene.root.write("host.pem", Authority::new().pem());
    scene.fetch().env("SSL_CERT_FILE", list).arg("--cert-dir").arg(scene.root.file("certs.d"))
}

fn acceptor(certificate: &Certificate) -> Acceptor {
    Acceptor::new(certificate)
}

const HERE: [&str; 1] = ["127.0.0.1"];

// FAULT 43: the certificate has expired, is not valid yet, is for another host, signed by itself or by an authority that nobody knows => refused before
//  anything is asked, with the reason and where the authority's certificate goes; --insecure-tls takes it
#[test]
fn case_43_bad_certificates() {
    let authority = Authority::new();
    let cases = [
        ("expired", authority.server(&HERE, Valid::Expired), true, "it has expired"),
        ("not yet", authority.server(&HERE, Valid::NotYet), true, "not valid yet"),
        ("wrong host", authority.server(&["registry.example.com"], Valid::Now), true, "for another host"),
        ("self-signed", tls::self_signed(&HERE), false, "nobody that this host trusts"),
        ("unknown authority", authority.server(&HERE, Valid::Now), false, "nobody that this host trusts"),
        ("client's", authority.client(), true, "certificate is refused"),
    ];
    for (what, certificate, trusted, message) in cases {
        let scene = scene(acceptor(&certificate));
        if trusted {
            trust(&scene, &authority.pem());
        }
        let done = fetch(&scene).run();
        assert_eq!(done.code, 1, "{what}: {done}");
        assert!(done.stderr.contains(message) && done.stderr.contains("certs.d"), "{what}: {done}");
        assert_eq!(scene.server.log(), Vec::<String>::new(), "{what}");
        assert!(scene.server.connections() <= 1, "{what}: this does not pass, and is not tried again");
        scene.assert_nothing();
        fetch(&scene).arg("--insecure-tls").ok();
        scene.assert_whole();
    }
}

// FAULT 43: the registry's own authority, by certs.d and by SSL_CERT_FILE => trusted
#[test]
fn case_43_private_authority() {
    // spec: REG-2
    let authority = Authority::new();
    let certificate = authority.server(&HERE, Valid::Now);
    let by_directory = scene(acceptor(&certificate));
    trust(&by_directory, &authority.pem());
    fetch(&by_directory).ok();
    by_directory.assert_whole();
    let by_list = scene(acceptor(&certificate));
    let list = by_list.root.write("list.pem", authority.pem());
    let certs = by_list.root.file("certs.d");
    by_list.fetch().env("SSL_CERT_FILE", list).arg("--cert-dir").arg(certs).ok();
    by_list.assert_whole();
    // What certs.d says of one host is not for another.
    let other = scene(acceptor(&certificate));
    fs::create_dir_all(entry(&other.root, "127.0.0.1:1")).unwrap();
    fs::write(entry(&other.root, "127.0.0.1:1").join("ca.crt"), authority.pem()).unwrap();
    fetch(&other).fails(1).says("nobody that this host trusts");
    // Files that are no certificates.
    for (content, message) in [("", "holds no PEM certificate"), ("-----BEGIN CERTIFICATE-----\n!\n", "ca.crt")] {
        trust(&other, content);
        fetch(&other).fails(1).says(message);
    }
}

// FAULT 43: the registry wants a certificate of us that we do not have, have from another authority, or with a wrong key => it fails and says so; with the
//  right one in certs.d it works
#[test]
fn case_43_client_certificates() {
    let authority = Authority::new();
    let start = || {
        let scene = scene(Acceptor::mutual(&authority.server(&HERE, Valid::Now), &authority));
        trust(&scene, &authority.pem());
        scene
    };
    let missing = start();
    fetch(&missing).fails(1).says("TLS failed");
    assert_eq!(missing.server.log(), Vec::<String>::new());
    let foreign = start();
    Authority::new().client().write(&entry(&foreign.root, &foreign.server.host()), "client");
    fetch(&foreign).fails(1).says("TLS failed");
    let mismatched = start();
    let directory = entry(&mismatched.root, &mismatched.server.host());
    authority.client().write(&directory, "client");
    fs::write(directory.join("client.key"), authority.client().key_pem).unwrap();
    let done = fetch(&mismatched).fails(1).says("client.cert");
    assert!(!done.stderr.contains("PRIVATE"), "{done}");
    fs::remove_file(directory.join("client.key")).unwrap();
    fetch(&mismatched).fails(1).says("client.key");
    let good = start();
    authority.client().write(&entry(&good.root, &good.server.host()), "client");
    fetch(&good).ok();
    good.assert_whole();
}

// FAULT 43: a server that knows TLS 1.0 only => refused
#[test]
fn case_43_tls_1_0() {
    let scene = Scene::new();
    let old = Server::start_raw(Fixed(Response::new(200)), tls::hello_of_tls_1_0());
    fs::create_dir_all(entry(&scene.root, &old.host())).unwrap();
    let cmd = scene.ctr("fetch").arg("--cert-dir").arg(scene.root.file("certs.d")).arg(old.name("demo:1"));
    cmd.clone().fails(1).says("TLS failed");
    cmd.arg("--insecure-tls").fails(1).says("TLS failed");
    scene.assert_nothing();
}

// FAULT 43: a plain HTTP server where TLS is expected => it fails and names --plain-http; nothing falls back to http by itself
#[test]
fn case_43_http_on_the_port_of_https() {
    // spec: REG-1
    let scene = Scene::new();
    fs::create_dir_all(entry(&scene.root, &scene.server.host())).unwrap();
    for more in [None, Some("--insecure-tls")] {
        let done = fetch(&scene).args(more).fails(1).says("--plain-http");
        assert_eq!(scene.server.log(), Vec::<String>::new(), "{done}");
        scene.assert_nothing();
    }
    fetch(&scene).arg("--plain-http").ok();
    scene.assert_whole();
    fetch(&scene).args(["--plain-http", "--insecure-tls"]).fails(2);
    // Only who is called insecure in registries.conf may be spoken to in both ways.
    let scene = Scene::new();
    fs::create_dir_all(entry(&scene.root, &scene.server.host())).unwrap();
    scene.configure(&format!("[[registry]]\nlocation = '{}'\ninsecure = true\n", scene.server.host()));
    fetch(&scene).ok();
    scene.assert_whole();
}

// FAULT 43: a TLS server where plain HTTP is spoken (loopback, --plain-http) => it fails and says that something else answers there
#[test]
fn case_43_tls_on_the_port_of_http() {
    let authority = Authority::new();
    let certificate = authority.server(&HERE, Valid::Now);
    let scene = Scene::of(Server::start_tls(Registry::new(), acceptor(&certificate)));
    let done = scene.fetch().fails(1);
    assert!(done.stderr.contains("cannot reach"), "{done}");
    scene.assert_nothing();
    // What a TLS server that is asked in plain says: an alert.
    let alert = Server::start_raw(Fixed(Response::new(200)), [0x15, 3, 1, 0, 2, 2, 0x46]);
    let done = scene.ctr("fetch").arg(alert.name("demo:1")).fails(1);
    assert!(done.stderr.contains("something else than a registry answers there"), "{done}");
}
