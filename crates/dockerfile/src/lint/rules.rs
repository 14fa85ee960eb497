//! The rules, but for those of FROM.

use std::collections::BTreeSet;

use super::stage::Stage;
use super::vars::{self, Asked, Values};
use super::{Context, Finding, Rule, Settings};
use crate::ast::{Dockerfile, Keyword, Node};
use crate::expand::Expander;
use crate::instruction::{Command, Instruction};
use crate::span::Span;
use crate::typed::words;

pub(super) fn all(dockerfile: &Dockerfile, context: &Context) -> Vec<Finding> {
    let settings = Settings::of(dockerfile);
    let predefined = |(name, value): (&str, &str)| {
        let given = context.build_args.get(name).map_or(value, String::as_str);
        (name.to_owned(), Some(given.to_owned()))
    };
    let values: Values = vars::PREDEFINED.into_iter().map(predefined).collect();
    let mut checks = Checks {
        context,
        escape: dockerfile.directives().escape,
        local: settings.clone(),
        settings,
        found: Vec::new(),
        declared: BTreeSet::new(),
        defaults: values.clone(),
        given: values,
        stages: Vec::new(),
        room: MOST_COPIED,
    };
    checks.casing(dockerfile.nodes());
    for node in dockerfile.nodes() {
        checks.node(node);
    }
    checks.found
}

/// Variables that are copied from stages to those on top of them, in all.
const MOST_COPIED: usize = 1 << 18;

pub(super) struct Checks<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) escape: char,
    /// What the Dockerfile's directive says.
    settings: Settings,
    /// And the comment above the instruction.
    local: Settings,
    found: Vec<Finding>,
    /// Names of arguments before the first FROM.
    pub(super) declared: BTreeSet<String>,
    /// Their values, when nothing is given to the build.
    pub(super) defaults: Values,
    /// Their values in this build.
    pub(super) given: Values,
    pub(super) stages: Vec<Stage>,
    /// How many variables may still be copied from a stage to the one on top of it.
    pub(super) room: usize,
}

