//! The rules.

use std::collections::{BTreeMap, BTreeSet};

use super::stage::Stage;
use super::{Context, Finding, Rule, vars};
use crate::ast::{Dockerfile, Keyword, Node};
use crate::expand::{Expander, Scope};
use crate::instruction::{Command, Instruction};

pub(super) fn all(dockerfile: &Dockerfile, context: &Context) -> Vec<Finding> {
    let mut checks = Checks {
        context,
        text: dockerfile.text(),
        escape: dockerfile.directives().escape,
        found: Vec::new(),
        globals: BTreeMap::new(),
        stages: Vec::new(),
    };
    checks.casing(dockerfile.nodes());
    for node in dockerfile.nodes() {
        checks.node(node);
    }
    checks.found
}

/// Values in stages are not known: each variable has one, so that nothing that is required is missing.
struct Anything;

impl Scope for Anything {
    fn get(&self, _: &str) -> Option<String> {
        Some("x".to_owned())
    }
}

struct Checks<'a> {
    context: &'a Context<'a>,
    text: &'a str,
    escape: char,
    found: Vec<Finding>,
    /// Arguments before the first FROM, with their defaults.
    globals: BTreeMap<String, String>,
    stages: Vec<Stage>,
}

impl Checks<'_> {
    fn add(&mut self, rule: Rule, node: &Node, detail: String) {
        self.found.push(Finding { rule, description: rule.description(), detail, span: node.span_of_line() });
    }

    /// A word in mixed case, or in the case of the fewer.
    fn casing(&mut self, nodes: &[Node]) {
        let is_lower = |word: &str| word == word.to_ascii_lowercase();
        let is_upper = |word: &str| word == word.to_ascii_uppercase();
        let lower = nodes.iter().filter(|node| is_lower(node.keyword_text())).count();
        let upper = nodes.iter().filter(|node| is_upper(node.keyword_text())).count();
        let to_lower = lower > upper;
        for node in nodes.iter().filter(|node| node.keyword().is_ok()) {
            let word = node.keyword_text();
            let (fits, name) = if to_lower { (is_lower(word), "lowercase") } else { (is_upper(word), "uppercase") };
            if !fits {
                let detail = format!("Command '{word}' should match the case of the command majority ({name})");
                self.add(Rule::ConsistentInstructionCasing, node, detail);
            }
        }
    }

    fn node(&mut self, node: &Node) {
        let Ok(keyword) = node.keyword() else { return };
        if let Some(span) = node.empty_lines().first() {
            let rule = Rule::NoEmptyContinuation;
            let detail = "Empty continuation line".to_owned();
            self.found.push(Finding { rule, description: rule.description(), detail, span: *span });
        }
        let words: Vec<&str> = node.arguments().split_ascii_whitespace().collect();
        match keyword {
            Keyword::From => return self.from(node, &words),
            Keyword::Maintainer => {
                let detail = "Maintainer instruction is deprecated in favor of using label".to_owned();
                self.add(Rule::MaintainerDeprecated, node, detail);
            }
            Keyword::Env | Keyword::Label if words.first().is_some_and(|word| !word.contains('=')) => {
                let name = keyword.name();
                let detail =
                    format!("\"{name} key=value\" should be used instead of legacy \"{name} key value\" format");
                self.add(Rule::LegacyKeyValueFormat, node, detail);
            }
            _ => {}
        }
        self.undefined(node, keyword);
        let read = match self.stages.last() {
            None => node.instruction(&self.globals, self.escape),
            Some(_) => node.instruction(&Anything, self.escape),
        };
        if let Ok(instruction) = read {
            self.instruction(node, keyword, &instruction);
        }
    }

    fn from(&mut self, node: &Node, words: &[&str]) {
        let Some(image) = words.first().copied() else { return };
        let name = words.get(2).copied();
        if let (Some(r#as), keyword) = (words.get(1), node.keyword_text()) {
            let upper = |word: &str| word == word.to_ascii_uppercase();
            let lower = |word: &str| word == word.to_ascii_lowercase();
            // A keyword in mixed case is told of elsewhere.
            if (upper(keyword) && !upper(r#as)) || (lower(keyword) && !lower(r#as)) {
                self.add(Rule::FromAsCasing, node, format!("'{as}' and '{keyword}' keywords' casing do not match"));
            }
        }
        if let Some(name) = name {
            self.stage_name(node, name);
        }
        self.description(node, "FROM", name);
        let platform = node.flags().iter().find(|flag| flag.name == "platform").and_then(|flag| flag.value.clone());
        self.platform(node, platform.as_deref(), name);
        let in_image = vars::used(image, self.escape);
        let mut all_known = true;
        for used in in_image.iter().cloned().chain(vars::used(platform.as_deref().unwrap_or_default(), self.escape)) {
            if !self.globals.contains_key(&used) && !vars::is_predefined(&used) {
                all_known = false;
                self.add(Rule::UndefinedArgInFrom, node, format!("FROM argument '{used}' is not declared"));
            }
        }
        let plain = Expander::new(&self.globals, self.escape).word(image);
        if all_known && image.contains('$') && !in_image.iter().any(|used| vars::is_predefined(used)) {
            // Names of stages are found in any case; those of images are in lower case.
            if plain.as_ref().is_ok_and(|base| !is_image(base) && self.stage(base).is_none()) {
                let detail = format!("Default value for ARG {image} results in empty or invalid base image name");
                self.add(Rule::InvalidDefaultArgInFrom, node, detail);
            }
        }
        let name = name.map(str::to_ascii_lowercase);
        let mut given = self.globals.clone();
        for (name, value) in &mut given {
            if let Some(other) = self.context.build_args.get(name) {
                value.clone_from(other);
            }
        }
        let base = Expander::new(&given, self.escape).word(image).unwrap_or_default();
        let stage = match self.stage(&base) {
            Some(parent) => parent.child(name),
            None if base == "scratch" => Stage { name, ..Stage::default() },
            None => {
                let env = self.context.base_env.iter().cloned().chain(["PATH".to_owned()]).collect();
                Stage { name, env, ..Stage::default() }
            }
        };
        self.stages.push(stage);
    }

    fn stage(&self, name: &str) -> Option<&Stage> {
        let name = name.to_ascii_lowercase();
        self.stages.iter().rev().find(|stage| stage.name.as_ref() == Some(&name))
    }

    fn stage_name(&mut self, node: &Node, name: &str) {
        let lower = name.to_ascii_lowercase();
        if lower != name {
            self.add(Rule::StageNameCasing, node, format!("Stage name '{name}' should be lowercase"));
        }
        if self.stage(&lower).is_some() {
            let detail = format!("Duplicate stage name {lower:?}, stage names should be unique");
            self.add(Rule::DuplicateStageName, node, detail);
        }
        if matches!(lower.as_str(), "scratch" | "context") {
            let detail = format!("Stage name should not use the same name as reserved stage {lower:?}");
            self.add(Rule::ReservedStageName, node, detail);
        }
    }

    fn platform(&mut self, node: &Node, platform: Option<&str>, stage: Option<&str>) {
        let Some(platform) = platform else { return };
        if matches!(platform, "$TARGETPLATFORM" | "${TARGETPLATFORM}") {
            let detail = format!(
                "Setting platform to predefined {platform} in FROM is redundant as this is the default behavior"
            );
            self.add(Rule::RedundantTargetPlatform, node, detail);
        }
        // A stage that is named after its platform means it.
        let meant = stage.is_some_and(|name| platform.split('/').any(|part| !part.is_empty() && name.contains(part)));
        if !platform.contains('$') && !meant {
            let detail = format!("FROM --platform flag should not use constant value {platform:?}");
            self.add(Rule::FromPlatformFlagConstDisallowed, node, detail);
        }
    }

    /// The comment right above says what the name means.
    fn description(&mut self, node: &Node, instruction: &str, name: Option<&str>) {
        let (Some(name), Some(comment)) = (name, node.comments().last()) else { return };
        // An empty line, or a directive, is no description.
        let above = self.text.get(..node.span().start).unwrap_or_default();
        let above = above.trim_end_matches([' ', '\t']).lines().next_back().unwrap_or_default();
        let directive = comment.split_once('=').map(|(key, _)| key.trim().to_ascii_lowercase());
        if !above.trim_start().starts_with('#')
            || directive.is_some_and(|key| matches!(key.as_str(), "check" | "escape" | "syntax"))
        {
            return;
        }
        if comment.split_ascii_whitespace().next() != Some(name) && !comment.trim().is_empty() {
            let detail = format!("Comment for {instruction} should follow the format: `# {name} <description>`");
            self.add(Rule::InvalidDefinitionDescription, node, detail);
        }
    }

    fn undefined(&mut self, node: &Node, keyword: Keyword) {
        use Keyword::{Add, Arg, Copy, Env, Expose, Label, Stopsignal, User, Volume, Workdir};
        let expanded =
            matches!(keyword, Add | Arg | Copy | Env | Expose | Label | Stopsignal | User | Volume | Workdir);
        let Some(stage) = self.stages.last().filter(|_| expanded) else { return };
        let mut texts = vec![node.arguments().to_owned()];
        texts.extend(node.flags().iter().filter(|flag| flag.name != "from").filter_map(|flag| flag.value.clone()));
        let used: BTreeSet<String> = texts.iter().flat_map(|text| vars::used(text, self.escape)).collect();
        let unknown = used.into_iter().filter(|name| !stage.knows(name) && !vars::is_proxy(name));
        for name in unknown.collect::<Vec<_>>() {
            self.add(Rule::UndefinedVar, node, format!("Usage of undefined variable '${name}'"));
        }
    }

    fn instruction(&mut self, node: &Node, keyword: Keyword, instruction: &Instruction) {
        match instruction {
            Instruction::Arg(args) => {
                for arg in args {
                    self.secret(node, "ARG", &arg.name);
                    match self.stages.last_mut() {
                        Some(stage) => drop(stage.args.insert(arg.name.clone())),
                        None => drop(self.globals.insert(arg.name.clone(), arg.default.clone().unwrap_or_default())),
                    }
                }
                if let [arg] = args.as_slice() {
                    self.description(node, "ARG", Some(&arg.name));
                }
            }
            Instruction::Env(pairs) => {
                for pair in pairs {
                    self.secret(node, "ENV", &pair.key);
                    if let Some(stage) = self.stages.last_mut() {
                        stage.env.insert(pair.key.clone());
                    }
                }
            }
            Instruction::Cmd(command) | Instruction::Entrypoint(command) => {
                let shell = self.stages.last().is_some_and(|stage| stage.shell);
                if matches!(command, Command::Shell(_)) && !shell {
                    let detail = format!(
                        "JSON arguments recommended for {} to prevent unintended behavior related to OS signals",
                        keyword.name()
                    );
                    self.add(Rule::JSONArgsRecommended, node, detail);
                }
                self.once(node, keyword);
            }
            Instruction::Healthcheck(_) => self.once(node, keyword),
            Instruction::Shell(_) => {
                if let Some(stage) = self.stages.last_mut() {
                    stage.shell = true;
                }
            }
            Instruction::Workdir(_) => self.workdir(node),
            Instruction::Expose(_) => self.expose(node),
            Instruction::Copy(copy) if copy.from.is_none() => self.ignored(node, "Copy", &copy.paths.sources),
            Instruction::Add(add) => self.ignored(node, "Add", &add.paths.sources),
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
        let (rule, name) = (Rule::MultipleInstructionsDisallowed, keyword.name());
        let detail = format!(
            "Multiple {name} instructions should not be used in the same stage because only the last one will be used"
        );
        self.found.push(Finding { rule, description: rule.description(), detail, span });
    }

    fn workdir(&mut self, node: &Node) {
        let path = node.arguments();
        let Some(stage) = self.stages.last_mut() else { return };
        // What a variable holds is not known here.
        if path.trim_start_matches('"').starts_with(['/', '$']) {
            stage.absolute = true;
        } else if !stage.absolute {
            let detail = format!("Relative workdir {path:?} can have unexpected results if the base image changes");
            self.add(Rule::WorkdirRelativePath, node, detail);
        }
    }

    fn expose(&mut self, node: &Node) {
        for word in node.arguments().split_ascii_whitespace().filter(|word| !word.contains('$')) {
            let (port, protocol) = word.split_once('/').unwrap_or((word, ""));
            if protocol != protocol.to_ascii_lowercase() {
                let detail = format!("Defined protocol '{word}' in EXPOSE instruction should be lowercase");
                self.add(Rule::ExposeProtoCasing, node, detail);
            }
            if port.contains(':') {
                let detail =
                    format!("EXPOSE instruction should not define an IP address or host-port mapping, found '{word}'");
                self.add(Rule::ExposeInvalidFormat, node, detail);
            }
        }
    }

    fn ignored(&mut self, node: &Node, verb: &str, sources: &[String]) {
        // What a variable holds is not known here.
        let Some(ignore) = self.context.ignore.filter(|_| !node.arguments().contains('$')) else { return };
        for source in sources.iter().filter(|source| !source.contains("://")) {
            let path = source.trim_start_matches("./").trim_matches('/');
            if !path.is_empty() && path != "." && ignore.is_ignored(path.as_bytes()) {
                let detail = format!("Attempting to {verb} file {source:?} that is excluded by .dockerignore");
                self.add(Rule::CopyIgnoredFile, node, detail);
            }
        }
    }
}

/// Enough of the grammar of references to tell a name with a hole in it.
fn is_image(name: &str) -> bool {
    let (path, digest) = name.split_once('@').unwrap_or((name, "x"));
    let last = path.rsplit('/').next().unwrap_or_default();
    let (base, tag) = last.split_once(':').unwrap_or((last, "x"));
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let tag_fits = tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    !digest.is_empty()
        && tag_fits
        && base.starts_with(edge)
        && base.ends_with(edge)
        && path.split('/').all(|part| !part.is_empty())
}
