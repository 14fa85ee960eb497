//! Mounts of a config.json as the kernel has them: every option, and what hostile root filesystems and volumes make of places.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use ctr_tests::bundle::Bundle;
use ctr_tests::need;
use ctr_tests::scratch::{Cmd, Done, names};
use serde_json::{Value, json};

/// Adds mounts to the usual ones.
fn add(bundle: &Bundle, mounts: &[Value]) {
    bundle.edit(|config| config["mounts"].as_array_mut().expect("mounts").extend(mounts.iter().cloned()));
}

/// Runs the bundle and returns what it prints.
fn run(bundle: &Bundle) -> String {
    bundle.oci().args(["run", "c"]).ok()
}

/// Runs the bundle, which fails before its program starts and leaves nothing.
fn refused(bundle: &Bundle) -> Done {
    let done = bundle.oci().args(["run", "c"]).fails(1);
    assert_eq!(bundle.kept(), Vec::<String>::new(), "{done}");
    assert_eq!(done.stdout, "", "{done}");
    done
}

/// A line of mountinfo: options of the mount, the tags of its propagation, type, options of the file system.
#[derive(Debug)]
struct Mounted {
    options: Vec<String>,
    tags: Vec<String>,
    kind: String,
    superblock: Vec<String>,
}

/// The uppermost mount at `point`.
fn mounted(mountinfo: &str, point: &str) -> Mounted {
    let line = mountinfo.lines().rfind(|line| line.split(' ').nth(4) == Some(point));
    let line = line.unwrap_or_else(|| panic!("nothing is mounted at {point}:\n{mountinfo}"));
    let (own, filesystem) = line.split_once(" - ").expect("separator");
    let words = |text: &str, separator| text.split(separator).map(str::to_owned).collect::<Vec<String>>();
    let own = words(own, ' ');
    let filesystem = words(filesystem, ' ');
    Mounted {
        options: words(&own[5], ','),
        tags: own[6..].to_vec(),
        kind: filesystem[0].clone(),
        superblock: words(&filesystem[2], ','),
    }
}

fn bind(source: &Path, destination: &str, options: &[&str]) -> Value {
    json!({"destination": destination, "type": "bind", "source": source, "options": options})
}

fn tmpfs(destination: &str, options: &[&str]) -> Value {
    json!({"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": options})
}

/// Each option on a tmpfs and on a bind mount; what is there then, and what is not.
const OPTIONS: [(&str, &[&str], &str, &str); 19] = [
    ("ro", &["ro"], "ro", "rw"),
    ("rw", &["ro", "rw"], "rw", "ro"),
    ("nosuid", &["nosuid"], "nosuid", ""),
    ("suid", &["nosuid", "suid"], "rw", "nosuid"),
    ("nodev", &["nodev"], "nodev", ""),
    ("dev", &["nodev", "dev"], "rw", "nodev"),
    ("noexec", &["noexec"], "noexec", ""),
    ("exec", &["noexec", "exec"], "rw", "noexec"),
    ("noatime", &["noatime"], "noatime", "relatime"),
    ("atime", &["noatime", "atime"], "relatime", "noatime"),
    ("strictatime", &["strictatime"], "rw", "relatime"),
    ("nostrictatime", &["strictatime", "nostrictatime"], "relatime", ""),
    ("relatime", &["noatime", "relatime"], "relatime", "noatime"),
    ("norelatime", &["norelatime"], "relatime", "noatime"),
    ("nodiratime", &["nodiratime"], "nodiratime", ""),
    ("diratime", &["nodiratime", "diratime"], "rw", "nodiratime"),
    ("nosymfollow", &["nosymfollow"], "nosymfollow", ""),
    ("symfollow", &["nosymfollow", "symfollow"], "rw", "nosymfollow"),
    ("quiet", &["defaults", "silent", "loud", "iversion", "noiversion", "async", "nomand"], "rw", "sync"),
];

#[test]
fn every_attribute_is_set_and_cleared() {
    need!(root);
    let bundle = Bundle::new("cat /proc/self/mountinfo");
    let source = bundle.root().file("source");
    fs::create_dir(&source).unwrap();
    for (name, options, ..) in OPTIONS {
        let mut all = vec!["bind"];
        all.extend(options);
        add(&bundle, &[tmpfs(&format!("/t/{name}"), options), bind(&source, &format!("/b/{name}"), &all)]);
    }
    let mountinfo = run(&bundle);
    for (name, _, there, missing) in OPTIONS {
        for base in ["t", "b"] {
            let found = mounted(&mountinfo, &format!("/{base}/{name}"));
            assert!(found.options.iter().any(|option| option == there), "/{base}/{name}: {found:?}");
            assert!(!found.options.iter().any(|option| option == missing), "/{base}/{name}: {found:?}");
        }
    }
}

