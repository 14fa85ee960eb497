//! Hostile containers that are entered: they go for the binary, the joining process, and the profile.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ctr_tests::images::{busybox_config, busybox_tree};
use ctr_tests::oci::{Layer, Layout};
use ctr_tests::scratch::{Cmd, Root, until};
use ctr_tests::{bins, leaks, need};
use serde_json::Value;

/// A root with a container `c` that runs `script`.
fn with_container(options: &[&str], script: &str) -> Root {
    let root = Root::with_busybox();
    let run = root.ctr("run").args(["--name", "c", "--log=none"]).args(options.iter().copied());
    run.args(["busybox", "sh", "-c", script]).ok();
    root
}

fn inside(root: &Root, script: &str) -> String {
    root.ctr("exec").args(["c", "sh", "-c", script]).ok()
}

/// Our binaries can be executed in this image: it has the libraries that a build which is not static asks for.
fn with_libraries(root: &Root) {
    let mut tar = busybox_tree();
    let mut dirs = BTreeSet::new();
    let linked = Cmd::new("ldd").args([bins::binary("ctr-exec"), bins::binary("ctr-run")]).run().stdout;
    let paths = linked.lines().filter(|line| !line.ends_with(':'));
    let paths: BTreeSet<&str> =
        paths.filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/'))).collect();
    for path in paths {
        let parents: Vec<&Path> = Path::new(path).ancestors().skip(1).filter(|dir| dir.parent().is_some()).collect();
        for dir in parents.into_iter().rev().map(|dir| dir.to_str().unwrap()[1..].to_owned()) {
            if dirs.insert(dir.clone()) && dir != "usr" {
                tar = tar.dir(&dir, 0o755);
            }
        }
        tar = tar.file(&path[1..], 0o755, fs::read(path).unwrap());
    }
    let mut layout = Layout::new(&root.file("libraries"));
    let image = layout.image(&busybox_config(), &[Layer::plain(tar.finish())]);
    layout.tag("latest", &image);
    root.fetch(&layout.source("latest"), "libraries");
}

/// A binary of its own for a test that lets others try to write it.
fn copy_of(root: &Root, name: &str) -> PathBuf {
    let copy = root.file(name);
    fs::copy(bins::binary(name), &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    copy
}

/// Lets `command`, which executes our own binary inside as `/proc/self/exe`, hang on its output. Meanwhile the container opens
/// the binary, ends the process, and writes; returns what it says of that.
fn overwrite(root: &Root, command: &mut Command) -> String {
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&vec![b'x'; 65536]).unwrap();
    let mut hanging = command.env("CTR_ROOT", root.path()).stdin(Stdio::null()).stdout(writer).spawn().unwrap();
    let script = "n=0; while [ $n -lt 60 ]; do n=$((n+1))
        for p in /proc/[0-9]*; do
          [ $p = /proc/1 ] && continue
          case $(readlink $p/exe) in */busybox|'') continue;; esac
          [ -e $p/exe ] || continue
          exec 9< $p/exe || continue
          echo opened; head -c 4 <&9 | tail -c 3
          kill -9 ${p#/proc/}
          n=0; while [ $n -lt 40 ]; do n=$((n+1)); { echo pwned > /proc/self/fd/9; } 2>>/tmp/why && { echo WRITTEN; break; }; usleep 5000; done
          tail -n 1 /tmp/why; exit 0
        done; usleep 10000; done; echo never";
    // For user namespaces: init and its fds are out of reach, the hanging program is the container's own.
    let said = root.ctr("exec").args(["c", "sh", "-c", script]).run();
    hanging.kill().ok();
    hanging.wait().ok();
    drop(std::io::Read::read(&mut reader, &mut [0; 1]));
    said.stdout
}

