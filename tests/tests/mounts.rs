//! Mounts that the caller asks for: options, ids, propagation, memory, other images.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use ctr_tests::busybox::{assert_nothing_left, inside, run};
use ctr_tests::scratch::{Cmd, Root};
use ctr_tests::{need, users};

/// A directory of the host, and `-v DIR:/data` with these options.
fn volume(root: &Root, name: &str, options: &str) -> String {
    let dir = root.file(name);
    fs::create_dir_all(&dir).unwrap();
    format!("{}:/data{options}", dir.display())
}

/// The options of the mount at `target`, as the container sees them.
fn mounted(root: &Root, options: &[&str], target: &str) -> String {
    inside(
        root,
        options,
        &format!(
            "while read -r a b c d at opts rest; do if [ $at = {target} ]; then echo $opts $rest; fi; done < /proc/self/mountinfo"
        ),
    )
}

#[test]
fn ids_of_a_volume_are_those_on_the_disk() {
    // spec: EXEC-55
    need!(root);
    let root = Root::with_busybox();
    let option = volume(&root, "data", "");
    let dir = root.file("data");
    fs::write(dir.join("bobs"), "x").unwrap();
    chown(dir.join("bobs"), Some(1000), Some(1001)).unwrap();
    let seen =
        inside(&root, &["-v", &option], "stat -c '%u:%g' /data/bobs; touch /data/new; chown 33:34 /data/new; id -u");
    assert_eq!(seen, "1000:1001\n0", "the container is root in a user namespace");
    let made = fs::metadata(dir.join("new")).unwrap();
    assert_eq!((made.uid(), made.gid()), (33, 34), "on the disk as inside");
    let plain = volume(&root, "data", ":noidmap");
    let seen =
        inside(&root, &["-v", &plain], "stat -c '%u:%g' /data/bobs; touch /data/more 2>/dev/null || echo refused");
    assert_eq!(seen, "65534:65534\nrefused");
    for userns in ["host", "keep-id:uid=1000,gid=1001"] {
        let seen = inside(&root, &["--userns", userns, "-v", &option], "stat -c '%u:%g' /data/bobs");
        assert_eq!(seen, "1000:1001", "{userns}");
    }
    let done = run(&root, &["--userns", "host", "-v", &volume(&root, "data", ":idmap")], &["true"]);
    assert!(done.code == 125 && done.stderr.contains("idmap"), "{done}");
}

#[test]
fn what_cannot_be_mapped_is_named_with_the_ways_out() {
    // spec: EXEC-56
    need!(root);
    let root = Root::with_busybox();
    let done = run(&root, &["-v", "/proc:/data"], &["true"]);
    assert_eq!(done.code, 125, "{done}");
    for word in ["/proc", "proc file system", "noidmap", "--userns=host"] {
        assert!(done.stderr.contains(word), "{word}: {done}");
    }
    // A tree whose top can be mapped and something below it cannot.
    let option = volume(&root, "tree", "");
    let below = root.file("tree/below");
    fs::create_dir(&below).unwrap();
    let script = format!(
        "mount -t proc none {} && exec {} --root {} --wait --rm --log=inherit -v {option}",
        below.display(),
        ctr_tests::bins::binary("ctr-run").display(),
        root.path().display(),
    );
    let shell = |more: &str| {
        Cmd::new("unshare")
            .args([
                "-m",
                "sh",
                "-c",
                &format!("{script}{more} busybox sh -c 'cat /data/below/version || ls /data/below'"),
            ])
            .run()
    };
    let done = shell("");
    assert_eq!(done.code, 125, "{done}");
    for word in [&*below.to_string_lossy(), "proc file system", "bind-nonrecursive"] {
        assert!(done.stderr.contains(word), "{word}: {done}");
    }
    assert_eq!(shell(":bind-nonrecursive").ok(), "");
    assert!(shell(":noidmap").ok().contains("Linux"));
    assert_nothing_left(&root, "after refusals");
}

#[test]
fn options_become_attributes_of_the_mount() {
    // spec: EXEC-50, EXEC-51, EXEC-52, EXEC-57
    need!(root);
    let root = Root::with_busybox();
    let options = |text: &str| mounted(&root, &["-v", &volume(&root, "data", text)], "/data");
    let has = |found: &str, wanted: &str| found.split([' ', ',']).any(|option| option == wanted);
    let plain = options("");
    assert!(has(&plain, "rw") && has(&plain, "nosuid") && has(&plain, "nodev") && !has(&plain, "noexec"), "{plain}");
    for (option, wanted) in [
        ("ro", "ro"),
        ("rro", "ro"),
        ("readonly", "ro"),
        ("noexec", "noexec"),
        ("rnoexec", "noexec"),
        ("noatime", "noatime"),
        ("rnoatime", "noatime"),
        ("relatime", "relatime"),
        ("nodiratime", "nodiratime"),
        ("nosymfollow", "nosymfollow"),
        ("rnosymfollow", "nosymfollow"),
    ] {
        let found = options(&format!(":{option}"));
        assert!(has(&found, wanted), "{option}: {found}");
    }
    assert!(!has(&options(":strictatime"), "relatime"));
    assert!(!has(&options(":suid"), "nosuid"));
    for (bad, word) in [
        ("dev", "--device"),
        ("ro,rw", "contradict"),
        ("exec,noexec", "contradict"),
        ("readonyl", "readonly"),
        ("z", "SELinux"),
        ("U", "mapped"),
        ("cached", "Linux"),
        ("nocopy", "unknown"),
        ("size=5", "unknown"),
    ] {
        let done = run(&root, &["-v", &volume(&root, "data", &format!(":{bad}"))], &["true"]);
        assert!(done.code == 125 && done.stderr.contains(word), "{bad}: {done}");
    }
    assert_nothing_left(&root, "after wrong options");
}

