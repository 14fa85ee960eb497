//! `RUN --mount`: what is mounted counts for the key, by its content where it is a part of the build.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ctr_cli::{Context as _, Failure};
use ctr_core::digest::Digest;
use ctr_dockerfile::instruction::{Mount, Sharing};
use ctr_sandbox::step::{BindSource, Content, StepMount};
use ctr_tree::copy::{Placing, Taken};
use ctr_tree::digest::{Reading, digest};
use ctr_tree::select::{self, Rules, Source};
use ctr_tree::{Empty, Kind, Remembered, Tree, TreePath};

use crate::builder::{Builder, Built, Stop};
use crate::context::Context;
use crate::copy::select_failure;
use crate::key::KeyHasher;
use crate::stage::StageRun;

/// The mounts of a RUN, with where they come from.
pub(crate) struct Mounts {
    all: Vec<One>,
}

enum One {
    /// Of a context: the files are copied, so that nobody changes them meanwhile.
    Context {
        context: Arc<Context>,
        seen: Arc<Remembered>,
        sources: Vec<Source>,
        digest: Digest,
        target: String,
        writable: bool,
    },
    /// Of a stage or an image.
    Stage {
        built: Arc<Built>,
        path: String,
        digest: Digest,
        target: String,
        writable: bool,
    },
    Cache {
        id: String,
        target: String,
        read_only: bool,
        sharing: Sharing,
        mode: u32,
        uid: u32,
        gid: u32,
        from: Option<(Arc<Built>, String)>,
    },
    Tmpfs {
        target: String,
        size: Option<u64>,
    },
    Secret {
        id: String,
        bytes: Vec<u8>,
        target: Option<String>,
        env: Option<String>,
        mode: u32,
        uid: u32,
        gid: u32,
    },
    Ssh {
        id: String,
        socket: PathBuf,
        target: String,
    },
}

/// Mounts that are ready, and what has to live as long as they are used.
pub(crate) struct Prepared {
    pub(crate) mounts: Vec<StepMount>,
    /// Locks of caches.
    #[allow(dead_code, reason = "they are held, not looked at")]
    locks: Vec<File>,
}

/// What is mounted of a context, and what of a stage.
const OF_CONTEXT: Rules<'_> = Rules { exclude: None, parents: false, devices: false };
const OF_STAGE: Rules<'_> = Rules { exclude: None, parents: false, devices: true };

impl Mounts {
    /// Finds what is mounted.
    pub(crate) fn resolve(stage: &StageRun<'_, '_, '_>, mounts: &[Mount]) -> Result<Self, Stop> {
        let mut all = Vec::with_capacity(mounts.len());
        let mut agents = 0;
        for mount in mounts {
            all.extend(one(stage, mount, &mut agents)?);
        }
        Ok(Self { all })
    }

    /// Adds what counts: content of files of the build, names of caches and secrets.
    pub(crate) fn add_to(&self, key: &mut KeyHasher) {
        for mount in &self.all {
            match mount {
                One::Context { digest, target, writable, .. } | One::Stage { digest, target, writable, .. } => {
                    key.digest("bind", digest).add("target", target).add("writable", [u8::from(*writable)]);
                }
                One::Cache { id, target, read_only, .. } => {
                    key.add("cache", id).add("target", target).add("ro", [u8::from(*read_only)]);
                }
                One::Tmpfs { target, .. } => {
                    key.add("tmpfs", target);
                }
                One::Secret { id, target, env, mode, uid, gid, .. } => {
                    key.add("secret", id).add("target", target.as_deref().unwrap_or_default());
                    key.add("env", env.as_deref().unwrap_or_default()).add("mode", format!("{mode} {uid} {gid}"));
                }
                One::Ssh { id, target, .. } => {
                    key.add("ssh", id).add("target", target);
                }
            }
        }
    }

    /// Secrets that the command sees, by their names.
    pub(crate) fn secrets(&self) -> Vec<(String, Vec<u8>)> {
        let secret = |mount: &One| match mount {
            One::Secret { id, bytes, .. } => Some((id.clone(), bytes.clone())),
            _ => None,
        };
        self.all.iter().filter_map(secret).collect()
    }