#[test]
fn recursive_attributes_reach_the_mounts_below() {
    need!(root);
    let bundle = Bundle::new("cat /proc/self/mountinfo");
    let source = bundle.root().file("source");
    fs::create_dir_all(source.join("below")).unwrap();
    let _mount = HostMount::tmpfs(&source.join("below"), "nosuid");
    add(
        &bundle,
        &[
            bind(&source, "/plain", &["rbind", "ro", "noexec"]),
            bind(&source, "/all", &["rbind", "rro", "rnoexec", "rnoatime", "rnosymfollow"]),
            bind(&source, "/mixed", &["rbind", "rro", "rw", "rsuid"]),
            bind(&source, "/single", &["bind"]),
        ],
    );
    let mountinfo = run(&bundle);
    let has = |point: &str, option: &str| mounted(&mountinfo, point).options.iter().any(|found| found == option);
    assert!(has("/plain", "ro") && has("/plain", "noexec"), "{mountinfo}");
    assert!(has("/plain/below", "rw") && !has("/plain/below", "noexec") && has("/plain/below", "nosuid"));
    for point in ["/all", "/all/below"] {
        for option in ["ro", "noexec", "noatime", "nosymfollow"] {
            assert!(has(point, option), "{point} {option}: {mountinfo}");
        }
    }
    assert!(has("/mixed", "rw") && has("/mixed/below", "ro") && !has("/mixed/below", "nosuid"), "{mountinfo}");
    assert!(!mountinfo.contains(" /single/below "), "{mountinfo}");
}

/// A mount on the host, for as long as this lives.
struct HostMount(PathBuf);

impl HostMount {
    fn tmpfs(place: &Path, options: &str) -> Self {
        Cmd::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(place).ok();
        Self(place.to_owned())
    }
}

impl Drop for HostMount {
    fn drop(&mut self) {
        let _ = Cmd::new("umount").args(["-l"]).arg(&self.0).run();
    }
}

