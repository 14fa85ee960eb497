//! The stages of a Dockerfile: what each is built on, which are needed for the target, and that none needs itself.

use std::collections::BTreeMap;

use ctr_cli::Failure;
use ctr_dockerfile::instruction::Instruction;
use ctr_dockerfile::{Dockerfile, Keyword, Node, Scope};

/// Stages of a Dockerfile (spec/limits.md, LIM-121).
pub(crate) const STAGES_MAX: usize = 4096;

/// What a stage begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Base {
    /// Nothing.
    Scratch,
    /// A stage.
    Stage(usize),
    /// A named context (`--build-context`).
    Context(String),
    /// An image.
    Image(String),
}

/// One stage.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    /// Behind AS.
    pub(crate) name: Option<String>,
    /// Its FROM.
    pub(crate) from: &'a Node,
    /// What it begins with.
    pub(crate) base: Base,
    /// `--platform`.
    pub(crate) platform: Option<String>,
    /// Its instructions behind FROM.
    pub(crate) nodes: &'a [Node],
    /// Stages, by number, and images or contexts that its instructions name, with the instruction.
    pub(crate) needs: Vec<(Base, &'a Node)>,
}

impl Stage<'_> {
    /// How it is told of: its name, or its number.
    pub(crate) fn label(&self, number: usize) -> String {
        self.name.clone().unwrap_or_else(|| format!("stage {number}"))
    }
}

impl Graph<'_> {
    /// How what a stage begins with is told of.
    pub(crate) fn name_of(&self, base: &Base) -> String {
        match base {
            Base::Scratch => "scratch".to_owned(),
            Base::Stage(number) => self.stages.get(*number).map(|stage| stage.label(*number)).unwrap_or_default(),
            Base::Context(name) | Base::Image(name) => name.clone(),
        }
    }
}

/// All stages of a Dockerfile.
pub(crate) struct Graph<'a> {
    dockerfile: &'a Dockerfile,
    /// The Dockerfile's name, for messages.
    file: String,
    /// In their order.
    pub(crate) stages: Vec<Stage<'a>>,
    /// ARGs before the first FROM with their values.
    pub(crate) globals: BTreeMap<String, String>,
}

/// An error of the Dockerfile, with its line.
pub(crate) fn in_dockerfile(error: &ctr_dockerfile::Error, text: &str, name: &str) -> Failure {
    let at = error.position(text);
    let failure = Failure::new(error.to_string()).at(format!("{name}:{}:{}", at.line, at.column));
    failure.excerpt(error.excerpt(text))
}

/// An error of one instruction, with its line.
pub(crate) fn at_node(failure: Failure, node: &Node, dockerfile: &Dockerfile, name: &str) -> Failure {
    if failure.what().starts_with(&format!("{name}:")) {
        return failure;
    }
    let line = node.span().position(dockerfile.text()).line;
    let text = dockerfile.text().lines().nth(line.saturating_sub(1)).unwrap_or_default();
    failure.at(format!("{name}:{line}")).excerpt([format!("{line} | {text}")])
}

/// Names what `--from` and FROM can mean, in the order of the reference: stages, contexts, images.
pub(crate) struct Names<'a> {
    /// Names of contexts that were given.
    pub(crate) contexts: &'a [String],
    /// Names of stages, the later ones last.
    pub(crate) stages: &'a [Option<String>],
}

impl Names<'_> {
    /// What FROM means in stage `at`: only earlier stages have a name there.
    pub(crate) fn base(&self, text: &str, at: usize) -> Base {
        let earlier = self.stages.get(..at).unwrap_or_default();
        let stage = earlier.iter().rposition(|name| name.as_deref() == Some(text.to_ascii_lowercase().as_str()));
        match stage {
            _ if text == "scratch" => Base::Scratch,
            Some(stage) => Base::Stage(stage),
            None => self.outside(text),
        }
    }

    /// What `--from` means in stage `at`: a stage by name or number.
    pub(crate) fn from(&self, text: &str, at: usize) -> Result<Base, Failure> {
        if let Ok(number) = text.parse::<usize>() {
            if number == at {
                return Err(Failure::new(format!("stage {text} cannot copy from itself")));
            }
            if number < self.stages.len() {
                return Ok(Base::Stage(number));
            }
            let last = self.stages.len().saturating_sub(1);
            let what = format!("--from={text} does not name a stage");
            return Err(Failure::new(what).hint(format!("stages count from 0, the last one is {last}")));
        }
        let stage = self.stages.iter().rposition(|name| name.as_deref() == Some(text.to_ascii_lowercase().as_str()));
        match stage {
            Some(stage) if stage == at => Err(Failure::new(format!("stage {text} cannot copy from itself"))),
            Some(stage) => Ok(Base::Stage(stage)),
            None if text == "scratch" => Ok(Base::Scratch),
            None => Ok(self.outside(text)),
        }
    }

    fn outside(&self, text: &str) -> Base {
        if self.contexts.iter().any(|name| name == text) {
            return Base::Context(text.to_owned());
        }
        Base::Image(text.to_owned())
    }
}

