//! Secrets of a plan: their names and places, never their bytes.

use ctr_core::ranges::RANGE_COUNT;
use serde::Serialize;

use super::UsernsPlan;
use super::mounts::normal_target;
use crate::error::SandboxError;
use crate::options::{RunOptions, SecretBytes, SecretPlace};

/// Where secrets are.
pub(crate) const SECRETS_DIR: &str = "/run/secrets";

/// A secret of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretPlan {
    /// Its name.
    pub name: String,
    /// Where the program finds it.
    #[serde(flatten)]
    pub place: SecretPlace,
    /// Its bytes.
    #[serde(skip)]
    pub content: SecretBytes,
}

pub(super) fn plan(options: &RunOptions, userns: &UsernsPlan) -> Result<Vec<SecretPlan>, SandboxError> {
    let mut secrets: Vec<SecretPlan> = Vec::new();
    for request in &options.filesystem.secrets {
        let mut place = request.place.clone();
        match &mut place {
            SecretPlace::File { target, uid, gid, .. } => {
                *target = normal_target(target)?;
                let below = target.strip_prefix("/run/secrets/");
                if *target == SECRETS_DIR || below.is_some_and(|name| name.contains('/')) {
                    return Err(SandboxError::request(format!(
                        "the secret {} cannot be at {target}: {SECRETS_DIR} has files only",
                        request.name
                    )));
                }
                let mapped = if userns.wants_range {
                    *uid < RANGE_COUNT && *gid < RANGE_COUNT
                } else {
                    userns.outside_uid(*uid).is_some() && userns.outside_gid(*gid).is_some()
                };
                if !mapped {
                    return Err(SandboxError::request(format!(
                        "the secret {} cannot belong to {uid}:{gid}: the container's user namespace does not have these ids",
                        request.name
                    )));
                }
                if options.filesystem.mounts.iter().any(|mount| mount.target == *target) {
                    return Err(SandboxError::request(format!("there is another mount on {target}")));
                }
            }
            SecretPlace::Env { variable } => {
                if variable.is_empty() || variable.contains(['=', '\0']) {
                    return Err(SandboxError::request(format!(
                        "\"{}\" is not the name of a variable",
                        variable.escape_debug()
                    )));
                }
            }
        }
        if secrets.iter().any(|other| other.place == place) {
            return Err(SandboxError::request(format!("there is another secret where {} should be", request.name)));
        }
        secrets.push(SecretPlan { name: request.name.clone(), place, content: request.content.clone() });
    }
    Ok(secrets)
}