#[test]
fn propagation_of_mounts() {
    need!(root);
    let bundle = Bundle::new("cat /proc/self/mountinfo");
    let source = bundle.root().file("source");
    fs::create_dir(&source).unwrap();
    let mount = HostMount::tmpfs(&source, "mode=755");
    Cmd::new("mount").arg("--make-shared").arg(&mount.0).ok();
    for kind in ["private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"] {
        add(&bundle, &[bind(&source, &format!("/b/{kind}"), &["rbind", kind]), tmpfs(&format!("/t/{kind}"), &[kind])]);
    }
    add(&bundle, &[bind(&source, "/both", &["bind", "slave", "shared"])]);
    let mountinfo = run(&bundle);
    let tags = |point: &str| {
        let tags = mounted(&mountinfo, point).tags;
        tags.iter().map(|tag| tag.split(':').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    for (kind, expected) in
        [("private", &[][..]), ("slave", &["master"]), ("shared", &["shared"]), ("unbindable", &["unbindable"])]
    {
        for name in [kind.to_owned(), format!("r{kind}")] {
            assert_eq!(tags(&format!("/b/{name}")), expected, "{name}");
            // A mount of its own has nobody to be the slave of.
            let own: &[&str] = if kind == "slave" { &[] } else { expected };
            assert_eq!(tags(&format!("/t/{name}")), own, "{name}");
        }
    }
    assert_eq!(tags("/both"), ["shared", "master"]);
}

#[test]
fn the_root_filesystem_has_the_propagation_that_is_asked_for() {
    need!(root);
    for (kind, expected) in [
        ("", &[][..]),
        ("private", &[]),
        ("rprivate", &[]),
        ("shared", &["shared"]),
        ("rshared", &["shared"]),
        ("unbindable", &["unbindable"]),
    ] {
        let bundle = Bundle::new("cat /proc/self/mountinfo");
        bundle.edit(|config| config["linux"]["rootfsPropagation"] = json!(kind));
        let found = mounted(&run(&bundle), "/");
        let tags: Vec<&str> = found.tags.iter().filter_map(|tag| tag.split(':').next()).collect();
        assert_eq!(tags, expected, "{kind}");
    }
}

#[test]
fn options_of_the_file_system() {
    need!(root);
    let bundle =
        Bundle::new("cat /proc/self/mountinfo; stat -c '%a %u' /t/mode; ls /t/ext/lost+found >/dev/null && echo disk");
    let disk = bundle.root().file("disk");
    Cmd::new("truncate").args(["-s", "4M"]).arg(&disk).ok();
    Cmd::new("mke2fs").args(["-q", "-t", "ext4"]).arg(&disk).ok();
    let device = Cmd::new("losetup").args(["--find", "--show"]).arg(&disk).ok().trim().to_owned();
    add(
        &bundle,
        &[
            tmpfs("/t/mode", &["mode=1750", "uid=7", "size=64k"]),
            tmpfs("/t/sync", &["sync", "dirsync"]),
            tmpfs("/t/lazy", &["lazytime"]),
            tmpfs("/t/async", &["sync", "async", "lazytime", "nolazytime"]),
            json!({"destination": "/t/ext", "type": "ext4", "source": device, "options": ["ro"]}),
            json!({"destination": "t/relative/../proc", "type": "proc", "source": "proc", "options": ["hidepid=2"]}),
        ],
    );
    // The container's own device rules hold for the mount already.
    bundle.edit(|config| {
        let rules = config["linux"]["resources"]["devices"].as_array_mut().expect("rules");
        rules.push(json!({"allow": true, "type": "b", "major": 7, "access": "r"}));
    });
    let done = bundle.oci().args(["run", "c"]).run();
    Cmd::new("losetup").args(["-d", &device]).ok();
    let output = done.ok();
    let superblock = |point: &str| mounted(&output, point).superblock;
    assert!(superblock("/t/mode").contains(&"size=64k".to_owned()), "{output}");
    assert!(output.ends_with("\n1750 7\ndisk"), "{output}");
    let has = |point: &str, option: &str| superblock(point).iter().any(|found| found == option);
    assert!(has("/t/sync", "sync") && has("/t/sync", "dirsync") && has("/t/lazy", "lazytime"), "{output}");
    assert!(!has("/t/async", "sync") && !has("/t/async", "lazytime"), "{output}");
    assert!(has("/t/ext", "ro") && mounted(&output, "/t/ext").kind == "ext4", "{output}");
    assert!(superblock("/t/proc").iter().any(|option| option.starts_with("hidepid=")), "{output}");
}

#[test]
fn a_tmpfs_that_begins_with_what_the_image_has() {
    need!(root);
    let bundle = Bundle::new(
        "cd /seed; stat -c '%n %a %u' . file dir link; cat file; touch new; readlink link; ls /none /vol/in",
    );
    let (seed, vol) = (bundle.rootfs().join("seed"), bundle.root().file("vol"));
    fs::create_dir_all(seed.join("dir")).unwrap();
    fs::create_dir_all(vol.join("in")).unwrap();
    fs::write(vol.join("in/side"), "").unwrap();
    fs::write(seed.join("file"), "content").unwrap();
    fs::set_permissions(seed.join("file"), fs::Permissions::from_mode(0o604)).unwrap();
    fs::set_permissions(&seed, fs::Permissions::from_mode(0o711)).unwrap();
    std::os::unix::fs::chown(seed.join("file"), Some(7), Some(7)).unwrap();
    symlink("/etc/shadow", seed.join("link")).unwrap();
    add(
        &bundle,
        &[
            tmpfs("/seed", &["tmpcopyup", "nosuid"]),
            tmpfs("/none", &["tmpcopyup", "mode=755"]),
            bind(&vol, "/vol", &["bind"]),
            tmpfs("/vol/in", &["tmpcopyup", "ro"]),
        ],
    );
    let output = run(&bundle);
    assert_eq!(output, ". 711 0\nfile 604 7\ndir 755 0\nlink 777 0\ncontent/etc/shadow\n/none:\n\n/vol/in:\nside");
    assert_eq!(names(&seed), ["dir", "file", "link"]);
}

#[test]
fn what_is_mounted_is_changed_by_a_later_mount() {
    need!(root);
    let bundle = Bundle::new("cat /proc/self/mountinfo");
    let source = bundle.root().file("source");
    fs::create_dir(&source).unwrap();
    add(
        &bundle,
        &[
            tmpfs("/t", &["noexec", "size=64k"]),
            bind(&source, "/b", &["bind"]),
            json!({"destination": "/t", "type": "tmpfs", "options": ["remount", "ro", "size=128k"]}),
            json!({"destination": "/b", "options": ["remount", "bind", "nosuid"]}),
        ],
    );
    let mountinfo = run(&bundle);
    let tmpfs = mounted(&mountinfo, "/t");
    assert!(["ro", "noexec"].iter().all(|option| tmpfs.options.iter().any(|found| found == option)), "{tmpfs:?}");
    assert!(tmpfs.superblock.contains(&"size=128k".to_owned()), "{tmpfs:?}");
    let bound = mounted(&mountinfo, "/b");
    assert!(bound.options.contains(&"nosuid".to_owned()) && bound.options.contains(&"rw".to_owned()), "{bound:?}");
    add(&bundle, &[json!({"destination": "/bin", "options": ["remount", "ro"]})]);
    refused(&bundle).says("/bin");
}

#[test]
fn mapped_ids() {
    need!(root);
    let bundle = Bundle::new("stat -c %u:%g /m/f /r/f /r/below/f; touch /m/new");
    let source = bundle.root().file("source");
    fs::create_dir_all(source.join("below")).unwrap();
    fs::set_permissions(&source, fs::Permissions::from_mode(0o777)).unwrap();
    let _mount = HostMount::tmpfs(&source.join("below"), "mode=777");
    for file in ["f", "below/f"] {
        fs::write(source.join(file), "").unwrap();
        std::os::unix::fs::chown(source.join(file), Some(5), Some(6)).unwrap();
    }
    let mapped = |destination: &str, options: &[&str]| {
        let mapping = |inside: u32, outside: u32| json!([{"containerID": inside, "hostID": outside, "size": 10}]);
        let mut mount = bind(&source, destination, options);
        mount["uidMappings"] = mapping(0, 1000);
        mount["gidMappings"] = mapping(0, 2000);
        mount
    };
    add(&bundle, &[mapped("/m", &["bind", "idmap"]), mapped("/r", &["rbind", "ridmap"])]);
    bundle.edit(|config| config["process"]["user"] = json!({"uid": 1003, "gid": 2004}));
    assert_eq!(run(&bundle), "1005:2006\n1005:2006\n1005:2006");
    let made = fs::metadata(source.join("new")).unwrap();
    assert_eq!((made.uid(), made.gid()), (3, 4));
}

#[test]
fn errors_name_the_mount() {
    need!(root);
    let nowhere = Path::new("/nowhere/at/all");
    for (mount, words) in [
        (bind(nowhere, "/b", &["bind"]), "mounts[6]"),
        (bind(nowhere, "/b", &["bind", "sync"]), "mounts[6].options[1]"),
        (tmpfs("/t", &["sizze=5"]), "mounts[6]"),
        (json!({"destination": "/t", "type": "nofs"}), "mounts[6]"),
        (json!({"destination": "/t"}), "mounts[6].type"),
        (tmpfs("/", &[]), "mounts[6].destination"),
        (tmpfs("/proc/self/attr", &[]), "mounts[6].destination"),
        (tmpfs("/x/../proc", &[]), "mounts[6].destination"),
        (bind(Path::new("/tmp"), "/proc", &["bind"]), "mounts[6]"),
    ] {
        let bundle = Bundle::new("true");
        add(&bundle, &[mount]);
        refused(&bundle).says(words);
    }
}

#[test]
fn files_of_procfs_can_be_covered() {
    need!(root);
    let bundle = Bundle::new("cat /proc/uptime; cat /proc/self/net/dev; cat /proc/sys/kernel/ns_last_pid");
    let source = bundle.root().write("mine", "mine\n");
    for place in ["/proc/uptime", "/proc/net/dev", "/proc/sys/kernel/ns_last_pid"] {
        add(&bundle, &[bind(&source, place, &["bind", "ro"])]);
    }
    bundle.edit(|config| config["linux"]["readonlyPaths"] = json!([]));
    let done = bundle.oci().args(["run", "c"]).run();
    // The kernel shows a network namespace below each process: what covers one of them is not seen in the others.
    assert_eq!(done.ok().lines().next(), Some("mine"));
}
