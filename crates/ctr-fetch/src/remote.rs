//! Names, for registries.

use ctr_cli::Failure;
use ctr_core::reference::Reference;
use ctr_registry::policy::PolicyError;

use crate::fetcher::Fetcher;
use crate::import::{hinted, is_there};
use crate::report::Fetched;
use crate::source::Registry;

impl Fetcher {
    pub(crate) fn remote(&self, name: &str) -> Result<Fetched, Failure> {
        let reference: Reference = name.parse()?;
        self.policy.check(&reference).map_err(|error| Failure::hinted(error, PolicyError::hint))?;
        let mut registry = Registry::new(&self.client, reference.clone())?;
        if let Some(known) = self.unchanged(&reference, &registry)? {
            return Ok(known);
        }
        let txn = self.store.begin().map_err(hinted)?;
        let wanted = self.wanted(None, String::new());
        self.bring(txn, &mut registry, &wanted, &reference.to_string())
    }

    /// The image of the store, if the registry still means it by this name: one HEAD tells.
    fn unchanged(&self, reference: &Reference, registry: &Registry) -> Result<Option<Fetched>, Failure> {
        let name = self.request.name.as_ref().unwrap_or(reference);
        let Some(digest) = self.store.resolve(name).map_err(hinted)? else { return Ok(None) };
        let Ok(launch) = self.store.launch_record(&digest) else { return Ok(None) };
        if self.request.platform.is_some() || !is_there(&self.store, &launch) {
            return Ok(None);
        }
        let unchanged = match reference.digest() {
            // Content that a digest names does not change.
            Some(_) if self.request.name.is_none() => true,
            _ => registry.current()? == Some(digest),
        };
        Ok(unchanged.then(|| Fetched::new(vec![name.to_string()], &launch, true)))
    }
}
