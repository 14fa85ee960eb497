//! The five capability sets of a process (capabilities(7), "Thread capability sets"), as a bundle gives them.

use ctr_sys::privilege::{self, CapSet};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Each set by itself. In records they are lists of names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapabilitySets {
    /// What an exec can give at most.
    #[serde(default, with = "names")]
    pub bounding: CapSet,
    /// What the kernel looks at.
    #[serde(default, with = "names")]
    pub effective: CapSet,
    /// What an exec of a file with the same inheritable capabilities keeps.
    #[serde(default, with = "names")]
    pub inheritable: CapSet,
    /// What can be made effective.
    #[serde(default, with = "names")]
    pub permitted: CapSet,
    /// What an exec by a user other than 0 keeps.
    #[serde(default, with = "names")]
    pub ambient: CapSet,
}

impl CapabilitySets {
    /// No capability at all.
    pub const NONE: Self = Self {
        bounding: CapSet(0),
        effective: CapSet(0),
        inheritable: CapSet(0),
        permitted: CapSet(0),
        ambient: CapSet(0),
    };

    /// What of it the kernel can give to a process whose maker has `held` (all, for the first process of a new user namespace):
    /// nothing that is not held, nothing effective that is not permitted, nothing inheritable that is not in the bounding set,
    /// nothing ambient that is not permitted and inheritable. The second value is what that leaves out, for a warning: "runtimes
    /// SHOULD NOT fail if the container configuration requests capabilities that cannot be granted" (runtime-spec, config.md,
    /// `process.capabilities`).
    #[must_use]
    pub fn grantable(self, held: CapSet) -> (Self, CapSet) {
        let bounding = self.bounding.and(held);
        let permitted = self.permitted.and(held);
        let inheritable = self.inheritable.and(held).and(bounding);
        let effective = self.effective.and(permitted);
        let ambient = self.ambient.and(permitted).and(inheritable);
        let given = Self { bounding, effective, inheritable, permitted, ambient };
        let left_out = [
            self.bounding.without(bounding),
            self.effective.without(effective),
            self.inheritable.without(inheritable),
            self.permitted.without(permitted),
            self.ambient.without(ambient),
        ];
        (given, left_out.into_iter().fold(CapSet::default(), CapSet::or))
    }

    /// Adds capabilities to the sets that `exec --cap` means: all but inheritable (CVE-2022-29162), and the ambient one only as
    /// far as what was inheritable before lets it.
    #[must_use]
    pub fn with(self, more: CapSet) -> Self {
        Self {
            bounding: self.bounding.or(more),
            effective: self.effective.or(more),
            permitted: self.permitted.or(more),
            ambient: self.ambient.or(more.and(self.inheritable)),
            ..self
        }
    }
}

/// The capabilities of these names, with or without `CAP_`, in any case; and the names that there are none of. A name that is
/// unknown is to be a warning, not an error: "any value which cannot be mapped to a relevant kernel interface MUST be logged as
/// a warning" (runtime-spec, config.md).
pub fn capabilities_by_name(names: &[String]) -> (CapSet, Vec<String>) {
    let mut set = CapSet::default();
    let mut unknown = Vec::new();
    for name in names {
        match privilege::capability(name) {
            Some(number) => set.0 |= 1 << number,
            None => unknown.push(name.clone()),
        }
    }
    (set, unknown)
}

mod names {
    use super::{CapSet, Deserialize, Deserializer, Serialize, Serializer, capabilities_by_name};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls it with")]
    pub(super) fn serialize<S: Serializer>(set: &CapSet, serializer: S) -> Result<S::Ok, S::Error> {
        set.names().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CapSet, D::Error> {
        Vec::<String>::deserialize(deserializer).map(|names| capabilities_by_name(&names).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHOWN: CapSet = CapSet(1);
    const KILL: CapSet = CapSet::KILL;
    const ADMIN: CapSet = CapSet::SYS_ADMIN;

    #[test]
    fn what_cannot_be_given_is_left_out() {
        let all = CHOWN.or(KILL).or(ADMIN);
        let wanted = CapabilitySets {
            bounding: CHOWN.or(KILL),
            effective: all,
            inheritable: all,
            permitted: CHOWN,
            ambient: all,
        };
        let (given, left_out) = wanted.grantable(CHOWN.or(KILL));
        let expected = CapabilitySets {
            bounding: CHOWN.or(KILL),
            effective: CHOWN,
            inheritable: CHOWN.or(KILL),
            permitted: CHOWN,
            ambient: CHOWN,
        };
        assert_eq!((given, left_out), (expected, KILL.or(ADMIN)));
        assert_eq!(given.grantable(CapSet::ALL), (given, CapSet::default()));
    }

    #[test]
    fn a_record_has_names() {
        let sets = CapabilitySets { bounding: CHOWN.or(KILL), ..CapabilitySets::NONE };
        let json = serde_json::to_string(&sets).unwrap();
        assert!(json.contains(r#""bounding":["CAP_CHOWN","CAP_KILL"]"#), "{json}");
        assert_eq!(serde_json::from_str::<CapabilitySets>(&json).unwrap(), sets);
        assert_eq!(capabilities_by_name(&["CAP_KILL".into(), "CAP_NOPE".into()]), (KILL, vec!["CAP_NOPE".into()]));
    }

    #[test]
    fn added_ones_are_not_inheritable() {
        let sets = CapabilitySets { inheritable: CHOWN, ..CapabilitySets::NONE }.with(CHOWN.or(KILL));
        assert_eq!((sets.inheritable, sets.ambient, sets.permitted), (CHOWN, CHOWN, CHOWN.or(KILL)));
    }
}
