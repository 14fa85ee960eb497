//! Hostile root filesystems: links and devices where the launcher looks, mounts and changes directory.

use std::fs;
use std::path::Path;

use ctr_tests::attack::Sentinel;
use ctr_tests::scratch::{Root, names};
use ctr_tests::tarball::Tar;
use ctr_tests::{images, leaks, need, store_check};

// ATTACK: device nodes in an image: /dev/mem, disks => opening them is refused (nodev)
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

// ATTACK: CVE-2023-27561, CVE-2023-28642, CVE-2019-19921: /proc, /sys or /dev of the image is a link or a file => refused
#[test]
fn an_image_whose_proc_sys_or_dev_is_a_link_is_refused() {
    // spec: EXEC-12
    need!(root);
    let root = Root::new();
    let sentinel = Sentinel::new(&root.file("sentinel"));
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

// ATTACK: CVE-2019-14271: /etc/hosts, hostname and resolv.conf are links to files of the host => nothing of the host is touched
#[test]
fn links_at_the_files_of_the_network_lead_nowhere() {
    // spec: EXEC-13, EXEC-32
    need!(root);
    let root = Root::new();
    let sentinel = Sentinel::new(&root.file("sentinel"));
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

// ATTACK: CVE-2021-30465: targets of volumes, tmpfs and the working directory are links out => mounted inside, or refused
#[test]
fn links_at_targets_of_volumes_and_tmpfs_stay_inside() {
    // spec: EXEC-13
    need!(root);
    let root = Root::new();
    let sentinel = Sentinel::new(&root.file("sentinel"));
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

// ATTACK: symlinked /etc/passwd: a link to the host's, a fifo, a device, a huge file, numbers that wrap => never read from the host, never root by mistake
#[test]
fn users_come_from_the_images_own_file_or_not_at_all() {
    // spec: EXEC-44
    need!(root);
    let root = Root::new();
    let sentinel = Sentinel::new(&root.file("sentinel"));
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

// ATTACK: CVE-2024-21626: the working directory is /proc/self/fd/N => no way out of the root
#[test]
fn the_working_directory_is_no_way_out() {
    // spec: EXEC-43
    need!(root);
    let root = Root::with_busybox();
    let sentinel = Sentinel::new(&root.file("sentinel"));
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
