//! Names of repositories as paths of the tree.

use std::fmt;
use std::str::FromStr;

use ctr_core::reference::Reference;

use crate::error::TreeError;
use crate::kind::Kind;

/// Directories of a repository, and the file that answers `/v2/`: no part of a name can be called like that, or one
/// repository would lie inside of another's files.
pub(crate) const RESERVED: &[&str] = &["manifests", "blobs", "tags", "referrers", "index.json"];

/// Any registry: only the rest of a name counts here.
const SOMEWHERE: &str = "registry.invalid";

/// The name of a repository, `team/app`: a path below `v2` that leads nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The directories that lead to the repository.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = TreeError;

    fn from_str(text: &str) -> Result<Self, TreeError> {
        let bad = |why: String| TreeError::Name { text: text.to_owned(), why };
        // The grammar of references has no "..", no empty part, no upper case and nothing that a shell or a server reads otherwise.
        let reference =
            format!("{SOMEWHERE}/{text}").parse::<Reference>().map_err(|error| bad(error.problem.to_string()))?;
        if reference.path() != text {
            return Err(bad("it has a tag or a digest".to_owned()));
        }
        let reserved = |part: &&str| RESERVED.contains(part) || Kind::ALL.iter().any(|kind| kind.view() == Some(*part));
        match text.split('/').find(reserved) {
            Some(part) => Err(bad(format!("\"{part}\" is a directory of every repository"))),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether `text` can be a tag (distribution-spec "Pulling manifests").
pub(crate) fn check_tag(text: &str) -> Result<(), TreeError> {
    let bad = |why: String| TreeError::Tag { text: text.to_owned(), why };
    let reference =
        format!("{SOMEWHERE}/x:{text}").parse::<Reference>().map_err(|error| bad(error.problem.to_string()))?;
    if reference.tag() == Some(text) && reference.digest().is_none() {
        Ok(())
    } else {
        Err(bad("it has a digest".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_below_the_tree() {
        // spec: REG-65
        for good in ["app", "team/app", "a/b/c", "docker/compose", "library/debian", "a.b/c-d"] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "..",
            "../x",
            "a/../b",
            "/etc",
            "a//b",
            "a/",
            "A",
            "a:b",
            "a@b",
            "a b",
            "a\0b",
            ".hidden",
            "_x",
            "a/manifests",
            "manifests/a",
            "a/blobs/b",
            "referrers",
            "tags",
            "indexes",
            "docker-lists/x",
            "index.json",
            "a\\b",
            "a%2e",
        ] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn tags_are_names_of_one_file() {
        for good in ["1", "latest", "sha256-00.sig", "V1.0_x"] {
            check_tag(good).unwrap();
        }
        for bad in ["", ".", "..", "a/b", "a:b", "a@b", "-a", ".a", "a\n", &"x".repeat(129)] {
            assert!(check_tag(bad).is_err(), "{bad:?}");
        }
    }
}
