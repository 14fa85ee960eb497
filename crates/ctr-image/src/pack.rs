//! `ctr-image pack`: a directory tree becomes an image file. The same tree and options give the same bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use ctr_cli::{Context as _, Failure, GlobalArgs, OutputFormat};
use ctr_core::digest::Digest;
use ctr_core::reference::Reference;
use ctr_core::spec::oci::{Descriptor, MediaType};
use ctr_core::spec::platform::Platform;
use ctr_core::spec::write::{self, NewConfig};
use ctr_core::timestamp::Timestamp;
use ctr_layer::codec::Compression;
use ctr_layer::pack::{PackOptions, PackedLayer, pack_layer};
use serde::Serialize;

use ctr_export::{NewFile, OciArchive};

/// Make an image file of a directory
///
/// The same tree and options give the same bytes: entries are sorted, times are cut to SOURCE_DATE_EPOCH if that is
/// set, and the image's own time is that or 1970.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The root directory of the image
    dir: PathBuf,
    /// The file to write (.aci)
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Name of the image, which `ctr-fetch` gives it in the store
    #[arg(long, visible_alias = "tag", value_name = "NAME")]
    name: Option<String>,
    /// Program to run and its first arguments: once per argument, or a JSON list
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    entrypoint: Vec<String>,
    /// Arguments that a command line replaces: once per argument, or a JSON list
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    cmd: Vec<String>,
    /// Environment variable
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Working directory
    #[arg(long, value_name = "PATH")]
    workdir: Option<String>,
    /// User to run as: name or number, and group
    #[arg(long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Label
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// Path whose data outlive a container
    #[arg(long, value_name = "PATH")]
    volume: Vec<String>,
    /// Port that the program listens on
    #[arg(long, value_name = "PORT[/PROTOCOL]")]
    port: Vec<String>,
    /// Signal that asks the program to end
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// What the programs in the tree run on, if not on this machine
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
    /// Compression of the layer; gzip is what every other tool reads
    #[arg(long, value_enum, default_value_t)]
    compression: CompressionName,
    /// Keep the owners of files; without it all files belong to root
    #[arg(long)]
    keep_owner: bool,
}

/// The names of compressions on the command line.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
pub(crate) enum CompressionName {
    /// gzip level 6
    #[default]
    Gzip,
    /// zstd level 3: faster and smaller
    Zstd,
    /// No compression
    None,
}

impl From<CompressionName> for Compression {
    fn from(name: CompressionName) -> Self {
        match name {
            CompressionName::Gzip => Self::Gzip,
            CompressionName::Zstd => Self::Zstd,
            CompressionName::None => Self::Plain,
        }
    }
}

/// What is printed of a packed image.
#[derive(Debug, Serialize)]
struct Report<'a> {
    file: &'a Path,
    name: Option<String>,
    digest: Digest,
    layer_size: u64,
    entries: u64,
}

pub(crate) fn run(options: &Options, global: &GlobalArgs) -> Result<(), Failure> {
    let epoch = source_date_epoch()?;
    let (name, mut config) = config(options, epoch)?;
    refuse_output_inside(options)?;
    let root = File::open(&options.dir).context(|| format!("cannot open {}", options.dir.display()))?;
    if !root.metadata().context(|| "cannot look at the directory")?.is_dir() {
        return Err(Failure::new(format!("{} is not a directory", options.dir.display())));
    }
    let out = NewFile::create(&options.output)?;
    let mut scratch = out.scratch()?;
    let layer = layer(options, &root, epoch, &scratch)?;
    scratch.rewind().context(|| "cannot read the layer again")?;
    config.diff_ids = vec![layer.diff_id];
    let (out, digest) = image(out, &config, name.as_ref(), &layer, options.compression, scratch)?;
    out.publish()?;
    for socket in &layer.packed.sockets {
        ctr_cli::warn(format!("{socket} is a socket: it was left out, archives cannot hold any"));
    }
    match global.format {
        OutputFormat::Json => ctr_cli::print_json(&Report {
            file: &options.output,
            name: name.map(|name| name.to_string()),
            digest,
            layer_size: layer.size,
            entries: layer.packed.entries,
        }),
        OutputFormat::Table => ctr_cli::print(&format!("{digest}\n")),
    }
}

fn layer(options: &Options, root: &File, epoch: Option<u64>, scratch: &File) -> Result<PackedLayer, Failure> {
    let pack = PackOptions {
        clamp_mtime: epoch.and_then(|seconds| i64::try_from(seconds).ok()),
        owner: (!options.keep_owner).then_some((0, 0)),
        ..PackOptions::default()
    };
    let mut sink = BufWriter::with_capacity(1 << 18, scratch);
    let packed = pack_layer(root.as_fd(), &pack, options.compression.into(), &mut sink);
    let packed = packed.context(|| format!("cannot pack {}", options.dir.display()))?;
    sink.flush().context(|| "cannot write the layer")?;
    Ok(packed)
}

