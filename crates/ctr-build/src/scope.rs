//! The variables of a stage: ENV and ARG, each from where it stands on, the later one over the earlier.

use std::collections::BTreeMap;

use ctr_dockerfile::Scope;
use ctr_dockerfile::instruction::Arg;

/// Arguments that no ARG needs to declare, and that are no part of keys and history.
const PREDECLARED: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// What is the same for all stages.
#[derive(Debug)]
pub(crate) struct Given {
    /// `--build-arg`.
    pub(crate) arguments: BTreeMap<String, String>,
    /// `TARGETPLATFORM` and its like.
    pub(crate) platform: BTreeMap<String, String>,
    /// ARGs before the first FROM.
    pub(crate) globals: BTreeMap<String, String>,
}

/// Arguments about the builder, which no command sees.
const OF_THE_BUILDER: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// ARGs of a stage, in the order in which they were declared; `None` has no value. An ENV of that name behind it gives it its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arguments(Vec<(String, Option<String>)>);

impl Arguments {
    /// ARG.
    pub(crate) fn declare(&mut self, arg: Arg) {
        let value = arg.value.filter(|_| !OF_THE_BUILDER.contains(&arg.name.as_str()));
        match self.0.iter_mut().find(|(name, _)| *name == arg.name) {
            // Declared again without a value it keeps the one that it has.
            Some((_, old)) => *old = value.or_else(|| old.take()),
            None => self.0.push((arg.name, value)),
        }
    }

    /// ENV: from here on the name means this.
    pub(crate) fn cover(&mut self, name: &str, value: &str) {
        if let Some((_, old)) = self.0.iter_mut().find(|(known, _)| known == name) {
            *old = Some(value.to_owned());
        }
    }

    /// Those with a value, in their order.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)))
    }
}

/// What an instruction sees.
pub(crate) struct Variables<'a> {
    /// ENV of the image so far.
    pub(crate) env: &'a [(String, String)],
    /// ARG so far.
    pub(crate) arguments: &'a Arguments,
    /// What ARGs can have a value from.
    pub(crate) given: &'a Given,
}

impl Scope for Variables<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let argument = self.arguments.values().find(|(known, _)| *known == name).map(|(_, value)| value.to_owned());
        argument.or_else(|| self.env.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone()))
    }

    fn argument(&self, name: &str, has_default: bool) -> Option<String> {
        let elsewhere = || self.given.globals.get(name).or_else(|| self.given.platform.get(name));
        self.given.arguments.get(name).or_else(|| if has_default { None } else { elsewhere() }).cloned()
    }
}

/// The proxies that were given and that no ARG declared: RUN has them, its key does not.
pub(crate) fn proxies(given: &Given, arguments: &Arguments) -> Vec<(String, String)> {
    let undeclared = |name: &&str| !arguments.0.iter().any(|(known, _)| known == name);
    let value = |name: &str| Some((name.to_owned(), given.arguments.get(name)?.clone()));
    PREDECLARED.iter().copied().filter(undeclared).filter_map(value).collect()
}

/// Whether an argument needs no ARG.
pub(crate) fn is_predeclared(name: &str) -> bool {
    PREDECLARED.contains(&name)
}
