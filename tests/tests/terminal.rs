//! Terminals, seen from a terminal: `ctr-run -i -t`, `ctr-attach`, sizes, signals, detaching (spec/06-lifecycle.md).

use ctr_tests::pty::Pty;
use ctr_tests::scratch::{Cmd, Root};

fn run(root: &Root, options: &[&str], command: &[&str]) -> Cmd {
    root.ctr("run").args(options.iter().copied()).arg("busybox").args(command.iter().copied())
}

/// LIFE-90: the program has a terminal of the container's own, with all that belongs to one.
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
