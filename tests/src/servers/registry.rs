//! docker-registry (Debian), as its users configure it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::jwt::TokenServer;
use super::process::{Port, Process};
use crate::faults::tls::Certificate;
use crate::oci::filter;

/// Who may use a registry.
#[derive(Debug, Clone, Copy)]
pub enum Login<'a> {
    /// Who has this name and password (htpasswd).
    Basic(&'a str, &'a str),
    /// Who has a token of this server.
    Token(&'a TokenServer),
}

/// A registry that is to be started.
#[derive(Debug, Default)]
pub struct DockerRegistry<'a> {
    login: Option<Login<'a>>,
    tls: Option<&'a Certificate>,
    proxy: Option<String>,
    clients: Option<String>,
}

/// A registry that runs.
#[derive(Debug)]
pub struct RunningRegistry {
    process: Process,
    scheme: &'static str,
}

impl<'a> DockerRegistry<'a> {
    /// A plain one for everybody, with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this guard.
    pub fn login(mut self, login: Login<'a>) -> Self {
        self.login = Some(login);
        self
    }

    /// With TLS.
    pub fn tls(mut self, certificate: &'a Certificate) -> Self {
        self.tls = Some(certificate);
        self
    }

    /// With TLS that wants certificates of this authority (PEM) of its clients.
    pub fn clients(mut self, authority: &str) -> Self {
        self.clients = Some(authority.to_owned());
        self
    }

    /// A pull-through cache of the registry at this URL.
    pub fn proxy_of(mut self, origin: &str) -> Self {
        self.proxy = Some(origin.to_owned());
        self
    }

    /// Starts it.
    pub fn start(self) -> RunningRegistry {
        let dir = tempfile::Builder::new().prefix("ctr-registry-").tempdir_in("/var/tmp").expect("directory");
        let port = Port::take();
        let config = self.config(dir.path(), port.number);
        let path = dir.path().join("config.yml");
        fs::write(&path, config).expect("configuration");
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let process = Process::start("docker-registry", vec!["serve".into(), path.into()], dir, port);
        RunningRegistry { process, scheme }
    }

    fn config(&self, dir: &Path, port: u16) -> String {
        let write = |name: &str, text: &str| -> String {
            let path = dir.join(name);
            fs::write(&path, text).expect("write");
            path.display().to_string()
        };
        let data = dir.join("data").display().to_string();
        let mut config = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage:\n  filesystem: {{rootdirectory: {data}}}\n  delete: {{enabled: true}}\n\
             http:\n  addr: 127.0.0.1:{port}\n  secret: ctr-tests\n"
        );
        if let Some(tls) = self.tls {
            let (cert, key) = (write("tls.crt", &tls.pem), write("tls.key", &tls.key_pem));
            write!(config, "  tls:\n    certificate: {cert}\n    key: {key}\n").expect("to a string");
            if let Some(clients) = &self.clients {
                let path = write("clients.crt", clients);
                writeln!(config, "    clientcas: [{path}]").expect("to a string");
            }
        }
        match self.login {
            None => {}
            Some(Login::Basic(user, password)) => {
                let line = filter("htpasswd", &["-niB", "-C", "4", user], password.as_bytes());
                let path = write("htpasswd", &String::from_utf8_lossy(&line));
                write!(config, "auth:\n  htpasswd: {{realm: ctr-tests, path: {path}}}\n").expect("to a string");
            }
            Some(Login::Token(server)) => {
                let path = write("tokens.crt", &server.certificate());
                write!(
                    config,
                    "auth:\n  token: {{realm: \"{}\", service: ctr-tests, issuer: ctr-tests, rootcertbundle: {path}}}\n",
                    server.realm()
                )
                .expect("to a string");
            }
        }
        if let Some(origin) = &self.proxy {
            writeln!(config, "proxy: {{remoteurl: \"{origin}\"}}").expect("to a string");
        }
        config
    }
}

impl RunningRegistry {
    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        self.process.host()
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.process.port.number
    }

    /// `http://127.0.0.1:PORT`, or `https`.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.host())
    }

    /// An image of it as tools name it: `127.0.0.1:PORT/demo:1`.
    pub fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.host())
    }

    /// What it logged so far: a line a request, with method, path and status.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Where it keeps its files.
    pub fn data(&self) -> PathBuf {
        self.process.dir.path().join("data")
    }
}
