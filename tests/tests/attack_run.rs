//! Hostile commands of a RUN: what they try against the host, the store and the builder, as root, with ranges of ids and with one id.

use std::fs;
use std::path::{Path, PathBuf};

use ctr_tests::attack::Sentinel;
use ctr_tests::build::Builder;
use ctr_tests::scratch::{Cmd, Done};
use ctr_tests::{need, programs, users};

fn builders() -> [(&'static str, Builder); 3] {
    [
        ("root", Builder::new()),
        ("userns", Builder::of_user(users::with_range())),
        ("single-id", Builder::of_user(users::without_range())),
    ]
}

fn context(builder: &Builder, dockerfile: &str) -> PathBuf {
    builder.context(&[("Dockerfile", dockerfile)])
}

fn build(builder: &Builder, dockerfile: &str) -> Cmd {
    let dir = context(builder, dockerfile);
    builder.ctr("build").args(["--pull=never", "--no-cache", "--tag", "made"]).arg(dir)
}

/// What commands printed, if all ended well.
#[track_caller]
fn printed(done: &Done) -> Vec<&str> {
    assert_eq!(done.code, 0, "{done}");
    done.stderr.lines().filter_map(|line| Some(line.split_once("] | ")?.1)).collect()
}

/// A place of the host that everybody may write to: what keeps a command from it is not its mode.
fn sentinel(builder: &Builder) -> Sentinel {
    let sentinel = Sentinel::new(&builder.root.file("sentinel"));
    Cmd::new("chmod").args(["-R", "a+rwX"]).arg(&sentinel.dir).ok();
    sentinel.again()
}

// ATTACK: build escape: a RUN looks for the host's files, the store and the builder's memory by names, by /proc and by handles => it finds its own alone
#[test]
fn a_command_finds_neither_the_host_nor_the_builder() {
    // spec: BUILD-55 BUILD-56
    need!(root, "setpriv", "newuidmap", "musl-gcc");
    for (rights, builder) in builders() {
        let sentinel = sentinel(&builder);
        let (there, store) = (sentinel.dir.display().to_string(), builder.root.path().display().to_string());
        let secret = builder.root.write("secret", "never-to-be-seen\n");
        let dir = context(&builder, "");
        fs::copy(programs::program("calls"), dir.join("calls")).unwrap();
        // name_to_handle_at and open_by_handle_at, bpf, kexec_load, init_module, keyctl, userfaultfd, perf_event_open.
        let calls = "n:303:0:0:0:0 n:304:0:0:0 n:321:0:0:0 n:246:0:0:0:0 n:175:0:0:0 n:250:0:0 n:298:0:0:-1:-1:0";
        let text = format!(
            "FROM base/busybox:1
COPY calls /bin/calls
RUN --mount=type=secret,id=s,target=/elsewhere : first; true
RUN for at in {there} {store} /proc/1/root{there} /proc/self/root{store} /proc/1/cwd{there} ../../../../../..{there} /proc/self/task/1/root{there}; do ls -d $at && echo FOUND $at; done 2>/dev/null; \\
    for process in $(ls /proc | grep '^[0-9]*$'); do tr '\\0' ' ' < /proc/$process/cmdline | grep -q internal-[s]tep && echo FOUND the builder; \\
      for fd in /proc/$process/fd/*; do readlink $fd; done; done 2>/dev/null | grep -v -e '^pipe:' -e '^/dev/null' -e '^/proc/[0-9]*/fd' | sed 's/^/FOUND /'; \\
    cat /proc/*/environ 2>/dev/null | grep -c 'of-the-[c]aller'; \\
    cat /proc/*/maps | grep ctr-[b]uild && echo FOUND code; \\
    grep -r never-to-be-[s]een /run /tmp /dev/shm /elsewhere 2>/dev/null && echo FOUND secret; \\
    for call in {calls}; do calls $call; done; true
"
        );
        let given = format!("id=s,src={}", secret.display());
        let done = build(&builder, &text).args(["--secret", &given]).env("MARK", "of-the-caller").run();
        let lines = printed(&done);
        assert!(!lines.iter().any(|line| line.contains("FOUND")), "{rights}: {done}");
        assert_eq!(lines[0], "0", "{rights}: {done}");
        assert_eq!(lines[1..].len(), 7, "{rights}: {done}");
        assert!(lines[1..].iter().all(|line| line.starts_with("errno ")), "{rights}: {done}");
        sentinel.assert_untouched(rights);
    }
}

// ATTACK: control groups: a RUN moves itself to other groups, sets limits of the host's, and a release agent => it can write to none
#[test]
fn a_command_changes_no_control_group() {
    // spec: BUILD-56
    need!(root, "setpriv", "newuidmap");
    let script = "for file in $(find /sys/fs/cgroup -maxdepth 3 '(' -name cgroup.procs -o -name tasks -o -name release_agent -o -name notify_on_release -o -name 'devices.allow' ')' 2>/dev/null); do
  (echo 0 > $file) 2>/dev/null && echo WROTE $file
done
mkdir /sys/fs/cgroup/mine 2>/dev/null && echo MADE; mkdir /tmp/g
mount -t cgroup2 none /tmp/g 2>/dev/null && echo MOUNTED; mount -t cgroup -o memory none /tmp/g 2>/dev/null && echo MOUNTED
unshare -C true 2>/dev/null && echo UNSHARED; (echo 1000 > /proc/self/oom_score_adj; echo -1000 > /proc/1/oom_score_adj) 2>/dev/null && echo SPARED
echo tried";
    for (rights, builder) in builders() {
        let done = build(&builder, &format!("FROM base/busybox:1\nRUN <<EOF\n{script}\nEOF\n")).run();
        assert_eq!(printed(&done), ["tried"], "{rights}: {done}");
    }
}

// ATTACK: links in place of mount targets: a RUN moves the directories above its mounts and puts links to the host there, for what is taken away afterwards, and for the next RUN
//  => nothing of the host is removed, made or mounted on
#[test]
fn links_in_place_of_mount_targets_lead_nowhere() {
    // spec: BUILD-56
    need!(root, "setpriv", "newuidmap");
    for (rights, builder) in builders() {
        let sentinel = sentinel(&builder);
        let there = sentinel.dir.display().to_string();
        // What is looked for afterwards is there: empty, as a place of a mount would be.
        fs::create_dir_all(sentinel.dir.join("b/c")).unwrap();
        fs::write(sentinel.dir.join("empty"), "").unwrap();
        Cmd::new("chmod").args(["-R", "a+rwX"]).arg(&sentinel.dir).ok();
        let sentinel = sentinel.again();
        let text = format!(
            "FROM base/busybox:1
RUN --mount=type=tmpfs,target=/a/b/c --mount=type=tmpfs,target=/x/b --mount=type=cache,target=/y/empty mv /a /moved; ln -s {there} /a; mv /x /moved/x; ln -s ../../../../../../..{there} /x; mv /y /z; ln -s {there} /y; ls /moved/b/c && readlink /a
RUN rm /a /x /y; mkdir /p; ln -s /proc/self/root{there} /p/self; ln -s /proc/1/root{there} /p/one; ln -s /proc/1/cwd{there} /p/cwd; ln -s {there} /p/plain; ln -s ../../../../../../../..{there} /p/up
"
        );
        let done = build(&builder, &text).run();
        assert_eq!(printed(&done), [there.as_str()], "{rights}: {done}");
        sentinel.assert_untouched(rights);
        for link in ["self", "one", "cwd", "plain", "up"] {
            for mount in ["tmpfs,", "cache,", "bind,rw,"] {
                for target in [format!("/p/{link}"), format!("/p/{link}/made"), format!("/p/{link}/sub")] {
                    let step = format!(
                        "RUN --mount=type={mount}target={target} echo x > {target}/written; echo y > {target}; true\n"
                    );
                    let done = build(&builder, &(text.clone() + &step)).run();
                    // Refused, or inside of the image.
                    assert!(done.code == 0 || done.stderr.contains("Dockerfile:4"), "{rights}: {done}");
                    sentinel.assert_untouched(&format!("{rights}: {mount}{target}"));
                }
            }
        }
    }
}

// ATTACK: CVE-2024-21626: WORKDIR of a build is /proc/self/fd/N, directly and through a link, with directories open in the caller => no way out of the root
#[test]
fn the_working_directory_of_a_build_is_no_way_out() {
    // spec: BUILD-55 BUILD-85
    need!(root, "setpriv", "newuidmap");
    for (rights, builder) in builders() {
        let sentinel = sentinel(&builder);
        let there = sentinel.path("hosts");
        let out = format!(
            "RUN for up in . .. ../.. ../../../../../../../../..; do test -e $up{there} && echo OUT; test -e $up/store && echo OUT; done; true\n"
        );
        for number in 3..20 {
            for dir in [format!("/proc/self/fd/{number}"), format!("/fds/{number}"), format!("/proc/1/fd/{number}/..")]
            {
                let text = format!("FROM base/busybox:1\nRUN ln -s /proc/self/fd /fds\nWORKDIR {dir}\n{out}");
                let open = format!("exec 5</ 6<{} 7</var; exec \"$@\"", sentinel.dir.display());
                let done = build(&builder, &text).under(["sh", "-c", &open, "sh"]).run();
                assert!(done.code == 1 || printed(&done).is_empty(), "{rights}: {dir}: {done}");
                assert!(!done.stderr.contains("| OUT"), "{rights}: {dir}: {done}");
            }
        }
        sentinel.assert_untouched(rights);
    }
}

// ATTACK: poisoned caches: a RUN leaves links to the host's files in a cache, which other builds use and carry elsewhere => they stay links
#[test]
fn links_in_a_cache_are_not_followed() {
    // spec: BUILD-58 BUILD-117
    need!(root, "setpriv", "newuidmap");
    for (rights, builder) in builders() {
        let sentinel = sentinel(&builder);
        let there = sentinel.dir.display();
        let text = format!(
            "FROM base/busybox:1
RUN --mount=type=cache,target=/c ln -s {there} /c/dir; ln -s {there}/hosts /c/file; ln -s ../../../../../../../../..{there} /c/up; mkfifo /c/pipe; ln /c/file /c/hard
RUN --mount=type=cache,target=/c echo x >> /c/file; echo x > /c/dir/new; rm -rf /c/up/ /c/dir/sub; ls /c
"
        );
        let to = builder.root.file("carried").display().to_string();
        Cmd::new("chmod").arg("777").arg(builder.root.file("")).ok();
        let done = build(&builder, &text).args(["--cache-to", &to]).run();
        assert_eq!(done.code, 0, "{rights}: {done}");
        sentinel.assert_untouched(rights);
        // Another store takes it: the same links are there, and nothing of what they name.
        let content = fs::read(sentinel.dir.join("hosts")).unwrap();
        let other = match rights {
            "root" => Builder::new(),
            "userns" => Builder::of_user(users::with_range()),
            _ => Builder::of_user(users::without_range()),
        };
        let look = "FROM base/busybox:1\nRUN --mount=type=cache,target=/c for link in file dir up; do readlink /c/$link; done; test -p /c/pipe && ls /c | wc -l\n";
        let done = build(&other, look).args(["--cache-from", &to]).run();
        let lines = printed(&done);
        assert_eq!(lines[0], format!("{there}/hosts"), "{rights}: {done}");
        assert_eq!(lines[1], there.to_string(), "{rights}: {done}");
        assert!(fs::read(sentinel.dir.join("hosts")).unwrap() == content);
        sentinel.assert_untouched(rights);
    }
}

// ATTACK: forged layers: a RUN sets overlay's own marks and makes whiteouts, over layers and in a stage from nothing, whose root is a directory of the store
//  => refused, or the mark of nothing that is there; no device is made
#[test]
fn marks_of_the_overlay_cannot_be_forged() {
    // spec: BUILD-36 BUILD-55
    need!(root, "setpriv", "newuidmap", "musl-gcc");
    for (rights, builder) in builders() {
        let dir = context(&builder, "");
        fs::copy(programs::program("files"), dir.join("files")).unwrap();
        let all = "--mount=type=bind,from=base/busybox:1,source=/bin,target=/bin --mount=type=bind,source=files,target=/files";
        let bases = [
            ("FROM base/busybox:1\nCOPY files /files\n".to_owned(), String::new()),
            ("FROM scratch\n".to_owned(), format!("{all} ")),
        ];
        for (base, mounts) in &bases {
            for mark in [
                "user.overlay.redirect 2f657463",
                "user.overlay.opaque 79",
                "user.overlay.metacopy 00",
                "trusted.overlay.redirect 2f",
                "trusted.overlay.opaque 79",
            ] {
                let text = format!(
                    "{base}RUN {mounts}mkdir /d; /files set /d {mark}; echo x > /d/file\nRUN {mounts}ls /d; cat /d/file\n"
                );
                let done = build(&builder, &text).run();
                let own = done.stderr.contains("sets overlay's own attribute");
                assert!(done.code == 1 && own || printed(&done).ends_with(&["file", "x"]), "{rights}: {mark}: {done}");
                // Nobody but the host's root may set those.
                assert!(mark.starts_with("user") || done.stderr.contains("errno 1"), "{rights}: {mark}: {done}");
            }
            let devices = "for what in 'b 1 0' 'c 1 1' 'c 5 1' 'b 8 0' 'b 254 0'; do for at in / /dev/ /dev/shm/ /tmp/; do mkdir -p $at; mknod ${at}node $what 2>/dev/null && echo MADE; done; done; mknod /white c 0 0; ls /white; true";
            let text =
                format!("{base}RUN {mounts}{devices}\nRUN {mounts}test ! -e /white && ls / | grep -c node; true\n");
            let done = build(&builder, &text).run();
            assert!(!printed(&done).contains(&"MADE"), "{rights}: {done}");
            assert_eq!(printed(&done).last(), Some(&"0"), "{rights}: {done}");
        }
    }
}

// ATTACK: files of other users: an ordinary user's RUN, as its root, reads and changes what the host keeps from that user => it has the user's own rights, and none of the host's files
#[test]
fn the_root_of_an_ordinary_users_build_is_that_user() {
    // spec: BUILD-55 BUILD-80
    need!(root, "setpriv", "newuidmap");
    for builder in [Builder::of_user(users::with_range()), Builder::of_user(users::without_range())] {
        let kept = builder.root.write("of-root", "of the host's root\n");
        Cmd::new("chmod").arg("600").arg(&kept).ok();
        // What the context has, and the user cannot read, the build cannot either.
        let dir = context(&builder, "FROM base/busybox:1\nRUN --mount=type=bind,target=/c cat /c/secret\n");
        fs::copy(&kept, dir.join("secret")).unwrap();
        let from = builder.ctr("build").args(["--pull=never", "--no-cache"]).arg(&dir).run();
        assert!(from.code == 1 && from.stderr.contains("Permission denied"), "{from}");
        let secret = builder
            .ctr("build")
            .args(["--pull=never", "--secret", &format!("id=s,src={}", kept.display())])
            .arg(&dir)
            .run();
        assert!(secret.code != 0 && secret.stderr.contains("Permission denied"), "{secret}");
        fs::remove_file(dir.join("secret")).unwrap();
        // The host's own files in what is shown of it belong to nobody.
        let text = "FROM base/busybox:1\nRUN stat -c %u /proc/sys/kernel/core_pattern /sys/kernel | sort -u; cat /sys/kernel/debug/x /proc/1/mem 2>/dev/null; chown 1:1 /sys/kernel 2>/dev/null && echo CHANGED; true\n";
        assert_eq!(printed(&build(&builder, text).run()), ["65534"]);
        assert!(Path::new(&kept).exists());
    }
}
