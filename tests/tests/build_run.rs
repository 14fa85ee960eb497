//! What a RUN is executed as, what it finds, and what of it is in the image: as root, as a user with ranges of ids, and with one id.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ctr_tests::build::Builder;
use ctr_tests::build::image::Image;
use ctr_tests::leaks::with_word;
use ctr_tests::scratch::{Cmd, Done, until};
use ctr_tests::{need, programs, users};

/// Who builds: the rights by the name that `--isolation` has for them.
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

/// The build of it; nothing of what it does is known from before.
fn build(builder: &Builder, dockerfile: &str) -> Cmd {
    let dir = context(builder, dockerfile);
    builder.ctr("build").args(["--pull=never", "--no-cache", "--tag", "made"]).arg(dir)
}

/// What the commands of a build printed.
#[track_caller]
fn printed(done: Done) -> Vec<String> {
    assert_eq!(done.code, 0, "{done}");
    done.stderr.lines().filter_map(|line| Some(line.split_once("] | ")?.1.to_owned())).collect()
}

/// What a program of the image prints.
fn inside(builder: &Builder, script: &str) -> String {
    builder.ctr("run").args(["--wait", "--rm", "--log=inherit", "made", "sh", "-c", script]).ok()
}

/// `FROM base/busybox:1` and the program of this name as `/bin/NAME`.
fn with_program(builder: &Builder, name: &str) -> String {
    let dir = context(builder, "");
    fs::copy(programs::program(name), dir.join(name)).unwrap();
    format!("FROM base/busybox:1\nCOPY {name} /bin/{name}\n")
}

// spec: BUILD-60
#[test]
fn how_a_command_ended_and_what_it_said_last_is_told() {
    need!(root, "setpriv", "newuidmap");
    for (rights, builder) in builders() {
        for (command, told) in [
            ("exit 1", "the command ended with status 1\n"),
            ("exit 250", "the command ended with status 250\n"),
            ("exit 255", "the command ended with status 255\n"),
            ("(kill -SEGV $(sh -c 'echo $PPID')); exit $?", "the command ended with status 139 (SIGSEGV)\n"),
            ("exec not-there", "the command ended with status 127\n"),
            ("[\"/etc/passwd\"]", "cannot run exec: \"/etc/passwd\": permission denied"),
            ("[\"not-there\"]", "cannot run exec: \"not-there\": executable file not found in $PATH"),
        ] {
            let text = format!("FROM base/busybox:1\n# of two lines\nRUN {command}\n");
            let done = build(&builder, &text).fails(1);
            let wanted = format!("ctr-build: Dockerfile:3: {told}");
            assert!(done.stderr.contains(&wanted), "{rights}: {command}: {done}");
        }
        let text = "FROM base/busybox:1\nRUN echo first >&2; for i in $(seq 30); do echo line $i; done; printf unended; exit 3\n";
        let done = build(&builder, text).fails(1);
        let last: Vec<&str> = done.stderr.lines().filter_map(|line| line.trim_start().strip_prefix("> ")).collect();
        assert_eq!(last.len(), 20, "{rights}: {done}");
        assert!(last.contains(&"unended") && last.contains(&"line 30") && !last.contains(&"line 10"), "{last:?}");
    }
}

/// CAP_CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT SETFCAP.
const CAPABILITIES: &str = "00000000800405fb";

