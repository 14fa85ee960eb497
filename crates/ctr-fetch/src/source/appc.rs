//! Legacy appc images: a tar of `manifest` and `rootfs/`. The tree becomes one layer, a plain tar, so that the same
//! image always gives the same digest; manifest and config are made from what the appc manifest says.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ctr_cli::{Context as _, Failure};
use ctr_core::digest::Digest;
use ctr_core::reference::Reference;
use ctr_core::spec::appc::{self, AppcImage};
use ctr_core::spec::oci::{Descriptor, MediaType};
use ctr_core::spec::{MAX_DOCUMENT, write};
use ctr_layer::limits::Limits;
use ctr_layer::pack::Hashing;
use ctr_layer::tar::{Entry, EntryKind, Segment, TarReader, TarWriter};

use super::members::{Members, Positioned};
use super::{Image, Source, Wanted, names};

/// An appc image, as a plain tar.
pub(super) struct AppcArchive {
    file: Arc<File>,
    members: Members,
    scratch: PathBuf,
    layer: Option<(Arc<File>, u64)>,
}

impl AppcArchive {
    /// `scratch` is a directory for the layer that is made.
    pub(super) fn new(file: Arc<File>, members: Members, scratch: &Path) -> Self {
        Self { file, members, scratch: scratch.to_owned(), layer: None }
    }

    /// Rewrites the tree below `rootfs/` as a layer.
    fn make_layer(&mut self) -> Result<(Digest, u64), Failure> {
        let failed = || format!("cannot use {}", self.members.place());
        let path = self.scratch.join("rootfs.tar");
        let out = File::options().read(true).write(true).create_new(true).open(&path).context(failed)?;
        std::fs::remove_file(&path).context(failed)?;
        let length = self.file.metadata().context(failed)?.len();
        let input = BufReader::with_capacity(1 << 17, Positioned::new(&self.file, 0, length));
        let limits = Limits::default();
        let mut reader = TarReader::new(input, limits);
        let mut writer = TarWriter::new(Hashing::new(BufWriter::with_capacity(1 << 17, &out)));
        while let Some(mut entry) = reader.next_entry().context(failed)? {
            if !below_rootfs(&mut entry).map_err(|why| Failure::new(failed()).because(why))? {
                continue;
            }
            let after = writer.position().saturating_add(entry.size);
            if after > limits.layer_bytes || (after > limits.ratio_floor && after / limits.ratio > length) {
                return Err(Failure::new(failed()).because("so much comes out of it that it looks like a bomb"));
            }
            let data = Data { reader: &mut reader, segments: entry.sparse.take(), at: 0 };
            writer.append(&entry, data).context(failed)?;
        }
        let (mut buffered, digest, size) = writer.finish().context(failed)?.finish();
        buffered.flush().context(failed)?;
        drop(buffered);
        self.layer = Some((Arc::new(out), size));
        Ok((digest, size))
    }
}

