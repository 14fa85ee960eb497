//! What the command line asks for, checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ctr_cli::{Context as _, Failure, OutputFormat};
use ctr_core::platform::Platform;
use ctr_core::reference::Reference;
use ctr_layer::codec::Compression;

use crate::args::{CompressionName, NetworkName, OnError, Options, Pull, Shown};
use crate::registry_cache::RegistryCache;
use crate::scope::is_predeclared;

/// The largest file that a secret is read from, in bytes.
const SECRET_MAX: usize = 512 << 10;

/// A request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) tags: Vec<Reference>,
    pub(crate) target: Option<String>,
    pub(crate) arguments: BTreeMap<String, String>,
    pub(crate) contexts: BTreeMap<String, ContextPlace>,
    pub(crate) secrets: BTreeMap<String, Vec<u8>>,
    pub(crate) ssh: BTreeMap<String, PathBuf>,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) platform: Platform,
    pub(crate) no_cache: bool,
    pub(crate) shell_on_error: bool,
    pub(crate) pull: Pull,
    pub(crate) network: NetworkName,
    pub(crate) hosts: Vec<(std::net::IpAddr, String)>,
    pub(crate) shm_size: u64,
    pub(crate) compression: Compression,
    pub(crate) jobs: usize,
    pub(crate) cache_from: Vec<CachePlace>,
    pub(crate) cache_to: Vec<CachePlace>,
    /// Seconds since 1970 that nothing in the image is newer than.
    pub(crate) epoch: i64,
    /// What ctr-fetch and ctr-push are told of how they show what they do.
    pub(crate) voice: Vec<&'static str>,
}

/// Where results of steps are kept besides the store.
#[derive(Debug)]
pub(crate) enum CachePlace {
    /// A directory of the host.
    Directory(PathBuf),
    /// An artifact of a registry.
    Registry(Box<RegistryCache>),
}

/// What `--build-context` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ContextPlace {
    /// A directory of the host.
    Directory(PathBuf),
    /// An image, as `ctr-fetch` takes it.
    Image(String),
}

/// As ctr-build shows its own steps.
fn voice(options: &Options) -> Vec<&'static str> {
    let how = match options.progress {
        Shown::Auto if options.global.format == OutputFormat::Json => "none",
        Shown::Auto | Shown::Tty => "auto",
        Shown::Plain => "plain",
        Shown::Json => "json",
        Shown::None => "none",
    };
    let mut voice = vec!["--progress", how];
    if options.global.quiet {
        voice.push("--quiet");
    }
    voice
}

impl Request {
    /// What the options ask for, a request for each platform.
    pub(crate) fn all(options: &Options) -> Result<Vec<Self>, Failure> {
        let mut platforms: Vec<Platform> = Vec::new();
        for text in &options.platform {
            let platform = text.parse().map_err(|error| Failure::usage(format!("--platform {text}: {error}")))?;
            if !platforms.contains(&platform) {
                platforms.push(platform);
            }
        }
        if platforms.is_empty() {
            platforms.push(Platform::host());
        }
        platforms.into_iter().map(|platform| Self::new(options, platform)).collect()
    }

    /// Checks the options.
    fn new(options: &Options, platform: Platform) -> Result<Self, Failure> {
        let jobs = options.jobs.map(usize::from);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            tags: if options.second_build {
                Vec::new()
            } else {
                options.tag.iter().map(|tag| parse_tag(tag)).collect::<Result<_, _>>()?
            },
            target: options.target.clone(),
            arguments: build_args(&options.build_arg)?,
            contexts: options.build_context.iter().map(|text| context(text)).collect::<Result<_, _>>()?,
            secrets: options.secret.iter().map(|text| secret(text)).collect::<Result<_, _>>()?,
            ssh: options.ssh.iter().map(|text| ssh(text)).collect::<Result<_, _>>()?,
            labels: options.label.iter().map(|text| pair("--label", text)).collect::<Result<_, _>>()?,
            annotations: options.annotation.iter().map(|text| pair("--annotation", text)).collect::<Result<_, _>>()?,
            platform,
            shell_on_error: options.on_error == OnError::Shell && !options.second_build,
            no_cache: options.no_cache || options.second_build,
            pull: options.pull,
            network: options.network,
            hosts: options.add_host.iter().map(|text| host(text)).collect::<Result<_, _>>()?,
            shm_size: size(&options.shm_size)?,
            compression: match options.compression {
                CompressionName::Zstd => Compression::Zstd,
                CompressionName::Gzip => Compression::Gzip,
                CompressionName::None => Compression::Plain,
            },
            cache_from: caches("--cache-from", &options.cache_from, options.cache_dir.as_deref())?,
            cache_to: caches("--cache-to", &options.cache_to, options.cache_dir.as_deref())?,
            // Most programs wait as much as they compute.
            jobs: jobs.unwrap_or((cores * 2).max(4)),
            epoch: epoch(&options.context)?,
            voice: voice(options),
        })
    }

    /// What `--build-arg` gave: not what proxies of the environment are.
    pub(crate) fn declared_arguments(&self) -> BTreeMap<String, String> {
        let arguments = self.arguments.iter().filter(|(name, _)| !is_predeclared(name));
        arguments.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// The build's time as images have it.
    pub(crate) fn created(&self) -> String {
        let time = ctr_core::timestamp::Timestamp(u64::try_from(self.epoch).unwrap_or(0).saturating_mul(1_000_000_000));
        // To the second: no digits behind the point.
        let text = time.to_string();
        text.split_once('.').map_or(text.clone(), |(seconds, _)| format!("{seconds}Z"))
    }
}

