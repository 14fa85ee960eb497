//! `ctr-image verify`: is every byte of an image what it was when it was fetched?
//!
//! Each blob is read once: hashed, decompressed, hashed again, and its entries compared with the unpacked tree. Where a
//! tree seems to differ the layer is unpacked beside it and the two trees are compared, because some archives can only
//! be judged on top of the layers below.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::ExitCode;

use ctr_cli::{Context as _, Failure, GlobalArgs, OutputFormat, Progress};
use ctr_core::digest::Digest;
use ctr_core::launch::LayerId;
use ctr_core::spec::oci::Descriptor;
use ctr_core::spec::{UnpackedLayers, launch_record};
use ctr_core::store::{LayerDone, LayerStaging, Store, Txn};
use ctr_layer::LayerError;
use ctr_layer::install::{Target, install};
use ctr_layer::limits::Limits;
use ctr_layer::listing::{Difference, Listing};
use ctr_layer::pipeline::{Expected, list_blob};
use ctr_layer::unpack::Ownership;
use serde::Serialize;

use ctr_export::hinted;
use ctr_export::{Details, familiar, names_by_image};

/// Differences that are told of one layer; the rest is counted.
const TOLD: usize = 5;

/// Check that images are what was fetched
///
/// Hashes every blob and compares every unpacked layer with its blob. Ends with 1 if something is damaged.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Name, digest, or the beginning of a digest; all images if there is none
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Unpack damaged layers again from their blobs
    #[arg(long)]
    repair: bool,
}

/// One image (spec/schemas/image-verified.json).
#[derive(Debug, Serialize)]
struct Report {
    names: Vec<String>,
    digest: Digest,
    ok: bool,
    problems: Vec<Problem>,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, Serialize)]
struct Problem {
    /// `blob sha256:...`, `layer HEX` or `launch record`.
    object: String,
    what: String,
    repaired: bool,
}

pub(crate) fn run(options: &Options, global: &GlobalArgs, root: &std::path::Path) -> Result<ExitCode, Failure> {
    // Opened before: inside of the namespace every user is root, and has any store.
    let store = Store::open(root).map_err(hinted)?;
    let map = ctr_sys::userns::enter_storage_map().map_err(|error| {
        Failure::new("cannot enter a user namespace to look at files of other owners")
            .caused_by(&error)
            .hint(ctr_sys::userns::hint(&error))
    })?;
    let ownership = if map.single_id() { Ownership::Record } else { Ownership::Chown };
    let all = names_by_image(&store)?;
    let mut wanted: Vec<Digest> = Vec::new();
    for text in &options.images {
        wanted.push(store.find_image(text).map_err(hinted)?.digest);
    }
    if options.images.is_empty() {
        wanted.extend(all.keys());
    }
    let txn = store.begin().map_err(hinted)?;
    let progress = Progress::new();
    let mut verifier =
        Verifier { store: &store, txn, ownership, repair: options.repair, progress, seen: BTreeMap::new() };
    let mut reports = Vec::new();
    for digest in wanted {
        let problems = verifier.image(&digest);
        let ok = problems.iter().all(|problem| problem.repaired);
        let names = all.get(&digest).cloned().unwrap_or_default();
        reports.push(Report { names, digest, ok, problems });
    }
    verifier.progress.clear();
    let ok = reports.iter().all(|report| report.ok);
    match global.format {
        OutputFormat::Json => ctr_cli::print_json(&reports)?,
        OutputFormat::Table => reports.iter().try_for_each(|report| ctr_cli::print(&text_of(report)))?,
    }
    if !ok {
        let hint = if options.repair { "fetch the image again from where it came" } else { "try --repair" };
        return Err(Failure::new("an image is damaged").hint(hint));
    }
    Ok(ExitCode::SUCCESS)
}

fn text_of(report: &Report) -> String {
    let names: Vec<String> = report.names.iter().map(|name| familiar(name)).collect();
    let name = if names.is_empty() { "-".to_owned() } else { names.join(",") };
    let state = match (report.ok, report.problems.is_empty()) {
        (_, true) => "ok",
        (true, false) => "repaired",
        (false, _) => "damaged",
    };
    let mut text = format!("{name} {} {state}\n", report.digest.short());
    for problem in &report.problems {
        let repaired = if problem.repaired { " (repaired)" } else { "" };
        text.push_str("  ");
        text.push_str(&ctr_cli::escape::visible(&format!("{}: {}{repaired}", problem.object, problem.what)));
        text.push('\n');
    }
    text
}

