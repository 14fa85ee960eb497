//! COPY, ADD and WORKDIR: layers that are written straight from where the files are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ctr_cli::Failure;
use ctr_core::digest::Digest;
use ctr_dockerfile::ignore::Pattern;
use ctr_dockerfile::instruction::Heredoc;
use ctr_layer::tar::TarWriter;
use ctr_tree::chmod::ModeChange;
use ctr_tree::copy::{CopyError, NewFile, Placing, Taken};
use ctr_tree::digest::{Reading, digest};
use ctr_tree::glob::is_pattern;
use ctr_tree::select::{Exclude, Item, Rules, SelectError, Source, fill, find, select};
use ctr_tree::{Empty, HostDir, Kind, Layers, Remembered, Tree, TreeError, TreePath, resolve};

use crate::builder::Stop;
use crate::key::KeyHasher;
use crate::layer::{Layer, chain_of};
use crate::memo::Memo;
use crate::remote::Remote;
use crate::repository::Repository;
use crate::stage::StageRun;
use crate::transfer::Transfer;
use crate::view::Outcome;

/// All of a tree that is an image's.
const WHOLE: Rules<'_> = Rules { exclude: None, parents: false, devices: true };

/// The largest `passwd` or `group` of an image that is read, in bytes.
const ACCOUNTS_MAX: u64 = ctr_sandbox::user::ACCOUNT_FILE_MAX as u64;

/// Sources that were found, and the tree that they are in.
struct Found<'t> {
    tree: &'t dyn Tree,
    sources: Vec<Source>,
    anonymous: bool,
}