fn parse_tag(text: &str) -> Result<Reference, Failure> {
    let name = text.parse::<Reference>().map_err(|error| Failure::usage(format!("--tag {text}: {error}")))?;
    if name.digest().is_some() {
        return Err(Failure::usage(format!("--tag {text} has a digest: the content decides it")));
    }
    Ok(name)
}

fn build_args(all: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let mut arguments = BTreeMap::new();
    for text in all {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text.as_str(), std::env::var(text).ok()),
        };
        if name.is_empty() {
            return Err(Failure::usage(format!("--build-arg {text} has no name")));
        }
        if let Some(value) = value {
            arguments.insert(name.to_owned(), value);
        }
    }
    for (name, value) in std::env::vars().filter(|(name, _)| is_predeclared(name)) {
        // As every other tool that works behind a proxy; keys and history do not know of it.
        arguments.entry(name).or_insert(value);
    }
    Ok(arguments)
}

fn pair(option: &str, text: &str) -> Result<(String, String), Failure> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Failure::usage(format!("{option} {text}: it is KEY=VALUE"))),
    }
}

fn context(text: &str) -> Result<(String, ContextPlace), Failure> {
    let (name, place) = pair("--build-context", text)?;
    if let Some(image) = place.strip_prefix("docker-image://") {
        return Ok((name, ContextPlace::Image(image.to_owned())));
    }
    if let Some(layout) = place.strip_prefix("oci-layout://") {
        return Ok((name, ContextPlace::Image(format!("oci:{layout}"))));
    }
    if place.contains("://") {
        return Err(Failure::usage(format!("--build-context {text}: contexts of this kind are not known"))
            .hint("give a directory, docker-image://NAME or oci-layout://DIR[:TAG]"));
    }
    let path = std::path::absolute(&place).context(|| format!("--build-context {text}"))?;
    Ok((name, ContextPlace::Directory(path)))
}

/// Directories by their path, or as docker names caches: `type=local,src=DIR`, `type=registry,ref=NAME`.
fn caches(option: &str, all: &[String], both: Option<&Path>) -> Result<Vec<CachePlace>, Failure> {
    let mut places = Vec::new();
    for text in all {
        let (mut directory, mut registry) = (None, None);
        for part in text.split(',') {
            match part.split_once('=') {
                None => directory = Some(part),
                Some(("src" | "dest", path)) => directory = Some(path),
                Some(("ref", name)) => registry = Some(name),
                // As docker has it: all stages is what is always kept.
                Some(("type", "local" | "registry") | ("mode", "max" | "min")) => {}
                Some(_) => {
                    return Err(Failure::usage(format!("{option} {text}: caches of this kind are not known"))
                        .hint("give a directory, or type=registry,ref=NAME"));
                }
            }
        }
        places.push(match (directory.filter(|dir| !dir.is_empty()), registry) {
            (Some(dir), None) => cache_directory(option, Path::new(dir))?,
            (None, Some(name)) => {
                let name = name.parse().map_err(|error| Failure::usage(format!("{option} {text}: {error}")))?;
                CachePlace::Registry(Box::new(RegistryCache::new(name)?))
            }
            _ => return Err(Failure::usage(format!("{option} {text} names no directory and no registry"))),
        });
    }
    places.extend(both.map(|dir| cache_directory(option, dir)).transpose()?);
    Ok(places)
}

fn cache_directory(option: &str, dir: &Path) -> Result<CachePlace, Failure> {
    // The current directory is left when the work begins.
    let dir = std::path::absolute(dir).context(|| format!("{option} {}", dir.display()))?;
    Ok(CachePlace::Directory(dir))
}

