//! RUN of root who may not mount: in a chroot, over a copy of the stage's files.

use std::fs;
use std::path::Path;

use ctr_tests::build::{Builder, CONTAINED};
use ctr_tests::leaks::with_word;
use ctr_tests::scratch::{Cmd, Done, names, until};
use ctr_tests::{images, need, users};

fn build(builder: &Builder, context: &Path) -> Cmd {
    builder.ctr("build").args(["--pull=never", "--tag", "made"]).arg(context)
}

/// Builds a Dockerfile.
fn made(builder: &Builder, dockerfile: &str) -> Done {
    build(builder, &builder.context(&[("Dockerfile", dockerfile)])).run()
}

/// What the image `made` has at a path.
fn content(builder: &Builder, path: &str) -> String {
    let dir = builder.root.file("files");
    let _ = fs::remove_dir_all(&dir);
    let file = builder.root.write("Out", "FROM made\n");
    let (output, file) = (format!("type=dir,dest={}", dir.display()), format!("--file={}", file.display()));
    builder.ctr("build").args(["--pull=never", "--quiet", "--output", &output, &file]).arg(builder.root.file("")).ok();
    fs::read_to_string(dir.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

// spec: BUILD-146 BUILD-147
#[test]
fn a_command_finds_what_it_finds_elsewhere() {
    need!(root, "setpriv");
    let builder = Builder::contained();
    let secret = builder.root.write("secret", "0123456789abcdef");
    let text = "FROM base/busybox:1 AS other
RUN echo other > /o
FROM base/busybox:1
RUN --mount=type=secret,id=s,mode=0440,uid=7 --mount=type=tmpfs,target=/scratch --mount=type=cache,id=c,target=/c \\
    --mount=type=bind,source=src,target=/src --mount=type=bind,from=other,source=/o,target=/o <<EOF
set -e
stat -c '%a %u' /run/secrets/s > /seen
md5sum < /run/secrets/s >> /seen
echo x > /scratch/x; echo y >> /c/y
cat /src/f /o >> /seen
head -c 3 /dev/zero | wc -c >> /seen; echo gone > /dev/null; head -c 1 /dev/urandom > /dev/null
grep -c build /etc/hosts /etc/hostname >> /seen
test -d /proc && test -d /sys && test -d /dev/shm && test -w /dev/shm
EOF
RUN --mount=type=cache,id=c,target=/d,ro cat /d/y >> /seen; echo more >> /d/y; ls -A / > /names; ls -A /run >> /names; true
";
    let dir = builder.context(&[("Dockerfile", text), ("src/f", "file\n")]);
    let given = format!("id=s,src={}", secret.display());
    let json = build(&builder, &dir).args(["--secret", &given, "--format=json"]).ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["isolation"], "chroot");
    let seen = content(&builder, "seen");
    let sum = "4032af8d61035123906e58e067140cc5  -";
    assert_eq!(seen, format!("440 7\n{sum}\nfile\nother\n3\n/etc/hosts:1\n/etc/hostname:1\ny\n"));
    let shown = content(&builder, "names");
    assert!(shown.contains("seen"), "{shown}");
    for gone in ["scratch", "src", "\no\n", "\nc\n", "secrets"] {
        assert!(!shown.contains(gone), "{gone}: {shown}");
    }
    // What the first wrote to the cache is there; what the second wrote, who may only read, is not.
    let caches = builder.root.path().join("build/caches");
    let cache = names(&caches).into_iter().find(|name| caches.join(name).join("dir").is_dir()).unwrap();
    assert_eq!(fs::read_to_string(caches.join(cache).join("dir/y")).unwrap(), "y\n");
    assert_eq!(builder.remains(), Vec::<String>::new());
}

// spec: BUILD-97 BUILD-146
#[test]
fn a_trigger_of_a_base_is_executed_where_a_command_would_be() {
    need!(root, "setpriv", "useradd", "newuidmap");
    for builder in [Builder::new(), Builder::contained(), Builder::of_user(users::with_range())] {
        let base = builder.context(&[("Dockerfile", "FROM base/busybox:1\nONBUILD RUN echo ran > /ran\n")]);
        builder.ctr("build").args(["--pull=never", "--quiet", "--tag", "base/trigger:1"]).arg(&base).ok();
        let dir = builder.context(&[("Dockerfile", "FROM base/trigger:1\n")]);
        let refused = build(&builder, &dir).arg("--isolation=none").fails(1);
        assert!(refused.stderr.contains("trigger 1") && refused.stderr.contains("nothing is executed"), "{refused}");
        build(&builder, &dir).ok();
        assert_eq!(content(&builder, "ran"), "ran\n");
    }
}

// spec: BUILD-146
#[test]
fn a_distribution_is_changed_to_what_it_becomes_elsewhere() {
    need!(root, "setpriv", "mmdebstrap");
    let (root, contained) = (Builder::new(), Builder::contained());
    let text = "FROM debian
RUN useradd --create-home app && chown -R app:app /opt && ln /etc/debian_version /opt/linked && \\
    mv /usr/share/doc /usr/share/docs && mkdir /usr/share/doc && touch /usr/share/doc/new && chmod 4711 /usr/bin/env && \\
    rm -r /usr/share/locale && mkdir /usr/share/locale && sed -i s/app/App/ /etc/passwd && rm -rf /etc/*- /var/log/*
USER App
RUN id > ~/id; touch /opt/mine; ! touch /etc/not-mine
";
    let digests = [&root, &contained].map(|builder| {
        builder.ctr("fetch").args(["-q", "--name", "debian", &images::debian()]).ok();
        let dir = builder.context(&[("Dockerfile", text)]);
        build(builder, &dir).arg("--quiet").ok()
    });
    assert_eq!(digests[0], digests[1]);
    assert_eq!(contained.remains(), Vec::<String>::new());
}

// spec: BUILD-146 BUILD-147
#[test]
fn a_command_that_fails_is_told_of_and_gives_back_what_was_lent() {
    need!(root, "setpriv");
    let builder = Builder::contained();
    let text = "FROM base/busybox:1
RUN --mount=type=cache,id=kept,target=/c echo kept > /c/f
RUN --mount=type=cache,id=kept,target=/c cat /c/f; ls /none; exit 7
";
    let done = made(&builder, text);
    assert!(done.code == 1, "{done}");
    for part in ["Dockerfile:3", "ended with status 7", "| kept", "/none: No such file"] {
        assert!(done.stderr.contains(part), "{part}: {done}");
    }
    let done = made(&builder, "FROM base/busybox:1\nRUN --mount=type=cache,id=kept,target=/e cat /e/f > /f\n");
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(content(&builder, "f"), "kept\n");
    for (command, why) in [
        ("[\"/no/such\"]", "/no/such"),
        ("kill -9 $$", "KILL"),
        ("--network=none true", "no namespaces"),
        ("--mount=type=cache,id=x,target=/c mv /c /elsewhere", "moved /c away"),
        ("--mount=type=tmpfs,target=/bin/sh true", "where there is something else"),
    ] {
        let done = made(&builder, &format!("FROM base/busybox:1\nRUN {command}\n"));
        assert!(done.code == 1 && done.stderr.contains(why) && done.stderr.contains("Dockerfile:2"), "{why}: {done}");
    }
    assert_eq!(builder.remains(), Vec::<String>::new());
}

// ATTACK: chroot: a program of a RUN leaves its chroot, makes a disk's device, leaves processes behind => it has no capability for the first two, all are ended
#[test]
fn nothing_gets_out_of_the_chroot_or_stays_behind() {
    // spec: BUILD-148
    need!(root, "setpriv");
    let builder = Builder::contained();
    let text = "FROM base/busybox:1
RUN mkdir /in; chroot /in /bin/true 2> /why; mknod /device b 8 0 2>> /why; test ! -e /device
RUN (trap '' HUP TERM; setsid sh -c 'sleep 6543.21 & exec sleep 6543.21' > /dev/null 2>&1 &) ; sleep 0.1; echo done > /done
";
    let done = made(&builder, text);
    assert_eq!(done.code, 0, "{done}");
    let why = content(&builder, "why");
    assert_eq!(why.matches("not permitted").count(), 2, "{why}");
    assert_eq!(with_word("6543.21"), Vec::<String>::new());
    assert_eq!(builder.remains(), Vec::<String>::new());
}

// ATTACK: chroot: a program of a RUN makes links to the host of the directories above what is lent to it, before it is taken back => nothing of the host is touched
#[test]
fn what_is_taken_back_is_looked_for_in_the_tree_alone() {
    // spec: BUILD-148
    need!(root, "setpriv");
    let builder = Builder::contained();
    let host = builder.root.file("host");
    let precious = ["c", "s", "secrets", "hosts", "hostname", "resolv.conf"];
    for name in precious {
        fs::create_dir_all(host.join(name)).unwrap();
        fs::write(host.join(name).join("precious"), "of the host").unwrap();
    }
    let secret = builder.root.write("secret", "0123456789abcdef");
    let given = format!("id=s,src={}", secret.display());
    let text = format!(
        "FROM base/busybox:1
RUN --mount=type=secret,id=s,target=/deep/s --mount=type=tmpfs,target=/deep/c \\
    mv /deep /was && ln -s {host} /deep && mv /etc /was-etc && ln -s {host} /etc && rm -r /was
",
        host = host.display()
    );
    let dir = builder.context(&[("Dockerfile", &text)]);
    let done = build(&builder, &dir).args(["--secret", &given]).run();
    assert_eq!(done.code, 0, "{done}");
    for name in precious {
        assert_eq!(fs::read_to_string(host.join(name).join("precious")).unwrap(), "of the host");
    }
    // A secret that is taken along into the image is found there.
    let text = "FROM base/busybox:1\nRUN --mount=type=secret,id=s,target=/deep/s mv /deep /stolen\n";
    let dir = builder.context(&[("Dockerfile", text)]);
    let done = build(&builder, &dir).args(["--secret", &given]).run();
    assert!(done.code == 1 && done.stderr.contains("secret"), "{done}");
    assert_eq!(builder.remains(), Vec::<String>::new());
}

// spec: BUILD-148
#[test]
fn with_the_builder_its_command_ends() {
    need!(root, "setpriv");
    let builder = Builder::contained();
    let dir = builder.context(&[("Dockerfile", "FROM base/busybox:1\nRUN (setsid sleep 7654.32 &); sleep 7654.32\n")]);
    let running = build(&builder, &dir).start();
    until("the command runs", || with_word("7654.32").iter().filter(|line| line.starts_with("sleep")).count() == 2);
    Cmd::new("kill").args(["-9", &running.pid().to_string()]).ok();
    running.wait();
    until("nothing of it runs", || with_word("7654.32").is_empty());
    let done = made(&builder, "FROM base/busybox:1\nRUN echo on > /on\n");
    assert_eq!(done.code, 0, "{done}");
    builder.ctr("gc").ok();
    assert_eq!(builder.remains(), Vec::<String>::new());
}

// spec: BUILD-146 LAY-33
#[test]
fn a_store_on_an_overlay() {
    need!(root, "unshare", "mount", "setpriv", "newuidmap");
    let user = users::with_range();
    let [uid, gid] = [user.uid, user.gid].map(|id| id.to_string());
    let as_user = ["setpriv", "--reuid", &uid, "--regid", &gid, "--clear-groups"];
    let owner = (Some(user.uid), Some(user.gid));
    let [fetch, build_it] = ["ctr-fetch", "ctr-build"].map(|name| user.program(name));
    let builder = Builder::of_user(user);
    let text = "FROM base/busybox:1
RUN mkdir -p /d/sub && echo a > /d/a && echo b > /d/sub/b && echo c > /c
RUN rm /c /d/a && rm -r /d/sub && mkdir /d/sub && echo n > /d/sub/n
RUN ls -R /d > /seen; ls / >> /seen
RUN --mount=type=bind,target=/mnt/src,rw --mount=type=bind,from=base/busybox:1,target=/other,rw touch /mnt/src/x /other/x; ls /other /mnt/src > /names
";
    let dir = builder.context(&[("Dockerfile", text), ("mine", "")]);
    let digest = build(&builder, &dir).arg("--quiet").ok();
    let base = users::readable(&builder.root, &images::busybox_dir(), "again");
    // With all capabilities, with those of a container, and in a user namespace.
    for (rights, isolation) in [(&["setpriv"][..], "root"), (&CONTAINED[..], "chroot"), (&as_user[..], "userns")] {
        let at = builder.root.file(&format!("overlay-{isolation}"));
        for name in ["l", "u", "w", "m"] {
            fs::create_dir_all(at.join(name)).unwrap();
            std::os::unix::fs::chown(at.join(name), owner.0, owner.1).unwrap();
        }
        let script = "mount -t overlay overlay -o lowerdir=l,upperdir=u,workdir=w m && exec \"$@\"";
        let build = "\"$0\" -q --name base/busybox:1 \"$2\" && exec \"$1\" --pull=never --format=json \"$3\"";
        let command =
            Cmd::new("unshare").args(["-m", "sh", "-ec", script, "sh"]).args(rights).args(["sh", "-ec", build]);
        let command = command.arg(&fetch).arg(&build_it);
        let command = command.arg(format!("oci:{}:latest", base.display())).arg(&dir).dir(&at);
        let json = command.env("CTR_ROOT", at.join("m/root")).env("HOME", &at).ok();
        let json: serde_json::Value = serde_json::from_str(&json[json.find('{').unwrap()..]).unwrap();
        assert_eq!((json["isolation"].as_str(), json["digest"].as_str()), (Some(isolation), Some(digest.trim())));
    }
}

// spec: BUILD-154
#[test]
fn a_layer_is_one_by_itself_whatever_the_kernels_defaults_are() {
    need!(root, "strace");
    let builder = Builder::new();
    let dir = builder.context(&[("Dockerfile", "FROM base/busybox:1\nRUN echo a > /a\n")]);
    let log = builder.root.file("trace").display().to_string();
    build(&builder, &dir).under(["strace", "-f", "-e", "trace=fsconfig,mount", "-o", &log]).ok();
    let calls = fs::read_to_string(&log).unwrap();
    for option in ["redirect_dir", "index", "metacopy"] {
        assert!(calls.lines().any(|line| line.contains(option) && line.contains("off")), "{option}: {calls}");
    }
}
