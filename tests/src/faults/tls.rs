//! Certificates of every kind, made anew for each test, and the server's half of TLS.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// A certification authority of the test's own.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key.
#[derive(Debug)]
pub struct Certificate {
    /// PEM, as `*.cert` of certs.d.
    pub pem: String,
    /// PEM, as `*.key` of certs.d.
    pub key_pem: String,
    der: CertificateDer<'static>,
    key_der: Vec<u8>,
}

/// When a certificate holds.
#[derive(Debug, Clone, Copy)]
pub enum Valid {
    /// From 2020 to 2100.
    Now,
    /// It ended in 2021.
    Expired,
    /// It begins in 2090.
    NotYet,
}

fn params(name: &str, hosts: &[&str], valid: Valid) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().copied().map(str::to_owned).collect();
    let mut params = CertificateParams::new(hosts).expect("names of hosts");
    params.distinguished_name.push(DnType::CommonName, name);
    let (from, to) = match valid {
        Valid::Now => (2020, 2100),
        Valid::Expired => (2020, 2021),
        Valid::NotYet => (2090, 2100),
    };
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
    params
}

fn certificate(made: &rcgen::Certificate, key: &KeyPair) -> Certificate {
    Certificate { pem: made.pem(), key_pem: key.serialize_pem(), der: made.der().clone(), key_der: key.serialize_der() }
}

impl Authority {
    /// A new one.
    #[allow(clippy::new_without_default, reason = "it makes keys")]
    pub fn new() -> Self {
        // Each has a name of its own: two of the same name are taken for each other, until the signature shows it.
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let name = format!("ctr-tests authority {}", MADE.fetch_add(1, Ordering::Relaxed));
        let mut params = params(&name, &[], Valid::Now);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().expect("a key");
        Self { issuer: CertifiedIssuer::self_signed(params, key).expect("an authority") }
    }

    /// Its certificate, as `ca.crt` of certs.d.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A server's certificate for these names and addresses.
    pub fn server(&self, hosts: &[&str], valid: Valid) -> Certificate {
        self.issue(ExtendedKeyUsagePurpose::ServerAuth, hosts, valid)
    }

    /// A client's certificate.
    pub fn client(&self) -> Certificate {
        self.issue(ExtendedKeyUsagePurpose::ClientAuth, &[], Valid::Now)
    }

    fn issue(&self, purpose: ExtendedKeyUsagePurpose, hosts: &[&str], valid: Valid) -> Certificate {
        let mut params = params("ctr-tests", hosts, valid);
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().expect("a key");
        certificate(&params.signed_by(&key, &self.issuer).expect("a certificate"), &key)
    }
}

/// A certificate for these hosts that nobody but itself vouches for.
pub fn self_signed(hosts: &[&str]) -> Certificate {
    let key = KeyPair::generate().expect("a key");
    certificate(&params("ctr-tests", hosts, Valid::Now).self_signed(&key).expect("a certificate"), &key)
}

impl Certificate {
    /// Writes it as `NAME.cert` and `NAME.key` into a directory, which is made.
    pub fn write(&self, dir: &Path, name: &str) {
        fs::create_dir_all(dir).expect("directory");
        fs::write(dir.join(format!("{name}.cert")), &self.pem).expect("certificate");
        fs::write(dir.join(format!("{name}.key")), &self.key_pem).expect("key");
    }

    /// DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The key: PKCS #8, DER.
    pub fn key_der(&self) -> &[u8] {
        &self.key_der
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key_der.clone()))
    }
}

/// The server's half of TLS.
#[derive(Debug, Clone)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
}

impl Acceptor {
    /// With this certificate, for everybody.
    pub fn new(certificate: &Certificate) -> Self {
        Self::of(ServerConfig::builder_with_provider(provider()), certificate, None)
    }

    /// Wants a certificate of this authority of the client.
    pub fn mutual(certificate: &Certificate, clients: &Authority) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(clients.issuer.der().clone()).expect("an authority");
        Self::of(ServerConfig::builder_with_provider(provider()), certificate, Some(roots))
    }

    fn of(
        builder: rustls::ConfigBuilder<ServerConfig, rustls::WantsVersions>,
        certificate: &Certificate,
        clients: Option<RootCertStore>,
    ) -> Self {
        let builder = builder.with_safe_default_protocol_versions().expect("versions");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(roots) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
                builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
            }
        };
        let config = builder.with_single_cert(vec![certificate.der.clone()], certificate.key());
        Self { config: Arc::new(config.expect("certificate and key")) }
    }

    pub(super) fn accept(&self, stream: TcpStream) -> std::io::Result<StreamOwned<ServerConnection, TcpStream>> {
        // A client that never says its hello must not keep the server for ever.
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let connection = ServerConnection::new(Arc::clone(&self.config)).map_err(std::io::Error::other)?;
        let mut wire = StreamOwned::new(connection, stream);
        while wire.conn.is_handshaking() {
            wire.conn.complete_io(&mut wire.sock)?;
        }
        Ok(wire)
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// What a server that knows nothing newer says first: a `ServerHello` of TLS 1.0 (RFC 2246 section 7.4.1.3).
pub fn hello_of_tls_1_0() -> Vec<u8> {
    let mut hello = vec![3, 1];
    hello.extend([7; 32]);
    hello.extend([0, 0x00, 0x2f, 0]);
    let mut handshake = vec![2, 0, 0, hello.len() as u8];
    handshake.extend(hello);
    let mut record = vec![0x16, 3, 1, 0, handshake.len() as u8];
    record.extend(handshake);
    record
}