impl StageRun<'_, '_, '_> {
    /// COPY and ADD.
    pub(crate) fn transfer(&mut self, transfer: &Transfer) -> Result<(), Stop> {
        let builder = self.builder;
        let from = transfer.from.as_deref().map(|from| self.from(from)).transpose()?;
        let context = builder.context_of(from.as_ref());
        // Other stages are waited for before anything is held.
        let stage = match &from {
            Some(base) if context.is_none() => Some(builder.source(base)?),
            _ => None,
        };
        builder.view.try_out(self.number, &self.title);
        let _hold = builder.hold();
        if let Some(context) = context {
            let reading = context.reading(builder.request.jobs);
            return context.with(|seen| self.transfer_of(transfer, &**seen, reading, None));
        }
        let layers = stage.as_ref().map_or(&[][..], |stage| &stage.layers);
        let tree = Remembered::new(Arc::new(builder.tree(layers)?));
        let memo = if transfer.unpack { None } else { self.memo(layers, transfer)? };
        let reading = Reading { threads: builder.request.jobs, cache: None, owners: true };
        self.transfer_of(transfer, &tree, reading, memo.as_ref())
    }

    /// The same, from a tree whose digests are made as `reading` says, where `memo` does not have them.
    fn transfer_of(
        &mut self,
        transfer: &Transfer,
        tree: &dyn Tree,
        reading: Reading<'_>,
        memo: Option<&Memo>,
    ) -> Result<(), Stop> {
        let builder = self.builder;
        // Owners of a context are those of a checkout, by chance.
        let anonymous = !reading.owners;
        let exclude = excludes(&transfer.paths.exclude)?;
        let rules = Rules { exclude: exclude.as_deref(), parents: transfer.parents, devices: !anonymous };
        let mut sources = Vec::new();
        for source in &transfer.paths.sources {
            let selected = find(tree, source, rules).map_err(|error| select_failure(error, anonymous))?;
            if selected.is_empty() && is_pattern(source) {
                ctr_cli::warn(format!("{}: nothing fits {source}", self.title));
            }
            sources.extend(selected);
        }
        let mut unpacked_remote: Vec<(Layers, Vec<Source>)> = Vec::new();
        let mut found = vec![Found { tree, sources, anonymous }];
        let unpacked = if transfer.unpack { self.unpack_archives(&mut found)? } else { Vec::new() };
        found.extend(unpacked.iter().map(|(tree, sources)| Found { tree, sources: sources.clone(), anonymous: false }));
        let base = self.builder.tree(&self.built.layers)?;
        let owner = transfer.paths.chown.as_deref().map(|owner| find_owner(&base, owner)).transpose()?;
        let mode = transfer.paths.chmod.as_deref().map(ModeChange::parse).transpose();
        let mode = mode.map_err(|error| Failure::new("--chmod cannot be read").caused_by(&error))?;
        let files: Vec<NewFile> = transfer.paths.heredocs.iter().map(new_file).collect();
        let local: usize = found.iter().map(|found| found.sources.len()).sum();
        let directory = transfer.is_to_directory(local)?;
        let destination = self.absolute(&transfer.paths.destination);

        let mut key = KeyHasher::new("copy");
        key.digest("below", &self.built.key).add("destination", &destination);
        self.common(&mut key);
        key.add("directory", [u8::from(directory)]).add("link", [u8::from(transfer.link)]);
        if let Some((uid, gid)) = owner {
            key.add("owner", format!("{uid}:{gid}"));
        }
        if let Some(mode) = &transfer.paths.chmod {
            key.add("mode", mode);
        }
        for file in &files {
            key.add("file", &file.name).add("content", &file.content);
        }
        let known = memo.and_then(Memo::get);
        if let Some(digest) = known {
            key.digest("sources", &digest);
        }
        for (at, found) in found.iter().enumerate().filter(|_| known.is_none()) {
            // What was unpacked is of this build alone, with the owners that it has there.
            let (rules, reading) =
                if at == 0 { (rules, reading) } else { (WHOLE, Reading { cache: None, owners: true, ..reading }) };
            let digest = digest(found.tree, &found.sources, rules, reading)
                .map_err(|error| select_failure(error, found.anonymous))?;
            key.digest("sources", &digest);
            if let Some(memo) = memo {
                memo.put(&digest);
            }
        }
        let (key, downloaded, checkouts) = self.downloads(transfer, key)?;
        let checkouts = checkouts.iter().map(open_checkout).collect::<Result<Vec<_>, _>>()?;
        found.extend(checkouts.iter().map(|(tree, sources)| Found { tree, sources: sources.clone(), anonymous: true }));
        let trees = downloaded.iter().map(|dir| open_download(dir)).collect::<Result<Vec<_>, _>>()?;
        for (tree, sources) in &trees {
            let mut add = Found { tree, sources: sources.clone(), anonymous: true };
            if transfer.unpack_remote {
                unpacked_remote.extend(self.unpack_archives(std::slice::from_mut(&mut add))?);
            }
            found.push(add);
        }
        found.extend(unpacked_remote.iter().map(|(tree, sources)| Found {
            tree,
            sources: sources.clone(),
            anonymous: false,
        }));
        let destination = TreePath::new(&destination);
        let base: &dyn Tree = if transfer.link { &Empty } else { &base };
        let epoch = builder.request.epoch;
        let placing = Placing { base, destination: &destination, directory, owner, mode: mode.as_ref(), epoch };
        self.layer_of(key, &transfer.history(), |writer| {
            if let Some(Found { tree, sources, .. }) = found.first_mut() {
                fill(*tree, sources, rules)?;
            }
            let taken: Vec<Taken<'_>> = found
                .iter()
                .map(|found| Taken { tree: found.tree, sources: &found.sources, anonymous: found.anonymous })
                .collect();
            ctr_tree::copy::write(&taken, &files, placing, writer)
        })
    }

    /// Downloads what the step needs, and finishes its key: what has a checksum counts by that, and is downloaded only if the
    /// step has to be carried out.
    fn downloads<'t>(
        &self,
        transfer: &'t Transfer,
        mut key: KeyHasher,
    ) -> Result<(Digest, Vec<PathBuf>, Vec<Checkout<'t>>), Stop> {
        let (mut downloaded, mut commits) = (Vec::new(), Vec::new());
        for repository in &transfer.repositories {
            let commit = repository.commit()?;
            key.add("commit", &commit).add("subdir", &repository.subdir).add("keep", [u8::from(repository.keep)]);
            commits.push((repository, commit));
        }
        for remote in &transfer.remote {
            let digest = match remote.checksum {
                Some(checksum) => checksum,
                None => self.download(remote, &mut downloaded)?,
            };
            key.add("remote", &remote.name).digest("checksum", &digest);
            key.add("unpack", [u8::from(transfer.unpack_remote)]);
        }
        let key = key.finish();
        let mut checkouts = Vec::new();
        let lazy = downloaded.len() < transfer.remote.len() || !commits.is_empty();
        if lazy && self.builder.known(&key, &self.built.layers)?.is_none() {
            for remote in transfer.remote.iter().skip(downloaded.len()) {
                self.download(remote, &mut downloaded)?;
            }
            for (repository, commit) in commits {
                checkouts.push((repository.checkout(self.builder, &commit)?, repository));
            }
        }
        Ok((key, downloaded, checkouts))
    }

    fn download(&self, remote: &Remote, done: &mut Vec<PathBuf>) -> Result<Digest, Stop> {
        let downloaded = remote.download(self.builder)?;
        done.push(downloaded.dir);
        Ok(downloaded.digest)
    }

    /// Where the digest of what is taken of a stage is remembered: by the stage's content, not by what it was built of.
    fn memo(&self, layers: &[Arc<Layer>], transfer: &Transfer) -> Result<Option<Memo>, Stop> {
        let Some(chain) = chain_of(layers)? else { return Ok(None) };
        let mut key = KeyHasher::new("selection");
        key.digest("chain", &chain).list("sources", &transfer.paths.sources);
        key.list("exclude", &transfer.paths.exclude).add("parents", [u8::from(transfer.parents)]);
        Ok(Some(Memo::new(self.builder.store.root(), &key.finish())))
    }

    /// WORKDIR: the directory is made if it is not there.
    pub(crate) fn workdir(&mut self, dir: &str) -> Result<(), Stop> {
        let path = self.absolute(dir);
        self.built.config.set_workdir(&path);
        let history = format!("WORKDIR {path}");
        let _hold = self.builder.hold();
        let base = self.builder.tree(&self.built.layers)?;
        let tree_path = TreePath::new(&path);
        let there = resolve(&base, &tree_path).map_err(|error| tree_failure(&error))?;
        match there.meta.map(|meta| meta.kind) {
            Some(Kind::Directory) => {
                self.history(&history, false);
                self.builder.view.step(self.number, &self.title, Outcome::Config);
                return Ok(());
            }
            Some(_) => return Err(Failure::new(format!("{path} is not a directory")).into()),
            None => {}
        }
        let mut key = KeyHasher::new("workdir");
        key.digest("below", &self.built.key).add("path", &path);
        self.common(&mut key);
        let epoch = self.builder.request.epoch;
        // It belongs to who works in it.
        let user = self.built.config.user();
        let owner = if user.is_empty() { None } else { Some(find_owner(&base, user)?) };
        if let Some((uid, gid)) = owner {
            key.add("owner", format!("{uid}:{gid}"));
        }
        let below = TreePath::root().join(b"made");
        // A directory without anything in it, copied there.
        let made = ctr_tree::copy::directory(epoch);
        let sources = [Source::of(below.name().to_vec(), made)];
        let taken = [Taken { tree: &Empty, sources: &sources, anonymous: true }];
        let placing = Placing { base: &base, destination: &tree_path, directory: false, owner, mode: None, epoch };
        self.layer_of(key.finish(), &history, |writer| ctr_tree::copy::write(&taken, &[], placing, writer))
    }

    /// What every key has in it.
    pub(crate) fn common(&self, key: &mut KeyHasher) {
        let request = self.builder.request;
        key.add("epoch", request.epoch.to_le_bytes()).add("compression", request.compression.codec().name());
    }

    /// The layer that `write` makes, or that an earlier build made with this key.
    fn layer_of(
        &mut self,
        key: Digest,
        created_by: &str,
        write: impl FnOnce(&mut TarWriter<&mut crate::pack::Sink<'_>>) -> Result<u64, CopyError>,
    ) -> Result<(), Stop> {
        let builder = self.builder;
        let _flight = builder.flights.take(key);
        if let Some(made) = builder.known(&key, &self.built.layers)? {
            self.advance(key, made.layer, created_by)?;
            builder.view.step(self.number, &self.title, Outcome::Cached);
            return Ok(());
        }
        let _permit = builder.permits.take();
        let begun = std::time::Instant::now();
        let layer = crate::pack::written(builder, &self.built.layers, write)?;
        self.record(key, layer.as_ref().map(|sealed| sealed.blob.clone()));
        let layer = layer.map(crate::layer::Layer::sealed);
        builder.made(key, layer.clone());
        self.advance(key, layer, created_by)?;
        builder.view.step(self.number, &self.title, Outcome::Done(begun.elapsed()));
        Ok(())
    }

    /// Archives among the sources of an ADD become what is in them.
    fn unpack_archives(&self, found: &mut [Found<'_>]) -> Result<Vec<(Layers, Vec<Source>)>, Stop> {
        let mut unpacked = Vec::new();
        for found in found {
            let mut kept = Vec::new();
            for source in std::mem::take(&mut found.sources) {
                let file = source.items.first().filter(|item| item.meta.kind == Kind::File);
                let dir = match file {
                    Some(item) => crate::pack::archive(self.builder, found.tree, &item.from)?,
                    None => None,
                };
                let Some(dir) = dir else {
                    kept.push(source);
                    continue;
                };
                let tree = Layers::new(&[dir], self.builder.store.dialect(), self.builder.ownership)
                    .map_err(|error| Failure::new("cannot open what was unpacked").caused_by(&error))?;
                let sources = select(&tree, "/", WHOLE).map_err(|error| select_failure(error, false))?;
                unpacked.push((tree, sources));
            }
            found.sources = kept;
        }
        Ok(unpacked)
    }
}

/// A repository, and where it was checked out.
type Checkout<'t> = (PathBuf, &'t Repository);