    /// Variables that no key and no history has.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let variable = |mount: &One| match mount {
            One::Secret { bytes, env: Some(env), .. } => {
                Some((env.clone(), String::from_utf8_lossy(bytes).into_owned()))
            }
            One::Ssh { target, .. } => Some(("SSH_AUTH_SOCK".to_owned(), target.clone())),
            _ => None,
        };
        self.all.iter().filter_map(variable).collect()
    }

    /// Whether files of contexts were not what they were when they were looked at: what is mounted is to be found anew.
    pub(crate) fn look_again(&self) -> bool {
        let mut again = false;
        for mount in &self.all {
            if let One::Context { context, seen, .. } = mount {
                again |= context.look_again(seen);
            }
        }
        again
    }

    /// Makes what is mounted.
    pub(crate) fn prepare(&self, builder: &Builder<'_>) -> Result<Prepared, Failure> {
        let (caches, locks) = self.caches(builder)?;
        let mut prepared = Prepared { mounts: Vec::new(), locks };
        for mount in &self.all {
            match mount {
                One::Context { seen, sources, target, writable, .. } => {
                    let source = BindSource::Host(copied(builder, &**seen, sources)?);
                    let (target, writable) = (target.clone(), *writable);
                    prepared.mounts.push(StepMount::Bind { source, subpath: String::new(), target, writable });
                }
                One::Stage { built, path, target, writable, .. } => {
                    let source = BindSource::Layers(builder.dirs(&built.layers));
                    let (target, writable) = (target.clone(), *writable);
                    prepared.mounts.push(StepMount::Bind { source, subpath: path.clone(), target, writable });
                }
                One::Cache { id, target, read_only, .. } => {
                    let Some(source) = caches.get(id.as_str()) else { continue };
                    let (source, target, read_only) = (source.clone(), target.clone(), *read_only);
                    prepared.mounts.push(StepMount::Cache { source, target, read_only });
                }
                One::Tmpfs { target, size } => {
                    prepared.mounts.push(StepMount::Tmpfs { target: target.clone(), size: *size });
                }
                One::Secret { bytes, target, mode, uid, gid, .. } => {
                    let Some(target) = target.clone() else { continue };
                    let content = Content(bytes.clone());
                    prepared.mounts.push(StepMount::Secret { content, target, mode: *mode, uid: *uid, gid: *gid });
                }
                One::Ssh { socket, target, .. } => {
                    let (source, target) = (socket.clone(), target.clone());
                    prepared.mounts.push(StepMount::Socket { source, target });
                }
            }
        }
        Ok(prepared)
    }
}

impl Mounts {
    /// The directories of the caches by their ids, and their locks: each id once, whatever its targets, and in order, so that
    /// steps that want the same ones do not wait for each other for ever.
    fn caches(&self, builder: &Builder<'_>) -> Result<(BTreeMap<&str, PathBuf>, Vec<File>), Failure> {
        let mut wanted: BTreeMap<&str, Cache<'_>> = BTreeMap::new();
        for mount in &self.all {
            let One::Cache { id, sharing, mode, uid, gid, from, .. } = mount else { continue };
            let (sharing, mode, uid, gid) = (*sharing, *mode, *uid, *gid);
            let cache = wanted.entry(id).or_insert(Cache { id, sharing, mode, uid, gid, from: from.as_ref() });
            // Whoever says that nobody else may be there means it.
            if sharing == Sharing::Locked {
                cache.sharing = sharing;
            }
        }
        let (mut dirs, mut locks) = (BTreeMap::new(), Vec::with_capacity(wanted.len()));
        for (id, cache) in wanted {
            let (dir, lock) = cache.open(builder)?;
            dirs.insert(id, dir);
            locks.push(lock);
        }
        Ok((dirs, locks))
    }
}