// ATTACK: CVE-2019-5736: a program is /proc/self/exe, or a script with it as interpreter, and the container writes to what it opened => the binary is unchanged, its file read-only
#[test]
fn our_binary_cannot_be_overwritten() {
    // spec: LIFE-92
    need!(root);
    for options in [&[][..], &["--userns=host"], &["--userns=host", "--cap-add", "SYS_PTRACE"]] {
        let root = Root::new();
        with_libraries(&root);
        let script = "printf '#!/proc/self/exe\\n' > /tmp/script; chmod 755 /tmp/script; exec sleep 600";
        let run = root.ctr("run").args(["--name", "c", "--log=none"]).args(options.iter().copied());
        run.args(["libraries", "sh", "-c", script]).ok();
        let binary = copy_of(&root, "ctr-exec");
        let before = fs::read(&binary).unwrap();
        until("the script", || inside(&root, "[ -x /tmp/script ] && echo yes; true") == "yes");
        for program in [&["/proc/self/exe", "--help"][..], &["/tmp/script", "x"]] {
            let said = overwrite(&root, Command::new(&binary).arg("c").args(program).stderr(Stdio::null()));
            // The script's argument makes our binary a usage error: it ends too fast to be met, or is met as the other one.
            if program[0] == "/proc/self/exe" {
                assert!(said.starts_with("opened\nELF"), "{options:?}: {said}");
            }
            assert!(!said.contains("WRITTEN"), "{options:?} {program:?}: {said}");
            assert!(fs::read(&binary).unwrap() == before, "{options:?} {program:?}");
            if !options.is_empty() && said.starts_with("opened") {
                assert!(said.contains("Read-only"), "not by mode bits alone: {said}");
            }
        }
    }
}

// ATTACK: CVE-2019-5736: the container's own entrypoint is /proc/self/exe, which is ctr-run, with the host's ids => the binary is unchanged, its file read-only
#[test]
fn the_launcher_cannot_be_overwritten_by_its_entrypoint() {
    // spec: LIFE-41
    need!(root);
    for options in [&["--userns=host"][..], &[]] {
        let root = Root::new();
        with_libraries(&root);
        let binary = copy_of(&root, "ctr-run");
        let before = fs::read(&binary).unwrap();
        let mut command = Command::new(&binary);
        command
            .args(["--wait", "--rm", "--name", "c", "--log=inherit", "--entrypoint", "/proc/self/exe"])
            .args(options);
        let said = overwrite_main(&root, command.args(["libraries", "--help"]));
        assert_eq!(said, "opened\nELF", "{options:?}");
        assert!(fs::read(&binary).unwrap() == before, "{options:?}");
    }
}

/// [`overwrite`] where the hanging program is the container's own: writing has to happen while it hangs.
fn overwrite_main(root: &Root, command: &mut Command) -> String {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&vec![b'x'; 65536]).unwrap();
    let mut hanging = command.env("CTR_ROOT", root.path()).stdin(Stdio::null()).stdout(writer).spawn().unwrap();
    until("the container", || root.ctr("exec").args(["c", "true"]).run().code == 0);
    let script = "for p in /proc/[0-9]*; do [ $p = /proc/1 ] && continue; case $(readlink $p/exe) in */busybox|'') continue;; esac
        exec 9< $p/exe || continue; echo opened; head -c 4 <&9 | tail -c 3
        for f in /proc/self/fd/9 $p/exe; do { echo pwned > $f; } 2>/dev/null && echo WRITTEN; done
        # A program that runs is busy to writers anyway; its mode is not, unless its mount is read-only.
        chmod 777 /proc/self/fd/9 2>/dev/null && echo CHANGED; done; true";
    // The container runs from the clone on, and its program from the exec on: until then nobody can look at it.
    let mut said = String::new();
    until("the program", || {
        said = inside(root, script);
        !said.is_empty()
    });
    drop(reader);
    root.ctr("stop").args(["-t", "0", "c"]).run();
    hanging.wait().ok();
    said
}

fn status(pid: i64) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let wanted = ["Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp:", "Umask"];
    text.lines().filter(|line| wanted.iter().any(|name| line.starts_with(name))).map(str::to_owned).collect()
}

/// The process with this command line, as the host sees it.
fn find(root: &Root, line: &[u8]) -> i64 {
    let mut found = None;
    until("the process", || {
        found = leaks::processes(&root.path(), &root.containers("run"))
            .into_iter()
            .find(|pid| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|text| text == line));
        found.is_some()
    });
    i64::from(found.unwrap())
}

