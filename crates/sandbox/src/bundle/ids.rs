//! The ids of a bundle's container outside of it.

use crate::idmap::IdMap;

/// Maps ids of the container to those of the caller's user namespace.
#[derive(Debug, Clone)]
pub(super) struct Ids {
    /// `None`: they are the same.
    pub(super) map: Option<IdMap>,
}

impl Ids {
    /// What a user and a group of the container are outside; ids that are not mapped are left as they are.
    pub(super) fn outside(&self, uid: u32, gid: u32) -> (u32, u32) {
        let Some(map) = &self.map else { return (uid, gid) };
        (map.outside_uid(uid).unwrap_or(uid), map.outside_gid(gid).unwrap_or(gid))
    }

    /// What a group of the container is outside, if it is mapped.
    pub(super) fn outside_gid(&self, gid: u32) -> Option<u32> {
        self.map.as_ref().map_or(Some(gid), |map| map.outside_gid(gid))
    }

    /// Whether the kernel lets a process of the container change its groups.
    pub(super) fn can_set_groups(&self) -> bool {
        self.map.as_ref().is_none_or(|map| !map.is_single())
    }
}
