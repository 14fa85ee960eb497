//! Hostile content and neighbours at the places where volumes, devices and secrets are mounted.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::{Duration, Instant};

use ctr_tests::attack::Sentinel;
use ctr_tests::busybox::{inside, run};
use ctr_tests::scratch::{Cmd, Root, names};
use ctr_tests::tarball::Tar;
use ctr_tests::{images, leaks, need};

/// Rounds of a race; each is a start of a container.
const ROUNDS: usize = 60;

// ATTACK: CVE-2021-30465: a second container on the same volume swaps the target of a mount between a directory and links to the host, thousands of times
//  => mounted inside of the container or refused; the host's paths are never touched
#[test]
fn a_target_that_changes_during_the_start_stays_inside() {
    // spec: EXEC-13
    need!(root);
    let root = Root::with_busybox();
    let sentinel = Sentinel::new(&root.file("sentinel"));
    let (shared, source) = (root.file("shared"), root.file("source"));
    fs::create_dir_all(shared.join("a")).unwrap();
    fs::create_dir(&source).unwrap();
    fs::write(source.join("mark"), "mark").unwrap();
    symlink(sentinel.path("sub"), shared.join("out")).unwrap();
    symlink(format!("{}{}", "../".repeat(12), sentinel.path("sub")), shared.join("up")).unwrap();
    symlink("/proc/self/fd", shared.join("proc")).unwrap();
    let volume = format!("{}:/shared", shared.display());
    // Renames as fast as a shell can, in a container of its own.
    let swap = "cd /shared; while :; do for l in out up proc; do mv $l t 2>/dev/null; mv a b; mv t a 2>/dev/null; mv a $l; mv b a; done; done 2>/dev/null";
    root.ctr("run").args(["--name", "racer", "-v", &volume, "busybox", "sh", "-c", swap]).ok();
    let inner = format!("{}:/shared/a/deep", source.display());
    let (mut started, mut refused) = (0, 0);
    for round in 0..ROUNDS {
        let userns = if round % 2 == 0 { "auto" } else { "host" };
        let done =
            run(&root, &["--userns", userns, "-v", &volume, "-v", &inner, "--tmpfs", "/shared/a/more"], &["true"]);
        match done.code {
            0 => started += 1,
            125 => refused += 1,
            _ => panic!("{done}"),
        }
        sentinel.assert_untouched(&format!("round {round}"));
    }
    root.ctr("stop").args(["-t", "0", "racer"]).ok();
    assert_eq!(names(&source), ["mark"], "{started} started, {refused} refused");
    assert_eq!(leaks::mounts(&root.path()), Vec::<String>::new());
}

