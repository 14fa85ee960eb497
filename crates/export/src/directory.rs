//! OCI layouts in a directory: a new one appears in whole; one that is there gets the image at the very end, when its
//! index is replaced.

use std::fs;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use ctr_cli::{Context as _, Failure};
use ctr_core::digest::Digest;
use ctr_core::spec::oci::{self, Descriptor, REF_NAME};
use ctr_core::spec::{MAX_DOCUMENT, write};
use serde_json::Value;

use crate::Export;
use crate::blob::open_blob;
use crate::new_file::NewFile;

impl Export<'_> {
    pub(crate) fn directory(&self, target: &Path) -> Result<(), Failure> {
        if target.join("oci-layout").exists() {
            return self.add_to(target);
        }
        let failed = || format!("cannot create {}", target.display());
        if fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Failure::new(failed()).because("it is there and is no OCI layout"));
        }
        let staged = Staged::create(target)?;
        fs::create_dir_all(staged.path.join("blobs/sha256")).context(failed)?;
        fs::write(staged.path.join("oci-layout"), write::OCI_LAYOUT).context(failed)?;
        self.fill(&staged.path)?;
        fs::write(staged.path.join("index.json"), write::index(&self.entries())).context(failed)?;
        staged.publish(target)
    }

    /// Adds the image to the layout `target`; an image that has its tag there loses it.
    fn add_to(&self, target: &Path) -> Result<(), Failure> {
        let failed = || format!("cannot add to {}", target.display());
        let read = |name: &str| -> Result<Vec<u8>, Failure> {
            let file = fs::File::open(target.join(name)).context(failed)?;
            let mut bytes = Vec::new();
            file.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes).context(failed)?;
            Ok(bytes)
        };
        oci::check_layout(&read("oci-layout")?).context(failed)?;
        let index = read("index.json")?;
        oci::parse_index(&index).context(failed)?;
        fs::create_dir_all(target.join("blobs/sha256")).context(failed)?;
        self.fill(target)?;
        let mut index: Value = serde_json::from_slice(&index).context(failed)?;
        for entry in self.entries() {
            replace_entry(&mut index, &entry);
        }
        let mut file = NewFile::create(&target.join("index.json"))?;
        file.write_all(&serde_json::to_vec(&index).context(failed)?).context(failed)?;
        file.publish()
    }

    fn fill(&self, layout: &Path) -> Result<(), Failure> {
        for document in self.documents() {
            put(layout, &document.digest, document.bytes.len() as u64, document.bytes.as_slice())?;
        }
        for blob in self.blobs() {
            let bar = self.bar(blob);
            put(layout, &blob.digest, blob.size, bar.reading(open_blob(self.store, blob)?))?;
            bar.finish("written");
        }
        Ok(())
    }
}

/// Writes a blob if there is none of its digest and size.
fn put(layout: &Path, digest: &Digest, size: u64, mut content: impl Read) -> Result<(), Failure> {
    let path = layout.join("blobs/sha256").join(digest.hex());
    if fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() == size) {
        return Ok(());
    }
    let mut file = NewFile::create(&path)?;
    io::copy(&mut content, &mut file).context(|| format!("cannot write {}", path.display()))?;
    file.publish()
}

/// Takes the entries of the same tag out of an index and puts `entry` in. What else there is stays as it is.
fn replace_entry(index: &mut Value, entry: &Descriptor) {
    let Ok(Value::Object(fresh)) = serde_json::from_slice(&write::index(std::slice::from_ref(entry))) else { return };
    let added = fresh.get("manifests").and_then(Value::as_array).cloned().unwrap_or_default();
    let tag = entry.annotations.get(REF_NAME).map(String::as_str);
    let digest = entry.digest.to_string();
    if let Some(Value::Array(manifests)) = index.get_mut("manifests") {
        manifests.retain(|old| {
            let old_tag = old.pointer("/annotations").and_then(|all| all.get(REF_NAME)).and_then(Value::as_str);
            let same_image = old.get("digest").and_then(Value::as_str) == Some(&digest);
            if tag.is_some() { old_tag != tag } else { !(same_image && old_tag.is_none()) }
        });
        manifests.extend(added);
    } else if let Some(object) = index.as_object_mut() {
        object.insert("manifests".to_owned(), Value::Array(added));
    }
}

/// A directory that is being filled. Dropped without [`Staged::publish`], it leaves nothing.
struct Staged {
    path: PathBuf,
}

impl Staged {
    fn create(target: &Path) -> Result<Self, Failure> {
        let failed = || format!("cannot create {}", target.display());
        let name = target.file_name().ok_or_else(|| Failure::new(failed()).because("it names no directory"))?;
        let random = ctr_sys::random::bytes::<8>().context(failed)?;
        let mut staged = std::ffi::OsString::from(".");
        staged.push(name);
        staged.push(format!(".{:016x}", u64::from_le_bytes(random)));
        let path = target.with_file_name(staged);
        fs::create_dir(&path).context(failed)?;
        Ok(Self { path })
    }

    fn publish(self, target: &Path) -> Result<(), Failure> {
        let failed = || format!("cannot create {}", target.display());
        let dir = ctr_sys::durable::open_dir(&self.path).context(failed)?;
        ctr_sys::durable::syncfs(dir).context(failed)?;
        // Over an empty directory too, but never over one with something in it.
        fs::rename(&self.path, target).context(failed)?;
        let parent = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        ctr_sys::durable::fsync_dir(parent).context(failed)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // After the rename there is nothing of this name.
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ctr_core::spec::oci::MediaType;

    fn entry(content: &[u8], tag: Option<&str>) -> Descriptor {
        let mut entry = Descriptor::new(MediaType::MANIFEST, Digest::of(content), 1);
        entry.annotations.extend(tag.map(|tag| (REF_NAME.to_owned(), tag.to_owned())));
        entry
    }

    #[test]
    fn a_tag_moves_and_others_stay() {
        let old = [entry(b"a", Some("1")), entry(b"b", Some("2")), entry(b"c", None)];
        let mut index: Value = serde_json::from_slice(&write::index(&old)).unwrap();
        index["x"] = Value::from("kept");
        let new = entry(b"d", Some("1"));
        replace_entry(&mut index, &new);
        assert_eq!(index["x"], "kept");
        let found = oci::parse_index(&serde_json::to_vec(&index).unwrap()).unwrap().manifests;
        assert_eq!(found, [old[1].clone(), old[2].clone(), new]);
        replace_entry(&mut index, &entry(b"c", None));
        let found = oci::parse_index(&serde_json::to_vec(&index).unwrap()).unwrap().manifests;
        assert_eq!(found.len(), 3, "an image without tag stands once");
    }
}
