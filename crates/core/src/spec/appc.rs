//! Legacy appc images (App Container Image, appc 0.8): the image manifest, mapped to an OCI config.
//!
//! Stricter than the reference validator where it let through what no executor can run (empty or relative `exec`,
//! relative or repeated mount points, a set of capabilities to keep beside one to drop), laxer on `arch`, whose closed
//! list ended before today's machines. Fields that the specification does not know are ignored, as it demands.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::platform::Platform;
use super::write::NewConfig;
use super::{SpecError, json};

const WHAT: &str = "appc image manifest";

/// Manifest annotation with the appc ports as JSON: their names, ranges and socket activation.
pub const PORTS: &str = "io.ctr.appc.ports";
/// Manifest annotation with the appc mount points as JSON: their names and read-only flags.
pub const MOUNT_POINTS: &str = "io.ctr.appc.mount-points";
/// Manifest annotation with the appc isolators as JSON.
pub const ISOLATORS: &str = "io.ctr.appc.isolators";
/// Manifest annotation with the appc event handlers as JSON.
pub const EVENT_HANDLERS: &str = "io.ctr.appc.event-handlers";
/// Manifest annotation with the appc image name.
pub const NAME: &str = "io.ctr.appc.name";

/// Most ports that one range may name.
const MAX_PORT_RANGE: u32 = 1024;

/// A legacy image, understood.
#[derive(Debug, Clone)]
pub struct AppcImage {
    /// The appc name (`example.com/worker`).
    pub name: String,
    /// The label `version`.
    pub version: Option<String>,
    /// The config to write; `diff_ids` are to be filled in.
    pub config: NewConfig,
    /// Annotations of the OCI manifest to write: what an OCI config has no place for.
    pub annotations: BTreeMap<String, String>,
    /// What the image asks for and a run of it does not get by itself, in words.
    pub notes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManifestJson {
    ac_kind: String,
    ac_version: String,
    name: String,
    #[serde(default)]
    labels: Vec<Pair>,
    app: Option<AppJson>,
    #[serde(default)]
    dependencies: Vec<DependencyJson>,
    #[serde(default)]
    path_whitelist: Vec<String>,
    #[serde(default)]
    annotations: Vec<Pair>,
}

#[derive(Deserialize)]
struct Pair {
    name: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DependencyJson {
    image_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AppJson {
    exec: Option<Vec<String>>,
    user: String,
    group: String,
    #[serde(default, rename = "supplementaryGIDs")]
    supplementary_gids: Vec<u32>,
    #[serde(default)]
    event_handlers: Vec<Value>,
    #[serde(default)]
    working_directory: String,
    #[serde(default)]
    environment: Vec<Pair>,
    #[serde(default)]
    isolators: Vec<Value>,
    #[serde(default)]
    mount_points: Vec<MountPointJson>,
    #[serde(default)]
    ports: Vec<PortJson>,
    #[serde(default)]
    user_annotations: BTreeMap<String, String>,
    #[serde(default)]
    user_labels: BTreeMap<String, String>,
}

#[derive(Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct MountPointJson {
    name: String,
    path: String,
    #[serde(default)]
    read_only: bool,
}

#[derive(Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct PortJson {
    name: String,
    protocol: String,
    port: u32,
    #[serde(default = "one")]
    count: u32,
    #[serde(default)]
    socket_activated: bool,
}

fn one() -> u32 {
    1
}

/// Parses the `manifest` of an appc image and maps it.
pub fn parse(bytes: &[u8]) -> Result<AppcImage, SpecError> {
    let mut value = json::parse(bytes, WHAT)?;
    drop_nulls(&mut value);
    let manifest: ManifestJson =
        serde_json::from_value(value).map_err(|source| SpecError::Json { what: WHAT, source })?;
    check_head(&manifest)?;
    let labels = unique(&manifest.labels, "label")?;
    let annotations = unique(&manifest.annotations, "annotation")?;
    let mut image = AppcImage {
        name: manifest.name.clone(),
        version: labels.get("version").cloned(),
        config: NewConfig {
            created: annotations.get("created").cloned().unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned()),
            platform: Some(platform(&labels)),
            created_by: format!("imported from the appc image {}", manifest.name),
            ..NewConfig::default()
        },
        annotations: BTreeMap::from([(NAME.to_owned(), manifest.name.clone())]),
        notes: Vec::new(),
    };
    for (name, value) in annotations {
        let name = match name.as_str() {
            "created" | "authors" | "documentation" => format!("org.opencontainers.image.{name}"),
            "homepage" => "org.opencontainers.image.url".to_owned(),
            _ => name,
        };
        image.annotations.insert(name, value);
    }
    for (name, value) in labels {
        let name = match name.as_str() {
            "version" => "org.opencontainers.image.version".to_owned(),
            "os" | "arch" => continue,
            _ => name,
        };
        image.config.labels.insert(name, value);
    }
    if let Some(app) = manifest.app {
        map_app(app, &mut image)?;
    }
    Ok(image)
}

