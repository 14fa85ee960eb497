//! Which image: by name in the store, or by path, which `ctr-fetch` brings in if it is not known.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ctr_cli::Failure;
use ctr_core::digest::Digest;
use ctr_core::store::{Store, StoreError};

use crate::args::{Args, Pull};

/// The image as it was named and its digest.
pub(crate) struct Found {
    pub(crate) name: Option<String>,
    pub(crate) digest: Digest,
}

/// Variables that `ctr-fetch` gets; nothing else of the caller's environment reaches it.
const PASSED: [&str; 8] =
    ["HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "LANG", "LC_ALL", "TERM", "NO_COLOR", "SOURCE_DATE_EPOCH"];

/// A store error with its hint.
pub(crate) fn store_failure(error: StoreError) -> Failure {
    Failure::hinted(error, StoreError::hint)
}

/// Finds `image`; a path is fetched as `--pull` says.
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
    let missing = match Store::open(root) {
        Ok(store) => match store.find_image(image) {
            Ok(found) => return Ok((store, Found { name: found.name, digest: found.digest })),
            Err(error) => store_failure(error),
        },
        Err(error) => store_failure(error),
    };
    // "ctr-run app" next to a file "app": what is in the store comes first, what lies there second.
    if Path::new(image).exists() { by_path(root, Path::new(image), args) } else { Err(missing) }
}

fn by_path(root: &Path, path: &Path, args: &Args) -> Result<(Store, Found), Failure> {
    let pull = args.life.pull;
    if pull != Pull::Always
        && let Ok(store) = Store::open(root)
        && let Some(digest) = std::fs::metadata(path).ok().and_then(|facts| store.known_file(&facts))
    {
        return Ok((store, Found { name: None, digest }));
    }
    if pull == Pull::Never {
        let what = format!("{} is not in the store, and --pull=never forbids to fetch it", path.display());
        return Err(Failure::new(what).hint(format!("ctr-fetch {}", path.display())));
    }
    let digest = fetch(root, path, args)?;
    Ok((Store::open(root).map_err(store_failure)?, Found { name: None, digest }))
}

/// Runs the `ctr-fetch` beside this executable, never one of `$PATH`, and reads `NAME DIGEST`.
fn fetch(root: &Path, path: &Path, args: &Args) -> Result<Digest, Failure> {
    let program = fetch_program()?;
    let mut command = Command::new(&program);
    command.env_clear().arg("--root").arg(root).stdin(Stdio::null()).stderr(Stdio::inherit());
    for name in PASSED {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    // newuidmap and newgidmap, for an ordinary user's store.
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    if let Some(platform) = &args.life.platform {
        command.args(["--platform", platform]);
    }
    if args.global.quiet {
        command.arg("--quiet");
    }
    command.arg("--").arg(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    let output = command
        .output()
        .map_err(|error| Failure::new(format!("cannot run {}", program.display())).caused_by(&error))?;
    if !output.status.success() {
        return Err(
            Failure::new(format!("{} could not be fetched", path.display())).because("ctr-fetch failed, see above")
        );
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let digest = text.lines().last().and_then(|line| line.rsplit(' ').next()).and_then(|word| word.parse().ok());
    digest.ok_or_else(|| Failure::new(format!("ctr-fetch printed no digest for {}", path.display())))
}

fn fetch_program() -> Result<PathBuf, Failure> {
    let own = ctr_sys::sealed::own_path()
        .map_err(|error| Failure::new("cannot find ctr-run's own directory").caused_by(&error))?;
    let program = own.with_file_name("ctr-fetch");
    if program.exists() {
        return Ok(program);
    }
    Err(Failure::new(format!("there is no {}", program.display()))
        .because("an image file that is not in the store is brought in by ctr-fetch, from ctr-run's own directory")
        .hint("install ctr-fetch there, or fetch the image on another machine with the same store"))
}
