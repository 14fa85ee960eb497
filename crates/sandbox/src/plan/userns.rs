//! Which ids the container's ids are outside of it, and why.

use ctr_core::launch::LaunchRecord;
use ctr_core::ranges::{BUILT_IN_RANGES, BUILT_IN_START, RANGE_COUNT};
use serde::Serialize;

use super::HostFacts;
use crate::error::SandboxError;
use crate::idmap::{Extent, IdMap};
use crate::options::Userns;

/// The ids of the built-in ranges.
const BUILT_IN: std::ops::Range<u32> = BUILT_IN_START..BUILT_IN_START + BUILT_IN_RANGES * RANGE_COUNT;

/// Whose ids the launcher can give to containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Domain {
    /// Root in the first user namespace: all ids, and idmapped mounts.
    Host,
    /// Root in another user namespace, that of an ordinary user's store or that of a container around us: the ids that are
    /// mapped there, and what is on disk cannot be shown under other ids.
    User {
        /// The ids that are mapped there.
        ids: IdMap,
        /// Why an ordinary user has one id only.
        single: Option<String>,
    },
}

/// The user namespace of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UsernsPlan {
    /// What was decided.
    pub mode: UsernsMode,
    /// The maps; empty for `host`, and for a range that is not taken yet.
    #[serde(flatten)]
    pub map: IdMap,
    /// Whether a range of host ids is to be taken for it.
    #[serde(skip)]
    pub wants_range: bool,
    /// Whether files of layers and volumes are shown under the container's ids by idmapped mounts.
    pub idmapped: bool,
    /// Whether the launcher is root in another user namespace than the first, so that it needs a mount namespace that
    /// belongs to that one before it can mount anything (mount_namespaces(7)).
    #[serde(skip)]
    pub nested: bool,
    /// Why it is so.
    pub why: String,
    /// The ids that the program has unless asked otherwise, with `keep-id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keeps: Option<(u32, u32)>,
}

/// How container ids and the ids outside go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UsernsMode {
    /// A range that is nobody else's.
    Auto,
    /// A user namespace of its own in which every id is that of the user namespace around it.
    Same,
    /// No user namespace of its own.
    Host,
    /// As `auto`, but for one user and group.
    KeepId,
    /// As the caller says.
    Map,
    /// That of another container.
    Container,
}

impl UsernsMode {
    /// `auto` ...
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Same => "same",
            Self::Host => "host",
            Self::KeepId => "keep-id",
            Self::Map => "map",
            Self::Container => "container",
        }
    }
}

impl UsernsPlan {
    /// Whether the container has a user namespace of its own.
    pub fn is_own(&self) -> bool {
        self.mode != UsernsMode::Host
    }

    /// The host id of a user id of the container.
    pub fn outside_uid(&self, uid: u32) -> Option<u32> {
        if self.is_own() { self.map.outside_uid(uid) } else { Some(uid) }
    }

    /// The host id of a group id of the container.
    pub fn outside_gid(&self, gid: u32) -> Option<u32> {
        if self.is_own() { self.map.outside_gid(gid) } else { Some(gid) }
    }

    /// Fills the maps in with the range from `start` on.
    pub fn take_range(&mut self, start: u32) {
        let range = |kept: Option<u32>| match kept {
            None => vec![Extent { inside: 0, outside: start, count: RANGE_COUNT }],
            Some(kept) => around(start, kept),
        };
        let (uid, gid) = self.keeps.unzip();
        self.map = IdMap { uids: range(uid), gids: range(gid) };
        self.wants_range = false;
    }
}

/// The range from `start` on, but for the one id that stays what it is.
fn around(start: u32, kept: u32) -> Vec<Extent> {
    let itself = Extent { inside: kept, outside: kept, count: 1 };
    if kept >= RANGE_COUNT {
        return vec![Extent { inside: 0, outside: start, count: RANGE_COUNT }, itself];
    }
    let below = Extent { inside: 0, outside: start, count: kept };
    let above = Extent { inside: kept + 1, outside: start + kept + 1, count: RANGE_COUNT - kept - 1 };
    [below, itself, above].into_iter().filter(|extent| extent.count > 0).collect()
}

pub(super) fn plan(choice: &Userns, image: &LaunchRecord, host: &HostFacts) -> Result<UsernsPlan, SandboxError> {
    let joined = match (choice, &host.domain) {
        (Userns::Container(name), Domain::Host) => host.container(name)?.map.clone(),
        _ => None,
    };
    let plan = match &host.domain {
        Domain::Host if joined.is_some() => UsernsPlan {
            idmapped: true,
            ..decided(
                UsernsMode::Container,
                joined.unwrap_or_default(),
                "that of the container whose namespaces are joined",
            )
        },
        Domain::Host => on_host(choice)?,
        Domain::User { ids, single } => UsernsPlan { nested: true, ..in_domain(choice, ids, single.as_deref())? },
    };
    check_image(&plan, image)?;
    Ok(plan)
}

