//! Names, for registries.

use ctr_cli::Failure;
use ctr_core::digest::Digest;
use ctr_core::launch::LaunchRecord;
use ctr_core::reference::Reference;
use ctr_core::spec::oci::Descriptor;
use ctr_core::spec::platform::Platform;
use ctr_core::store::Txn;
use ctr_registry::RegistryError;
use ctr_registry::config::ConfigError;
use ctr_registry::policy::PolicyError;

use crate::fetcher::Fetcher;
use crate::import::{hinted, is_there};
use crate::lock::Entry;
use crate::pull::{First, Pull, Stored, Then};
use crate::report::Fetched;
use crate::source::{Registry, Source as _, Wanted};

/// One name, and what of it is wanted.
struct Asked {
    /// The name, with a digest if one is demanded.
    reference: Reference,
    /// The name in the store.
    name: Reference,
    /// The image that it has to be, by a lock file.
    manifest: Option<Digest>,
}

impl Fetcher {
    /// The image that a name means, short or not.
    pub(crate) fn remote(&self, text: &str) -> Result<Fetched, Failure> {
        let registries = self.client.registries().map_err(|error| Failure::hinted(error, RegistryError::hint))?;
        if !self.warned.replace(true) {
            registries.warnings().iter().for_each(ctr_cli::warn);
        }
        let resolved = registries.resolve_short(text).map_err(|error| Failure::hinted(error, ConfigError::hint))?;
        if let Some(note) = &resolved.note {
            ctr_cli::note(note);
        }
        let Some((last, others)) = resolved.references.split_last() else {
            return Err(Failure::new(format!("\"{text}\" names nothing")));
        };
        for reference in others {
            match self.named(reference) {
                Err(failure) => ctr_cli::note(format!("not {reference}: {}", failure.one_line())),
                fetched => return fetched,
            }
        }
        self.named(last)
    }

    fn named(&self, reference: &Reference) -> Result<Fetched, Failure> {
        self.policy.check(reference).map_err(|error| Failure::hinted(error, PolicyError::hint))?;
        if self.request.check_tag
            && self.locked.is_none()
            && (reference.digest().is_none() || reference.tag().is_none())
        {
            return Err(Failure::usage(format!(
                "--check-tag needs a name with tag and digest, which {reference} is not"
            ))
            .hint("write NAME:TAG@DIGEST"));
        }
        let asked = match &self.locked {
            None => {
                let name = self.request.name.as_ref().unwrap_or(reference);
                Asked { reference: reference.clone(), name: name.clone(), manifest: None }
            }
            Some((lock, path)) => {
                let entry = lock.find(reference, &self.platform(), path)?;
                let name = self.request.name.as_ref().unwrap_or(&entry.name);
                Asked { reference: entry.pinned(), name: name.clone(), manifest: Some(entry.manifest) }
            }
        };
        let fetched = self.asked(&asked)?;
        let entry = Entry {
            name: reference.clone(),
            index: fetched.index,
            manifest: fetched.digest,
            platform: fetched.platform.parse()?,
        };
        Ok(fetched.of_name(entry))
    }

    /// The image `reference` as `name`, by which the user knows it. The policy has to accept both.
    pub(crate) fn elsewhere(&self, reference: &Reference, name: &Reference) -> Result<Fetched, Failure> {
        for checked in [name, reference] {
            self.policy.check(checked).map_err(|error| Failure::hinted(error, PolicyError::hint))?;
        }
        let name = self.request.name.as_ref().unwrap_or(name);
        self.asked(&Asked { reference: reference.clone(), name: name.clone(), manifest: None })
    }

