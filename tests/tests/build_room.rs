//! Builds on a disk that gets full.

use std::fs;
use std::path::{Path, PathBuf};

use ctr_tests::build::Builder;
use ctr_tests::scratch::Cmd;
use ctr_tests::{images, need, store_check};

/// A file system of its own that has little room; it goes with the value.
struct Small(PathBuf);

impl Small {
    fn mounted(place: PathBuf) -> Self {
        fs::create_dir(&place).unwrap();
        Cmd::new("mount").args(["-t", "tmpfs", "-o", "size=64m,mode=700", "none"]).arg(&place).ok();
        Self(place)
    }

    fn limit(&self, kib: u64) {
        Cmd::new("mount").args(["-o", &format!("remount,size={kib}k")]).arg(&self.0).ok();
    }

    /// In KiB.
    fn used(&self) -> u64 {
        let told = Cmd::new("df").args(["--output=used", "--block-size=1K"]).arg(&self.0).ok();
        told.lines().last().unwrap().trim().parse().unwrap()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        Cmd::new("umount").arg("--lazy").arg(&self.0).run();
    }
}

/// Of random bytes, so that no compression makes room.
fn random(path: &Path, kib: u64) {
    let command = format!("head -c {kib}k /dev/urandom > \"$1\"");
    Cmd::new("sh").args(["-c", &command, "sh"]).arg(path).ok();
}

// spec: BUILD-113
#[test]
fn wherever_the_disk_gets_full_nothing_is_lost() {
    need!(root);
    let builder = Builder::new();
    let small = Small::mounted(builder.root.file("small"));
    let root = small.0.display().to_string();
    let base = format!("oci:{}:latest", images::busybox_dir().display());
    builder.ctr("fetch").args(["--root", &root, "-q", "--name", "base/busybox:1", &base]).ok();
    let dir = builder.root.file("context");
    fs::create_dir(&dir).unwrap();
    random(&dir.join("data"), 600);
    let text = "FROM base/busybox:1 AS one
COPY data /copied
RUN cat /copied /copied > /made; rm /copied
FROM base/busybox:1
COPY --from=one /made /made
RUN --mount=type=cache,target=/c cat /made > /c/kept; mkdir -p /many; for i in $(seq 300); do echo $i > /many/$i; done
";
    fs::write(dir.join("Dockerfile"), "FROM base/busybox:1\nLABEL first=yes\n").unwrap();
    let build = || builder.ctr("build").args(["--root", &root, "--pull=never", "--quiet", "--tag", "app:1"]).arg(&dir);
    let first = build().ok();
    fs::write(dir.join("Dockerfile"), text).unwrap();
    let whole = builder.ctr("build").args(["--pull=never", "--quiet"]).arg(&dir).ok();

    let store = small.0.join("store");
    let (mut full, used) = (0, small.used());
    for more in 0.. {
        small.limit(used + more * 150);
        let done = build().run();
        if done.code == 0 {
            assert_eq!(done.stdout.trim(), whole);
            break;
        }
        full += 1;
        assert_eq!(done.code, 1, "{done}");
        // The program in a RUN says it in its own words, and what it left is in the error.
        assert!(done.stderr.contains("o space left on device"), "{done}");
        let name = "docker.io/library/app:1";
        assert_eq!(store_check::refs(&store)[name], first.trim(), "{done}");
        assert_eq!(store_check::complaints(&store), Vec::<String>::new(), "{done}");
        assert!(full < 200, "{done}");
    }
    assert!(full >= 10, "{full}");
    builder.ctr("gc").args(["--root", &root, "--grace", "0"]).ok();
    assert_eq!(build().ok(), whole);
}
