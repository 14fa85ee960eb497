//! Which containers are shown.

use std::str::FromStr;

use clap::ValueEnum as _;
use ctr_core::container::State;

use crate::entry::{Entry, state_name};

/// One `--filter`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Filter {
    Id(String),
    Name(String),
    Image(String),
    State(StateName),
    Label(LabelFilter),
}

/// One `--label`: the key, and the value if one was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LabelFilter {
    key: String,
    value: Option<String>,
}

/// A state that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum StateName {
    Embryo,
    Prepared,
    Running,
    Exited,
    Killed,
    Unknown,
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((key, value)) = text.split_once('=').filter(|(_, value)| !value.is_empty()) else {
            return Err("expected KEY=VALUE".to_owned());
        };
        match key {
            "id" => Ok(Self::Id(value.to_owned())),
            "name" => Ok(Self::Name(value.to_owned())),
            "image" => Ok(Self::Image(value.to_owned())),
            "state" | "status" => StateName::from_str(value, false).map(Self::State).map_err(|_| {
                let known: Vec<_> = StateName::value_variants().iter().map(|state| state.word()).collect();
                format!("\"{value}\" is not a state (expected {})", known.join(", "))
            }),
            "label" => value.parse().map(Self::Label),
            _ => Err(format!("no container is filtered by \"{key}\" (expected id, name, image, state or label)")),
        }
    }
}

impl FromStr for LabelFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').map_or((text, None), |(key, value)| (key, Some(value.to_owned())));
        if key.is_empty() {
            return Err("expected KEY or KEY=VALUE".to_owned());
        }
        Ok(Self { key: key.to_owned(), value })
    }
}

impl StateName {
    fn state(self) -> State {
        match self {
            Self::Embryo => State::Embryo,
            Self::Prepared => State::Prepared,
            Self::Running => State::Running,
            Self::Exited => State::Exited,
            Self::Killed => State::Killed,
            Self::Unknown => State::Unknown,
        }
    }

    fn word(self) -> &'static str {
        state_name(self.state())
    }
}

/// All filters of one command line: each label must match, and of each other key one of the filters.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    all: bool,
    ids: Vec<String>,
    names: Vec<String>,
    images: Vec<String>,
    states: Vec<State>,
    labels: Vec<LabelFilter>,
}

impl Selection {
    pub(crate) fn new(all: bool, filters: Vec<Filter>, labels: Vec<LabelFilter>) -> Self {
        let mut selection = Self { all, labels, ..Self::default() };
        for filter in filters {
            match filter {
                Filter::Id(id) => selection.ids.push(id),
                Filter::Name(name) => selection.names.push(name),
                Filter::Image(image) => selection.images.push(image),
                Filter::State(state) => selection.states.push(state.state()),
                Filter::Label(label) => selection.labels.push(label),
            }
        }
        selection
    }

    /// Whether a list shows `entry`: it matches, and it runs, unless all or certain states were asked for.
    pub(crate) fn takes(&self, entry: &Entry) -> bool {
        let any_state = self.all || !self.states.is_empty();
        (any_state || entry.status.state == State::Running) && self.matches(entry)
    }

    /// Whether `entry` matches the filters.
    pub(crate) fn matches(&self, entry: &Entry) -> bool {
        let record = &entry.container.record;
        one(&self.ids, |id| record.id.starts_with(id))
            && one(&self.names, |pattern| record.name.as_deref().is_some_and(|name| glob(pattern, name)))
            && one(&self.images, |pattern| {
                let digest = record.image.digest;
                record.image.name.as_deref().is_some_and(|name| glob(pattern, name))
                    || digest.to_string() == *pattern
                    || (pattern.len() >= 6 && digest.hex().starts_with(pattern))
            })
            && one(&self.states, |state| entry.status.state == *state)
            && self.labels.iter().all(|label| {
                let found = record.labels.get(&label.key);
                found.is_some_and(|found| label.value.as_ref().is_none_or(|value| found == value))
            })
    }
}

fn one<T>(wanted: &[T], matches: impl Fn(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(matches)
}

/// Whether `text` is `pattern`, in which `*` stands for any characters, none too.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        // The leftmost place leaves the most for the parts that follow.
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::tests::entry;

    fn takes(all: bool, filters: &[&str]) -> bool {
        let filters = filters.iter().map(|filter| filter.parse().unwrap()).collect();
        Selection::new(all, filters, Vec::new()).takes(&entry())
    }

    #[test]
    fn filters_take_what_they_say() {
        for (filters, taken) in [
            (&[][..], true),
            (&["id=0123"], true),
            (&["id=123"], false),
            (&["name=web"], true),
            (&["name=we"], false),
            (&["name=w*"], true),
            (&["name=db", "name=web"], true),
            (&["name=web", "id=9"], false),
            (&["image=*debian:12"], true),
            (&["image=*alpine*"], false),
            (&["label=team"], true),
            (&["label=team=a=b"], true),
            (&["label=team=a"], false),
            (&["label=team", "label=other"], false),
            (&["state=exited"], true),
            (&["state=running", "state=exited"], true),
            (&["state=killed"], false),
        ] {
            assert_eq!(takes(true, filters), taken, "{filters:?}");
        }
    }

    #[test]
    fn only_the_running_without_all() {
        assert!(!takes(false, &[]));
        assert!(!takes(false, &["name=web"]));
        assert!(takes(false, &["state=exited"]));
    }

    #[test]
    fn the_image_is_found_by_digest() {
        let digest = entry().container.record.image.digest;
        assert!(takes(true, &[&format!("image={digest}")]));
        assert!(takes(true, &[&format!("image={}", digest.short())]));
        assert!(!takes(true, &["image=e3b0"]));
    }

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text, matches) in [
            ("", "", true),
            ("*", "", true),
            ("*", "abc", true),
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "acb", false),
            ("a*b*c", "aXbXbXc", true),
            ("a**c", "abc", true),
            ("ab*ba", "aba", false),
            ("*b*", "abc", true),
            ("abc", "ab", false),
        ] {
            assert_eq!(glob(pattern, text), matches, "{pattern} {text}");
        }
    }
}
