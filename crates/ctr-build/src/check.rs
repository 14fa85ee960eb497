//! `--check`, and the same findings as warnings of a build.

use std::process::ExitCode;

use ctr_cli::Failure;
use ctr_dockerfile::Dockerfile;
use ctr_dockerfile::lint::{self, Finding, Rule, Settings};

use crate::args::CheckFormat;
use crate::context::Context;
use crate::request::Request;

/// What of the Dockerfile should be otherwise.
pub(crate) struct Findings<'a> {
    found: Vec<Finding>,
    dockerfile: &'a Dockerfile,
    name: &'a str,
}

impl<'a> Findings<'a> {
    /// Looks at the Dockerfile. `base_env` are the variables that the base images set, where they are known.
    pub(crate) fn of(
        dockerfile: &'a Dockerfile,
        name: &'a str,
        context: &Context,
        request: &Request,
        base_env: Option<Vec<String>>,
    ) -> Self {
        let known = base_env.is_some();
        let told = lint::Context {
            ignore: context.ignore(),
            build_args: request.declared_arguments(),
            base_env: base_env.unwrap_or_default(),
        };
        let mut found = lint::check(dockerfile, &told);
        // A variable may be the base's: what is not known is not told.
        found.retain(|finding| known || finding.rule != Rule::UndefinedVar);
        Self { found, dockerfile, name }
    }

    /// Prints them as they are asked for; 1 if there are any.
    pub(crate) fn print(&self, format: CheckFormat) -> Result<ExitCode, Failure> {
        let text = self.dockerfile.text();
        match format {
            CheckFormat::Text if self.found.is_empty() => ctr_cli::note("nothing to say"),
            CheckFormat::Text => ctr_cli::print(&lint::render_text(&self.found, self.name, text))?,
            CheckFormat::Json => ctr_cli::print_json(&lint::to_json(&self.found, self.name, text))?,
            CheckFormat::Sarif => ctr_cli::print_json(&lint::to_sarif(&self.found, self.name, text))?,
        }
        Ok(if self.found.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(ctr_cli::exit::FAILURE) })
    }

    /// Warns of them; with `# check=error=true` they are an error.
    pub(crate) fn warn(&self) -> Result<(), Failure> {
        for finding in &self.found {
            let line = finding.span.position(self.dockerfile.text()).line;
            ctr_cli::warn(format!("{}:{line}: {}: {}", self.name, finding.rule.name(), finding.detail));
        }
        if self.found.is_empty() || !Settings::of(self.dockerfile).error {
            return Ok(());
        }
        Err(Failure::new(format!("{} has {} findings of the lint", self.name, self.found.len()))
            .because("# check=error=true in the Dockerfile makes them errors")
            .hint("ctr-build --check shows them"))
    }
}
