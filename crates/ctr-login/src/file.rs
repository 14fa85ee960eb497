//! Changing a file with credentials: what it held besides stays, and readers see the old file or the new one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ctr_cli::{Context as _, Failure};
use ctr_registry::auth::{DOCKER_SERVER, MAX_AUTH_FILE, Secret, is_same_registry, place};
use serde_json::{Map, Value};

use crate::target::Target;

/// A file that is being changed. Others who change it wait.
#[derive(Debug)]
pub(crate) struct AuthFile {
    path: PathBuf,
    document: Map<String, Value>,
    /// The directory, locked.
    _lock: std::os::fd::OwnedFd,
}

impl AuthFile {
    /// Reads the file; one that is not there is empty, and its directory is made.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        // A link to the file stays a link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let parent = parent(&path);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(parent);
        made.context(|| format!("cannot create {}", parent.display()))
            .map_err(|failure| failure.hint("name another file with --authfile or REGISTRY_AUTH_FILE"))?;
        let lock = ctr_sys::durable::open_dir(parent)?;
        // A filesystem without locks: the last writer wins, as with other tools.
        let _ = ctr_sys::lock::exclusive(lock.as_fd());
        let document = read(&path)?;
        Ok(Self { path, document, _lock: lock })
    }

    /// The program that keeps the credential of a registry in place of this file.
    pub(crate) fn program(&self, registry: &str) -> Option<&str> {
        let own = self.document.get("credHelpers").and_then(Value::as_object);
        let own = own.and_then(|programs| {
            let found = programs.iter().find(|(key, _)| is_same_registry(key, registry));
            found.and_then(|(_, name)| name.as_str())
        });
        let name = own.or_else(|| self.document.get("credsStore").and_then(Value::as_str));
        name.filter(|name| !name.is_empty())
    }

    /// Sets the credential of a registry or namespace, in place of every entry that means the same.
    pub(crate) fn set(&mut self, target: &Target, user: &str, password: &Secret) -> Result<(), Failure> {
        let path = self.path.clone();
        let keys = self.keys(target)?;
        let auths = self.auths()?;
        // Docker looks for its registry under another name than Podman does.
        let is_dockers = path.file_name().is_some_and(|name| name == "config.json");
        let key = match keys.first() {
            Some(key) => key.clone(),
            None if is_dockers && target.key() == "docker.io" => DOCKER_SERVER.to_owned(),
            None => target.key(),
        };
        for key in &keys {
            auths.remove(key);
        }
        let plain = Secret::new(format!("{user}:{}", password.expose()));
        auths.insert(key, serde_json::json!({"auth": STANDARD.encode(plain.expose())}));
        Ok(())
    }

    /// Takes the credential of a registry or namespace away; says which entries went.
    pub(crate) fn remove(&mut self, target: &Target) -> Result<Vec<String>, Failure> {
        let keys = self.keys(target)?;
        let auths = self.auths()?;
        for key in &keys {
            auths.remove(key);
        }
        Ok(keys)
    }

    /// The entries that mean the target.
    fn keys(&mut self, target: &Target) -> Result<Vec<String>, Failure> {
        let own = target.key();
        let means =
            |key: &&String| **key == own || (target.namespace.is_empty() && is_same_registry(key, &target.registry));
        Ok(self.auths()?.keys().filter(means).cloned().collect())
    }

    fn auths(&mut self) -> Result<&mut Map<String, Value>, Failure> {
        let path = self.path.display().to_string();
        let auths = self.document.entry("auths").or_insert_with(|| Value::Object(Map::new()));
        if auths.is_null() {
            *auths = Value::Object(Map::new());
        }
        auths
            .as_object_mut()
            .ok_or_else(|| Failure::new(format!("cannot change {path}")).because("\"auths\" is no object"))
    }

    /// Puts the new file in the place of the old one, readable by its owner only.
    pub(crate) fn write(self) -> Result<(), Failure> {
        let failed = || format!("cannot write {}", self.path.display());
        let mut text = Secret::new(ctr_cli::to_json(&self.document, true).context(failed)?);
        text = Secret::new(format!("{}\n", text.expose()));
        let random = ctr_sys::random::bytes::<8>().context(failed)?;
        let staged = parent(&self.path).join(format!(".auth.json.{:016x}", u64::from_le_bytes(random)));
        let result = self.stage(&staged, &text).context(failed);
        if result.is_err() {
            let _ = fs::remove_file(&staged);
        }
        result?;
        ctr_sys::durable::fsync_dir(parent(&self.path)).context(failed)
    }

    fn stage(&self, staged: &Path, text: &Secret) -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(staged)?;
        file.write_all(text.expose().as_bytes())?;
        if let Ok(old) = fs::metadata(&self.path) {
            // Root changes a user's file: it stays the user's. Anybody else cannot.
            let _ = std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()));
        }
        file.sync_all()?;
        fs::rename(staged, &self.path)
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn read(path: &Path) -> Result<Map<String, Value>, Failure> {
    let failed = || format!("cannot read {}", path.display());
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(MAX_AUTH_FILE + 1).read_to_end(&mut bytes).context(failed)?,
        Err(error) if error.kind() == ErrorKind::NotFound => 0,
        Err(error) => return Err(Failure::new(failed()).caused_by(&error)),
    };
    if bytes.len() as u64 > MAX_AUTH_FILE {
        return Err(Failure::new(failed()).because(format!("it has more than {MAX_AUTH_FILE} bytes")));
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    // The error of the parser would quote what it read.
    serde_json::from_slice(&bytes).map_err(|error| Failure::new(failed()).because(place(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn change(path: &Path, change: impl FnOnce(&mut AuthFile)) -> Value {
        let mut file = AuthFile::open(path).unwrap();
        change(&mut file);
        file.write().unwrap();
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }

    fn target(text: &str) -> Target {
        Target::parse(text).unwrap()
    }

    #[test]
    fn what_is_not_meant_stays() {
        // spec: REG-28
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/auth.json");
        let set = |text: &str| change(&path, |file| file.set(&target(text), "me", &Secret::new("pw")).unwrap());
        assert_eq!(set("a.example"), serde_json::json!({"auths": {"a.example": {"auth": "bWU6cHc="}}}));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o7777, 0o700);
        fs::write(
            &path,
            r#"{"auths":{"https://a.example/v1/":{"auth":"x","identitytoken":"y"},"b":{"z":[1]}},"more":{"n":1}}"#,
        )
        .unwrap();
        let auth = serde_json::json!({"auth": "bWU6cHc="});
        assert_eq!(
            set("a.example"),
            serde_json::json!({"auths": {"https://a.example/v1/": auth, "b": {"z": [1]}}, "more": {"n": 1}})
        );
        set("a.example/ns");
        let left =
            change(&path, |file| assert_eq!(file.remove(&target("a.example")).unwrap(), ["https://a.example/v1/"]));
        assert_eq!(left, serde_json::json!({"auths": {"a.example/ns": auth, "b": {"z": [1]}}, "more": {"n": 1}}));
        change(&path, |file| assert!(file.remove(&target("c.example")).unwrap().is_empty()));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else is left there");
    }

    #[test]
    fn links_and_modes() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real.json"), dir.path().join("config.json"));
        fs::write(&real, "\n").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        change(&link, |file| file.set(&target("docker.io"), "me", &Secret::new("pw")).unwrap());
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o7777, 0o600);
        let dockers = dir.path().join("docker/config.json");
        let written = change(&dockers, |file| file.set(&target("docker.io"), "me", &Secret::new("pw")).unwrap());
        assert!(written["auths"][DOCKER_SERVER].is_object(), "{written}");
    }

    #[test]
    fn files_that_cannot_be_understood_stay_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("auth.json");
        for text in ["{", "[]", r#"{"auths": "c2VjcmV0"}"#] {
            fs::write(&path, text).unwrap();
            let result =
                AuthFile::open(&path).and_then(|mut file| file.set(&target("a.example"), "me", &Secret::new("pw")));
            assert!(!result.unwrap_err().one_line().contains("c2VjcmV0"));
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn programs_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("auth.json");
        fs::write(&path, r#"{"credHelpers":{"a.example":"a","b.example":""},"credsStore":"all"}"#).unwrap();
        let file = AuthFile::open(&path).unwrap();
        assert_eq!(
            ["a.example", "b.example", "c.example"].map(|host| file.program(host)),
            [Some("a"), None, Some("all")]
        );
    }
}
