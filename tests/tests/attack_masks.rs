//! Hostile images and volumes against what hides paths and against mounts: links, wrong kinds and races at every name that a
//! mask or a mount looks up.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ctr_tests::attack::Sentinel;
use ctr_tests::busybox::{assert_nothing_left, inside, run};
use ctr_tests::images::busybox_with;
use ctr_tests::need;
use ctr_tests::scratch::Root;
use ctr_tests::tarball::Tar;

/// A root whose image `busybox` has this layer on top.
fn hostile(layer: Tar) -> Root {
    let root = Root::new();
    root.fetch(&busybox_with(&root.file("hostile"), &[layer.finish()]), "busybox");
    root
}

/// Nothing of the masked files is read, and what hides them is the null device.
const LOOK: &str = "for f in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts; do [ ! -e $f ] || head -c 8 $f; done; stat -c %t:%T /dev/null;
    ls /sys/firmware | wc -l; cat /proc/sysrq-trigger 2>/dev/null; (echo h > /proc/sysrq-trigger) 2>/dev/null && echo written;
    (echo evil > /proc/sys/kernel/core_pattern) 2>/dev/null && echo written; true";

// ATTACK: CVE-2025-31133: the image has a link, a file, a directory, a device of its own at /dev/null, which hides masked files => never looked at: /dev is ours
#[test]
fn what_hides_a_file_does_not_come_from_the_image() {
    // spec: EXEC-20, EXEC-21, EXEC-22, EXEC-65
    need!(root);
    let dev = || Tar::new().dir("dev", 0o755);
    for (what, layer) in [
        ("link to procfs", dev().symlink("dev/null", "/proc/sys/kernel/core_pattern")),
        ("link to a file", dev().symlink("dev/null", "../etc/passwd")),
        ("dangling link", dev().symlink("dev/null", "/no/such")),
        ("file", dev().file("dev/null", 0o666, "shown")),
        ("directory", dev().dir("dev/null", 0o777).file("dev/null/shown", 0o666, "shown")),
        ("another device", dev().device("dev/null", b'3', 1, 8)),
    ] {
        let root = hostile(layer);
        let seen =
            inside(&root, &["--security-opt", "mask=/etc/passwd:/home"], &format!("{LOOK}; cat /etc/passwd; ls /home"));
        assert_eq!(seen, "1:3\n0", "{what}");
    }
}

// ATTACK: CVE-2025-31133: a volume of the caller's stands at /dev/null and would be shown instead of masked files => refused, or it is not there
#[test]
fn a_volume_at_dev_null_hides_nothing() {
    // spec: EXEC-65
    need!(root);
    let root = Root::with_busybox();
    let file = root.write("shown", "shown");
    let volume = format!("{}:/dev/null", file.display());
    let done = run(&root, &["-v", &volume], &["cat", "/proc/keys"]);
    assert!(done.code == 125 && !done.stdout.contains("shown"), "{done}");
    assert_nothing_left(&root, "after the refusal");
}

// ATTACK: CVE-2023-27561: the image has links at /proc and below it, so that masks and labels would be laid elsewhere => refused by name, nothing is hidden elsewhere
#[test]
fn procfs_and_sysfs_are_ours() {
    // spec: EXEC-12
    need!(root);
    for (name, target) in [("proc", "tmp"), ("sys", "tmp"), ("dev", "tmp"), ("proc", "/proc"), ("sys", "../../../sys")]
    {
        let layer = Tar::new()
            .symlink(name, target)
            .dir("tmp/sys", 0o777)
            .dir("tmp/self", 0o777)
            .file("tmp/keys", 0o666, "shown");
        let root = hostile(layer);
        let done = run(&root, &[], &["true"]);
        assert_eq!(done.code, 125, "{name} -> {target}: {done}");
        assert_nothing_left(&root, name);
    }
    // Below real directories the image's content is covered: links at the names of masks lead nowhere.
    let below = Tar::new()
        .dir("proc", 0o777)
        .dir("sys", 0o777)
        .symlink("proc/keys", "/etc/passwd")
        .symlink("proc/sys", "/etc")
        .symlink("sys/firmware", "/etc")
        .symlink("proc/self", "/tmp")
        .symlink("proc/thread-self", "/tmp");
    let root = hostile(below);
    assert_eq!(inside(&root, &[], LOOK), "1:3\n0");
    assert!(!inside(&root, &[], "cat /etc/passwd; ls /etc").is_empty(), "what the links point to is not hidden");
}

