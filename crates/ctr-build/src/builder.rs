//! What the stages of one build share: the store, the cache, the contexts, who waits for whom.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::thread::Scope;
use std::time::{Duration, Instant};

use ctr_cli::Failure;
use ctr_core::digest::Digest;
use ctr_core::store::{Store, StoreError, Txn};
use ctr_dockerfile::Dockerfile;
use ctr_layer::unpack::Ownership;
use ctr_tree::Layers;

use crate::actions::{Action, Actions, LayerAction};
use crate::args::IsolationName;
use crate::bases::Images;
use crate::config::Config;
use crate::context::Context;
use crate::flights::Flights;
use crate::graph::{Base, Graph};
use crate::layer::{Layer, Sealed, chain_id, chain_of};
use crate::permits::Permits;
use crate::plan::Isolation;
use crate::portable;
use crate::request::Request;
use crate::scope::{Arguments, Given};
use crate::view::View;

/// How often what is finished is made durable while a build goes on.
const PUBLISH_EVERY: Duration = Duration::from_secs(2);

/// A build.
pub(crate) struct Builder<'a> {
    pub(crate) store: Store,
    pub(crate) txn: Txn,
    pub(crate) ownership: Ownership,
    /// RUN is carried out.
    pub(crate) executes: bool,
    /// RUN is carried out in a chroot.
    pub(crate) in_chroot: bool,
    /// RUN works on a copy of the files: always in a chroot.
    pub(crate) copies: bool,
    pub(crate) request: &'a Request,
    pub(crate) given: Given,
    pub(crate) dockerfile: &'a Dockerfile,
    /// The Dockerfile's name, for messages.
    pub(crate) file: String,
    pub(crate) graph: Graph<'a>,
    pub(crate) context: Arc<Context>,
    /// `--build-context` directories, opened.
    pub(crate) contexts: BTreeMap<String, Arc<Context>>,
    pub(crate) images: Images,
    pub(crate) actions: Actions,
    pub(crate) view: View,
    pub(crate) permits: Permits,
    /// Of each stage.
    pub(crate) stages: Vec<StageCell>,
    /// How many stages that stand on each stage have still to begin, and one for the target.
    standing: Mutex<Vec<usize>>,
    /// The target, and the stages that it stands on.
    of_image: Mutex<Vec<usize>>,
    /// Keys whose steps are being carried out.
    pub(crate) flights: Flights,
    moving: RwLock<()>,
    published: Mutex<Instant>,
    /// What steps of this build gave.
    made: Mutex<BTreeMap<Digest, Option<Arc<Layer>>>>,
    /// Steps that are finished and not on record.
    finished: Mutex<Vec<Action>>,
    /// Records of this build's steps, old and new.
    used: Mutex<BTreeMap<Digest, Action>>,
    /// Caches of this build's RUNs.
    caches: Mutex<BTreeMap<String, PathBuf>>,
    cancelled: AtomicBool,
    /// The first error.
    failed: Mutex<Option<Failure>>,
}

/// A stage that is built, or as far as a step of it.
#[derive(Debug, Clone)]
pub(crate) struct Built {
    pub(crate) config: Config,
    /// Lowest first.
    pub(crate) layers: Vec<Arc<Layer>>,
    /// What its files depend on.
    pub(crate) key: Digest,
    /// ARGs, which stages on top of it have too.
    pub(crate) arguments: Arguments,
}

/// The result of a stage, for those who wait for it.
#[derive(Debug, Default)]
pub(crate) struct StageCell {
    state: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Debug, Default)]
enum Progress {
    #[default]
    Idle,
    Running,
    Done(Arc<Built>),
    /// Told elsewhere.
    Failed,
}

/// What a step gave.
pub(crate) struct Made {
    /// None: nothing changed.
    pub(crate) layer: Option<Arc<Layer>>,
}

/// A step of another stage failed: nothing to tell here.
pub(crate) struct Cancelled;

