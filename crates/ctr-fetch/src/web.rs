//! Images that are no registry's: layouts on web servers, names whose domain says where they are, appc images.

use std::fs::File;
use std::io::{self, Read as _};

use ctr_cli::{Context as _, Failure};
use ctr_core::reference::Reference;
use ctr_core::spec::platform::Platform;
use ctr_registry::appc::{self, AciName};
use ctr_registry::discover::{Found, discover};
use ctr_registry::http::of_io;
use ctr_registry::layout::LayoutAddress;
use ctr_registry::policy::PolicyError;
use ctr_registry::{Client, RegistryError};

use crate::argument::{Argument, Kind, Local};
use crate::fetcher::Fetcher;
use crate::import::hinted;
use crate::report::Fetched;
use crate::source::{self, OfName, WebImage};

/// Most bytes of an appc image.
const MAX_ACI: u64 = 8 << 30;

fn of_registry(error: RegistryError) -> Failure {
    Failure::hinted(error, RegistryError::hint)
}

/// Asks the domains of `discover:NAME` where the images are. That is known before credentials are looked for.
pub(crate) fn find(client: &Client, arguments: &mut [Argument]) -> Result<(), Failure> {
    for argument in arguments {
        if let Argument::Discover(name) = argument {
            let name = name.clone();
            *argument = match discover(client.http(), &name).map_err(of_registry)? {
                Found::Registry(reference) => {
                    ctr_cli::note(format!("{} is {}", name.full(), reference.full()));
                    Argument::Elsewhere(reference, name)
                }
                Found::Layout(address) => {
                    ctr_cli::note(format!("{} is in the layout {}", name.full(), address.base()));
                    Argument::Layout(address, Some(name))
                }
            };
        }
    }
    Ok(())
}

impl Fetcher {
    /// An image of a layout on a web server.
    pub(crate) fn layout(&self, address: &LayoutAddress, name: Option<&Reference>) -> Result<Fetched, Failure> {
        let stem = address.base().path().trim_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        let tag = address.tag.as_deref().unwrap_or("latest");
        let local = || source::local_name(&stem, tag);
        let name = name.cloned().or_else(|| address.name()).or_else(local);
        if let Some(name) = &name {
            self.policy.check(name).map_err(|error| Failure::hinted(error, PolicyError::hint))?;
        }
        let mut source = WebImage::new(&self.client, address, name)?;
        let txn = self.store.begin().map_err(hinted)?;
        let wanted = self.wanted(address.tag.clone(), stem);
        self.bring(&txn, &mut source, &wanted, &address.base().to_string())
    }

    /// An appc image by its name.
    pub(crate) fn aci(&self, name: &AciName) -> Result<Fetched, Failure> {
        if !self.request.unsigned {
            return Err(Failure::new(format!("signatures of appc images such as {} cannot be verified", name.name()))
                .hint("--insecure-no-signature takes them as they are; TLS tells only who serves them"));
        }
        if let Ok(reference) = name.name().parse::<Reference>() {
            self.policy.check(&reference).map_err(|error| Failure::hinted(error, PolicyError::hint))?;
        }
        let platform = self.request.platform.clone().unwrap_or_else(Platform::host);
        let words = (platform.os.as_str(), appc::architecture(&platform.architecture));
        self.client.http().resume();
        let found = appc::find(self.client.http(), name, words).map_err(of_registry)?;
        let txn = self.store.begin().map_err(hinted)?;
        let path = txn.dir().join("download.aci");
        let failed = || format!("cannot receive {}", found.url);
        let mut file = File::options().write(true).create_new(true).open(&path).context(failed)?;
        // Read errors are the server's, write errors the disk's: the former come with the address.
        let received = io::copy(&mut found.body.take(MAX_ACI + 1), &mut file);
        let received = received.map_err(|error| match error.raw_os_error() {
            Some(_) => Failure::new(failed()).caused_by(&error),
            None => of_registry(of_io(error, &found.url)),
        })?;
        if received > MAX_ACI {
            return Err(Failure::new(failed()).because(format!("it has more than {MAX_ACI} bytes")));
        }
        let local = Local { kind: Kind::Path, path, tag: None };
        let inner = source::open(&local, txn.dir())?;
        let wanted = self.wanted(None, local.stem());
        self.bring(&txn, &mut OfName { inner, name: name.name() }, &wanted, &found.url.to_string())
    }
}
