//! One file in the format of containers-registries.conf(5), version 2.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use ctr_core::reference::{self, Reference};
use toml::{Table, Value};

use super::prefix::{Prefix, trim};
use super::{ConfigError, FILE_MAX};

/// What one file says.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) registries: Vec<Registry>,
    pub(super) search: Option<Vec<String>>,
    pub(super) mode: Option<ShortNameMode>,
    pub(super) credential_helpers: Option<Vec<String>>,
    /// A short name and what it stands for, or nothing if the alias shall not be.
    pub(super) aliases: BTreeMap<String, Option<String>>,
    /// What was left out, in words.
    pub(super) warnings: Vec<String>,
}

/// A `[[registry]]` table.
#[derive(Debug, Clone)]
pub(super) struct Registry {
    pub(super) prefix: Prefix,
    /// None: names stay as they are.
    pub(super) location: Option<String>,
    pub(super) insecure: bool,
    pub(super) blocked: bool,
    pub(super) mirrors: Vec<Mirror>,
    /// The file that has it.
    pub(super) file: PathBuf,
}

/// A `[[registry.mirror]]` table.
#[derive(Debug, Clone)]
pub(super) struct Mirror {
    pub(super) location: String,
    pub(super) insecure: bool,
    pub(super) pull: PullFrom,
}

/// `pull-from-mirror`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PullFrom {
    All,
    DigestOnly,
    TagOnly,
}

/// `short-name-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShortNameMode {
    Enforcing,
    Permissive,
    Disabled,
}

/// Reads and parses a file.
pub(super) fn read(path: &Path) -> Result<Settings, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(failed(std::io::Error::other("it is no regular file")));
    }
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_MAX {
        let limit = format!("{} KiB", FILE_MAX >> 10);
        return Err(ConfigError::TooLarge { path: path.to_owned(), limit });
    }
    parse(path, &bytes)
}

/// Parses the content of the file `path`.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Settings, ConfigError> {
    let syntax = |message: String| ConfigError::Syntax { path: path.to_owned(), message };
    let text = std::str::from_utf8(bytes).map_err(|error| syntax(error.to_string()))?;
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map(|span| 1 + text.get(..span.start).unwrap_or("").matches('\n').count());
        let message = error.message().replace('\n', " ");
        syntax(line.map_or(message.clone(), |line| format!("line {line}: {message}")))
    })?;
    if table.get("registries").is_some_and(Value::is_table) {
        return Err(ConfigError::Version1 { path: path.to_owned() });
    }
    let mut reader = Reader { path, warnings: Vec::new() };
    let mut settings = reader.settings(table)?;
    settings.warnings = reader.warnings;
    Ok(settings)
}

/// Takes a file apart, and remembers what it does not know.
struct Reader<'a> {
    path: &'a Path,
    warnings: Vec<String>,
}