fn decided(mode: UsernsMode, map: IdMap, why: impl Into<String>) -> UsernsPlan {
    UsernsPlan { mode, map, wants_range: false, idmapped: false, nested: false, why: why.into(), keeps: None }
}

fn on_host(choice: &Userns) -> Result<UsernsPlan, SandboxError> {
    let none = IdMap::default();
    Ok(match choice {
        Userns::Host => decided(UsernsMode::Host, none, "--userns=host"),
        Userns::Auto => UsernsPlan {
            wants_range: true,
            idmapped: true,
            ..decided(UsernsMode::Auto, none, "the default: ids of the container are nobody's on the host")
        },
        Userns::KeepId { uid: Some(uid), gid } if *uid != 0 && *gid != Some(0) => {
            let kept = (*uid, gid.unwrap_or(*uid));
            if BUILT_IN.contains(&kept.0) || BUILT_IN.contains(&kept.1) {
                return Err(SandboxError::request_hint(
                    format!(
                        "--userns=keep-id: {}:{} is among the ids that are handed out to containers",
                        kept.0, kept.1
                    ),
                    "keep the ids of a user of this host",
                ));
            }
            UsernsPlan {
                wants_range: true,
                idmapped: true,
                keeps: Some(kept),
                ..decided(UsernsMode::KeepId, none, "--userns=keep-id")
            }
        }
        Userns::KeepId { .. } => {
            return Err(SandboxError::request_hint(
                "--userns=keep-id of user or group 0 would make the container's root the host's",
                "name the user whose id is kept: --userns=keep-id:uid=1000,gid=1000",
            ));
        }
        // Where it is looked up: `plan`.
        Userns::Container(_) => decided(UsernsMode::Host, none, "that container has no user namespace of its own"),
        Userns::Map(map) => {
            UsernsPlan { idmapped: true, ..decided(UsernsMode::Map, map.clone(), "the map of the command line") }
        }
    })
}

fn in_domain(choice: &Userns, ids: &IdMap, single: Option<&str>) -> Result<UsernsPlan, SandboxError> {
    let same = |extents: &[Extent]| {
        extents.iter().map(|e| Extent { inside: e.inside, outside: e.inside, count: e.count }).collect::<Vec<_>>()
    };
    let map = IdMap { uids: same(&ids.uids), gids: same(&ids.gids) };
    let refused = |what: &str| {
        Err(SandboxError::request_hint(
            format!(
                "{what} needs root on the host: the files of the store have the ids of this user namespace, and only root can show them under others"
            ),
            "run without --userns, --uidmap and --gidmap, or as root",
        ))
    };
    match choice {
        Userns::Auto => {
            let count: u64 = ids.uids.iter().map(|extent| u64::from(extent.count)).sum();
            let why = match single {
                Some(reason) => format!("one id only, the caller's own, because {reason}"),
                None => format!("root of the container is the caller; {count} ids are mapped"),
            };
            Ok(decided(UsernsMode::Same, map, why))
        }
        // Its root could look into our init, whose memory would be of the same user namespace, and no device could be made or shown.
        Userns::Host => Err(SandboxError::request_hint(
            "--userns=host needs root on the host: anybody else's containers have a user namespace of their own",
            "run without --userns: root of the container is the caller, and other ids are those of this user namespace",
        )),
        Userns::KeepId { .. } => refused("--userns=keep-id"),
        Userns::Container(_) => Err(SandboxError::request_hint(
            "the namespaces of another container can be joined by root on the host only",
            "run as root, or give the container namespaces of its own",
        )),
        Userns::Map(asked) if *asked == map => Ok(decided(UsernsMode::Same, map, "the map of the command line")),
        Userns::Map(_) => refused("a map of ids"),
    }
}

/// A file whose owner has no id in the container would belong to nobody there, and could not be written.
fn check_image(plan: &UsernsPlan, image: &LaunchRecord) -> Result<(), SandboxError> {
    if !plan.is_own() || !plan.idmapped {
        return Ok(());
    }
    let mapped = |extents: &[Extent], id: u32| {
        if plan.wants_range {
            id < RANGE_COUNT
        } else {
            extents.iter().any(|e| id >= e.inside && id - e.inside < e.count)
        }
    };
    for (kind, id, good) in [
        ("user", image.max_uid, mapped(&plan.map.uids, image.max_uid)),
        ("group", image.max_gid, mapped(&plan.map.gids, image.max_gid)),
    ] {
        if !good {
            return Err(SandboxError::request_hint(
                format!("the image has files of the {kind} id {id}, which the container's user namespace does not map"),
                format!("map more ids, as in --userns=0:START:{}, or run with --userns=host", u64::from(id) + 1),
            ));
        }
    }
    Ok(())
}
