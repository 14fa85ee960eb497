//! Hostile root filesystems, volumes and configurations under ctr-oci.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use ctr_tests::attack::Sentinel;
use ctr_tests::bundle::Bundle;
use ctr_tests::scratch::names;
use ctr_tests::{leaks, need};
use serde_json::{Value, json};

fn add(bundle: &Bundle, mounts: &[Value]) {
    bundle.edit(|config| config["mounts"].as_array_mut().expect("mounts").extend(mounts.iter().cloned()));
}

fn bind(source: &Path, destination: &str, options: &[&str]) -> Value {
    json!({"destination": destination, "type": "bind", "source": source, "options": options})
}

fn refused(bundle: &Bundle, what: &str) {
    let done = bundle.oci().args(["run", "c"]).run();
    assert_eq!((done.code, done.stdout.as_str()), (1, ""), "{what}: {done}");
    assert_eq!(bundle.kept(), Vec::<String>::new(), "{what}: {done}");
}

// ATTACK: CVE-2019-19921, CVE-2023-27561: /proc, /sys or /dev of a bundle's root filesystem is a link, a link out, or a file
//  => refused, nothing is mounted elsewhere
#[test]
fn a_root_filesystem_whose_proc_sys_or_dev_is_a_link_is_refused() {
    need!(root);
    for name in ["proc", "sys", "dev"] {
        for to in ["elsewhere", "/elsewhere", "/", "..", "FILE"] {
            let bundle = Bundle::new("echo started");
            let place = bundle.rootfs().join(name);
            let _ = fs::remove_dir_all(&place);
            fs::create_dir_all(bundle.rootfs().join("elsewhere")).unwrap();
            if to == "FILE" {
                fs::write(&place, "").unwrap();
            } else {
                symlink(to, &place).unwrap();
            }
            refused(&bundle, &format!("{name} -> {to}"));
            assert_eq!(names(&bundle.rootfs().join("elsewhere")), Vec::<String>::new());
        }
    }
}

// ATTACK: CVE-2021-30465: destinations of mounts in a bundle are links to the host, with `..` and without
//  => they lead to the container's own files, or are refused
#[test]
fn destinations_stay_in_the_root_filesystem() {
    need!(root);
    let bundle = Bundle::new("cat /in/mark /up/mark; echo started");
    let sentinel = Sentinel::new(&bundle.root().file("sentinel"));
    let source = bundle.root().file("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("mark"), "mark\n").unwrap();
    let rootfs = bundle.rootfs();
    symlink(sentinel.path("sub"), rootfs.join("in")).unwrap();
    symlink(format!("{}{}", "../".repeat(12), &sentinel.path("sub")[1..]), rootfs.join("up")).unwrap();
    fs::create_dir_all(rootfs.join(&sentinel.path("sub")[1..])).unwrap();
    let all = ["in", "up", "in/../deep", "/../../x"];
    let mounts: Vec<Value> = all.iter().map(|place| bind(&source, place, &["bind"])).collect();
    add(&bundle, &mounts);
    add(&bundle, &[json!({"destination": "/in/new", "type": "tmpfs", "options": ["tmpcopyup"]})]);
    let done = bundle.oci().args(["run", "c"]).run();
    sentinel.assert_untouched(&done.to_string());
    assert!(done.ok().ends_with("started"));
    assert_eq!(leaks::mounts(&bundle.root().path()), Vec::<String>::new());
}

// ATTACK: CVE-2023-27561, CVE-2023-28642, CVE-2025-52881: links of the root filesystem and of a volume lead from destinations of mounts, also of remounts, to /proc, /sys, /dev
//  => refused: nothing is laid over the kernel's files, and nothing of them is made writable again
#[test]
fn links_to_the_kernels_directories_are_refused() {
    need!(root);
    for place in ["proc", "proc/sys/kernel", "sys/kernel", "dev", "dev/shm/../pts"] {
        for volume in [false, true] {
            let bundle = Bundle::new("echo started");
            let shared = bundle.root().file("shared");
            fs::create_dir(&shared).unwrap();
            let dir = if volume { shared.clone() } else { bundle.rootfs() };
            symlink(format!("/{place}"), dir.join("link")).unwrap();
            let link = if volume { "/shared/link" } else { "/link" };
            if volume {
                add(&bundle, &[bind(&shared, "/shared", &["bind"])]);
            }
            for last in [
                bind(&shared, link, &["bind"]),
                json!({"destination": link, "type": "tmpfs"}),
                json!({"destination": link, "options": ["remount", "rw", "exec"]}),
            ] {
                // A mount of the container's own below /dev may be covered: nobody else sees it.
                if place.ends_with("pts") && last["options"][0] != "remount" {
                    continue;
                }
                let before = bundle.config();
                add(&bundle, std::slice::from_ref(&last));
                refused(&bundle, &format!("{link} -> {place}: {last}"));
                bundle.write(&before);
            }
        }
    }
}

// ATTACK: CVE-2021-30465: a volume of a bundle is changed by somebody else while mounts are laid below it: directories become links to the host, to /proc, and back
//  => mounted in the container or refused, never on the host
#[test]
fn a_volume_that_changes_does_not_lead_out() {
    need!(root);
    let bundle = Bundle::new("true");
    let sentinel = Sentinel::new(&bundle.root().file("sentinel"));
    let (shared, source) = (bundle.root().file("shared"), bundle.root().file("source"));
    fs::create_dir_all(shared.join("a")).unwrap();
    fs::create_dir(&source).unwrap();
    symlink(sentinel.path("sub"), shared.join("out")).unwrap();
    symlink("/proc/self/cwd", shared.join("proc")).unwrap();
    add(
        &bundle,
        &[
            bind(&shared, "/shared", &["rbind", "rshared"]),
            bind(&source, "/shared/a/deep", &["bind"]),
            json!({"destination": "/shared/a/more", "type": "tmpfs", "options": ["tmpcopyup"]}),
        ],
    );
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let rename = |from: &str, to: &str| fs::rename(shared.join(from), shared.join(to));
            while !done.load(Ordering::Relaxed) {
                for link in ["out", "proc"] {
                    let _ = rename("a", "b").and_then(|()| rename(link, "a"));
                    let _ = rename("a", link).and_then(|()| rename("b", "a"));
                }
            }
        });
        for round in 0..40 {
            let ended = bundle.oci().args(["run", "c"]).run();
            assert!(matches!(ended.code, 0 | 1), "{ended}");
            assert_eq!(bundle.kept(), Vec::<String>::new(), "{ended}");
            sentinel.assert_untouched(&format!("round {round}"));
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(names(&source), Vec::<String>::new());
}