// spec: BUILD-55 BUILD-56
#[test]
fn a_command_has_the_rights_of_a_container_and_no_more() {
    need!(root, "setpriv", "newuidmap");
    const REFUSED: [&str; 15] = [
        "mknod /x b 1 0",
        "mknod /dev/x c 1 1",
        "mount -t tmpfs none /tmp",
        "mount -o remount,rw /sys",
        "umount /proc",
        "unshare -m true",
        "unshare -r true",
        "hostname other",
        "dmesg",
        "echo other > /proc/sys/kernel/hostname",
        "echo b > /proc/sysrq-trigger",
        "echo 0 > /proc/irq/default_smp_affinity",
        "head -c 1 /proc/kcore",
        "touch /sys/x",
        "echo 1 > /sys/kernel/mm/ksm/run",
    ];
    let refused: String =
        REFUSED.iter().map(|what| format!("({what}) >/dev/null 2>&1 && echo 'done: {what}'\n")).collect();
    let text = format!(
        "FROM base/busybox:1\nRUN [\"/bin/cat\", \"/proc/self/status\"]\nRUN ls /proc/keys /proc/timer_list /sys/firmware /proc/acpi; cat /proc/keys /proc/timer_list\nRUN <<EOF\n{refused}true\nEOF\n"
    );
    for (rights, builder) in builders() {
        let lines = printed(build(&builder, &text).run());
        let status: BTreeMap<&str, &str> = lines.iter().filter_map(|line| line.split_once(":\t")).collect();
        for (name, value) in [
            ("CapPrm", CAPABILITIES),
            ("CapEff", CAPABILITIES),
            ("CapBnd", CAPABILITIES),
            ("CapInh", "0000000000000000"),
            ("CapAmb", "0000000000000000"),
            ("NoNewPrivs", "0"),
            ("Seccomp", "2"),
        ] {
            assert_eq!(status.get(name), Some(&value), "{rights}: {name}: {lines:#?}");
        }
        let done: Vec<&String> = lines.iter().filter(|line| line.starts_with("done: ")).collect();
        assert!(done.is_empty(), "{rights}: {done:?}");
        // Masked files are empty, masked directories too.
        let after = lines.iter().skip_while(|line| !line.starts_with("/proc/keys")).map(String::as_str);
        let shown: Vec<&str> = after.filter(|line| !line.is_empty()).collect();
        assert!(shown.len() <= 4 && shown.iter().all(|line| line.starts_with('/')), "{rights}: {shown:?}");
    }
    // With all rights of who builds, where that is asked for.
    let insecure = "FROM base/busybox:1\nRUN --security=insecure [\"/bin/cat\", \"/proc/self/status\"]\n";
    let lines = printed(build(&Builder::new(), insecure).run());
    assert!(lines.contains(&"Seccomp:\t0".to_owned()), "{lines:#?}");
    let held = fs::read_to_string("/proc/self/status").unwrap();
    let held = held.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap().to_owned();
    assert!(lines.contains(&format!("CapEff:\t{held}")), "{held}: {lines:#?}");
}

// spec: BUILD-55 BUILD-80
#[test]
fn a_command_is_the_user_of_the_stage() {
    need!(root, "setpriv", "newuidmap");
    let of = |user: &str| format!("FROM base/busybox:1\nUSER {user}\nRUN id; echo $HOME\n");
    let users = [
        ("root", "uid=0(root) gid=0(root) groups=10(wheel)", "/root"),
        ("bob", "uid=1000(bob) gid=1001(bob) groups=10(wheel),50(staff)", "/home/bob"),
        ("bob:staff", "uid=1000(bob) gid=50(staff)", "/home/bob"),
        ("1000", "uid=1000(bob) gid=1001(bob) groups=10(wheel),50(staff)", "/home/bob"),
        ("1000:7", "uid=1000(bob) gid=7", "/home/bob"),
        ("1234", "uid=1234 gid=0(root)", "/"),
        ("1234:5678", "uid=1234 gid=5678", "/"),
    ];
    for (rights, builder) in builders() {
        for (user, id, home) in users {
            let done = build(&builder, &of(user)).run();
            if rights != "single-id" {
                assert_eq!(printed(done), [id, home], "{rights}: {user}");
            } else if user == "root" {
                assert_eq!(printed(done), ["uid=0(root) gid=0(root)", home], "{user}");
            } else {
                assert!(done.code == 1 && done.stderr.contains("/etc/subuid"), "{user}: {done}");
            }
        }
        build(&builder, &of("nobody-knows")).fails(1).says("nobody-knows");
    }
}