/// Why a stage ended early.
pub(crate) enum Stop {
    /// Its own error.
    Failed(Failure),
    /// That of another one.
    Cancelled,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Cancelled> for Stop {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

/// A store error with what the user can do about it.
pub(crate) fn hinted(error: StoreError) -> Failure {
    Failure::hinted(error, StoreError::hint)
}

/// What a build begins with.
pub(crate) struct Parts<'a> {
    pub(crate) store: Store,
    pub(crate) isolation: Isolation,
    pub(crate) request: &'a Request,
    pub(crate) given: Given,
    pub(crate) dockerfile: &'a Dockerfile,
    /// The Dockerfile's name, for messages.
    pub(crate) file: String,
    pub(crate) graph: Graph<'a>,
    pub(crate) context: Arc<Context>,
    pub(crate) contexts: BTreeMap<String, Arc<Context>>,
    pub(crate) images: Images,
    pub(crate) view: View,
}

impl<'a> Builder<'a> {
    /// A build of these parts.
    pub(crate) fn new(parts: Parts<'a>) -> Result<Self, Failure> {
        let Parts { store, isolation, request, given, dockerfile, file, graph, context, contexts, images, view } =
            parts;
        let txn = store.begin().map_err(hinted)?;
        Ok(Self {
            txn,
            ownership: isolation.ownership,
            executes: isolation.name != IsolationName::None,
            in_chroot: isolation.name == IsolationName::Chroot,
            copies: isolation.copies,
            given,
            dockerfile,
            file,
            context,
            contexts,
            images,
            actions: Actions::of(store.root()),
            view,
            permits: Permits::new(request.jobs),
            stages: graph.stages.iter().map(|_| StageCell::default()).collect(),
            standing: Mutex::default(),
            of_image: Mutex::default(),
            graph,
            request,
            store,
            flights: Flights::default(),
            moving: RwLock::new(()),
            published: Mutex::new(Instant::now()),
            made: Mutex::new(BTreeMap::new()),
            finished: Mutex::new(Vec::new()),
            used: Mutex::new(BTreeMap::new()),
            caches: Mutex::new(BTreeMap::new()),
            cancelled: AtomicBool::new(false),
            failed: Mutex::new(None),
        })
    }

    /// Builds `target` and all that it needs, each stage on a thread of its own.
    pub(crate) fn build(&self, target: usize) -> Result<Arc<Built>, Failure> {
        let order = self.graph.needed(target)?;
        {
            let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
            *standing = self.graph.stood_on(&order);
            standing.get_mut(target).into_iter().for_each(|count| *count += 1);
        }
        *self.of_image.lock().unwrap_or_else(PoisonError::into_inner) = self.graph.below(target);
        let built = std::thread::scope(|scope| {
            for stage in order {
                self.start(scope, stage);
            }
            self.wait(target)
        });
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Also of a build that failed: the next one goes on from there.
        let kept = self.publish();
        match (failed, built) {
            (Some(failure), _) => Err(failure),
            (None, Ok(built)) => kept.map(|()| built),
            (None, Err(Cancelled)) => Err(Failure::new("the build was given up")),
        }
    }

    fn start<'s, 'e>(&'e self, scope: &'s Scope<'s, 'e>, stage: usize) {
        let Some(cell) = self.stages.get(stage) else { return };
        {
            let mut state = cell.state.lock().unwrap_or_else(PoisonError::into_inner);
            if !matches!(*state, Progress::Idle) {
                return;
            }
            *state = Progress::Running;
        }
        scope.spawn(move || {
            let result = crate::stage::run(self, stage, scope);
            let done = match result {
                Ok(built) if self.is_stood_on(stage) => Progress::Done(Arc::new(built)),
                Ok(built) => Progress::Done(Arc::new(self.files_of(&built))),
                Err(stop) => {
                    if let Stop::Failed(error) = stop {
                        self.fail(error);
                    }
                    Progress::Failed
                }
            };
            *cell.state.lock().unwrap_or_else(PoisonError::into_inner) = done;
            cell.changed.notify_all();
        });
    }

    /// Ends the build with this error, if it is the first; whether it is.
    pub(crate) fn fail(&self, failure: Failure) -> bool {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let first = failed.is_none();
        failed.get_or_insert(failure);
        self.cancelled.store(true, Ordering::Relaxed);
        first
    }

