//! `ctr-exec`: one more program, by the same profile.

use std::fs;
use std::time::{Duration, Instant};

use ctr_tests::pty::Pty;
use ctr_tests::scratch::{Cmd, Root, until};
use ctr_tests::{images, leaks, need, users};
use serde_json::Value;

/// A root with a container `c` that sleeps, started with these options.
fn with_container(options: &[&str]) -> Root {
    let root = Root::with_busybox();
    root.ctr("run").args(["--name", "c"]).args(options.iter().copied()).args(["busybox", "sleep", "600"]).ok();
    root
}

fn exec(root: &Root, options: &[&str], script: &str) -> Cmd {
    root.ctr("exec").args(options.iter().copied()).args(["c", "sh", "-c", script])
}

fn pid(root: &Root) -> i64 {
    let out = root.ctr("ps").args(["c", "--format", "json"]).ok();
    serde_json::from_str::<Value>(&out).unwrap()[0]["pid"].as_i64().unwrap()
}

#[test]
fn output_input_and_exit_codes() {
    // spec: CLI-90, CLI-91, CLI-31
    need!(root);
    let root = with_container(&[]);
    let done = exec(&root, &[], "echo out; echo err >&2; exit 7").fails(7);
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("out\n", "err\n"));
    assert_eq!(exec(&root, &["-i"], "cat").input("from the caller\n").ok(), "from the caller");
    assert_eq!(exec(&root, &[], "cat; echo end").input("not given\n").ok(), "end");
    exec(&root, &[], "kill -9 $$").fails(137);
    root.ctr("exec").args(["c", "absent"]).fails(127).says("absent");
    root.ctr("exec").args(["c", "/etc/not-executable"]).fails(126).says("permission denied");
    root.ctr("exec").args(["c", "/bin/script-without-interpreter"]).fails(127).says("/no/such/interpreter");
    root.ctr("exec").args(["-w", "/absent", "c", "true"]).fails(125).says("/absent");
    root.ctr("exec").args(["-u", "absent", "c", "true"]).fails(125).says("absent");
    root.ctr("exec").args(["absent", "true"]).fails(125).says("absent");
    root.ctr("exec").arg("c").fails(125);
}

#[test]
fn by_id_prefix_and_only_while_it_runs() {
    // spec: LIFE-93, CLI-90
    need!(root);
    let root = with_container(&[]);
    let id = root.containers("run").remove(0);
    assert_eq!(root.ctr("exec").args([&id, "echo", "x"]).ok(), "x");
    assert_eq!(root.ctr("exec").args([&id[..8], "echo", "--version", "-u", "y"]).ok(), "--version -u y");
    root.ctr("stop").args(["-t", "0", "c"]).ok();
    root.ctr("exec").args(["c", "true"]).fails(125).says("does not run");
}

#[test]
fn environment_directory_and_user() {
    // spec: LIFE-90, CLI-93
    need!(root);
    let root = with_container(&["-e", "A=run", "-e", "B=run", "-w", "/tmp", "-u", "bob"]);
    assert_eq!(
        exec(&root, &["-e", "B=exec"], "echo $A $B $FROM_IMAGE $container $HOME $(pwd) $(id -un) $(umask)").ok(),
        "run exec yes ctr /home/bob /tmp bob 0022"
    );
    let id = exec(&root, &[], "id").ok();
    assert!(
        id.starts_with("uid=1000(bob) gid=1001(bob)") && id.contains("10(wheel)") && id.contains("50(staff)"),
        "{id}"
    );
    assert_eq!(exec(&root, &["-u", "0", "-w", "/"], "echo $HOME $(pwd) $(id -u)").ok(), "/root / 0");
    assert_eq!(exec(&root, &["-u", "7:8"], "echo $HOME $(id -u):$(id -g)").ok(), "/ 7:8");
    let file = root.write("env", "# a comment\nC=file\nB=file\n").display().to_string();
    assert_eq!(exec(&root, &["--env-file", &file, "-e", "D=d"], "echo $B $C $D").ok(), "file file d");
    // Nothing of the caller's.
    let seen = exec(&root, &[], "env").env("CALLER", "secret").ok();
    assert!(!seen.contains("CALLER") && !seen.contains("CTR_ROOT"), "{seen}");
}