#[test]
fn read_only_holds_below_unless_asked_otherwise() {
    // spec: EXEC-52
    need!(root);
    let root = Root::with_busybox();
    let dir = root.file("tree");
    fs::create_dir_all(dir.join("below")).unwrap();
    let run = |option: &str| {
        let script = format!(
            "mount -t tmpfs none {0}/below && exec {1} --root {2} --wait --rm --log=inherit --mount type=bind,source={0},target=/data,{option} \
             busybox sh -c 'touch /data/x /data/below/x 2>/dev/null; ls /data /data/below'",
            dir.display(),
            ctr_tests::bins::binary("ctr-run").display(),
            root.path().display(),
        );
        Cmd::new("unshare").args(["-m", "sh", "-c", &script]).ok()
    };
    let listing = |below: &str| format!("/data:\nbelow\n\n/data/below:{below}");
    assert_eq!(run("ro"), listing(""));
    assert_eq!(run("ro,bind-recursive=readonly"), listing(""));
    assert_eq!(run("ro,bind-recursive=writable"), listing("\nx"));
    assert_eq!(run("ro,bind-recursive=disabled"), listing(""));
}

#[test]
fn what_the_hosts_mount_forbids_cannot_be_had() {
    // spec: EXEC-58
    need!(root);
    let root = Root::with_busybox();
    let dir = root.file("locked");
    fs::create_dir(&dir).unwrap();
    let run = |option: &str| {
        let script = format!(
            "mount -t tmpfs -o ro,noexec,nosuid none {0} && exec {1} --root {2} --wait --rm -v {0}:/data{option} busybox true",
            dir.display(),
            ctr_tests::bins::binary("ctr-run").display(),
            root.path().display(),
        );
        Cmd::new("unshare").args(["-m", "sh", "-c", &script]).run()
    };
    assert_eq!(run("").code, 0);
    for option in ["rw", "exec", "suid"] {
        let done = run(&format!(":{option}"));
        assert!(done.code == 125 && done.stderr.contains(option), "{option}: {done}");
    }
}

#[test]
fn propagation_is_as_asked_or_refused() {
    // spec: EXEC-4, EXEC-59
    need!(root);
    let root = Root::with_busybox();
    let dir = root.file("shared");
    fs::create_dir_all(dir.join("sub")).unwrap();
    let binary = ctr_tests::bins::binary("ctr-run").display().to_string();
    let run = |kind: &str, options: &str| {
        // The host mounts below the volume once the container runs.
        let script = format!(
            "mount -t tmpfs none {0} && mount --make-{kind} {0} && mkdir {0}/sub && mkfifo {0}/go && \
             {{ cat {0}/go >/dev/null; mount -t tmpfs none {0}/sub && touch {0}/sub/later; echo > {0}/go; }} & \
             sleep 0.3; exec {binary} --root {1} --wait --rm --log=inherit {options} busybox sh -c 'echo > /data/go; cat /data/go >/dev/null; ls /data/sub'",
            dir.display(),
            root.path().display(),
        );
        Cmd::new("unshare").args(["-m", "sh", "-c", &script]).run()
    };
    let volume = |option: &str| format!("-v {}:/data:{option}", dir.display());
    assert_eq!(run("shared", &volume("rslave")).ok(), "later");
    assert_eq!(run("shared", &volume("rprivate")).ok(), "");
    let done = ctr_tests::busybox::run(&root, &["-v", &format!("{}:/data:rshared", dir.display())], &["true"]);
    assert!(done.code == 125 && done.stderr.contains("--userns=host"), "{done}");
    let private = |option: &str| {
        let script = format!(
            "mount -t tmpfs none {0} && mount --make-private {0} && exec {binary} --root {1} --userns=host --wait --rm {2} busybox true",
            dir.display(),
            root.path().display(),
            volume(option)
        );
        Cmd::new("unshare").args(["-m", "sh", "-c", &script]).run()
    };
    for option in ["rslave", "rshared"] {
        let done = private(option);
        assert!(done.code == 125 && done.stderr.contains("make-shared"), "{option}: {done}");
    }
    assert_eq!(private("runbindable").code, 0);
}

