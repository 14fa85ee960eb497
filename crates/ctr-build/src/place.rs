//! Where an instruction stands, for what is told of it: in the Dockerfile, or in a trigger that the base of a stage has.

use std::sync::Arc;

use ctr_cli::Failure;
use ctr_dockerfile::{Error, Node};

use crate::builder::Builder;
use crate::graph::{at_node, in_dockerfile};

/// Where an instruction stands.
#[derive(Clone)]
pub(crate) struct Place<'e> {
    /// The instruction of the Dockerfile; of a trigger the FROM that brings it.
    node: &'e Node,
    trigger: Option<Arc<Trigger>>,
}

/// One of ONBUILD.
struct Trigger {
    /// From 1.
    number: usize,
    text: String,
    /// What it is a trigger of.
    base: String,
}

impl<'e> Place<'e> {
    pub(crate) fn of(node: &'e Node) -> Self {
        Self { node, trigger: None }
    }

    /// A trigger that came with `from`.
    pub(crate) fn of_trigger(from: &'e Node, number: usize, base: &str, text: String) -> Self {
        Self { node: from, trigger: Some(Arc::new(Trigger { number, text, base: base.to_owned() })) }
    }

    /// The trigger's instruction.
    pub(crate) fn trigger(&self, builder: &Builder<'_>) -> Result<Node, Failure> {
        let text = self.trigger.as_ref().map_or("", |trigger| &trigger.text);
        let escape = builder.dockerfile.directives().escape;
        let node = ctr_dockerfile::parse_trigger(text).and_then(|node| node.form(escape).map(|()| node));
        node.map_err(|error| self.wrong(builder, &error))
    }

    /// An error of the instruction's words, with the line that has them.
    pub(crate) fn wrong(&self, builder: &Builder<'_>, error: &Error) -> Failure {
        match &self.trigger {
            Some(trigger) => {
                let failure = Failure::new(error.to_string());
                self.of_trigger_told(trigger, builder, failure, error.excerpt(&trigger.text))
            }
            None => in_dockerfile(error, builder.dockerfile.text(), &builder.file),
        }
    }

    /// An error of the instruction, with its place unless it has it already.
    pub(crate) fn told(&self, builder: &Builder<'_>, failure: Failure) -> Failure {
        match &self.trigger {
            Some(trigger) if failure.what().contains(&trigger.name()) => failure,
            Some(trigger) => {
                let line = trigger.text.lines().next().unwrap_or_default();
                self.of_trigger_told(trigger, builder, failure, vec![format!("1 | {line}")])
            }
            None => at_node(failure, self.node, builder.dockerfile, &builder.file),
        }
    }

    fn of_trigger_told(
        &self,
        trigger: &Trigger,
        builder: &Builder<'_>,
        failure: Failure,
        lines: Vec<String>,
    ) -> Failure {
        let head = format!("ONBUILD trigger {}:", trigger.number);
        let failure = failure.excerpt(std::iter::once(head).chain(lines)).at(trigger.name());
        at_node(failure, self.node, builder.dockerfile, &builder.file)
    }
}

impl Trigger {
    fn name(&self) -> String {
        format!("in the ONBUILD trigger {} of {}", self.number, self.base)
    }
}
