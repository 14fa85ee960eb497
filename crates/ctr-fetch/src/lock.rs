//! Lock files: which image a name meant, so that the same one comes next time (spec/10-registry.md "Lock files").

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use ctr_cli::{Context as _, Failure};
use ctr_core::digest::Digest;
use ctr_core::reference::Reference;
use ctr_core::spec::MAX_DOCUMENT;
use ctr_core::spec::platform::Platform;
use serde::{Deserialize, Serialize};

/// The version that is written and read.
const VERSION: u32 = 1;

/// The file (spec/schemas/lock.json).
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    images: Vec<Record>,
}

/// An entry as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    name: String,
    index: Option<Digest>,
    manifest: Digest,
    platform: String,
}

/// What a name meant on a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The normalized name that was asked for.
    pub(crate) name: Reference,
    /// The index that the name stood for; none if it stood for the image itself.
    pub(crate) index: Option<Digest>,
    /// The image.
    pub(crate) manifest: Digest,
    /// What the image runs on.
    pub(crate) platform: Platform,
}

impl Entry {
    /// The name with the digest to ask for.
    pub(crate) fn pinned(&self) -> Reference {
        self.name.with_digest(self.index.unwrap_or(self.manifest))
    }

    fn key(&self) -> (String, String) {
        (self.name.full(), self.platform.to_string())
    }
}

/// The entries of a lock file, sorted by name and platform.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lock {
    entries: Vec<Entry>,
}

impl Lock {
    /// Reads the file at `path`.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let failed = || format!("cannot read {}", path.display());
        let mut bytes = Vec::new();
        let file = File::open(path).context(failed)?;
        file.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes).context(failed)?;
        if bytes.len() as u64 > MAX_DOCUMENT {
            return Err(Failure::new(failed()).because(format!("it has more than {} MiB", MAX_DOCUMENT >> 20)));
        }
        let parsed = Self::parse(&bytes).map_err(|why| Failure::new(failed()).because(why));
        parsed.map_err(|failure| failure.hint("ctr-fetch --lock writes such files"))
    }

    /// Reads the content of a lock file; the error says what is wrong with it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let document: Document = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if document.version != VERSION {
            return Err(format!("it has version {}, this release reads {VERSION}", document.version));
        }
        let mut lock = Self::default();
        for record in document.images {
            let name: Reference = record.name.parse().map_err(|error| format!("{error}"))?;
            if name.full() != record.name {
                return Err(format!("the name \"{}\" is not written out as {}", record.name, name.full()));
            }
            let platform: Platform = record.platform.parse().map_err(|error| format!("{error}"))?;
            let entry = Entry { name, index: record.index, manifest: record.manifest, platform };
            if entry.name.digest().is_some_and(|digest| ![entry.index, Some(entry.manifest)].contains(&Some(*digest))) {
                return Err(format!("{} has another digest in its name than beside it", record.name));
            }
            if lock.entries.iter().any(|other| other.key() == entry.key()) {
                return Err(format!("{} stands there twice for {}", record.name, entry.platform));
            }
            lock.entries.push(entry);
        }
        lock.entries.sort_by_key(Entry::key);
        Ok(lock)
    }

    /// Adds what was fetched; an entry of the same name and platform gives way.
    pub(crate) fn insert(&mut self, entry: Entry) {
        self.entries.retain(|other| other.key() != entry.key());
        self.entries.push(entry);
        self.entries.sort_by_key(Entry::key);
    }

    /// All entries that a machine of `platform` runs, for each name the best one.
    pub(crate) fn all(&self, platform: &Platform) -> Vec<&Entry> {
        let mut names: Vec<&Reference> = self.entries.iter().map(|entry| &entry.name).collect();
        names.dedup();
        names.into_iter().filter_map(|name| self.best(name, platform)).collect()
    }

    /// The entry of `name` for `platform`; the error is told to the user. `path` names the file there.
    pub(crate) fn find(&self, name: &Reference, platform: &Platform, path: &Path) -> Result<&Entry, Failure> {
        if let Some(entry) = self.best(name, platform) {
            return Ok(entry);
        }
        let of_name = self.entries.iter().filter(|entry| entry.name == *name);
        let platforms: Vec<String> = of_name.map(|entry| entry.platform.to_string()).collect();
        let (name, path) = (name.full(), path.display());
        Err(if platforms.is_empty() {
            let failure = Failure::new(format!("{name} is not in {path}"));
            failure.hint(format!("what --locked fetches has to stand there: ctr-fetch --lock {path} writes it anew"))
        } else {
            let failure = Failure::new(format!("{path} has {name} for {}, not for {platform}", platforms.join(", ")));
            failure.hint("fetch it with --lock and --platform to have it for this platform too")
        })
    }

    fn best(&self, name: &Reference, platform: &Platform) -> Option<&Entry> {
        let of_name = self.entries.iter().filter(|entry| entry.name == *name);
        let fitting = of_name.filter_map(|entry| Some((platform.runs(&entry.platform)?, entry)));
        fitting.max_by_key(|(score, _)| *score).map(|(_, entry)| entry)
    }

    /// The content of the file.
    pub(crate) fn to_json(&self) -> Result<String, Failure> {
        let record = |entry: &Entry| Record {
            name: entry.name.full(),
            index: entry.index,
            manifest: entry.manifest,
            platform: entry.platform.to_string(),
        };
        let document = Document { version: VERSION, images: self.entries.iter().map(record).collect() };
        let text = serde_json::to_string_pretty(&document).context(|| "cannot write a lock file")?;
        Ok(format!("{text}\n"))
    }

    /// Writes the file in whole or not at all.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        let failed = || format!("cannot write {}", path.display());
        let text = self.to_json()?;
        let staged = staged(path).ok_or_else(|| Failure::new(failed()).because("it names no file"))?;
        let write = || -> std::io::Result<()> {
            let mut file = File::options().write(true).create_new(true).open(&staged)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&staged, path)
        };
        write().inspect_err(|_| drop(std::fs::remove_file(&staged))).context(failed)?;
        ctr_sys::durable::fsync_dir(parent(path)).context(failed)
    }
}

