//! Names without a registry.

use ctr_core::reference::{DEFAULT_DOMAIN, Reference, has_domain};

use super::file::ShortNameMode;
use super::{ConfigError, Registries};

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The full names to try, in their order. One, unless `short-name-mode = "disabled"` says to try several.
    pub references: Vec<Reference>,
    /// How a short name became a full one, for people; none if the name was full.
    pub note: Option<String>,
}

impl Registries {
    /// The full name that `text` stands for: itself, an alias, or the name in a registry of
    /// `unqualified-search-registries`. Without any configuration in `docker.io`, as Docker has it.
    ///
    /// Among several registries nothing is guessed and nobody is asked: that is an error with the choices.
    pub fn resolve_short(&self, text: &str) -> Result<Resolved, ConfigError> {
        let parsed: Reference = text.parse()?;
        if has_domain(text) {
            return Ok(Resolved { references: vec![parsed], note: None });
        }
        let name = text.split_once('@').map_or(text, |(name, _)| name);
        let end = name.rfind('/').map_or(0, |slash| slash + 1);
        let colon = name.get(end..).and_then(|last| last.find(':')).map_or(name.len(), |at| end + at);
        let (repository, rest) = (text.get(..colon).unwrap_or(text), text.get(colon..).unwrap_or(""));
        if let Some((target, path)) = self.aliases.get(repository) {
            let reference: Reference = format!("{target}{rest}").parse()?;
            let note = format!("{text} is {reference} (alias of {})", path.display());
            return Ok(Resolved { references: vec![reference], note: Some(note) });
        }
        let Some((search, path)) = &self.search else {
            let note = format!("{text} is {parsed} (names without a registry are of {DEFAULT_DOMAIN})");
            return Ok(Resolved { references: vec![parsed], note: Some(note) });
        };
        let mut references: Vec<Reference> = Vec::new();
        for location in search {
            let reference = format!("{location}/{text}").parse::<Reference>().ok().filter(|_| {
                // A host without a dot would be read as a part of Docker's own name.
                has_domain(&format!("{location}/"))
            });
            let Some(reference) = reference else {
                return Err(ConfigError::Setting {
                    path: path.clone(),
                    key: "unqualified-search-registries".to_owned(),
                    problem: format!("\"{location}/{text}\" names nothing in a registry"),
                });
            };
            if !references.contains(&reference) {
                references.push(reference);
            }
        }
        let note = |reference: &Reference| {
            format!("{text} is {reference} (unqualified-search-registries of {})", path.display())
        };
        match references.as_slice() {
            [] => Err(ConfigError::NoSearch { name: text.to_owned(), path: path.clone() }),
            [only] => Ok(Resolved { note: Some(note(only)), references }),
            [first, ..] if self.mode == Some(ShortNameMode::Disabled) => {
                let note = format!("{} or one of {} more", note(first), references.len() - 1);
                Ok(Resolved { note: Some(note), references })
            }
            several => Err(ConfigError::Ambiguous {
                name: text.to_owned(),
                choices: several.iter().map(ToString::to_string).collect(),
                path: path.clone(),
            }),
        }
    }
}
