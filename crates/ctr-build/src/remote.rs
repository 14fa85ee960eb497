//! Sources of ADD that are elsewhere: files that web servers give.

use std::fs::{DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use ctr_cli::{Context as _, Failure};
use ctr_core::digest::{Digest, Hasher};
use ctr_registry::RegistryError;
use ctr_registry::http::{Http, Request, Settings, of_io};
use ctr_registry::url::Url;

use crate::builder::{Builder, hinted};

/// The largest file that is downloaded, in bytes (spec/limits.md).
const MAX: u64 = 8 << 30;

/// A file to be downloaded.
#[derive(Debug)]
pub(crate) struct Remote {
    url: Url,
    /// The last name of its path.
    pub(crate) name: String,
    /// What it has to be.
    pub(crate) checksum: Option<Digest>,
}

/// A file that was downloaded: the directory that it is in, alone.
#[derive(Debug)]
pub(crate) struct Downloaded {
    pub(crate) dir: PathBuf,
    pub(crate) digest: Digest,
}

impl Remote {
    /// Reads an address. A directory has no name that a file could get.
    pub(crate) fn new(text: &str, checksum: Option<&str>, named: bool) -> Result<Self, Failure> {
        let wrong = |reason: String| Failure::new(format!("ADD of {text}: {reason}"));
        let url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
        let name = url.path().rsplit('/').next().unwrap_or_default().to_owned();
        if (name.is_empty() || name == "." || name == "..") && !named {
            return Err(wrong("its address has no name for the file".to_owned())
                .hint("end the destination with the name, not with a slash"));
        }
        let name = if name.is_empty() || name.starts_with('.') { "file".to_owned() } else { name };
        let checksum = checksum.map(str::parse).transpose();
        let checksum =
            checksum.map_err(|error: ctr_core::digest::DigestError| wrong(format!("--checksum: {error}")))?;
        Ok(Self { url, name, checksum })
    }

    /// Downloads it into a directory of the transaction, and checks it.
    pub(crate) fn download(&self, builder: &Builder<'_>) -> Result<Downloaded, Failure> {
        let shown = &self.url;
        let of_registry = |error: RegistryError| Failure::hinted(error, RegistryError::hint);
        let http = Http::new(Settings::default());
        let response = http.send(&mut Request::get(self.url.clone())).map_err(of_registry)?;
        if response.status != 200 {
            return Err(Failure::new(format!("cannot download {shown}"))
                .because(format!("the server said {}", response.status)));
        }
        let staging = builder.txn.layer_staging().map_err(hinted)?;
        let dir = staging.fs().with_file_name("download");
        DirBuilder::new().mode(0o700).create(&dir).context(|| format!("cannot create {}", dir.display()))?;
        let path = dir.join(&self.name);
        let failed = || format!("cannot write {}", path.display());
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path).context(failed)?;
        let mut body = response.into_body().take(MAX + 1);
        let (mut hasher, mut size) = (Hasher::new(), 0u64);
        let mut buffer = vec![0; 128 << 10];
        loop {
            let count = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(of_registry(of_io(error, &self.url))),
            };
            let bytes = buffer.get(..count).unwrap_or_default();
            hasher.update(bytes);
            file.write_all(bytes).context(failed)?;
            size += count as u64;
        }
        if size > MAX {
            return Err(
                Failure::new(format!("cannot download {shown}")).because(format!("it has more than {MAX} bytes"))
            );
        }
        let digest = hasher.finish();
        match &self.checksum {
            Some(wanted) if *wanted != digest => Err(Failure::new(format!("{shown} is not what --checksum says"))
                .because(format!("it has {digest}, and {wanted} is wanted"))),
            _ => Ok(Downloaded { dir, digest }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: BUILD-48
    #[test]
    fn addresses_have_names() {
        let name =
            |text: &str, named| Remote::new(text, None, named).map(|remote| remote.name).map_err(|f| f.one_line());
        assert_eq!(name("https://example.com/a/b.tar.gz?x=1", false).unwrap(), "b.tar.gz");
        assert_eq!(name("https://example.com/", true).unwrap(), "file");
        assert_eq!(name("https://example.com/.profile", true).unwrap(), "file");
        assert!(name("https://example.com/", false).unwrap_err().contains("no name"));
        assert!(Remote::new("https://example.com/a", Some("sha256:12"), false).is_err());
    }
}
