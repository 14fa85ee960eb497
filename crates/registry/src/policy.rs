//! Which images may be taken at all: containers-policy.json(5), as far as no signature has to be verified.
//!
//! Requirements that accept anything or reject are obeyed. One that demands a signature cannot be met by this release, so
//! that the image is refused: a policy that is not understood protects nobody. So is everything about a file that cannot
//! be read or has a member that is not known.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use ctr_core::reference::Reference;
use serde::Deserialize;

/// Most bytes of a policy file.
pub const MAX_POLICY: u64 = 1 << 20;

/// Why an image may not be taken.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The policy says so.
    #[error("the policy {} rejects {name}", path.display())]
    Rejected {
        /// The policy file.
        path: PathBuf,
        /// The image.
        name: String,
    },
    /// It demands what cannot be verified.
    #[error("the policy {} demands a signature of {name} ({requirement}), which this release cannot verify", path.display())]
    Unverifiable {
        /// The policy file.
        path: PathBuf,
        /// The image.
        name: String,
        /// `signedBy`, `sigstoreSigned`.
        requirement: String,
    },
    /// It cannot be understood.
    #[error("the policy {} cannot be used: {why}", path.display())]
    Unusable {
        /// The policy file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

impl PolicyError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Rejected { .. } => None,
            Self::Unverifiable { .. } => {
                Some("verify and copy it with skopeo, or give --policy FILE with a policy that accepts it".to_owned())
            }
            Self::Unusable { .. } => Some("mend it, or give another one with --policy FILE".to_owned()),
        }
    }
}

/// A policy, or the absence of one, which accepts anything.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    file: Option<(PathBuf, Document)>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    default: Vec<Requirement>,
    #[serde(default)]
    transports: BTreeMap<String, BTreeMap<String, Vec<Requirement>>>,
}

/// One requirement. What a type has besides its name matters only to those who verify.
#[derive(Debug, Clone, Deserialize)]
struct Requirement {
    r#type: String,
}

impl Policy {
    /// Reads `explicit`, else the user's, else the system's file, if there is one.
    pub fn load(explicit: Option<&Path>, home: Option<&Path>) -> Result<Self, PolicyError> {
        if let Some(path) = explicit {
            return match read(path)? {
                Some(found) => Ok(Self { file: Some((path.to_owned(), found)) }),
                None => Err(PolicyError::Unusable { path: path.to_owned(), why: "it is not there".to_owned() }),
            };
        }
        let user = home.map(|home| home.join(".config/containers/policy.json"));
        for path in user.into_iter().chain([PathBuf::from("/etc/containers/policy.json")]) {
            if let Some(found) = read(&path)? {
                return Ok(Self { file: Some((path, found)) });
            }
        }
        Ok(Self::default())
    }

    /// Whether an image of a registry may be taken.
    pub fn check(&self, reference: &Reference) -> Result<(), PolicyError> {
        let Some((path, document)) = &self.file else { return Ok(()) };
        let name = reference.to_string();
        let requirements = document.requirements(reference);
        if requirements.is_empty() {
            let why = "it has an empty list of requirements".to_owned();
            return Err(PolicyError::Unusable { path: path.clone(), why });
        }
        for requirement in requirements {
            match requirement.r#type.as_str() {
                "insecureAcceptAnything" => {}
                "reject" => return Err(PolicyError::Rejected { path: path.clone(), name }),
                "signedBy" | "signedBaseLayer" | "sigstoreSigned" => {
                    let requirement = requirement.r#type.clone();
                    return Err(PolicyError::Unverifiable { path: path.clone(), name, requirement });
                }
                unknown => {
                    let why = format!("the requirement \"{unknown}\" is not known");
                    return Err(PolicyError::Unusable { path: path.clone(), why });
                }
            }
        }
        Ok(())
    }
}

impl Document {
    /// The requirements of the longest scope of transport `docker` that the image lies in: the image itself, its
    /// repository, a namespace, its host, `*.` a domain, all of the transport, all.
    fn requirements(&self, reference: &Reference) -> &[Requirement] {
        let Some(scopes) = self.transports.get("docker") else { return &self.default };
        let repository = reference.repository();
        let mut candidates = vec![reference.to_string(), repository.clone()];
        candidates
            .extend(repository.match_indices('/').rev().filter_map(|(at, _)| repository.get(..at)).map(str::to_owned));
        let host = reference.domain();
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        candidates.extend(host.match_indices('.').filter_map(|(at, _)| host.get(at..)).map(|end| format!("*{end}")));
        candidates.push(String::new());
        candidates.iter().find_map(|scope| scopes.get(scope)).unwrap_or(&self.default)
    }
}

fn read(path: &Path) -> Result<Option<Document>, PolicyError> {
    let unusable = |why: String| PolicyError::Unusable { path: path.to_owned(), why };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(error.to_string())),
    };
    let mut bytes = Vec::new();
    file.take(MAX_POLICY + 1).read_to_end(&mut bytes).map_err(|error| unusable(error.to_string()))?;
    if bytes.len() as u64 > MAX_POLICY {
        return Err(unusable(format!("it has more than {MAX_POLICY} bytes")));
    }
    // Keys that stand twice are refused: another reader could take the other one.
    ctr_core::spec::strict_json(&bytes).map_err(|error| unusable(error.to_string()))?;
    serde_json::from_slice(&bytes).map(Some).map_err(|error| unusable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Result<Policy, PolicyError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.json");
        std::fs::write(&path, text).unwrap();
        Policy::load(Some(&path), None)
    }

    #[test]
    fn the_longest_scope_decides() {
        let policy = policy(
            r#"{"default":[{"type":"reject"}],"transports":{"docker":{
                "example.com":[{"type":"insecureAcceptAnything"}],
                "example.com/secret":[{"type":"reject"}],
                "example.com/secret/open:1":[{"type":"insecureAcceptAnything"}],
                "*.example.org":[{"type":"insecureAcceptAnything"}],
                "localhost:5000/signed":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/x"}],
                "localhost:5000/odd":[{"type":"newerThanUs"}],
                "localhost:5000/empty":[]
            }}}"#,
        )
        .unwrap();
        for (name, accepted) in [
            ("example.com/a:1", true),
            ("example.com/secret/a", false),
            ("example.com/secret/open:1", true),
            ("example.com/secret/open:2", false),
            ("example.com/secrets", true),
            ("r.example.org/a", true),
            ("example.org/a", false),
            ("debian", false),
            ("localhost:5000/signed", false),
            ("localhost:5000/odd", false),
            ("localhost:5000/empty", false),
        ] {
            assert_eq!(policy.check(&name.parse().unwrap()).is_ok(), accepted, "{name}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for bad in [
            "",
            "{",
            "{}",
            r#"{"default":[{"type":"reject"}],"default":[{"type":"insecureAcceptAnything"}]}"#,
            r#"{"default":[{"type":"insecureAcceptAnything"}],"more":1}"#,
            r#"{"default":"insecureAcceptAnything"}"#,
        ] {
            assert!(policy(bad).is_err(), "{bad}");
        }
        assert!(Policy::load(Some(Path::new("/nonexistent/policy.json")), None).is_err());
    }
}
