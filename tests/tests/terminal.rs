//! Terminals, seen from a terminal: `ctr-run -i -t`, `ctr-attach`, sizes, signals, detaching (spec/06-lifecycle.md).

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use ctr_tests::pty::Pty;
use ctr_tests::scratch::{Cmd, Root, until};
use ctr_tests::users;
use nix::sys::signal::Signal;

fn run(root: &Root, options: &[&str], command: &[&str]) -> Cmd {
    root.ctr("run").args(options.iter().copied()).arg("busybox").args(command.iter().copied())
}

/// LIFE-100: the program has a terminal of the container's own, with all that belongs to one.
#[test]
fn a_shell_at_a_terminal() {
    let root = Root::with_busybox();
    let mut pty = Pty::start(&run(&root, &["-it", "--rm"], &["sh"]));
    pty.until_raw();
    pty.expect("/ # ");
    pty.line("echo one$((1+1))three; tty; stty size; ls -l /dev/console; echo $TERM");
    pty.expect("one2three");
    pty.expect("/dev/pts/0");
    pty.expect("24 80");
    pty.expect("crw--w----");
    pty.expect("xterm");
    pty.resize(50, 133);
    pty.expect("/ # ");
    pty.line("stty size");
    pty.expect("50 133");
    pty.line("exit 7");
    assert_eq!(pty.wait(), 7);
    assert!(!pty.is_raw());
    ctr_tests::busybox::assert_nothing_left(&root, "after a session");
}

/// Starts `busybox COMMAND` detached, with a name.
fn start(root: &Root, options: &[&str], command: &[&str]) {
    let options = [&["--name", "c"], options].concat();
    run(root, &options, command).ok();
}

fn attach(root: &Root, options: &[&str]) -> Cmd {
    root.ctr("attach").args(options.iter().copied()).arg("c")
}

fn log(root: &Root) -> String {
    root.ctr("logs").arg("c").ok()
}

/// LIFE-102, CLI-110: detached by the keys, the container goes on and its output is in the log; attached again, the same
/// shell is there; its end is the end of ctr-attach.
#[test]
fn detach_and_attach_again() {
    let root = Root::with_busybox();
    let mut pty = Pty::start(&run(&root, &["-it", "--name", "c"], &["sh"]));
    pty.until_raw();
    let before = pty.modes();
    pty.expect("/ # ");
    pty.line("mark=4$((1+1))2; (sleep 1; echo lat''er; echo late''st)&");
    pty.expect("/ # ");
    pty.write("\x10\x11");
    assert_eq!(pty.wait(), 0);
    assert!(!pty.is_raw() && pty.modes() != before);
    until("the output that nobody saw is in the log", || log(&root).contains("later\nlatest"));
    assert!(!log(&root).contains('\r'));

    let mut pty = Pty::start(&attach(&root, &[]));
    pty.until_raw();
    pty.line("echo mark=$mark");
    pty.expect("mark=422");
    pty.line("exit 9");
    assert_eq!(pty.wait(), 9);
    assert!(!pty.is_raw());
    attach(&root, &[]).fails(125).says("not running");
}

/// LIFE-101: one at a time; the second is told.
#[test]
fn one_client_at_a_time() {
    let root = Root::with_busybox();
    start(&root, &["-dit"], &["sh"]);
    let mut first = Pty::start(&attach(&root, &["--detach-keys", "ctrl-a,d"]));
    first.until_raw();
    first.line("echo fir''st");
    first.expect("first");
    let mut second = Pty::start(&attach(&root, &[]));
    assert_eq!(second.wait(), 125);
    second.expect("somebody is attached");
    first.write("\x10\x11\x01");
    first.write("d");
    assert_eq!(first.wait(), 0);
    let mut third = Pty::start(&attach(&root, &[]));
    third.until_raw();
    // What the first one typed last has reached the shell: ^P is its last line again.
    third.write("\x03");
    third.line("exit 0");
    assert_eq!(third.wait(), 0);
}

