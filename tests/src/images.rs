//! Images that the tests run and fetch, made once and kept in `target/ctr-tests/images`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::bins::{once, work_dir};
use crate::oci::{Layer, Layout, TAR_GZIP};
use crate::scratch::Cmd;
use crate::tarball::Tar;

fn cached(name: &str) -> PathBuf {
    work_dir().join("images").join(name)
}

/// Applets of busybox that the images have links for.
const APPLETS: &[&str] = &[
    "sh",
    "ash",
    "cat",
    "echo",
    "ls",
    "true",
    "false",
    "sleep",
    "id",
    "env",
    "pwd",
    "touch",
    "rm",
    "mkdir",
    "ln",
    "mv",
    "cp",
    "stat",
    "find",
    "grep",
    "sed",
    "awk",
    "head",
    "tail",
    "wc",
    "sort",
    "tr",
    "cut",
    "test",
    "[",
    "mount",
    "umount",
    "mknod",
    "chmod",
    "chown",
    "kill",
    "ps",
    "hostname",
    "ip",
    "dd",
    "seq",
    "date",
    "readlink",
    "realpath",
    "sha256sum",
    "yes",
    "printf",
    "setsid",
    "timeout",
    "nproc",
    "df",
    "dmesg",
    "chroot",
    "unshare",
    "nc",
    "ping",
    "tar",
    "usleep",
    "expr",
    "xargs",
    "mkfifo",
    "getopt",
    "uname",
    "whoami",
    "basename",
    "dirname",
    "killall",
    "wget",
    "ulimit",
    "sync",
    "insmod",
    "hostid",
    "which",
];

/// The tree of the busybox image as a tar, with `Tar` still open.
pub fn busybox_tree() -> Tar {
    let busybox = fs::read("/bin/busybox").expect("busybox-static is installed");
    let mut tar = Tar::new();
    for dir in ["bin", "etc", "dev", "proc", "sys", "root", "var", "usr", "home"] {
        tar = tar.dir(dir, 0o755);
    }
    tar = tar.dir("tmp", 0o1777).file("bin/busybox", 0o755, busybox);
    for applet in APPLETS {
        tar = tar.symlink(&format!("bin/{applet}"), "busybox");
    }
    tar.file("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\nbob:x:1000:1001:Bob:/home/bob:/bin/sh\n")
        .file("etc/group", 0o644, "root:x:0:\nbob:x:1001:\nstaff:x:50:bob\nwheel:x:10:root,bob\n")
        .file("etc/not-executable", 0o644, "no program\n")
        .file("bin/script-without-interpreter", 0o755, "#!/no/such/interpreter\n")
}

/// The `config` of the busybox image.
pub fn busybox_config() -> serde_json::Value {
    json!({
        "Env": ["PATH=/bin", "FROM_IMAGE=yes"], "Cmd": ["sh", "-c", "echo from the image"], "WorkingDir": "/",
        "Labels": {"org.example.maker": "ctr-tests"},
    })
}

/// A small image of one layer with busybox: `oci:DIR:latest`.
pub fn busybox() -> String {
    let dir = cached("busybox-1");
    once(&dir, |half| {
        let mut layout = Layout::new(half);
        let image = layout.image(&busybox_config(), &[Layer::plain(busybox_tree().finish())]);
        layout.tag("latest", &image);
    });
    format!("oci:{}:latest", dir.display())
}

/// The directory of [`busybox`].
pub fn busybox_dir() -> PathBuf {
    busybox();
    cached("busybox-1")
}

/// A busybox image with these further layers on top, at `dir`: `oci:DIR:latest`.
pub fn busybox_with(dir: &Path, layers: &[Vec<u8>]) -> String {
    let mut layout = Layout::new(dir);
    let all: Vec<Layer> =
        std::iter::once(busybox_tree().finish()).chain(layers.iter().cloned()).map(Layer::plain).collect();
    let image = layout.image(&busybox_config(), &all);
    layout.tag("latest", &image);
    layout.source("latest")
}

/// An image without a program, of two layers and few files, for runs under the tracer: `oci:DIR:latest`.
pub fn tiny() -> String {
    let dir = cached("tiny-1");
    once(&dir, |half| {
        let lower =
            Tar::new().dir("etc", 0o755).file("etc/a", 0o644, "a").file("etc/b", 0o600, "b").symlink("etc/l", "a");
        let upper =
            Tar::new().dir("etc", 0o755).whiteout("etc", "b").file("etc/c", 0o4755, "c").hardlink("etc/d", "etc/c");
        let layers = [
            Layer::compressed(&lower.finish(), "gzip", TAR_GZIP),
            Layer::plain(upper.dir("o", 0o755).opaque("o").finish()),
        ];
        let mut layout = Layout::new(half);
        let image = layout.image(&json!({"Cmd": ["/etc/c"]}), &layers);
        layout.tag("latest", &image);
    });
    format!("oci:{}:latest", dir.display())
}

