//! What a COPY or an ADD asks for.

use ctr_cli::Failure;
use ctr_dockerfile::instruction::{Add, Copy, Paths};

use crate::remote::Remote;
use crate::repository::{self, Repository};

/// COPY or ADD.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of the instruction")]
pub(crate) struct Transfer {
    pub(crate) keyword: &'static str,
    pub(crate) paths: Paths,
    pub(crate) from: Option<String>,
    pub(crate) link: bool,
    pub(crate) parents: bool,
    /// Local archives are unpacked.
    pub(crate) unpack: bool,
    /// Those that are downloaded too.
    pub(crate) unpack_remote: bool,
    /// Sources that are downloaded.
    pub(crate) remote: Vec<Remote>,
    /// Sources that git gets.
    pub(crate) repositories: Vec<Repository>,
}

impl Transfer {
    /// A COPY.
    pub(crate) fn copy(copy: Copy) -> Self {
        let Copy { paths, from, link, parents } = copy;
        let (remote, repositories) = (Vec::new(), Vec::new());
        Self { keyword: "COPY", paths, from, link, parents, unpack: false, unpack_remote: false, remote, repositories }
    }

    /// An ADD.
    pub(crate) fn add(add: Add) -> Result<Self, Failure> {
        let Add { mut paths, checksum, keep_git_dir, link, unpack } = add;
        let (addresses, local): (Vec<_>, Vec<_>) = paths.sources.into_iter().partition(|source| is_remote(source));
        if checksum.is_some() && (addresses.len() != 1 || !local.is_empty()) {
            return Err(Failure::new("--checksum is for one source that is downloaded")
                .hint("give each its own ADD; files of the context need no checksum"));
        }
        let named = !paths.destination.is_empty() && !paths.destination.ends_with('/');
        let (repositories, addresses): (Vec<_>, Vec<_>) =
            addresses.into_iter().partition(|text| repository::is_repository(text));
        if checksum.is_some() && !repositories.is_empty() {
            return Err(Failure::new("--checksum is for files").hint("name the commit: REPOSITORY#COMMIT"));
        }
        let repositories = repositories.iter().map(|text| Repository::new(text, keep_git_dir));
        let repositories = repositories.collect::<Result<_, _>>()?;
        let remote = addresses.iter().map(|text| Remote::new(text, checksum.as_deref(), named));
        let remote = remote.collect::<Result<_, _>>()?;
        paths.sources = local;
        let (unpack, unpack_remote) = (unpack.unwrap_or(true), unpack == Some(true));
        Ok(Self {
            keyword: "ADD",
            paths,
            from: None,
            link,
            parents: false,
            unpack,
            unpack_remote,
            remote,
            repositories,
        })
    }

    /// Whether the destination has to be a directory, where the context or stage gives so many sources.
    pub(crate) fn is_to_directory(&self, found: usize) -> Result<bool, Failure> {
        let text = &self.paths.destination;
        // An empty one is the working directory.
        let is_directory =
            text.is_empty() || text.ends_with('/') || matches!(text.as_str(), "." | "..") || text.ends_with("/.");
        let more = self.remote.len() + self.repositories.len() + self.paths.heredocs.len();
        if self.paths.sources.len() + more > 1 && !is_directory {
            return Err(Failure::new(format!("several sources cannot all become {text}"))
                .hint(format!("end the destination with a slash: {text}/")));
        }
        Ok(is_directory || found + more > 1)
    }

    pub(crate) fn history(&self) -> String {
        let heredocs = self.paths.heredocs.iter().map(|heredoc| heredoc.name.as_str());
        let remote = self.remote.iter().map(|remote| remote.name.as_str());
        let sources = self.paths.sources.iter().map(String::as_str).chain(remote).chain(heredocs);
        let sources = sources.collect::<Vec<_>>().join(" ");
        let mut options = String::new();
        if let Some(from) = &self.from {
            options = format!("{options}--from={from} ");
        }
        if let Some(owner) = &self.paths.chown {
            options = format!("{options}--chown={owner} ");
        }
        if let Some(mode) = &self.paths.chmod {
            options = format!("{options}--chmod={mode} ");
        }
        format!("{} {options}{sources} {} # ctr-build", self.keyword, self.paths.destination)
    }
}

fn is_remote(source: &str) -> bool {
    ["http://", "https://", "git://", "ssh://", "git@"].iter().any(|scheme| source.starts_with(scheme))
}