// ATTACK: CVE-2019-10144, CVE-2019-10145, CVE-2019-10147: entering with more than the container has => ids, capabilities, filter, limits and groups are those of its own program
#[test]
fn nothing_is_entered_with_more_than_the_profile() {
    // spec: LIFE-90, LIFE-91
    need!(root);
    for options in [
        &[][..],
        &["--userns=host"],
        &["--cap-drop", "ALL"],
        &["--no-new-privileges", "-u", "bob"],
        &["--seccomp", "unconfined", "--umask", "077"],
        &["--cap-add", "NET_ADMIN", "--ulimit", "nofile=64:64"],
    ] {
        let root = with_container(options, "exec sleep 601");
        root.ctr("exec").args(["-d", "c", "sleep", "602"]).ok();
        let (main, second) = (find(&root, b"sleep\x00601\0"), find(&root, b"sleep\x00602\0"));
        assert_eq!(status(second), status(main), "{options:?}");
        for file in ["limits", "oom_score_adj", "uid_map", "attr/current"] {
            let read = |pid: i64| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
            assert_eq!(read(second), read(main), "{options:?} {file}");
        }
        let id = root.containers("run").remove(0);
        let groups = |pid: i64| {
            let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
            text.lines().filter(|line| line.contains(&id)).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(groups(second), groups(main), "{options:?}");
        assert_eq!(
            fs::read_link(format!("/proc/{second}/root")).unwrap(),
            fs::read_link(format!("/proc/{main}/root")).unwrap()
        );
    }
}

// ATTACK: CVE-2022-29162: the caller has inheritable and ambient capabilities => the program has none of either
#[test]
fn no_capability_is_inherited_from_the_caller() {
    // spec: LIFE-91
    need!(root, "setpriv");
    let root = with_container(&["-u", "bob"], "exec sleep 600");
    let ctr = bins::binary("ctr-exec").display().to_string();
    let seen = Cmd::new("setpriv")
        .args(["--inh-caps", "+chown,+net_admin", "--ambient-caps", "+chown,+net_admin", &ctr])
        .args(["c", "grep", "-E", "^Cap(Inh|Prm|Eff|Amb)", "/proc/self/status"])
        .env("CTR_ROOT", root.path())
        .ok();
    let sets: Vec<&str> = seen.lines().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!(sets, ["0000000000000000"; 4], "{seen}");
}

// ATTACK: CVE-2024-21626: the working directory is /proc/self/fd/N, by option or through a link, with directories open in the caller => no way out of the root
#[test]
fn the_working_directory_of_a_join_is_no_way_out() {
    // spec: EXEC-43, LIFE-91
    need!(root);
    for userns in ["auto", "host"] {
        let root = with_container(
            &["--userns", userns],
            "for n in 3 5 7 9; do ln -s /proc/self/fd/$n /tmp/l$n; done; exec sleep 600",
        );
        until("the links", || inside(&root, "[ -L /tmp/l9 ] && echo yes; true") == "yes");
        let ctr = bins::binary("ctr-exec").display().to_string();
        for number in 3..=16 {
            for dir in [
                format!("/proc/self/fd/{number}"),
                format!("/proc/self/fd/{number}/.."),
                format!("/tmp/l{number}"),
                format!("/proc/1/fd/{number}"),
            ] {
                let script = format!(
                    "exec 5</ 7</etc 9</root; exec {ctr} -w {dir} c sh -c 'cat ../../../../../../../../../../../../etc/passwd; ls ../..'"
                );
                let done = Cmd::new("sh").args(["-c", &script]).env("CTR_ROOT", root.path()).run();
                assert!(
                    done.code == 125 || done.stdout.starts_with("root:x:0:0:root:/root:/bin/sh\nbob:"),
                    "{dir}: {done}"
                );
                assert!(!done.stdout.contains("boot") && !done.stdout.contains("work\n"), "{dir}: {done}");
            }
        }
    }
}

/// Tries everything on every process that is neither init nor busybox, as fast as a shell can.
const WATCHER: &str = "cd /; while :; do for p in /proc/[0-9]*; do
    [ -e $p/root/proc/sys/kernel/random ] || continue
    IFS= read -r line < $p/cmdline; case $line in *caller-secret*) echo cmdline $line >> /tmp/seen;; esac
    IFS= read -r line < $p/environ; case $line in *caller-secret*) echo environ >> /tmp/seen;; esac
    for f in 3 4 5 6 7 8 9 10 11 12 13; do [ -d $p/fd/$f/. ] && case $p in /proc/1|/proc/self) ;; *) [ -e $p/fd/$f/host-marker ] && echo fd $f >> /tmp/seen;; esac; done
    [ -e $p/root/MARKER ] && echo root >> /tmp/seen
    [ -e $p/cwd/host-marker ] && echo cwd >> /tmp/seen
    done; done 2>/dev/null";

