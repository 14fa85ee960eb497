//! `ctr-build`: images from Dockerfiles, without a daemon.
//!
//! The story: read the Dockerfile → for each platform, which stages are needed → fetch the images they stand on → as an
//! ordinary user, enter the user namespace of the store → each stage on a thread, step by step: a step's key is what its
//! result depends on, and a known key is a known layer → the image, or an index of several, then the names.
#![forbid(unsafe_code)]

mod actions;
mod args;
mod bases;
mod builder;
mod check;
mod commit;
mod config;
mod context;
mod copied;
mod copy;
mod finish;
mod flights;
mod git;
mod graph;
mod input;
mod key;
mod layer;
mod memo;
mod mounts;
mod output;
mod pack;
mod permits;
mod place;
mod plan;
mod portable;
mod ports;
mod project;
mod registry_cache;
mod remote;
mod repository;
mod request;
mod run;
mod scope;
mod secrets;
mod sources;
mod stage;
mod statements;
mod step;
mod tail;
mod transfer;
mod upper;
mod verify;
mod view;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory as _;
use ctr_cli::Failure;
use ctr_core::store::{Store, StoreError};

use crate::args::Options;
use crate::builder::hinted;
use crate::output::Output;
use crate::plan::Plan;
use crate::request::Request;
use crate::sources::Sources;
use crate::view::Style;

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
    let requests = Request::all(&options)?;
    let outputs = options.output.iter().map(|text| Output::parse(text)).collect::<Result<Vec<_>, _>>()?;
    check_options(&options, &outputs, requests.len())?;
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
    let sources = Sources::default();
    let plan = |request| Plan::new(request, &dockerfile, &found, &options.context, &sources, &root);
    let plans = requests.iter().map(plan).collect::<Result<Vec<_>, _>>()?;
    if let (Some(plan), Some(format)) = (plans.first(), options.check) {
        return plan.findings(&root).print(format);
    }
    for plan in &plans {
        plan.fetch(&root)?;
    }
    if let Some(plan) = plans.first().filter(|_| !options.second_build) {
        plan.findings(&root).warn()?;
    }

    let isolation = plan::enter(&plans, options.isolation, &root)?;
    let several = plans.len() > 1;
    let mut done = Vec::with_capacity(plans.len());
    for plan in plans {
        let store = Store::open_or_create(&root).map_err(hinted)?;
        done.push(plan.carry_out(store, isolation, style, several)?);
    }
    finish::caches(&done)?;
    if options.second_build {
        done.iter().try_for_each(|done| ctr_cli::print(&format!("{}\n", done.image.digest)))?;
        return Ok(ExitCode::SUCCESS);
    }
    if options.verify_reproducible {
        verify::verify(&done)?;
    }
    let mut statements = Vec::new();
    for done in &done {
        statements.extend(statements::attach(done, &options.sbom, options.provenance, several)?);
    }
    // Nothing has a name before all that was asked for is done with it.
    let whole = finish::whole(&done, statements)?;
    for output in &outputs {
        output.write(&done, &whole)?;
    }
    let names: Vec<String> =
        requests.iter().take(1).flat_map(|request| &request.tags).map(ToString::to_string).collect();
    if options.push {
        finish::push(&root, &done, &whole, &names)?;
    }
    whole.write_files(options.iidfile.as_deref(), options.metadata_file.as_deref(), &names)?;
    whole.name(&done)?;
    let to_stdout = outputs.iter().any(Output::is_stdout);
    finish::report(&options, isolation.name, &done, &whole, &names, to_stdout)?;
    Ok(ExitCode::SUCCESS)
}

/// What options forbid each other.
fn check_options(options: &Options, outputs: &[Output], platforms: usize) -> Result<(), Failure> {
    if options.push && options.tag.is_empty() {
        return Err(Failure::usage("--push needs a name").hint("give one with --tag"));
    }
    if outputs.iter().filter(|output| output.is_stdout()).count() > 1 {
        return Err(Failure::usage("--output names standard output twice").hint("write one of them to a file"));
    }
    if let Some(output) = outputs.iter().find(|output| platforms > 1 && !output.holds_several()) {
        return Err(Failure::usage(format!("{} holds the image of one platform", output.path.display()))
            .hint("images of several platforms go into oci, oci-archive or dir"));
    }
    Ok(())
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
