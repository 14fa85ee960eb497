//! Taking images out of a tree: tag first, content last.

use std::collections::{BTreeMap, BTreeSet};

use ctr_core::digest::Digest;
use ctr_core::spec::{Links, MAX_DOCUMENT, links};
use ctr_sys::lock::LockKind;

use crate::error::TreeError;
use crate::name::{Name, check_tag};
use crate::referrers;
use crate::tree::Tree;
use crate::writer::{Writer, write_tags};

/// What is to be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A tag, and what only it led to.
    Tag(String),
    /// A manifest or index, its tags, and what only it led to.
    Digest(Digest),
}

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Tags.
    pub tags: Vec<String>,
    /// Manifests and indexes.
    pub manifests: u64,
    /// Blobs that no manifest needs any more.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Tree {
    /// Removes from the repository `name`, when nobody writes to the tree. What other tags or untagged manifests lead to stays.
    /// Whoever is in the middle of a download may miss the rest of it.
    pub fn remove(&self, name: &Name, what: &What) -> Result<Removed, TreeError> {
        let gate = self.gate(LockKind::Exclusive)?;
        let missing = |what: String| TreeError::Missing { path: self.path().to_owned(), what };
        let repository = self.repository(name)?.ok_or_else(|| missing(format!("repository {name}")))?;
        let writer = Writer::new(self, name.clone(), &repository, gate)?;
        let content = Content::read(&writer)?;
        let target = match what {
            What::Tag(tag) => content.tags.get(tag).copied().ok_or_else(|| missing(format!("{name}:{tag}")))?,
            What::Digest(digest) if content.documents.contains_key(digest) => *digest,
            What::Digest(digest) => return Err(missing(format!("{name}@{digest}"))),
        };
        let goes = |tag: &str, digest: &Digest| match what {
            What::Tag(gone) => gone == tag,
            What::Digest(gone) => gone == digest,
        };
        let candidates = content.reach(&writer, std::iter::once(target), None)?;
        // What is removed by its digest is not kept by being about something, but by an index that needs it.
        let cut = matches!(what, What::Digest(_)).then_some(target);
        let named = content.tags.iter().filter(|(tag, digest)| !goes(tag, digest) && !is_about(tag, &candidates));
        let unnamed = content.documents.keys().filter(|digest| !candidates.contains(*digest));
        let kept = content.reach(&writer, named.map(|(_, digest)| *digest).chain(unnamed.copied()), cut)?;
        let doomed: BTreeSet<Digest> = candidates.difference(&kept).copied().collect();
        let tags = content.tags.iter().filter(|(tag, digest)| goes(tag, digest) || doomed.contains(digest));
        let tags: Vec<String> = tags.map(|(tag, _)| tag.clone()).collect();
        writer.untag(name, &tags)?;
        let manifests = writer.forget(&content, &doomed)?;
        let (blobs, bytes) = writer.sweep(&content, &doomed)?;
        Ok(Removed { tags, manifests, blobs, bytes })
    }
}

/// Tags like `sha256-HEX.sig`, which older clients give to what refers to the manifest HEX.
fn is_about(tag: &str, subjects: &BTreeSet<Digest>) -> bool {
    let hex = tag.strip_prefix("sha256-").and_then(|rest| rest.get(..64));
    hex.and_then(|hex| Digest::from_hex(hex).ok()).is_some_and(|subject| subjects.contains(&subject))
}

/// What a repository holds.
struct Content {
    tags: BTreeMap<String, Digest>,
    documents: BTreeMap<Digest, Links>,
}

impl Content {
    fn read(writer: &Writer<'_>) -> Result<Self, TreeError> {
        let (mut tags, mut documents) = (BTreeMap::new(), BTreeMap::new());
        for name in writer.manifests.names()? {
            if let Ok(digest) = name.parse::<Digest>() {
                let bytes = writer.manifests.read(&name, MAX_DOCUMENT)?.unwrap_or_default();
                // One that cannot be read could need anything: nothing is removed then.
                let found = links(&bytes).map_err(|source| TreeError::Document { digest, source })?;
                documents.insert(digest, found);
            } else if check_tag(&name).is_ok()
                && let Some(digest) = writer.manifests.link(&name)?.and_then(|target| target.parse().ok())
            {
                tags.insert(name, digest);
            }
        }
        Ok(Self { tags, documents })
    }

    /// All documents that `roots` lead to: images of indexes, and what refers to any of them, but `cut`.
    fn reach(
        &self,
        writer: &Writer<'_>,
        roots: impl Iterator<Item = Digest>,
        cut: Option<Digest>,
    ) -> Result<BTreeSet<Digest>, TreeError> {
        let mut found = BTreeSet::new();
        let mut open: Vec<Digest> = roots.collect();
        while let Some(digest) = open.pop() {
            let Some(links) = self.documents.get(&digest) else { continue };
            if !found.insert(digest) {
                continue;
            }
            open.extend(links.manifests.iter().map(|link| link.digest));
            let about = referrers::listed(&writer.referrers, &digest)?;
            open.extend(about.into_iter().filter(|found| Some(*found) != cut));
            let about = BTreeSet::from([digest]);
            open.extend(self.tags.iter().filter(|(tag, _)| is_about(tag, &about)).map(|(_, digest)| *digest));
        }
        Ok(found)
    }
}

impl Writer<'_> {
    fn untag(&self, name: &Name, tags: &[String]) -> Result<(), TreeError> {
        let _lists = self.tree.lists()?;
        for tag in tags {
            // Without the views first, an index would be answered as if it were a manifest.
            self.manifests.remove(tag)?;
            for (_, dir) in &self.views {
                dir.remove(tag)?;
            }
        }
        self.sync_documents()?;
        write_tags(name, &self.tags, &self.manifests, &[], &self.tree.staging)
    }

    fn forget(&self, content: &Content, doomed: &BTreeSet<Digest>) -> Result<u64, TreeError> {
        let _lists = self.tree.lists()?;
        let mut count = 0;
        for digest in doomed {
            let subject = content.documents.get(digest).and_then(|links| links.subject.as_ref());
            if let Some(subject) = subject.filter(|subject| !doomed.contains(&subject.digest)) {
                referrers::take(&self.referrers, &subject.digest, digest, &self.tree.staging)?;
            }
            let name = digest.to_string();
            self.referrers.remove(&name)?;
            count += u64::from(self.manifests.remove(&name)?);
            for (_, dir) in &self.views {
                dir.remove(&name)?;
            }
        }
        self.referrers.sync()?;
        self.sync_documents()?;
        Ok(count)
    }

    fn sync_documents(&self) -> Result<(), TreeError> {
        self.manifests.sync()?;
        self.views.iter().try_for_each(|(_, dir)| dir.sync())
    }

    /// Blobs that no document needs: those of the doomed, and what pushes left that were killed.
    fn sweep(&self, content: &Content, doomed: &BTreeSet<Digest>) -> Result<(u64, u64), TreeError> {
        let staying = content.documents.iter().filter(|(digest, _)| !doomed.contains(digest));
        let needed: BTreeSet<String> =
            staying.flat_map(|(_, links)| &links.blobs).map(|blob| blob.digest.to_string()).collect();
        let (mut count, mut bytes) = (0, 0);
        for name in self.blobs.names()?.into_iter().filter(|name| !needed.contains(name)) {
            let size = self.blobs.stat(&name)?.map_or(0, |found| found.size);
            if self.blobs.remove(&name)? {
                count += 1;
                bytes += size;
            }
        }
        self.blobs.sync()?;
        Ok((count, bytes))
    }
}
