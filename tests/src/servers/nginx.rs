//! nginx (Debian), in the foreground, as one process, with everything below a directory of its own.

use std::fs;
use std::path::{Path, PathBuf};

use super::process::{Port, Process};
use crate::faults::tls::Certificate;

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    scheme: &'static str,
}

impl Nginx {
    /// Serves the directory `root`; `server` goes into the `server` block (locations, types...).
    pub fn start(root: &Path, server: &str) -> Self {
        Self::run(root, server, None)
    }

    /// The same with TLS.
    pub fn start_tls(root: &Path, server: &str, certificate: &Certificate) -> Self {
        Self::run(root, server, Some(certificate))
    }

    /// With a configuration of the caller's making, which gets the port: what `http { }` holds.
    pub fn start_with(http: impl FnOnce(u16) -> String) -> Self {
        let (dir, port) = (Self::dir(), Port::take());
        let http = http(port.number);
        Self::launch(dir, port, &http, "http")
    }

    fn dir() -> tempfile::TempDir {
        tempfile::Builder::new().prefix("ctr-nginx-").tempdir_in("/var/tmp").expect("directory")
    }

    fn run(root: &Path, server: &str, certificate: Option<&Certificate>) -> Self {
        let (dir, port) = (Self::dir(), Port::take());
        let tls = certificate.map_or_else(String::new, |certificate| {
            certificate.write(dir.path(), "tls");
            format!("ssl_certificate {0}/tls.cert; ssl_certificate_key {0}/tls.key;", dir.path().display())
        });
        let listen = format!("listen 127.0.0.1:{}{};", port.number, if certificate.is_some() { " ssl" } else { "" });
        let http = format!("server {{ {listen} {tls} root {};\n{server}\n}}", root.display());
        Self::launch(dir, port, &http, if certificate.is_some() { "https" } else { "http" })
    }

    fn launch(dir: tempfile::TempDir, port: Port, http: &str, scheme: &'static str) -> Self {
        // One process, by the test's own user: it reads what the test wrote, and ends with one kill.
        let user = if nix::unistd::geteuid().is_root() { "user root;" } else { "" };
        let here = dir.path().display();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|kind| format!("{kind}_temp_path {here}/{kind};\n"))
            .collect();
        let config = format!(
            "{user} daemon off; master_process off; pid {here}/pid; error_log {here}/log info;\nevents {{}}\n\
             http {{ access_log {here}/access;\n{temporary}{http}\n}}\n"
        );
        let path = dir.path().join("nginx.conf");
        fs::write(&path, config).expect("configuration");
        let args =
            vec!["-p".into(), dir.path().into(), "-e".into(), dir.path().join("log").into(), "-c".into(), path.into()];
        Self { process: Process::start("nginx", args, dir, port), scheme }
    }

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

    /// A line a request: method, path, status, bytes.
    pub fn access(&self) -> String {
        fs::read_to_string(self.process.dir.path().join("access")).unwrap_or_default()
    }

    /// Its own directory.
    pub fn own_dir(&self) -> PathBuf {
        self.process.dir.path().to_owned()
    }
}
