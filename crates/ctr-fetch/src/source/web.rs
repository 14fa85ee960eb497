//! Image layouts on web servers, and what domains say of their images.

use std::io::Read;
use std::sync::Arc;

use ctr_cli::Failure;
use ctr_core::digest::Digest;
use ctr_core::reference::Reference;
use ctr_core::spec::oci::Descriptor;
use ctr_core::store::Txn;
use ctr_registry::http::Http;
use ctr_registry::layout::{LayoutAddress, WebLayout};
use ctr_registry::{Client, RegistryError};

use super::layout::Layout;
use super::members::Members;
use super::{Image, Source, Wanted};
use crate::download::{Remote, Stopped};

/// One image of a layout on a web server.
pub(crate) struct WebImage {
    layout: Layout,
    web: Arc<WebLayout>,
    /// What the image is called. A server does not give out names of others.
    name: Option<Reference>,
    client: Client,
}

impl WebImage {
    /// Nothing is asked yet.
    pub(crate) fn new(client: &Client, address: &LayoutAddress, name: Option<Reference>) -> Result<Self, Failure> {
        client.http().resume();
        let web = WebLayout::new(Arc::clone(client.http()), address);
        let web = Arc::new(web.map_err(|error| Failure::hinted(error, RegistryError::hint))?);
        let layout = Layout::new(Members::of_web(Arc::clone(&web))).only(address.digest);
        Ok(Self { layout, web, name, client: client.clone() })
    }
}

impl Remote for WebImage {
    fn open(&self, descriptor: &Descriptor, offset: u64) -> Result<(u64, Box<dyn Read + Send + '_>), Stopped> {
        match self.web.blob(&descriptor.digest, descriptor.size, offset) {
            Ok(body) => Ok((body.start, Box::new(body.body))),
            Err(RegistryError::Status { status: 416, .. } | RegistryError::Protocol { .. }) if offset > 0 => {
                Err(Stopped::NoRange)
            }
            Err(error) => Err(Stopped::Failed(Failure::hinted(error, RegistryError::hint))),
        }
    }

    /// A layout has no list of them.
    fn referrers(&self, _: &Txn, _: &[Digest]) -> Result<(), Failure> {
        Ok(())
    }

    fn http(&self) -> &Http {
        self.client.http()
    }

    fn distrust(&self) {}
}

impl Source for WebImage {
    fn image(&mut self, wanted: &Wanted) -> Result<Image, Failure> {
        let mut image = self.layout.image(wanted)?;
        image.names = self.name.iter().cloned().collect();
        Ok(image)
    }

    fn remote(&self) -> Option<&dyn Remote> {
        Some(self)
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Failure> {
        self.layout.blob(descriptor)
    }
}

/// A source whose image must have a name.
pub(crate) struct OfName {
    pub(crate) inner: Box<dyn Source>,
    /// Repository: without tag.
    pub(crate) name: String,
}

impl Source for OfName {
    fn image(&mut self, wanted: &Wanted) -> Result<Image, Failure> {
        let image = self.inner.image(wanted)?;
        let names: Vec<String> = image.names.iter().map(Reference::repository).collect();
        if names.is_empty() || names.iter().any(|name| *name != self.name) {
            let what = format!("what {} leads to is the image {}", self.name, names.join(", "));
            return Err(Failure::new(what).because("an image has to be called as it was asked for"));
        }
        Ok(image)
    }

    fn remote(&self) -> Option<&dyn Remote> {
        self.inner.remote()
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Failure> {
        self.inner.blob(descriptor)
    }
}