fn image(
    out: NewFile,
    config: &NewConfig,
    name: Option<&Reference>,
    layer: &PackedLayer,
    compression: CompressionName,
    blob: File,
) -> Result<(NewFile, Digest), Failure> {
    let config = write::config(config);
    let config_descriptor = Descriptor::new(MediaType::CONFIG, Digest::of(&config), config.len() as u64);
    let media_type = Compression::from(compression).codec().media_type().unwrap_or(MediaType::LAYER);
    let layers = [Descriptor::new(media_type, layer.digest, layer.size)];
    let manifest = write::manifest(&config_descriptor, &layers, &BTreeMap::new());
    let digest = Digest::of(&manifest);
    let descriptor = Descriptor::new(MediaType::MANIFEST, digest, manifest.len() as u64);
    let mut archive = OciArchive::begin(out, &[ctr_export::entry(descriptor, name, None)])?;
    archive.blob(&digest, manifest.len() as u64, manifest.as_slice())?;
    archive.blob(&config_descriptor.digest, config.len() as u64, config.as_slice())?;
    archive.blob(&layer.digest, layer.size, blob)?;
    Ok((archive.finish()?, digest))
}

/// `SOURCE_DATE_EPOCH` (reproducible-builds.org/specs/source-date-epoch), in seconds since 1970.
fn source_date_epoch() -> Result<Option<u64>, Failure> {
    let Some(text) = std::env::var_os("SOURCE_DATE_EPOCH").filter(|text| !text.is_empty()) else { return Ok(None) };
    let seconds = text.to_str().and_then(|text| text.parse::<u64>().ok()).filter(|seconds| *seconds < 1 << 33);
    let wrong =
        || Failure::usage(format!("SOURCE_DATE_EPOCH is \"{}\", no count of seconds since 1970", text.display()));
    seconds.map(Some).ok_or_else(wrong)
}

/// A file in the tree that is packed would be part of itself.
fn refuse_output_inside(options: &Options) -> Result<(), Failure> {
    let parent = options.output.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (Ok(parent), Ok(dir)) = (parent.canonicalize(), options.dir.canonicalize()) else { return Ok(()) };
    if parent.starts_with(&dir) {
        let text = format!("{} would lie inside of {}", options.output.display(), options.dir.display());
        return Err(Failure::usage(text).hint("write the image to another directory"));
    }
    Ok(())
}

fn config(options: &Options, epoch: Option<u64>) -> Result<(Option<Reference>, NewConfig), Failure> {
    let name = options.name.as_deref().map(str::parse::<Reference>).transpose();
    let name = name.map_err(|error| Failure::usage(error.to_string()))?;
    let platform = options.platform.as_deref().map(str::parse::<Platform>).transpose();
    let platform = platform.map_err(|error| Failure::usage(error.to_string()))?;
    let absolute = |what: &str, path: &String| {
        if path.starts_with('/') {
            return Ok(());
        }
        Err(Failure::usage(format!("{what} \"{path}\" is not an absolute path")))
    };
    options.workdir.iter().try_for_each(|path| absolute("the working directory", path))?;
    options.volume.iter().try_for_each(|path| absolute("the volume", path))?;
    for text in &options.env {
        pair(text, "--env takes NAME=VALUE")?;
    }
    let labels = options.label.iter().map(|text| pair(text, "--label takes KEY=VALUE"));
    let created = Timestamp(epoch.unwrap_or(0).saturating_mul(1_000_000_000)).to_string();
    let config = NewConfig {
        // Whole seconds: the fraction is always zero.
        created: created.replace(".000000000Z", "Z"),
        platform: Some(platform.unwrap_or_else(Platform::host)),
        diff_ids: Vec::new(),
        created_by: "ctr-image pack".to_owned(),
        entrypoint: list(&options.entrypoint, "--entrypoint")?,
        cmd: list(&options.cmd, "--cmd")?,
        env: options.env.clone(),
        user: options.user.clone().unwrap_or_default(),
        working_dir: options.workdir.clone().unwrap_or_default(),
        stop_signal: options.stop_signal.clone().unwrap_or_default(),
        volumes: options.volume.clone(),
        exposed_ports: options.port.iter().map(|text| port(text)).collect::<Result<_, _>>()?,
        labels: labels.collect::<Result<_, _>>()?,
    };
    Ok((name, config))
}

fn pair(text: &str, usage: &str) -> Result<(String, String), Failure> {
    let found = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = found.ok_or_else(|| Failure::usage(format!("{usage}, not \"{text}\"")))?;
    Ok((key.to_owned(), value.to_owned()))
}

/// One argument per occurrence, or a JSON list, which stands alone.
fn list(values: &[String], option: &str) -> Result<Vec<String>, Failure> {
    match values {
        [json] if json.starts_with('[') => {
            let wrong = |error| Failure::usage(format!("{option} takes a word or a JSON list of words")).because(error);
            serde_json::from_str(json).map_err(wrong)
        }
        words => Ok(words.to_vec()),
    }
}

fn port(text: &str) -> Result<String, Failure> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let good = number.parse::<u16>().is_ok_and(|number| number > 0) && matches!(protocol, "tcp" | "udp" | "sctp");
    if good {
        return Ok(format!("{number}/{protocol}"));
    }
    Err(Failure::usage(format!("--port takes PORT or PORT/PROTOCOL, not \"{text}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_words_or_json() {
        let words = |values: &[&str]| list(&values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>(), "--cmd");
        assert_eq!(words(&["a b", "-c"]).unwrap(), ["a b", "-c"]);
        assert_eq!(words(&[r#"["a","b"]"#]).unwrap(), ["a", "b"]);
        assert!(words(&["[a"]).is_err());
    }

    #[test]
    fn ports_are_checked() {
        assert_eq!(port("80").unwrap(), "80/tcp");
        assert_eq!(port("53/udp").unwrap(), "53/udp");
        for bad in ["0", "70000", "x", "80/http", ""] {
            assert!(port(bad).is_err(), "{bad}");
        }
    }
}
