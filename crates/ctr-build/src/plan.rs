//! The build of one platform: what is known of it before anything is carried out.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use clap::ValueEnum as _;
use ctr_cli::Failure;
use ctr_core::platform::Platform;
use ctr_core::store::Store;
use ctr_dockerfile::{Dockerfile, Keyword};
use ctr_layer::unpack::Ownership;
use ctr_sys::userns::{StorageMap, enter_storage_map};

use crate::args::IsolationName;
use crate::bases::Images;
use crate::builder::{Builder, Built, Parts};
use crate::check::Findings;
use crate::commit::{self, Image};
use crate::context::{Context, Found};
use crate::copied;
use crate::graph::{self, Base, Graph};
use crate::request::{ContextPlace, Request};
use crate::scope::Given;
use crate::sources::Sources;
use crate::view::{Style, View};

/// A build that was not begun.
pub(crate) struct Plan<'a> {
    request: &'a Request,
    dockerfile: &'a Dockerfile,
    /// The Dockerfile's name, for messages.
    file: &'a str,
    graph: Graph<'a>,
    /// The stage that becomes the image.
    target: usize,
    /// `TARGETPLATFORM` and its like.
    platform: BTreeMap<String, String>,
    context: Arc<Context>,
    /// `--build-context` directories, opened.
    contexts: BTreeMap<String, Arc<Context>>,
    images: Images,
}

/// A build that was carried out. Its transaction keeps what it made.
pub(crate) struct Done<'a> {
    pub(crate) builder: Builder<'a>,
    pub(crate) built: Arc<Built>,
    /// It has no name yet.
    pub(crate) image: Image,
}

impl<'a> Plan<'a> {
    /// Reads what the Dockerfile means for this request, and opens the contexts.
    pub(crate) fn new(
        request: &'a Request,
        dockerfile: &'a Dockerfile,
        found: &'a Found,
        context: &Path,
        sources: &Sources,
        root: &Path,
    ) -> Result<Self, Failure> {
        let platform = predefined(request, dockerfile);
        let names: Vec<String> = request.contexts.keys().cloned().collect();
        let graph = Graph::new(dockerfile, &found.name, &request.arguments, &platform, &names)?;
        let target = graph.target(request.target.as_deref())?;
        let context = sources.open(context, &found.ignore_files, root)?;
        let mut contexts = BTreeMap::new();
        for (name, place) in &request.contexts {
            if let ContextPlace::Directory(dir) = place {
                contexts.insert(name.clone(), sources.open(dir, &[dir.join(".dockerignore")], root)?);
            }
        }
        let (file, images) = (found.name.as_str(), Images::default());
        Ok(Self { request, dockerfile, file, graph, target, platform, context, contexts, images })
    }

    /// What the lint says of it.
    pub(crate) fn findings(&self, root: &Path) -> Findings<'a> {
        let env = self.base_env(root);
        Findings::of(self.dockerfile, self.file, &self.context, self.request, env)
    }

    /// Brings in the images that the stages stand on or copy from.
    pub(crate) fn fetch(&self, root: &Path) -> Result<(), Failure> {
        let request = self.request;
        for number in self.graph.needed(self.target)? {
            let Some(stage) = self.graph.stages.get(number) else { continue };
            let base = std::iter::once((&stage.base, stage.from, stage.platform.as_deref()));
            for (base, node, platform) in base.chain(stage.needs.iter().map(|(need, node)| (need, *node, None))) {
                let name = match base {
                    Base::Image(name) => name,
                    Base::Context(name) => match request.contexts.get(name) {
                        Some(ContextPlace::Image(image)) => image,
                        _ => continue,
                    },
                    _ => continue,
                };
                self.images
                    .prepare(root, request, name, platform)
                    .map_err(|failure| graph::at_node(failure, node, self.dockerfile, self.file))?;
            }
        }
        Ok(())
    }

    /// Whether a command is executed. Triggers of bases may do so besides.
    fn runs(&self) -> Result<bool, Failure> {
        let runs = |node: &ctr_dockerfile::Node| node.keyword().is_ok_and(|keyword| keyword == Keyword::Run);
        let stages = self.graph.needed(self.target)?;
        Ok(stages.iter().filter_map(|stage| self.graph.stages.get(*stage)).any(|stage| stage.nodes.iter().any(runs)))
    }

    /// The variables that the base images set; none if one of them is not in the store.
    fn base_env(&self, root: &Path) -> Option<Vec<String>> {
        let mut names = Vec::new();
        for stage in &self.graph.stages {
            match &stage.base {
                Base::Image(name) => {
                    let store = Store::open(root).ok()?;
                    let launch = store.launch_record(&store.find_image(name).ok()?.digest).ok()?;
                    let pairs = launch.env.iter().filter_map(|pair| pair.split_once('='));
                    names.extend(pairs.map(|(name, _)| name.to_owned()));
                }
                Base::Context(_) => return None,
                Base::Scratch | Base::Stage(_) => {}
            }
        }
        Some(names)
    }

    /// Carries it out. `several`: it is not the only one, so what is shown has the platform with it.
    pub(crate) fn carry_out(
        self,
        store: Store,
        isolation: Isolation,
        style: Style,
        several: bool,
    ) -> Result<Done<'a>, Failure> {
        let Self { request, dockerfile, file, graph, target, platform, context, contexts, images } = self;
        let prefix = if several { format!("{} ", request.platform) } else { String::new() };
        let label = |(at, stage): (usize, &graph::Stage<'_>)| format!("{prefix}{}", stage.label(at));
        let labels = graph.stages.iter().enumerate().map(label).collect();
        let given = Given { arguments: request.arguments.clone(), platform, globals: graph.globals.clone() };
        let steps = graph.needed(target)?.into_iter().filter_map(|stage| graph.stages.get(stage));
        let view = View::new(style, labels, steps.map(|stage| stage.nodes.len()).sum());
        let file = file.to_owned();
        let parts =
            Parts { store, isolation, request, given, dockerfile, file, graph, context, contexts, images, view };
        let builder = Builder::new(parts)?;
        let built = builder.build(target);
        builder.view.finish();
        builder.save_caches();
        let built = built?;
        builder.warn_of_arguments();
        let image = commit::commit(&builder, &built)?;
        Ok(Done { builder, built, image })
    }
}