    /// Waits for a stage that was started.
    pub(crate) fn wait(&self, stage: usize) -> Result<Arc<Built>, Cancelled> {
        let cell = self.stages.get(stage).ok_or(Cancelled)?;
        let mut state = cell.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &*state {
                Progress::Done(built) => return Ok(Arc::clone(built)),
                Progress::Failed | Progress::Idle => return Err(Cancelled),
                Progress::Running => {}
            }
            state = cell.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for the stage that another one stands on. Its config, which has all lines of its history, goes with the last
    /// who asks: a long chain of stages would have each line as often as there are stages.
    pub(crate) fn wait_below(&self, stage: usize) -> Result<Arc<Built>, Cancelled> {
        let built = self.wait(stage)?;
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let last = standing.get_mut(stage).is_some_and(|count| {
            *count = count.saturating_sub(1);
            *count == 0
        });
        drop(standing);
        if let Some(cell) = self.stages.get(stage).filter(|_| last) {
            let files = Progress::Done(Arc::new(self.files_of(&built)));
            *cell.state.lock().unwrap_or_else(PoisonError::into_inner) = files;
        }
        Ok(built)
    }

    /// Whether the target is this stage or stands on it.
    pub(crate) fn is_of_image(&self, stage: usize) -> bool {
        self.of_image.lock().unwrap_or_else(PoisonError::into_inner).contains(&stage)
    }

    fn is_stood_on(&self, stage: usize) -> bool {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).get(stage).is_some_and(|count| *count > 0)
    }

    /// What `--from` needs of a stage.
    fn files_of(&self, built: &Built) -> Built {
        Built { layers: built.layers.clone(), key: built.key, ..self.scratch() }
    }

    /// Whether a stage was started, so that it can be waited for.
    pub(crate) fn is_started(&self, stage: usize) -> bool {
        self.stages
            .get(stage)
            .is_some_and(|cell| !matches!(*cell.state.lock().unwrap_or_else(PoisonError::into_inner), Progress::Idle))
    }

    /// An error of another stage ends this one at its next step.
    pub(crate) fn check_cancelled(&self) -> Result<(), Cancelled> {
        if self.cancelled.load(Ordering::Relaxed) { Err(Cancelled) } else { Ok(()) }
    }

    /// As long as it is held no layer's directory moves.
    pub(crate) fn hold(&self) -> RwLockReadGuard<'_, ()> {
        self.moving.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files of layers as one tree.
    pub(crate) fn tree(&self, layers: &[Arc<Layer>]) -> Result<Layers, Failure> {
        let dirs = self.dirs(layers);
        Layers::new(&dirs, self.store.dialect(), self.ownership)
            .map_err(|error| Failure::new("cannot open the layers of a stage").caused_by(&error))
    }

    /// The directories of layers, lowest first.
    pub(crate) fn dirs(&self, layers: &[Arc<Layer>]) -> Vec<PathBuf> {
        layers.iter().map(|layer| layer.dir(&self.txn)).collect()
    }

    /// What another stage or an earlier build got of a step: a layer, or that nothing changed. `None`: the step has to be
    /// carried out.
    pub(crate) fn known(&self, key: &Digest, below: &[Arc<Layer>]) -> Result<Option<Made>, Failure> {
        if let Some(made) = self.made.lock().unwrap_or_else(PoisonError::into_inner).get(key) {
            return Ok(Some(Made { layer: made.clone() }));
        }
        if self.request.no_cache {
            return Ok(None);
        }
        if let Some(action) = self.actions.get(key)
            && let Some(made) = self.made_of(&action, below)?
        {
            self.actions.touch(key);
            self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(*key, action);
            return Ok(Some(made));
        }
        for place in &self.request.cache_from {
            if let Some((action, sealed)) = portable::fetch(self, place, key, below)? {
                self.finish(action);
                return Ok(Some(Made { layer: sealed.map(Layer::sealed) }));
            }
        }
        Ok(None)
    }

    /// The result that a record tells of, if the store has it. A layer of other layers than these is none: a step below may
    /// have given something else since, by its nature, under the same key.
    fn made_of(&self, action: &Action, below: &[Arc<Layer>]) -> Result<Option<Made>, Failure> {
        let Some(blob) = &action.layer else { return Ok(Some(Made { layer: None })) };
        if blob.chain_id != chain_id(chain_of(below)?, &blob.diff_id) {
            return Ok(None);
        }
        Ok(self.stored(blob)?.map(|sealed| Made { layer: Some(Layer::sealed(sealed)) }))
    }

    /// Records of all steps of this build.
    pub(crate) fn used(&self) -> Vec<Action> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Directories of caches that RUNs of this build had, by the names that they are kept under.
    pub(crate) fn used_caches(&self) -> Vec<(String, PathBuf)> {
        let caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        caches.iter().map(|(name, dir)| (name.clone(), dir.clone())).collect()
    }