// ATTACK: CVE-2025-31133, CVE-2023-27561: maskedPaths and readonlyPaths name links, `..` and what is not there; something else stands at /dev/null
//  => what they name in the container is hidden; with a false /dev/null it does not start
#[test]
fn masks_hide_what_they_name() {
    need!(root);
    let script = "cat /etc/secret; ls -A /hidden; echo x >/fixed/file || echo fixed; echo x >/proc/sys/kernel/domainname || echo proc";
    let bundle = Bundle::new(script);
    let sentinel = Sentinel::new(&bundle.root().file("sentinel"));
    let rootfs = bundle.rootfs();
    for dir in ["hidden", "fixed"] {
        fs::create_dir(rootfs.join(dir)).unwrap();
        fs::write(rootfs.join(dir).join("file"), "in it").unwrap();
    }
    fs::write(rootfs.join("etc/secret"), "secret").unwrap();
    symlink("/etc/secret", rootfs.join("to-secret")).unwrap();
    symlink(sentinel.path("hosts"), rootfs.join("to-host")).unwrap();
    bundle.edit(|config| {
        config["linux"]["maskedPaths"] =
            json!(["/to-secret", "/x/../hidden/", "/none", "/to-host", "/proc/none", "/sys/../../none"]);
        config["linux"]["readonlyPaths"] = json!(["/bin/..//fixed", "/proc/../proc/sys", "/to-host", "/none"]);
    });
    let done = bundle.oci().args(["run", "c"]).run();
    sentinel.assert_untouched(&done.to_string());
    assert_eq!(done.ok(), "fixed\nproc");
    let content = bundle.root().write("content", "content");
    fs::set_permissions(&content, fs::Permissions::from_mode(0o666)).unwrap();
    add(&bundle, &[bind(&content, "/dev/null", &["bind"])]);
    refused(&bundle, "a false /dev/null");
}

// ATTACK: CVE-2024-21626: process.cwd of a bundle is /proc/self/fd/N, directly and through a link of the root filesystem
//  => no way out of the root
#[test]
fn the_working_directory_of_a_bundle_is_no_way_out() {
    need!(root);
    for number in 0..16 {
        let bundle = Bundle::new("ls -d ../../../../../../../work /root/.. ; pwd");
        symlink(format!("/proc/self/fd/{number}"), bundle.rootfs().join("out")).unwrap();
        for cwd in [format!("/proc/self/fd/{number}"), "/out".to_owned(), format!("/proc/1/fd/{number}/..")] {
            bundle.edit(|config| config["process"]["cwd"] = json!(cwd));
            let done = bundle.oci().args(["run", "c"]).run();
            assert!(!done.stdout.contains("/work"), "{cwd}: {done}");
            assert!(matches!(done.code, 0 | 1), "{cwd}: {done}");
        }
    }
}

// ATTACK: CVE-2019-16884, CVE-2019-19921: a configuration lays something else over /proc or a part of it, by destinations with `..`, doubled slashes, relative ones
//  => refused by name; only a few files can be covered, by bind mounts
#[test]
fn procfs_is_not_covered() {
    need!(root);
    for place in [
        "/proc",
        "proc",
        "/./proc/",
        "//proc",
        "/x/../proc",
        "/proc/self",
        "/proc/self/attr/exec",
        "/proc/sys",
        "/proc/sys/kernel/../kernel/core_pattern",
        "/proc/sysrq-trigger",
        "/proc/1/root",
    ] {
        let bundle = Bundle::new("echo started");
        let source = bundle.root().file("source");
        fs::create_dir(&source).unwrap();
        for mount in [
            bind(&source, place, &["bind"]),
            json!({"destination": place, "type": "tmpfs"}),
            json!({"destination": place, "type": "sysfs"}),
        ] {
            let before = bundle.config();
            add(&bundle, &[mount]);
            refused(&bundle, place);
            bundle.write(&before);
        }
    }
}