/// A hundred times attached and left; init is as small afterwards as before, and the shell the same.
#[test]
fn a_hundred_attachments() {
    let root = Root::with_busybox();
    start(&root, &["-dit"], &["sh"]);
    let init = init_of(&root);
    let open = || std::fs::read_dir(format!("/proc/{init}/fd")).unwrap().count();
    let before = open();
    for round in 0..100 {
        let mut pty = Pty::start(&attach(&root, &[]));
        pty.until_raw();
        pty.line(&format!("echo round$(({round}+1))"));
        pty.expect(&format!("round{}\r\n", round + 1));
        pty.write("\x10\x11");
        assert_eq!(pty.wait(), 0, "round {round}");
    }
    assert_eq!(open(), before);
    let smaps = std::fs::read_to_string(format!("/proc/{init}/smaps_rollup")).unwrap();
    let dirty = smaps.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).unwrap().trim();
    let dirty: u64 = dirty.strip_suffix(" kB").unwrap().trim().parse().unwrap();
    println!("init has {dirty} KiB of its own");
}

fn init_of(root: &Root) -> String {
    root.ctr("ps")
        .args(["--format", "json", "c"])
        .ok()
        .lines()
        .find_map(|line| line.trim().strip_prefix("\"pid\": ").map(|rest| rest.trim_end_matches(',').to_owned()))
        .expect("a pid")
}

/// LIFE-103: raw mode ends with ctr-run, whichever way that ends: here by a signal that ends the program.
#[test]
fn modes_come_back_after_a_signal() {
    let root = Root::with_busybox();
    for (signal, options, code) in [
        (Signal::SIGTERM, &["-it", "--rm"][..], 143),
        (Signal::SIGINT, &["-it", "--rm"], 130),
        // Our own terminal went away: the container stays.
        (Signal::SIGHUP, &["-it", "--name", "c"], 129),
    ] {
        let mut pty = Pty::start(&run(&root, options, &["sleep", "1000"]));
        let before = pty.modes();
        pty.until_raw();
        pty.signal(signal);
        assert_eq!(pty.wait(), code, "{signal}");
        assert_eq!(pty.modes(), before, "{signal}");
    }
    root.ctr("stop").args(["-t", "0", "c"]).ok();
}

/// CLI-114: the window is closed. Who was attached ends, the container does not.
#[test]
fn the_callers_terminal_goes_away() {
    let root = Root::with_busybox();
    let mut pty = Pty::start(&run(&root, &["-it", "--name", "c"], &["sh"]));
    pty.until_raw();
    pty.line("(sleep 1; echo st''ill here)& echo be''gun");
    pty.expect("begun");
    let status = pty.hang_up().wait().unwrap();
    assert_eq!(status.code().or(status.signal().map(|signal| 128 + signal)), Some(129));
    until("it goes on", || log(&root).contains("still here"));
    let mut pty = Pty::start(&attach(&root, &[]));
    pty.until_raw();
    pty.line("exit 0");
    assert_eq!(pty.wait(), 0);
}

/// Stopped by SIGTSTP, the terminal is the shell's again; continued, it is raw again and has the new size.
#[test]
fn suspended_and_continued() {
    let root = Root::with_busybox();
    let mut pty = Pty::start(&run(&root, &["-it", "--rm"], &["sh"]));
    let before = pty.modes();
    pty.until_raw();
    pty.expect("/ # ");
    pty.signal(Signal::SIGTSTP);
    let stat = format!("/proc/{}/stat", pty.pid());
    until("stopped", || std::fs::read_to_string(&stat).unwrap().contains(") T "));
    assert_eq!(pty.modes(), before);
    pty.resize(33, 77);
    pty.signal(Signal::SIGCONT);
    pty.until_raw();
    pty.line("stty size; exit");
    pty.expect("33 77");
    assert_eq!(pty.wait(), 0);
    assert_eq!(pty.modes(), before);
}

/// ^C is a byte for the container's own terminal, which makes a signal of it for the foreground there, and for nobody else.
#[test]
fn job_control() {
    let root = Root::with_busybox();
    let mut pty = Pty::start(&run(&root, &["-it", "--rm"], &["sh"]));
    pty.until_raw();
    pty.expect("/ # ");
    pty.line("sleep 1000 & echo back''ground; sleep 2000; echo code=$?");
    pty.expect("background");
    std::thread::sleep(Duration::from_millis(200));
    pty.write("\x03");
    pty.expect("/ # ");
    pty.line("jobs; kill %1; exit 3");
    pty.expect("Running");
    assert_eq!(pty.wait(), 3);
}