fn one(stage: &StageRun<'_, '_, '_>, mount: &Mount, agents: &mut usize) -> Result<Option<One>, Stop> {
    let builder = stage.builder;
    Ok(Some(match mount {
        Mount::Bind { from, source, target, writable } => {
            let base = from.as_deref().map(|from| stage.from(from)).transpose()?;
            let (target, writable) = (place(stage, target)?, *writable);
            match (builder.context_of(base.as_ref()), base) {
                (None, Some(base)) => {
                    let built = builder.source(&base)?;
                    let digest = of_stage(builder, &built, source)?;
                    One::Stage { built, path: source.clone(), digest, target, writable }
                }
                (context, _) => {
                    let context = Arc::clone(context.unwrap_or(&builder.context));
                    let (seen, sources, digest) = context.with(|seen| of_context(builder, &context, seen, source))?;
                    One::Context { context, seen, sources, digest, target, writable }
                }
            }
        }
        Mount::Cache { id, target, read_only, sharing, from, source, mode, uid, gid } => {
            let from = match from {
                Some(from) => Some((builder.source(&stage.from(from)?)?, source.clone())),
                None => None,
            };
            let target = place(stage, target)?;
            let id = if id.is_empty() { target.clone() } else { id.clone() };
            let (read_only, sharing, mode, uid, gid) = (*read_only, *sharing, *mode, *uid, *gid);
            One::Cache { id, target, read_only, sharing, mode, uid, gid, from }
        }
        Mount::Tmpfs { target, size } => One::Tmpfs { target: place(stage, target)?, size: *size },
        Mount::Secret { id, target, env, required, mode, uid, gid } => {
            let Some(bytes) = builder.request.secrets.get(id) else {
                if *required {
                    return Err(Failure::new(format!("the secret {id} was not given"))
                        .hint(format!("--secret id={id},src=FILE"))
                        .into());
                }
                return Ok(None);
            };
            let target = target.as_ref().map(|target| place(stage, target)).transpose()?;
            let (bytes, env, id) = (bytes.clone(), env.clone(), id.clone());
            One::Secret { id, bytes, target, env, mode: *mode, uid: *uid, gid: *gid }
        }
        Mount::Ssh { id, target, required, .. } => {
            let Some(socket) = builder.request.ssh.get(id) else {
                if *required {
                    return Err(Failure::new(format!("the agent {id} was not given"))
                        .hint(format!("--ssh {id}"))
                        .into());
                }
                return Ok(None);
            };
            let target = target.as_ref().map(|target| place(stage, target)).transpose()?;
            let target = target.unwrap_or_else(|| format!("/run/buildkit/ssh_agent.{agents}"));
            *agents += 1;
            One::Ssh { id: id.clone(), socket: socket.clone(), target }
        }
    }))
}

/// Where a mount goes: anywhere but on the root, which would hide the stage.
fn place(stage: &StageRun<'_, '_, '_>, target: &str) -> Result<String, Failure> {
    let place = stage.absolute(target);
    if place == "/" {
        return Err(Failure::new(format!("the target {target} of a mount is the root directory")).hint(
            "give the mount a directory of its own, below the root; without a target it is the working directory",
        ));
    }
    Ok(place)
}

/// What `source` of a mount means: a path, not a pattern.
fn find(tree: &dyn Tree, source: &str, rules: Rules<'_>) -> Result<Vec<Source>, Failure> {
    let path = if source.is_empty() { "/" } else { source };
    let escaped: String =
        path.chars().flat_map(|c| if "*?[\\".contains(c) { vec!['\\', c] } else { vec![c] }).collect();
    select::find(tree, &escaped, rules)
        .map_err(|error| Failure::new(format!("the source {path} of a mount")).because(error.to_string()))
}

/// All of a stage counts by what it was built of; a part by what is in it.
fn of_stage(builder: &Builder<'_>, built: &Built, source: &str) -> Result<Digest, Stop> {
    if TreePath::new(source).is_root() {
        return Ok(built.key);
    }
    let _hold = builder.hold();
    let tree = builder.tree(&built.layers)?;
    let sources = find(&tree, source, OF_STAGE)?;
    let reading = Reading { threads: builder.request.jobs, cache: None, owners: true };
    Ok(digest(&tree, &sources, OF_STAGE, reading).map_err(|error| select_failure(error, false))?)
}

/// Files of a context as they were seen, what of them is meant, and their digest.
type OfContext = (Arc<Remembered>, Vec<Source>, Digest);

fn of_context(
    builder: &Builder<'_>,
    context: &Context,
    seen: &Arc<Remembered>,
    source: &str,
) -> Result<OfContext, Failure> {
    let sources = find(&**seen, source, OF_CONTEXT)?;
    let digest = digest(&**seen, &sources, OF_CONTEXT, context.reading(builder.request.jobs))
        .map_err(|error| select_failure(error, true))?;
    Ok((Arc::clone(seen), sources, digest))
}

/// A copy of files of a context; the path of the file or directory.
fn copied(builder: &Builder<'_>, tree: &dyn Tree, sources: &[Source]) -> Result<PathBuf, Failure> {
    let mut sources = sources.to_vec();
    select::fill(tree, &mut sources, OF_CONTEXT).map_err(|error| select_failure(error, true))?;
    let file = sources.first().is_some_and(|source| source.kind() != Some(Kind::Directory));
    let destination = TreePath::new(if file { "file" } else { "dir" });
    let taken = [Taken { tree, sources: &sources, anonymous: true }];
    let epoch = builder.request.epoch;
    let placing = Placing { base: &Empty, destination: &destination, directory: false, owner: None, mode: None, epoch };
    let dir = crate::pack::unpacked(builder, |writer| ctr_tree::copy::write(&taken, &[], placing, writer))?;
    Ok(dir.join(destination.as_path()))
}

