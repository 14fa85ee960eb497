//! `ctr-build`: images from Dockerfiles, without a daemon.
//!
//! The story: read the Dockerfile → which stages are needed → fetch the images they stand on → as an ordinary user, enter the
//! user namespace of the store → each stage on a thread, step by step: a step's key is what its result depends on, and a
//! known key is a known layer → the image, then its names.
#![forbid(unsafe_code)]

mod actions;
mod args;
mod bases;
mod builder;
mod check;
mod commit;
mod config;
mod context;
mod copy;
mod git;
mod graph;
mod key;
mod layer;
mod memo;
mod mounts;
mod output;
mod pack;
mod permits;
mod portable;
mod ports;
mod project;
mod remote;
mod repository;
mod request;
mod run;
mod scope;
mod secrets;
mod stage;
mod statements;
mod step;
mod tail;
mod upper;
mod verify;
mod view;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::CommandFactory as _;
use ctr_cli::{Failure, OutputFormat, Progress};
use ctr_core::platform::Platform;
use ctr_core::store::{Store, StoreError};
use ctr_dockerfile::Keyword;
use ctr_layer::unpack::Ownership;
use ctr_sys::userns::{StorageMap, enter_storage_map};

use crate::args::Options;
use crate::bases::Images;
use crate::builder::{Builder, Parts, hinted};
use crate::check::Findings;
use crate::commit::Image;
use crate::context::Context;
use crate::graph::{Base, Graph};
use crate::output::Output;
use crate::request::{ContextPlace, Request};
use crate::scope::Given;
use crate::view::{Style, View};

/// The command line, for documents.
pub fn command() -> clap::Command {
    Options::command()
}

/// The binary.
pub fn main() -> ExitCode {
    // Before anything else: the process of a RUN is this executable too.
    if let Some(code) = step::if_asked() {
        return code;
    }
    ctr_cli::run_main(command(), ctr_cli::exit::TOOL, run)
}

/// The path of a program of ours beside this executable, never one of `$PATH`.
fn beside(name: &str, why: &str) -> Result<PathBuf, Failure> {
    let own = ctr_sys::sealed::own_path()
        .map_err(|error| Failure::new("cannot find ctr-build's own directory").caused_by(&error))?;
    let program = own.with_file_name(name);
    if program.exists() {
        return Ok(program);
    }
    let failure = Failure::new(format!("there is no {}", program.display())).because(why.to_owned());
    Err(failure.hint(format!("install {name} there")))
}