// spec: BUILD-55
#[test]
fn nothing_of_who_builds_gets_into_a_command() {
    need!(root, "setpriv", "newuidmap", "nice");
    let text = "FROM base/busybox:1\nARG GIVEN=1\nRUN [\"/bin/env\"]\nRUN echo fds: $(ls /proc/self/fd); umask; grep -E '^Sig(Ign|Blk)' /proc/self/status | cat; readlink /proc/self/fd/0; echo cwd: $(pwd); cut -d ' ' -f 6,7 /proc/1/stat; cat /proc/1/cmdline /proc/1/environ | tr '\\0' '\\n' | grep -c -i '[c]aller'; true\nRUN [\"/bin/grep\", \"^SigIgn\", \"/proc/self/status\"]\n";
    // Open files, a umask, signals that are ignored, variables, a directory.
    let caller = "exec 7</etc/passwd 8</ 9>/dev/null; umask 077; trap '' HUP INT QUIT TERM PIPE USR1 CHLD; export OF_CALLER=caller LD_PRELOAD= TERM=caller SSH_AUTH_SOCK=/caller; cd /tmp; exec \"$@\"";
    for (rights, builder) in builders() {
        let done = build(&builder, text).under(["sh", "-c", caller, "sh"]).run();
        let lines = printed(done);
        let at = lines.iter().position(|line| line.starts_with("fds: ")).unwrap();
        let mut variables = lines[..at].to_vec();
        variables.sort();
        assert_eq!(variables, ["FROM_IMAGE=yes", "GIVEN=1", "HOME=/root", "PATH=/bin"], "{rights}");
        let none = "0000000000000000";
        let wanted = [
            "fds: 0 1 2 3",
            "0022",
            &format!("SigBlk:\t{none}"),
            &format!("SigIgn:\t{none}"),
            "/dev/null",
            "cwd: /",
            // A session of its own, and no terminal.
            "1 0",
            "0",
            &format!("SigIgn:\t{none}"),
        ];
        assert_eq!(lines[at..], wanted, "{rights}");
    }
}

// spec: BUILD-55
#[test]
fn a_command_has_no_terminal_of_who_builds() {
    need!(root, "setpriv", "newuidmap");
    for (rights, builder) in builders() {
        let text = "FROM base/busybox:1\nRUN tty; (echo typed > /dev/tty) 2>&1; echo x > /dev/pts/0; ls /dev/pts; echo end of it\n";
        let mut pty = ctr_tests::pty::Pty::start(&build(&builder, text).arg("--progress=plain"));
        pty.expect("end of it");
        pty.expect("sha256:");
        let seen = pty.seen();
        assert!(seen.contains("not a tty") && seen.contains("/dev/tty: No such device"), "{rights}: {seen}");
        assert!(!seen.lines().any(|line| line.trim() == "typed"), "{rights}: {seen}");
    }
}

// spec: BUILD-58
#[test]
fn mounts_have_the_modes_and_owners_that_are_asked_for() {
    need!(root, "setpriv", "newuidmap");
    let stat = "stat -c '%n %a %u:%g'";
    let plain = format!(
        "FROM base/busybox:1
RUN --mount=type=tmpfs,target=/t,size=1m --mount=type=cache,target=/c --mount=type=secret,id=s --mount=type=secret,id=s,target=/m,mode=0444 \\
    {stat} /t /c /run/secrets /run/secrets/s /m; echo x > /m; cat /m; head -c 2000000 /dev/zero > /t/big; stat -c %s /t/big; echo kept > /c/kept
RUN --mount=type=cache,target=/c,readonly --mount=type=tmpfs,target=/t cat /c/kept; echo no > /c/more; ls /t /c
"
    );
    let owned = format!(
        "FROM base/busybox:1
USER bob
RUN --mount=type=cache,target=/c,uid=1000,gid=1001,mode=0750 --mount=type=secret,id=s,uid=1000,gid=50,mode=0440,target=/s {stat} /c /s; echo bob > /c/of; cat /s
USER 1234
RUN --mount=type=cache,target=/c cat /c/of; --mount; true
"
    );
    for (rights, builder) in builders() {
        let secret = builder.root.write("secret", "of nobody\n");
        let given = format!("id=s,src={}", secret.display());
        let lines = printed(build(&builder, &plain).args(["--secret", &given]).run());
        let can = lines.iter().filter(|line| !line.contains("Read-only") && !line.contains("head: "));
        let can: Vec<&str> = can.map(String::as_str).collect();
        let wanted = [
            "/t 1777 0:0",
            "/c 755 0:0",
            "/run/secrets 755 0:0",
            "/run/secrets/s 400 0:0",
            "/m 444 0:0",
            "of nobody",
            "1048576",
            "kept",
            "/c:",
            "kept",
            "",
            "/t:",
        ];
        assert_eq!(can, wanted, "{rights}");
        assert_eq!(
            lines.iter().filter(|line| line.contains("Read-only file system")).count(),
            2,
            "{rights}: {lines:?}"
        );

        let owned = owned.replace("target=/c", "target=/c,id=owned");
        let done = build(&builder, &owned).args(["--secret", &given]).run();
        if rights == "single-id" {
            assert!(done.code == 1 && done.stderr.contains("/etc/subuid"), "{done}");
            continue;
        }
        let lines = printed(done);
        assert_eq!(lines[..3], ["/c 750 1000:1001", "/s 440 1000:50", "of nobody"], "{rights}");
        assert!(lines[3].contains("Permission denied"), "{rights}: {lines:?}");
    }
    for mount in ["tmpfs,target=/", "cache,target=.", "bind,target=/x/..", "secret,id=s,target=//"] {
        let builder = Builder::new();
        let given = format!("id=s,src={}", builder.root.write("secret", "x").display());
        let command = build(&builder, &format!("FROM base/busybox:1\nRUN --mount=type={mount} true\n"));
        command
            .args(["--secret", &given])
            .fails(1)
            .says("Dockerfile:2: the target ")
            .says(" of a mount is the root directory");
    }
}