/// The output of `-t` without `-i` is shown wherever it goes; what is typed reaches nobody.
#[test]
fn a_terminal_without_input() {
    let root = Root::with_busybox();
    let done = run(&root, &["-t", "--rm"], &["sh", "-c", "tty; stty size; echo end"]).run();
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(done.stdout, "/dev/pts/0\r\n24 80\r\nend\r\n");
    run(&root, &["-it", "--rm"], &["sh"]).fails(125).says("the input device is not a TTY");
    run(&root, &["-t", "-d", "--no-init"], &["sh"]).fails(125).says("--no-init");
    run(&root, &["-t", "--rm", "--no-init"], &["sh", "-c", "exit 4"]).fails(4);
    run(&root, &["--wait", "--detach"], &["true"]).fails(125);
}

/// `-i` without a terminal: input is passed through, also to its end.
#[test]
fn input_through_a_pipe() {
    let root = Root::with_busybox();
    let done = run(&root, &["-i", "--rm"], &["sh", "-c", "cat; exit 5"]).input("one\ntwo").run();
    assert_eq!((done.code, done.stdout.as_str()), (5, "one\ntwo"), "{done}");
}

/// LIFE-104: with `-i -d` init keeps the program's input open for whoever attaches, and the log shows what it says.
#[test]
fn input_for_a_detached_program() {
    let root = Root::with_busybox();
    start(&root, &["-di"], &["sh", "-c", "while read line; do echo got $line; [ $line = end ] && exit 6; done"]);
    let mut running = attach(&root, &[]).input("a\nb\n").start();
    until("the log shows it", || log(&root).contains("got a\ngot b"));
    assert_eq!(attach(&root, &[]).input("end\n").run().code, 6);
    let seen = running.stdout();
    assert_eq!(running.wait().code, 6);
    assert!(seen.contains("got a\ngot b"), "{seen}");
}

/// LIFE-105: the time of a program is over: it is asked to end, then killed; the record tells.
#[test]
fn the_time_is_over() {
    let root = Root::with_busybox();
    let begun = Instant::now();
    let done = run(&root, &["--wait", "--timeout", "300ms"], &["sleep", "1000"]).run();
    assert_eq!(done.code, 143, "{done}");
    done.says("--timeout 300ms");
    let stubborn = ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"];
    start(&root, &["--timeout", "300ms", "--stop-timeout", "1"], &stubborn);
    root.ctr("ps").args(["--wait", "--timeout", "20", "c"]).ok();
    assert!(begun.elapsed() > Duration::from_millis(1600));
    let shown = root.ctr("ps").args(["--format", "json", "c"]).ok();
    assert!(shown.contains("\"reason\": \"timeout\""), "{shown}");
    run(&root, &["--timeout", "1", "--no-init"], &["true"]).fails(125).says("--timeout");
}

/// The same as an ordinary user, with subordinate ids and without: a session, left and found again.
#[test]
fn terminals_of_ordinary_users() {
    for user in [users::with_range(), users::without_range()] {
        let root = user.root();
        let image = users::readable(&root, &ctr_tests::images::busybox_dir(), "busybox");
        user.ctr(&root, "fetch").args(["-q", &image.display().to_string(), "--name", "busybox"]).ok();
        let mut pty = Pty::start(&user.ctr(&root, "run").args(["-it", "--name", "c", "busybox", "sh"]));
        pty.until_raw();
        pty.expect("/ # ");
        pty.line("tty; stty size; echo console >/dev/console");
        pty.expect("/dev/pts/0");
        pty.expect("24 80");
        pty.expect("console");
        pty.write("\x10\x11");
        assert_eq!(pty.wait(), 0, "{}", user.name);
        let mut pty = Pty::start(&user.ctr(&root, "attach").arg("c"));
        pty.until_raw();
        pty.line("exit 6");
        assert_eq!(pty.wait(), 6, "{}", user.name);
    }
}
