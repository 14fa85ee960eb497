//! `ctr-run`: exit codes, what the program finds, limits, what is left behind.

use std::fs;
use std::time::{Duration, Instant};

use ctr_tests::busybox::{assert_nothing_left, inside, run};
use ctr_tests::oci::{Layer, Layout};
use ctr_tests::scratch::{Cmd, Root, until};
use ctr_tests::tarball::Tar;
use ctr_tests::{images, leaks, need, store_check};

#[test]
fn the_exit_code_is_the_programs() {
    // spec: CLI-10, CLI-33, LIFE-73
    need!(root);
    let root = Root::with_busybox();
    for (script, code) in [
        ("exit 0", 0),
        ("exit 3", 3),
        ("exit 255", 255),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
        ("kill -SEGV $$", 139),
    ] {
        for options in [&[][..], &["--no-init"]] {
            // PID 1 of a namespace does not get its own fatal signals: without init the program is PID 1.
            if options == ["--no-init"] && script.starts_with("kill") {
                continue;
            }
            let done = run(&root, options, &["sh", "-c", script]);
            assert_eq!(done.code, code, "{script} {options:?}: {done}");
        }
    }
    assert_nothing_left(&root, "after --rm");
}

#[test]
fn what_cannot_start_says_why_and_leaves_nothing() {
    // spec: CLI-5, CLI-7, CLI-31, EXEC-80, LIFE-5
    need!(root);
    let root = Root::with_busybox();
    let cases: &[(i32, &[&str], &[&str])] = &[
        (127, &[], &["/no/such/program"]),
        (127, &[], &["no-such-program"]),
        (126, &[], &["/etc/not-executable"]),
        (126, &[], &["/etc"]),
        (125, &["--workdir", "/etc/passwd"], &["true"]),
        (125, &["--workdir", "/no/such/dir"], &["true"]),
        (125, &["--workdir", "relative"], &["true"]),
        (125, &["--user", "nobody-of-that-name"], &["true"]),
        (125, &["--user", "0:no-such-group"], &["true"]),
        (125, &["--no-such-option"], &["true"]),
        (125, &["--memory", "much"], &["true"]),
        (125, &["--cap-add", "CAP_NONSENSE"], &["true"]),
        (125, &["-v", "/no/such/source:/x"], &["true"]),
        (125, &["-v", "rela/tive:/x"], &["true"]),
        (125, &["-v", "/tmp:relative"], &["true"]),
        (125, &["-v", "/tmp:/x:nonsense"], &["true"]),
        (125, &["-v", "/tmp:/x", "-v", "/var:/x"], &["true"]),
        (125, &["-v", "/tmp:/"], &["true"]),
        (125, &["-v", "/tmp:/proc"], &["true"]),
        (125, &["-v", "/tmp:/proc/sys/../self"], &["true"]),
        (125, &["-v", "/tmp:/sys/fs"], &["true"]),
        (125, &["--tmpfs", "/dev"], &["true"]),
        (125, &["--tmpfs", "/x:size=lots"], &["true"]),
        (125, &["--env-file", "/no/such/file"], &["true"]),
        (125, &["--ulimit", "nonsense=1"], &["true"]),
        (125, &["--hostname", "no spaces"], &["true"]),
        (125, &["--name", "no/slashes"], &["true"]),
        (125, &["--network", "nonsense"], &["true"]),
    ];
    for (code, options, command) in cases {
        for wait in [true, false] {
            let flags: &[&str] = if wait { &["--wait"] } else { &[] };
            let done = root
                .ctr("run")
                .args(flags.iter().copied())
                .args(options.iter().copied())
                .arg("busybox")
                .args(command.iter().copied())
                .run();
            assert_eq!(done.code, *code, "{options:?} {command:?}: {done}");
            assert!(done.stderr.starts_with("ctr-run: ") || done.stderr.starts_with("error: "), "{done}");
            assert_eq!(done.stdout, "", "no id of what does not run: {done}");
            assert_nothing_left(&root, &format!("{options:?} {command:?}"));
        }
    }
    let done = root.ctr("run").args(["--wait", "--pull=never", "no-such-image", "true"]).fails(125);
    assert!(done.stderr.contains("no-such-image"), "{done}");
}