/// A Debian root filesystem with Python, by mmdebstrap: the tar.
pub fn debian_tar() -> PathBuf {
    let tar = cached("debian-bookworm-1.tar");
    once(&tar, |half| {
        let log = Cmd::new("mmdebstrap")
            .args(["--quiet", "--variant=minbase", "--include=python3-minimal", "--format=tar", "bookworm"])
            .arg(half)
            .start_unlimited();
        assert_eq!(log.code, 0, "{log}");
    });
    tar
}

/// A Debian image with Python: `oci:DIR:latest`.
pub fn debian() -> String {
    let dir = cached("debian-1");
    once(&dir, |half| {
        let tar = fs::read(debian_tar()).expect("the tar");
        let mut layer = Layer::compressed(&tar, "gzip", TAR_GZIP);
        layer.media_type = TAR_GZIP;
        let mut layout = Layout::new(half);
        let image = layout.image(&json!({"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["bash"]}), &[layer]);
        layout.tag("latest", &image);
    });
    format!("oci:{}:latest", dir.display())
}

/// An image of several layers made by umoci (unpack, change, repack), with deletions, a directory that became a file and
/// back, links, setuid and file capabilities: the layout's directory, tag `latest`.
pub fn umoci_layers() -> PathBuf {
    let dir = cached("umoci-2");
    once(&dir, |half| {
        let work = tempfile::tempdir().expect("directory");
        let image = format!("{}:latest", half.display());
        let umoci = |args: &[&str]| Cmd::new("umoci").args(args.iter().copied()).ok();
        umoci(&["init", "--layout", &half.display().to_string()]);
        umoci(&["new", "--image", &image]);
        for (n, script) in UMOCI_STEPS.iter().enumerate() {
            let bundle = work.path().join(n.to_string()).display().to_string();
            umoci(&["unpack", "--image", &image, &bundle]);
            Cmd::new("sh").args(["-euc", script]).dir(format!("{bundle}/rootfs")).ok();
            umoci(&["repack", "--image", &image, &bundle]);
        }
        let config =
            ["config", "--image", &image, "--config.cmd", "/bin/sh", "--config.env", "PATH=/bin", "--config.user", "0"];
        umoci(&config);
    });
    dir
}

const UMOCI_STEPS: &[&str] = &[
    "mkdir -p bin etc/conf.d tmp dev proc sys; cp /bin/busybox bin/; for a in sh ls find stat cat sha256sum sort; do ln -s busybox bin/$a; done
     chmod 1777 tmp; echo one > etc/one; echo two > etc/two; echo x > etc/conf.d/x; echo y > etc/conf.d/y; mkdir -p gone/deep; echo z > gone/deep/z
     echo file > becomes-dir; mkdir becomes-file; echo in > becomes-file/in; mkdir back; echo b > back/b; echo priv > setuid; chown 12:34 setuid; chmod 6755 setuid
     echo cap > withcap; chmod 755 withcap; setcap cap_net_raw+ep withcap; mkfifo etc/fifo; mknod dev/null0 c 1 3; setfattr -n user.note -v hello etc/one 2>/dev/null || true",
    "rm etc/two; rm -r gone; rm becomes-dir; mkdir becomes-dir; echo now > becomes-dir/f; rm -r becomes-file; echo now > becomes-file; rm -r back; echo f > back
     rm -r etc/conf.d; mkdir etc/conf.d; echo new > etc/conf.d/new; ln etc/one etc/hard; ln -s ../etc/one etc/soft; chmod 600 setuid; touch -d @1000000000 etc/one
     mkdir -p 'sp ace'; echo u > 'sp ace/ünï'; truncate -s 1M sparse; printf end >> sparse",
    "rm back; mkdir back; echo again > back/again; mkdir gone; echo fresh > gone/fresh; rm etc/hard; chown 5:6 becomes-dir/f; rm -r 'sp ace'",
];

/// Copies `from` (a skopeo name) to `to` with further arguments.
pub fn skopeo_copy(args: &[&str], from: &str, to: &str) {
    let args = ["copy", "--quiet", "--insecure-policy"].iter().chain(args).copied();
    Cmd::new("skopeo").args(args).args([from, to]).ok();
}