// ATTACK: mask through links: the image leads a path that the caller hides out of its root => resolved within the container; the host's file stays as it is
#[test]
fn masks_stay_within_the_root() {
    // spec: EXEC-65
    need!(root);
    let outside = Root::new();
    let sentinel = Sentinel::new(&outside.file("sentinel"));
    fs::create_dir_all(outside.file("sentinel")).unwrap();
    let up = format!("../../../../../../../..{}", sentinel.path("hosts"));
    let layer = Tar::new()
        .dir("secret", 0o755)
        .symlink("secret/up", &up)
        .symlink("secret/abs", &sentinel.path("hosts"))
        .symlink("secret/loop", "loop")
        .symlink("secret/in", "/etc/passwd")
        .symlink("secret/magic", "/proc/self/fd/0");
    let root = hostile(layer);
    let masks = "mask=/secret/up:/secret/abs:/secret/in";
    assert_eq!(inside(&root, &["--security-opt", masks], "cat /etc/passwd | wc -c; cat /secret/in | wc -c"), "0\n0");
    for refused in ["mask=/secret/loop", "mask=/secret/magic"] {
        let done = run(&root, &["--security-opt", refused], &["true"]);
        assert!(done.code == 125 || done.code == 0, "{refused}: {done}");
    }
    sentinel.assert_untouched("masks through links");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains("sentinel"), "mounted on the host");
}

// ATTACK: CVE-2021-30465: another container with the same volume changes directories into links while masks and mounts are laid below it => nothing lands outside
#[test]
fn renamers_do_not_move_masks_and_mounts_out() {
    // spec: EXEC-13, EXEC-65
    need!(root);
    let root = Root::with_busybox();
    let sentinel = Sentinel::new(&root.file("sentinel"));
    let shared = root.file("shared");
    fs::create_dir_all(shared.join("dir/secret")).unwrap();
    symlink(sentinel.path("sub"), shared.join("link")).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let racer = {
        let (stop, shared) = (Arc::clone(&stop), shared.clone());
        std::thread::spawn(move || {
            let (dir, link, third) = (shared.join("dir"), shared.join("link"), shared.join("third"));
            let mut swaps = 0u64;
            while !stop.load(Ordering::Relaxed) {
                // dir -> third, link -> dir, third -> link: each name is now the one, now the other.
                for (from, to) in [(&dir, &third), (&link, &dir), (&third, &link)] {
                    fs::rename(from, to).ok();
                }
                swaps += 1;
            }
            swaps
        })
    };
    let volume = format!("{}:/vol", shared.display());
    let mut started = 0;
    for round in 0..16 {
        let options: &[&str] = match round % 2 {
            0 => &["-v", &volume, "--security-opt", "mask=/vol/dir/secret"],
            _ => &["-v", &volume, "--tmpfs", "/vol/dir/secret:mode=777"],
        };
        let done = run(&root, options, &["sh", "-c", "touch /vol/dir/secret/x 2>/dev/null; true"]);
        assert!(done.code == 0 || done.code == 125, "{done}");
        started += u32::from(done.code == 0);
    }
    stop.store(true, Ordering::Relaxed);
    let swaps = racer.join().unwrap();
    assert!(swaps > 16 && started > 0, "{swaps} swaps, {started} starts");
    sentinel.assert_untouched("racing renames");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains("secret") && !mounts.contains("sentinel"), "{mounts}");
    assert_nothing_left(&root, "after the race");
}
