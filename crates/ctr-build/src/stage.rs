//! One stage, instruction by instruction.

use std::thread::Scope;

use ctr_cli::Failure;
use ctr_core::spec::MAX_LAYERS;
use ctr_dockerfile::instruction::{Arg, Instruction, Pair};
use ctr_dockerfile::{Keyword, Node};

use crate::actions::{Action, LayerAction};
use crate::builder::{Builder, Built, Stop};
use crate::graph::{Base, Names};
use crate::layer::Layer;
use crate::place::Place;
use crate::scope::Variables;
use crate::transfer::Transfer;
use crate::view::Outcome;

/// A stage that is being built.
pub(crate) struct StageRun<'a, 's, 'e> {
    pub(crate) builder: &'e Builder<'a>,
    pub(crate) scope: &'s Scope<'s, 'e>,
    pub(crate) number: usize,
    pub(crate) built: Built,
    /// The instruction as it stands, for the view.
    pub(crate) title: String,
    /// Where the instruction stands, for errors.
    pub(crate) place: Place<'e>,
    pub(crate) step: usize,
    /// Its layers are the image's.
    pub(crate) is_of_image: bool,
}

/// Builds stage `number`.
pub(crate) fn run<'s, 'e>(builder: &'e Builder<'_>, number: usize, scope: &'s Scope<'s, 'e>) -> Result<Built, Stop> {
    let Some(stage) = builder.graph.stages.get(number) else { return Err(Stop::Cancelled) };
    let mut built = match &stage.base {
        Base::Scratch => builder.scratch(),
        Base::Stage(below) => {
            let below = builder.wait_below(*below)?;
            // Nobody else may have it any more.
            let mut below = std::sync::Arc::unwrap_or_clone(below);
            below.config.become_base();
            below
        }
        Base::Image(name) => builder.images.get(builder, name, stage.platform.as_deref())?,
        Base::Context(_) => Built::clone(&*builder.source(&stage.base)?),
    };
    built.config.ensure_path();
    // In a stage on top the ENVs of the one below count, where that had an ARG of the same name behind one.
    for (name, value) in built.config.env() {
        built.arguments.cover(&name, &value);
    }
    let triggers = built.config.take_onbuild();
    let place = Place::of(stage.from);
    let is_of_image = builder.is_of_image(number);
    let mut run = StageRun { builder, scope, number, built, title: String::new(), place, step: 0, is_of_image };
    builder.view.expect(triggers.len());
    let base = builder.graph.name_of(&stage.base);
    // All of them are read before the first is carried out.
    let mut nodes = Vec::with_capacity(triggers.len());
    for (at, text) in triggers.into_iter().enumerate() {
        let place = Place::of_trigger(stage.from, at + 1, &base, text);
        let node = place.trigger(builder)?;
        nodes.push((place, node));
    }
    for (place, node) in nodes {
        run.instruction_at(place, &node)?;
    }
    for node in stage.nodes {
        run.instruction_at(Place::of(node), node)?;
    }
    Ok(run.built)
}

impl<'e> StageRun<'_, '_, 'e> {
    fn instruction_at(&mut self, place: Place<'e>, node: &Node) -> Result<(), Stop> {
        self.place = place;
        self.node(node).map_err(|stop| match stop {
            Stop::Failed(failure) => Stop::Failed(self.place.told(self.builder, failure)),
            Stop::Cancelled => Stop::Cancelled,
        })
    }

    fn node(&mut self, node: &Node) -> Result<(), Stop> {
        self.builder.check_cancelled()?;
        self.step += 1;
        self.title = node.original().split_whitespace().collect::<Vec<_>>().join(" ");
        let escape = self.builder.dockerfile.directives().escape;
        let env = self.built.config.env();
        let variables = Variables { env: &env, arguments: &self.built.arguments, given: &self.builder.given };
        let instruction =
            node.instruction(&variables, escape).map_err(|error| self.place.wrong(self.builder, &error))?;
        let is_config = !matches!(
            node.keyword(),
            Ok(Keyword::Run | Keyword::Copy | Keyword::Add | Keyword::Workdir | Keyword::From)
        );
        let result = self.instruction(instruction);
        match &result {
            Ok(()) if is_config => self.builder.view.step(self.number, &self.title, Outcome::Config),
            Ok(()) => {}
            Err(stop) => self.builder.view.give_up(self.number, matches!(stop, Stop::Failed(_))),
        }
        result
    }