// spec: BUILD-58 BUILD-149
#[test]
fn what_is_bound_for_writing_keeps_its_owner_and_forgets_the_changes() {
    need!(root, "newuidmap");
    let text = "FROM base/busybox:1 AS one
RUN mkdir -m 700 /d; echo one > /d/f; chmod 640 /d/f; chown -R bob:bob /d
FROM base/busybox:1
USER bob
RUN --mount=type=bind,from=one,source=/d,target=/d,rw --mount=type=bind,from=one,source=/d/f,target=/f,rw \\
    stat -c '%n %a %u:%g' /d /d/f /f; echo two > /d/f; echo two > /f; echo new > /d/new; cat /d/f /f /d/new
RUN --mount=type=bind,from=one,source=/d,target=/d,rw ls /d; cat /d/f; test ! -e /f
";
    for builder in [Builder::new(), Builder::of_user(users::with_range())] {
        let lines = printed(build(&builder, text).run());
        let wanted = ["/d 700 1000:1001", "/d/f 640 1000:1001", "/f 640 1000:1001", "two", "two", "new", "f", "one"];
        assert_eq!(lines, wanted);
    }
}

/// Runs two builds of different commands at once: both end well.
fn at_once(builder: &Builder, mount: &str, command: &str) {
    let running: Vec<_> = ["1", "2"]
        .iter()
        .map(|name| {
            let dir = builder.root.file(name);
            fs::create_dir_all(&dir).unwrap();
            let text = format!("FROM base/busybox:1\nRUN --mount={mount} : {name}; {command}\n");
            fs::write(dir.join("Dockerfile"), text).unwrap();
            builder.ctr("build").args(["--pull=never", "--no-cache", "--tag", name]).arg(&dir).start()
        })
        .collect();
    for running in running {
        let done = running.wait();
        assert_eq!(done.code, 0, "{mount}: {done}");
    }
}

// spec: BUILD-58
#[test]
fn a_locked_cache_is_one_builds_and_a_private_one_nobody_elses() {
    need!(root, "setpriv", "newuidmap");
    for (_, builder) in builders() {
        // Whoever finds the other one in it fails.
        let alone = "mkdir /c/busy || exit 9; sleep 0.5; rmdir /c/busy";
        at_once(&builder, "type=cache,target=/c,sharing=locked", alone);
        at_once(&builder, "type=cache,id=p,target=/c,sharing=private", alone);
        // Each waits for the other: that takes a cache that both have.
        let both = "n=$(cat /proc/sys/kernel/random/uuid); mkdir /c/$n; i=0; while [ $(ls /c | wc -l) -lt 2 ]; do sleep 0.01; i=$((i+1)); [ $i -lt 2000 ] || exit 9; done";
        at_once(&builder, "type=cache,id=s,target=/c,sharing=shared", both);
    }
}

// spec: BUILD-58 BUILD-149
#[test]
fn steps_that_want_the_same_caches_do_not_wait_for_each_other_for_ever() {
    need!(root);
    let builder = Builder::new();
    let locked = |id: &str| format!("--mount=type=cache,id={id},target=/{id},sharing=locked");
    let (a, b) = (locked("a"), locked("b"));
    let stage = |number: u32| {
        let (first, second) = if number.is_multiple_of(2) { (&a, &b) } else { (&b, &a) };
        let step = |step| format!("RUN {first} {second} : {step}; echo {number} >> /a/log; echo {number} >> /b/log\n");
        let steps: String = (0..4).map(step).collect();
        format!("FROM base/busybox:1 AS s{number}\n{steps}RUN echo {number} > /{number}\n")
    };
    let mut text: String = (0..6).map(stage).collect();
    text.push_str("FROM base/busybox:1\n");
    text.extend((0..6).map(|number| format!("COPY --from=s{number} /{number} /{number}\n")));
    // One id at two places is one cache, and waits for nobody but others.
    text.push_str("RUN --mount=type=cache,id=a,target=/x,sharing=locked --mount=type=cache,id=a,target=/y,sharing=locked --mount=type=cache,id=a,target=/z test $(sha256sum < /x/log | cut -c 1-64) = $(sha256sum < /y/log | cut -c 1-64) && test -s /z/log && wc -l < /x/log\n");
    let lines = printed(build(&builder, &text).arg("--jobs=6").run());
    assert_eq!(lines, ["24"]);
}

