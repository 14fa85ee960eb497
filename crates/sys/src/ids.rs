//! Who we are.

/// The effective user id (geteuid(2) cannot fail).
pub fn effective_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// Whether user ids here are those of the host's first user namespace, so that root is root.
///
/// Read from `/proc/self/uid_map`, which maps everything onto itself there. `true` if /proc cannot be read.
pub fn in_initial_user_namespace() -> bool {
    let Ok(map) = std::fs::read_to_string("/proc/self/uid_map") else { return true };
    map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}
