//! The JSON of a seccomp profile as it stands in the file: the runtime specification's form (config-linux.md, "Seccomp") and
//! Docker's and Podman's, which add conditions on capabilities, architecture and kernel.
//!
//! A key that is not known is an error: what it was meant to forbid would be allowed. `comment` is for people.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

type Text<'a> = Cow<'a, str>;

/// A list of texts. Go writes an empty list as `null`.
pub(super) type Texts<'a> = Option<Vec<Item<'a>>>;

/// A text in a list, borrowed from the file where it has no escapes.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Item<'a>(#[serde(borrow)] pub(super) Text<'a>);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Document<'a> {
    #[serde(borrow)]
    pub(super) default_action: Text<'a>,
    pub(super) default_errno_ret: Option<u64>,
    #[serde(borrow)]
    pub(super) default_errno: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) architectures: Texts<'a>,
    #[serde(borrow)]
    pub(super) arch_map: Option<Vec<ArchMap<'a>>>,
    #[serde(borrow)]
    pub(super) flags: Texts<'a>,
    #[serde(borrow)]
    pub(super) listener_path: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) listener_metadata: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) syscalls: Option<Vec<Entry<'a>>>,
    #[serde(rename = "comment")]
    _comment: Option<IgnoredAny>,
}

/// Architectures whose programs run on another one's kernel.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ArchMap<'a> {
    #[serde(borrow)]
    pub(super) architecture: Text<'a>,
    #[serde(borrow)]
    pub(super) sub_architectures: Texts<'a>,
}

/// An answer for some calls.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Entry<'a> {
    #[serde(borrow)]
    pub(super) names: Texts<'a>,
    /// What Docker had before `names`.
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) action: Text<'a>,
    pub(super) errno_ret: Option<u64>,
    #[serde(borrow)]
    pub(super) errno: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) args: Option<Vec<Argument<'a>>>,
    #[serde(borrow)]
    pub(super) includes: Option<When<'a>>,
    #[serde(borrow)]
    pub(super) excludes: Option<When<'a>>,
    #[serde(rename = "comment")]
    _comment: Option<IgnoredAny>,
}

/// A condition on an argument.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Argument<'a> {
    pub(super) index: u64,
    pub(super) value: u64,
    pub(super) value_two: Option<u64>,
    #[serde(borrow)]
    pub(super) op: Text<'a>,
}

/// When an entry counts, or does not.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct When<'a> {
    #[serde(borrow)]
    pub(super) caps: Texts<'a>,
    #[serde(borrow)]
    pub(super) arches: Texts<'a>,
    #[serde(borrow)]
    pub(super) min_kernel: Option<Text<'a>>,
}
