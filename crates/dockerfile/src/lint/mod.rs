//! Checks of a Dockerfile: the rules of BuildKit's reference, with its names and texts.

mod from;
mod names;
mod render;
mod rules;
mod stage;
mod vars;

use std::collections::BTreeMap;

use crate::ast::Dockerfile;
use crate::ignore::Ignore;
use crate::span::Span;

pub use render::{render_text, to_json, to_sarif};

macro_rules! rules {
    ($($name:ident $page:literal $text:literal),* $(,)?) => {
        /// A rule of the reference.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule { $(#[doc = $text] $name),* }

        impl Rule {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// As the reference names it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }

            /// What it asks for.
            pub fn description(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// The reference's page about it.
            pub fn url(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("https://docs.docker.com/go/dockerfile/rule/", $page, "/")),*
                }
            }
        }
    };
}

rules! {
    StageNameCasing "stage-name-casing" "Stage names should be lowercase",
    FromAsCasing "from-as-casing" "The 'as' keyword should match the case of the 'from' keyword",
    NoEmptyContinuation "no-empty-continuation" "Empty continuation lines will become errors in a future release",
    ConsistentInstructionCasing "consistent-instruction-casing" "All commands within the Dockerfile should use the same casing (either upper or lower)",
    DuplicateStageName "duplicate-stage-name" "Stage names should be unique",
    ReservedStageName "reserved-stage-name" "Reserved words should not be used as stage names",
    JSONArgsRecommended "json-args-recommended" "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
    MaintainerDeprecated "maintainer-deprecated" "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
    UndefinedArgInFrom "undefined-arg-in-from" "FROM command must use declared ARGs",
    WorkdirRelativePath "workdir-relative-path" "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes",
    UndefinedVar "undefined-var" "Variables should be defined before their use",
    MultipleInstructionsDisallowed "multiple-instructions-disallowed" "Multiple instructions of the same type should not be used in the same stage",
    LegacyKeyValueFormat "legacy-key-value-format" "Legacy key/value format with whitespace separator should not be used",
    RedundantTargetPlatform "redundant-target-platform" "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
    SecretsUsedInArgOrEnv "secrets-used-in-arg-or-env" "Sensitive data should not be used in the ARG or ENV commands",
    InvalidDefaultArgInFrom "invalid-default-arg-in-from" "Default value for global ARG results in an empty or invalid base image name",
    FromPlatformFlagConstDisallowed "from-platform-flag-const-disallowed" "FROM --platform flag should not use a constant value",
    CopyIgnoredFile "copy-ignored-file" "Attempting to Copy file that is excluded by .dockerignore",
    InvalidDefinitionDescription "invalid-definition-description" "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not intended to be a description comment, add an empty line or comment between the instruction and the comment.",
    ExposeProtoCasing "expose-proto-casing" "Protocol in EXPOSE instruction should be lowercase",
    ExposeInvalidFormat "expose-invalid-format" "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release",
}

impl Rule {
    /// Looked at only if `experimental=` asks for it.
    pub fn experimental(self) -> bool {
        self == Self::InvalidDefinitionDescription
    }
}

/// What the rules are told beside the Dockerfile.
#[derive(Debug, Clone, Default)]
pub struct Context<'a> {
    /// The context's `.dockerignore`.
    pub ignore: Option<&'a Ignore>,
    /// `--build-arg`: they decide which stage a FROM with variables means. Those that nothing declares mean nothing.
    pub build_args: BTreeMap<String, String>,
    /// Variables that base images set, beside `PATH`.
    pub base_env: Vec<String>,
}

/// A rule that is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which one.
    pub rule: Rule,
    /// What it asks for.
    pub description: &'static str,
    /// What is found.
    pub detail: String,
    /// Where.
    pub span: Span,
}

/// `# check=skip=A,B;error=true;experimental=C`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    skip: Vec<String>,
    experimental: Vec<String>,
    /// Findings fail the build.
    pub error: bool,
}

impl Settings {
    /// Those of a Dockerfile's directive. Keys that are not known mean nothing.
    pub fn of(dockerfile: &Dockerfile) -> Self {
        Self::read(dockerfile.directives().check.as_ref().map_or("", |value| value.text.as_str()))
    }

    fn read(text: &str) -> Self {
        let mut settings = Self::default();
        let list = |value: &str| value.split(',').map(|name| name.trim().to_ascii_lowercase()).collect();
        for (key, value) in text.split(';').filter_map(|part| part.split_once('=')) {
            match key.trim().to_ascii_lowercase().as_str() {
                "skip" => settings.skip = list(value),
                "experimental" => settings.experimental = list(value),
                "error" => settings.error = matches!(value.trim(), "1" | "t" | "T" | "true" | "True" | "TRUE"),
                _ => {}
            }
        }
        settings
    }

    /// With what a comment `# check=...` right above an instruction adds for it; the first word of it counts, behind it there may
    /// be a reason.
    fn with_comments(&self, comments: &[String]) -> Self {
        let check = |comment: &String| {
            let (key, value) = comment.split_once('=')?;
            let value = value.trim_start().split(' ').next().unwrap_or_default();
            key.trim_end().eq_ignore_ascii_case("check").then(|| Self::read(value))
        };
        let Some(added) = comments.iter().find_map(check) else { return self.clone() };
        let both = |one: &[String], other: Vec<String>| one.iter().cloned().chain(other).collect();
        Self {
            skip: both(&self.skip, added.skip),
            experimental: both(&self.experimental, added.experimental),
            error: self.error,
        }
    }

    fn wants(&self, rule: Rule) -> bool {
        let names = |list: &[String]| list.iter().any(|name| name == "all" || name.eq_ignore_ascii_case(rule.name()));
        // An experimental rule that is named is looked at, whatever is skipped.
        if rule.experimental() { names(&self.experimental) } else { !names(&self.skip) }
    }
}

/// Findings in the order of their places. What cannot be read as an instruction is passed over: the build tells of it.
pub fn check(dockerfile: &Dockerfile, context: &Context) -> Vec<Finding> {
    let mut found = rules::all(dockerfile, context);
    found.sort_by_key(|finding| (finding.span, finding.rule));
    found
}

#[cfg(test)]
mod table;
#[cfg(test)]
mod tests;