impl Reader<'_> {
    fn wrong(&self, key: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError::Setting { path: self.path.to_owned(), key: key.to_owned(), problem: problem.into() }
    }

    fn settings(&mut self, mut table: Table) -> Result<Settings, ConfigError> {
        let mut settings = Settings::default();
        if let Some(list) = self.strings(&mut table, "unqualified-search-registries")? {
            let trimmed = list.iter().map(|location| trim(location).map(str::to_owned)).collect::<Result<_, _>>();
            settings.search = Some(trimmed.map_err(|problem| self.wrong("unqualified-search-registries", problem))?);
        }
        settings.credential_helpers = self.strings(&mut table, "credential-helpers")?;
        settings.mode = match self.string(&mut table, "", "short-name-mode")?.as_deref() {
            None | Some("") => None,
            Some("enforcing") => Some(ShortNameMode::Enforcing),
            Some("permissive") => Some(ShortNameMode::Permissive),
            Some("disabled") => Some(ShortNameMode::Disabled),
            Some(other) => {
                return Err(
                    self.wrong("short-name-mode", format!("\"{other}\" is none of enforcing, permissive, disabled"))
                );
            }
        };
        for (number, table) in self.tables(&mut table, "registry")?.into_iter().enumerate() {
            let registry = self.registry(table, &format!("registry[{}]", number + 1))?;
            if let Some(old) = settings.registries.iter_mut().find(|old| old.prefix == registry.prefix) {
                let (file, prefix) = (self.path.display(), &registry.prefix);
                self.warnings.push(format!("{file}: the prefix \"{prefix}\" stands there twice, the last one counts"));
                *old = registry;
            } else {
                settings.registries.push(registry);
            }
        }
        match table.remove("aliases") {
            None => {}
            Some(Value::Table(aliases)) => settings.aliases = self.aliases(aliases)?,
            Some(_) => return Err(self.wrong("aliases", "it is no table")),
        }
        self.unknown(&table, "");
        Ok(settings)
    }

    fn registry(&mut self, mut table: Table, at: &str) -> Result<Registry, ConfigError> {
        let location = self.string(&mut table, at, "location")?.filter(|location| !location.is_empty());
        let prefix = self.string(&mut table, at, "prefix")?.filter(|prefix| !prefix.is_empty());
        let key = |name: &str| format!("{at}.{name}");
        let (key_of_prefix, prefix) = match (&prefix, &location) {
            (Some(prefix), _) => (key("prefix"), prefix),
            (None, Some(location)) => (key("location"), location),
            (None, None) => return Err(self.wrong(at, "it has neither a prefix nor a location")),
        };
        let prefix = Prefix::parse(prefix).map_err(|problem| self.wrong(&key_of_prefix, problem))?;
        let location = match location {
            Some(location) if location.starts_with('*') && key_of_prefix.ends_with("location") => None,
            Some(location) => Some(self.location(&location, &key("location"))?),
            None if matches!(prefix, Prefix::Subdomains(_)) => None,
            // Without a location the name itself says where.
            None => None,
        };
        let insecure = self.boolean(&mut table, at, "insecure")?;
        let blocked = self.boolean(&mut table, at, "blocked")?;
        let by_digest_only = self.boolean(&mut table, at, "mirror-by-digest-only")?;
        if table.contains_key("pull-from-mirror") {
            return Err(self.wrong(&key("pull-from-mirror"), "it belongs into a [[registry.mirror]] table"));
        }
        let mut mirrors = Vec::new();
        for (number, table) in self.tables(&mut table, "mirror")?.into_iter().enumerate() {
            mirrors.push(self.mirror(table, &format!("{at}.mirror[{}]", number + 1), by_digest_only)?);
        }
        self.unknown(&table, at);
        Ok(Registry { prefix, location, insecure, blocked, mirrors, file: self.path.to_owned() })
    }

    fn mirror(&mut self, mut table: Table, at: &str, by_digest_only: bool) -> Result<Mirror, ConfigError> {
        let key = format!("{at}.location");
        let location = self.string(&mut table, at, "location")?.unwrap_or_default();
        let location = self.location(&location, &key)?;
        let insecure = self.boolean(&mut table, at, "insecure")?;
        let pull = self.string(&mut table, at, "pull-from-mirror")?.filter(|value| !value.is_empty());
        let key = format!("{at}.pull-from-mirror");
        if by_digest_only && pull.is_some() {
            return Err(self.wrong(&key, "the registry has mirror-by-digest-only, which says it already"));
        }
        let pull = match pull.as_deref() {
            None if by_digest_only => PullFrom::DigestOnly,
            None | Some("all") => PullFrom::All,
            Some("digest-only") => PullFrom::DigestOnly,
            Some("tag-only") => PullFrom::TagOnly,
            Some(other) => {
                return Err(self.wrong(&key, format!("\"{other}\" is none of all, digest-only, tag-only")));
            }
        };
        self.unknown(&table, at);
        Ok(Mirror { location, insecure, pull })
    }

    fn location(&self, text: &str, key: &str) -> Result<String, ConfigError> {
        let location = trim(text).map_err(|problem| self.wrong(key, problem))?;
        if location.contains('*') {
            return Err(self.wrong(key, "only a prefix can have a star"));
        }
        Ok(location.to_owned())
    }

    fn aliases(&self, table: Table) -> Result<BTreeMap<String, Option<String>>, ConfigError> {
        let mut aliases = BTreeMap::new();
        for (name, value) in table {
            let key = format!("aliases.{name}");
            let Value::String(value) = value else { return Err(self.wrong(&key, "it is no string")) };
            let plain = |text: &str| {
                let parsed = text.parse::<Reference>().ok()?;
                let bare = parsed.digest().is_none() && !text.rsplit('/').next().unwrap_or("").contains(':');
                bare.then_some(())
            };
            if plain(&name).is_none() || reference::has_domain(&name) {
                return Err(self.wrong(&key, "an alias is a name without registry, tag and digest"));
            }
            if !value.is_empty() && (plain(&value).is_none() || !reference::has_domain(&value)) {
                let problem = format!("\"{value}\" is no name with its registry and without tag and digest");
                return Err(self.wrong(&key, problem));
            }
            aliases.insert(name, Some(value).filter(|value| !value.is_empty()));
        }
        Ok(aliases)
    }

    fn string(&self, table: &mut Table, at: &str, key: &str) -> Result<Option<String>, ConfigError> {
        match table.remove(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(&joined(at, key), "it is no string")),
        }
    }

    fn boolean(&self, table: &mut Table, at: &str, key: &str) -> Result<bool, ConfigError> {
        match table.remove(key) {
            None => Ok(false),
            Some(Value::Boolean(value)) => Ok(value),
            Some(_) => Err(self.wrong(&joined(at, key), "it is neither true nor false")),
        }
    }

    fn strings(&self, table: &mut Table, key: &str) -> Result<Option<Vec<String>>, ConfigError> {
        let wrong = || self.wrong(key, "it is no list of strings");
        match table.remove(key) {
            None => Ok(None),
            Some(Value::Array(items)) => {
                let text = |item| if let Value::String(text) = item { Ok(text) } else { Err(wrong()) };
                items.into_iter().map(text).collect::<Result<_, _>>().map(Some)
            }
            Some(_) => Err(wrong()),
        }
    }

    fn tables(&self, table: &mut Table, key: &str) -> Result<Vec<Table>, ConfigError> {
        let wrong = || self.wrong(key, format!("it is no list of tables: write [[{key}]]"));
        match table.remove(key) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => {
                let table = |item| if let Value::Table(table) = item { Ok(table) } else { Err(wrong()) };
                items.into_iter().map(table).collect()
            }
            Some(_) => Err(wrong()),
        }
    }

    /// Podman passes over a key that it does not know. So do we, but a slip of the pen in `blocked` is told.
    fn unknown(&mut self, table: &Table, at: &str) {
        for key in table.keys() {
            self.warnings.push(format!("{}: unknown key {} is left out", self.path.display(), joined(at, key)));
        }
    }
}

fn joined(at: &str, key: &str) -> String {
    if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") }
}