#[allow(clippy::needless_pass_by_value, reason = "the signature that run_main takes")]
fn run(options: Options) -> Result<ExitCode, Failure> {
    if !options.named.is_empty() {
        return project::run(&options.named, &without_names());
    }
    let request = Request::new(&options)?;
    let outputs = options.output.iter().map(|text| Output::parse(text)).collect::<Result<Vec<_>, _>>()?;
    if options.push && request.tags.is_empty() {
        return Err(Failure::usage("--push needs a name").hint("give one with --tag"));
    }
    // Paths and owners are looked up before the user namespace is entered: there this user is root.
    let root = options.global.root_or(Store::default_root);
    match Store::open(&root) {
        Ok(_) | Err(StoreError::Missing { .. }) => {}
        Err(error) => return Err(hinted(error)),
    }
    let style = Style::of(&options)?;
    let found = context::dockerfile(&options.context, options.file.as_deref())?;
    let dockerfile =
        ctr_dockerfile::parse(&found.text).map_err(|error| graph::in_dockerfile(&error, &found.text, &found.name))?;
    let platform = platform_arguments(&request.platform);
    let names: Vec<String> = request.contexts.keys().cloned().collect();
    let graph = Graph::new(&dockerfile, &found.name, &request.arguments, &platform, &names)?;
    let target = graph.target(request.target.as_deref())?;
    let context = Context::open(&options.context, &found.ignore_files, &root)?;
    if let Some(format) = options.check {
        let env = base_env(&root, &graph);
        return Findings::of(&dockerfile, &found.name, &context, &request, env).print(format);
    }
    let images = Images::default();
    fetch(&graph, (&dockerfile, &found.name), target, &images, &root, &request, options.global.quiet)?;
    if !options.second_build {
        let env = base_env(&root, &graph);
        Findings::of(&dockerfile, &found.name, &context, &request, env).warn()?;
    }
    let contexts = open_contexts(&request, &root)?;

    let ownership = enter(&graph, target)?;
    let store = Store::open_or_create(&root).map_err(hinted)?;
    let labels = graph.stages.iter().enumerate().map(|(at, stage)| stage.label(at)).collect();
    let given = Given { arguments: request.arguments.clone(), platform, globals: graph.globals.clone() };
    let steps = graph.needed(target)?.into_iter().filter_map(|stage| graph.stages.get(stage));
    let view = View::new(style, labels, steps.map(|stage| stage.nodes.len()).sum());
    let file = found.name.clone();
    let builder = Builder::new(Parts {
        store,
        ownership,
        request: &request,
        given,
        dockerfile: &dockerfile,
        file,
        graph,
        context,
        contexts,
        images,
        view,
    })?;
    let built = builder.build(target);
    builder.view.finish();
    builder.save_caches();
    let built = built?;
    for dir in &request.cache_to {
        portable::write(&builder, dir)?;
    }
    builder.warn_of_arguments();
    // Nothing has a name before it is known to be the same each time.
    let named = if options.verify_reproducible { &[][..] } else { &request.tags };
    let image = commit::commit(&builder, &built, named)?;
    if options.second_build {
        ctr_cli::print(&format!("{}\n", image.digest))?;
        return Ok(ExitCode::SUCCESS);
    }
    if options.verify_reproducible {
        verify::verify(&builder, &image)?;
        builder.txn.add_image(&image.launch, &request.tags, None).map_err(hinted)?;
    }
    statements::attach(&builder, &built, &image, &options.sbom, options.provenance)?;
    for output in &outputs {
        output.write(&builder, &built, &image, progress(&options))?;
    }
    let names: Vec<String> = request.tags.iter().map(ToString::to_string).collect();
    commit::write_files(options.iidfile.as_deref(), options.metadata_file.as_deref(), &image, &names)?;
    if options.push {
        push(&root, &request, options.global.quiet)?;
    }
    report(&options, &builder, &image, &names)?;
    Ok(ExitCode::SUCCESS)
}

/// The command line without `--named`.
fn without_names() -> Vec<std::ffi::OsString> {
    let mut rest = Vec::new();
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--named" {
            arguments.next();
        } else if !argument.as_encoded_bytes().starts_with(b"--named=") {
            rest.push(argument);
        }
    }
    rest
}

/// `TARGETPLATFORM` and its like, which every FROM sees and every stage can declare.
fn platform_arguments(target: &Platform) -> BTreeMap<String, String> {
    let mut arguments = BTreeMap::new();
    for (prefix, platform) in [("TARGET", target), ("BUILD", &Platform::host())] {
        arguments.insert(format!("{prefix}PLATFORM"), platform.to_string());
        arguments.insert(format!("{prefix}OS"), platform.os.clone());
        arguments.insert(format!("{prefix}ARCH"), platform.architecture.clone());
        arguments.insert(format!("{prefix}VARIANT"), platform.variant.clone());
    }
    arguments
}

/// Brings in the images that the stages stand on or copy from.
fn fetch(
    graph: &Graph<'_>,
    (dockerfile, file): (&ctr_dockerfile::Dockerfile, &str),
    target: usize,
    images: &Images,
    root: &Path,
    request: &Request,
    quiet: bool,
) -> Result<(), Failure> {
    for number in graph.needed(target)? {
        let Some(stage) = graph.stages.get(number) else { continue };
        let base = std::iter::once((&stage.base, stage.platform.as_deref()));
        for (base, platform) in base.chain(stage.needs.iter().map(|need| (need, None))) {
            let name = match base {
                Base::Image(name) => name,
                Base::Context(name) => match request.contexts.get(name) {
                    Some(ContextPlace::Image(image)) => image,
                    _ => continue,
                },
                _ => continue,
            };
            images
                .prepare(root, request, quiet, name, platform)
                .map_err(|failure| graph::at_node(failure, stage.from, dockerfile, file))?;
        }
    }
    Ok(())
}

