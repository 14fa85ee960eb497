//! The variables of a stage: ENV over ARG, each from where it stands on.

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

/// ARGs of a stage, in the order in which they were declared; `None` has no value.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arguments(Vec<(String, Option<String>)>);

impl Arguments {
    /// ARG.
    pub(crate) fn declare(&mut self, arg: Arg, given: &Given) {
        let value = given
            .arguments
            .get(&arg.name)
            .or_else(|| arg.default.is_none().then(|| given.globals.get(&arg.name)).flatten())
            .cloned()
            .or(arg.default)
            .or_else(|| given.platform.get(&arg.name).cloned());
        match self.0.iter_mut().find(|(name, _)| *name == arg.name) {
            // Declared again without a value it keeps the one that it has.
            Some((_, old)) => *old = value.or_else(|| old.take()),
            None => self.0.push((arg.name, value)),
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
}

impl Scope for Variables<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let env = self.env.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        env.or_else(|| self.arguments.values().find(|(known, _)| *known == name).map(|(_, value)| value.to_owned()))
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
