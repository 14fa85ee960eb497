//! Where the files lie.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{ConfigError, DROP_INS_MAX};

/// The places of registries.conf and what belongs to it.
///
/// They are looked up once, before a user namespace is entered in which this user is another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locations {
    /// `$CONTAINERS_REGISTRIES_CONF`: this file alone.
    pub explicit: Option<PathBuf>,
    /// `$CONTAINERS_REGISTRIES_CONF_OVERRIDE`: this file after all others.
    pub last: Option<PathBuf>,
    /// The user's `containers` directory: `~/.config/containers`.
    pub user: Option<PathBuf>,
    /// `/etc/containers`, then `/usr/share/containers`.
    pub system: Vec<PathBuf>,
    /// Aliases that Podman wrote when a user chose among registries. Only read.
    pub aliases: Option<PathBuf>,
}

impl Locations {
    /// Those of the caller, by environment and user id.
    pub fn of_caller() -> Self {
        let host_root = ctr_sys::ids::effective_uid() == 0 && ctr_sys::ids::in_initial_user_namespace();
        Self::from_variables(|name| std::env::var_os(name), host_root)
    }

    /// As [`Self::of_caller`], with given variables. `host_root`: the caller is root, and not only of a user namespace.
    pub fn from_variables(variable: impl Fn(&str) -> Option<OsString>, host_root: bool) -> Self {
        let file = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let absolute = |name: &str| file(name).filter(|path| path.is_absolute());
        let home = absolute("HOME");
        let under_home = |variable: &str, default: &str| {
            absolute(variable)
                .or_else(|| home.as_ref().map(|home| home.join(default)))
                .map(|dir| dir.join("containers"))
        };
        let cache = if host_root {
            Some(PathBuf::from("/var/cache/containers"))
        } else {
            under_home("XDG_CACHE_HOME", ".cache")
        };
        Self {
            explicit: file("CONTAINERS_REGISTRIES_CONF"),
            last: file("CONTAINERS_REGISTRIES_CONF_OVERRIDE"),
            user: under_home("XDG_CONFIG_HOME", ".config"),
            system: vec!["/etc/containers".into(), "/usr/share/containers".into()],
            aliases: cache.map(|dir| dir.join("short-name-aliases.conf")),
        }
    }

    /// The files that are there, in the order in which they count: later ones change what earlier ones say.
    pub(super) fn files(&self) -> Result<Vec<PathBuf>, ConfigError> {
        let mut files = Vec::new();
        if let Some(path) = &self.explicit {
            files.push(path.clone());
        } else {
            let user = self.user.as_ref().map(|dir| dir.join("registries.conf"));
            let own = user.filter(|path| path.exists());
            // A user's own main file takes the place of the system's, with its drop-ins (containers-registries.conf.d(5)).
            if let Some(own) = own {
                files.push(own);
            } else {
                files.extend(self.system.iter().map(|dir| dir.join("registries.conf")).find(|path| path.exists()));
                for dir in self.system.iter().rev() {
                    files.extend(drop_ins(&dir.join("registries.conf.d"))?);
                }
            }
            if let Some(dir) = &self.user {
                files.extend(drop_ins(&dir.join("registries.conf.d"))?);
            }
        }
        files.extend(self.last.clone());
        Ok(files)
    }
}

/// The files `*.conf` of a directory, sorted.
fn drop_ins(dir: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let failed = |source| ConfigError::Read { path: dir.to_owned(), source };
    let entries = match std::fs::read_dir(dir) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "conf") && !path.is_dir() {
            files.push(path);
        }
        if files.len() > DROP_INS_MAX {
            let limit = format!("{DROP_INS_MAX} files");
            return Err(ConfigError::TooLarge { path: dir.to_owned(), limit });
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(variables: &[(&str, &str)], host_root: bool) -> Locations {
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value));
        Locations::from_variables(find, host_root)
    }

    #[test]
    fn places_follow_the_environment() {
        let found = places(&[("HOME", "/home/u")], false);
        assert_eq!(found.user.as_deref(), Some(Path::new("/home/u/.config/containers")));
        assert_eq!(found.aliases.as_deref(), Some(Path::new("/home/u/.cache/containers/short-name-aliases.conf")));
        let found = places(&[("HOME", "/root"), ("XDG_CONFIG_HOME", "/c"), ("XDG_CACHE_HOME", "x")], true);
        assert_eq!(found.user.as_deref(), Some(Path::new("/c/containers")));
        assert_eq!(found.aliases.as_deref(), Some(Path::new("/var/cache/containers/short-name-aliases.conf")));
        let found = places(&[("HOME", "relative"), ("CONTAINERS_REGISTRIES_CONF", "")], false);
        assert_eq!((found.user, found.aliases, found.explicit), (None, None, None));
    }

    #[test]
    fn a_users_main_file_takes_the_place_of_the_systems() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for path in ["etc/registries.conf.d", "usr/registries.conf.d", "home/registries.conf.d/sub.conf"] {
            std::fs::create_dir_all(at(path)).unwrap();
        }
        let all = [
            "etc/registries.conf",
            "usr/registries.conf.d/9.conf",
            "etc/registries.conf.d/1.conf",
            "etc/registries.conf.d/2.conf",
            "home/registries.conf.d/1.conf",
        ];
        for path in all.iter().chain(&["usr/registries.conf", "etc/registries.conf.d/3.txt"]) {
            std::fs::write(at(path), "").unwrap();
        }
        let mut places = places(&[], false);
        places.system = vec![at("etc"), at("usr")];
        places.user = Some(at("home"));
        assert_eq!(places.files().unwrap(), all.map(at));
        std::fs::write(at("home/registries.conf"), "").unwrap();
        assert_eq!(places.files().unwrap(), ["home/registries.conf", "home/registries.conf.d/1.conf"].map(at));
        places.explicit = Some(at("nowhere"));
        places.last = Some(at("last"));
        assert_eq!(places.files().unwrap(), ["nowhere", "last"].map(at));
    }

    #[test]
    fn a_directory_of_very_many_files_is_refused() {
        // spec: LIM-65
        let dir = tempfile::tempdir().unwrap();
        for number in 0..DROP_INS_MAX {
            std::fs::write(dir.path().join(format!("{number}.conf")), "").unwrap();
        }
        assert_eq!(drop_ins(dir.path()).unwrap().len(), DROP_INS_MAX);
        std::fs::write(dir.path().join("more.conf"), "").unwrap();
        assert!(matches!(drop_ins(dir.path()), Err(ConfigError::TooLarge { .. })));
    }
}
