//! User namespaces of containers of root: which ids are which, on disk and in the kernel, and what container root cannot do.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use ctr_tests::busybox::{inside, run};
use ctr_tests::oci::Layout;
use ctr_tests::private_host::{enter, start_of};
use ctr_tests::scratch::{Cmd, Root};
use ctr_tests::tarball::{Entry, Tar};
use ctr_tests::{bins, images, need, store_check, tree};
use serde_json::Value;

/// Options for a map of 0..COUNT to ids that no container and no user has here.
fn map(count: u32) -> String {
    format!("--userns=0:200000000:{count}")
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_default_is_a_range_of_its_own_and_both_plan_and_status_tell_it() {
    // spec: EXEC-110, EXEC-112, EXEC-118
    need!(root);
    let root = Root::with_busybox();
    let host = fs::read_link("/proc/self/ns/user").unwrap().display().to_string();
    let script = "cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups; readlink /proc/self/ns/user; id -u; id -g; umask";
    let seen = inside(&root, &[], script);
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(start_of(lines[0]), start_of(lines[1]));
    assert_eq!((lines[2], &lines[4..]), ("allow", &["0", "0", "0022"][..]));
    assert_ne!(lines[3], host);
    let done = root.ctr("run").args(["--explain", "--name", "a", "busybox", "sleep", "600"]).run();
    let status = json(&root.ctr("ps").args(["--format", "json", "a"]).ok());
    let isolation = &status[0]["isolation"];
    let told = isolation["uid_map"][0].as_str().unwrap().replace(':', " ");
    let start = start_of(&told);
    assert_eq!((isolation["userns"].as_str(), &isolation["gid_map"]), (Some("auto"), &isolation["uid_map"]));
    assert_eq!(start_of(&fs::read_to_string(format!("/proc/{}/uid_map", status[0]["pid"])).unwrap()), start);
    assert_eq!(status[0]["live"]["namespaces"]["user"], "own");
    assert_eq!(status[0]["live"]["uid"], start);
    done.says(&format!("uids 0:{start}:65536")).says("auto (the default").says("by idmapped mounts");
    let table = root.ctr("ps").args(["--isolation", "a"]).ok();
    assert!(table.contains("USER IDS") && table.contains(&format!("auto 0:{start}:65536")), "{table}");
}

#[test]
fn the_hosts_user_namespace_when_asked_for() {
    // spec: EXEC-110
    need!(root);
    let root = Root::with_busybox();
    let host = fs::read_link("/proc/self/ns/user").unwrap().display().to_string();
    assert_eq!(inside(&root, &["--userns=host"], "readlink /proc/self/ns/user"), host);
    root.ctr("run").args(["--userns=host", "--name", "h", "busybox", "sleep", "600"]).ok();
    let status = json(&root.ctr("ps").args(["--format", "json", "h"]).ok());
    assert_eq!(status[0]["isolation"]["userns"], "host");
    assert_eq!(status[0]["isolation"].get("uid_map"), None);
    assert!(root.ctr("ps").args(["--isolation", "h"]).ok().contains("host"), "the table tells it");
}

#[test]
fn one_id_can_be_kept() {
    // spec: EXEC-115
    need!(root);
    let root = Root::with_busybox();
    let volume = root.file("volume");
    fs::create_dir(&volume).unwrap();
    chown(&volume, Some(1234), Some(1235)).unwrap();
    fs::write(volume.join("before"), "x").unwrap();
    chown(volume.join("before"), Some(1234), Some(1235)).unwrap();
    let mount = format!("{}:/v", volume.display());
    let options = ["--userns=keep-id:uid=1234,gid=1235", "-v", &mount];
    let script = "cat /proc/self/uid_map; id; ls -ln /v; touch /v/after && echo y > /v/before && cat /v/before";
    let seen = inside(&root, &options, script);
    let fields: Vec<&str> = seen.split_whitespace().collect();
    assert_eq!((fields[0], fields[2]), ("0", "1234"));
    assert_eq!(fields[3..6], ["1234", "1234", "1"], "the hole");
    assert_eq!((fields[6], fields[8]), ("1235", "64301"));
    assert!(seen.contains("uid=1234 gid=1235") && seen.ends_with("\ny"), "{seen}");
    let facts = fs::metadata(volume.join("after")).unwrap();
    assert_eq!((facts.uid(), facts.gid()), (1234, 1235), "on disk");
    // Another user is still another one, and root of the container is nobody here.
    let seen = inside(&root, &[&options[..], &["--user", "0"]].concat(), "id -u; cat /proc/self/uid_map | head -1");
    assert!(seen.starts_with("0\n") && !seen.contains(" 0 0 "), "{seen}");
    for ids in ["", ":uid=0", ":uid=1000,gid=0", ":gid=5", ":uid=1879048192", ":uid=x", ":colour=1"] {
        let done = run(&root, &[&format!("--userns=keep-id{ids}")], &["true"]);
        assert_eq!(done.code, 125, "{ids}: {done}");
        assert!(done.stderr.contains("keep-id"), "{ids}: {done}");
    }
}

#[test]
fn maps_of_the_callers() {
    // spec: EXEC-116
    need!(root);
    let root = Root::with_busybox();
    let maps = |options: &[&str]| {
        let seen = inside(&root, options, "cat /proc/self/uid_map; echo -; cat /proc/self/gid_map");
        seen.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(maps(&["--userns=0:200000000:1000"]), "0 200000000 1000 - 0 200000000 1000");
    assert_eq!(maps(&["--uidmap", "0:200000000:1000"]), "0 200000000 1000 - 0 200000000 1000");
    assert_eq!(maps(&["--gidmap", "0:200000000:1000"]), "0 200000000 1000 - 0 200000000 1000");
    let both = ["--uidmap", "0:200000000:1000", "--uidmap", "5000:200005000:1", "--gidmap", "0:300000000:60"];
    assert_eq!(maps(&both), "0 200000000 1000 5000 200005000 1 - 0 300000000 60");
    assert_eq!(maps(&["--userns=0:200000000:10,10:200000100:90"]).matches("200000100").count(), 2);
    for (options, why) in [
        (&["--userns=0:200000000:10,5:300000000:10"][..], "overlaps"),
        (&["--uidmap", "0:200000000:10", "--uidmap", "20:200000005:10"], "overlaps"),
        (&["--userns=1:200000000:10"], "id 0"),
        (&["--uidmap", "0:200000000:10", "--gidmap", "1:200000000:10"], "id 0"),
        (&["--userns=0:200000000:0"], "no ids"),
        (&["--userns=0:4294967290:10"], "no ids"),
        (&["--userns=0:200000000"], "three numbers"),
        (&["--userns=0:-1:5"], "three numbers"),
        (&["--userns=colour"], "keep-id"),
        (&["--userns=host", "--uidmap", "0:200000000:10"], "cannot be used with"),
    ] {
        let done = run(&root, options, &["true"]);
        assert_eq!(done.code, 125, "{options:?}: {done}");
        done.says(why);
    }
    let many: Vec<String> = (0..341).map(|n| format!("{n}:{}:1", 200_000_000 + 2 * n)).collect();
    run(&root, &[&format!("--userns={}", many.join(","))], &["true"]).says("340");
    run(&root, &[&format!("--userns={}", many[..300].join(","))], &["true"]).says("4095");
    let few = format!("--userns={}", many[..150].join(","));
    assert_eq!(inside(&root, &[&few], "wc -l < /proc/self/uid_map"), "150");
}

#[test]
fn ids_that_are_not_mapped_are_refused() {
    // spec: EXEC-117
    need!(root);
    let root = Root::with_busybox();
    for (options, what) in [
        (&["--user", "70000"][..], "user 70000"),
        (&["--user", "0:70000"], "group 70000"),
        (&["--user", "0:0", "--group-add", "70000"], "group 70000"),
        (&[&map(1000), "--user", "bob"], "user 1000"),
        (&[&map(1001), "--user", "bob"], "group 1001"),
    ] {
        let done = run(&root, options, &["true"]);
        assert_eq!(done.code, 125, "{options:?}: {done}");
        done.says(what).says("does not map").says("hint");
    }
    assert_eq!(inside(&root, &["--user", "65535:65535"], "id -u; id -g"), "65535\n65535");
    assert_eq!(inside(&root, &[&map(1002), "--user", "bob"], "id -u; id -g"), "1000\n1001");
}

#[test]
fn an_image_with_larger_ids_wants_a_larger_map() {
    // spec: EXEC-117
    need!(root);
    let root = Root::new();
    let big = Entry { content: b"big".to_vec(), ..Entry::new(b'0', "big") }.owner(100_000, 100_001);
    root.fetch(&images::busybox_with(&root.file("layout"), &[Tar::new().add(big).finish()]), "busybox");
    let done = run(&root, &[], &["true"]);
    assert_eq!(done.code, 125, "{done}");
    done.says("user id 100000").says("--userns=0:START:100001");
    run(&root, &[&map(100_001)], &["true"]).says("group id 100001");
    let seen = inside(&root, &[&map(100_002)], "stat -c %u:%g /big; echo more >> /big && cat /big");
    assert_eq!(seen, "100000:100001\nbigmore");
    assert_eq!(inside(&root, &["--userns=host"], "stat -c %u:%g /big"), "100000:100001");
}

#[test]
fn files_in_volumes_have_the_ids_that_the_container_sees() {
    // spec: EXEC-119
    need!(root);
    let root = Root::with_busybox();
    let volume = root.file("volume");
    fs::create_dir(&volume).unwrap();
    fs::set_permissions(&volume, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(volume.join("roots"), "x").unwrap();
    fs::write(volume.join("bobs"), "x").unwrap();
    chown(volume.join("bobs"), Some(1000), Some(1001)).unwrap();
    fs::set_permissions(volume.join("bobs"), fs::Permissions::from_mode(0o600)).unwrap();
    let mount = format!("{}:/v", volume.display());
    let script = "stat -c '%n %u:%g' /v /v/roots /v/bobs; echo y > /v/new; mkdir -m 777 /v/open; chown 12:34 /v/new; mkfifo /v/fifo; ln -s x /v/link";
    assert_eq!(inside(&root, &["-v", &mount], script), "/v 0:0\n/v/roots 0:0\n/v/bobs 1000:1001");
    inside(
        &root,
        &["-v", &mount, "--user", "bob"],
        "cat /v/bobs && echo z >> /v/bobs && touch /v/open/bobs; ! touch /v/no 2>/dev/null",
    );
    let owner = |name: &str| {
        let facts = fs::symlink_metadata(volume.join(name)).unwrap();
        (facts.uid(), facts.gid())
    };
    assert_eq!((owner("new"), owner("open"), owner("fifo"), owner("link")), ((12, 34), (0, 0), (0, 0), (0, 0)));
    assert_eq!((owner("open/bobs"), owner("bobs"), owner("roots")), ((1000, 1001), (1000, 1001), (0, 0)));
    let explain = |options: &[&str]| root.ctr("run").args(options.iter().copied()).args(["--dry-run", "busybox"]).ok();
    let danger = "root of the container writes files of the host's root at /v";
    assert!(explain(&["-v", &mount]).contains(danger), "{}", explain(&["-v", &mount]));
    assert!(!explain(&["-v", &format!("{mount}:ro")]).contains(danger));
    assert!(!explain(&["--userns=host", "-v", &mount]).contains(danger));
    // The generated files belong to the container's root too.
    let seen = inside(&root, &["--dns", "9.9.9.9"], "stat -c %u:%g /etc/hosts /etc/hostname /etc/resolv.conf / /tmp");
    assert_eq!(seen, ["0:0"; 5].join("\n"));
}

/// A kernel file system has no mounts under other ids.
#[test]
fn a_volume_that_cannot_be_shown_under_other_ids_is_an_error() {
    // spec: EXEC-120
    need!(root);
    let root = Root::with_busybox();
    let done = run(&root, &["-v", "/proc/sys:/v"], &["true"]);
    assert_eq!(done.code, 125, "{done}");
    done.says("/proc/sys").says("hint");
}

#[test]
fn a_store_that_cannot_be_shown_under_other_ids_is_an_error() {
    // spec: EXEC-120, KERN-33
    need!(root);
    let root = Root::new();
    enter(&root, "", "");
    for dir in ["lower", "upper", "work", "root"] {
        fs::create_dir(root.file(dir)).unwrap();
    }
    let path = |name: &str| root.file(name).display().to_string();
    let options = format!("lowerdir={},upperdir={},workdir={}", path("lower"), path("upper"), path("work"));
    let place = root.file("root");
    let (flags, options) = (nix::mount::MsFlags::empty(), Some(options.as_str()));
    nix::mount::mount(Some("overlay"), &place, Some("overlay"), flags, options).unwrap();
    root.fetch(&images::busybox(), "busybox");
    let done = run(&root, &[], &["true"]);
    assert_eq!(done.code, 125, "{done}");
    done.says(&path("root")).says("cannot be idmapped").says("ext4, xfs, btrfs or tmpfs");
    assert_eq!(root.containers("embryo"), Vec::<String>::new());
}

/// A static program that tells its effective ids and capabilities, as the kernel gives them at its exec.
fn teller() -> PathBuf {
    let path = bins::work_dir().join("images/teller-1");
    bins::once(&path, |half| {
        let source = half.with_extension("c");
        let code = "#include <stdio.h>\n#include <string.h>\n#include <unistd.h>\nint main(void) { char l[256]; FILE *f = fopen(\"/proc/self/status\", \"r\");\n\
                    printf(\"%d %d \", geteuid(), getegid()); while (f && fgets(l, 256, f)) if (!strncmp(l, \"CapEff:\", 7)) printf(\"%s\", l + 8); return 0; }\n";
        fs::write(&source, code).expect("write");
        Cmd::new("musl-gcc").args(["-static", "-O1", "-Wall", "-Werror", "-o"]).arg(half).arg(&source).ok();
    });
    path
}

#[test]
fn set_user_id_programs_and_file_capabilities_of_the_image_work() {
    // spec: EXEC-62, EXEC-121
    need!(root, "musl-gcc");
    let root = Root::new();
    let program = fs::read(teller()).unwrap();
    let file = |name: &str, mode: u32| Entry { content: program.clone(), ..Entry::new(b'0', name) }.mode(mode);
    // capability(7), revision 2: effective, CAP_NET_BIND_SERVICE (10) and CAP_SYS_ADMIN (21), which is not in the bounding set.
    let caps = |bits: u32| [&0x0200_0001u32.to_le_bytes()[..], &bits.to_le_bytes(), &[0; 12]].concat();
    let layer = Tar::new()
        .add(file("plain", 0o755))
        .add(file("suid", 0o4755))
        .add(file("sgid", 0o2755).owner(0, 50))
        .add(file("bobs", 0o4755).owner(1000, 1001))
        .add(file("bind", 0o755).pax("SCHILY.xattr.security.capability", caps(1 << 10)))
        .add(file("admin", 0o755).pax("SCHILY.xattr.security.capability", caps(1 << 21)));
    root.fetch(&images::busybox_with(&root.file("layout"), &[layer.finish()]), "busybox");
    let bob = |program: &str| inside(&root, &["--user", "bob"], &format!("{program} 2>&1 || true"));
    assert_eq!(bob("/plain"), "1000 1001 0000000000000000");
    assert_eq!(bob("/suid"), "0 1001 00000000800405fb");
    assert_eq!(bob("/sgid"), "1000 50 0000000000000000");
    assert_eq!(bob("/bind"), "1000 1001 0000000000000400");
    assert!(bob("/admin").contains("not permitted"), "beyond the bounding set: {}", bob("/admin"));
    assert_eq!(inside(&root, &["--user", "65534"], "/bobs"), "1000 0 0000000000000000");
    // What the container itself makes works too, and is worth nothing on the host: it belongs to the range.
    let script = "cp /plain /tmp/own && chmod 4755 /tmp/own && ls -ln /tmp/own && stat -c %u /tmp/own";
    assert!(inside(&root, &[], script).ends_with("\n0"), "made inside");
}

#[test]
fn nothing_is_copied_or_given_away_for_the_range() {
    // spec: EXEC-118, EXEC-11
    need!(root, "umoci");
    let root = Root::new();
    let digest = root.fetch(&format!("oci:{}:latest", images::umoci_layers().display()), "many");
    let trees = store_check::layer_trees(&root.store(), &digest);
    let before: Vec<_> = trees.iter().map(|dir| tree::list(dir)).collect();
    let id = root.ctr("run").args(["many", "sh", "-c", "echo x > /new; sleep 600"]).ok();
    let upper = root.path().join("containers/run").join(&id).join("upper");
    ctr_tests::scratch::until("it has written", || upper.join("new").exists());
    let start = |dir: &Path| fs::symlink_metadata(dir).unwrap().uid();
    let range = start(&upper);
    assert!(range >= 0x7000_0000, "{range:x}");
    let mut made: Vec<String> = tree::list(&upper).into_keys().collect();
    made.retain(|name| !["proc", "sys", "dev"].contains(&name.as_str()));
    // What was written, and the places where the generated files are mounted.
    let allowed = [".", "etc", "etc/hostname", "etc/hosts", "new"];
    assert!(made.iter().all(|name| allowed.contains(&name.as_str())), "{made:?}");
    assert_eq!(start(&upper.join("new")), range);
    let after: Vec<_> = trees.iter().map(|dir| tree::list(dir)).collect();
    assert!(before == after, "the layers are as they were, to the last owner");
}

/// The container's root has all capabilities over its own namespaces, and is nobody for what belongs to the host.
// ATTACK: host files by container root: every writable file of /proc/sys, /sys and beside them is opened to be written, with all capabilities and no filter => only parameters of the container's own namespaces
#[test]
fn container_root_writes_to_nothing_of_the_hosts() {
    // spec: EXEC-121
    need!(root);
    let root = Root::with_busybox();
    // Opened, not written: a hole would be found without harm.
    let script = "mount -o remount,bind,rw /proc/sys 2>/dev/null; mount -o remount,bind,rw /sys 2>/dev/null; mount -o remount,rw /sys 2>/dev/null
        for f in $(find /proc/sys /proc/sysrq-trigger /proc/irq /proc/fs /proc/bus -type f 2>/dev/null); do (: >> $f) 2>/dev/null && echo $f; done
        for f in $(find /sys/kernel /sys/module /sys/power /sys/fs /sys/firmware /sys/bus/*/uevent /sys/bus/*/drivers_probe /sys/class -type f -perm -200 2>/dev/null | head -3000); do (: >> $f) 2>/dev/null && echo $f; done; true";
    for options in [&[][..], &["--cap-add", "ALL", "--seccomp", "unconfined"]] {
        let seen = inside(&root, options, script);
        // sysctl(7) trees that the kernel has once for each namespace.
        let own = ["/proc/sys/net/", "/proc/sys/user/", "/proc/sys/fs/mqueue/", "/proc/sys/kernel/"];
        let names =
            ["hostname", "domainname", "sem", "shm", "msg", "auto_msgmni", "ns_last_pid", "cap_last_cap", "pid_max"];
        let is_own = |path: &str| {
            let Some((place, name)) = own.iter().find_map(|own| Some((*own, path.strip_prefix(own)?))) else {
                return false;
            };
            place != "/proc/sys/kernel/" || names.iter().any(|own| name.starts_with(own))
        };
        let hosts: Vec<&str> = seen.lines().filter(|path| !is_own(path)).collect();
        assert_eq!(hosts, Vec::<&str>::new(), "{options:?}");
        assert!(!options.is_empty() || seen.is_empty(), "{seen}");
    }
    // Beside the volume lies a file of root: not through the volume, its parents, or links.
    let volume = root.file("volume");
    fs::create_dir(&volume).unwrap();
    let secret = root.write("secret", "untouched");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink(&secret, volume.join("link")).unwrap();
    let mount = format!("{}:/v", volume.display());
    let script = "for f in /v/link /v/../secret /v/../../secret /proc/1/root/secret; do cat $f 2>/dev/null; (echo x > $f) 2>/dev/null; done; ls -A /v/..";
    let seen = inside(&root, &["-v", &mount, "--read-only", "--cap-add", "DAC_READ_SEARCH"], script);
    assert!(!seen.contains("untouched") && !seen.contains("ctr-test"), "{seen}");
    assert_eq!(fs::read_to_string(&secret).unwrap(), "untouched");
}

/// Root in somebody's user namespace is like an ordinary user in their own: same ids, nothing to set up.
#[test]
fn root_of_another_user_namespace_runs_containers_too() {
    // spec: EXEC-122
    need!(root, "unshare");
    let root = Root::new();
    // Without a mount namespace of its own, and with one.
    for flags in ["-Ur", "-Urm"] {
        let place = root.file(&format!("nested{flags}"));
        fs::create_dir(&place).unwrap();
        let ctr = |name: &str| {
            let command = Cmd::new("unshare").arg(flags).arg(bins::binary(&format!("ctr-{name}")));
            command.env("CTR_ROOT", place.join("root"))
        };
        ctr("fetch").args(["-q", &images::busybox(), "--name", "busybox"]).ok();
        let go = |options: &[&str], script: &str| {
            let base = ctr("run").args(["--wait", "--rm", "--log=inherit"]).args(options.iter().copied());
            base.args(["busybox", "sh", "-c", script]).run()
        };
        let seen =
            go(&[], "cat /proc/self/uid_map; id -u; touch /x && stat -c %u /x /etc/hosts; echo > /dev/null").ok();
        assert_eq!(seen.split_whitespace().collect::<Vec<_>>(), ["0", "0", "1", "0", "0", "0"], "{flags}");
        assert_eq!(go(&["--user", "bob"], "id -u").code, 125, "{flags}");
        for option in ["--userns=keep-id:uid=5", "--userns=0:100000:65536", "--userns=host"] {
            let done = go(&[option], "true");
            assert_eq!(done.code, 125, "{flags} {option}: {done}");
            done.says("needs root on the host");
        }
    }
}

/// `Layout` is used by hand where an image has no files of its own.
#[test]
fn an_image_owned_by_another_user_has_that_users_root_directory() {
    // spec: EXEC-10
    need!(root);
    let root = Root::new();
    let layer = images::busybox_tree().add(Entry::new(b'5', "./").owner(1000, 1001).mode(0o1755)).finish();
    let mut layout = Layout::new(&root.file("layout"));
    let image = layout.image(&images::busybox_config(), &[ctr_tests::oci::Layer::plain(layer)]);
    layout.tag("latest", &image);
    root.fetch(&layout.source("latest"), "busybox");
    for options in [&[][..], &["--userns=host"], &["--userns=keep-id:uid=1000,gid=1001"]] {
        let options = [options, &["--user", "0"]].concat();
        assert_eq!(inside(&root, &options, "stat -c '%u:%g %a' /"), "1000:1001 1755", "{options:?}");
    }
}
