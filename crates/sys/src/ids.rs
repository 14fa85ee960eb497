//! Who we are.

use std::os::unix::fs::MetadataExt as _;

/// The effective user id (geteuid(2) cannot fail).
pub fn effective_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// The effective group id (getegid(2) cannot fail).
pub fn effective_gid() -> u32 {
    nix::unistd::getegid().as_raw()
}

/// Whether this process is in the host's first user namespace, so that root is root.
///
/// One `stat(2)`: the inode of that namespace is a constant of the kernel (`PROC_USER_INIT_INO`, linux/proc_ns.h).
/// `true` if /proc cannot be read.
pub fn in_initial_user_namespace() -> bool {
    const PROC_USER_INIT_INO: u64 = 0xEFFF_FFFD;
    std::fs::metadata("/proc/self/ns/user").map_or(true, |meta| meta.ino() == PROC_USER_INIT_INO)
}
