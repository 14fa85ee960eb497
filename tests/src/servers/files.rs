//! The file server of Python's standard library: it knows no media type and no ranges.

use std::path::Path;

use super::process::{Port, Process};

/// A running `python3 -m http.server`.
#[derive(Debug)]
pub struct FileServer {
    process: Process,
}

impl FileServer {
    /// Serves the directory `root`.
    pub fn start(root: &Path) -> Self {
        let dir = tempfile::Builder::new().prefix("ctr-files-").tempdir_in("/var/tmp").expect("directory");
        let port = Port::take();
        let mut args: Vec<_> = ["-m", "http.server", "--bind", "127.0.0.1", "--directory"].map(Into::into).into();
        args.push(root.into());
        args.push(port.number.to_string().into());
        Self { process: Process::start("python3", args, dir, port) }
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        self.process.host()
    }

    /// A line a request.
    pub fn log(&self) -> String {
        self.process.log()
    }
}
