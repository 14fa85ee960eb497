//! `ctr-image inspect`.

use std::fmt::Write as _;
use std::io::Write as _;

use ctr_cli::{Context as _, Failure, GlobalArgs, OutputFormat, escape, human};
use ctr_core::digest::Digest;
use ctr_core::launch::LaunchRecord;
use ctr_core::store::Store;
use serde::Serialize;
use serde_json::Value;

use ctr_export::hinted;
use ctr_export::{Details, familiar, names_by_image};

/// Show what is known of images
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Name, digest, or the beginning of a digest
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Print a document as it was received, byte by byte
    #[arg(long, value_enum, value_name = "DOCUMENT")]
    raw: Option<Document>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Document {
    /// The image manifest
    Manifest,
    /// The image config
    Config,
}

/// An image in full (spec/schemas/image.json).
#[derive(Debug, Serialize)]
struct Report {
    names: Vec<String>,
    digest: Digest,
    platform: String,
    created: Option<String>,
    size: u64,
    manifest: Value,
    config: Value,
    launch: LaunchRecord,
}

pub(crate) fn run(options: &Options, global: &GlobalArgs, store: &Store) -> Result<(), Failure> {
    let all = names_by_image(store)?;
    let mut reports = Vec::new();
    for text in &options.images {
        let digest = store.find_image(text).map_err(hinted)?.digest;
        let details = Details::load(store, &digest)?;
        if let Some(document) = options.raw {
            let bytes = match document {
                Document::Manifest => &details.manifest_bytes,
                Document::Config => &details.config_bytes,
            };
            let mut out = ctr_cli::stdout();
            out.write_all(bytes)?;
            out.flush()?;
            continue;
        }
        let names = all.get(&digest).cloned().unwrap_or_default();
        if global.format == OutputFormat::Json {
            reports.push(report(details, names)?);
        } else {
            ctr_cli::print(&text_of(&details, &names))?;
        }
    }
    if global.format == OutputFormat::Json && options.raw.is_none() {
        ctr_cli::print_json(&reports)?;
    }
    Ok(())
}

fn report(details: Details, names: Vec<String>) -> Result<Report, Failure> {
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).context(|| "cannot read a document of the image");
    Ok(Report {
        names,
        digest: details.digest,
        platform: details.config.platform.to_string(),
        created: details.config.created.clone(),
        size: details.size(),
        manifest: json(&details.manifest_bytes)?,
        config: json(&details.config_bytes)?,
        launch: details.launch,
    })
}

fn text_of(details: &Details, names: &[String]) -> String {
    let config = &details.config;
    let mut out = String::new();
    let mut line = |key: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{key:<12} {}", escape::visible(value));
        }
    };
    let names: Vec<String> = names.iter().map(|name| familiar(name)).collect();
    line("Names", &names.join(", "));
    line("Digest", &details.digest.to_string());
    line("Platform", &config.platform.to_string());
    line("Created", config.created.as_deref().unwrap_or_default());
    line("Size", &human::size(details.size()));
    line("Entrypoint", &words(&config.entrypoint));
    line("Cmd", &words(&config.cmd));
    line("User", &config.user);
    line("WorkingDir", &config.working_dir);
    line("StopSignal", &config.stop_signal);
    line("Volumes", &config.volumes.join(", "));
    line("Ports", &config.exposed_ports.join(", "));
    config.env.iter().for_each(|env| line("Env", env));
    config.labels.iter().for_each(|(key, value)| line("Label", &format!("{key}={value}")));
    details.manifest.annotations.iter().for_each(|(key, value)| line("Annotation", &format!("{key}={value}")));
    for layer in &details.manifest.layers {
        line("Layer", &format!("{} {} {}", layer.digest, human::size(layer.size), layer.media_type));
    }
    out.push('\n');
    out
}

/// A command line as JSON: it shows where words end.
fn words(words: &[String]) -> String {
    if words.is_empty() { String::new() } else { serde_json::to_string(words).unwrap_or_default() }
}
