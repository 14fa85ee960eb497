//! Where an image can be asked for: the registry of its name, and mirrors before it.

use std::sync::Arc;

use ctr_core::reference::{DEFAULT_DOMAIN, Reference};

use crate::client::Repository;
use crate::error::RegistryError;
use crate::http::{Http, Settings};

/// The host that serves the names of `docker.io`.
const DOCKER_HOST: &str = "registry-1.docker.io";

/// Speaks to all registries of one run: connections, configuration, credentials.
#[derive(Debug, Clone)]
pub struct Client {
    http: Arc<Http>,
}

/// One repository to ask.
#[derive(Debug, Clone)]
pub struct Place {
    /// The repository.
    pub repository: Repository,
    /// Not the registry of the name itself.
    pub mirror: bool,
    /// Whether it may say what a tag means; digests are safe with anybody.
    pub tags: bool,
}

impl Client {
    /// Nothing is asked yet.
    pub fn new(settings: Settings) -> Self {
        Self { http: Arc::new(Http::new(settings)) }
    }

    /// The connections.
    pub fn http(&self) -> &Arc<Http> {
        &self.http
    }

    /// Whom to ask for `reference`, in this order; the last one is the registry that it names.
    pub fn places(&self, reference: &Reference) -> Result<Vec<Place>, RegistryError> {
        let authority = if reference.domain() == DEFAULT_DOMAIN { DOCKER_HOST } else { reference.domain() };
        let origin = self.http.origin(authority, false)?;
        let repository = Repository::new(Arc::clone(&self.http), origin, reference.path());
        Ok(vec![Place { repository, mirror: false, tags: true }])
    }
}