/// What is taken of a checkout.
fn open_checkout((dir, repository): &Checkout<'_>) -> Result<(HostDir, Vec<Source>), Failure> {
    let tree = HostDir::open(dir).map_err(|error| Failure::new("cannot open a checkout").caused_by(&error))?;
    // Submodules have a file of that name.
    let gits = |path: &[u8]| path.split(|byte| *byte == b'/').any(|name| name == b".git");
    let exclude = Some(&gits as Exclude<'_>).filter(|_| !repository.keep);
    let subdir = if repository.subdir.is_empty() { "/" } else { &repository.subdir };
    let rules = Rules { exclude, parents: false, devices: false };
    let sources = select(&tree, subdir, rules).map_err(|error| select_failure(error, false))?;
    Ok((tree, sources))
}

/// The directory of a download, and the one file in it.
fn open_download(dir: &Path) -> Result<(HostDir, Vec<Source>), Failure> {
    let tree = HostDir::open(dir).map_err(|error| Failure::new("cannot open a download").caused_by(&error))?;
    let names = tree.list(&TreePath::root()).map_err(|error| tree_failure(&error))?;
    let sources = names.into_iter().map(|(name, meta)| {
        let item = Item { from: TreePath::root().join(&name), below: TreePath::root(), meta };
        Source::of(name, item)
    });
    let sources = sources.collect();
    Ok((tree, sources))
}

fn new_file(heredoc: &Heredoc) -> NewFile {
    NewFile { name: heredoc.name.clone().into_bytes(), mode: 0o644, content: heredoc.content.clone().into_bytes() }
}

type Filter = Box<dyn Fn(&[u8]) -> bool + Sync>;

fn excludes(patterns: &[String]) -> Result<Option<Filter>, Failure> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let mut read = Vec::with_capacity(patterns.len());
    for text in patterns {
        read.push(Pattern::parse(text).map_err(|error| {
            Failure::new(format!("--exclude={text} is no pattern that can be read")).caused_by(&error)
        })?);
    }
    Ok(Some(Box::new(move |path: &[u8]| read.iter().any(|pattern| pattern.matches(path)))))
}