/// Enters the user namespace of the store, as an ordinary user. Where there is none to be had, what only copies is built
/// without: owners are recorded then, as where one id is all there is.
fn enter(graph: &Graph<'_>, target: usize) -> Result<Ownership, Failure> {
    let reason = match enter_storage_map() {
        Ok(StorageMap::Single { reason }) => reason,
        Ok(map) => return Ok(if map.single_id() { Ownership::Record } else { Ownership::Chown }),
        Err(error) => {
            let stages = graph.needed(target)?;
            let runs = |node: &ctr_dockerfile::Node| node.keyword().is_ok_and(|keyword| keyword == Keyword::Run);
            if stages.iter().filter_map(|stage| graph.stages.get(*stage)).any(|stage| stage.nodes.iter().any(runs)) {
                let failure = Failure::new("RUN needs a user namespace, or root").caused_by(&error);
                return Err(failure.hint(ctr_sys::userns::hint(&error)));
            }
            format!("there is no user namespace to be had ({error})")
        }
    };
    ctr_cli::note(format!("owners of files are recorded, not set: {reason}"));
    Ok(Ownership::Record)
}

/// The variables that the base images set; none if one of them is not in the store.
fn base_env(root: &Path, graph: &Graph<'_>) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for stage in &graph.stages {
        match &stage.base {
            Base::Image(name) => {
                let store = Store::open(root).ok()?;
                let launch = store.launch_record(&store.find_image(name).ok()?.digest).ok()?;
                names
                    .extend(launch.env.iter().filter_map(|pair| pair.split_once('=')).map(|(name, _)| name.to_owned()));
            }
            Base::Context(_) => return None,
            Base::Scratch | Base::Stage(_) => {}
        }
    }
    Some(names)
}

fn open_contexts(request: &Request, root: &Path) -> Result<BTreeMap<String, Context>, Failure> {
    let mut contexts = BTreeMap::new();
    for (name, place) in &request.contexts {
        if let ContextPlace::Directory(dir) = place {
            contexts.insert(name.clone(), Context::open(dir, &[dir.join(".dockerignore")], root)?);
        }
    }
    Ok(contexts)
}

fn progress(options: &Options) -> Progress {
    let _ = options;
    Progress::new()
}

/// Sends the image where its names say.
fn push(root: &Path, request: &Request, quiet: bool) -> Result<(), Failure> {
    let program = beside("ctr-push", "--push is done by it")?;
    for name in &request.tags {
        let mut command = Command::new(&program);
        command.arg("--root").arg(root).stdin(Stdio::null()).stdout(Stdio::null());
        if quiet {
            command.arg("--quiet");
        }
        command.arg("--").arg(OsStr::new(&name.to_string()));
        let status = command
            .status()
            .map_err(|error| Failure::new(format!("cannot run {}", program.display())).caused_by(&error))?;
        if !status.success() {
            return Err(Failure::new(format!("{name} could not be pushed"))
                .because("ctr-push failed, see above")
                .hint("the image is in the store; push it again with ctr-push"));
        }
    }
    Ok(())
}

fn report(options: &Options, builder: &Builder<'_>, image: &Image, names: &[String]) -> Result<(), Failure> {
    let (counts, time) = builder.view.summary();
    if options.global.format == OutputFormat::Json {
        let bases: Vec<_> = builder
            .images
            .all()
            .into_iter()
            .map(|(name, digest)| serde_json::json!({"name": name, "digest": digest}))
            .collect();
        return ctr_cli::print_json(&serde_json::json!({
            "names": names,
            "digest": image.digest,
            "config": image.config,
            "size": image.size,
            "layers": image.launch.layers.len(),
            "bases": bases,
            "steps": {"cached": counts.cached, "run": counts.done},
        }));
    }
    if builder.view.is_for_people() {
        ctr_cli::note(format!(
            "{} steps, {} from the cache, {:.1} s",
            counts.cached + counts.done,
            counts.cached,
            time.as_secs_f64()
        ));
    }
    let name = names.first().map_or_else(|| "-".to_owned(), Clone::clone);
    ctr_cli::print(&if options.global.quiet {
        format!("{}\n", image.digest)
    } else {
        format!("{name} {}\n", image.digest)
    })
}