// ATTACK: CVE-2023-27561, CVE-2023-28642: links of the image and of a volume lead from the place of a mount to /proc, /sys and /dev of the container
//  => refused: what is mounted there is ctr's
#[test]
fn links_to_kernel_file_systems_are_not_mounted_on() {
    // spec: EXEC-13
    need!(root);
    let root = Root::new();
    let mut tar = Tar::new();
    for (name, target) in
        [("p", "/proc"), ("ps", "/proc/sys"), ("s", "/sys/kernel"), ("d", "/dev"), ("dn", "/dev/null")]
    {
        tar = tar.symlink(name, target);
    }
    root.fetch(&images::busybox_with(&root.file("l"), &[tar.finish()]), "linked");
    let source = root.file("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "").unwrap();
    let start = |options: &[&str]| {
        root.ctr("run").args(["--wait", "--rm"]).args(options.iter().copied()).args(["linked", "true"]).run()
    };
    for link in ["p", "ps", "s", "d"] {
        let volume = format!("{}:/{link}", source.display());
        for options in [["-v", &*volume], ["--tmpfs", &*format!("/{link}")], ["-v", &*format!("/{link}")]] {
            let done = start(&options);
            assert!(done.code == 125 && done.stderr.contains("belong to ctr"), "{options:?}: {done}");
        }
    }
    let done = start(&["-v", &format!("{}/file:/dn", source.display())]);
    assert_eq!(done.code, 125, "the null device is what masks are made of: {done}");
    let done = start(&["--secret", "x,source=/etc/hostname,target=/dn"]);
    assert_eq!(done.code, 125, "{done}");
}

// ATTACK: CVE-2026-41579, CVE-2026-47766: the image's own /dev holds links and directories at the names where devices and volumes go
//  => never seen: /dev is a new tmpfs before anything is looked up in it
#[test]
fn links_in_the_images_dev_are_not_followed() {
    // spec: EXEC-20
    need!(root);
    let root = Root::new();
    let sentinel = Sentinel::new(&root.file("sentinel"));
    let mut tar = Tar::new().dir("dev", 0o777);
    for name in ["null", "shm", "pts", "mqueue", "log", "mine", "console", "net"] {
        tar = tar.symlink(&format!("dev/{name}"), &sentinel.path("sub"));
    }
    root.fetch(&images::busybox_with(&root.file("l"), &[tar.finish()]), "dev");
    let source = root.file("source");
    fs::create_dir(&source).unwrap();
    for userns in ["auto", "host"] {
        let volume = format!("{}:/dev/log", source.display());
        let args =
            ["--wait", "--rm", "--log=inherit", "--userns", userns, "-v", &volume, "--device", "/dev/null:/dev/mine"];
        let script = "stat -c %t:%T /dev/null /dev/mine; touch /dev/log/in /dev/shm/x; ls /dev/net 2>/dev/null; true";
        let seen =
            root.ctr("run").args(args).args(["--device", "/dev/zero:/dev/deep/er", "dev", "sh", "-c", script]).ok();
        assert_eq!(seen, "1:3\n1:3", "{userns}");
        sentinel.assert_untouched(userns);
    }
    assert_eq!(names(&source), ["in"]);
}

// ATTACK: volume source swapped: while containers start, their volume's source is exchanged for a link to another directory
//  => one or the other is mounted, whole: what was opened is what is mounted
#[test]
fn a_source_that_changes_is_one_thing_or_the_other() {
    // spec: EXEC-50
    need!(root);
    let root = Root::with_busybox();
    let dir = root.file("d");
    for name in ["one", "two"] {
        fs::create_dir_all(dir.join(name)).unwrap();
        fs::write(dir.join(name).join("who"), name).unwrap();
    }
    let swap =
        format!("cd {}; while :; do ln -sfn one t && mv -T t src; ln -sfn two t && mv -T t src; done", dir.display());
    symlink("one", dir.join("src")).unwrap();
    let mut racer = Cmd::new("sh").args(["-c", &swap]).start();
    let option = format!("{}/src:/data:ro", dir.display());
    for _ in 0..ROUNDS / 2 {
        let who = inside(&root, &["-v", &option], "cat /data/who");
        assert!(who == "one" || who == "two", "{who}");
    }
    racer.child.kill().unwrap();
    racer.child.wait().unwrap();
}

// ATTACK: set-user-ID files on a volume: container root leaves one, and another user of the host tries to execute it in a named volume
//  => inside it gives nothing (nosuid); outside nobody can reach it (0700)
#[test]
fn set_user_id_files_of_a_named_volume_reach_nobody() {
    // spec: EXEC-51, STORE-110
    need!(root);
    let root = Root::with_busybox();
    let script = "cp /bin/busybox /data/; chmod 4755 /data/busybox";
    inside(&root, &["-v", "v:/data"], script);
    let seen = inside(&root, &["-v", "v:/data", "--user", "bob"], "/data/busybox id -u");
    assert_eq!(seen, "1000");
    let file = root.path().join("volumes/v/data/busybox");
    let facts = fs::metadata(&file).unwrap();
    assert_eq!((facts.uid(), facts.permissions().mode() & 0o7777), (0, 0o4755), "the danger is real");
    // By a shell of that user: setpriv itself keeps capabilities until its exec.
    let done = Cmd::new("sh").args(["-c", &format!("{} id", file.display())]).as_user(65534, 65534).run();
    assert!(done.code != 0 && done.stderr.contains("ermission denied"), "{done}");
}

// ATTACK: device nodes: made in a user namespace, or brought along on a volume, and opened
//  => mknod is refused, nodes of a volume are inert (nodev)
#[test]
fn device_nodes_cannot_be_made_or_brought() {
    // spec: EXEC-51, EXEC-20
    need!(root);
    let root = Root::with_busybox();
    let dir = root.file("d");
    fs::create_dir(&dir).unwrap();
    Cmd::new("mknod").args(["-m", "666"]).arg(dir.join("zero")).args(["c", "1", "5"]).ok();
    let volume = format!("{}:/data", dir.display());
    let script = "for d in /data /tmp /dev /dev/shm; do mknod $d/new c 1 5 2>/dev/null && echo made $d; done; cat /data/zero 2>&1 | head -c 60";
    for options in [&[][..], &["--cap-add", "ALL"]] {
        let seen = inside(&root, &[&["-v", &*volume], options].concat(), script);
        assert!(!seen.contains("made") && seen.contains("denied"), "{options:?}: {seen}");
    }
}

// ATTACK: read-only volumes and CAP_SYS_ADMIN: the container remounts, binds and clears the attribute in its own user namespace
//  => EROFS all the same: the volume is under an overlay without an upper layer
#[test]
fn a_read_only_volume_holds_against_sys_admin() {
    // spec: EXEC-52
    need!(root);
    let root = Root::with_busybox();
    let dir = root.file("d");
    fs::create_dir_all(dir.join("sub")).unwrap();
    fs::write(dir.join("file"), "content").unwrap();
    let volume = format!("{}:/data:ro,bind-nonrecursive", dir.display());
    let script = "mount -o remount,rw /data; mount -o remount,bind,rw /data; mkdir /tmp/b; mount -o bind /data /tmp/b; mount -o remount,bind,rw /tmp/b; \
                  for d in /data /data/sub /tmp/b; do echo x > $d/new; rm $d/file; done; cat /data/file; ls /data";
    let options = ["--cap-add", "SYS_ADMIN", "--seccomp", "unconfined", "-v", &volume];
    let done = run(&root, &options, &["sh", "-c", script]);
    assert_eq!(done.stdout, "contentfile\nsub\n", "{done}");
    assert_eq!(names(&dir), ["file", "sub"]);
    let file = format!("{}/file:/data:ro", dir.display());
    let done = run(&root, &["--cap-add", "SYS_ADMIN", "-v", &file], &["true"]);
    assert!(done.code == 125 && done.stderr.contains("it is a file"), "{done}");
    assert_eq!(inside(&root, &["-v", &file], "echo x > /data 2>/dev/null || cat /data"), "content");
}

// ATTACK: a volume's first content: an image whose directory is a maze of links, devices and depth is copied into a new volume
//  => nothing of the host is read or written, and the start ends in bounded time
#[test]
fn hostile_content_is_copied_as_it_is() {
    // spec: STORE-113
    need!(root);
    let root = Root::new();
    let sentinel = Sentinel::new(&root.file("sentinel"));
    let mut tar = Tar::new().dir("v", 0o755).symlink("v/out", &sentinel.path("sub")).symlink("v/abs", "/etc/shadow");
    tar = tar.device("v/mem", b'3', 1, 1).device("v/disk", b'4', 8, 0).symlink("w", "v/out");
    let mut deep = "v".to_owned();
    for _ in 0..250 {
        deep.push_str("/d");
        tar = tar.dir(&deep, 0o755);
    }
    root.fetch(&images::busybox_with(&root.file("l"), &[tar.finish()]), "maze");
    let start = Instant::now();
    let done = root.ctr("run").args(["--wait", "--rm", "-v", "x:/v", "maze", "true"]).run();
    assert!(done.code == 125 && done.stderr.contains("nocopy"), "too deep: {done}");
    let seen = root.ctr("run").args(["--wait", "--rm", "--log=inherit", "-v", "y:/w", "maze", "ls", "/w"]).run();
    assert!(matches!(seen.code, 0 | 125), "{seen}");
    assert!(start.elapsed() < Duration::from_secs(20));
    sentinel.assert_untouched("the copy");
    assert!(!names(&root.path().join("volumes/x/data")).iter().any(|name| name == "mem"), "no device is copied");
}
