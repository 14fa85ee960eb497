//! Devices of the host in a container.

use std::os::unix::fs::symlink;

use ctr_tests::busybox::{inside, run};
use ctr_tests::scratch::{Cmd, Root};
use ctr_tests::{need, users};

#[test]
fn the_standard_devices_are_the_containers_own() {
    // spec: EXEC-20
    need!(root);
    let root = Root::with_busybox();
    for userns in ["auto", "host"] {
        let inside = |script: &str| inside(&root, &["--userns", userns], script);
        let names = inside("cd /dev; ls");
        assert_eq!(
            names.split_whitespace().collect::<Vec<_>>().join(" "),
            "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero",
            "{userns}"
        );
        let owners = inside(
            "stat -c '%a %u:%g %t:%T' /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty | sort -u",
        );
        assert_eq!(owners, "666 0:0 1:3\n666 0:0 1:5\n666 0:0 1:7\n666 0:0 1:8\n666 0:0 1:9\n666 0:0 5:0");
        assert_eq!(
            inside("echo x > /dev/null; head -c 3 /dev/zero | wc -c; echo x > /dev/full || echo full").trim(),
            "3\nfull"
        );
        // What is done to the nodes is done to the container's own.
        inside("chmod 600 /dev/null; chown 5:5 /dev/zero");
        assert_eq!(Cmd::new("stat").args(["-c", "%a", "/dev/null"]).ok(), "666");
    }
}

#[test]
fn a_device_of_the_host_can_be_used() {
    // spec: EXEC-130, EXEC-131
    need!(root);
    let root = Root::with_busybox();
    let null = root.file("null");
    Cmd::new("mknod").args(["-m", "600"]).arg(&null).args(["c", "1", "3"]).ok();
    let link = root.file("link");
    symlink(&null, &link).unwrap();
    let (null, link) = (null.display().to_string(), link.display().to_string());
    for userns in ["auto", "host"] {
        let inside = |device: &str, script: &str| inside(&root, &["--userns", userns, "--device", device], script);
        assert_eq!(
            inside(
                &format!("{null}:/dev/mine"),
                "stat -c '%a %u %F %t:%T' /dev/mine; echo x > /dev/mine && cat /dev/mine && echo ok"
            ),
            "600 0 character special file 1:3\nok"
        );
        assert_eq!(
            inside(&format!("{link}:/dev/a/b"), "stat -c %t:%T /dev/a/b"),
            "1:3",
            "links of the host are followed"
        );
        if std::path::Path::new("/dev/fuse").exists() {
            assert_eq!(inside("/dev/fuse", "exec 3<>/dev/fuse && echo open"), "open", "{userns}");
            let less =
                inside("/dev/fuse:r", "exec 3</dev/fuse && echo read; (exec 3<>/dev/fuse) 2>/dev/null || echo refused");
            assert_eq!(less, "read\nrefused", "{userns}");
        }
    }
    let dir = root.file("dir");
    std::fs::create_dir_all(dir.join("sub")).unwrap();
    for name in ["one", "sub/two"] {
        Cmd::new("mknod").arg(dir.join(name)).args(["c", "1", "5"]).ok();
    }
    std::fs::write(dir.join("file"), "no device").unwrap();
    let all =
        inside(&root, &["--device", &format!("{}:/dev/all", dir.display())], "cd /dev/all; find . -type c | sort");
    assert_eq!(all, "./one\n./sub/two");
}

#[test]
fn what_is_no_device_or_has_no_place_is_refused() {
    // spec: EXEC-130, EXEC-132
    need!(root);
    let root = Root::with_busybox();
    for (device, word) in [
        ("/etc/hostname", "not a device"),
        ("/no/such/device", "no such file"),
        ("/etc", "no device in this directory"),
        ("/dev/null:/etc/x", "nodev"),
        ("/dev/null:/dev/pts/x", "belongs to ctr"),
        ("/dev/null:/dev/zero", "another device"),
        ("/dev/null:/dev/../x", ".."),
        ("/dev/null:/dev/x:z", "access"),
    ] {
        let done = run(&root, &["--device", device], &["true"]);
        assert!(done.code == 125 && done.stderr.contains(word), "{device}: {done}");
    }
    let done = run(&root, &["-v", "/dev/null:/data"], &["true"]);
    assert!(done.code == 125 && done.stderr.contains("--device /dev/null"), "{done}");
    let done = run(&root, &["--device-cgroup-rule", "c 1:x r"], &["true"]);
    assert_eq!(done.code, 125, "{done}");
}

#[test]
fn an_ordinary_user_has_the_devices_that_the_user_may_open() {
    // spec: EXEC-133
    need!(root, "newuidmap");
    let user = users::with_range();
    let root = user.root();
    let image = users::readable(&root, &ctr_tests::images::busybox_dir(), "image");
    user.ctr(&root, "fetch").args(["-q", "--name", "busybox"]).arg(format!("oci:{}:latest", image.display())).ok();
    let run = |device: &str, script: &str| {
        let args = ["--wait", "--rm", "--log=inherit", "--device", device, "busybox", "sh", "-c", script];
        user.ctr(&root, "run").args(args).run()
    };
    let node = root.file("mine");
    Cmd::new("mknod").args(["-m", "666"]).arg(&node).args(["c", "1", "3"]).ok();
    let device = format!("{}:/dev/mine", node.display());
    assert_eq!(run(&device, "echo x > /dev/mine && stat -c %t:%T /dev/mine").ok(), "1:3");
    Cmd::new("chmod").arg("600").arg(&node).ok();
    let done = run(&device, "true");
    assert!(done.code == 125 && done.stderr.contains("cannot be opened by your user"), "{done}");
}
