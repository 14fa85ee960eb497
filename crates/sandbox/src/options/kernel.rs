//! What the kernel is told of the container: parameters, names, clocks.

/// Kernel parameters and clocks of the container's namespaces.
#[derive(Debug, Clone, Default)]
pub struct KernelOptions {
    /// Kernel parameters, in the order of the command line.
    pub sysctls: Vec<Sysctl>,
    /// NIS domain name.
    pub domainname: Option<String>,
    /// Offsets of clocks.
    pub clocks: ClockOffsets,
    /// Time zone.
    pub timezone: Option<Timezone>,
}

/// A kernel parameter (sysctl(8)).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Sysctl {
    /// Its path below `/proc/sys`, normal: `net/ipv4/ip_forward`.
    pub path: String,
    /// Its value.
    pub value: String,
}

impl Sysctl {
    /// The name with dots, as people write it; a dot within a component is shown as a slash (sysctl(8)).
    pub fn name(&self) -> String {
        swap_separators(&self.path)
    }
}

fn swap_separators(text: &str) -> String {
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        c => c,
    };
    text.chars().map(swap).collect()
}

/// The path below `/proc/sys` of a name with dots or slashes; the first separator says which of the two it has
/// (sysctl.d(5)). `None` if it can be none.
pub fn sysctl_path(name: &str) -> Option<String> {
    let dotted = matches!(name.find(['.', '/']).and_then(|at| name.get(at..)), Some(rest) if rest.starts_with('.'));
    let path = if dotted { swap_separators(name) } else { name.to_owned() };
    let good = |part: &str| {
        !matches!(part, "" | "." | "..") && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:@".contains(&b))
    };
    (path.len() <= 255 && path.contains('/') && path.split('/').all(good)).then_some(path)
}

/// By how much clocks of the container are ahead of the host's (time_namespaces(7)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct ClockOffsets {
    /// `CLOCK_MONOTONIC`, nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monotonic: Option<i64>,
    /// `CLOCK_BOOTTIME`, nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boottime: Option<i64>,
}

impl ClockOffsets {
    /// Whether there is any.
    pub fn is_some(self) -> bool {
        self.monotonic.is_some() || self.boottime.is_some()
    }
}

/// Where the container's `/etc/localtime` comes from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Timezone {
    /// The host's own.
    Local,
    /// A name of the host's time zone database, `Europe/Berlin`.
    Zone(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_kernel_parameters() {
        for (name, path) in [
            ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
            ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
            ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
            ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
            ("kernel.shm_rmid_forced", "kernel/shm_rmid_forced"),
        ] {
            assert_eq!(sysctl_path(name).as_deref(), Some(path), "{name}");
        }
        for bad in
            ["", "net", "net.", ".net", "net..x", "/net/x", "net/../kernel/x", "net./../kernel", "a.b c", "a.b\n"]
        {
            assert_eq!(sysctl_path(bad), None, "{bad}");
        }
        assert_eq!(
            Sysctl { path: "net/ipv4/conf/eth0.1/x".into(), value: String::new() }.name(),
            "net.ipv4.conf.eth0/1.x"
        );
    }
}
