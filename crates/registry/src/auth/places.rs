//! Where this user's files with credentials can be.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ctr_core::quantity::parse_duration;

use super::file::{AuthFile, RUNTIME};

/// The file in `$CREDENTIALS_DIRECTORY`: what a unit has as `LoadCredential=ctr.auth.json:/PATH` (systemd.exec(5)).
const SERVICE_FILE: &str = "ctr.auth.json";

/// Where files with credentials can be. Read it before a user namespace is entered: there the user has another id.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// `--authfile`, else `$REGISTRY_AUTH_FILE`: the only file then.
    pub authfile: Option<PathBuf>,
    /// `$CREDENTIALS_DIRECTORY`.
    pub service: Option<PathBuf>,
    /// `$XDG_RUNTIME_DIR`.
    pub runtime: Option<PathBuf>,
    /// `$XDG_CONFIG_HOME`.
    pub config: Option<PathBuf>,
    /// `$DOCKER_CONFIG`.
    pub docker: Option<PathBuf>,
    /// The home directory.
    pub home: Option<PathBuf>,
    /// The user's id.
    pub uid: u32,
    /// How long a program may take, if another time than [`super::PROGRAM_TIME`].
    pub program_time: Option<Duration>,
}

impl Places {
    /// By the variables of this process; `authfile` is the option of that name.
    pub fn from_environment(authfile: Option<&Path>) -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        // The XDG specification: "If an implementation encounters a relative path it should ignore it."
        let absolute = |name| variable(name).filter(|path| path.is_absolute());
        Self {
            authfile: authfile.map(Path::to_owned).or_else(|| variable("REGISTRY_AUTH_FILE")),
            service: absolute("CREDENTIALS_DIRECTORY"),
            runtime: absolute("XDG_RUNTIME_DIR"),
            config: absolute("XDG_CONFIG_HOME"),
            docker: variable("DOCKER_CONFIG"),
            home: std::env::home_dir().filter(|home| home.is_absolute()),
            uid: ctr_sys::ids::caller_uid(),
            program_time: std::env::var("CTR_CREDENTIAL_TIMEOUT").ok().and_then(|text| parse_duration(&text).ok()),
        }
    }

    /// The files that say which token servers are trusted ([`super::RealmRules`]).
    pub fn rules(&self) -> Vec<PathBuf> {
        let mut files = vec![PathBuf::from("/etc/ctr/auth.toml")];
        files.extend(self.configuration().map(|dir| dir.join("ctr/auth.toml")));
        files
    }

    fn configuration(&self) -> Option<PathBuf> {
        self.config.clone().or_else(|| Some(self.home.as_ref()?.join(".config")))
    }

    /// The file that a login writes.
    pub fn primary(&self) -> PathBuf {
        match (&self.authfile, &self.runtime) {
            (Some(path), _) => path.clone(),
            (None, Some(runtime)) => runtime.join("containers/auth.json"),
            (None, None) => Path::new(RUNTIME).join(self.uid.to_string()).join("auth.json"),
        }
    }

    /// All files, in the order in which they count.
    pub(super) fn files(&self) -> Vec<AuthFile> {
        let file = |path, legacy| AuthFile { path, legacy, named: false };
        if let Some(path) = &self.authfile {
            return vec![AuthFile { path: path.clone(), legacy: false, named: true }];
        }
        let mut files = Vec::new();
        files.extend(self.service.as_ref().map(|dir| file(dir.join(SERVICE_FILE), false)));
        files.push(file(self.primary(), false));
        files.extend(self.configuration().map(|dir| file(dir.join("containers/auth.json"), false)));
        let docker = self.docker.clone().or_else(|| Some(self.home.as_ref()?.join(".docker")));
        files.extend(docker.map(|dir| file(dir.join("config.json"), false)));
        files.extend(self.home.as_ref().map(|home| file(home.join(".dockercfg"), true)));
        files
    }
}
