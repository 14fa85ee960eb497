//! What a bundle comes to (runtime-spec): everything is said, nothing is ctr's own choice. Pure data, which `ctr-oci` makes of
//! a `config.json` and [`super::create()`] carries out.

use std::ffi::CString;
use std::path::PathBuf;
use std::time::Duration;

use ctr_sys::mount::MountAttr;

use crate::idmap::IdMap;
use crate::options::PropagationKind;
use crate::plan::{JoinPlan, KernelPlan, ProcessPlan};
use crate::terminal::WindowSize;

/// A container to be created.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "each is a wish of its own")]
pub struct Bundle {
    /// The root filesystem.
    pub rootfs: Rootfs,
    /// New namespaces, by their names in `/proc/PID/ns`: `mnt`, `pid`, `ipc`, `uts`, `net`, `cgroup`, `user`, `time`.
    pub namespaces: Vec<&'static str>,
    /// Namespaces that exist; [`JoinPlan::kind`] is such a name too, and no kind is in both lists.
    pub joins: Vec<JoinPlan>,
    /// The ids of a new user namespace; empty without one.
    pub map: IdMap,
    /// Kernel parameters, domain name, clock offsets.
    pub kernel: KernelPlan,
    /// Host name, if it is to be set.
    pub hostname: Option<String>,
    /// Network devices of the host that the container gets.
    pub net_devices: Vec<NetDevice>,
    /// Mounts, in their order.
    pub mounts: Vec<BundleMount>,
    /// Device nodes below `/dev`; none where the bundle brings a `/dev` of its own.
    pub devices: Vec<DeviceNode>,
    /// Paths to hide.
    pub masked_paths: Vec<String>,
    /// Paths to make read-only.
    pub read_only_paths: Vec<String>,
    /// The program.
    pub process: ProcessPlan,
    /// The program has a terminal of this size.
    pub terminal: Option<WindowSize>,
    /// Executed in the container's namespaces before its root is `/`; their paths are the host's.
    pub create_container: Vec<HookPlan>,
    /// Executed in the container before the program; their paths are the container's.
    pub start_container: Vec<HookPlan>,
    /// There are hooks that the caller runs when the mounts are there and the root is not yet `/`.
    pub caller_hooks: bool,
    /// It ends with the process that creates it.
    pub dies_with_creator: bool,
    /// The caller's session keyring stays.
    pub keep_keyring: bool,
    /// The root is changed by moving the mount and chroot(2): for a root filesystem in the initramfs.
    pub no_pivot: bool,
    /// Descriptors from 3 on that the program gets.
    pub preserve_fds: u32,
}

/// A network device of the host that a container gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetDevice {
    /// Its name on the host.
    pub host: CString,
    /// Its name in the container; with `%d` for a number that is free.
    pub name: CString,
}

/// The root filesystem of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rootfs {
    /// Absolute path of its directory.
    pub path: PathBuf,
    /// Nothing can be written to it.
    pub read_only: bool,
    /// Mounts that appear later on the host or in the container.
    pub propagation: PropagationKind,
}

/// A mount of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleMount {
    /// Where in the container: an absolute, normal path.
    pub target: String,
    /// What is seen there.
    pub shown: BundleShown,
    /// Attributes of the mount itself.
    pub attributes: AttributeChange,
    /// Attributes of the mounts below it too (`rro` ...); for a recursive bind mount.
    pub below: AttributeChange,
    /// Propagation changes, each in its turn: of the mount, or with those below.
    pub propagation: Vec<PropagationChange>,
    /// How ids of the files are shown.
    pub idmap: Option<MountIdmap>,
}

/// What a mount of a bundle shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BundleShown {
    /// A file or directory of the host.
    Bind {
        /// Its absolute path.
        source: PathBuf,
        /// With the mounts below it.
        recursive: bool,
    },
    /// A file system that is made in the container's namespaces: `proc`, `sysfs`, `tmpfs`, `mqueue`, `devpts`, and any other.
    Filesystem {
        /// Its type (fsopen(2)).
        kind: CString,
        /// Parameters and their values (fsconfig(2)), `source` among them; flags have no value.
        options: Vec<(CString, CString)>,
        /// It begins with what the root filesystem has there (`tmpcopyup`, tmpfs alone).
        copy_up: bool,
    },
    /// The container's control groups, in the layout of the host (`cgroup`).
    Cgroups,
    /// What is mounted there already, with other attributes (`remount`).
    Remount {
        /// Parameters of the file system that change (fsconfig(2)).
        options: Vec<(CString, CString)>,
    },
}

/// Mount attributes to set and to clear (mount_setattr(2)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AttributeChange {
    /// Set.
    pub set: MountAttr,
    /// Cleared before.
    pub clear: MountAttr,
}

/// A change of propagation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PropagationChange {
    /// To what.
    pub kind: PropagationKind,
    /// With the mounts below.
    pub recursive: bool,
}

/// The ids of an idmapped mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountIdmap {
    /// On disk (`inside`) and seen (`outside`); `None`: those of the container's user namespace.
    pub map: Option<IdMap>,
    /// The mounts below it too (`ridmap`).
    pub recursive: bool,
}

/// A device node of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceNode {
    /// Where in the container: a path below `/dev`.
    pub path: String,
    /// What it is.
    pub kind: NodeKind,
    /// Permission bits.
    pub mode: u32,
    /// Owner, in the container.
    pub uid: u32,
    /// Group, in the container.
    pub gid: u32,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// A character device with its numbers.
    Char(u32, u32),
    /// A block device with its numbers.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
}

/// A program that is executed in the container's namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookPlan {
    /// Its absolute path.
    pub path: CString,
    /// Its arguments, its name first.
    pub args: Vec<CString>,
    /// Its environment.
    pub env: Vec<CString>,
    /// How long it may take.
    pub timeout: Option<Duration>,
}