/// `user[:group]` by number, or by name in the image's own files.
fn find_owner(base: &dyn Tree, text: &str) -> Result<(u32, u32), Failure> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let passwd = account_file(base, "etc/passwd")?;
    let groups = account_file(base, "etc/group")?;
    let wrong = |error: ctr_sandbox::user::UserError| Failure::new(format!("the owner {text}")).caused_by(&error);
    let found = ctr_sandbox::user::resolve(user, &[], &passwd, &groups).map_err(wrong)?;
    let gid = match group {
        Some(group) => ctr_sandbox::user::resolve(&format!("0:{group}"), &[], &passwd, &groups).map_err(wrong)?.gid,
        // A number stands for both, a name for the user and its own group.
        None if user.bytes().all(|byte| byte.is_ascii_digit()) => found.uid,
        None => found.gid,
    };
    Ok((found.uid, gid))
}

/// An account file of the image; empty if it has none.
pub(crate) fn account_file(base: &dyn Tree, path: &str) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let found = resolve(base, &TreePath::new(path)).map_err(|error| tree_failure(&error))?;
    if found.meta.is_none_or(|meta| meta.kind != Kind::File || meta.size > ACCOUNTS_MAX) {
        return Ok(Vec::new());
    }
    let mut bytes = Vec::new();
    let file = base.open(&found.path).map_err(|error| tree_failure(&error))?;
    file.take(ACCOUNTS_MAX)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::new(format!("cannot read /{path} of the image")).caused_by(&error))?;
    Ok(bytes)
}

pub(crate) fn tree_failure(error: &TreeError) -> Failure {
    let failure = Failure::new(error.to_string());
    match std::error::Error::source(error) {
        Some(source) => failure.because(source.to_string()),
        None => failure,
    }
}

pub(crate) fn select_failure(error: SelectError, context: bool) -> Failure {
    match error {
        SelectError::Tree(error) => tree_failure(&error),
        SelectError::Missing(path) if context => Failure::new(format!("the context has no {path}"))
            .hint("sources are looked for in the context, without what .dockerignore names"),
        other => Failure::new(other.to_string()),
    }
}

pub(crate) fn copy_failure(error: CopyError) -> Failure {
    match error {
        CopyError::Tree(error) => tree_failure(&error),
        CopyError::Select(error) => select_failure(error, false),
        CopyError::Sink(error) => Failure::new("cannot write a layer").caused_by(&error),
        other => Failure::new(other.to_string()),
    }
}