/// Fails if nothing can be written at `path`: better before the images come than after.
pub(crate) fn check_writable(path: &Path) -> Result<(), Failure> {
    let failed = || format!("cannot write {}", path.display());
    let staged = staged(path).ok_or_else(|| Failure::new(failed()).because("it names no file"))?;
    if path.is_dir() {
        return Err(Failure::new(failed()).because("it is a directory"));
    }
    File::options().write(true).create_new(true).open(&staged).context(failed)?;
    std::fs::remove_file(&staged).context(failed)
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The name beside `path` under which the file is written.
fn staged(path: &Path) -> Option<PathBuf> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name()?);
    name.push(format!(".{}", std::process::id()));
    Some(path.with_file_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, index: Option<&str>, manifest: &str, platform: &str) -> Entry {
        Entry {
            name: name.parse().unwrap(),
            index: index.map(|content| Digest::of(content.as_bytes())),
            manifest: Digest::of(manifest.as_bytes()),
            platform: platform.parse().unwrap(),
        }
    }

    fn sample() -> Lock {
        let mut lock = Lock::default();
        for entry in [
            entry("example.com/b:1", Some("ib"), "b6", "linux/arm/v6"),
            entry("example.com/b:1", Some("ib"), "b7", "linux/arm/v7"),
            entry("debian:12", Some("id"), "d", "linux/amd64"),
            entry("example.com/a", None, "a", "linux/amd64"),
        ] {
            lock.insert(entry);
        }
        lock
    }

    #[test]
    fn what_is_written_is_read_and_sorted() {
        // spec: REG-50, REG-51
        let lock = sample();
        let text = lock.to_json().unwrap();
        assert_eq!(Lock::parse(text.as_bytes()).unwrap(), lock);
        let order: Vec<usize> = ["docker.io/library/debian:12", "example.com/a:latest", "arm/v6", "arm/v7"]
            .map(|part| text.find(part).unwrap())
            .to_vec();
        assert!(order.is_sorted() && text.ends_with("}\n"), "{text}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("images.lock");
        check_writable(&path).unwrap();
        lock.write(&path).unwrap();
        lock.write(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        assert_eq!(Lock::read(&path).unwrap(), lock);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
        for bad in [dir.path().to_owned(), dir.path().join("no/where"), PathBuf::from("/")] {
            assert!(check_writable(&bad).is_err(), "{}", bad.display());
        }
    }

    #[test]
    fn a_name_is_found_for_its_platform() {
        // spec: REG-52
        let lock = sample();
        let find = |name: &str, platform: &str| {
            lock.find(&name.parse().unwrap(), &platform.parse().unwrap(), Path::new("x.lock")).cloned()
        };
        assert_eq!(find("debian:12", "linux/amd64").unwrap().index, Some(Digest::of(b"id")));
        assert_eq!(find("example.com/b:1", "linux/arm/v8").unwrap().manifest, Digest::of(b"b7"));
        assert_eq!(find("example.com/b:1", "linux/arm/v6").unwrap().manifest, Digest::of(b"b6"));
        let missing = find("debian:13", "linux/amd64").unwrap_err().one_line();
        assert!(missing.contains("docker.io/library/debian:13 is not in x.lock"), "{missing}");
        let other = find("example.com/b:1", "linux/amd64").unwrap_err().one_line();
        assert!(other.contains("linux/arm/v6, linux/arm/v7"), "{other}");
        let all = lock.all(&"linux/arm/v7".parse().unwrap());
        assert_eq!(all.iter().map(|entry| entry.manifest).collect::<Vec<_>>(), [Digest::of(b"b7")]);
    }

    #[test]
    fn an_entry_is_asked_for_by_its_index() {
        let pinned = |entry: Entry| entry.pinned().full();
        let (index, manifest) = (Digest::of(b"i"), Digest::of(b"m"));
        assert_eq!(pinned(entry("a:1", Some("i"), "m", "linux/amd64")), format!("docker.io/library/a:1@{index}"));
        assert_eq!(pinned(entry("a:1", None, "m", "linux/amd64")), format!("docker.io/library/a:1@{manifest}"));
        let mut lock = sample();
        lock.insert(entry("debian:12", None, "new", "linux/amd64"));
        assert_eq!(lock.all(&"linux/amd64".parse().unwrap()).len(), 2, "the old entry gave way");
    }

    #[test]
    fn what_is_no_lock_file_is_refused() {
        // spec: REG-50
        let digest = Digest::of(b"m");
        let image = |name: &str, more: &str| {
            format!(
                "{{\"name\":\"{name}\",\"index\":null,\"manifest\":\"{digest}\",\"platform\":\"linux/amd64\"{more}}}"
            )
        };
        let file = |version: &str, images: &str| format!("{{\"version\":{version},\"images\":[{images}]}}");
        let good = image("example.com/a:1", "");
        assert!(Lock::parse(file("1", &good).as_bytes()).is_ok());
        let pinned = image(&format!("example.com/a@{digest}"), "");
        assert!(Lock::parse(file("1", &pinned).as_bytes()).is_ok());
        for bad in [
            String::new(),
            "[]".to_owned(),
            file("2", &good),
            file("1", &format!("{good},{good}")),
            file("1", &image("debian", "")),
            file("1", &image("example.com/A:1", "")),
            file("1", &image("example.com/a:1", ",\"more\":1")),
            file("1", &image("example.com/a:1", ",\"platform\":\"linux/arm64\"")),
            file("1", &image(&format!("example.com/a@{}", Digest::of(b"other")), "")),
            file("1", &good.replace("linux/amd64", "amd64/")),
            file("1", &good.replace("sha256:", "sha512:")),
            file("1", &good) + "x",
        ] {
            assert!(Lock::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