impl<'a> Graph<'a> {
    /// Reads FROM of all stages. `arguments` are those of the command line and the platforms'; `contexts` the names of
    /// `--build-context`.
    pub(crate) fn new(
        dockerfile: &'a Dockerfile,
        file: &str,
        arguments: &BTreeMap<String, String>,
        platform: &BTreeMap<String, String>,
        contexts: &[String],
    ) -> Result<Self, Failure> {
        let escape = dockerfile.directives().escape;
        let wrong = |error: ctr_dockerfile::Error| in_dockerfile(&error, dockerfile.text(), file);
        let nodes = dockerfile.nodes();
        let first = nodes.iter().position(|node| node.keyword().is_ok_and(|keyword| keyword == Keyword::From));
        let (head, body) = nodes.split_at(first.unwrap_or(nodes.len()));
        // What is not written as it has to be is told wherever it stands, also in stages that nothing needs.
        nodes.iter().try_for_each(|node| node.form(escape)).map_err(wrong)?;
        let mut scope = Globals { declared: BTreeMap::new(), arguments, platform };
        for node in head {
            if node.keyword().map_err(wrong)? != Keyword::Arg {
                return Err(at_node(Failure::new("the first instruction has to be FROM"), node, dockerfile, file));
            }
            let Instruction::Arg(declared) = node.instruction(&scope, escape).map_err(wrong)? else { continue };
            scope.declared.extend(declared.into_iter().filter_map(|arg| Some((arg.name, arg.value?))));
        }
        if body.is_empty() {
            return Err(Failure::new(format!("{file} has no FROM")).hint("a Dockerfile begins with FROM IMAGE"));
        }
        let starts: Vec<usize> = body
            .iter()
            .enumerate()
            .filter(|(_, node)| node.keyword().is_ok_and(|keyword| keyword == Keyword::From))
            .map(|(at, _)| at)
            .collect();
        if let Some(node) = starts.get(STAGES_MAX).and_then(|start| body.get(*start)) {
            let failure = Failure::new(format!("it has {} stages, more than {STAGES_MAX}", starts.len()));
            return Err(at_node(failure.hint("build some of them by themselves"), node, dockerfile, file));
        }
        let mut froms = Vec::new();
        for start in &starts {
            let Some(node) = body.get(*start) else { continue };
            let Instruction::From(from) = node.instruction(&scope, escape).map_err(wrong)? else { continue };
            froms.push((node, from));
        }
        let stages: Vec<Option<String>> = froms.iter().map(|(_, from)| from.name.clone()).collect();
        let names = Names { contexts, stages: &stages };
        let mut graph = Self { dockerfile, file: file.to_owned(), stages: Vec::new(), globals: scope.declared };
        for (at, (node, from)) in froms.iter().enumerate() {
            let start = starts.get(at).map_or(0, |start| start + 1);
            let end = starts.get(at + 1).copied().unwrap_or(body.len());
            let nodes = body.get(start..end).unwrap_or_default();
            let mut needs = Vec::new();
            for node in nodes {
                for text in node.sources() {
                    let need = names.from(&text, at).map_err(|failure| at_node(failure, node, dockerfile, file))?;
                    needs.push((need, node));
                }
            }
            graph.stages.push(Stage {
                name: from.name.clone(),
                from: node,
                base: names.base(&from.image, at),
                platform: from.platform.clone(),
                nodes,
                needs,
            });
        }
        // A circle is one wherever it is.
        let mut order = Vec::new();
        (0..graph.stages.len()).try_for_each(|at| graph.visit(at, &mut Vec::new(), &mut order))?;
        Ok(graph)
    }

    /// The stage that `--target` means, the last one without.
    pub(crate) fn target(&self, target: Option<&str>) -> Result<usize, Failure> {
        let Some(target) = target.filter(|target| !target.is_empty()) else {
            return Ok(self.stages.len().saturating_sub(1));
        };
        let name = target.to_ascii_lowercase();
        let named = self.stages.iter().rposition(|stage| stage.name.as_deref() == Some(name.as_str()));
        let number = target.parse::<usize>().ok().filter(|number| *number < self.stages.len());
        named.or(number).ok_or_else(|| {
            let names: Vec<&str> = self.stages.iter().filter_map(|stage| stage.name.as_deref()).collect();
            let failure = Failure::new(format!("there is no stage {target} to build"));
            if names.is_empty() { failure } else { failure.hint(format!("the stages are {}", names.join(", "))) }
        })
    }

    /// The stages that `target` needs, itself among them, each behind those it needs.
    pub(crate) fn needed(&self, target: usize) -> Result<Vec<usize>, Failure> {
        let mut order = Vec::new();
        let mut path = Vec::new();
        self.visit(target, &mut path, &mut order)?;
        Ok(order)
    }

