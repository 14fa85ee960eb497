//! RUN: what it depends on, the command in a process of its own, and the layer of what it changed.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Instant;

use ctr_cli::Failure;
use ctr_core::digest::Digest;
use ctr_core::platform::Platform;
use ctr_dockerfile::instruction::{Command, Heredoc, Network, Run};
use ctr_sandbox::step::{Content, Step, StepIsolation, StepMount, StepNetwork};

use crate::args::NetworkName;
use crate::builder::Stop;
use crate::key::KeyHasher;
use crate::layer::Layer;
use crate::mounts::Mounts;
use crate::scope::proxies;
use crate::stage::StageRun;
use crate::view::Outcome;
use crate::{copied, pack, step, upper};

/// What is executed.
struct Program {
    args: Vec<String>,
    /// A script that the kernel executes by its first line.
    script: Option<String>,
}

/// Where a script of a heredoc is for its RUN.
const SCRIPT: &str = "/dev/shm/ctr-build-script";

impl StageRun<'_, '_, '_> {
    /// RUN.
    pub(crate) fn run_command(&mut self, run: &Run) -> Result<(), Stop> {
        // Files that were changed since they were looked at are looked at once more.
        if !self.run_if_same(run, true)? {
            self.run_if_same(run, false)?;
        }
        Ok(())
    }

    /// The same. With `again` it says no, and nothing was executed, where files of a context are not what the key says.
    fn run_if_same(&mut self, run: &Run, again: bool) -> Result<bool, Stop> {
        let builder = self.builder;
        let program = self.program(run);
        let mounts = Mounts::resolve(self, &run.mounts)?;
        let (env, secret_env) = self.environment(&mounts);
        let network = match (run.network, builder.request.network) {
            (Some(Network::None), _) | (None | Some(Network::Default), NetworkName::None) => StepNetwork::None,
            _ => StepNetwork::Host,
        };
        let config = &self.built.config;
        let (user, cwd) = (config.user().to_owned(), config.workdir().to_owned());

        let mut key = KeyHasher::new("run");
        key.digest("below", &self.built.key);
        self.common(&mut key);
        key.list("args", &program.args).add("script", program.script.as_deref().unwrap_or_default());
        key.list("env", &env).add("user", &user).add("cwd", &cwd);
        key.add("network", format!("{network:?}")).add("insecure", [u8::from(run.insecure)]);
        key.list("hosts", builder.request.hosts.iter().map(|(address, name)| format!("{address} {name}")));
        mounts.add_to(&mut key);
        let key = key.finish();
        let created_by = self.created_by(&program);

        let flight = builder.flights.take(key);
        if let Some(made) = builder.known(&key, &self.built.layers)? {
            self.advance(key, made.layer, &created_by)?;
            builder.view.step(self.number, &self.title, Outcome::Cached);
            return Ok(true);
        }
        if !builder.executes {
            let failure = Failure::new("nothing is executed here: --isolation=none was given, or there are no rights");
            return Err(failure.hint("RUN needs a user namespace, or root").into());
        }
        let _permit = builder.permits.take();
        builder.check_cancelled()?;
        builder.view.begin(self.number, &self.title);
        let begun = Instant::now();
        let layer = {
            let _hold = builder.hold();
            let prepared = match mounts.prepare(builder) {
                Err(_) if again && mounts.look_again() => return Ok(false),
                prepared => prepared?,
            };
            let mut step = Step {
                isolation: StepIsolation::Namespaces,
                layers: builder.dirs(&self.built.layers),
                upper: std::path::PathBuf::new(),
                scratch: std::path::PathBuf::new(),
                user_xattrs: builder.store.dialect() == ctr_core::store::XattrDialect::User,
                args: program.args.clone(),
                env: env.iter().chain(&secret_env).cloned().collect(),
                cwd,
                user,
                groups: Vec::new(),
                mounts: prepared.mounts,
                network,
                hostname: "build".to_owned(),
                hosts: builder.request.hosts.clone(),
                insecure: run.insecure,
                shm_size: builder.request.shm_size,
                terminal: false,
            };
            if let Some(script) = &program.script {
                step.mounts.push(StepMount::Secret {
                    content: Content(script.clone().into_bytes()),
                    target: SCRIPT.to_owned(),
                    mode: 0o755,
                    uid: 0,
                    gid: 0,
                });
            }
            self.carry_out(step, key, mounts.secrets())?
        };
        drop(flight);
        self.advance(key, layer, &created_by)?;
        builder.view.step(self.number, &self.title, Outcome::Done(begun.elapsed()));
        builder.publish_sometimes()?;
        Ok(true)
    }

    /// Executes the command, and begins to pack what it changed.
    fn carry_out(
        &self,
        mut step: Step,
        key: Digest,
        secrets: Vec<(String, Vec<u8>)>,
    ) -> Result<Option<Arc<Layer>>, Stop> {
        let builder = self.builder;
        let staging = builder.txn.layer_staging().map_err(crate::builder::hinted)?;
        let dir = staging.fs();
        let base = builder.tree(&self.built.layers)?;
        let root = upper::prepare(&dir, &base)?;
        // Beside it, not in it: it is no part of the layer.
        let scratch = builder.txn.layer_staging().map_err(crate::builder::hinted)?.fs();
        (step.upper, step.scratch) = (dir.clone(), scratch.clone());
        if builder.copies {
            let tree = copied::Tree::make(builder, &base, step)?;
            self.execute(tree.step().clone())?;
            tree.into_layer(builder, &dir, !self.built.layers.is_empty())?;
            remove(&scratch)?;
        } else {
            self.execute(step)?;
        }
        // What the next step sees is what the layer will have.
        let max = upper::settle(&dir, builder, &base)?;
        if upper::is_untouched(&dir, &root)? {
            self.record(key, None);
            builder.made(key, None);
            return Ok(None);
        }
        let layer = Layer::packing(dir);
        builder.made(key, Some(Arc::clone(&layer)));
        let (below, packing, place) = (self.built.layers.clone(), Arc::clone(&layer), self.place.clone());
        self.scope.spawn(move || {
            let sealed = pack::packed(builder, &below, staging, max, &secrets);
            match sealed {
                Ok(sealed) => {
                    builder.finish(crate::actions::Action { key, layer: Some(sealed.blob.clone()) });
                    packing.seal(Ok(sealed));
                }
                Err(failure) => {
                    packing.seal(Err(&failure));
                    builder.fail(place.told(builder, failure));
                }
            }
        });
        Ok(Some(layer))
    }

    /// Executes the command.
    fn execute(&self, step: Step) -> Result<(), Stop> {
        let result = step::execute(self.builder, self.number, &step).map_err(|stop| self.of_platform(stop));
        if step.isolation == StepIsolation::Namespaces {
            remove(&step.scratch)?;
        }
        if let Err(Stop::Failed(failure)) = &result
            && self.builder.request.shell_on_error
        {
            let failure = self.place.told(self.builder, failure.clone());
            // One shell at a time: that of the first failure, which ends the other stages.
            if self.builder.fail(failure.clone()) {
                self.look_into(step, &failure)?;
            }
        }
        result
    }

    /// What a program of another machine may have failed for.
    fn of_platform(&self, stop: Stop) -> Stop {
        let (host, platform) = (Platform::host(), self.built.config.platform());
        match stop {
            Stop::Failed(failure) if host.runs(&platform).is_none() => Stop::Failed(failure.hint(format!(
                "programs of {platform} need an emulator on this machine, which is {host} (Debian: qemu-user-static); \
                 a stage FROM --platform=$BUILDPLATFORM is of this machine"
            ))),
            stop => stop,
        }
    }

    /// A shell where the command failed, over what it left.
    fn look_into(&self, mut step: Step, failure: &Failure) -> Result<(), Failure> {
        self.builder.view.give_up(self.number, true);
        ctr_cli::print_error(failure);
        ctr_cli::note("a shell where it failed, with what it left; exit ends the build");
        step.scratch = self.builder.txn.layer_staging().map_err(crate::builder::hinted)?.fs();
        step.args = self.built.config.shell().into_iter().take(1).collect();
        step.terminal = std::io::stdin().is_terminal();
        if let (true, Ok(kind)) = (step.terminal, std::env::var("TERM"))
            && !step.env.iter().any(|variable| variable.starts_with("TERM="))
        {
            step.env.push(format!("TERM={kind}"));
        }
        let paused = self.builder.view.pause();
        let looked = step::look_into(&step);
        drop(paused);
        remove(&step.scratch)?;
        looked
    }

    /// The words that are executed. Heredocs are the script, or stand behind the command.
    fn program(&self, run: &Run) -> Program {
        let shell = self.built.config.shell();
        let text = match &run.command {
            Command::Exec(words) => return Program { args: words.clone(), script: None },
            Command::Shell(text) => text,
        };
        let with_shell = |text: &str| shell.iter().cloned().chain([text.to_owned()]).collect();
        match run.heredocs.as_slice() {
            [] => Program { args: with_shell(text), script: None },
            [only] if is_alone(text, only) && only.content.starts_with("#!") => {
                Program { args: vec![SCRIPT.to_owned()], script: Some(only.content.clone()) }
            }
            [only] if is_alone(text, only) => Program { args: with_shell(&only.content), script: None },
            several => {
                let mut whole = text.clone();
                for heredoc in several {
                    whole = format!("{whole}\n{}{}", heredoc.content, heredoc.name);
                }
                Program { args: with_shell(&whole), script: None }
            }
        }
    }

    /// Variables of the command, and those that are secrets.
    fn environment(&self, mounts: &Mounts) -> (Vec<String>, Vec<String>) {
        let mut env = self.built.config.env();
        for (name, value) in self.built.arguments.values() {
            match env.iter_mut().find(|(known, _)| known == name) {
                Some((_, old)) => value.clone_into(old),
                None => env.push((name.to_owned(), value.to_owned())),
            }
        }
        let hidden = proxies(&self.builder.given, &self.built.arguments).into_iter().chain(mounts.environment());
        let hidden = hidden.filter(|(name, _)| !env.iter().any(|(known, _)| known == name));
        let pair = |(name, value): (String, String)| format!("{name}={value}");
        let hidden = hidden.map(pair).collect();
        (env.into_iter().map(pair).collect(), hidden)
    }

    fn created_by(&self, program: &Program) -> String {
        let arguments: Vec<String> =
            self.built.arguments.values().map(|(name, value)| format!("{name}={value}")).collect();
        let words = match &program.script {
            Some(script) => script.lines().next().unwrap_or_default().to_owned(),
            None => program.args.join(" "),
        };
        if arguments.is_empty() {
            return format!("RUN {words} # ctr-build");
        }
        format!("RUN |{} {} {words} # ctr-build", arguments.len(), arguments.join(" "))
    }
}

fn remove(scratch: &std::path::Path) -> Result<(), Failure> {
    ctr_sys::tree::remove_tree(scratch)
        .map_err(|error| Failure::new(format!("cannot remove {}", scratch.display())).caused_by(&error))
}

/// Whether the command is a heredoc and nothing else.
fn is_alone(text: &str, heredoc: &Heredoc) -> bool {
    if heredoc.descriptor.is_some_and(|descriptor| descriptor != 0) {
        return false;
    }
    let word = text.trim().trim_start_matches(|c: char| c.is_ascii_digit());
    let Some(word) = word.strip_prefix("<<") else { return false };
    let word = word.strip_prefix('-').unwrap_or(word).trim_start();
    word.trim_matches(['"', '\'']) == heredoc.name
}
