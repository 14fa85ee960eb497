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

/// The user that this process acts for: [`effective_uid`], and in a user namespace that maps the caller alone to root (an
/// ordinary user's store is opened in one) that caller.
pub fn caller_uid() -> u32 {
    let own = effective_uid();
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    caller(own, &map)
}

/// user_namespaces(7): lines of first id inside, first id outside, count.
fn caller(own: u32, uid_map: &str) -> u32 {
    let fields = |line: &str| line.split_ascii_whitespace().map(|text| text.parse().ok()).collect::<Option<Vec<u32>>>();
    let alone = uid_map.lines().find_map(|line| match fields(line)?[..] {
        [inside, outside, 1] if inside == own => Some(outside),
        _ => None,
    });
    alone.unwrap_or(own)
}

/// Whether this process is in the host's first user namespace, so that root is root.
///
/// One `stat(2)`: the inode of that namespace is a constant of the kernel (`PROC_USER_INIT_INO`, linux/proc_ns.h).
/// `true` if /proc cannot be read.
pub fn in_initial_user_namespace() -> bool {
    const PROC_USER_INIT_INO: u64 = 0xEFFF_FFFD;
    std::fs::metadata("/proc/self/ns/user").map_or(true, |meta| meta.ino() == PROC_USER_INIT_INO)
}

#[cfg(test)]
mod tests {
    use super::caller;

    #[test]
    fn the_caller_is_the_one_whom_a_map_makes_root_alone() {
        assert_eq!(caller(0, "         0       1004          1\n         1     165536      65536\n"), 1004);
        assert_eq!(caller(0, "0 0 4294967295\n"), 0);
        assert_eq!(caller(0, "0 100000 65536\n"), 0);
        assert_eq!(caller(1000, "0 1004 1\n1 165536 65536\n"), 1000);
        assert_eq!(caller(7, ""), 7);
        assert_eq!(caller(7, "x y z\n-1\n"), 7);
    }
}