/// A null says as much as no key at all.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

fn check_head(manifest: &ManifestJson) -> Result<(), SpecError> {
    if manifest.ac_kind != "ImageManifest" {
        let why = format!("acKind is \"{}\", not \"ImageManifest\"", manifest.ac_kind);
        return Err(SpecError::malformed(WHAT, why));
    }
    let numbers = manifest.ac_version.split(['-', '+']).next().unwrap_or_default().split('.');
    let numbers: Vec<&str> = numbers.collect();
    if numbers.len() != 3 || numbers.iter().any(|n| n.is_empty() || !n.bytes().all(|b| b.is_ascii_digit())) {
        let why = format!("acVersion \"{}\" is not a semantic version", manifest.ac_version);
        return Err(SpecError::malformed(WHAT, why));
    }
    identifier(&manifest.name, "name")?;
    if !manifest.dependencies.is_empty() {
        let names: Vec<&str> = manifest.dependencies.iter().map(|d| d.image_name.as_str()).collect();
        let why = format!(
            "{} needs other images ({}); appc dependencies are not supported, because they name no fixed content",
            manifest.name,
            names.join(", ")
        );
        return Err(SpecError::unsupported(WHAT, why));
    }
    if !manifest.path_whitelist.is_empty() {
        return Err(SpecError::unsupported(
            WHAT,
            format!("{} has a pathWhitelist, which is not supported", manifest.name),
        ));
    }
    Ok(())
}

fn unique(pairs: &[Pair], kind: &str) -> Result<BTreeMap<String, String>, SpecError> {
    let mut map = BTreeMap::new();
    for pair in pairs {
        identifier(&pair.name, kind)?;
        if map.insert(pair.name.clone(), pair.value.clone()).is_some() {
            return Err(SpecError::malformed(WHAT, format!("the {kind} \"{}\" stands twice", pair.name)));
        }
    }
    Ok(map)
}

/// AC Identifier (appc spec/types.md): `[a-z0-9]+([-._~/][a-z0-9]+)*`.
fn identifier(text: &str, kind: &str) -> Result<(), SpecError> {
    let good = !text.is_empty()
        && text.len() <= 255
        && text
            .split(['-', '.', '_', '~', '/'])
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
    if good {
        Ok(())
    } else {
        Err(SpecError::malformed(WHAT, format!("the {kind} \"{text}\" is not an AC Identifier")))
    }
}

/// AC Name (appc spec/types.md): `[a-z0-9]+(-[a-z0-9]+)*`.
fn name(text: &str, kind: &str) -> Result<(), SpecError> {
    if text.contains(['.', '_', '~', '/']) {
        return Err(SpecError::malformed(WHAT, format!("the {kind} name \"{text}\" is not an AC Name")));
    }
    identifier(text, kind)
}

fn platform(labels: &BTreeMap<String, String>) -> Platform {
    let host = Platform::host();
    let os = labels.get("os").map_or("linux", String::as_str);
    match labels.get("arch").map(String::as_str) {
        None => Platform { os: os.to_owned(), ..host },
        Some("aarch64_be") => Platform::new(os, "arm64be", ""),
        Some(arch) => Platform::new(os, arch, ""),
    }
}

fn map_app(app: AppJson, image: &mut AppcImage) -> Result<(), SpecError> {
    if let Some(exec) = &app.exec {
        match exec.first() {
            None => return Err(SpecError::malformed(WHAT, "app.exec is empty")),
            Some(program) if !program.starts_with('/') => {
                let why = format!("app.exec names \"{program}\", which is no absolute path");
                return Err(SpecError::malformed(WHAT, why));
            }
            Some(_) => {}
        }
    }
    image.config.entrypoint = app.exec.unwrap_or_default();
    image.config.user = user(&app.user, &app.group)?;
    if !app.working_directory.is_empty() && !app.working_directory.starts_with('/') {
        let why = format!("app.workingDirectory \"{}\" is no absolute path", app.working_directory);
        return Err(SpecError::malformed(WHAT, why));
    }
    image.config.working_dir = app.working_directory;
    image.config.env = environment(&app.environment)?;
    mount_points(&app.mount_points, image)?;
    ports(&app.ports, image)?;
    isolators(&app.isolators, image)?;
    if !app.event_handlers.is_empty() {
        annotate(image, EVENT_HANDLERS, &app.event_handlers);
        image.notes.push("its event handlers (pre-start, post-stop) are recorded, not run".to_owned());
    }
    if !app.supplementary_gids.is_empty() {
        let list: Vec<String> = app.supplementary_gids.iter().map(ToString::to_string).collect();
        image.notes.push(format!("its supplementary groups {} are not applied", list.join(", ")));
    }
    image.config.labels.extend(app.user_labels);
    image.annotations.extend(app.user_annotations);
    let config = &image.config;
    let strings = config.entrypoint.iter().chain(&config.env).chain(&config.volumes);
    if strings.chain([&config.user, &config.working_dir]).any(|s| s.contains('\0')) {
        return Err(SpecError::malformed(WHAT, "a string of \"app\" holds a NUL character"));
    }
    Ok(())
}