/// `id=ID,src=FILE`, `id=ID,env=NAME`, `type=file|env`.
fn secret(text: &str) -> Result<(String, Vec<u8>), Failure> {
    let wrong = |reason: &str| {
        Failure::usage(format!("--secret {text}: {reason}")).hint("it is id=ID,src=FILE or id=ID,env=NAME")
    };
    let (mut id, mut source, mut variable) = (None, None, None);
    for part in text.split(',') {
        let (key, value) = part.split_once('=').ok_or_else(|| wrong("a part has no ="))?;
        match key {
            "id" => id = Some(value.to_owned()),
            "src" | "source" => source = Some(PathBuf::from(value)),
            "env" => variable = Some(value.to_owned()),
            "type" if matches!(value, "file" | "env") => {}
            _ => return Err(wrong(&format!("{key} is not known"))),
        }
    }
    let id = id.or_else(|| variable.clone()).filter(|id| !id.is_empty()).ok_or_else(|| wrong("it has no id"))?;
    let bytes = match (source, variable) {
        (Some(path), None) => crate::input::read(&path, SECRET_MAX)
            .context(|| format!("cannot read the secret {id} from {}", path.display()))?
            .ok_or_else(|| Failure::new(format!("the secret {id} has more than {SECRET_MAX} bytes")))?,
        (None, Some(name)) => variable_bytes(&name).ok_or_else(|| wrong("the variable is not set"))?,
        (None, None) => variable_bytes(&id).ok_or_else(|| wrong("it has no src and no env"))?,
        (Some(_), Some(_)) => return Err(wrong("it has src and env")),
    };
    Ok((id, bytes))
}

fn variable_bytes(name: &str) -> Option<Vec<u8>> {
    std::env::var_os(name).map(std::os::unix::ffi::OsStringExt::into_vec)
}

/// `default`, `ID`, `ID=SOCKET`.
fn ssh(text: &str) -> Result<(String, PathBuf), Failure> {
    let (id, socket) = match text.split_once('=') {
        Some((id, socket)) => (id, Some(PathBuf::from(socket))),
        None => (text, std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from)),
    };
    let socket = socket.ok_or_else(|| {
        Failure::usage(format!("--ssh {text}: there is no agent")).because("$SSH_AUTH_SOCK is not set")
    })?;
    let socket = std::path::absolute(&socket).context(|| format!("--ssh {text}"))?;
    if !is_socket(&socket) {
        return Err(Failure::usage(format!("--ssh {text}: {} is no socket of an agent", socket.display())));
    }
    Ok((id.to_owned(), socket))
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_socket())
}

fn host(text: &str) -> Result<(std::net::IpAddr, String), Failure> {
    let parts = text.split_once('=').or_else(|| text.split_once(':'));
    let found = parts.and_then(|(name, address)| {
        let address = address.trim_start_matches('[').trim_end_matches(']');
        Some((address.parse().ok()?, name.to_owned())).filter(|_| !name.is_empty())
    });
    found.ok_or_else(|| Failure::usage(format!("--add-host {text}: it is HOST:ADDRESS")))
}

/// Bytes, with `k`, `m` or `g` behind the number.
fn size(text: &str) -> Result<u64, Failure> {
    let wrong = || Failure::usage(format!("--shm-size {text}: it is a number with k, m or g behind it"));
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches('b').trim_end_matches(['k', 'm', 'g']);
    let unit = match lower.trim_end_matches('b').strip_prefix(digits) {
        Some("k") => 1 << 10,
        Some("m") => 1 << 20,
        Some("g") => 1 << 30,
        Some("") => 1,
        _ => return Err(wrong()),
    };
    digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)
}

/// `SOURCE_DATE_EPOCH`, else the time of the context's commit, else 0.
fn epoch(context: &Path) -> Result<i64, Failure> {
    if let Some(text) = std::env::var_os("SOURCE_DATE_EPOCH").filter(|text| !text.is_empty()) {
        let number = text.to_str().and_then(|text| text.parse::<i64>().ok()).filter(|seconds| *seconds >= 0);
        return number.ok_or_else(|| {
            Failure::usage(format!("SOURCE_DATE_EPOCH is \"{}\"", text.display()))
                .hint("it is a number of seconds since 1970")
        });
    }
    Ok(crate::git::commit_time(context).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        assert_eq!(size("64m").unwrap(), 64 << 20);
        assert_eq!(size("1GB").unwrap(), 1 << 30);
        assert_eq!(size("512").unwrap(), 512);
        assert!(size("m").is_err() && size("1x").is_err() && size("99999999999g").is_err());
        assert_eq!(host("db:10.0.0.1").unwrap(), ("10.0.0.1".parse().unwrap(), "db".to_owned()));
        assert_eq!(host("db=[::1]").unwrap(), ("::1".parse().unwrap(), "db".to_owned()));
        assert_eq!(host("db:::1").unwrap().0.to_string(), "::1");
        assert!(host("db").is_err() && host(":1.1.1.1").is_err() && host("db:x").is_err());
        assert!(secret("src=/x").is_err() && secret("id=a,src=/nonexistent").is_err() && secret("id=a,b").is_err());
        assert!(matches!(context("a=docker-image://x:1").unwrap().1, ContextPlace::Image(name) if name == "x:1"));
        assert!(context("a=https://x").is_err() && context("=x").is_err());
    }
}
