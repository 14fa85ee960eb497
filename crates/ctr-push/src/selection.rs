//! What of the store is pushed: the whole index that a name came with, or one image of it, and what refers to them.

use std::collections::BTreeMap;

use ctr_cli::{Context as _, Failure};
use ctr_core::digest::Digest;
use ctr_core::reference::Reference;
use ctr_core::spec::oci::{self, Kind};
use ctr_core::spec::platform::Platform;
use ctr_core::spec::{Link, MAX_DOCUMENT, links};
use ctr_core::store::{Store, Txn};
use ctr_export::{Incomplete, Tree, hinted, names_by_image};

/// Names of the store that are looked through for repositories that may have a blob already.
const MAX_SOURCES: usize = 256;

/// Which images of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Which {
    /// All, if the store has all; else the one that the name stands for.
    Best,
    /// The one that the name stands for.
    Only,
    /// All.
    All,
    /// The one for this platform.
    Platform(Platform),
}

/// What is pushed under one name.
pub(crate) struct Selection {
    /// The name in the store.
    pub(crate) name: Option<Reference>,
    /// The image or index.
    pub(crate) tree: Tree,
    /// What refers to it, and to its images.
    pub(crate) referrers: Vec<Attached>,
}

/// A referrer.
pub(crate) struct Attached {
    pub(crate) tree: Tree,
    /// What it is about.
    pub(crate) subject: Digest,
    /// The tag that it is found by, where it does not say itself what it is about.
    pub(crate) tag: Option<String>,
}

impl Selection {
    /// Finds the image that `text` means, and keeps all of it in the store for as long as `txn` lives.
    pub(crate) fn find(store: &Store, txn: &Txn, text: &str, which: &Which) -> Result<Self, Failure> {
        let found = match store.find_image(text) {
            Ok(found) => found,
            Err(error) => match Self::index(store, txn, text, which) {
                Some(selection) => return Ok(selection),
                None => return Err(hinted(error)),
            },
        };
        txn.keep_image(&found.digest).map_err(hinted)?;
        let name = match found.name {
            Some(name) => Some(name),
            None => names_by_image(store)?.remove(&found.digest).and_then(|names| names.into_iter().next()),
        };
        let name: Option<Reference> = name.map(|name| name.parse()).transpose()?;
        let index = name.as_ref().map(|name| store.index_of(name)).transpose().map_err(hinted)?.flatten();
        let chooser = Chooser { store, txn, text, image: found.digest, index };
        Ok(Self { name, tree: chooser.tree(which)?, referrers: Vec::new() })
    }

    /// An index by its digest, which may have no name: that of a build that is about to give it one.
    fn index(store: &Store, txn: &Txn, text: &str, which: &Which) -> Option<Self> {
        let digest = text.parse::<Digest>().ok().filter(|_| matches!(which, Which::Best | Which::All))?;
        let tree = Tree::load(store, txn, &digest).ok()?;
        (tree.top().media_type.kind() == Kind::Index).then_some(Self { name: None, tree, referrers: Vec::new() })
    }

    /// Adds what the store knows to refer to the documents.
    pub(crate) fn with_referrers(mut self, store: &Store, txn: &Txn) -> Result<Self, Failure> {
        for document in &self.tree.documents {
            let Some(found) = store.referrers(&document.digest).map_err(hinted)? else { continue };
            for referrer in found.manifests {
                match Tree::load(store, txn, &referrer.digest) {
                    Ok(tree) => {
                        self.referrers.push(Attached { tree, subject: document.digest, tag: referrer.tag });
                    }
                    Err(Incomplete::Lacks(digest)) => {
                        let referrer = referrer.digest;
                        ctr_cli::warn(format!(
                            "the store lacks {digest} of the referrer {referrer}, which is left out"
                        ));
                    }
                    Err(Incomplete::Failed(failure)) => return Err(failure),
                }
            }
        }
        Ok(self)
    }

    /// How many images that is.
    pub(crate) fn images(&self) -> usize {
        self.tree.documents.iter().filter(|document| document.media_type.kind() == Kind::Manifest).count()
    }