/// appc lets user and group be the path of a file whose owner is meant; OCI has no word for it.
fn user(user: &str, group: &str) -> Result<String, SpecError> {
    for (field, text) in [("user", user), ("group", group)] {
        if text.is_empty() || text.contains(':') {
            return Err(SpecError::malformed(WHAT, format!("app.{field} is \"{text}\"")));
        }
        if text.starts_with('/') {
            let why = format!("app.{field} is the owner of the file {text}, which is not supported");
            return Err(SpecError::unsupported(WHAT, why));
        }
    }
    Ok(format!("{user}:{group}"))
}

fn environment(pairs: &[Pair]) -> Result<Vec<String>, SpecError> {
    let mut seen = BTreeSet::new();
    let mut env = Vec::with_capacity(pairs.len());
    for Pair { name, value } in pairs {
        let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        if !first || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.') {
            return Err(SpecError::malformed(WHAT, format!("\"{name}\" is not the name of an environment variable")));
        }
        if !seen.insert(name) {
            return Err(SpecError::malformed(WHAT, format!("the environment variable \"{name}\" stands twice")));
        }
        env.push(format!("{name}={value}"));
    }
    Ok(env)
}

fn mount_points(points: &[MountPointJson], image: &mut AppcImage) -> Result<(), SpecError> {
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for point in points {
        name(&point.name, "mount point")?;
        if !point.path.starts_with('/') || point.path.split('/').any(|part| part == "..") {
            let why =
                format!("the mount point \"{}\" has the path \"{}\", which is not absolute", point.name, point.path);
            return Err(SpecError::malformed(WHAT, why));
        }
        if !names.insert(point.name.as_str()) || !paths.insert(point.path.as_str()) {
            return Err(SpecError::malformed(WHAT, format!("the mount point \"{}\" stands twice", point.name)));
        }
    }
    image.config.volumes = paths.into_iter().map(str::to_owned).collect();
    if !points.is_empty() {
        annotate(image, MOUNT_POINTS, &points);
    }
    Ok(())
}

fn ports(ports: &[PortJson], image: &mut AppcImage) -> Result<(), SpecError> {
    let (mut names, mut exposed) = (BTreeSet::new(), BTreeSet::new());
    for port in ports {
        name(&port.name, "port")?;
        if !names.insert(port.name.as_str()) {
            return Err(SpecError::malformed(WHAT, format!("the port \"{}\" stands twice", port.name)));
        }
        let last = port.port.saturating_add(port.count.saturating_sub(1));
        let good = port.port >= 1 && port.count >= 1 && port.count <= MAX_PORT_RANGE && last <= 65_535;
        if !good || !matches!(port.protocol.as_str(), "tcp" | "udp" | "sctp") {
            let why = format!("the port \"{}\" is {}/{}, {} of them", port.name, port.port, port.protocol, port.count);
            return Err(SpecError::malformed(WHAT, why));
        }
        exposed.extend((port.port..=last).map(|number| format!("{number}/{}", port.protocol)));
    }
    image.config.exposed_ports = exposed.into_iter().collect();
    if !ports.is_empty() {
        annotate(image, PORTS, &ports);
    }
    Ok(())
}

fn isolators(isolators: &[Value], image: &mut AppcImage) -> Result<(), SpecError> {
    let mut names = Vec::new();
    for isolator in isolators {
        match isolator.get("name").and_then(Value::as_str) {
            Some(name) => names.push(name.to_owned()),
            None => return Err(SpecError::malformed(WHAT, "an isolator without a name")),
        }
    }
    let both =
        |kind: &str| ["retain", "remove"].iter().all(|set| names.contains(&format!("os/linux/{kind}-{set}-set")));
    for kind in ["capabilities", "seccomp"] {
        if both(kind) {
            return Err(SpecError::malformed(WHAT, format!("it both retains and removes a set of {kind}")));
        }
    }
    if !names.is_empty() {
        annotate(image, ISOLATORS, &isolators);
        image
            .notes
            .push(format!("its isolators are recorded, not applied; give ctr-run the options ({})", names.join(", ")));
    }
    Ok(())
}

fn annotate(image: &mut AppcImage, key: &str, value: &impl serde::Serialize) {
    // Values that were just parsed from JSON: they can be written as JSON.
    image.annotations.insert(key.to_owned(), serde_json::to_string(value).unwrap_or_default());
}

#[cfg(test)]
#[path = "appc_tests.rs"]
mod tests;
