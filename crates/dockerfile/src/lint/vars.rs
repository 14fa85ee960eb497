//! Variables that a text uses, names that are near them, and names that smell of secrets.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use super::stage::Stage;
use crate::expand::Scope;

/// Variables and their values; `None` where a base image sets one.
pub(super) type Values = BTreeMap<String, Option<String>>;

/// Arguments that each build has, with values as good as any.
pub(super) const PREDEFINED: [(&str, &str); 11] = [
    ("BUILDARCH", "amd64"),
    ("BUILDOS", "linux"),
    ("BUILDOSVERSION", ""),
    ("BUILDPLATFORM", "linux/amd64"),
    ("BUILDVARIANT", ""),
    ("TARGETARCH", "amd64"),
    ("TARGETOS", "linux"),
    ("TARGETOSVERSION", ""),
    ("TARGETPLATFORM", "linux/amd64"),
    ("TARGETSTAGE", "default"),
    ("TARGETVARIANT", ""),
];

/// Which variables an expansion asks for.
pub(super) struct Asked<'a> {
    values: &'a Values,
    /// Arguments that may be given, or not.
    args: Option<&'a BTreeSet<String>>,
    /// More is set than is known here.
    open: bool,
    known: RefCell<BTreeSet<String>>,
    unknown: RefCell<BTreeSet<String>>,
    guessed: Cell<bool>,
}

impl<'a> Asked<'a> {
    pub(super) fn of(values: &'a Values) -> Self {
        Self {
            values,
            args: None,
            open: false,
            known: RefCell::default(),
            unknown: RefCell::default(),
            guessed: Cell::new(false),
        }
    }

    pub(super) fn in_stage(stage: &'a Stage) -> Self {
        Self { args: Some(&stage.args), open: stage.open, ..Self::of(&stage.values) }
    }

    /// Names that have a value.
    pub(super) fn known(&self) -> BTreeSet<String> {
        self.known.borrow().clone()
    }

    /// Names that have none.
    pub(super) fn unknown(&self) -> BTreeSet<String> {
        self.unknown.borrow().clone()
    }

    /// A value was needed that only the base image or the caller has: what came out is not what a build has.
    pub(super) fn guessed(&self) -> bool {
        self.guessed.get()
    }
}

impl Scope for Asked<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let may_be = self.open || self.args.is_some_and(|args| args.contains(name));
        let Some(value) = self.values.get(name).or(may_be.then_some(&None)) else {
            self.unknown.borrow_mut().insert(name.to_owned());
            return None;
        };
        self.known.borrow_mut().insert(name.to_owned());
        if value.is_none() {
            self.guessed.set(true);
        }
        // Something, so that nothing that is required is missing.
        Some(value.clone().unwrap_or_else(|| "x".to_owned()))
    }
}

/// Names that a hint is looked for in: more of them are in no Dockerfile that a person has written.
const MOST_HINTS: usize = 256;

/// The name out of `names` that differs in at most two letters, nearest first, then first in the alphabet; as a hint.
pub(super) fn hint<'a>(name: &str, names: impl IntoIterator<Item = &'a String>, sign: &str) -> String {
    const FAR: usize = 3;
    let near = names.into_iter().take(MOST_HINTS).filter(|other| other.len().abs_diff(name.len()) < 4 * FAR);
    let nearest = near.map(|other| (distance(name, other), other)).min();
    match nearest {
        Some((1..FAR, other)) => format!(" (did you mean {sign}{other}?)"),
        _ => String::new(),
    }
}

/// How many letters are to be put in, taken out or changed.
fn distance(one: &str, other: &str) -> usize {
    // Names that long are not mistyped in a few letters by chance.
    const LONGEST: usize = 256;
    let other: Vec<char> = other.chars().take(LONGEST).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, a) in one.chars().take(LONGEST).enumerate() {
        let mut next = vec![above + 1];
        let mut left = above + 1;
        for ((b, diagonal), up) in other.iter().zip(&row).zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(a != *b)).min(up + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// A word of the name says that its value is secret, and none that it is public, a file's name or a version.
pub(super) fn is_secret(name: &str) -> bool {
    const WORDS: [&str; 10] =
        ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];
    const HARMLESS: [&str; 3] = ["public", "file", "version"];
    let name = name.to_ascii_lowercase();
    let has = |wanted: &&str| name.split('_').any(|word| word == *wanted);
    WORDS.iter().any(has) && !HARMLESS.iter().any(has)
}

/// Read by a build without being part of its variables.
pub(super) fn is_of_the_builder(name: &str) -> bool {
    matches!(name, "BUILDKIT_SBOM_SCAN_CONTEXT" | "BUILDKIT_SBOM_SCAN_STAGE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_near() {
        let names = ["PATH", "MY_ARCH", "DIR_ASSETS"].map(str::to_owned);
        for (name, expected) in [
            ("PAHT", " (did you mean $PATH?)"),
            ("MYARCH", " (did you mean $MY_ARCH?)"),
            ("DIR_ASSET", " (did you mean $DIR_ASSETS?)"),
            ("P", ""),
            ("foo", ""),
            ("PATH", ""),
        ] {
            assert_eq!(hint(name, &names, "$"), expected, "{name}");
        }
        assert_eq!((distance("", "abc"), distance("kitten", "sitting"), distance("a", "a")), (3, 3, 0));
    }
}