// spec: BUILD-56
#[test]
fn places_of_mounts_are_not_in_the_image() {
    need!(root, "setpriv", "newuidmap");
    for (rights, builder) in builders() {
        let secret = builder.root.write("secret", "not in any image\n");
        let layout = builder.root.file("layout");
        let only = with_program(&builder, "files");
        let text = format!(
            "{only}RUN mkdir -p /there/dir /there/owned; ln -s there/dir /link
RUN --mount=type=secret,id=s --mount=type=secret,id=s,target=/there/secret --mount=type=tmpfs,target=/new/a/b --mount=type=cache,target=/there/dir/c \\
    --mount=type=tmpfs,target=/link/through --mount=type=bind,target=/new/context --mount=type=tmpfs,target=/there/owned/t \\
    echo x > /new/a/b/x; echo y > /link/through/y; chmod 711 /there/owned; files set /etc user.note 6869; echo kept > /new/kept
RUN --mount=type=tmpfs,target=/etc/t true
RUN files get /etc user.note
"
        );
        let output = format!("type=oci,dest={}", layout.display());
        let given = format!("id=s,src={}", secret.display());
        if rights != "root" {
            // Who builds writes the output there.
            Cmd::new("chmod").arg("777").arg(builder.root.file("")).ok();
        }
        let done = build(&builder, &text).args(["--secret", &given, "--output", &output]).run();
        assert_eq!(printed(done), ["6869"], "{rights}");
        let image = Image::of_layout(&layout).unwrap();
        let base = ["bin", "etc", "dev", "proc", "sys", "root", "var", "usr", "home", "tmp"];
        let new: Vec<&str> = image
            .tree
            .keys()
            .map(String::as_str)
            .filter(|name| !base.contains(&name.split('/').next().unwrap()))
            .collect();
        assert_eq!(new, ["link", "new", "new/kept", "there", "there/dir", "there/owned"], "{rights}");
        assert_eq!(image.tree["there/owned"].mode & 0o7777, 0o711);
        let etc: Vec<&str> = image.tree.keys().map(String::as_str).filter(|name| name.starts_with("etc/")).collect();
        assert_eq!(etc, ["etc/group", "etc/not-executable", "etc/passwd"], "{rights}");
        assert!(!image.tree.keys().any(|name| name.starts_with("dev/") || name.starts_with("run")), "{rights}");
    }
}

/// Builds for each of the three; one digest.
fn one_image(text: impl Fn(&Builder) -> String) -> Vec<Builder> {
    let mut digests = BTreeMap::new();
    let mut all = Vec::new();
    for (rights, builder) in builders() {
        let text = text(&builder);
        digests.insert(rights, build(&builder, &text).arg("--quiet").ok());
        all.push(builder);
    }
    assert!(digests.values().all(|digest| *digest == digests["root"]), "{digests:?}");
    all
}

