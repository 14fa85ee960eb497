//! Where an image can be asked for: the registry of its name, and mirrors before it.

use std::sync::{Arc, OnceLock};

use ctr_core::reference::{DEFAULT_DOMAIN, Reference};

use crate::auth::{AuthError, CredentialKind, CredentialStore, Logins, RealmRules, Scopes};
use crate::client::Repository;
use crate::config::{Candidate, Registries};
use crate::error::RegistryError;
use crate::http::{Http, Request, Settings};
use crate::url::Scheme;

/// The host that serves the names of `docker.io`.
const DOCKER_HOST: &str = "registry-1.docker.io";

/// Speaks to all registries of one run: connections, configuration, credentials.
#[derive(Debug, Clone)]
pub struct Client {
    http: Arc<Http>,
    registries: Arc<OnceLock<Registries>>,
    logins: Arc<OnceLock<Logins>>,
}

/// What a registry says of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// It asked for one and took this one. Otherwise it lets everybody in who asks for no more than that.
    pub taken: bool,
    /// Nobody on the way could read it.
    pub encrypted: bool,
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
            Some(places) => {
                let store = CredentialStore::new(places);
                let store = match self.registries()?.credential_helpers() {
                    Some((programs, path)) => store.with_programs(programs, path),
                    None => store,
                };
                Logins::new(Arc::new(store), RealmRules::read(places.rules())?)
            }
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

    /// Asks the registry that references call `registry` whether it takes `credential`. The credential goes to the registry,
    /// and to the token server that it names if that may see it.
    pub fn verify(&self, registry: &str, credential: CredentialKind) -> Result<Verified, RegistryError> {
        let authority = if registry == DEFAULT_DOMAIN { DOCKER_HOST } else { registry };
        let origin = if self.is_insecure(registry)? {
            self.http.insecure_origin(authority)?
        } else {
            self.http.origin(authority, false)?
        };
        let rules = match &self.http.settings().credentials {
            Some(places) => RealmRules::read(places.rules())?,
            None => RealmRules::default(),
        };
        let login = Logins::new(Arc::new(CredentialStore::given(credential)), rules).of(registry, &origin, &self.http);
        let repository = Repository::new(Arc::clone(&self.http), origin.clone(), "").with_login(login);
        let url = origin.url("/v2/");
        let url = url.map_err(|source| RegistryError::Address { what: registry.to_owned(), source })?;
        let mut request = Request::get(url);
        let response = repository.ask_for(Scopes::registry(), &mut request)?;
        let encrypted = origin.scheme == Scheme::Https || origin.is_loopback();
        match (response.status, request.authorization.is_some()) {
            (200, taken) => Ok(Verified { taken, encrypted }),
            (401 | 403, _) => {
                let (credential, errors) = (response.credential.clone(), response.errors());
                let (registry, repository) = (registry.to_owned(), "it".to_owned());
                Err(RegistryError::Denied { registry, repository, credential, errors })
            }
            // A registry that is only files: nobody asks who we are.
            (404, false) => Ok(Verified { taken: false, encrypted }),
            _ => Err(response.into_error()),
        }
    }

    /// Whether registries.conf allows what nobody vouches for at the registry itself.
    fn is_insecure(&self, registry: &str) -> Result<bool, RegistryError> {
        let Ok(reference) = format!("{registry}/any").parse::<Reference>() else { return Ok(false) };
        let candidates = self.registries()?.candidates(&reference)?;
        Ok(candidates.iter().any(|candidate| candidate.host() == registry && candidate.insecure()))
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