#[test]
fn namespaces_and_groups_are_the_containers() {
    // spec: LIFE-91
    need!(root);
    for options in
        [&[][..], &["--userns", "host"], &["--network", "host"], &["--memory", "64m"], &["--no-init", "--log=none"]]
    {
        let root = with_container(options);
        let main = pid(&root);
        for name in ["user", "mnt", "pid", "ipc", "uts", "net", "cgroup"] {
            let of_main = fs::read_link(format!("/proc/{main}/ns/{name}")).unwrap().display().to_string();
            assert_eq!(exec(&root, &[], &format!("readlink /proc/self/ns/{name}")).ok(), of_main, "{options:?} {name}");
        }
        // As the host sees them.
        exec(&root, &["-d"], "exec sleep 77").ok();
        let mut sleeper = None;
        until("the second program", || {
            let ids = root.containers("run");
            sleeper = leaks::processes(&root.path(), &ids)
                .into_iter()
                .find(|pid| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"sleep\x0077\0"));
            sleeper.is_some()
        });
        let groups = |pid: i64| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        let id = root.containers("run").remove(0);
        let ours =
            |pid: i64| groups(pid).lines().filter(|line| line.contains(&id)).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(ours(i64::from(sleeper.unwrap())), ours(main), "{options:?}");
        assert!(!ours(main).is_empty());
        root.ctr("stop").args(["-t", "0", "c"]).ok();
        assert_eq!(leaks::processes(&root.path(), &[id]), Vec::<i32>::new());
    }
}

#[test]
fn descriptors_session_and_signals_are_fresh() {
    // spec: LIFE-91
    need!(root);
    let root = with_container(&[]);
    let ctr = ctr_tests::bins::binary("ctr-exec").display().to_string();
    let script = format!(
        "trap '' QUIT USR1 PIPE; umask 077; exec 5</etc/passwd 9</; {ctr} c sh -c 'ls /proc/self/fd; exec cat /proc/self/status'"
    );
    let seen = Cmd::new("sh").args(["-c", &script]).env("CTR_ROOT", root.path()).ok();
    // ls has the directory itself open as 3.
    assert!(seen.starts_with("0\n1\n2\n3\n"), "{seen}");
    for line in [
        "SigIgn:\t0000000000000000",
        "SigBlk:\t0000000000000000",
        "CapInh:\t0000000000000000",
        "CapAmb:\t0000000000000000",
    ] {
        assert!(seen.lines().any(|found| found == line), "{line} in {seen}");
    }
    // Session and process group are those of the shell itself.
    let leader = exec(&root, &[], "set -- $(cat /proc/$$/stat); echo $5 $6 $$").ok();
    let numbers: Vec<&str> = leader.split(' ').collect();
    assert!(numbers[0] == numbers[2] && numbers[1] == numbers[2], "{leader}");
    let null = exec(&root, &["-d"], "readlink /proc/$$/fd/2 > /tmp/fds; sleep 600");
    null.ok();
    until("the link", || exec(&root, &[], "cat /tmp/fds").run().stdout.contains("/dev/null"));
}

#[test]
fn signals_are_passed_on() {
    // spec: CLI-90
    need!(root);
    let root = with_container(&[]);
    let script = "trap 'echo got; exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let mut running = exec(&root, &[], script).start();
    until("ready", || running.stdout().contains("ready"));
    Cmd::new("kill").args(["-TERM", &running.pid().to_string()]).ok();
    let done = running.wait();
    assert_eq!((done.code, done.stdout.as_str()), (9, "ready\ngot\n"), "{done}");
}

#[test]
fn a_program_ends_with_its_container() {
    // spec: LIFE-91
    need!(root);
    let root = with_container(&[]);
    let mut running = exec(&root, &[], "echo ready; exec sleep 600").start();
    until("ready", || running.stdout().contains("ready"));
    root.ctr("stop").args(["-t", "0", "c"]).ok();
    assert_eq!(running.wait().code, 137);
}

#[test]
fn limits_hold_for_it_too() {
    // spec: LIFE-90
    need!(root);
    let root = with_container(&["--ulimit", "nofile=100:200", "--pids-limit", "20"]);
    let limits = exec(&root, &[], "grep 'open files' /proc/self/limits").ok();
    assert_eq!(limits.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["100", "200"]);
    let done = exec(&root, &[], "n=0; while [ $n -lt 60 ]; do sleep 5 & n=$((n+1)); done; echo started").run();
    assert!(done.stderr.contains("fork") && done.stdout.is_empty(), "{done}");
}