#[test]
fn tmpfs_takes_size_mode_owner_and_content() {
    // spec: EXEC-54
    need!(root);
    let root = Root::with_busybox();
    let seen = inside(
        &root,
        &["--tmpfs", "/t:size=1M,mode=750,uid=5,gid=6"],
        "stat -c '%a %u:%g' /t; df -k /t | tail -1 | awk '{print $2}'",
    );
    assert_eq!(seen, "750 5:6\n1024");
    assert_eq!(inside(&root, &["--tmpfs", "/etc"], "ls /etc"), "");
    let filled = inside(
        &root,
        &["--tmpfs", "/etc:tmpcopyup"],
        "cat /etc/passwd | head -1; echo x > /etc/new && stat -c %u /etc /etc/new",
    );
    assert_eq!(filled, "root:x:0:0:root:/root:/bin/sh\n0\n0");
    assert_eq!(inside(&root, &["--shm-size", "1M"], "df -k /dev/shm | tail -1 | awk '{print $2}'"), "1024");
    assert_eq!(inside(&root, &["--shm-size", "none"], "grep -c /dev/shm /proc/self/mountinfo; true"), "0");
    assert_eq!(run(&root, &["--shm-size", "none", "--ipc", "host"], &["true"]).code, 125);
}

#[test]
fn an_image_is_mounted_read_only_or_with_a_layer_of_its_own() {
    // spec: EXEC-100, STORE-80
    need!(root);
    let root = Root::with_busybox();
    root.fetch(&ctr_tests::images::tiny(), "tiny");
    let mount = |more: &str| format!("type=image,source=tiny,target=/img{more}");
    let script = "ls /img/etc; touch /img/new 2>/dev/null && echo written; stat -c '%u:%g' /img/etc/a";
    assert_eq!(inside(&root, &["--mount", &mount("")], script), "a\nc\nd\nl\n0:0");
    assert_eq!(inside(&root, &["--mount", &mount(",rw")], script), "a\nc\nd\nl\nwritten\n0:0");
    assert_eq!(inside(&root, &["--mount", &mount(""), "--userns", "host"], script), "a\nc\nd\nl\n0:0");
    assert_eq!(inside(&root, &["--mount", &mount("")], script), "a\nc\nd\nl\n0:0", "nothing was written to the image");
    assert_eq!(run(&root, &["--mount", "type=image,source=none-such,target=/img"], &["true"]).code, 125);
    // Its layers stay while the container runs, whatever becomes of its name.
    let name = ["--name", "holder", "--mount", &mount("")];
    root.ctr("run")
        .args(name)
        .args(["busybox", "sh", "-c", "while [ ! -e /go ]; do usleep 10000; done; cat /img/etc/a"])
        .ok();
    root.ctr("image").args(["rm", "tiny"]).ok();
    root.ctr("gc").args(["--grace", "0s"]).ok();
    assert_eq!(root.ctr("exec").args(["holder", "cat", "/img/etc/a"]).ok(), "a");
    root.ctr("stop").args(["-t", "0", "holder"]).ok();
}

#[test]
fn mounts_that_are_further_up_come_first() {
    // spec: EXEC-53
    need!(root);
    let root = Root::with_busybox();
    let outer = volume(&root, "outer", "");
    let inner = root.file("inner");
    fs::create_dir_all(&inner).unwrap();
    fs::write(inner.join("seen"), "").unwrap();
    let inner = format!("{}:/data/in/ner", inner.display());
    assert_eq!(inside(&root, &["-v", &inner, "-v", &outer], "ls /data/in/ner"), "seen");
}

#[test]
fn an_ordinary_user_sees_the_ids_of_the_own_namespace() {
    // spec: EXEC-55
    need!(root, "newuidmap");
    let user = users::with_range();
    let root = user.root();
    let image = users::readable(&root, &ctr_tests::images::busybox_dir(), "image");
    user.ctr(&root, "fetch").args(["-q", "--name", "busybox"]).arg(format!("oci:{}:latest", image.display())).ok();
    let dir = root.file("mine");
    fs::create_dir(&dir).unwrap();
    chown(&dir, Some(user.uid), Some(user.gid)).unwrap();
    let args = ["--wait", "--rm", "--log=inherit", "-v"];
    let option = format!("{}:/data", dir.display());
    let seen =
        user.ctr(&root, "run").args(args).arg(&option).args(["busybox", "sh", "-c", "stat -c %u /data; touch /data/x"]);
    assert_eq!(seen.ok(), "0");
    assert_eq!(fs::metadata(dir.join("x")).unwrap().uid(), user.uid);
    let done = user.ctr(&root, "run").args(args).arg(format!("{option}:idmap")).args(["busybox", "true"]).run();
    assert!(done.code == 125 && done.stderr.contains("ordinary user"), "{done}");
    assert_eq!(dir.metadata().unwrap().permissions().mode() & 0o777, 0o755);
}