struct Verifier<'a> {
    store: &'a Store,
    txn: Txn,
    ownership: Ownership,
    repair: bool,
    progress: Progress,
    /// Layers that several images share are looked at once.
    seen: BTreeMap<(Digest, LayerId), Vec<Problem>>,
}

/// A layer of an image.
struct Layer<'a> {
    descriptor: &'a Descriptor,
    diff_id: Digest,
    chain_id: Digest,
    id: LayerId,
    /// The trees below, lowest first.
    below: &'a [PathBuf],
}

impl Layer<'_> {
    fn expected(&self) -> Expected {
        let Descriptor { digest, size, .. } = self.descriptor;
        Expected { blob: Some(*digest), size: Some(*size), diff_id: Some(self.diff_id) }
    }
}

impl Verifier<'_> {
    fn image(&mut self, digest: &Digest) -> Vec<Problem> {
        let unusable = |failure: &Failure| Problem {
            object: format!("image {digest}"),
            what: std::iter::once(failure.what())
                .chain(failure.causes().iter().map(String::as_str))
                .collect::<Vec<_>>()
                .join(": "),
            repaired: false,
        };
        if let Err(error) = self.txn.keep_image(digest) {
            return vec![unusable(&error.into())];
        }
        let details = match Details::load(self.store, digest) {
            Ok(details) => details,
            Err(failure) => return vec![unusable(&failure)],
        };
        let mut problems = Vec::new();
        let mut below = Vec::new();
        let mut chain: Option<Digest> = None;
        let layers = details.manifest.layers.iter().zip(&details.config.diff_ids);
        for (position, (descriptor, diff_id)) in layers.enumerate() {
            let chain_id = chain.map_or(*diff_id, |below| Digest::of(format!("{below} {diff_id}").as_bytes()));
            chain = Some(chain_id);
            // What the launch record says; it is checked below. It knows best whether the layer needs its parents.
            let id = details.launch.layers.get(position).copied().unwrap_or(LayerId(chain_id));
            let layer = Layer { descriptor, diff_id: *diff_id, chain_id, id, below: &below };
            problems.extend(self.layer_once(&layer));
            below.push(self.store.layer_fs(&id));
        }
        problems.extend(self.launch(&details));
        problems
    }

    fn layer_once(&mut self, layer: &Layer<'_>) -> Vec<Problem> {
        let key = (layer.descriptor.digest, layer.id);
        if let Some(problems) = self.seen.get(&key) {
            return problems.clone();
        }
        let problems = self.layer(layer);
        self.seen.insert(key, problems.clone());
        problems
    }

    fn layer(&self, layer: &Layer<'_>) -> Vec<Problem> {
        let blob = match self.blob(layer) {
            Ok(listing) => listing,
            Err(failure) => {
                // Without a good blob nothing is known of the tree.
                let causes = failure.causes().join(": ");
                let what = if causes.is_empty() { failure.what().to_owned() } else { causes };
                if self.repair {
                    self.take_out(&layer.descriptor.digest);
                }
                return vec![Problem { object: format!("blob {}", layer.descriptor.digest), what, repaired: false }];
            }
        };
        let object = format!("layer {}", layer.id);
        let problem = match self.tree(layer, &blob) {
            Ok(problem) => problem,
            Err(failure) => Some((failure.causes().first().map_or(failure.what(), String::as_str).to_owned(), None)),
        };
        let Some((problem, fresh)) = problem else { return Vec::new() };
        let mut found = Problem { object, what: problem, repaired: false };
        if self.repair {
            match self.replace(layer, fresh) {
                Ok(()) => found.repaired = true,
                Err(failure) => found.what = format!("{}; not repaired: {}", found.what, failure.what()),
            }
        }
        vec![found]
    }

    /// Reads the blob and lists what is in it.
    fn blob(&self, layer: &Layer<'_>) -> Result<Listing, Failure> {
        let descriptor = layer.descriptor;
        let blob = self.store.blob(&descriptor.digest).map_err(hinted)?;
        let file = File::open(&blob.path).context(|| format!("cannot open blob {}", descriptor.digest))?;
        let bar = self.progress.bar(&format!("layer {}", descriptor.digest.short()), Some(descriptor.size));
        let (_, listing) = list_blob(bar.reading(file), &layer.expected())?;
        bar.finish("read");
        Ok(listing)
    }

    /// Takes a damaged blob away, so that the next fetch sees that it is missing. Nothing is started from it.
    fn take_out(&self, digest: &Digest) {
        if let Ok(blob) = self.store.blob(digest) {
            // It stays damaged, and told as such, where this fails.
            let _ = std::fs::rename(&blob.path, self.txn.dir().join(digest.hex()));
        }
    }

    fn list_tree(&self, path: &std::path::Path) -> Result<Listing, Failure> {
        let root = File::open(path).context(|| format!("cannot open {}", path.display()))?;
        Ok(Listing::of_tree(root.as_fd(), self.store.dialect(), self.ownership, &Limits::default())?)
    }

    /// What is wrong with the unpacked tree, and the tree as it should be if it was made to find that out.
    fn tree(&self, layer: &Layer<'_>, blob: &Listing) -> Result<Option<(String, Option<Fresh>)>, Failure> {
        if self.store.layer(&layer.id).map_err(hinted)?.is_none() {
            return Ok(Some(("it is missing".to_owned(), None)));
        }
        let tree = self.list_tree(&self.store.layer_fs(&layer.id))?;
        if blob.differences(&tree, true).is_empty() {
            return Ok(None);
        }
        let fresh = self.unpack(layer)?;
        let differences = self.list_tree(&fresh.staging.fs())?.differences(&tree, false);
        Ok(if differences.is_empty() { None } else { Some((words(&differences), Some(fresh))) })
    }

    fn unpack(&self, layer: &Layer<'_>) -> Result<Fresh, Failure> {
        let blob = self.store.blob(&layer.descriptor.digest).map_err(hinted)?;
        let file = File::open(&blob.path).context(|| "cannot open the blob")?;
        let staging = self.txn.layer_staging().map_err(hinted)?;
        let dir = staging.fs();
        let target = Target { dir: &dir, below: layer.below, dialect: self.store.dialect(), ownership: self.ownership };
        let unpacked = install(file, &layer.expected(), None, &target)
            .map_err(|error| Failure::hinted(error, LayerError::hint))?;
        let done = unpacked.done(layer.diff_id, layer.chain_id);
        Ok(Fresh { staging, done })
    }

    fn replace(&self, layer: &Layer<'_>, fresh: Option<Fresh>) -> Result<(), Failure> {
        let Fresh { staging, done } = match fresh {
            Some(fresh) => fresh,
            None => self.unpack(layer)?,
        };
        if done.id() != layer.id {
            return Err(Failure::new(format!("it is {} now", done.id())).hint("fetch the image again"));
        }
        self.txn.replace_layer(staging, done).map_err(hinted)?;
        Ok(())
    }

    /// Whether the launch record says what config and layers say.
    fn launch(&self, details: &Details) -> Option<Problem> {
        let mut unpacked = UnpackedLayers { layers: details.launch.layers.clone(), ..UnpackedLayers::default() };
        for id in &details.launch.layers {
            let done = self.store.layer(id).ok().flatten()?;
            unpacked.max_uid = unpacked.max_uid.max(done.max_uid);
            unpacked.max_gid = unpacked.max_gid.max(done.max_gid);
        }
        let right = launch_record(details.digest, details.manifest.config.digest, &details.config, unpacked);
        if right == details.launch {
            return None;
        }
        let repaired = self.repair && self.txn.add_image(&right, &[], None).is_ok();
        let what = "it does not say what the image config says".to_owned();
        Some(Problem { object: "launch record".to_owned(), what, repaired })
    }
}

/// A layer unpacked anew.
struct Fresh {
    staging: LayerStaging,
    done: LayerDone,
}

fn words(differences: &[Difference]) -> String {
    let mut told: Vec<String> = differences.iter().take(TOLD).map(|d| format!("{} {}", d.path, d.what)).collect();
    if differences.len() > TOLD {
        told.push(format!("and {} more", differences.len() - TOLD));
    }
    told.join(", ")
}