// ATTACK: watched entry: a process of the container watches /proc for the joining one, and reads its command line, environment, root, cwd and descriptors => nothing of the host or the caller is seen
#[test]
fn the_joining_process_shows_nothing_of_the_host() {
    // spec: LIFE-92
    need!(root);
    for options in
        [&[][..], &["--userns=host"], &["--userns=host", "--cap-add", "SYS_PTRACE"], &["--cap-add", "SYS_PTRACE"]]
    {
        let here = Root::new();
        let marker = here.write("host-marker", "x");
        let script = WATCHER.replace("MARKER", marker.to_str().unwrap().trim_start_matches('/'));
        let root = with_container(options, &script);
        let ctr = bins::binary("ctr-exec").display().to_string();
        let dir = marker.parent().unwrap().display().to_string();
        let script = format!(
            "cd {dir}; for fd in 5 7 9; do eval \"exec $fd<.\"; done; n=0; while [ $n -lt 60 ]; do n=$((n+1)); {ctr} -e HIDDEN=caller-secret-option c true || exit 9; done"
        );
        let done =
            Cmd::new("sh").args(["-c", &script]).env("CTR_ROOT", root.path()).env("X", "caller-secret-variable").run();
        assert_eq!(done.code, 0, "{done}");
        let seen = inside(&root, "cat /tmp/seen 2>/dev/null; true");
        // What the caller gave to the program is the program's: only the command line of ctr-exec is not.
        let lines: Vec<&str> = seen.lines().filter(|line| !line.starts_with("environ")).collect();
        assert_eq!(lines, Vec::<&str>::new(), "{options:?}");
        assert!(!seen.contains("variable"));
    }
}

// ATTACK: killed entry: the container kills or stops every new process, also the joining one => the caller gets an answer in bounded time
#[test]
fn a_container_that_kills_what_enters_does_not_hang_the_caller() {
    // spec: LIFE-93
    need!(root);
    for signal in ["KILL", "STOP"] {
        let script = format!(
            "while :; do for p in /proc/[0-9]*; do p=${{p#/proc/}}; [ $p -gt 2 ] && kill -{signal} $p; done; done 2>/dev/null"
        );
        let root = with_container(&[], &script);
        for _ in 0..8 {
            let start = Instant::now();
            let mut running = root.ctr("exec").args(["c", "true"]).start();
            while running.child.try_wait().unwrap().is_none() && start.elapsed() < Duration::from_secs(14) {
                std::thread::sleep(Duration::from_millis(5));
            }
            if running.child.try_wait().unwrap().is_none() {
                // The program itself was stopped, after its exec: that is the program's own life.
                let stopped = leaks::processes(&root.path(), &root.containers("run"));
                let states: Vec<_> = stopped.iter().map(|pid| (leaks::state_and_parent(*pid), name(*pid))).collect();
                assert!(
                    states.iter().any(|(state, name)| state.is_some_and(|(state, _)| state == 'T') && name == "true"),
                    "{states:?}"
                );
                running.child.kill().unwrap();
                running.wait();
                break;
            }
            let done = running.wait();
            assert!(matches!(done.code, 0 | 125 | 137), "{done}");
        }
    }
}