struct Cache<'a> {
    id: &'a str,
    sharing: Sharing,
    mode: u32,
    uid: u32,
    gid: u32,
    from: Option<&'a (Arc<Built>, String)>,
}

impl Cache<'_> {
    /// The directory of the cache, and the lock that keeps others out where they are to be.
    fn open(&self, builder: &Builder<'_>) -> Result<(PathBuf, File), Failure> {
        let name = Digest::of(self.id.as_bytes()).hex();
        let caches = builder.store.root().join("build/caches");
        let failed = |path: &Path| format!("cannot use the cache {}", path.display());
        DirBuilder::new().recursive(true).mode(0o700).create(&caches).context(|| failed(&caches))?;
        for number in 0u32.. {
            let place = caches.join(if number == 0 { name.clone() } else { format!("{name}.{number}") });
            let lock_path = place.with_extension(format!("{number}.lock"));
            let lock = ctr_sys::small::open_lock(&lock_path, 0o600).context(|| failed(&lock_path))?;
            let lock = File::from(lock);
            let cannot = |error: ctr_sys::SysError| Failure::new(failed(&lock_path)).caused_by(&error);
            match self.sharing {
                // In a chroot it is moved to where it is seen, so that nobody else can.
                Sharing::Shared if builder.in_chroot => ctr_sys::lock::exclusive(lock.as_fd()).map_err(cannot)?,
                Sharing::Locked => ctr_sys::lock::exclusive(lock.as_fd()).map_err(cannot)?,
                Sharing::Private => {
                    if !ctr_sys::lock::try_exclusive(lock.as_fd()).map_err(cannot)? {
                        continue;
                    }
                }
                // Others may use it too, and ctr-gc must not take it.
                Sharing::Shared => ctr_sys::lock::shared(lock.as_fd()).map_err(cannot)?,
            }
            self.make(builder, &place, number == 0)?;
            if number == 0 {
                builder.use_cache(name, place.join("dir"));
            }
            return Ok((place.join("dir"), lock));
        }
        Err(Failure::new(failed(&caches)))
    }

    fn make(&self, builder: &Builder<'_>, place: &Path, first: bool) -> Result<(), Failure> {
        let dir = place.join("dir");
        let failed = || format!("cannot make the cache {}", dir.display());
        if dir.exists() {
            // It was of use: ctr-gc takes what was not for long.
            let _ = File::open(place).map(|place| place.set_modified(std::time::SystemTime::now()));
            return Ok(());
        }
        let staged = if let Some((built, source)) = self.from {
            let tree = builder.tree(&built.layers)?;
            let mut sources = find(&tree, source, OF_STAGE)?;
            select::fill(&tree, &mut sources, OF_STAGE).map_err(|error| select_failure(error, false))?;
            let taken = [Taken { tree: &tree, sources: &sources, anonymous: false }];
            let destination = TreePath::new("dir");
            let epoch = builder.request.epoch;
            let placing =
                Placing { base: &Empty, destination: &destination, directory: false, owner: None, mode: None, epoch };
            crate::pack::unpacked(builder, |writer| ctr_tree::copy::write(&taken, &[], placing, writer))?
        } else {
            let staging = builder.txn.layer_staging().map_err(crate::builder::hinted)?.fs();
            let new = staging.join("dir");
            std::fs::create_dir(&new).context(failed)?;
            let name = place.file_name().unwrap_or_default().to_string_lossy();
            if first && crate::portable::fill(builder, &name, &new)? {
                return put_in_place(&staging, place, &dir);
            }
            staging
        };
        let new = staged.join("dir");
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(self.mode)).context(failed)?;
        std::os::unix::fs::chown(&new, Some(self.uid), Some(self.gid)).map_err(|error| {
            let owner = format!("it shall belong to {}:{}", self.uid, self.gid);
            let failure = Failure::new(failed()).because(owner).caused_by(&error);
            failure.hint("an ordinary user has other ids by ranges in /etc/subuid and /etc/subgid alone")
        })?;
        put_in_place(&staged, place, &dir)
    }
}

fn put_in_place(staged: &Path, place: &Path, dir: &Path) -> Result<(), Failure> {
    match std::fs::rename(staged, place) {
        // Another build was first.
        Err(_) if dir.exists() => Ok(()),
        result => result.context(|| format!("cannot make the cache {}", dir.display())),
    }
}
