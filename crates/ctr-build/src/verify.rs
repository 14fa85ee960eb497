//! `--verify-reproducible`: the same build once more, by this program, without the cache; and what differs first.

use std::fs::File;
use std::io::BufReader;
use std::process::{Command, Stdio};

use ctr_cli::{Context as _, Failure};
use ctr_core::digest::Digest;
use ctr_core::spec::{MAX_DOCUMENT, oci};
use ctr_layer::limits::Limits;
use ctr_layer::listing::Listing;
use ctr_layer::tar::TarReader;
use ctr_layer::{LayerError, codec};
use serde_json::Value;

use crate::builder::{Builder, hinted};
use crate::commit::Image;
use crate::plan::Done;

/// Builds again and compares.
pub(crate) fn verify(done: &[Done<'_>]) -> Result<(), Failure> {
    let Some(first) = done.first() else { return Ok(()) };
    let second = second_build(first.builder.request.epoch)?;
    for (at, done) in done.iter().enumerate() {
        let second = second.get(at).ok_or_else(|| Failure::new("the second build printed no digest"))?;
        compare(&done.builder, &done.image, *second)?;
    }
    ctr_cli::note("the second build gave the same image");
    Ok(())
}

/// Digests of the images, in the order of the platforms.
fn second_build(epoch: i64) -> Result<Vec<Digest>, Failure> {
    let arguments = std::env::args_os().skip(1).filter(|argument| argument != "--verify-reproducible");
    let output = Command::new("/proc/self/exe")
        .arg("--second-build")
        .args(arguments)
        .env("SOURCE_DATE_EPOCH", epoch.to_string())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context(|| "cannot build a second time".to_owned())?;
    if !output.status.success() {
        return Err(Failure::new("the second build failed").because("the first one did not; see above"));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

fn compare(builder: &Builder<'_>, image: &Image, second: Digest) -> Result<(), Failure> {
    if second == image.digest {
        return Ok(());
    }
    let failure = Failure::new("the image is not the same each time")
        .because(format!("{} the first time, {second} the second", image.digest));
    Err(match difference(builder, &image.digest, &second)? {
        Some((because, lines)) => failure.because(because).excerpt(lines),
        None => failure,
    })
}

/// An image as far as it is compared.
struct Parts {
    layers: Vec<Digest>,
    diff_ids: Vec<Digest>,
    config: Value,
}

fn parts(builder: &Builder<'_>, image: &Digest) -> Result<Parts, Failure> {
    let read = |digest: &Digest| builder.store.read_blob_capped(digest, MAX_DOCUMENT).map_err(hinted);
    let spec = |error: ctr_core::spec::SpecError| Failure::new(error.to_string());
    let manifest = oci::parse_manifest(&read(image)?).map_err(spec)?;
    let bytes = read(&manifest.config.digest)?;
    let parsed = oci::parse_config(&bytes, manifest.layers.len()).map_err(spec)?;
    let config = serde_json::from_slice(&bytes).context(|| "cannot read an image config".to_owned())?;
    let layers = manifest.layers.iter().map(|layer| layer.digest).collect();
    Ok(Parts { layers, diff_ids: parsed.diff_ids, config })
}

/// The first layer that differs, and the files of it that do.
fn difference(
    builder: &Builder<'_>,
    first: &Digest,
    second: &Digest,
) -> Result<Option<(String, Vec<String>)>, Failure> {
    /// Differences that are shown.
    const SHOWN: usize = 10;
    let (one, other) = (parts(builder, first)?, parts(builder, second)?);
    let differs = one.diff_ids.iter().zip(&other.diff_ids).position(|(one, other)| one != other);
    let Some(at) = differs else {
        let what = if one.diff_ids.len() == other.diff_ids.len() { "the config" } else { "the number of layers" };
        return Ok(Some((format!("{what} differs"), Vec::new())));
    };
    let made_by = history(&one.config, one.diff_ids.len() - at).unwrap_or_default();
    let (Some(blob), Some(other_blob)) = (one.layers.get(at), other.layers.get(at)) else { return Ok(None) };
    let (listed, other_listed) = (listing(builder, blob)?, listing(builder, other_blob)?);
    let differences = listed.differences(&other_listed, false);
    let lines = differences.iter().take(SHOWN).map(|found| format!("{}: {}", found.path, found.what)).collect();
    Ok(Some((format!("layer {} differs first, of {made_by}", at + 1), lines)))
}

/// What made the layer, counted from the last one, which is 1: bases need not have a history.
fn history(config: &Value, from_last: usize) -> Option<String> {
    let lines = config.get("history")?.as_array()?;
    let is_layer = |line: &&Value| line.get("empty_layer").and_then(Value::as_bool) != Some(true);
    lines.iter().rev().filter(is_layer).nth(from_last.checked_sub(1)?)?.get("created_by")?.as_str().map(str::to_owned)
}

fn listing(builder: &Builder<'_>, blob: &Digest) -> Result<Listing, Failure> {
    let failure = |error: LayerError| Failure::hinted(error, LayerError::hint);
    let file: File = builder.txn.open_blob(blob).map_err(hinted)?;
    let (_, decoded) = codec::open(BufReader::new(file)).map_err(failure)?;
    let limits = Limits::default();
    let mut reader = TarReader::new(BufReader::new(decoded), limits);
    Listing::of_archive(&mut reader, &limits).map_err(failure)
}