    /// A RUN has this cache.
    pub(crate) fn use_cache(&self, name: String, dir: PathBuf) {
        self.caches.lock().unwrap_or_else(PoisonError::into_inner).insert(name, dir);
    }

    /// A step was carried out, though its layer may still be packed.
    pub(crate) fn made(&self, key: Digest, layer: Option<Arc<Layer>>) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).insert(key, layer);
    }

    /// The layer, if the store has its tree and its blob.
    fn stored(&self, blob: &LayerAction) -> Result<Option<Sealed>, Failure> {
        let Some(done) = self.txn.keep_whole_layer(&blob.chain_id, &blob.diff_id).map_err(hinted)? else {
            return Ok(None);
        };
        let there = self.txn.keep_sized_blob(&blob.digest, blob.size).map_err(hinted)?;
        Ok(there.then(|| Sealed::new(blob.clone(), &done)))
    }

    /// A step is finished; later builds can have its result.
    pub(crate) fn finish(&self, action: Action) {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(action.key, action.clone());
        self.finished.lock().unwrap_or_else(PoisonError::into_inner).push(action);
    }

    /// Makes durable what is finished, now and then, when no step is at work.
    pub(crate) fn publish_sometimes(&self) -> Result<(), Failure> {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        if published.elapsed() < PUBLISH_EVERY {
            return Ok(());
        }
        let Ok(_alone) = self.moving.try_write() else { return Ok(()) };
        self.publish_now()?;
        *published = Instant::now();
        Ok(())
    }

    /// Makes durable what is finished.
    pub(crate) fn publish(&self) -> Result<(), Failure> {
        let _alone = self.moving.write().unwrap_or_else(PoisonError::into_inner);
        self.publish_now()
    }

    fn publish_now(&self) -> Result<(), Failure> {
        let mut finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        self.txn.publish_pending().map_err(hinted)?;
        for action in finished.drain(..) {
            // The next build does the step again, no more.
            if let Err(error) = self.actions.put(&action) {
                ctr_cli::warn(format!("a result could not be kept for later builds: {error}"));
            }
        }
        Ok(())
    }

    /// Keeps what is known of the contexts' files.
    pub(crate) fn save_caches(&self) {
        for context in std::iter::once(&self.context).chain(self.contexts.values()) {
            context.save_cache();
        }
    }

    /// The context that `--from` means, or the build's own; none if it means something else.
    pub(crate) fn context_of(&self, from: Option<&Base>) -> Option<&Arc<Context>> {
        match from {
            None => Some(&self.context),
            Some(Base::Context(name)) => self.contexts.get(name),
            Some(_) => None,
        }
    }

    /// Arguments that no ARG of the Dockerfile declares.
    pub(crate) fn warn_of_arguments(&self) {
        for name in self.request.arguments.keys().filter(|name| !crate::scope::is_predeclared(name)) {
            let declared = self.dockerfile.nodes().iter().any(|node| {
                node.keyword().is_ok_and(|keyword| keyword == ctr_dockerfile::Keyword::Arg)
                    && node.arguments().split_whitespace().any(|word| word.split('=').next() == Some(name))
            });
            if !declared {
                ctr_cli::warn(format!("no ARG declares the build argument {name}: it has no effect"));
            }
        }
    }

    /// The stage, image or scratch that `--from` means, built.
    pub(crate) fn source(&self, base: &Base) -> Result<Arc<Built>, Stop> {
        match base {
            Base::Stage(stage) => Ok(self.wait(*stage)?),
            Base::Scratch => Ok(Arc::new(self.scratch())),
            Base::Image(name) => Ok(Arc::new(self.images.get(self, name, None)?)),
            Base::Context(name) => match self.request.contexts.get(name) {
                Some(crate::request::ContextPlace::Image(image)) => Ok(Arc::new(self.images.get(self, image, None)?)),
                _ => Err(Stop::Failed(Failure::new(format!("the context {name} is no image")))),
            },
        }
    }

    /// What `FROM scratch` begins with.
    pub(crate) fn scratch(&self) -> Built {
        let key = crate::key::KeyHasher::new("scratch").finish();
        let config = Config::scratch(&self.request.platform);
        Built { config, layers: Vec::new(), key, arguments: Arguments::default() }
    }
}
