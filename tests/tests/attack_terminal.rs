//! Attacks by way of terminals: what a hostile program does to its own, to the caller's, to init, to who attaches
//! (spec/06-lifecycle.md "Terminals").

use std::fs;
use std::time::{Duration, Instant};

use ctr_tests::pty::Pty;
use ctr_tests::scratch::{Cmd, Root, until};
use ctr_tests::{probe, users};
use nix::sys::signal::Signal;

fn run(root: &Root, options: &[&str], script: &str) -> Cmd {
    root.ctr("run").args(options.iter().copied()).args(["probe", "sh", "-c", script])
}

fn attach(root: &Root) -> Cmd {
    root.ctr("attach").arg("c")
}

/// PID 1 of container `c` on the host.
fn init(root: &Root) -> String {
    let text = fs::read_to_string(root.path().join("containers/run").join(&root.containers("run")[0]).join("process"));
    let record: serde_json::Value = serde_json::from_str(&text.unwrap()).unwrap();
    record["pid"].to_string()
}

/// Kilobytes of memory that init has to itself.
fn init_memory(root: &Root) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", init(root))).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Ioctl injection (CVE-2005-4890, CVE-2017-5226 class): nothing that the program does to the terminals that it has puts
/// input into the caller's, neither when the caller's is among its streams nor when it has one of its own.
// ATTACK: CVE-2017-5226: TIOCSTI, TIOCLINUX and job control on every terminal that the program has => nothing is typed at the caller's
#[test]
fn nothing_is_typed_at_the_callers_terminal() {
    let root = probe::root();
    for (options, own) in [
        (&["--wait"][..], false),
        (&["--wait", "--seccomp", "unconfined"], false),
        (&["--wait", "--seccomp", "unconfined", "--cap-add", "SYS_ADMIN"], false),
        (&["-t"], true),
        (&["-t", "--seccomp", "unconfined", "--cap-add", "SYS_ADMIN"], true),
    ] {
        let mut pty = Pty::start(&run(&root, &[&["--rm"], options].concat(), "exec /probe types"));
        pty.expect("done");
        assert_eq!(pty.wait(), 0, "{options:?}: {}", pty.seen());
        let filtered = !options.contains(&"unconfined");
        if !own || filtered {
            assert!(!pty.seen().contains("reached input"), "{options:?}: {}", pty.seen());
        }
        assert!(!pty.seen().contains("reached the console"), "{options:?}: {}", pty.seen());
        assert!(own || !pty.seen().contains("reached control"), "{options:?}: {}", pty.seen());
        // What was typed would be echoed, and wait to be read.
        assert_eq!(pty.waiting_input(), 0, "{options:?}");
    }
}

/// CVE-2025-52565 class: the terminal is what was made, whatever the container puts at its names.
// ATTACK: CVE-2025-52565: links and files at the names of the terminal, /dev/console and /dev/pts => the terminal is what was made
#[test]
fn names_of_the_terminal_are_not_looked_up() {
    let root = probe::root();
    let script = "umount /dev/console; umount -l /dev/pts; mount -t tmpfs t /dev/pts; rm -f /dev/console; \
                  ln -s /etc/passwd /dev/console; ln -s /etc/passwd /dev/pts/0; ln -s /etc/passwd /dev/pts/ptmx; \
                  echo replaced; while read line; do echo got $line; done";
    let options = ["-dit", "--name", "c", "--cap-add", "SYS_ADMIN", "--seccomp", "unconfined"];
    run(&root, &options, script).ok();
    until("it has replaced them", || root.ctr("logs").arg("c").ok().contains("replaced"));
    let mut pty = Pty::start(&attach(&root));
    pty.until_raw();
    pty.line("hello");
    pty.expect("got hello");
    pty.write("\x10\x11");
    assert_eq!(pty.wait(), 0);
    // What is at that place now is the container's choice: it is not taken for a terminal.
    let mut pty = Pty::start(&root.ctr("exec").args(["-it", "c", "sh"]));
    assert_eq!(pty.wait(), 125, "{}", pty.seen());
    pty.expect("cannot make a terminal");
}