/// `TARGETPLATFORM` and its like, which every FROM sees and every stage can declare; what is given comes before.
fn predefined(request: &Request, dockerfile: &Dockerfile) -> BTreeMap<String, String> {
    let mut arguments = BTreeMap::new();
    for (prefix, platform) in [("TARGET", &request.platform), ("BUILD", &Platform::host())] {
        arguments.insert(format!("{prefix}PLATFORM"), platform.to_string());
        arguments.insert(format!("{prefix}OS"), platform.os.clone());
        arguments.insert(format!("{prefix}OSVERSION"), String::new());
        arguments.insert(format!("{prefix}ARCH"), platform.architecture.clone());
        arguments.insert(format!("{prefix}VARIANT"), platform.variant.clone());
    }
    arguments.insert("TARGETSTAGE".to_owned(), target_name(request, dockerfile));
    for (name, value) in &mut arguments {
        if let Some(given) = request.arguments.get(name) {
            given.clone_into(value);
        }
    }
    arguments
}

/// The stage that is asked for as the caller says it, else the last one's name, else `default`.
fn target_name(request: &Request, dockerfile: &Dockerfile) -> String {
    let said = request.target.clone().filter(|target| !target.is_empty());
    let last = || {
        let from = |node: &&ctr_dockerfile::Node| node.keyword().is_ok_and(|keyword| keyword == Keyword::From);
        let words = dockerfile.nodes().iter().rfind(from)?.arguments();
        words.split_whitespace().nth(2).map(str::to_ascii_lowercase)
    };
    said.or_else(last).unwrap_or_else(|| "default".to_owned())
}

/// The rights that a build works with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Isolation {
    /// What `--isolation` calls them.
    pub(crate) name: IsolationName,
    /// What becomes of owners of files.
    pub(crate) ownership: Ownership,
    /// RUN works on copies of the files: there is no overlay to be had.
    pub(crate) copies: bool,
}

/// Enters the user namespace of the store, as an ordinary user. Where there is none to be had, what only copies is built
/// without: owners are recorded then, as where one id is all there is. `wanted` has to be what comes of it.
pub(crate) fn enter(plans: &[Plan<'_>], wanted: IsolationName, root: &Path) -> Result<Isolation, Failure> {
    let runs = || plans.iter().try_fold(false, |runs, plan| Ok::<_, Failure>(runs || plan.runs()?));
    let recorded = |name, reason: &str| {
        ctr_cli::note(format!("owners of files are recorded, not set: {reason}"));
        Isolation { name, ownership: Ownership::Record, copies: false }
    };
    if wanted == IsolationName::None {
        if runs()? {
            return Err(Failure::usage("--isolation=none executes nothing, and there is a RUN to be done"));
        }
        return Ok(recorded(IsolationName::None, "--isolation=none"));
    }
    // Whether or not a RUN is seen here: a base may have one as a trigger.
    let copies = copied::is_called_for(root)?;
    let noted = |isolation, text: &str| {
        if runs()? {
            ctr_cli::note(text);
        }
        Ok::<_, Failure>(isolation)
    };
    let chown = |name| {
        let isolation = Isolation { name, ownership: Ownership::Chown, copies };
        if !copies {
            return Ok(isolation);
        }
        noted(isolation, "commands work on copies of the files: the store's file system carries no overlay")
    };
    let in_chroot = Isolation { name: IsolationName::Chroot, ownership: Ownership::Chown, copies: true };
    let found = match enter_storage_map() {
        Ok(StorageMap::Single { reason }) => recorded(IsolationName::SingleId, &reason),
        Ok(map) if map.single_id() => {
            Isolation { name: IsolationName::SingleId, ownership: Ownership::Record, copies: false }
        }
        Ok(StorageMap::Host) if wanted == IsolationName::Chroot => in_chroot,
        Ok(StorageMap::Host) if wanted == IsolationName::Auto && copied::may_only_chroot() => {
            noted(in_chroot, "commands run in a chroot, over copies of the files: nothing can be mounted here")?
        }
        Ok(StorageMap::Host) => chown(IsolationName::Root)?,
        Ok(_) => chown(IsolationName::Userns)?,
        Err(error) if runs()? || wanted != IsolationName::Auto => {
            let failure = Failure::new("RUN needs a user namespace, or root").caused_by(&error);
            return Err(failure.hint(ctr_sys::userns::hint(&error)));
        }
        Err(error) => recorded(IsolationName::None, &format!("there is no user namespace to be had ({error})")),
    };
    if wanted != IsolationName::Auto && wanted != found.name {
        let words = |name: IsolationName| name.to_possible_value().map(|value| value.get_name().to_owned());
        let (wanted, found) = (words(wanted).unwrap_or_default(), words(found.name).unwrap_or_default());
        return Err(Failure::usage(format!("--isolation={wanted} cannot be had: it would be {found}")));
    }
    Ok(found)
}