    /// All blobs, each once.
    pub(crate) fn blobs(&self) -> Vec<Link> {
        let mut blobs: Vec<Link> = Vec::new();
        for blob in self.tree.blobs.iter().chain(self.referrers.iter().flat_map(|referrer| &referrer.tree.blobs)) {
            if blobs.iter().all(|known| known.digest != blob.digest) {
                blobs.push(blob.clone());
            }
        }
        blobs
    }
}

/// Chooses among the images that came with a name.
struct Chooser<'a> {
    store: &'a Store,
    txn: &'a Txn,
    text: &'a str,
    image: Digest,
    index: Option<Digest>,
}

impl Chooser<'_> {
    fn tree(&self, which: &Which) -> Result<Tree, Failure> {
        match (which, self.index) {
            (Which::Only, _) | (Which::Best | Which::All, None) => self.load(&self.image),
            (Which::Best, Some(index)) => match Tree::load(self.store, self.txn, &index) {
                Ok(tree) => Ok(tree),
                Err(Incomplete::Lacks(_)) => {
                    let text = self.text;
                    ctr_cli::note(format!(
                        "the store has not all images of {text}, so the one for this machine is pushed alone; \
                         ctr-fetch --all-platforms {text} brings the others"
                    ));
                    self.load(&self.image)
                }
                Err(Incomplete::Failed(failure)) => Err(failure),
            },
            (Which::All, Some(index)) => {
                let hint = format!("ctr-fetch --all-platforms {} brings them", self.text);
                let lacks = |digest| {
                    Failure::new(format!("the store has not all images of {}: {digest} is missing", self.text))
                        .hint(hint)
                };
                Tree::load(self.store, self.txn, &index).map_err(|incomplete| match incomplete {
                    Incomplete::Lacks(digest) => lacks(digest),
                    Incomplete::Failed(failure) => failure,
                })
            }
            (Which::Platform(platform), Some(index)) => {
                let bytes = self.store.read_blob_capped(&index, MAX_DOCUMENT).map_err(hinted)?;
                let index = oci::parse_index(&bytes).context(|| format!("cannot use the index of {}", self.text))?;
                let chosen = platform.choose(&index.manifests)?;
                let chosen = index.manifests.get(chosen).map_or(self.image, |found| found.digest);
                self.load(&chosen)
                    .map_err(|failure| failure.hint(format!("ctr-fetch --all-platforms {} brings it", self.text)))
            }
            (Which::Platform(platform), None) => {
                let launch = self.store.launch_record(&self.image).map_err(hinted)?;
                let found = Platform::new(&launch.os, &launch.architecture, &launch.variant);
                if platform.runs(&found).is_none() {
                    return Err(Failure::new(format!("{} is an image for {found}, not for {platform}", self.text)));
                }
                self.load(&self.image)
            }
        }
    }

    fn load(&self, digest: &Digest) -> Result<Tree, Failure> {
        Tree::load(self.store, self.txn, digest).map_err(|incomplete| match incomplete {
            Incomplete::Lacks(lacks) => Failure::new(format!("the store has no blob {lacks} of {}", self.text))
                .hint(format!("ctr-fetch {} brings it again", self.text)),
            Incomplete::Failed(failure) => failure,
        })
    }
}

/// Which repositories of a registry may have the `wanted` blobs, because the store has images of them. `path` tells the
/// repository of a name, if that is in the same registry and another one.
pub(crate) fn elsewhere(
    store: &Store,
    wanted: &[Link],
    path: impl Fn(&Reference) -> Option<String>,
) -> Result<BTreeMap<Digest, Vec<String>>, Failure> {
    let mut found: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
    let names = store.list_refs().map_err(hinted)?.entries;
    let sources = names.iter().filter_map(|entry| Some((path(&entry.name.parse().ok()?)?, entry.digest)));
    for (path, image) in sources.take(MAX_SOURCES) {
        // An image that cannot be read cannot help: nothing is lost.
        let Ok(bytes) = store.read_blob_capped(&image, MAX_DOCUMENT) else { continue };
        let Ok(manifest) = links(&bytes) else { continue };
        for blob in manifest.blobs.iter().filter(|blob| wanted.iter().any(|link| link.digest == blob.digest)) {
            let paths = found.entry(blob.digest).or_default();
            if !paths.contains(&path) {
                paths.push(path.clone());
            }
        }
    }
    Ok(found)
}