    /// `target` and the stages that it stands on, one on the other.
    pub(crate) fn below(&self, target: usize) -> Vec<usize> {
        let below = |at: &usize| match self.stages.get(*at)?.base {
            Base::Stage(below) => Some(below),
            _ => None,
        };
        std::iter::successors(Some(target), below).collect()
    }

    /// How many of `stages` stand on each stage, by number.
    pub(crate) fn stood_on(&self, stages: &[usize]) -> Vec<usize> {
        let mut counts = vec![0; self.stages.len()];
        for stage in stages.iter().filter_map(|number| self.stages.get(*number)) {
            if let Base::Stage(below) = stage.base
                && let Some(count) = counts.get_mut(below)
            {
                *count += 1;
            }
        }
        counts
    }

    fn visit(&self, at: usize, path: &mut Vec<usize>, order: &mut Vec<usize>) -> Result<(), Failure> {
        if order.contains(&at) {
            return Ok(());
        }
        let Some(stage) = self.stages.get(at) else { return Ok(()) };
        if let Some(start) = path.iter().position(|on_way| *on_way == at) {
            let ring = path.get(start..).unwrap_or_default().iter().chain([&at]);
            let label = |at: &usize| self.stages.get(*at).map(|stage| stage.label(*at)).unwrap_or_default();
            let ring: Vec<String> = ring.map(label).collect();
            return Err(Failure::new(format!("stages need each other in a circle: {}", ring.join(" -> "))));
        }
        path.push(at);
        let base = std::iter::once((&stage.base, stage.from));
        for (need, node) in base.chain(stage.needs.iter().map(|(need, node)| (need, *node))) {
            if let Base::Stage(number) = need {
                // The first on the way out of an error is the instruction that closes the circle.
                let visited = self.visit(*number, path, order);
                visited.map_err(|failure| at_node(failure, node, self.dockerfile, &self.file))?;
            }
        }
        path.pop();
        order.push(at);
        Ok(())
    }
}

/// What FROM and the ARGs before it see.
struct Globals<'a> {
    declared: BTreeMap<String, String>,
    arguments: &'a BTreeMap<String, String>,
    platform: &'a BTreeMap<String, String>,
}

impl Scope for Globals<'_> {
    fn get(&self, name: &str) -> Option<String> {
        self.declared.get(name).or_else(|| self.platform.get(name)).cloned()
    }

    fn argument(&self, name: &str, _: bool) -> Option<String> {
        self.arguments.get(name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(text: &str, target: Option<&str>) -> Result<String, String> {
        let dockerfile = ctr_dockerfile::parse(text).unwrap();
        let (arguments, platform) = (BTreeMap::new(), BTreeMap::new());
        let shown = |failure: Failure| failure.one_line();
        let graph = Graph::new(&dockerfile, "Dockerfile", &arguments, &platform, &[]).map_err(shown)?;
        let target = graph.target(target).map_err(shown)?;
        let order = graph.needed(target).map_err(shown)?;
        Ok(order.iter().map(|at| graph.stages[*at].label(*at)).collect::<Vec<_>>().join(" "))
    }

    // spec: BUILD-81
    #[test]
    fn only_what_is_needed_is_built() {
        let text = "FROM scratch AS a\nFROM scratch AS unused\nFROM a AS b\nFROM scratch\nCOPY --from=b / /\n";
        assert_eq!(order(text, None).unwrap(), "a b stage 3");
        assert_eq!(order(text, Some("A")).unwrap(), "a");
        assert_eq!(order(text, Some("2")).unwrap(), "a b");
        assert!(order(text, Some("nope")).unwrap_err().contains("no stage nope"));
        let mounts = "FROM scratch AS a\nFROM busybox\nRUN --mount=type=bind,from=a,target=/x true\n";
        assert_eq!(order(mounts, None).unwrap(), "a stage 1");
    }

    // spec: BUILD-81
    #[test]
    fn circles_are_found() {
        let text = "FROM scratch AS a\nCOPY --from=b / /\nFROM scratch AS b\nCOPY --from=a / /\n";
        assert!(order(text, None).unwrap_err().contains("a -> b -> a"), "{:?}", order(text, None));
        let unneeded = format!("{text}FROM scratch\n");
        assert!(order(&unneeded, None).unwrap_err().contains("a -> b -> a"), "{:?}", order(&unneeded, None));
        assert!(order("FROM scratch AS a\nCOPY --from=a / /\n", None).unwrap_err().contains("from itself"));
        assert!(order("FROM scratch\nCOPY --from=0 / /\n", None).unwrap_err().contains("from itself"));
        assert!(order("RUN true\nFROM scratch\n", None).unwrap_err().contains("has to be FROM"));
    }
}