    fn instruction(&mut self, instruction: Instruction) -> Result<(), Stop> {
        let config = &mut self.built.config;
        match instruction {
            Instruction::From(_) => return Err(Failure::new("FROM begins a stage").into()),
            Instruction::Run(run) => return self.run_command(&run),
            Instruction::Copy(copy) => return self.transfer(&Transfer::copy(copy)),
            Instruction::Add(add) => return self.transfer(&Transfer::add(add)?),
            Instruction::Workdir(dir) => return self.workdir(&dir),
            Instruction::Cmd(command) => {
                config.set_cmd(&command);
                let text = show_command(&config.words(&command));
                self.note(&format!("CMD {text}"));
            }
            Instruction::Entrypoint(command) => {
                config.set_entrypoint(&command);
                let text = show_command(&config.words(&command));
                self.note(&format!("ENTRYPOINT {text}"));
            }
            Instruction::Label(pairs) => {
                for pair in &pairs {
                    config.set_label(&pair.key, &pair.value);
                }
                self.note(&format!("LABEL {}", show_pairs(&pairs)));
            }
            Instruction::Env(pairs) => {
                for pair in &pairs {
                    config.set_env(&pair.key, &pair.value);
                    self.built.arguments.cover(&pair.key, &pair.value);
                }
                self.note(&format!("ENV {}", show_pairs(&pairs)));
            }
            Instruction::Maintainer(name) => {
                config.set_author(&name);
                self.note(&format!("MAINTAINER {name}"));
            }
            Instruction::Expose(words) => {
                let ports = crate::ports::expand(&words)?;
                for port in &ports {
                    config.expose(port);
                }
                let shown: Vec<String> = ports.iter().map(|port| format!("{port}:{{}}")).collect();
                self.note(&format!("EXPOSE map[{}]", shown.join(" ")));
            }
            Instruction::Volume(paths) => {
                for path in &paths {
                    config.add_volume(path);
                }
                self.note(&format!("VOLUME [{}]", paths.join(" ")));
            }
            Instruction::User(user) => {
                config.set_user(&user);
                self.note(&format!("USER {user}"));
            }
            Instruction::Arg(args) => self.declare(args),
            Instruction::Onbuild(trigger) => {
                config.add_onbuild(&trigger);
                self.note(&format!("ONBUILD {trigger}"));
            }
            Instruction::Stopsignal(signal) => {
                check_signal(&signal)?;
                config.set_stop_signal(&signal);
                self.note(&format!("STOPSIGNAL {signal}"));
            }
            Instruction::Healthcheck(check) => {
                config.set_healthcheck(&check);
                let title = self.title.clone();
                self.note(&title);
            }
            Instruction::Shell(words) => {
                config.set_shell(&words);
                self.note(&format!("SHELL [{}]", words.join(" ")));
            }
        }
        Ok(())
    }

    fn declare(&mut self, args: Vec<Arg>) {
        for arg in args {
            let name = arg.name.clone();
            self.built.arguments.declare(arg);
            let value =
                self.built.arguments.values().find(|(known, _)| *known == name).map(|(_, value)| value.to_owned());
            self.note(&match value {
                Some(value) => format!("ARG {name}={value}"),
                None => format!("ARG {name}"),
            });
        }
    }

    /// A line of the history without a layer.
    fn note(&mut self, created_by: &str) {
        self.history(created_by, false);
    }

    /// A line of the history.
    pub(crate) fn history(&mut self, created_by: &str, layer: bool) {
        let created = self.builder.request.created();
        self.built.config.add_history(&created, created_by, layer);
    }

    /// A path of the Dockerfile from the root, with the working directory for relative ones.
    pub(crate) fn absolute(&self, path: &str) -> String {
        let joined =
            if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", self.built.config.workdir()) };
        let tree = ctr_tree::TreePath::new(&joined);
        String::from_utf8_lossy(&[b"/", tree.as_bytes()].concat()).into_owned()
    }

    /// What `--from` means here.
    pub(crate) fn from(&self, text: &str) -> Result<Base, Stop> {
        let contexts: Vec<String> = self.builder.request.contexts.keys().cloned().collect();
        let stages: Vec<Option<String>> = self.builder.graph.stages.iter().map(|stage| stage.name.clone()).collect();
        let base = Names { contexts: &contexts, stages: &stages }.from(text, self.number)?;
        if let Base::Stage(stage) = base
            && !self.builder.is_started(stage)
        {
            // Only a trigger of a base can name one that nobody knew to be needed.
            let what = format!("--from={text} of an ONBUILD names a stage that nothing else needs");
            return Err(Failure::new(what).hint("copy from it in the Dockerfile itself").into());
        }
        Ok(base)
    }

    /// The step with `key` was carried out, or its result is known: the stage goes on with it.
    pub(crate) fn advance(
        &mut self,
        key: ctr_core::digest::Digest,
        layer: Option<std::sync::Arc<Layer>>,
        created_by: &str,
    ) -> Result<(), Failure> {
        if layer.is_some() && self.is_of_image && self.built.layers.len() >= MAX_LAYERS {
            let what = format!("the image has more than {MAX_LAYERS} layers, which nothing could run");
            return Err(
                Failure::new(what).hint("put commands of several RUNs into one, or COPY the result into a new stage")
            );
        }
        self.history(created_by, layer.is_some());
        self.built.layers.extend(layer);
        self.built.key = key;
        Ok(())
    }

    /// Keeps a result for later builds.
    pub(crate) fn record(&self, key: ctr_core::digest::Digest, layer: Option<LayerAction>) {
        self.builder.finish(Action { key, layer });
    }
}

fn show_command(words: &[String]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

fn show_pairs(pairs: &[Pair]) -> String {
    pairs.iter().map(|pair| format!("{}={}", pair.key, pair.value)).collect::<Vec<_>>().join(" ")
}

fn check_signal(text: &str) -> Result<(), Failure> {
    if text.parse::<u32>().is_ok_and(|number| (1..=64).contains(&number)) {
        return Ok(());
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    match ctr_sys::signal::parse(name) {
        Some(_) => Ok(()),
        None => {
            Err(Failure::new(format!("{text} is no signal")).hint("give a name like SIGTERM, or a number from 1 to 64"))
        }
    }
}
