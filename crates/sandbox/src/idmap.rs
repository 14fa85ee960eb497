//! Which ids of a container are which ids outside (user_namespaces(7), "User and group ID mappings").

use std::fmt::Write as _;

use serde::Serialize;

/// A run of ids: `count` ids from `inside` on are those from `outside` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Extent {
    /// The first id in the container.
    pub inside: u32,
    /// The id that it is in the namespace above.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

impl Extent {
    /// As records have them: `CONTAINER:OUTSIDE:COUNT`.
    pub fn lines(extents: &[Self]) -> Vec<String> {
        extents.iter().map(|e| format!("{}:{}:{}", e.inside, e.outside, e.count)).collect()
    }
}

/// The maps of a user namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct IdMap {
    /// User ids.
    pub uids: Vec<Extent>,
    /// Group ids.
    pub gids: Vec<Extent>,
}

impl IdMap {
    /// The same for users and groups.
    pub fn both(extents: Vec<Extent>) -> Self {
        Self { gids: extents.clone(), uids: extents }
    }

    /// What a user id of the container is outside; `None` if it is not mapped.
    pub fn outside_uid(&self, inside: u32) -> Option<u32> {
        outside(&self.uids, inside)
    }

    /// What a group id of the container is outside; `None` if it is not mapped.
    pub fn outside_gid(&self, inside: u32) -> Option<u32> {
        outside(&self.gids, inside)
    }

    /// The text for `/proc/PID/uid_map`.
    pub fn uid_text(&self) -> String {
        text(&self.uids)
    }

    /// The text for `/proc/PID/gid_map`.
    pub fn gid_text(&self) -> String {
        text(&self.gids)
    }

    /// Whether it has one user id only, so that the kernel lets nobody change groups.
    pub fn is_single(&self) -> bool {
        self.uids.iter().map(|extent| u64::from(extent.count)).sum::<u64>() <= 1
    }
}

/// Reads extents as `/proc/PID/uid_map` has them; a line that is none is left out.
pub fn parse_extents(text: &str) -> Vec<Extent> {
    let line = |line: &str| {
        let mut fields = line.split_ascii_whitespace().map(str::parse);
        let mut next = || fields.next()?.ok();
        Some(Extent { inside: next()?, outside: next()?, count: next()? })
    };
    text.lines().filter_map(line).collect()
}

/// Why extents cannot be the map of a container; `None` if they can.
pub fn problem(extents: &[Extent]) -> Option<String> {
    let no_root = || outside(extents, 0).is_none().then(|| "id 0 of the container is not mapped".to_owned());
    malformed(extents).or_else(no_root)
}

/// Why the kernel would not take extents as a map; `None` if it would.
pub fn malformed(extents: &[Extent]) -> Option<String> {
    /// The kernel's own limit, `UID_GID_MAP_MAX_EXTENTS`.
    const EXTENTS_MAX: usize = 340;
    /// It reads one page of text, less its end.
    const TEXT_MAX: usize = 4096;
    if extents.len() > EXTENTS_MAX {
        return Some(format!("a map has at most {EXTENTS_MAX} lines"));
    }
    for (index, extent) in extents.iter().enumerate() {
        let Extent { inside, outside, count } = *extent;
        if count == 0 || inside.checked_add(count).is_none() || outside.checked_add(count).is_none() {
            return Some(format!("{inside}:{outside}:{count} has no ids, or ids above 4294967294"));
        }
        let overlaps = |a: u32, b: u32, other: &Extent| a < b + other.count && b < a + count;
        for other in extents.iter().take(index) {
            if overlaps(inside, other.inside, other) || overlaps(outside, other.outside, other) {
                return Some(format!("{inside}:{outside}:{count} overlaps another line of the map"));
            }
        }
    }
    (text(extents).len() >= TEXT_MAX).then(|| "the kernel takes no map of more than 4095 bytes".to_owned())
}

fn outside(extents: &[Extent], inside: u32) -> Option<u32> {
    let extent = extents.iter().find(|extent| inside >= extent.inside && inside - extent.inside < extent.count)?;
    Some(extent.outside + (inside - extent.inside))
}

fn text(extents: &[Extent]) -> String {
    extents.iter().fold(String::new(), |mut text, extent| {
        let _ = writeln!(text, "{} {} {}", extent.inside, extent.outside, extent.count);
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_and_missed() {
        let map = IdMap::both(parse_extents("0 100000 1000\n  1000       1000          1\n1001 101001 10\nx\n"));
        let uids = [0, 999, 1000, 1001, 1010, 1011, u32::MAX].map(|id| map.outside_uid(id));
        assert_eq!(uids, [Some(100_000), Some(100_999), Some(1000), Some(101_001), Some(101_010), None, None]);
        assert_eq!(map.uid_text(), "0 100000 1000\n1000 1000 1\n1001 101001 10\n");
        assert!(!map.is_single() && IdMap::both(parse_extents("0 5 1")).is_single());
    }

    #[test]
    fn impossible_maps_are_told() {
        for (good, text) in [
            (true, "0 1 10"),
            (true, "0 1 10\n10 20 5"),
            (false, ""),
            (false, "1 1 10"),
            (false, "0 1 0"),
            (false, "0 1 10\n9 100 5"),
            (false, "0 1 10\n20 5 5"),
            (false, "0 4294967290 10"),
        ] {
            assert_eq!(problem(&parse_extents(text)).is_none(), good, "{text}");
        }
        let lines = |first: u32| {
            let line = |n: u32| Extent { inside: n, outside: first + 2 * n, count: 1 };
            (0..300).map(line).collect::<Vec<_>>()
        };
        assert!(problem(&lines(1)).is_none() && problem(&lines(4_000_000_000)).is_some());
    }
}
