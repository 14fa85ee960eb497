//! Which image: by name or by path; `ctr-fetch` brings in what the store lacks.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ctr_cli::Failure;
use ctr_core::digest::Digest;
use ctr_core::platform::Platform;
use ctr_core::reference::Reference;
use ctr_core::store::{Store, StoreError};

use crate::args::{Args, Pull};

/// The image as it was named and its digest.
pub(crate) struct Found {
    pub(crate) name: Option<String>,
    pub(crate) digest: Digest,
}

/// Variables that `ctr-fetch` gets; nothing else of the caller's environment reaches it but [`PASSED_FAMILIES`].
const PASSED: [&str; 35] = [
    "HOME",
    "LANG",
    "LC_ALL",
    "NO_COLOR",
    "SOURCE_DATE_EPOCH",
    "TERM",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    // Which registries, and how they are reached.
    "CONTAINERS_REGISTRIES_CONF",
    "CONTAINERS_REGISTRIES_CONF_OVERRIDE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "all_proxy",
    "ALL_PROXY",
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "no_proxy",
    "NO_PROXY",
    // Credentials, and what programs that keep some need.
    "CREDENTIALS_DIRECTORY",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "DOCKER_AUTH_CONFIG",
    "DOCKER_CONFIG",
    "GNUPGHOME",
    "GPG_AGENT_INFO",
    "GPG_TTY",
    "PASSWORD_STORE_DIR",
    "PATH",
    "REGISTRY_AUTH_FILE",
    "USER",
    "WAYLAND_DISPLAY",
];

/// Beginnings of variables that it gets too: clouds' credential programs have many of them.
const PASSED_FAMILIES: [&str; 4] = ["AWS_", "AZURE_", "CLOUDSDK_", "GOOGLE_"];

/// A store error with its hint.
pub(crate) fn store_failure(error: StoreError) -> Failure {
    Failure::hinted(error, StoreError::hint)
}

/// Finds `image`; it is fetched as `--pull` says.
pub(crate) fn find(root: &Path, args: &Args) -> Result<(Store, Found), Failure> {
    let image = args.image();
    let is_path =
        image.starts_with('/') || image.starts_with("./") || image.starts_with("../") || image.contains(".aci");
    if is_path && Path::new(image).exists() {
        return by_path(root, Path::new(image), args);
    }
    if is_path && image.starts_with(['/', '.']) {
        return Err(Failure::new(format!("there is no image file {image}"))
            .hint("give the path of an .aci file, an OCI archive or layout"));
    }
    let pull = args.life.pull;
    let stored = Store::open(root).and_then(|store| store.find_image(image).map(|found| (store, found)));
    let ask = matches!(pull, Pull::Always | Pull::Newer) && is_name(image);
    let missing = match stored {
        Ok((store, found)) if !ask && suits(&store, &found.digest, args) => {
            return Ok((store, Found { name: found.name, digest: found.digest }));
        }
        Ok(_) => None,
        Err(error @ (StoreError::NoImage(_) | StoreError::Missing { .. })) => Some(store_failure(error)),
        Err(error) => return Err(store_failure(error)),
    };
    // "ctr-run app" next to a file "app": what is in the store comes first, what lies there second, the registry third.
    if missing.is_some() && Path::new(image).exists() {
        return by_path(root, Path::new(image), args);
    }
    match missing {
        Some(missing) if pull == Pull::Never || !is_name(image) => Err(missing),
        _ => by_name(root, image, args),
    }
}

/// Whether a text can name an image of a registry. A long hexadecimal number is rather the beginning of a digest.
fn is_name(image: &str) -> bool {
    let digest = image.len() >= 12 && image.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    !digest && !image.starts_with("sha256:") && image.parse::<Reference>().is_ok()
}

/// Whether an image of the store does for `--platform`. With `--pull=never` the plan says what is wrong with it.
fn suits(store: &Store, digest: &Digest, args: &Args) -> bool {
    let Some(Ok(wanted)) = args.life.platform.as_deref().map(str::parse::<Platform>) else { return true };
    let Ok(launch) = store.launch_record(digest) else { return true };
    let stored = Platform::new(&launch.os, &launch.architecture, &launch.variant);
    args.life.pull == Pull::Never || !is_name(args.image()) || wanted.runs(&stored).is_some()
}

fn by_name(root: &Path, image: &str, args: &Args) -> Result<(Store, Found), Failure> {
    let (name, digest) = fetch(root, OsStr::new(image), args, &["--pull", args.life.pull.word()])?;
    Ok((Store::open(root).map_err(store_failure)?, Found { name, digest }))
}

fn by_path(root: &Path, path: &Path, args: &Args) -> Result<(Store, Found), Failure> {
    let pull = args.life.pull;
    if !matches!(pull, Pull::Always | Pull::Newer)
        && let Ok(store) = Store::open(root)
        && let Some(digest) = std::fs::metadata(path).ok().and_then(|facts| store.known_file(&facts))
    {
        return Ok((store, Found { name: None, digest }));
    }
    if pull == Pull::Never {
        let what = format!("{} is not in the store, and --pull=never forbids to fetch it", path.display());
        return Err(Failure::new(what).hint(format!("ctr-fetch {}", path.display())));
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (_, digest) = fetch(root, absolute.as_os_str(), args, &[])?;
    Ok((Store::open(root).map_err(store_failure)?, Found { name: None, digest }))
}

/// Runs the `ctr-fetch` beside this executable, never one of `$PATH`, and reads `NAME DIGEST`.
fn fetch(root: &Path, source: &OsStr, args: &Args, options: &[&str]) -> Result<(Option<String>, Digest), Failure> {
    let program = fetch_program()?;
    let mut command = Command::new(&program);
    command.env_clear().arg("--root").arg(root).stdin(Stdio::null()).stderr(Stdio::inherit());
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").args(options);
    let passed = |name: &OsStr| {
        let in_family = |name: &str| PASSED_FAMILIES.iter().any(|family| name.starts_with(family));
        name.to_str().is_some_and(|name| PASSED.contains(&name) || in_family(name))
    };
    command.envs(std::env::vars_os().filter(|(name, _)| passed(name)));
    if let Some(platform) = &args.life.platform {
        command.args(["--platform", platform]);
    }
    if args.global.quiet {
        command.arg("--quiet");
    }
    command.arg("--").arg(source);
    let output = command
        .output()
        .map_err(|error| Failure::new(format!("cannot run {}", program.display())).caused_by(&error))?;
    if !output.status.success() {
        return Err(
            Failure::new(format!("{} could not be fetched", source.display())).because("ctr-fetch failed, see above")
        );
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().and_then(|line| line.rsplit_once(' '));
    let found = line.and_then(|(name, digest)| Some((Some(name.to_owned()), digest.parse().ok()?)));
    found.ok_or_else(|| Failure::new(format!("ctr-fetch printed no digest for {}", source.display())))
}

fn fetch_program() -> Result<PathBuf, Failure> {
    let own = ctr_sys::sealed::own_path()
        .map_err(|error| Failure::new("cannot find ctr-run's own directory").caused_by(&error))?;
    let program = own.with_file_name("ctr-fetch");
    if program.exists() {
        return Ok(program);
    }
    Err(Failure::new(format!("there is no {}", program.display()))
        .because("an image that is not in the store is brought in by ctr-fetch, from ctr-run's own directory")
        .hint("install ctr-fetch there, or fetch the image on another machine with the same store"))
}