// spec: BUILD-55 BUILD-60 BUILD-110
#[test]
fn files_have_all_that_a_command_gave_them() {
    need!(root, "setpriv", "newuidmap", "musl-gcc");
    // cap_net_raw+ep: VFS_CAP_REVISION_2 with the effective bit (capability(7)).
    let capability = "0100000200200000000000000000000000000000";
    let make = format!(
        "RUN mkdir /f; cd /f; echo 1 > a; ln a b; echo 2 >> b; ln /etc/passwd passwd; echo s > suid; chmod 6755 suid; mkdir -m 1777 sticky; mkdir -m 2755 sgid; \\
    files set a user.note 00ff; files set sticky user.dir 31; cp a cap; files set cap security.capability {capability}; \\
    mkfifo pipe; : > none; chmod 000 none; mkdir closed; echo in > closed/in; chmod 000 closed; touch -d @86400 old; touch -d @4102444800 new; \\
    truncate -s 1M sparse; printf end >> sparse; ln -s nowhere dangling; echo n > \"$(printf 'new\\nline \\377')\"; files socket socket; test -S socket
RUN cd /f; chmod 4755 cap; mv closed/in closed/out; rmdir sgid
"
    );
    let all = one_image(|builder| with_program(builder, "files") + &make);
    let shown = "cd /f; cat a; stat -c '%n %a %h' a b suid cap none; stat -c '%n %a' sticky closed; files get a user.note; files get sticky user.dir; \
                 files get cap security.capability; ls -A closed; test -p pipe && test ! -e socket && test ! -e sgid; stat -c %Y old new; tail -c 3 sparse; ls | wc -l";
    for builder in &all[..2] {
        let text = inside(builder, shown);
        let begin = "1\n2\na 644 2\nb 644 2\nsuid 6755 1\ncap 4755 1\nnone 0 1\nsticky 1777\nclosed 0\n00ff\n31\n";
        assert!(text.starts_with(begin), "{text}");
        assert!(text.contains(&format!("\n{capability}\nout\n0\n0\nend")), "{text}");
    }
}

// spec: BUILD-55 BUILD-110
#[test]
fn directories_that_are_removed_and_made_again_are_what_the_command_left() {
    need!(root, "setpriv", "newuidmap");
    let text = "FROM base/busybox:1
RUN for d in one two three four five; do mkdir -p /d/$d/sub; echo $d > /d/$d/file; echo deep > /d/$d/sub/deep; done; echo f > /d/file
RUN rm -r /d/one && mkdir /d/one && echo again > /d/one/new
RUN rm -r /d/two; mv /d/three /d/two; mv /d/four /d/six
RUN rm -r /d/five; ln -s two /d/five; rm /d/file; mkdir /d/file; echo in > /d/file/in
RUN rm -r /d/one; mkdir -p /d/one/sub; rm -r /d/file; echo a file > /d/file; mv /d/two/file /d/two/moved; rm /d/six/sub/deep
RUN mkdir -p /d/x/y && rm -r /d/x; rm -r /d/six/sub; mkdir -m 700 /d/six/sub; cd /d; find . | sort | xargs ls -ld | awk '{print $1, $9, $10, $11}' > /found; cat /d/*/* /d/file >> /found 2>/dev/null; true
RUN cd /d; find . | sort | xargs ls -ld | awk '{print $1, $9, $10, $11}' > /again; cat /d/*/* /d/file >> /again 2>/dev/null; test $(sha256sum < /found | cut -c 1-64) = $(sha256sum < /again | cut -c 1-64)
";
    let all = one_image(|_| text.to_owned());
    let wanted = "drwxr-xr-x .
-rw-r--r-- ./file
lrwxrwxrwx ./five -> two
drwxr-xr-x ./one
drwxr-xr-x ./one/sub
drwxr-xr-x ./six
-rw-r--r-- ./six/file
drwx------ ./six/sub
drwxr-xr-x ./two
-rw-r--r-- ./two/moved
drwxr-xr-x ./two/sub
-rw-r--r-- ./two/sub/deep";
    for builder in &all {
        // By the layers, unpacked anew, and not only by those that the build left.
        let shown = inside(
            builder,
            "cd /d; find . | sort | xargs ls -ld | awk '{print $1, $9, $10, $11}'; sed -n 13,99p /found",
        );
        let (tree, contents) = shown.split_at(shown.find("\nthree").unwrap());
        assert_eq!(tree.lines().map(str::trim_end).collect::<Vec<_>>(), wanted.lines().collect::<Vec<_>>());
        assert_eq!(contents.trim(), "three\nfour\nthree\na file");
    }
}

// spec: BUILD-55
#[test]
fn a_command_is_done_when_its_first_process_is() {
    need!(root, "setpriv", "newuidmap");
    for (rights, builder) in builders() {
        let mark = format!("8{:07}", std::process::id());
        // One with its streams, one in a session of its own, one that ignores signals; and a command without streams.
        let text = format!(
            "FROM base/busybox:1
RUN sleep {mark} & setsid sleep {mark} & (trap '' TERM HUP INT; sleep {mark}; echo late > /late) & echo begun > /begun
RUN exec >&- 2>&-; sleep 0.2; echo quiet > /quiet
RUN test -e /begun && test ! -e /late && cat /quiet
"
        );
        assert_eq!(printed(build(&builder, &text).run()), ["quiet"], "{rights}");
        assert_eq!(with_word(&format!("sleep\0{mark}")), Vec::<String>::new(), "{rights}");
        assert_eq!(builder.remains(), Vec::<String>::new(), "{rights}");
    }
}