#[test]
fn privileged_and_capabilities() {
    // spec: CLI-92
    need!(root);
    let root = with_container(&["--no-new-privileges"]);
    let status = |options: &[&str], name: &str| {
        let line = exec(&root, options, &format!("grep ^{name}: /proc/self/status")).ok();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    let caps = |options: &[&str]| u64::from_str_radix(&status(options, "CapEff"), 16).unwrap();
    let default = caps(&[]);
    assert_eq!((status(&[], "Seccomp").as_str(), status(&[], "NoNewPrivs").as_str()), ("2", "1"));
    assert_eq!(caps(&["--cap-drop", "ALL"]), 0);
    assert_eq!(caps(&["--cap-drop", "chown", "--cap-add", "NET_ADMIN"]), (default & !1) | 1 << 12);
    let all = ["--privileged"];
    assert!(caps(&all).count_ones() > 30);
    assert_eq!((status(&all, "Seccomp").as_str(), status(&all, "NoNewPrivs").as_str()), ("0", "0"));
    root.ctr("exec").args(["--cap-add", "NONE", "c", "true"]).fails(125).says("NONE");
    let host = with_container(&["--userns", "host"]);
    exec(&host, &["--cap-add", "MKNOD"], "true").fails(125).says("device rules");
}

#[test]
fn a_frozen_container_is_refused_at_once() {
    // spec: LIFE-93
    need!(root);
    let root = with_container(&[]);
    let id = root.containers("run").remove(0);
    let groups = leaks::cgroups(std::slice::from_ref(&id));
    let files = ["cgroup.freeze", "freezer.state"];
    let file = groups.iter().find_map(|group| files.iter().map(|file| group.join(file)).find(|file| file.exists()));
    let Some(file) = file else { return ctr_tests::skip::skip("no cgroup freezer") };
    let (frozen, thawed) = if file.ends_with("cgroup.freeze") { ("1", "0") } else { ("FROZEN", "THAWED") };
    fs::write(&file, frozen).unwrap();
    let start = Instant::now();
    let done = exec(&root, &[], "true").fails(125).says("frozen").says("thaw");
    assert!(start.elapsed() < Duration::from_secs(2), "{done}");
    fs::write(&file, thawed).unwrap();
    exec(&root, &[], "true").ok();
}

#[test]
fn a_terminal_of_its_own() {
    // spec: CLI-94
    need!(root);
    let root = with_container(&[]);
    let script = "tty; echo ready $TERM; read line; echo got $line; stty size 2>/dev/null; exit 3";
    let mut pty = Pty::start(&root.ctr("exec").args(["-it", "-u", "bob", "c", "sh", "-c", script]));
    pty.expect("/dev/pts/0");
    pty.expect("ready xterm");
    pty.until_raw();
    pty.line("typed");
    pty.expect("got typed");
    assert_eq!(pty.wait(), 3);
    assert!(!pty.is_raw(), "the caller's modes are back");
    // The keys hang up: nobody else holds the terminal.
    let mut pty = Pty::start(&root.ctr("exec").args([
        "-it",
        "c",
        "sh",
        "-c",
        "trap 'echo > /tmp/hup; exit' HUP; echo ready; while :; do sleep 0.05; done",
    ]));
    pty.expect("ready");
    pty.until_raw();
    pty.write("\x10\x11");
    assert_eq!(pty.wait(), 0);
    until("the hang-up", || exec(&root, &[], "[ -e /tmp/hup ]").run().code == 0);
    // Without a terminal of the caller's it is only shown.
    let done = exec(&root, &["-t"], "[ -t 0 ] && [ -t 1 ] && echo yes").run();
    assert_eq!((done.code, done.stdout.as_str()), (0, "yes\r\n"), "{done}");
    exec(&root, &["-it"], "true").fails(125).says("not a TTY");
}

// ATTACK: /dev/pts of a running container: a fifo and a file are where the terminal's device belongs, when one is entered with a terminal => refused at once
#[test]
fn a_container_without_a_true_devpts_gives_no_terminal() {
    // spec: CLI-94
    need!(root);
    for fake in ["mkfifo /dev/pts/ptmx", "echo x > /dev/pts/ptmx", "ln -s /dev/null /dev/pts/ptmx", "true"] {
        let root = with_container(&["--cap-add", "SYS_ADMIN"]);
        exec(&root, &[], &format!("umount /dev/pts && mount -t tmpfs none /dev/pts && {fake}")).ok();
        let start = Instant::now();
        exec(&root, &["-t"], "true").fails(125).says("/dev/pts");
        assert!(start.elapsed() < Duration::from_secs(3), "{fake}");
        exec(&root, &[], "true").ok();
    }
}

#[test]
fn an_ordinary_user_enters_the_own_container() {
    // spec: LIFE-91, LIFE-92
    need!(root, "setpriv", "useradd", "newuidmap");
    let user = users::with_range();
    let root = user.root();
    let image = images::busybox();
    let source = image.trim_start_matches("oci:").trim_end_matches(":latest");
    let copy = users::readable(&root, std::path::Path::new(source), "layout");
    user.ctr(&root, "fetch").args(["-q", &format!("oci:{}:latest", copy.display()), "--name", "busybox"]).ok();
    user.ctr(&root, "run").args(["--name", "c", "busybox", "sleep", "600"]).ok();
    let done = user
        .ctr(&root, "exec")
        .args(["c", "sh", "-c", "id -u; grep -E '^(CapInh|Seccomp):' /proc/self/status; readlink /proc/self/ns/user"])
        .run();
    assert_eq!(done.code, 0, "{done}");
    assert!(done.stdout.starts_with("0\nCapInh:\t0000000000000000\nSeccomp:\t2\nuser:"), "{done}");
    assert_eq!(user.ctr(&root, "exec").args(["-u", "bob", "c", "id", "-un"]).ok(), "bob");
    // Others may not: they cannot even find it.
    let other = users::without_range();
    assert_eq!(other.ctr(&root, "exec").args(["c", "true"]).run().code, 125);
    assert_eq!(user.ctr(&root, "rm").args(["-f", "-t", "0", "c"]).ok().lines().count(), 1);
}