/// The program closes its terminal and opens it again; another process keeps it open after the program's end. Neither
/// loses output, ends the session early, or holds it up.
// ATTACK: terminal: closed, opened again, kept open after the program's end => no output is lost, the session ends in time
#[test]
fn closed_opened_and_held() {
    let root = probe::root();
    let script = "exec 0<&- 1>&- 2>&-; sleep 0.3; exec >/dev/console; echo again; sleep 1000 & exit 3";
    let begun = Instant::now();
    let done = run(&root, &["-t", "--rm"], script).run();
    assert_eq!((done.code, done.stdout.as_str()), (3, "again\r\n"), "{done}");
    assert!(begun.elapsed() < Duration::from_secs(30));
}

/// A flood that nobody looks at: init reads it, stays as small as it was, the log has its limit, and a stop is heard.
// ATTACK: terminal: a flood that nobody looks at => init stays small, the log has its limit, a stop is heard
#[test]
fn a_flood_without_a_reader() {
    let root = probe::root();
    run(&root, &["-dt", "--name", "c"], "yes 0123456789012345678901234567890123456789").ok();
    let dir = root.path().join("containers/run").join(&root.containers("run")[0]);
    let size = |name: &str| fs::metadata(dir.join(name)).map_or(0, |facts| facts.len());
    until("a megabyte is written", || size("log") > 1 << 20);
    let before = init_memory(&root);
    until("ten megabytes are written", || size("log.1") > 0);
    assert!(init_memory(&root) <= before + 16, "{before} KiB before, {} KiB after", init_memory(&root));
    assert!(size("log") <= 10 << 20 && size("log.1") <= 10 << 20);
    let begun = Instant::now();
    root.ctr("stop").args(["-t", "20", "c"]).ok();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

/// A client that is stopped holds the output up, as a terminal does; init and what it is told are not held up.
// ATTACK: terminal: a client of ctr-attach that is stopped => init is not held up
#[test]
fn a_client_that_does_not_read() {
    let root = probe::root();
    run(&root, &["-dt", "--name", "c"], "trap 'exit 4' TERM; while :; do echo flood flood flood; done").ok();
    let before = init_memory(&root);
    let pty = Pty::start(&root.ctr("attach").args(["--no-stdin", "c"]));
    std::thread::sleep(Duration::from_millis(300));
    pty.signal(Signal::SIGSTOP);
    std::thread::sleep(Duration::from_millis(500));
    assert!(init_memory(&root) <= before + 16);
    root.ctr("stop").args(["-t", "1", "c"]).ok();
    // The client is told the end when it goes on.
    pty.signal(Signal::SIGCONT);
    let mut pty = pty;
    let code = pty.wait();
    assert!(code == 4 || code == 137, "{code}");
}

/// What the program writes reaches the caller's terminal as it is, escape sequences too: a terminal is what was asked for.
/// The log is shown without them.
// ATTACK: escape sequences: in the output of a terminal => the log is shown without them
#[test]
fn escape_sequences() {
    let root = probe::root();
    let script = r"printf '\033]0;title\007\033[31mred'";
    let done = run(&root, &["-t", "--rm"], script).run();
    assert_eq!(done.stdout, "\x1b]0;title\x07\x1b[31mred");
    run(&root, &["-dt", "--name", "c"], script).ok();
    root.ctr("ps").args(["--wait", "c"]).ok();
    let mut pty = Pty::start(&root.ctr("logs").arg("c"));
    assert_eq!(pty.wait(), 0);
    assert!(pty.seen().contains("red") && !pty.seen().contains('\x1b'), "{:?}", pty.seen());
}

/// LIFE-11: the socket to attach by is reached by nobody but the owner: not from inside, by no path, number or list; not by
/// another user.
// ATTACK: terminal: the socket to attach by, from inside and as another user => out of reach
#[test]
fn the_socket_is_out_of_reach() {
    let root = probe::root();
    let script = "ls /proc/1/fd && echo reached fd; ls -l /proc/1/root/ && echo reached root; \
                  grep attach /proc/net/unix && echo reached name; echo done";
    let done = run(&root, &["-dt", "--name", "c"], &format!("{script}; sleep 1000")).ok();
    assert!(!done.is_empty());
    until("it has tried", || root.ctr("logs").arg("c").ok().contains("done"));
    let log = root.ctr("logs").arg("c").ok();
    assert!(!log.contains("reached"), "{log}");

    let user = users::without_range();
    let attach = user.command(&user.program("ctr-attach").display().to_string()).env("CTR_ROOT", root.path());
    let done = attach.args(["--no-stdin", "c"]).run();
    assert_eq!(done.code, 125, "{done}");
    let socket = root.path().join("containers/run").join(&root.containers("run")[0]).join("attach");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&socket).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}
