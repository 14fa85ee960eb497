//! Where an image can be asked for: the registry of its name, and mirrors before it.

use std::sync::{Arc, OnceLock};

use ctr_core::reference::{DEFAULT_DOMAIN, Reference};

use crate::auth::{AuthError, CredentialStore, Logins, RealmRules};
use crate::client::Repository;
use crate::config::{Candidate, Registries};
use crate::error::RegistryError;
use crate::http::{Http, Settings};

/// The host that serves the names of `docker.io`.
const DOCKER_HOST: &str = "registry-1.docker.io";

/// Speaks to all registries of one run: connections, configuration, credentials.
#[derive(Debug, Clone)]
pub struct Client {
    http: Arc<Http>,
    registries: Arc<OnceLock<Registries>>,
    logins: Arc<OnceLock<Logins>>,
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
    /// How the image is called there: a location of registries.conf may give it another tag too.
    pub reference: Reference,
}

impl Client {
    /// Nothing is asked and no file is read yet.
    pub fn new(settings: Settings) -> Self {
        Self { http: Arc::new(Http::new(settings)), registries: Arc::default(), logins: Arc::default() }
    }

    /// The connections.
    pub fn http(&self) -> &Arc<Http> {
        &self.http
    }

    /// What registries.conf says. It is read when it is needed first.
    pub fn registries(&self) -> Result<&Registries, RegistryError> {
        if let Some(registries) = self.registries.get() {
            return Ok(registries);
        }
        let loaded = match &self.http.settings().registries {
            Some(locations) => Registries::load(locations)?,
            None => Registries::default(),
        };
        Ok(self.registries.get_or_init(|| loaded))
    }

    /// Who the user is to registries. Rules and credentials are read when they are needed first.
    pub fn logins(&self) -> Result<&Logins, RegistryError> {
        if let Some(logins) = self.logins.get() {
            return Ok(logins);
        }
        let made = match &self.http.settings().credentials {
            Some(places) => Logins::new(Arc::new(CredentialStore::new(places)), RealmRules::read(places.rules())?),
            None => Logins::anonymous(),
        };
        Ok(self.logins.get_or_init(|| made))
    }

    /// Reads the credentials for `reference`, and keeps them: credential programs have to run as the user, before a user
    /// namespace is entered.
    pub fn find_credentials(&self, reference: &Reference) -> Result<(), RegistryError> {
        let credentials = self.logins()?.credentials();
        for candidate in self.registries()?.candidates(reference)? {
            credentials.find(candidate.host(), candidate.path()).map_err(AuthError::from)?;
        }
        Ok(())
    }

    /// What the user should be told about credentials that were not used; each once.
    pub fn take_notes(&self) -> Vec<String> {
        self.logins.get().map(Logins::take_notes).unwrap_or_default()
    }

    /// Whom to ask for `reference`, in this order; the last one is the registry that it names.
    ///
    /// A server that registries.conf calls insecure is asked whether it speaks TLS.
    pub fn places(&self, reference: &Reference) -> Result<Vec<Place>, RegistryError> {
        self.registries()?.candidates(reference)?.iter().map(|candidate| self.place(candidate)).collect()
    }

    fn place(&self, candidate: &Candidate) -> Result<Place, RegistryError> {
        let authority = if candidate.host() == DEFAULT_DOMAIN { DOCKER_HOST } else { candidate.host() };
        let origin = if candidate.insecure() {
            self.http.insecure_origin(authority)?
        } else {
            self.http.origin(authority, false)?
        };
        let login = self.logins()?.of(candidate.host(), &origin, &self.http);
        let repository = Repository::new(Arc::clone(&self.http), origin, candidate.path()).with_login(login);
        let (mirror, tags) = (candidate.is_mirror(), candidate.tags());
        Ok(Place { repository, mirror, tags, reference: candidate.reference().clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Locations;

    #[test]
    fn places_are_those_of_registries_conf() {
        // spec: REG-41, REG-42, REG-47
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("registries.conf");
        let text = "[[registry]]\nprefix = 'example.com/a'\nlocation = 'localhost:1/x'\ninsecure = true\n\
                    [[registry.mirror]]\nlocation = 'mirror.example.net/m'\npull-from-mirror = 'digest-only'\n\
                    [[registry]]\nprefix = 'example.com/b'\nblocked = true\n";
        std::fs::write(&path, text).unwrap();
        let mut locations = Locations::from_variables(|_| None, false);
        locations.explicit = Some(path);
        let client = Client::new(Settings { registries: Some(locations), ..Settings::default() });
        let places = |name: &str| {
            let places = client.places(&name.parse().unwrap());
            places.map(|places| {
                let show = |place: &Place| {
                    let repository = &place.repository;
                    (format!("{}/{}", repository.origin(), repository.path()), place.mirror, place.tags)
                };
                places.iter().map(show).collect::<Vec<_>>()
            })
        };
        // Nobody listens on port 1, so nobody speaks TLS there.
        let mirrored = [
            ("https://mirror.example.net/m/q".to_owned(), true, false),
            ("http://localhost:1/x/q".to_owned(), false, true),
        ];
        assert_eq!(places("example.com/a/q").unwrap(), mirrored);
        assert_eq!(
            places("debian").unwrap(),
            [("https://registry-1.docker.io/library/debian".to_owned(), false, true)]
        );
        assert!(matches!(places("example.com/b"), Err(RegistryError::Config(_))));
    }
}