#[test]
fn a_missing_interpreter_is_not_a_missing_file() {
    // spec: CLI-31, EXEC-41
    need!(root);
    let root = Root::with_busybox();
    let done = run(&root, &[], &["/bin/script-without-interpreter"]);
    assert!(matches!(done.code, 126 | 127), "{done}");
    assert!(done.stderr.contains("interpreter"), "{done}");
    assert_nothing_left(&root, "interpreter");
}

#[test]
fn detached_prints_the_id_and_returns() {
    // spec: CLI-32, OVR-1, OVR-2
    need!(root);
    let root = Root::with_busybox();
    let start = Instant::now();
    let id = root.ctr("run").args(["busybox", "sleep", "600"]).ok();
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(root.containers("run"), [id.clone()]);
    assert!(id.len() >= 12 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
    let alive = leaks::processes(&root.path(), &[id.clone()]);
    assert_eq!(alive.len(), 2, "init and the program: {:?}", leaks::outside(&root.path(), &[id]));
    assert_eq!(leaks::mounts(&root.path()), Vec::<String>::new());
}

#[test]
fn the_command_comes_from_the_image_or_the_caller() {
    // spec: EXEC-40
    need!(root);
    let root = Root::with_busybox();
    let plain =
        |args: &[&str]| root.ctr("run").args(["--wait", "--rm", "--log=inherit"]).args(args.iter().copied()).ok();
    assert_eq!(plain(&["busybox"]), "from the image");
    assert_eq!(plain(&["busybox", "echo", "mine"]), "mine");
    assert_eq!(plain(&["--entrypoint", "echo", "busybox", "a", "b"]), "a b");
    assert_eq!(
        plain(&["busybox", "echo", "--wait", "-v", "--", "x"]),
        "--wait -v -- x",
        "options after the image are the program's"
    );
}

#[test]
fn the_environment_is_the_images_and_the_callers_choice() {
    // spec: EXEC-42, TYPE-50 to TYPE-52
    need!(root);
    let root = Root::with_busybox();
    let file = root.write("env", "# comment\nFROM_FILE=file\nBOTH=file\n\nHOST_SET\n");
    let env = root
        .ctr("run")
        .env("HOST_SET", "host")
        .env("SECRET", "of the caller")
        .args(["--wait", "--rm", "--log=inherit", "--env", "BOTH=option", "-e", "WITH=a=b c"])
        .arg("--env-file")
        .arg(file)
        .args(["busybox", "env"])
        .ok();
    for line in [
        "FROM_IMAGE=yes",
        "PATH=/bin",
        "FROM_FILE=file",
        "BOTH=option",
        "WITH=a=b c",
        "HOST_SET=host",
        "HOME=/root",
        "container=ctr",
    ] {
        assert!(env.lines().any(|found| found == line), "{line} in {env}");
    }
    assert!(!env.contains("SECRET") && !env.contains("CTR_ROOT"), "{env}");
}

#[test]
fn the_working_directory() {
    // spec: EXEC-43
    need!(root);
    let root = Root::with_busybox();
    assert_eq!(inside(&root, &[], "pwd"), "/");
    assert_eq!(inside(&root, &["--workdir", "/etc"], "pwd"), "/etc");
    assert_eq!(inside(&root, &["-w", "/etc/../bin"], "pwd"), "/bin");
    // The image's own is made where it is missing; the caller's is not (it may be a typing error).
    let mut layout = Layout::new(&root.file("layout"));
    let mut config = images::busybox_config();
    config["WorkingDir"] = "/made/for/me".into();
    let image = layout.image(&config, &[Layer::plain(images::busybox_tree().finish())]);
    layout.tag("latest", &image);
    root.fetch(&layout.source("latest"), "dir");
    let made = root.ctr("run").args([
        "--wait",
        "--rm",
        "--log=inherit",
        "--user",
        "bob",
        "dir",
        "sh",
        "-c",
        "pwd; stat -c %u:%g .",
    ]);
    assert_eq!(made.ok(), "/made/for/me\n0:0");
}

#[test]
fn users_by_name_and_number() {
    // spec: EXEC-44, EXEC-45
    need!(root);
    let root = Root::with_busybox();
    let who = "id -u; id -g; id -G; echo $HOME";
    for (user, wanted) in [
        ("0", "0\n0\n0 10\n/root"),
        ("root", "0\n0\n0 10\n/root"),
        ("bob", "1000\n1001\n1001 10 50\n/home/bob"),
        ("1000", "1000\n1001\n1001 10 50\n/home/bob"),
        ("bob:staff", "1000\n50\n50\n/home/bob"),
        ("bob:50", "1000\n50\n50\n/home/bob"),
        ("1234", "1234\n0\n0\n/"),
        ("1234:5678", "1234\n5678\n5678\n/"),
    ] {
        let seen = inside(&root, &["--user", user], who);
        let sorted = |text: &str| {
            text.lines()
                .map(|line| {
                    let mut words: Vec<&str> = line.split(' ').collect();
                    words.sort_unstable();
                    words.join(" ")
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(sorted(&seen), sorted(wanted), "{user}");
    }
}

#[test]
fn host_name_and_files_of_the_network() {
    // spec: EXEC-3, EXEC-30, EXEC-31
    need!(root);
    let root = Root::with_busybox();
    assert_eq!(inside(&root, &["--hostname", "web1"], "hostname; cat /etc/hostname"), "web1\nweb1");
    let id = inside(&root, &[], "hostname");
    assert_eq!(id.len(), 12, "{id}");
    let hosts = inside(&root, &["--hostname", "web1", "--add-host", "db:10.1.2.3"], "cat /etc/hosts");
    assert!(hosts.contains("127.0.0.1") && hosts.contains("::1") && hosts.contains("web1"), "{hosts}");
    assert!(hosts.lines().any(|line| line.split_whitespace().eq(["10.1.2.3", "db"])), "{hosts}");
    assert_eq!(inside(&root, &[], "ls /etc/resolv.conf 2>/dev/null | wc -l"), "0", "the image's own, which is none");
    let host = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    assert_eq!(inside(&root, &["--network", "host"], "cat /etc/resolv.conf"), host.trim_end_matches('\n'));
    assert!(inside(&root, &["--dns", "192.0.2.1"], "cat /etc/resolv.conf").contains("nameserver 192.0.2.1"));
}

#[test]
fn the_root_is_writable_or_not_and_never_the_images() {
    // spec: EXEC-10, EXEC-11
    need!(root);
    let root = Root::with_busybox();
    assert_eq!(inside(&root, &[], "echo changed > /etc/group && rm /bin/ls && cat /etc/group"), "changed");
    assert!(inside(&root, &[], "cat /etc/group && ls / >/dev/null").contains("staff"), "the next one sees the image's");
    let done = run(&root, &["--read-only"], &["sh", "-c", "touch /x"]);
    assert!(done.code != 0 && done.stderr.contains("Read-only file system"), "{done}");
    assert_eq!(inside(&root, &["--read-only", "--tmpfs", "/scratch"], "touch /scratch/x && echo ok"), "ok");
    assert_eq!(inside(&root, &["--read-only"], "mount -o remount,rw / 2>/dev/null || echo refused"), "refused");
    assert_eq!(store_check::complaints(&root.store()), Vec::<String>::new());
}

#[test]
fn tmpfs_mounts() {
    // spec: EXEC-54
    need!(root);
    let root = Root::with_busybox();
    let seen = inside(
        &root,
        &["--tmpfs", "/t:size=1m,mode=0700"],
        "grep ' /t ' /proc/self/mountinfo; stat -c %a /t; dd if=/dev/zero of=/t/f bs=1k count=2000 2>&1 | tail -1",
    );
    assert!(
        seen.contains("nosuid,nodev,noexec")
            && seen.contains("tmpfs")
            && seen.contains("size=1024k")
            && seen.contains("\n700\n"),
        "{seen}"
    );
    let full = run(&root, &["--tmpfs", "/t:size=1m"], &["dd", "if=/dev/zero", "of=/t/f", "bs=1k", "count=2000"]);
    assert!(full.code != 0 && full.stderr.contains("No space left"), "{full}");
}

#[test]
fn volumes() {
    // spec: EXEC-50 to EXEC-52
    need!(root);
    let root = Root::with_busybox();
    let dir = root.file("volume");
    fs::create_dir(&dir).unwrap();
    let file = root.write("file", "of the host\n");
    let (dir, file) = (dir.display().to_string(), file.display().to_string());
    assert_eq!(inside(&root, &["-v", &format!("{dir}:/data")], "echo inside > /data/f; cat /data/f"), "inside");
    assert_eq!(fs::read_to_string(root.file("volume/f")).unwrap(), "inside\n");
    let ro = run(&root, &["-v", &format!("{dir}:/data:ro")], &["sh", "-c", "cat /data/f; touch /data/g"]);
    assert!(ro.code != 0 && ro.stdout == "inside\n" && ro.stderr.contains("Read-only"), "{ro}");
    assert_eq!(inside(&root, &["-v", &format!("{file}:/etc/passwd:ro")], "cat /etc/passwd"), "of the host");
    assert_eq!(inside(&root, &["-v", &format!("{file}:/new/place/file")], "cat /new/place/file"), "of the host");
    let options = inside(&root, &["-v", &format!("{dir}:/data")], "grep ' /data ' /proc/self/mountinfo");
    assert!(options.contains("nosuid,nodev"), "{options}");
    let mount = format!("type=bind,source={dir},target=/data,readonly");
    assert_eq!(
        inside(&root, &["--mount", &mount], "cat /data/f; touch /data/x 2>/dev/null || echo refused"),
        "inside\nrefused"
    );
    assert_eq!(inside(&root, &["--mount", "type=tmpfs,target=/data"], "ls /data | wc -l"), "0");
    // Mount points that were made are the container's, not the image's.
    assert_eq!(inside(&root, &[], "ls -d /new /data 2>/dev/null | wc -l"), "0");
}

#[test]
fn id_and_pid_files() {
    // spec: CLI-36
    need!(root);
    let root = Root::with_busybox();
    let (cid, pid) = (root.file("cid"), root.file("pid"));
    let id =
        root.ctr("run").arg("--cidfile").arg(&cid).arg("--pidfile").arg(&pid).args(["busybox", "sleep", "600"]).ok();
    assert_eq!(fs::read_to_string(&cid).unwrap().trim(), id);
    let pid: i32 = fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
    assert!(leaks::processes(&root.path(), &[id]).contains(&pid));
    let again = root.ctr("run").arg("--cidfile").arg(&cid).args(["busybox", "true"]).fails(125);
    assert!(again.stderr.contains("cid"), "an id file of another container is not overwritten: {again}");
    assert_eq!(root.containers("run").len(), 1);
}

#[test]
fn names_and_labels() {
    // spec: LIFE-2, LIFE-3
    need!(root);
    let root = Root::with_busybox();
    root.ctr("run").args(["--name", "web", "--label", "tier=front", "busybox", "sleep", "600"]).ok();
    root.ctr("run").args(["--name", "web", "busybox", "true"]).fails(125).says("web");
    let listed = root.ctr("ps").args(["--format", "json"]).ok();
    assert!(listed.contains("tier") && listed.contains("front") && listed.contains("org.example.maker"), "{listed}");
    root.ctr("stop").args(["--timeout", "0", "web"]).ok();
    root.ctr("gc").args(["--grace", "0"]).ok();
    root.ctr("run").args(["--wait", "--rm", "--name", "web", "busybox", "true"]).ok();
}

#[test]
fn rm_removes_and_without_it_the_container_stays() {
    // spec: LIFE-73
    need!(root);
    let root = Root::with_busybox();
    root.ctr("run").args(["--wait", "busybox", "true"]).ok();
    assert_eq!(root.containers("run").len(), 1);
    root.ctr("run").args(["--wait", "--rm", "busybox", "true"]).ok();
    assert_eq!(root.containers("run").len(), 1);
    let id = root.ctr("run").args(["--rm", "busybox", "true"]).ok();
    until("its end", || leaks::processes(&root.path(), &[id.clone()]).is_empty());
    // Marked, and removed by the next that looks, without a grace.
    root.ctr("gc").ok();
    assert!(!root.containers("run").contains(&id));
}

#[test]
fn init_reaps_and_passes_signals_on() {
    // spec: LIFE-40, LIFE-42, EXEC-2, CLI-33
    need!(root);
    let root = Root::with_busybox();
    // An orphan that ends: no zombie remains.
    let script = "sh -c 'sleep 0.1 & exit' ; sleep 0.5; cat /proc/[0-9]*/stat | grep -c ') Z ' ; echo pid $$";
    let seen = inside(&root, &[], script);
    assert!(seen.starts_with("0\n") && !seen.ends_with("pid 1"), "{seen}");
    assert_eq!(inside(&root, &["--no-init"], "echo $$"), "1");
    let script = "trap 'echo got; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    for options in [&[][..], &["--no-init"]] {
        let mut running = root
            .ctr("run")
            .args(["--wait", "--log=inherit"])
            .args(options.iter().copied())
            .args(["busybox", "sh", "-c", script])
            .start();
        until("ready", || running.stdout().contains("ready"));
        Cmd::new("kill").args(["-TERM", &running.pid().to_string()]).ok();
        let done = running.wait();
        assert_eq!((done.code, done.stdout.as_str()), (7, "ready\ngot\n"), "{options:?}: {done}");
    }
}

#[test]
fn the_programs_end_ends_all_of_the_container() {
    // spec: LIFE-40
    need!(root);
    let root = Root::with_busybox();
    assert_eq!(run(&root, &[], &["sh", "-c", "setsid sleep 600 & sleep 600 & exit 4"]).code, 4);
    assert_nothing_left(&root, "background processes");
}

#[test]
fn explain_and_dry_run() {
    // spec: CLI-35
    need!(root);
    let root = Root::with_busybox();
    let plan = root.ctr("run").args(["--dry-run", "--explain", "-v", "/tmp:/data:ro", "busybox", "true"]).run();
    assert_eq!(plan.code, 0, "{plan}");
    let text = format!("{}{}", plan.stdout, plan.stderr);
    for word in ["overlay", "/data", "/proc", "seccomp", "true"] {
        assert!(text.contains(word), "{word} in {text}");
    }
    assert_nothing_left(&root, "dry run");
    let done = root.ctr("run").args(["--dry-run", "busybox", "true"]).run();
    assert_eq!(done.code, 0, "{done}");
    let both = root.ctr("run").args(["--explain", "--wait", "--rm", "--log=inherit", "busybox", "echo", "ran"]).run();
    assert!(both.code == 0 && both.stdout.contains("ran"), "{both}");
}

#[test]
fn a_path_is_fetched_and_run() {
    // spec: CLI-30, CLI-34
    need!(root);
    let root = Root::new();
    let dir = images::busybox_dir();
    let run = || root.ctr("run").args(["--wait", "--rm", "--log=inherit"]).arg(&dir).args(["echo", "from a path"]).ok();
    assert_eq!(run(), "from a path");
    assert_eq!(run(), "from a path");
}

#[test]
fn deleted_files_of_lower_layers_stay_deleted() {
    // spec: LAY-34
    need!(root);
    let root = Root::new();
    root.fetch(&format!("oci:{}:latest", images::umoci_layers().display()), "m");
    let script = "ls -A /etc /etc/conf.d /gone /back; cat /becomes-dir/f; cat /becomes-file; stat -c %a /setuid";
    let seen = root.ctr("run").args(["--wait", "--rm", "--log=inherit", "m", "sh", "-c", script]).ok();
    for absent in ["two", "hard", "deep"] {
        assert!(!seen.lines().any(|line| line == absent), "{absent} in {seen}");
    }
    for present in ["one", "soft", "new", "fresh", "again", "now"] {
        assert!(seen.lines().any(|line| line == present), "{present} in {seen}");
    }
    // A directory of the image can be removed and made again, and then is empty.
    let script = "rm -r /gone /etc/conf.d && mkdir /gone /etc/conf.d && ls -A /gone /etc/conf.d | grep -c '^[a-z]'";
    let done = root.ctr("run").args(["--wait", "--rm", "--log=inherit", "m", "sh", "-c", script]).run();
    assert_eq!(done.stderr, "", "{done}");
}

/// LIM-14: as many layers as an image may have; old mount calls take one page of options, so that names must be short.
#[test]
fn an_image_of_127_layers() {
    need!(root);
    let root = Root::new();
    let layers: Vec<Vec<u8>> = (1..127)
        .map(|n| {
            Tar::new()
                .dir("n", 0o755)
                .file(&format!("n/{n}"), 0o644, n.to_string())
                .file("n/last", 0o644, n.to_string())
                .finish()
        })
        .collect();
    root.fetch(&images::busybox_with(&root.file("layout"), &layers), "many");
    let seen = root
        .ctr("run")
        .args(["--wait", "--rm", "--log=inherit", "many", "sh", "-c", "ls /n | wc -l; cat /n/last /n/1"])
        .ok();
    assert_eq!(seen, "127\n1261");
    let more = [layers, vec![Tar::new().file("x", 0o644, "x").finish()]].concat();
    let source = images::busybox_with(&root.file("more"), &more);
    root.ctr("fetch").args([&source, "--name", "more"]).fails(1).says("127");
}

#[test]
fn volumes_with_mounts_below_them() {
    need!(root, "mount");
    let root = Root::with_busybox();
    let dir = root.file("volume");
    fs::create_dir_all(dir.join("below")).unwrap();
    ctr_tests::tree::own_mounts();
    Cmd::new("mount").args(["-t", "tmpfs", "none"]).arg(dir.join("below")).ok();
    fs::write(dir.join("below/file"), "below").unwrap();
    let volume = |options: &str| format!("{}:/v{options}", dir.display());
    let script = "cat /v/below/file; touch /v/below/new 2>/dev/null && echo written; true";
    assert_eq!(inside(&root, &["-v", &volume(":rbind")], script), "belowwritten");
    fs::remove_file(dir.join("below/new")).unwrap();
    // Read-only holds for the mounts below too.
    assert_eq!(inside(&root, &["-v", &volume(":ro,rbind")], script), "below");
    assert!(!dir.join("below/new").exists());
}

#[test]
fn a_debian_image_runs_python() {
    need!(root, "mmdebstrap");
    let root = Root::new();
    root.fetch(&images::debian(), "debian");
    let version = root.ctr("run").args(["--wait", "--rm", "--log=inherit", "debian", "python3", "--version"]).ok();
    assert!(version.starts_with("Python 3."), "{version}");
    let script = "import os, threading; t = threading.Thread(target=print, args=('thread',)); t.start(); t.join(); print(os.getpid() > 1)";
    let seen = root.ctr("run").args(["--wait", "--rm", "--log=inherit", "debian", "python3", "-c", script]).run();
    assert_eq!((seen.code, seen.stdout.as_str()), (0, "thread\nTrue\n"), "{seen}");
}
