//! Certificates: what the host trusts, and what `certs.d` says about one registry (containers-certs.d(5)).
//!
//! ```text
//! certs.d/HOST[:PORT]/*.crt           authorities that may sign this registry's certificate
//! certs.d/HOST[:PORT]/NAME.cert .key  the certificate that we show to it, and its key
//! ```

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::error::RegistryError;
use crate::url::Origin;

/// Most bytes of a file with certificates.
const MAX_CERTIFICATE_FILE: u64 = 4 << 20;

/// Where certificates are looked for.
#[derive(Debug)]
pub(crate) struct Certificates {
    /// Directories with one directory per registry, the first that has one counts.
    dirs: Vec<PathBuf>,
    /// The host's own authorities, read when the first one is needed.
    host: OnceLock<Vec<Certificate<'static>>>,
    provider: Arc<CryptoProvider>,
}

impl Certificates {
    /// `dirs` before those of the user and of the system.
    pub(crate) fn new(dirs: &[PathBuf], home: Option<&Path>) -> Self {
        let user = home.map(|home| home.join(".config/containers/certs.d"));
        let system = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
        let dirs = dirs.iter().cloned().chain(user).chain(system).collect();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Self { dirs, host: OnceLock::new(), provider }
    }

    /// The directory for a registry, if there is one.
    pub(crate) fn directory(&self, origin: &Origin) -> Option<PathBuf> {
        let names = [format!("{}:{}", origin.host, origin.port), origin.host.clone()];
        // The scheme's own port need not be written.
        let names = names.iter().take(if origin.authority() == origin.host { 2 } else { 1 });
        let names: Vec<&String> = names.collect();
        self.dirs.iter().flat_map(|dir| names.iter().map(|name| dir.join(name.as_str()))).find(|dir| dir.is_dir())
    }

    /// How a connection to `origin` is secured; with `insecure` anybody is believed.
    pub(crate) fn config(&self, origin: &Origin, insecure: bool) -> Result<TlsConfig, RegistryError> {
        let found = self.directory(origin).map(|dir| Found::read(&dir)).transpose()?.unwrap_or_default();
        if let Some(pair) = &found.client {
            self.check_pair(pair)?;
        }
        let host = self.host.get_or_init(host_authorities);
        let roots = if host.is_empty() && found.authorities.is_empty() {
            // A host without any list of authorities: what browsers trust.
            RootCerts::WebPki
        } else {
            let all: Vec<_> = host.iter().cloned().chain(found.authorities).collect();
            RootCerts::Specific(Arc::new(all))
        };
        let client = found.client.map(|pair| ClientCert::new_with_certs(&pair.chain, pair.key));
        let config = TlsConfig::builder().root_certs(roots).client_cert(client).disable_verification(insecure);
        Ok(config.unversioned_rustls_crypto_provider(Arc::clone(&self.provider)).build())
    }

    /// ureq takes for granted that key and certificate belong together; here it is an error with a name.
    fn check_pair(&self, pair: &Pair) -> Result<(), RegistryError> {
        let failed = |why: String| RegistryError::Certificate { path: pair.path.clone(), why };
        let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&self.provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(|error| failed(error.to_string()))?;
        let chain = pair.chain.iter().map(|c| rustls::pki_types::CertificateDer::from(c.der().to_vec())).collect();
        let key = rustls::pki_types::PrivateKeyDer::try_from(pair.key.der().to_vec());
        let key = key.map_err(|why| failed(why.to_owned()))?;
        let built = builder.with_root_certificates(rustls::RootCertStore::empty()).with_client_auth_cert(chain, key);
        built.map(drop).map_err(|error| failed(error.to_string()))
    }
}

/// `SSL_CERT_FILE`, `SSL_CERT_DIR`, else the lists that distributions have.
fn host_authorities() -> Vec<Certificate<'static>> {
    let found = rustls_native_certs::load_native_certs();
    found.certs.iter().map(|certificate| Certificate::from_der(certificate.as_ref()).to_owned()).collect()
}

/// What a directory of `certs.d` holds.
#[derive(Default)]
struct Found {
    authorities: Vec<Certificate<'static>>,
    client: Option<Pair>,
}

/// A certificate of ours with its key.
struct Pair {
    path: PathBuf,
    chain: Vec<Certificate<'static>>,
    key: PrivateKey<'static>,
}

impl Found {
    fn read(dir: &Path) -> Result<Self, RegistryError> {
        let failed =
            |error: std::io::Error| RegistryError::Certificate { path: dir.to_owned(), why: error.to_string() };
        let mut paths = Vec::new();
        for entry in fs::read_dir(dir).map_err(failed)? {
            paths.push(entry.map_err(failed)?.path());
        }
        paths.sort();
        let mut found = Self::default();
        for path in paths {
            match path.extension().and_then(OsStr::to_str) {
                Some("crt") => found.authorities.extend(certificates(&path)?),
                Some("cert") => {
                    let key_path = path.with_extension("key");
                    let key = private_key(&key_path)?;
                    found.client.get_or_insert(Pair { chain: certificates(&path)?, key, path });
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, RegistryError> {
    let failed = |why: String| RegistryError::Certificate { path: path.to_owned(), why };
    let size = fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => failed("it is not there; a .cert needs its .key".to_owned()),
        _ => failed(error.to_string()),
    })?;
    if size.len() > MAX_CERTIFICATE_FILE {
        return Err(failed(format!("it has more than {MAX_CERTIFICATE_FILE} bytes")));
    }
    fs::read(path).map_err(|error| failed(error.to_string()))
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, RegistryError> {
    let failed = |why: &str| RegistryError::Certificate { path: path.to_owned(), why: why.to_owned() };
    let mut all = Vec::new();
    for item in parse_pem(&read(path)?) {
        match item {
            Ok(PemItem::Certificate(certificate)) => all.push(certificate),
            Ok(_) => {}
            Err(_) => return Err(failed("it is not PEM")),
        }
    }
    if all.is_empty() { Err(failed("it holds no PEM certificate")) } else { Ok(all) }
}

fn private_key(path: &Path) -> Result<PrivateKey<'static>, RegistryError> {
    let failed = |why: &str| RegistryError::Certificate { path: path.to_owned(), why: why.to_owned() };
    let items = parse_pem(&read(path)?).collect::<Vec<_>>();
    let key = items.into_iter().find_map(|item| match item {
        Ok(PemItem::PrivateKey(key)) => Some(key),
        _ => None,
    });
    key.ok_or_else(|| failed("it holds no PEM private key"))
}
