//! What the tasks need from the machine: checked first, installed where that is allowed, named with the install line otherwise.

use std::process::Command;
use std::sync::OnceLock;

use crate::shell;

/// A program from a Debian package.
#[derive(Clone, Copy)]
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
    /// What is lost without it.
    pub(crate) purpose: &'static str,
}

/// Builds the static binaries: zstd is C, and C for musl needs this wrapper of the machine's gcc.
pub(crate) const MUSL_GCC: Tool =
    Tool { program: "musl-gcc", package: "musl-tools", purpose: "static binaries (zstd's C code)" };

/// What the tests compare with, look through or make root filesystems with.
pub(crate) const FOR_TESTS: &[Tool] = &[
    Tool { program: "busybox", package: "busybox-static", purpose: "a small root filesystem" },
    Tool { program: "mmdebstrap", package: "mmdebstrap", purpose: "a Debian root filesystem" },
    Tool { program: "skopeo", package: "skopeo", purpose: "images by another writer, and a reader of ours" },
    Tool { program: "umoci", package: "umoci", purpose: "unpacking compared entry by entry" },
    Tool { program: "podman", package: "podman", purpose: "another reader of our images" },
    Tool { program: "buildah", package: "buildah", purpose: "images by another writer" },
    Tool { program: "runc", package: "runc", purpose: "the same image run by another runtime" },
    Tool { program: "crun", package: "crun", purpose: "the same image run by another runtime" },
    Tool { program: "actool", package: "appc-spec", purpose: "legacy appc images" },
    Tool { program: "strace", package: "strace", purpose: "counting system calls" },
    Tool { program: "newuidmap", package: "uidmap", purpose: "user namespaces of ordinary users" },
    Tool { program: "xz", package: "xz-utils", purpose: "xz archives" },
    Tool { program: "bzip2", package: "bzip2", purpose: "bzip2 archives" },
    Tool { program: "zstd", package: "zstd", purpose: "zstd archives" },
    Tool { program: "setfattr", package: "attr", purpose: "extended attributes" },
    Tool { program: "docker-registry", package: "docker-registry", purpose: "a registry by another writer" },
    Tool { program: "htpasswd", package: "apache2-utils", purpose: "its passwords" },
    Tool { program: "nginx", package: "nginx-light", purpose: "a registry of plain files, proxies" },
    Tool { program: "curl", package: "curl", purpose: "what others ask of our servers" },
    Tool { program: "git", package: "git", purpose: "contexts and sources of git" },
    Tool { program: "ip", package: "iproute2", purpose: "networks of containers" },
    Tool { program: "pgrep", package: "procps", purpose: "processes that stay" },
    Tool { program: "rpmbuild", package: "rpm", purpose: "databases of rpm by rpm itself" },
    Tool { program: "pip3", package: "python3-pip", purpose: "validators of bills of materials" },
    Tool {
        program: "/usr/include/seccomp.h",
        package: "libseccomp-dev",
        purpose: "numbers of system calls by libseccomp",
    },
    Tool { program: "jq", package: "jq", purpose: "reading JSON in scripts" },
    Tool { program: "setpriv", package: "util-linux", purpose: "becoming an ordinary user" },
    Tool { program: "useradd", package: "passwd", purpose: "an ordinary user to test with" },
];

/// What the benchmarks run beside ours.
pub(crate) const FOR_BENCH: &[Tool] = &[
    Tool { program: "runc", package: "runc", purpose: "contestant" },
    Tool { program: "crun", package: "crun", purpose: "contestant" },
    Tool { program: "bwrap", package: "bubblewrap", purpose: "contestant" },
    Tool { program: "podman", package: "podman", purpose: "contestant" },
    Tool { program: "umoci", package: "umoci", purpose: "contestant of import" },
    Tool { program: "skopeo", package: "skopeo", purpose: "the Debian image as an archive" },
    Tool { program: "mmdebstrap", package: "mmdebstrap", purpose: "the Debian image" },
    Tool { program: "docker-registry", package: "docker-registry", purpose: "the registry of the fetches" },
    Tool { program: "busybox", package: "busybox-static", purpose: "the small image" },
    Tool { program: "strace", package: "strace", purpose: "counting system calls" },
];

/// What `vm-test` makes its machine of.
pub(crate) const FOR_VM: &[Tool] = &[
    Tool { program: "qemu-system-x86_64", package: "qemu-system-x86", purpose: "the machine" },
    Tool { program: "mmdebstrap", package: "mmdebstrap", purpose: "its Debian" },
    Tool { program: "mke2fs", package: "e2fsprogs", purpose: "its disks" },
    Tool { program: "cpio", package: "cpio", purpose: "its first file system" },
    Tool { program: "depmod", package: "kmod", purpose: "its kernel modules" },
];

/// Installs the missing tools where we may, and returns those that are still missing.
///
/// As root on a machine with apt-get they are installed (one `apt-get update` per run of a task). Otherwise, and when a package cannot
/// be had, nothing fails here: the caller says what it leaves out.
pub(crate) fn ensure(tools: &[Tool]) -> Vec<Tool> {
    let missing = absent(tools);
    if missing.is_empty() {
        return missing;
    }
    if !shell::is_root() || shell::which("apt-get").is_none() {
        return missing;
    }
    install_packages(&packages(&missing));
    absent(tools)
}

/// Installs packages by name where we may; whoever asks looks whether they are there afterwards.
pub(crate) fn install_packages(names: &[&str]) {
    if names.is_empty() || !shell::is_root() || shell::which("apt-get").is_none() {
        return;
    }
    eprintln!("installing {}", names.join(" "));
    update();
    // All at once is quicker; one package that does not exist must not lose the others.
    if !install(names) {
        for name in names {
            install(&[name]);
        }
    }
}

/// The line that installs them.
pub(crate) fn install_line(tools: &[Tool]) -> String {
    format!("apt-get install {}", packages(tools).join(" "))
}

/// Says which tools are missing and what that costs; prints nothing if none is.
pub(crate) fn report(missing: &[Tool]) {
    for tool in missing {
        eprintln!("missing: {} ({})", tool.program, tool.purpose);
    }
    if !missing.is_empty() {
        eprintln!("  install: {}", install_line(missing));
    }
}

fn absent(tools: &[Tool]) -> Vec<Tool> {
    // Some are no programs: a header has a path.
    let is_there = |tool: &Tool| match tool.program.strip_prefix('/') {
        Some(_) => std::path::Path::new(tool.program).exists(),
        None => shell::which(tool.program).is_some(),
    };
    tools.iter().copied().filter(|tool| !is_there(tool)).collect()
}

fn packages(tools: &[Tool]) -> Vec<&'static str> {
    let mut names: Vec<&str> = tools.iter().map(|tool| tool.package).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn update() {
    static ONCE: OnceLock<bool> = OnceLock::new();
    ONCE.get_or_init(|| shell::run(apt().args(["update", "-qq"])).is_ok());
}

fn install(names: &[&str]) -> bool {
    shell::run(apt().args(["install", "-y", "-qq", "--no-install-recommends"]).args(names)).is_ok()
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").stdin(std::process::Stdio::null());
    // Packages report at length; a task's own output goes to stdout.
    command.stdout(std::process::Stdio::null());
    command
}