fn name(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

// ATTACK: symlinked /etc/passwd: in a container that runs, a link to the host's, a fifo, a device, a directory, a huge file => read from the container alone or not at all, at once
#[test]
fn accounts_of_a_hostile_container() {
    // spec: EXEC-44, LIFE-93
    need!(root);
    for (make, user, expected) in [
        ("ln -s /etc/shadow /etc/passwd", "daemon", None),
        ("ln -s ../../../../../../../../../../etc/passwd.host /etc/passwd", "daemon", None),
        ("ln -s /proc/1/root/etc/passwd /etc/passwd", "daemon", None),
        ("ln -s /proc/self/fd/0 /etc/passwd", "daemon", None),
        ("mkfifo /etc/passwd", "bob", None),
        ("mkdir /etc/passwd", "bob", None),
        ("ln -s /dev/zero /etc/passwd", "bob", None),
        ("ln -s /dev/tty /etc/passwd", "bob", None),
        ("dd if=/dev/zero of=/etc/passwd bs=1 count=0 seek=1G 2>/dev/null", "bob", None),
        ("printf 'bob:x:4294967295:0::/:\\nbob2:x:-1:0::/:\\n' > /etc/passwd", "bob", None),
        ("printf 'bob:x:77:88::/:\\n' > /etc/passwd", "bob", Some("77:88")),
    ] {
        let root = with_container(&[], &format!("rm /etc/passwd; {make}; : > /tmp/made; exec sleep 600"));
        until("the trap", || inside_as(&root, "0:0", "[ -e /tmp/made ]").is_some());
        let start = Instant::now();
        let done = root.ctr("exec").args(["-u", user, "c", "sh", "-c", "echo $(id -u):$(id -g)"]).run();
        assert!(start.elapsed() < Duration::from_secs(5), "{make}: {done}");
        match expected {
            Some(ids) => assert_eq!(done.ok(), ids),
            None => assert_eq!(done.code, 125, "{make}: {done}"),
        }
    }
}

/// The script's output, once it can be executed at all: a huge passwd keeps even that away.
fn inside_as(root: &Root, user: &str, script: &str) -> Option<String> {
    let done = root.ctr("exec").args(["-u", user, "c", "sh", "-c", script]).run();
    (done.code == 0 || done.stderr.contains("bytes that are read")).then_some(done.stdout)
}

// ATTACK: CVE-2019-14271: libraries and name service files of the container are there to be loaded by the joining process => it opens no file by name after it has joined
#[test]
fn nothing_of_the_container_is_loaded() {
    need!(root, "strace");
    let root = with_container(&[], "exec sleep 600");
    let trace = root.file("trace").display().to_string();
    let ctr = bins::binary("ctr-exec").display().to_string();
    Cmd::new("strace")
        .args(["-f", "-qq", "-o", &trace, &ctr, "-u", "bob", "c", "true"])
        .env("CTR_ROOT", root.path())
        .ok();
    let text = fs::read_to_string(&trace).unwrap();
    let joined = text.lines().position(|line| line.contains("setns(")).expect("a join");
    let exec = text.lines().collect::<Vec<_>>().iter().rposition(|line| line.contains("execve(")).expect("an exec");
    let opens = ["open(", "openat(", "openat2(", "readlink(", "stat(", "newfstatat(", "statx(", "access(", "faccessat"];
    for line in text.lines().take(exec).skip(joined) {
        // Debug builds count their own threads.
        let own = line.contains("/proc/self/task");
        assert!(own || !opens.iter().any(|call| line.contains(&format!(" {call}"))), "{line}");
    }
    assert!(Path::new(&trace).exists() && exec > joined);
}

// ATTACK: device capabilities: a container without a user namespace of its own gives further programs host devices by capability => refused, without device rules
#[test]
fn devices_are_not_given_by_the_back_door() {
    // spec: CLI-92
    need!(root);
    let root = with_container(&["--userns=host"], "exec sleep 600");
    for capability in ["MKNOD", "SYS_ADMIN"] {
        root.ctr("exec").args(["--cap-add", capability, "c", "true"]).fails(125).says("device rules");
    }
    let out = root.ctr("ps").args(["c", "--format", "json"]).ok();
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()[0]["state"], "running");
}
