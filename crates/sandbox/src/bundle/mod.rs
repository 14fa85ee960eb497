//! The second face of the launcher: containers as bundles describe them (runtime-spec), created and started apart.

mod plan;

pub use plan::{
    AttributeChange, Bundle, BundleMount, BundleShown, DeviceNode, HookPlan, MountIdmap, NodeKind, PropagationChange,
    Rootfs,
};
