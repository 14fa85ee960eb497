//! `ctr-push static`: what a static registry needs besides images.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use ctr_cli::{Context as _, Failure, OutputFormat};
use ctr_core::reference::Reference;
use ctr_static::{Removed, Tree, TreeError, What};
use serde::Serialize;

/// The word that stands where else the image does.
const WORD: &str = "static";

/// `ctr-push static --nginx DIR`, `ctr-push static --remove NAME DIR`.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Options of `ctr-push static OPTION DIR`")]
pub(crate) struct UpkeepArgs {
    /// Print the configuration of nginx that serves the static registry in DIR
    #[arg(long, conflicts_with = "remove")]
    nginx: bool,
    /// With --nginx: where to listen
    #[arg(long, value_name = "[ADDRESS:]PORT", requires = "nginx", default_value = "80")]
    listen: String,
    /// With --nginx: the host that is asked for; `_` is any
    #[arg(long, value_name = "HOST", requires = "nginx", default_value = "_")]
    server_name: String,
    /// Remove from the static registry in DIR a tag, or an image with all of its tags, and what only it needs
    #[arg(long, value_name = "NAME:TAG|NAME@DIGEST")]
    remove: Option<String>,
}

/// What was removed (spec/schemas/static-removed.json).
#[derive(Debug, Serialize)]
struct Gone {
    name: String,
    tags: Vec<String>,
    manifests: u64,
    blobs: u64,
    bytes: u64,
}

fn hinted(error: TreeError) -> Failure {
    Failure::hinted(error, TreeError::hint)
}

impl UpkeepArgs {
    /// Does it, if that is what was asked for. `image` and `destination` are the arguments as they stand.
    pub(crate) fn run(&self, image: &str, destination: Option<&OsStr>, format: OutputFormat) -> Result<bool, Failure> {
        if !self.nginx && self.remove.is_none() {
            return Ok(false);
        }
        let usage = || Failure::usage("--nginx and --remove are written `ctr-push static --nginx DIR`");
        let dir = destination.filter(|_| image == WORD).ok_or_else(usage)?;
        let bytes = dir.as_bytes();
        let dir = Path::new(OsStr::from_bytes(bytes.strip_prefix(b"static:").unwrap_or(bytes)));
        match &self.remove {
            Some(name) => remove(dir, name, format)?,
            None => ctr_cli::print(&self.configuration(dir)?)?,
        }
        Ok(true)
    }

    fn configuration(&self, dir: &Path) -> Result<String, Failure> {
        // Where it will be: it need not be there yet.
        let root: PathBuf = match std::fs::canonicalize(dir) {
            Ok(root) => root,
            Err(_) => std::path::absolute(dir).context(|| format!("cannot use {}", dir.display()))?,
        };
        ctr_static::nginx(&root, &self.listen, &self.server_name).map_err(hinted)
    }
}

fn remove(dir: &Path, name: &str, format: OutputFormat) -> Result<(), Failure> {
    // A name in the tree has no registry before it.
    let parsed = format!("static.invalid/{name}").parse::<Reference>();
    let parsed = parsed.map_err(|error| Failure::usage(format!("\"{name}\" is no image: {}", error.problem)))?;
    let what = match (parsed.digest(), parsed.tag()) {
        (Some(digest), _) => What::Digest(*digest),
        // Nobody removes what they have not named.
        (None, Some(tag)) if name.ends_with(&format!(":{tag}")) => What::Tag(tag.to_owned()),
        _ => return Err(Failure::usage(format!("\"{name}\" has no tag")).hint("write NAME:TAG or NAME@DIGEST")),
    };
    let repository = parsed.path().parse().map_err(hinted)?;
    let tree = Tree::open(dir).map_err(hinted)?;
    let Removed { tags, manifests, blobs, bytes } = tree.remove(&repository, &what).map_err(hinted)?;
    let gone = Gone { name: repository.to_string(), tags, manifests, blobs, bytes };
    match format {
        OutputFormat::Json => ctr_cli::print_json(&gone),
        OutputFormat::Table => {
            let tags: Vec<String> = gone.tags.iter().map(|tag| format!("{}:{tag}\n", gone.name)).collect();
            ctr_cli::note(format!("removed {manifests} manifests, {blobs} blobs, {bytes} bytes"));
            ctr_cli::print(&tags.concat())
        }
    }
}
