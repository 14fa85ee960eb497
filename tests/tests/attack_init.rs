//! Hostile programs against our own process in the container: PID 1, its descriptors and its lock.

use std::fs;

use ctr_tests::need;
use ctr_tests::probe::{self, reached};
use ctr_tests::scratch::{Cmd, Root, until};

/// What `trace` may always see of another process: nothing. The kernel shows its namespaces' names to nobody else either.
const NOTHING: Vec<String> = Vec::new();

// ATTACK: ptrace of init: attach, seize, process_vm_readv, kcmp, pidfd_getfd, /proc/1/*, setns, without and with our filter
//  => permission denied
#[test]
fn init_cannot_be_traced() {
    // spec: LIFE-11, LIFE-41
    need!(root, "musl-gcc");
    let root = probe::root();
    for options in
        [&[][..], &["--seccomp", "unconfined"], &["--userns", "host"], &["--userns", "host", "--seccomp", "unconfined"]]
    {
        assert_eq!(reached(&root, options, &["trace", "1"]), NOTHING, "{options:?}");
    }
}

// ATTACK: ptrace of init with CAP_SYS_PTRACE: the same ways, by a container that may trace in its own user namespace
//  => permission denied: init's memory belongs to the parent's user namespace
#[test]
fn init_cannot_be_traced_with_the_capability() {
    // spec: LIFE-11, LIFE-41
    need!(root, "musl-gcc");
    let root = probe::root();
    for options in [&["--cap-add", "SYS_PTRACE"][..], &["--cap-add", "ALL", "--seccomp", "unconfined"]] {
        // PR_SET_DUMPABLE guards what asks ptrace's permission; a namespace's holder may enter what it is in already.
        let found = reached(&root, options, &["trace", "1"]);
        let found: Vec<_> = found.into_iter().filter(|what| !what.starts_with("namespace")).collect();
        assert_eq!(found, NOTHING, "{options:?}");
    }
}

// ATTACK: signals to init: every signal, SIGKILL and SIGSTOP among them, sent to PID 1 from inside
//  => init lives, and the program's own end is what is reported
#[test]
fn signals_from_inside_do_not_end_init() {
    // spec: LIFE-50
    need!(root, "musl-gcc");
    let root = probe::root();
    for options in [&[][..], &["--userns", "host"]] {
        // Forwarded to the program: the shell that ignores them all stays.
        let script =
            "for n in $(seq 1 64); do trap '' $n 2>/dev/null; done; (exec /probe signals 1); echo alive; exit 7";
        let args = ["--wait", "--rm", "--log=inherit"];
        let done = root.ctr("run").args(args).args(options.iter().copied()).args(["probe", "sh", "-c", script]).run();
        // Signals without a handler that cannot be ignored by a shell end the program, never init: then 128+N is what is told.
        assert!(done.code == 7 && done.stdout.contains("alive") || done.code > 128, "{options:?}: {done}");
        assert!(root.containers("run").is_empty());
    }
}

// ATTACK: descriptors of the caller: two hundred of them, directories and devices among them, open across the launcher
//  => the program has 0, 1 and 2, init none of them (CVE-2024-21626's class)
#[test]
fn descriptors_of_the_caller_reach_nobody() {
    // spec: EXEC-46
    need!(root, "musl-gcc", "bash");
    let root = probe::root();
    let ctr = probe::text(&ctr_tests::bins::binary("ctr-run"));
    let open = "for n in $(seq 10 200); do eval \"exec $n</\"; done; exec 5</dev/full 6<>/dev/null 7</etc/shadow";
    for options in
        ["--wait --rm --log=inherit", "--wait --rm --log=inherit --no-init", "--wait --rm --log=inherit --userns=host"]
    {
        let script = format!("{open}; exec {ctr} {options} probe /probe fds");
        let done = Cmd::new("bash").args(["-c", &script]).env("CTR_ROOT", root.path()).run();
        assert_eq!((done.code, done.stdout.as_str()), (0, ""), "{options}: {done}");
    }
    let pidfile = root.file("pid");
    let script = format!("{open}; exec {ctr} --pidfile {} probe sleep 600", pidfile.display());
    Cmd::new("bash").args(["-c", &script]).env("CTR_ROOT", root.path()).ok();
    let pid = fs::read_to_string(&pidfile).unwrap().trim().to_owned();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        let target = fs::read_link(entry.unwrap().path()).unwrap();
        // The lock of its range of ids is below /run/ctr.
        let mine = [root.path().join("containers"), "/run/ctr/ranges".into(), "/dev/null".into()];
        let own = mine.iter().any(|path| target.starts_with(path));
        assert!(own || !target.is_absolute(), "init holds {}", target.display());
    }
}

// ATTACK: lock passing: a container that may trace takes init's descriptors, releases the container's lock and empties the exit record
//  => with a user namespace nothing is reached; on the host's ids the container stays "running" and is not collected
#[test]
fn releasing_the_lock_from_inside_frees_nothing() {
    // spec: STORE-72
    need!(root, "musl-gcc");
    let root = probe::root();
    let all = ["--cap-add", "SYS_PTRACE", "--seccomp", "unconfined"];
    assert_eq!(reached(&root, &all, &["unlock", "1"]), NOTHING);
    let script = "/probe unlock 1; echo done; sleep 600";
    let command = root.ctr("run").args(["--name", "thief", "--userns", "host"]).args(all);
    command.args(["--log=file", "probe", "sh", "-c", script]).ok();
    until("the attack is over", || root.ctr("logs").arg("thief").ok().contains("done"));
    println!("{}", root.ctr("logs").arg("thief").ok());
    root.ctr("gc").args(["--grace", "0s"]).ok();
    assert_eq!(root.containers("run").len(), 1, "a running container was collected");
    assert!(root.ctr("ps").ok().contains("thief"), "{}", root.ctr("ps").args(["--all"]).ok());
    root.ctr("stop").args(["--timeout", "0", "thief"]).ok();
}

// ATTACK: inherited capabilities: a program of another user with inheritable capabilities gets them back by executing a file
//  that has them => the inheritable and ambient sets are empty (CVE-2022-29162)
#[test]
fn no_capability_is_inheritable() {
    // spec: EXEC-60
    need!(root);
    let root = Root::with_busybox();
    for options in [&[][..], &["--cap-add", "NET_ADMIN"], &["--user", "bob"], &["--userns", "host", "--user", "bob"]] {
        let seen = ctr_tests::busybox::inside(&root, options, "grep -E '^Cap(Inh|Amb)' /proc/self/status");
        let sets: Vec<&str> = seen.split_whitespace().filter(|word| word.starts_with('0')).collect();
        assert_eq!(sets, ["0000000000000000", "0000000000000000"], "{options:?}");
    }
}
