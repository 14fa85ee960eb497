//! Which containers a command is about: `--filter`, `--label`, `--all`.

use std::str::FromStr;

use super::{Container, State, Status};

/// States that can be asked for.
const ASKED: [State; 6] =
    [State::Embryo, State::Prepared, State::Running, State::Exited, State::Killed, State::Unknown];

/// One `--filter`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// The beginning of an id.
    Id(String),
    /// A name; `*` stands for anything.
    Name(String),
    /// The name of an image, or the beginning of its digest.
    Image(String),
    /// A state.
    State(State),
    /// A label.
    Label(LabelFilter),
}

/// One `--label`: the key, and the value if one was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelFilter {
    key: String,
    value: Option<String>,
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
            "state" | "status" => {
                ASKED.into_iter().find(|state| state.name() == value).map(Self::State).ok_or_else(|| {
                    format!("\"{value}\" is not a state (expected {})", ASKED.map(State::name).join(", "))
                })
            }
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

/// All filters of one command line: each label must match, and of each other key one of the filters.
#[derive(Debug, Default)]
pub struct Selection {
    all: bool,
    ids: Vec<String>,
    names: Vec<String>,
    images: Vec<String>,
    states: Vec<State>,
    labels: Vec<LabelFilter>,
}

impl Selection {
    /// `all`: in any state.
    pub fn new(all: bool, filters: Vec<Filter>, labels: Vec<LabelFilter>) -> Self {
        let mut selection = Self { all, labels, ..Self::default() };
        for filter in filters {
            match filter {
                Filter::Id(id) => selection.ids.push(id),
                Filter::Name(name) => selection.names.push(name),
                Filter::Image(image) => selection.images.push(image),
                Filter::State(state) => selection.states.push(state),
                Filter::Label(label) => selection.labels.push(label),
            }
        }
        selection
    }

    /// Whether a list has `container`: it matches, and it runs, unless all or certain states were asked for.
    pub fn takes(&self, container: &Container, status: &Status) -> bool {
        let any_state = self.all || !self.states.is_empty();
        (any_state || status.state == State::Running) && self.matches(container, status)
    }

    /// Whether it matches the filters.
    pub fn matches(&self, container: &Container, status: &Status) -> bool {
        let record = &container.record;
        one(&self.ids, |id| record.id.starts_with(id))
            && one(&self.names, |pattern| record.name.as_deref().is_some_and(|name| glob(pattern, name)))
            && one(&self.images, |pattern| {
                let Some(image) = &record.image else { return false };
                let digest = image.digest;
                image.name.as_deref().is_some_and(|name| glob(pattern, name))
                    || digest.to_string() == *pattern
                    || (pattern.len() >= 6 && digest.hex().starts_with(pattern))
            })
            && one(&self.states, |state| status.state == *state)
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
    use crate::container::{ImageRecord, Place};
    use crate::digest::Digest;

    fn example() -> (Container, Status) {
        let labels = [("team", "a=b")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let mut record = crate::container::salvage::unknown("0123456789abcdef");
        record.name = Some("web".into());
        record.image =
            Some(ImageRecord { name: Some("docker.io/library/debian:12".into()), digest: Digest::of(b"image") });
        record.labels = labels.into();
        let status =
            Status { state: State::Exited, pid: None, started_at: None, finished_at: None, exit: None, reason: None };
        (Container { dir: "/".into(), place: Place::Run, record }, status)
    }

    fn takes(all: bool, filters: &[&str]) -> bool {
        let filters = filters.iter().map(|filter| filter.parse().unwrap()).collect();
        let (container, status) = example();
        Selection::new(all, filters, Vec::new()).takes(&container, &status)
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
        let digest = example().0.record.image.unwrap().digest;
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
