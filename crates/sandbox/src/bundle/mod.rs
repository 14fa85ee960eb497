//! The second face of the launcher: containers as bundles describe them (runtime-spec), created and started apart.
//!
//! `ctr-oci` makes a [`Bundle`] of a `config.json`; [`create()`] prepares it, makes the container's first process and brings it to
//! the point before its program; [`start()`] lets it go on. The picture is at the head of `create.rs`.

mod cgroups;
mod copy_up;
mod create;
mod dev;
mod idmapped;
mod ids;
mod joined_mounts;
mod mounts;
mod netdev;
mod plan;
mod prepare;
mod words;

pub use create::{CallersHooks, Created, create, not_executed, start};
pub use plan::{
    AttributeChange, Bundle, BundleMount, BundleShown, DeviceNode, HookPlan, MountIdmap, NetDevice, NodeKind,
    PropagationChange, Rootfs,
};
pub use prepare::JoinedGroups;
pub(crate) use words::NO_SUCH_ID;