impl Checks<'_> {
    pub(super) fn add(&mut self, rule: Rule, node: &Node, detail: String) {
        self.add_at(rule, node.span_of_line(), detail);
    }

    fn add_at(&mut self, rule: Rule, span: Span, detail: String) {
        if self.local.wants(rule) {
            self.found.push(Finding { rule, description: rule.description(), detail, span });
        }
    }

    /// A finding of a rule about the file as a whole: comments above instructions say nothing to it.
    pub(super) fn add_of_file(&mut self, rule: Rule, node: &Node, detail: String) {
        if self.settings.wants(rule) {
            self.found.push(Finding { rule, description: rule.description(), detail, span: node.span_of_line() });
        }
    }

    /// A word in mixed case, or in the case of the fewer. What stands before the first FROM belongs to no stage, and is not
    /// looked at.
    fn casing(&mut self, nodes: &[Node]) {
        let is_lower = |word: &str| word == word.to_ascii_lowercase();
        let is_upper = |word: &str| word == word.to_ascii_uppercase();
        let of_stages = || {
            let known = nodes.iter().filter(|node| node.keyword().is_ok());
            known.skip_while(|node| !matches!(node.keyword(), Ok(Keyword::From)))
        };
        let lower = of_stages().filter(|node| is_lower(node.keyword_text())).count();
        let upper = of_stages().filter(|node| is_upper(node.keyword_text())).count();
        let to_lower = lower > upper;
        for node in of_stages() {
            let word = node.keyword_text();
            let (fits, name) = if to_lower { (is_lower(word), "lowercase") } else { (is_upper(word), "uppercase") };
            if !fits {
                let detail = format!("Command '{word}' should match the case of the command majority ({name})");
                self.add_of_file(Rule::ConsistentInstructionCasing, node, detail);
            }
        }
    }

    fn node(&mut self, node: &Node) {
        let Ok(keyword) = node.keyword() else { return };
        if !node.empty_lines().is_empty() && self.settings.wants(Rule::NoEmptyContinuation) {
            let (rule, span) = (Rule::NoEmptyContinuation, node.last_line());
            let detail = "Empty continuation line".to_owned();
            self.found.push(Finding { rule, description: rule.description(), detail, span });
        }
        self.local = self.settings.with_comments(node.comments());
        match keyword {
            Keyword::From => return self.from(node),
            Keyword::Arg if self.stages.is_empty() => return self.global_argument(node),
            Keyword::Arg => return self.argument(node),
            Keyword::Maintainer => {
                let detail = "Maintainer instruction is deprecated in favor of using label".to_owned();
                self.add(Rule::MaintainerDeprecated, node, detail);
            }
            Keyword::Env | Keyword::Label => {
                let words = words::quoted(node.arguments(), self.escape);
                if words.first().is_some_and(|word| !word.contains('=')) {
                    let name = node.keyword_text();
                    let detail =
                        format!("\"{name} key=value\" should be used instead of legacy \"{name} key value\" format");
                    self.add(Rule::LegacyKeyValueFormat, node, detail);
                }
            }
            Keyword::Expose => return self.expose(node),
            _ => {}
        }
        let Some(stage) = self.stages.last() else { return };
        let asked = Asked::in_stage(stage);
        let read = node.instruction(&asked, self.escape);
        let (unknown, guessed) = (asked.unknown(), asked.guessed());
        self.undefined(node, &unknown);
        if let Ok(instruction) = read {
            self.instruction(node, keyword, &instruction, guessed);
        }
    }

    fn undefined(&mut self, node: &Node, unknown: &BTreeSet<String>) {
        let Some(stage) = self.stages.last() else { return };
        let wrong = unknown.iter().filter(|name| !vars::is_of_the_builder(name));
        let told = |name: &String| {
            let hint = vars::hint(name, stage.values.keys(), "$");
            format!("Usage of undefined variable '${name}'{hint}")
        };
        for detail in wrong.map(told).collect::<Vec<_>>() {
            self.add(Rule::UndefinedVar, node, detail);
        }
    }

    /// Names and defaults of ARG, and whether the comment above fits.
    fn arguments<'n>(&mut self, node: &'n Node) -> Vec<(&'n str, Option<&'n str>)> {
        let split = |word: &'n str| word.split_once('=').map_or((word, None), |(name, default)| (name, Some(default)));
        let args: Vec<_> = words::quoted(node.arguments(), self.escape).into_iter().map(split).collect();
        let names: Vec<String> = args.iter().map(|(name, _)| (*name).to_owned()).collect();
        self.description(node, "ARG", &names);
        args
    }

    fn global_argument(&mut self, node: &Node) {
        for (name, default) in self.arguments(node) {
            self.declared.insert(name.to_owned());
            let given = self.context.build_args.get(name).cloned();
            let value = |values: &Values| {
                default.and_then(|text| Expander::new(&Asked::of(values), self.escape).word(text).ok())
            };
            let (by_default, value) = (value(&self.defaults), given.or_else(|| value(&self.given)));
            for (values, value) in [(&mut self.defaults, by_default), (&mut self.given, value)] {
                if value.is_some() {
                    values.insert(name.to_owned(), value);
                }
            }
        }
    }

    /// One after the other: the next one sees those before it.
    fn argument(&mut self, node: &Node) {
        for (name, default) in self.arguments(node) {
            self.secret(node, "ARG", name);
            let Some(stage) = self.stages.last() else { return };
            let given = self.context.build_args.get(name).cloned();
            let value = match (given, default) {
                (Some(given), _) => Some(Some(given)),
                (None, Some(text)) => {
                    let asked = Asked::in_stage(stage);
                    let value = Expander::new(&asked, self.escape).word(text);
                    let (unknown, guessed) = (asked.unknown(), asked.guessed());
                    self.undefined(node, &unknown);
                    let Ok(value) = value else { return };
                    Some(Some(value).filter(|_| !guessed))
                }
                (None, None) => self.given.get(name).cloned(),
            };
            let Some(stage) = self.stages.last_mut() else { return };
            if let Some(value) = value
                && !vars::is_of_the_builder(name)
            {
                stage.values.insert(name.to_owned(), value);
            }
            stage.args.insert(name.to_owned());
        }
    }

    /// The comment right above says what the name means.
    pub(super) fn description(&mut self, node: &Node, instruction: &str, names: &[String]) {
        let (Some(first), Some(comment)) = (names.first(), node.comments().last()) else { return };
        let word = comment.split(' ').next().unwrap_or_default();
        if names.iter().all(|name| name != word) {
            let name = if names.len() > 1 { "<arg_key>" } else { first };
            let detail = format!("Comment for {instruction} should follow the format: `# {name} <description>`");
            self.add(Rule::InvalidDefinitionDescription, node, detail);
        }
    }

    fn instruction(&mut self, node: &Node, keyword: Keyword, instruction: &Instruction, guessed: bool) {
        match instruction {
            Instruction::Env(pairs) => {
                for pair in pairs {
                    self.secret(node, "ENV", &pair.key);
                    if let Some(stage) = self.stages.last_mut() {
                        let value = Some(pair.value.clone()).filter(|_| !guessed);
                        stage.values.insert(pair.key.clone(), value);
                    }
                }
            }
            Instruction::Cmd(command) | Instruction::Entrypoint(command) => {
                self.once(node, keyword);
                let shell = self.stages.last().is_some_and(|stage| stage.shell);
                if matches!(command, Command::Shell(_)) && !shell {
                    let name = node.keyword_text();
                    let detail = format!(
                        "JSON arguments recommended for {name} to prevent unintended behavior related to OS signals"
                    );
                    self.add(Rule::JSONArgsRecommended, node, detail);
                }
            }
            Instruction::Healthcheck(_) => self.once(node, keyword),
            Instruction::Shell(_) => {
                if let Some(stage) = self.stages.last_mut() {
                    stage.shell = true;
                }
            }
            Instruction::Workdir(path) => self.workdir(node, path, guessed),
            // What a variable holds that only the base image sets is not known here.
            Instruction::Copy(copy) if copy.from.is_none() && !guessed => {
                self.ignored(node, "Copy", &copy.paths.sources);
            }
            Instruction::Add(add) if !guessed => {
                let is_remote = |source: &&String| source.contains("://") || source.starts_with("git@");
                let local: Vec<String> = add.paths.sources.iter().filter(|s| !is_remote(s)).cloned().collect();
                self.ignored(node, "Add", &local);
            }
            _ => {}
        }
    }

    fn secret(&mut self, node: &Node, instruction: &str, name: &str) {
        if vars::is_secret(name) {
            let detail = format!("Do not use ARG or ENV instructions for sensitive data ({instruction} {name:?})");
            self.add(Rule::SecretsUsedInArgOrEnv, node, detail);
        }
    }

    /// Only the last one counts: the one before is told of.
    fn once(&mut self, node: &Node, keyword: Keyword) {
        let Some(stage) = self.stages.last_mut() else { return };
        let before = stage.last.iter_mut().find(|(other, _)| *other == keyword);
        let span = before.map(|(_, span)| std::mem::replace(span, node.span_of_line()));
        let Some(span) = span else { return stage.last.push((keyword, node.span_of_line())) };
        let name = node.keyword_text();
        let detail = format!(
            "Multiple {name} instructions should not be used in the same stage because only the last one will be used"
        );
        self.add_at(Rule::MultipleInstructionsDisallowed, span, detail);
    }

    /// The first WORKDIR of a stage, and of those below it, decides for the others.
    fn workdir(&mut self, node: &Node, path: &str, guessed: bool) {
        let Some(stage) = self.stages.last_mut() else { return };
        let first = !std::mem::replace(&mut stage.workdir, true);
        if first && !path.starts_with('/') && !guessed {
            let detail = format!("Relative workdir {path:?} can have unexpected results if the base image changes");
            self.add(Rule::WorkdirRelativePath, node, detail);
        }
    }

    fn expose(&mut self, node: &Node) {
        let Some(stage) = self.stages.last() else { return };
        let mut ports = Vec::new();
        for word in words::plain(node.arguments()) {
            let asked = Asked::in_stage(stage);
            let expanded = Expander::new(&asked, self.escape).words(word);
            ports.extend(expanded.ok().filter(|_| !asked.guessed()).unwrap_or_default());
        }
        ports.sort();
        for word in ports {
            // [[IP:]HOST-PORT:]PORT[/PROTOCOL]
            let (before, port) = word.rsplit_once(':').map_or((None, word.as_str()), |(ip, port)| (Some(ip), port));
            let (port, protocol) = port.split_once('/').unwrap_or((port, ""));
            let lower = protocol.to_lowercase();
            // Anything else is an error of the build.
            if port.is_empty() || !matches!(lower.as_str(), "" | "tcp" | "udp" | "sctp") {
                continue;
            }
            if protocol != lower {
                let detail = format!("Defined protocol '{word}' in EXPOSE instruction should be lowercase");
                self.add(Rule::ExposeProtoCasing, node, detail);
            }
            if before.is_some_and(|before| !before.is_empty()) {
                let detail =
                    format!("EXPOSE instruction should not define an IP address or host-port mapping, found '{word}'");
                self.add(Rule::ExposeInvalidFormat, node, detail);
            }
        }
    }

    /// What `!` takes back is too hard to tell: an ignore file that has one is not looked at.
    fn ignored(&mut self, node: &Node, verb: &str, sources: &[String]) {
        let Some(ignore) = self.context.ignore.filter(|ignore| !ignore.has_exceptions()) else { return };
        for source in sources {
            let path = crate::ignore::clean_path(source);
            let is_root = matches!(path.as_str(), "." | "/");
            if if is_root { ignore.ignores_all() } else { ignore.is_ignored(path.as_bytes()) } {
                let detail = format!("Attempting to {verb} file {path:?} that is excluded by .dockerignore");
                self.add(Rule::CopyIgnoredFile, node, detail);
            }
        }
    }
}