// spec: BUILD-112
#[test]
fn an_output_without_an_end_takes_no_memory() {
    need!(root);
    let builder = Builder::new();
    let text = "FROM base/busybox:1\nRUN head -c 100000000 /dev/zero | tr '\\0' x; sleep 0.2; exit 3\n";
    let seen = builder.root.file("seen");
    for progress in ["plain", "none"] {
        let to = format!("exec \"$@\" 2>'{}'", seen.display());
        let command = build(&builder, text).arg(format!("--progress={progress}")).under(["sh", "-c", &to, "sh"]);
        let mut running = command.start();
        let mut peak = 0;
        let status = loop {
            let status = fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
            peak = line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0).max(peak);
            if let Some(status) = running.child.try_wait().unwrap() {
                break status;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        assert_eq!(status.code(), Some(1));
        assert!((1000..100_000).contains(&peak), "{progress}: {peak} KiB");
        // All of it is shown, in pieces, and of those the last ones are told.
        let text = fs::read_to_string(&seen).unwrap();
        let shown = text.matches('x').count();
        let least = if progress == "plain" { 100_000_000 } else { 1 };
        assert!(shown >= least && text.contains("status 3"), "{progress}: {shown}");
    }
}

/// What is left of builds of this root, once the collector was there.
fn nothing_left(builder: &Builder, word: &str) {
    until("all processes have ended", || with_word(word).is_empty());
    let root = builder.root.path().display().to_string();
    until("all of ours too", || with_word("--internal-step").iter().all(|line| !line.contains(&root)));
    builder.ctr("gc").args(["--grace", "0"]).ok();
    assert_eq!(builder.remains(), Vec::<String>::new());
}

// spec: BUILD-55 BUILD-113 BUILD-145
#[test]
fn signals_end_a_build_with_all_that_it_executes() {
    need!(root, "setpriv", "newuidmap");
    for (rights, builder) in builders() {
        let mark = format!("9{:07}", std::process::id());
        let sleep = format!("sleep\0{mark}");
        // A shell and its child; the program itself; one that became another user; one that executed what has a set-user-ID bit.
        let mut commands = vec![
            format!("trap '' INT TERM HUP; setsid sleep {mark} & sleep {mark}; true"),
            format!("[\"/bin/sleep\", \"{mark}\"]"),
        ];
        if rights != "single-id" {
            commands.push(format!(
                "[\"/bin/busybox\", \"su\", \"bob\", \"-s\", \"/bin/sh\", \"-c\", \"exec sleep {mark}\"]"
            ));
            commands.push(format!("chown bob /bin/busybox; chmod u+s /bin/busybox; exec /bin/sleep {mark}"));
        }
        for command in commands {
            for signal in ["INT", "TERM", "HUP", "KILL"] {
                let text = format!("FROM base/busybox:1\nRUN {command}\n");
                let running = build(&builder, &text).start();
                until("it sleeps", || with_word(&sleep).len() > usize::from(command.contains("setsid")));
                Cmd::new("kill").args([format!("-{signal}"), running.pid().to_string()]).ok();
                let done = running.wait();
                assert!(done.code > 128, "{rights}: {signal}: {done}");
                nothing_left(&builder, &sleep);
            }
        }
        assert!(!Path::new(&builder.root.path().join("store/refs/made")).exists());
    }
}

// spec: BUILD-55
#[test]
fn the_key_for_interrupts_ends_a_build_at_a_terminal() {
    need!(root);
    let builder = Builder::new();
    let mark = format!("6{:07}", std::process::id());
    let text = format!("FROM base/busybox:1\nRUN trap '' INT; echo begun; sleep {mark}; true\n");
    for progress in ["plain", "tty"] {
        let mut pty = ctr_tests::pty::Pty::start(&build(&builder, &text).arg(format!("--progress={progress}")));
        pty.expect("begun");
        pty.write("\x03");
        until("it has ended", || with_word(&format!("sleep\0{mark}")).is_empty());
        nothing_left(&builder, &mark);
    }
}
