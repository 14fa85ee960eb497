//! Hostile archives, hostile root filesystems, and ways out.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use ctr_tests::oci::{self, Layer, Layout, TAR_GZIP};
use ctr_tests::scratch::{Done, Root, names};
use ctr_tests::tarball::{Entry, Tar};
use ctr_tests::tree;
use ctr_tests::{images, leaks, need, store_check};
use serde_json::json;

/// A directory outside of the root that no attack may change or read.
struct Sentinel {
    dir: PathBuf,
    before: tree::Listing,
}

impl Sentinel {
    fn new(root: &Root) -> Self {
        let dir = root.file("sentinel");
        fs::create_dir_all(dir.join("sub")).unwrap();
        fs::write(dir.join("hosts"), "untouched").unwrap();
        fs::write(dir.join("passwd"), "evil:x:0:0::/:/bin/sh\n").unwrap();
        Self { before: tree::list(&dir), dir }
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    #[track_caller]
    fn assert_untouched(&self, what: &str) {
        let lines = tree::differences(&self.before, &tree::list(&self.dir));
        assert!(lines.is_empty(), "{what}: {lines:?}");
    }
}

fn fetch_layers(root: &Root, layers: Vec<Layer>) -> Done {
    let dir = root.file("attack");
    if dir.exists() {
        fs::remove_dir_all(&dir).unwrap();
    }
    let mut layout = Layout::new(&dir);
    let image = layout.image(&json!({"Cmd": ["/x"]}), &layers);
    layout.tag("latest", &image);
    root.ctr("fetch").args(["-q", &layout.source("latest"), "--name", "attack"]).run()
}

#[test]
fn archives_that_reach_out() {
    // spec: OVR-4, LAY-12
    need!(root);
    let root = Root::new();
    let sentinel = Sentinel::new(&root);
    let up = format!("{}{}", "../".repeat(30), sentinel.dir.strip_prefix("/").unwrap().display());
    let abs = sentinel.dir.display().to_string();
    let one = |tar: Tar| vec![tar];
    let attacks: Vec<(&str, Vec<Tar>)> = vec![
        ("dot dot", one(Tar::new().file(&format!("{up}/new"), 0o644, "x"))),
        ("dot dot inside", one(Tar::new().dir("a", 0o755).file(&format!("a/{up}/new"), 0o644, "x"))),
        ("dot dot directory", one(Tar::new().dir(&format!("{up}/sub"), 0o000))),
        ("absolute name", one(Tar::new().file(&format!("{abs}/new"), 0o644, "x"))),
        ("through an absolute link", one(Tar::new().symlink("l", &abs).file("l/new", 0o644, "x"))),
        ("through a relative link", one(Tar::new().symlink("l", &up).file("l/new", 0o644, "x"))),
        ("over an absolute link", one(Tar::new().symlink("l", &format!("{abs}/hosts")).file("l", 0o600, "x"))),
        ("mode of a link's target", one(Tar::new().symlink("l", &format!("{abs}/sub")).dir("l", 0o000))),
        ("mode through a link", one(Tar::new().symlink("l", &abs).dir("l/sub", 0o000))),
        ("hard link to an absolute name", one(Tar::new().hardlink("h", &format!("{abs}/hosts")).file("h", 0o600, "x"))),
        ("hard link upwards", one(Tar::new().hardlink("h", &format!("{up}/hosts")).file("h", 0o600, "x"))),
        ("hard link through a link", one(Tar::new().symlink("l", &abs).hardlink("h", "l/hosts").file("h", 0o600, "x"))),
        (
            "hard link to a link, then through it",
            one(Tar::new().symlink("l", &format!("{abs}/hosts")).hardlink("h", "l").file("h", 0o600, "x")),
        ),
        ("whiteout through a link", one(Tar::new().symlink("l", &abs).file("l/.wh.hosts", 0o644, ""))),
        ("whiteout upwards", one(Tar::new().file(&format!("{up}/.wh.hosts"), 0o644, ""))),
        ("whiteout of dot dot", one(Tar::new().dir("a", 0o755).file("a/.wh...", 0o644, ""))),
        ("whiteout of dot", one(Tar::new().dir("a", 0o755).file("a/.wh..", 0o644, ""))),
        ("whiteout without a name", one(Tar::new().dir("a", 0o755).file("a/.wh.", 0o644, ""))),
        ("opaque through a link", one(Tar::new().symlink("l", &abs).file("l/.wh..wh..opq", 0o644, ""))),
        ("a link in a lower layer", vec![Tar::new().symlink("l", &abs), Tar::new().file("l/new", 0o644, "x")]),
        (
            "a hard link into a lower layer's link",
            vec![Tar::new().symlink("l", &abs), Tar::new().hardlink("h", "l/hosts").file("h", 0o600, "x")],
        ),
        (
            "a hard link over a lower layer's file",
            vec![Tar::new().file("f", 0o644, "low"), Tar::new().hardlink("h", "f").file("h", 0o600, "x")],
        ),
        ("device through a link", one(Tar::new().symlink("l", &abs).device("l/dev", b'3', 1, 3))),
        (
            "attributes through a link",
            one(Tar::new()
                .symlink("l", &format!("{abs}/hosts"))
                .add(Entry::new(b'2', "l").pax("SCHILY.xattr.user.x", "y").pax("linkpath", format!("{abs}/hosts")))),
        ),
        (
            "owner through a link",
            one(Tar::new()
                .symlink("l", &format!("{abs}/hosts"))
                .add(Entry { link: format!("{abs}/hosts").into_bytes(), ..Entry::new(b'2', "l").owner(77, 77) })),
        ),
        ("a fifo that is written to", one(Tar::new().fifo("p").file("p", 0o644, "x"))),
        (
            "a directory replaced by a link",
            one(Tar::new().dir("d", 0o755).file("d/f", 0o644, "x").symlink("d", &abs).file("d/new", 0o644, "x")),
        ),
        (
            "overlay's own attribute",
            one(Tar::new().add(
                Entry::new(b'5', "d")
                    .pax("SCHILY.xattr.trusted.overlay.opaque", "y")
                    .pax("SCHILY.xattr.trusted.overlay.redirect", "/etc"),
            )),
        ),
        (
            "overlay's own user attribute",
            one(Tar::new().add(Entry::new(b'5', "d").pax("SCHILY.xattr.user.overlay.opaque", "y"))),
        ),
        ("overlay's own whiteout", vec![Tar::new().file("f", 0o644, "x"), Tar::new().device("f", b'3', 0, 0)]),
    ];
    for (what, layers) in attacks {
        let layers = layers.into_iter().map(|tar| Layer::plain(tar.finish())).collect();
        let done = fetch_layers(&root, layers);
        assert!(matches!(done.code, 0 | 1), "{what}: {done}");
        sentinel.assert_untouched(what);
        for attribute in overlay_attributes(&root) {
            // What overlay itself does with our whiteouts is no attack; a redirect is nobody's.
            assert!(!attribute.contains("redirect"), "{what}: {attribute}");
        }
        if what.starts_with("overlay's own") && what.contains("attribute") {
            assert_eq!(done.code, 1, "{what} must be refused: {done}");
        }
        assert_eq!(store_check::complaints(&root.store()), Vec::<String>::new(), "{what}");
        assert_eq!(names(&root.store().join("tmp")), Vec::<String>::new(), "{what}");
        println!(
            "{what}: {}",
            if done.code == 0 { "harmless" } else { done.stderr.lines().next().unwrap_or_default() }
        );
    }
}

/// Names of overlay's attributes on anything in the layers.
fn overlay_attributes(root: &Root) -> Vec<String> {
    let mut stack = vec![root.store().join("layers")];
    let mut found = Vec::new();
    while let Some(path) = stack.pop() {
        for name in xattr::list(&path).unwrap() {
            if name.to_string_lossy().contains("overlay") {
                found.push(format!("{}: {}", path.display(), name.display()));
            }
        }
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            stack.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found
}

#[test]
fn archives_that_lie_or_explode() {
    // spec: OVR-4, LAY-8
    need!(root, "gzip");
    let mut huge = Entry::new(b'0', "huge");
    huge.size = Some(1 << 50);
    let mut negative = Entry::new(b'0', "negative");
    negative.size = Some(u64::MAX);
    let zeroes = vec![0u8; 64 << 20];
    let bomb = oci::filter("gzip", &["-9", "-c"], &oci::filter("gzip", &["-9", "-c"], &zeroes));
    let deep = (0..3000).fold(String::new(), |path, _| path + "d/");
    let attacks: Vec<(&str, Layer)> = vec![
        ("a file larger than the archive", Layer::plain(Tar::new().add(huge).finish())),
        ("a negative size", Layer::plain(Tar::new().add(negative).finish())),
        (
            "a PAX size that differs",
            Layer::plain(Tar::new().add(Entry::new(b'0', "f").pax("size", "99999999999")).finish()),
        ),
        (
            "a PAX size that is no number",
            Layer::plain(Tar::new().add(Entry::new(b'0', "f").pax("size", "-1")).finish()),
        ),
        (
            "a PAX header of a gigabyte",
            Layer::plain(Tar::new().add(Entry { size: Some(1 << 30), ..Entry::new(b'x', "p") }).finish()),
        ),
        (
            "a GNU long name of a gigabyte",
            Layer::plain(Tar::new().add(Entry { size: Some(1 << 30), ..Entry::new(b'L', "p") }).finish()),
        ),
        ("a path of 3000 directories", Layer::plain(Tar::new().file(&format!("{deep}f"), 0o644, "x").finish())),
        ("a name with NUL", Layer::plain(Tar::new().add(Entry::new(b'0', "x").pax("path", b"a\0b")).finish())),
        ("a name too long for any filesystem", Layer::plain(Tar::new().file(&"n".repeat(5000), 0o644, "x").finish())),
        (
            "a bad checksum",
            Layer::plain({
                let mut tar = Tar::new().file("f", 0o644, "x").finish();
                tar[148] ^= 1;
                tar
            }),
        ),
        ("no archive at all", Layer::plain(b"this is not an archive, but it is longer than nothing".repeat(40))),
        (
            "an archive cut in a file",
            Layer::plain(Tar::new().file("f", 0o644, vec![1u8; 5000]).finish()[..2048].to_vec()),
        ),
        (
            "a gzip stream with garbage behind",
            Layer {
                blob: [oci::filter("gzip", &["-c"], &Tar::new().file("f", 0o644, "x").finish()), b"garbage".to_vec()]
                    .concat(),
                ..Layer::compressed(&Tar::new().file("f", 0o644, "x").finish(), "gzip", TAR_GZIP)
            },
        ),
        ("a gzip stream in a gzip stream", Layer { diff_id: oci::digest(&zeroes), blob: bomb, media_type: TAR_GZIP }),
        (
            "sparse parts that overlap",
            Layer::plain(
                Tar::new()
                    .add(Entry {
                        content: b"2\n0\n512\n0\n512\n".iter().copied().chain([0; 498]).chain([1; 1024]).collect(),
                        ..Entry::new(b'0', "s")
                            .pax("GNU.sparse.major", "1")
                            .pax("GNU.sparse.minor", "0")
                            .pax("GNU.sparse.realsize", "512")
                    })
                    .finish(),
            ),
        ),
        (
            "a sparse file of an exabyte",
            Layer::plain(
                Tar::new()
                    .add(
                        Entry::new(b'0', "s")
                            .pax("GNU.sparse.major", "1")
                            .pax("GNU.sparse.minor", "0")
                            .pax("GNU.sparse.realsize", "1152921504606846976"),
                    )
                    .finish(),
            ),
        ),
    ];
    for (what, layer) in attacks {
        let root = Root::new();
        let done = fetch_layers(&root, vec![layer]);
        assert_eq!(done.code, 1, "{what}: {done}");
        assert!(!done.stderr.contains("panicked"), "{what}: {done}");
        assert_eq!(store_check::complaints(&root.store()), Vec::<String>::new(), "{what}");
        assert_eq!(store_check::refs(&root.store()).len(), 0, "{what}");
        assert_eq!(names(&root.store().join("tmp")), Vec::<String>::new(), "{what}");
        println!("{what}: {}", done.stderr.lines().take(2).collect::<Vec<_>>().join(" "));
    }
}

#[test]
fn a_compression_bomb_meets_the_limit() {
    // spec: LIM-4
    need!(root, "gzip", "sh");
    let root = Root::new();
    // A tar with one file of 2 GiB of zeroes, compressed to less than a hundredth of a part (spec/limits.md LIM-4).
    let dir = root.file("attack");
    let mut layout = Layout::new(&dir);
    let header = Tar::new().add(Entry { size: Some(2 << 30), ..Entry::new(b'0', "zeroes") }).finish()[..512].to_vec();
    let head = root.write("head", header);
    let script = format!("(cat {}; head -c 2G /dev/zero; head -c 1024 /dev/zero) | gzip -6 -c", head.display());
    let blob = oci::filter("sh", &["-c", &script], b"");
    let layer = Layer { blob, media_type: TAR_GZIP, diff_id: oci::digest(b"never reached") };
    let image = layout.image(&json!({}), &[layer]);
    layout.tag("latest", &image);
    let start = std::time::Instant::now();
    let done = root.ctr("fetch").args(["-q", &layout.source("latest"), "--name", "attack"]).fails(1);
    assert!(!done.stderr.contains("diff"), "stopped before the end, not by the digest: {done}");
    assert!(start.elapsed().as_secs() < 60);
    assert_eq!(names(&root.store().join("tmp")), Vec::<String>::new());
}

#[test]
fn devices_of_an_image_are_inert() {
    need!(root);
    let root = Root::new();
    let tar = Tar::new()
        .device("mem", b'3', 1, 1)
        .device("zero", b'3', 1, 5)
        .device("disk", b'4', 254, 0)
        .device("sda", b'4', 8, 0);
    root.fetch(&images::busybox_with(&root.file("l"), &[tar.finish()]), "d");
    for device in ["mem", "zero", "disk", "sda"] {
        let done = root
            .ctr("run")
            .args([
                "--wait",
                "--rm",
                "--log=inherit",
                "d",
                "dd",
                &format!("if=/{device}"),
                "of=/dev/null",
                "bs=1",
                "count=1",
            ])
            .run();
        assert!(done.code != 0 && done.stderr.contains("denied"), "{device}: {done}");
    }
}

/// An image whose `path` is a symbolic link to `target`, at the bottom a whole busybox.
fn linked(root: &Root, path: &str, target: &str) -> String {
    let mut tar = Tar::new();
    if let Some((dir, _)) = path.rsplit_once('/') {
        tar = tar.dir(dir, 0o755);
    }
    let dir = root.file(&format!("l-{}", path.replace('/', "-")));
    if dir.exists() {
        fs::remove_dir_all(&dir).unwrap();
    }
    let tar = tar.whiteout(path.rsplit_once('/').map_or("", |(dir, _)| dir), path.rsplit('/').next().unwrap());
    images::busybox_with(&dir, &[tar.finish(), Tar::new().symlink(path, target).finish()])
}

#[test]
fn an_image_whose_proc_sys_or_dev_is_a_link_is_refused() {
    // spec: EXEC-12
    need!(root);
    let root = Root::new();
    let sentinel = Sentinel::new(&root);
    for path in ["proc", "sys", "dev"] {
        for target in ["tmp".to_owned(), sentinel.path("sub"), "../../../../..".to_owned(), "/proc/self/cwd".to_owned()]
        {
            root.fetch(&linked(&root, path, &target), "linked");
            let done = root.ctr("run").args(["--wait", "--rm", "linked", "true"]).run();
            assert_eq!(done.code, 125, "{path} -> {target}: {done}");
            assert!(done.stderr.contains(path), "{done}");
            sentinel.assert_untouched(path);
            assert_eq!(leaks::container_ids(&root.path()), Vec::<String>::new());
        }
        let dir = root.file("file-layout");
        if dir.exists() {
            fs::remove_dir_all(&dir).unwrap();
        }
        let tar = Tar::new().file(path, 0o644, "a file");
        root.fetch(&images::busybox_with(&dir, &[tar.finish()]), "linked");
        let done = root.ctr("run").args(["--wait", "--rm", "linked", "true"]).fails(125);
        assert!(done.stderr.contains(path), "{done}");
    }
}

#[test]
fn links_at_the_files_of_the_network_lead_nowhere() {
    // spec: EXEC-13, EXEC-32
    need!(root);
    let root = Root::new();
    let sentinel = Sentinel::new(&root);
    let mut count = 0;
    for path in ["etc", "etc/hosts", "etc/hostname", "etc/resolv.conf"] {
        let targets = [
            sentinel.path("hosts"),
            sentinel.path("new"),
            format!("{}{}", "../".repeat(20), sentinel.path("new")),
            "/proc/1/root/etc/hosts".to_owned(),
            "hosts".to_owned(),
        ];
        for target in targets {
            root.fetch(&linked(&root, path, &target), "linked");
            let done = root.ctr("run").args(["--wait", "--rm", "--log=inherit", "linked", "echo", "ran"]).run();
            assert!(done.code == 125 || done.code == 0 && done.stdout == "ran\n", "{path} -> {target}: {done}");
            sentinel.assert_untouched(&format!("{path} -> {target}"));
            assert!(!Path::new("/etc/hosts").is_symlink());
            count += 1;
        }
    }
    assert_eq!(count, 20);
    assert_eq!(store_check::complaints(&root.store()), Vec::<String>::new());
}

#[test]
fn links_at_targets_of_volumes_and_tmpfs_stay_inside() {
    // spec: EXEC-13
    need!(root);
    let root = Root::new();
    let sentinel = Sentinel::new(&root);
    let source = root.file("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("mark"), "mark").unwrap();
    for target in [
        sentinel.path("sub"),
        format!("{}{}", "../".repeat(20), sentinel.path("sub")),
        "/proc/1/root".to_owned(),
        "/dev".to_owned(),
        "/proc/self/fd/3".to_owned(),
    ] {
        root.fetch(&linked(&root, "link", &target), "linked");
        for options in [
            vec!["-v".to_owned(), format!("{}:/link", source.display())],
            vec!["-v".to_owned(), format!("{}:/link/deeper/in", source.display())],
            vec!["-v".to_owned(), format!("{}/mark:/link/file", source.display())],
            vec!["--tmpfs".to_owned(), "/link".to_owned()],
            vec!["--tmpfs".to_owned(), "/link/more".to_owned()],
            vec!["--workdir".to_owned(), "/link/made".to_owned()],
        ] {
            let done = root
                .ctr("run")
                .args(["--wait", "--rm", "--log=inherit"])
                .args(&options)
                .args(["linked", "echo", "ran"])
                .run();
            assert!(matches!(done.code, 0 | 125 | 126), "{target} {options:?}: {done}");
            sentinel.assert_untouched(&format!("{target} {options:?}"));
            assert_eq!(leaks::mounts(&root.path()), Vec::<String>::new());
        }
    }
    assert_eq!(names(&source), ["mark"]);
}

#[test]
fn users_come_from_the_images_own_file_or_not_at_all() {
    // spec: EXEC-44
    need!(root);
    let root = Root::new();
    let sentinel = Sentinel::new(&root);
    let layer = |n: usize, tar: Tar| images::busybox_with(&root.file(&format!("u{n}")), &[tar.finish()]);
    let replace = || Tar::new().dir("etc", 0o755).whiteout("etc", "passwd");
    let two =
        |n: usize, tar: Tar| images::busybox_with(&root.file(&format!("u{n}")), &[replace().finish(), tar.finish()]);
    let big = "a:x:1:1::/:/bin/sh\n".repeat(4 << 20);
    let images = [
        ("a link to the host's", two(0, Tar::new().symlink("etc/passwd", &sentinel.path("passwd")))),
        (
            "a link upwards",
            two(1, Tar::new().symlink("etc/passwd", &format!("{}{}", "../".repeat(20), sentinel.path("passwd")))),
        ),
        ("a fifo", two(2, Tar::new().fifo("etc/passwd"))),
        ("a device", two(3, Tar::new().device("etc/passwd", b'3', 1, 5))),
        ("a directory", two(4, Tar::new().dir("etc/passwd", 0o755))),
        ("a huge file", two(5, Tar::new().file("etc/passwd", 0o644, big))),
        ("no text", two(6, Tar::new().file("etc/passwd", 0o644, [0xff; 4096]))),
        ("a long line", two(7, Tar::new().file("etc/passwd", 0o644, "x".repeat(1 << 20)))),
        ("another user", layer(8, Tar::new().file("etc/passwd", 0o644, "evil2:x:0:0::/:/bin/sh\n"))),
        ("a number that wraps", layer(9, Tar::new().file("etc/passwd", 0o644, "evil:x:4294967296:0::/:/bin/sh\n"))),
        ("a negative number", layer(10, Tar::new().file("etc/passwd", 0o644, "evil:x:-1:0::/:/bin/sh\n"))),
    ];
    for (what, source) in images {
        println!("{what}");
        root.fetch(&source, "users");
        let start = std::time::Instant::now();
        let done = root.ctr("run").args(["--wait", "--rm", "--user", "evil", "users", "true"]).run();
        assert_eq!(done.code, 125, "{what}: {done}");
        assert!(start.elapsed().as_secs() < 10, "{what} is slow");
        assert_eq!(leaks::container_ids(&root.path()), Vec::<String>::new());
        // A number needs no file. (busybox's own sh would wait for the fifo: grep does not look at it.)
        let args = ["--wait", "--rm", "--log=inherit", "--user", "7:8", "users", "grep", "^Uid", "/proc/self/status"];
        let done = root.ctr("run").args(args).run();
        assert!(done.code == 0 && done.stdout.contains("Uid:\t7\t7") || done.code == 125, "{what}: {done}");
    }
}

#[test]
fn the_working_directory_is_no_way_out() {
    // spec: EXEC-43
    need!(root);
    let root = Root::with_busybox();
    let sentinel = Sentinel::new(&root);
    let there = sentinel.path("hosts");
    for n in 3..24 {
        for dir in [format!("/proc/self/fd/{n}"), format!("/proc/1/fd/{n}"), format!("/proc/self/fd/{n}/../..")] {
            let script = format!(
                "for up in . ../.. ../../../../../../../../..; do [ -e $up{there} ] && echo OUT; done; [ -e ./store ] && echo OUT; true"
            );
            let done = root
                .ctr("run")
                .args(["--wait", "--rm", "--log=inherit", "--workdir", &dir, "busybox", "sh", "-c", &script])
                .run();
            assert!(matches!(done.code, 0 | 125 | 126), "{dir}: {done}");
            assert!(!done.stdout.contains("OUT"), "{dir}: {done}");
        }
    }
}

#[test]
fn pid_1_is_out_of_reach() {
    // spec: LIFE-11, LIFE-41, STORE-72
    need!(root);
    let root = Root::with_busybox();
    let script = "for f in exe root cwd; do readlink /proc/1/$f >/dev/null 2>&1 && echo reached $f; done
        for f in /proc/1/fd/*; do readlink $f >/dev/null 2>&1 && echo reached $f; [ -e $f ] && echo reached $f; done; head -c 1 /proc/1/environ >/dev/null 2>&1 && echo reached environ
        cat /proc/1/maps 2>/dev/null | grep -q . && echo reached maps; dd if=/proc/1/mem of=/dev/null bs=1 count=1 2>/dev/null && echo reached mem
        cp /proc/1/exe /tmp/x 2>/dev/null && echo copied; true";
    // With SYS_ADMIN the kernel shows environment and maps (Linux 6.16, as CAP_PERFMON does): nothing of the host is in them.
    for options in [&[][..], &["--cap-add", "NET_ADMIN"]] {
        let seen = root
            .ctr("run")
            .args(["--wait", "--rm", "--log=inherit"])
            .args(options.iter().copied())
            .args(["busybox", "sh", "-c", script])
            .run();
        assert_eq!(seen.code, 0, "{seen}");
        let reached: Vec<&str> = seen.stdout.lines().collect();
        assert_eq!(reached, Vec::<&str>::new(), "{options:?}");
    }
}

/// Where the container may trace init, what it gets is worth nothing: a sealed copy in memory, no environment.
#[test]
fn a_traced_pid_1_leads_nowhere() {
    need!(root);
    let root = Root::with_busybox();
    let before = fs::read(ctr_tests::bins::binary("ctr-run")).unwrap();
    let script = "readlink /proc/1/exe; (: >> /proc/1/exe) 2>/dev/null && echo writable; tr -d '\\0' < /proc/1/environ
        for f in /proc/1/fd/*; do readlink $f | grep -E '^/$|/store|^/[^:]*/root$'; ls $f/.. 2>/dev/null; done; ls /proc/1/root/ | head -1";
    for options in [&["--cap-add", "SYS_PTRACE"][..], &["--cap-add", "SYS_PTRACE", "--cap-add", "SYS_ADMIN"]] {
        let seen = root
            .ctr("run")
            .args(["--wait", "--rm", "--log=inherit"])
            .args(options.iter().copied())
            .args(["busybox", "sh", "-c", script])
            .run();
        let lines: Vec<&str> = seen.stdout.lines().collect();
        assert_eq!(lines, ["/memfd:ctr-sealed (deleted)", "bin"], "{options:?}: {seen}");
    }
    assert!(fs::read(ctr_tests::bins::binary("ctr-run")).unwrap() == before);
}

#[test]
fn host_things_cannot_be_changed() {
    // spec: EXEC-22
    need!(root);
    let root = Root::with_busybox();
    let script = "mkdir /sys/fs/cgroup/evil 2>/dev/null && echo cgroup; for d in /sys/fs/cgroup/*; do mkdir $d/evil 2>/dev/null && echo cgroup $d; done
        for f in $(find /sys/fs/cgroup -name release_agent -o -name cgroup.procs 2>/dev/null | head); do echo 1 > $f 2>/dev/null && echo wrote $f; done
        echo x > /proc/sys/kernel/core_pattern 2>/dev/null && echo core_pattern; mount -t proc p /proc 2>/dev/null && echo mount
        mount -t tmpfs t /tmp 2>/dev/null && echo mount; mknod /tmp/d b 8 0 2>/dev/null && echo mknod; chroot /proc/1/root true 2>/dev/null && echo chroot
        dmesg >/dev/null 2>&1 && echo dmesg; hostname evil 2>/dev/null && echo hostname; kill -9 -1 2>/dev/null; true";
    let seen = root.ctr("run").args(["--wait", "--rm", "--log=inherit", "busybox", "sh", "-c", script]).run();
    assert_eq!((seen.code, seen.stdout.as_str()), (0, ""), "{seen}");
}

#[test]
fn archives_of_images_that_link_out() {
    need!(root);
    let root = Root::new();
    let sentinel = Sentinel::new(&root);
    // A docker-archive whose layer is a link to a file of the host: it must not be read.
    let secret = Tar::new().file("secret", 0o600, "secret").finish();
    fs::write(sentinel.dir.join("hosts"), &secret).unwrap();
    let sentinel = Sentinel { before: tree::list(&sentinel.dir), ..sentinel };
    let config = json!({"architecture": oci::architecture(), "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [oci::digest(&secret)]}}).to_string();
    for target in [
        sentinel.path("hosts"),
        format!("{}{}", "../".repeat(20), sentinel.path("hosts")),
        "layer.tar".to_owned(),
        "a/../../../layer.tar".to_owned(),
    ] {
        let manifest = json!([{"Config": "c.json", "RepoTags": null, "Layers": ["layer.tar"]}]).to_string();
        let archive = Tar::new()
            .file("c.json", 0o644, &config)
            .symlink("layer.tar", &target)
            .file("manifest.json", 0o644, manifest)
            .finish();
        let file = root.write("evil.tar", archive);
        root.ctr("fetch").args([&format!("docker-archive:{}", file.display()), "--name", "x"]).fails(1);
    }
    // A layout directory whose blob is a link to the host's file is a directory that the caller chose; a link out of it is not followed blindly.
    let mut layout = Layout::new(&root.file("layout"));
    let image = layout.image(&json!({}), &[Layer::plain(Tar::new().file("f", 0o644, "f").finish())]);
    layout.tag("latest", &image);
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(layout.blob_path(image["digest"].as_str().unwrap())).unwrap()).unwrap();
    let layer = layout.blob_path(manifest["layers"][0]["digest"].as_str().unwrap());
    fs::remove_file(&layer).unwrap();
    symlink("/dev/zero", &layer).unwrap();
    let done = root.ctr("fetch").args([&layout.source("latest"), "--name", "x"]).fails(1);
    assert!(!done.stderr.contains("panicked"), "{done}");
    fs::remove_file(&layer).unwrap();
    nix::unistd::mkfifo(&layer, nix::sys::stat::Mode::S_IRWXU).unwrap();
    root.ctr("fetch").args([&layout.source("latest"), "--name", "x"]).fails(1);
    sentinel.assert_untouched("archives");
}
