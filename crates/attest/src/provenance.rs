//! How an image was made: an in-toto statement with the predicate of SLSA provenance 1.

use std::collections::BTreeMap;

use ctr_core::digest::Digest;
use serde_json::{Value, json};

use crate::inventory::{AttestError, Subject};
use crate::moment::{TOOL, TOOL_VERSION, rfc3339};
use crate::purl;

/// What in-toto statements call a predicate of this format.
pub const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";
/// Names the parameters that a build with a Dockerfile has.
pub const BUILD_TYPE: &str = "urn:ctr:build:dockerfile:v1";

const STATEMENT: &str = "https://in-toto.io/Statement/v1";

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// All but the arguments of the build, which may say more than everyone is to know.
    Min,
    /// Everything.
    Max,
}

/// What went into a build from outside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Material {
    /// A base image: name of its repository with the registry (`docker.io/library/debian`), digest, `os/architecture` of it.
    Image {
        /// Repository with the registry.
        repository: String,
        /// Of the manifest.
        digest: String,
        /// `os/architecture`.
        platform: String,
    },
    /// A file that was downloaded, with the SHA-256 of its bytes in hex.
    Url {
        /// Where it was, without credentials.
        url: String,
        /// In hex.
        sha256: String,
    },
    /// A commit of a git repository.
    Git {
        /// The repository, without credentials.
        url: String,
        /// The commit's id, in hex.
        commit: String,
    },
}

/// A build. There is no place for secrets, and none for moments that a clock told.
#[derive(Debug, Clone)]
pub struct Build {
    /// Path of the Dockerfile in its context.
    pub dockerfile: String,
    /// Digest of its bytes.
    pub dockerfile_digest: Digest,
    /// The stage that was asked for.
    pub target: Option<String>,
    /// `--build-arg`.
    pub arguments: BTreeMap<String, String>,
    /// `--platform`, sorted.
    pub platforms: Vec<String>,
    /// What went in.
    pub materials: Vec<Material>,
    /// Who built, a URI.
    pub builder: String,
}

/// The statement about the image, the same bytes for the same input.
pub fn statement(build: &Build, subject: &Subject, mode: Mode) -> Result<Vec<u8>, AttestError> {
    let mut materials = build.materials.clone();
    materials.sort();
    materials.dedup();
    let dependencies: Vec<Value> = materials.iter().map(dependency).collect();
    let mut parameters = json!({
        "dockerfile": {"path": build.dockerfile, "digest": {"sha256": build.dockerfile_digest.hex()}},
        "platforms": build.platforms,
    });
    if let Some(members) = parameters.as_object_mut() {
        if let Some(target) = &build.target {
            members.insert("target".to_owned(), json!(target));
        }
        if mode == Mode::Max {
            members.insert("args".to_owned(), json!(build.arguments));
        }
    }
    // The epoch stands for both ends of the build: a clock would make each build another one.
    let moment = rfc3339(subject.epoch);
    Ok(serde_json::to_vec(&json!({
        "_type": STATEMENT,
        "subject": [{"name": subject.name, "digest": {"sha256": subject.digest.hex()}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": parameters,
                "resolvedDependencies": dependencies,
            },
            "runDetails": {
                "builder": {"id": build.builder, "version": {TOOL: TOOL_VERSION}},
                "metadata": {"startedOn": moment, "finishedOn": moment},
            },
        },
    }))?)
}

fn dependency(material: &Material) -> Value {
    match material {
        Material::Image { repository, digest, platform } => {
            // The type "oci" has no namespace; where the repository is stands in a qualifier.
            let name = repository.rsplit('/').next().unwrap_or_default();
            let qualifiers = [("platform", Some(platform.as_str())), ("repository_url", Some(repository.as_str()))];
            let uri = purl::write("oci", None, &name.to_ascii_lowercase(), digest, &qualifiers);
            let (algorithm, hex) = digest.split_once(':').unwrap_or(("sha256", digest));
            json!({"uri": uri, "digest": {algorithm: hex}})
        }
        Material::Url { url, sha256 } => json!({"uri": url, "digest": {"sha256": sha256}}),
        Material::Git { url, commit } => {
            json!({"uri": format!("git+{url}@{commit}"), "digest": {"gitCommit": commit}})
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]
mod tests {
    use super::*;

    // spec: BUILD-127
    #[test]
    fn a_statement_tells_what_went_in_and_min_no_arguments() {
        let url = Material::Url { url: "https://example.org/a".into(), sha256: "ab".into() };
        let git = Material::Git { url: "https://example.org/r.git".into(), commit: "cd".into() };
        let image = Material::Image {
            repository: "docker.io/library/debian".into(),
            digest: "sha256:ef".into(),
            platform: "linux/amd64".into(),
        };
        let mut build = Build {
            dockerfile: "Dockerfile".into(),
            dockerfile_digest: Digest::of(b"FROM debian"),
            target: Some("last".into()),
            arguments: BTreeMap::from([("KEY".to_owned(), "value-of-it".to_owned())]),
            platforms: vec!["linux/amd64".into()],
            materials: vec![url.clone(), image.clone(), git.clone(), image.clone()],
            builder: "urn:example:builder".into(),
        };
        let subject = Subject { name: "example".into(), digest: Digest::of(b"manifest"), epoch: 1 };
        let most = statement(&build, &subject, Mode::Max).unwrap();
        let least = statement(&build, &subject, Mode::Min).unwrap();
        build.materials = vec![git, url, image];
        assert_eq!(most, statement(&build, &subject, Mode::Max).unwrap(), "the order of materials does not count");
        assert!(!String::from_utf8(least.clone()).unwrap().contains("value-of-it"));
        let least: Value = serde_json::from_slice(&least).unwrap();
        assert_eq!(least["predicate"]["buildDefinition"]["externalParameters"]["target"], "last");
        let most: Value = serde_json::from_slice(&most).unwrap();
        assert_eq!((&most["_type"], &most["predicateType"]), (&STATEMENT.into(), &PREDICATE_TYPE.into()));
        assert_eq!(most["subject"][0]["digest"]["sha256"], subject.digest.hex());
        let definition = &most["predicate"]["buildDefinition"];
        assert_eq!(definition["externalParameters"]["args"]["KEY"], "value-of-it");
        let dependencies = definition["resolvedDependencies"].as_array().unwrap();
        let image = "pkg:oci/debian@sha256:ef?platform=linux%2Famd64&repository_url=docker.io%2Flibrary%2Fdebian";
        let uris: Vec<&str> = dependencies.iter().map(|one| one["uri"].as_str().unwrap()).collect();
        assert_eq!(uris, [image, "https://example.org/a", "git+https://example.org/r.git@cd"]);
        assert_eq!(dependencies[0]["digest"]["sha256"], "ef");
        assert_eq!(most["predicate"]["runDetails"]["metadata"]["startedOn"], "1970-01-01T00:00:01Z");
    }
}
