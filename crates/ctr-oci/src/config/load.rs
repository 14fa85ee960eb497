//! Reading a `config.json` or a process document.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{Config, Process};

/// The largest document that is read, in bytes.
const DOCUMENT_MAX: usize = 16 << 20;

/// Why a document could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// It.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no such document.
    #[error("{} is not what runtime-spec wants: {at}{reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The property, with `: `; empty where the document is no JSON.
        at: String,
        /// What is wrong.
        reason: String,
    },
}

/// Reads the `config.json` at `path`.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    parse(path, &read(path)?)
}

/// Reads a process document (`exec --process`).
pub fn load_process(path: &Path) -> Result<Process, ConfigError> {
    parse(path, &read(path)?)
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let error = |source| ConfigError::Read { path: path.to_owned(), source };
    let too_large = || std::io::Error::new(ErrorKind::FileTooLarge, format!("it has more than {DOCUMENT_MAX} bytes"));
    ctr_sys::small::read_regular(path, DOCUMENT_MAX).map_err(error)?.ok_or_else(|| error(too_large()))
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, ConfigError> {
    // Serde takes a list for the members of a struct in their order.
    if bytes.trim_ascii_start().first().is_some_and(|byte| *byte != b'{') {
        let reason = "it is no JSON object".to_owned();
        return Err(ConfigError::Invalid { path: path.to_owned(), at: String::new(), reason });
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let at = error.path().to_string();
        let at = if at == "." { String::new() } else { format!("{at}: ") };
        ConfigError::Invalid { path: path.to_owned(), at, reason: error.into_inner().to_string() }
    })?;
    reader.end().map_err(|error| ConfigError::Invalid {
        path: path.to_owned(),
        at: String::new(),
        reason: error.to_string(),
    })?;
    Ok(parsed)
}