    fn asked(&self, asked: &Asked) -> Result<Fetched, Failure> {
        let stored = self.stored(asked)?;
        let known = |(stored, launch): &(Stored, LaunchRecord)| {
            Fetched::new(vec![asked.name.to_string()], launch, true).with_index(stored.index)
        };
        let pull = self.request.pull;
        let digest = asked.manifest.as_ref().or(asked.reference.digest());
        match (pull.first(stored.as_ref().map(|(stored, _)| stored), digest), &stored) {
            (First::Use, Some(stored)) if !self.request.check_tag => return Ok(known(stored)),
            (First::Refuse, _) => {
                let what = format!("{} is not in the store, and --pull=never forbids to fetch it", asked.name);
                return Err(Failure::new(what));
            }
            _ => {}
        }
        let registry = Registry::new(&self.client, asked.reference.clone())?.named(asked.name.clone());
        let mut registry = registry.allow_foreign(self.request.foreign);
        if self.request.check_tag {
            registry.check_tag()?;
        }
        let first = pull.first(stored.as_ref().map(|(stored, _)| stored), digest);
        if let (First::Use | First::Ask, Some(stored)) = (first, &stored) {
            if first == First::Use {
                return Ok(known(stored));
            }
            let answer = registry.current();
            match (pull.after(&stored.0, &answer), answer) {
                (Then::Unchanged, _) => return Ok(known(stored)),
                (Then::UseWithWarning, Err(failure)) => return Ok(self.instead(&failure, known(stored))),
                (Then::Fail, Err(failure)) => return Err(failure),
                _ => {}
            }
        }
        match (self.get(asked, &mut registry), &stored) {
            (Err(failure), Some(stored)) if pull == Pull::Newer => Ok(self.instead(&failure, known(stored))),
            (fetched, _) => fetched,
        }
    }

    /// What the store has does, because the registry does not answer.
    fn instead(&self, failure: &Failure, known: Fetched) -> Fetched {
        self.progress.clear();
        ctr_cli::warn(format!("{} of the store is used, it may be old: {}", known.name(), failure.one_line()));
        known
    }

    fn get(&self, asked: &Asked, registry: &mut Registry) -> Result<Fetched, Failure> {
        let txn = self.store.begin().map_err(hinted)?;
        let mut wanted = self.wanted(None, String::new());
        wanted.manifest = asked.manifest;
        if self.request.all_platforms {
            wanted.manifest = self.others(&txn, registry, &wanted)?;
        }
        self.bring(&txn, registry, &wanted, &asked.reference.full())
    }

    /// Brings in the images of an index but the one that gets the name, which is returned: this machine's, else the first.
    fn others(&self, txn: &Txn, registry: &mut Registry, wanted: &Wanted) -> Result<Option<Digest>, Failure> {
        let entries = registry.entries()?;
        let images: Vec<&Descriptor> = entries.iter().filter(|entry| Registry::is_platform(entry)).collect();
        let named = wanted.platform.choose(&entries).ok().and_then(|at| entries.get(at)).or(images.first().copied());
        let named = wanted.manifest.or(named.map(|entry| entry.digest));
        for entry in entries.iter().filter(|entry| Some(entry.digest) != named) {
            if !Registry::is_platform(entry) {
                registry.copy(txn, entry)?;
                continue;
            }
            let platform = entry.platform.clone().unwrap_or_else(Platform::host);
            let image = registry.image(&Wanted { platform, manifest: Some(entry.digest), ..wanted.clone() })?;
            self.import(txn, registry, &image, &[])?;
        }
        Ok(named)
    }

    /// The platform that is asked for.
    fn platform(&self) -> Platform {
        self.request.platform.clone().unwrap_or_else(Platform::host)
    }

    /// The image of that name, if the store has it whole and for the right platform.
    fn stored(&self, asked: &Asked) -> Result<Option<(Stored, LaunchRecord)>, Failure> {
        if self.request.all_platforms {
            // The one that has the name says nothing about the others.
            return Ok(None);
        }
        let Some(image) = self.store.resolve(&asked.name).map_err(hinted)? else { return Ok(None) };
        if asked.manifest.is_some_and(|manifest| manifest != image) {
            return Ok(None);
        }
        let Ok(launch) = self.store.launch_record(&image) else { return Ok(None) };
        let platform = Platform::new(&launch.os, &launch.architecture, &launch.variant);
        let fits = match &self.request.platform {
            Some(wanted) => *wanted == platform,
            None => self.request.pull == Pull::Never || Platform::host().runs(&platform).is_some(),
        };
        let whole = fits && is_there(&self.store, &launch);
        let index = self.store.index_of(&asked.name).map_err(hinted)?;
        Ok(whole.then_some((Stored { image, index }, launch)))
    }
}