impl Source for AppcArchive {
    fn image(&mut self, wanted: &Wanted) -> Result<Image, Failure> {
        let bytes = self.members.read("manifest", MAX_DOCUMENT)?;
        let AppcImage { name, version, mut config, annotations, notes } =
            appc::parse(&bytes).context(|| format!("cannot use {}", self.members.place()))?;
        let (diff_id, size) = self.make_layer()?;
        config.diff_ids = vec![diff_id];
        let config = write::config(&config);
        let descriptor = Descriptor::new(MediaType::CONFIG, Digest::of(&config), config.len() as u64);
        let layers = [Descriptor::new(MediaType::LAYER, diff_id, size)];
        let manifest = write::manifest(&descriptor, &layers, &annotations);
        let mut image = Image::new(manifest, config, image_name(&name, version.as_deref(), &wanted.stem))?;
        image.notes = notes;
        Ok(image)
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Failure> {
        let missing = || Failure::new(format!("no layer {}", descriptor.digest));
        let (file, size) = self.layer.as_ref().ok_or_else(missing)?;
        Ok(Box::new(Positioned::new(file, 0, *size)))
    }
}

/// An appc name is a domain and a path: almost a reference. What is none becomes a local name.
fn image_name(name: &str, version: Option<&str>, stem: &str) -> Vec<Reference> {
    let tag = version.map_or_else(|| "latest".to_owned(), |version| version.replace(['+', '~', '/'], "-"));
    let full = names::full_name(&format!("{name}:{tag}")).filter(|_| name.contains('/'));
    full.or_else(|| names::local(if name.is_empty() { stem } else { name }, Some(&tag))).into_iter().collect()
}

/// Takes `rootfs/` off the names of an entry; `false` for one that is not of the tree.
fn below_rootfs(entry: &mut Entry) -> Result<bool, String> {
    let shown = || entry.name.escape_ascii().to_string();
    match strip(&entry.name) {
        Place::Rootfs(path) => {
            if path.is_empty() && entry.kind != EntryKind::Directory {
                return Err("its rootfs is not a directory".to_owned());
            }
            if path.split(|b| *b == b'/').any(|part| part.starts_with(b".wh.")) {
                return Err(format!("it has the file {}, a name that layers keep for whiteouts", shown()));
            }
            if entry.kind == EntryKind::Hardlink {
                match strip(&entry.link) {
                    Place::Rootfs(target) if !target.is_empty() => entry.link = target,
                    _ => return Err(format!("its file {} is a hard link out of rootfs", shown())),
                }
            }
            entry.name = if path.is_empty() { b"./".to_vec() } else { path };
            Ok(true)
        }
        Place::Manifest if entry.kind == EntryKind::Regular => Ok(false),
        Place::Top if entry.kind == EntryKind::Directory => Ok(false),
        _ => Err(format!("it has {} beside manifest and rootfs", shown())),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// Below `rootfs/`; empty for itself.
    Rootfs(Vec<u8>),
    Manifest,
    /// The top directory.
    Top,
    Elsewhere,
}

fn strip(name: &[u8]) -> Place {
    if name.starts_with(b"/") {
        return Place::Elsewhere;
    }
    let mut parts = name.split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".");
    match parts.next() {
        None => Place::Top,
        // `..` below rootfs is left in the name: unpacking refuses it.
        Some(b"rootfs") => Place::Rootfs(parts.collect::<Vec<_>>().join(&b'/')),
        Some(b"manifest") if parts.next().is_none() => Place::Manifest,
        Some(_) => Place::Elsewhere,
    }
}

/// The content of an entry, holes of a sparse file filled with zeros.
struct Data<'a, R> {
    reader: &'a mut TarReader<R>,
    segments: Option<Vec<Segment>>,
    at: u64,
}

impl<R: io::BufRead> Data<'_, R> {
    fn stored(&mut self, buffer: &mut [u8], most: u64) -> io::Result<usize> {
        let data = self.reader.data().map_err(io::Error::other)?;
        let length = data.len().min(buffer.len()).min(usize::try_from(most).unwrap_or(usize::MAX));
        let (Some(from), Some(to)) = (data.get(..length), buffer.get_mut(..length)) else { return Ok(0) };
        to.copy_from_slice(from);
        self.reader.consume(length);
        self.at += length as u64;
        Ok(length)
    }
}

impl<R: io::BufRead> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(segments) = &self.segments else { return self.stored(buffer, u64::MAX) };
        let next = segments.iter().find(|segment| segment.offset + segment.length > self.at);
        let hole = match next {
            Some(segment) if segment.offset <= self.at => {
                let most = segment.offset + segment.length - self.at;
                return self.stored(buffer, most);
            }
            Some(segment) => segment.offset - self.at,
            None => u64::MAX,
        };
        let length = buffer.len().min(usize::try_from(hole).unwrap_or(usize::MAX));
        buffer.iter_mut().take(length).for_each(|byte| *byte = 0);
        self.at += length as u64;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let rootfs = |path: &str| Place::Rootfs(path.as_bytes().to_vec());
        for (name, place) in [
            ("rootfs", rootfs("")),
            ("./rootfs/", rootfs("")),
            ("rootfs/etc/x", rootfs("etc/x")),
            ("rootfs/../x", rootfs("../x")),
            ("manifest", Place::Manifest),
            ("./manifest", Place::Manifest),
            ("./", Place::Top),
            ("manifest/x", Place::Elsewhere),
            ("rootfsx/y", Place::Elsewhere),
            ("/rootfs/x", Place::Elsewhere),
        ] {
            assert_eq!(strip(name.as_bytes()), place, "{name}");
        }
    }

    #[test]
    fn appc_names_become_references() {
        let name = |name: &str, version| image_name(name, version, "file").first().unwrap().to_string();
        assert_eq!(name("example.com/worker", Some("1.0.0+x")), "example.com/worker:1.0.0-x");
        assert_eq!(name("example.com/a/b", None), "example.com/a/b:latest");
        assert_eq!(name("worker", Some("1")), "localhost/worker:1");
    }
}
