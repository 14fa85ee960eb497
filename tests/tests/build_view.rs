//! What a person at a terminal sees of a build.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use ctr_tests::build::Builder;
use ctr_tests::faults::{On, Registry, Server, sample};
use ctr_tests::need;
use ctr_tests::pty::Pty;
use ctr_tests::scratch::{Cmd, until};
use ctr_tests::users;
use ctr_tests::vt::Screen;
use nix::sys::signal::Signal;

fn context(builder: &Builder, dockerfile: &str) -> PathBuf {
    builder.context(&[("Dockerfile", dockerfile)])
}

fn build(builder: &Builder, dockerfile: &str) -> Cmd {
    let dir = context(builder, dockerfile);
    builder.ctr("build").args(["--pull=never", "--tag", "made"]).arg(dir).env("TERM", "xterm")
}

/// A person who looks at the terminal.
struct Watch {
    pty: Pty,
    screen: Screen,
    looked: usize,
}

impl Watch {
    fn start(command: &Cmd) -> Self {
        Self { pty: Pty::start(command), screen: Screen::new(24, 80), looked: 0 }
    }

    /// What stands there now.
    fn look(&mut self) -> Vec<String> {
        let bytes = self.pty.bytes();
        self.screen.write(&bytes[self.looked..]);
        self.looked = bytes.len();
        assert_eq!(self.screen.faults, Vec::<String>::new());
        self.screen.text()
    }

    /// Holds the build, so that what stands there is whole.
    fn hold(&mut self) -> Vec<String> {
        self.pty.signal(Signal::SIGSTOP);
        let stat = format!("/proc/{}/stat", self.pty.pid());
        until("stopped", || fs::read_to_string(&stat).unwrap().contains(") T "));
        self.pty.settle();
        self.look()
    }

    fn go_on(&self) {
        self.pty.signal(Signal::SIGCONT);
    }

    fn end(&mut self) -> (i32, Vec<String>) {
        let code = self.pty.wait();
        (code, self.look())
    }
}

/// Times are other ones each time.
fn without_times(lines: &[String]) -> Vec<String> {
    let word = |word: &str| {
        let number = word.trim_start_matches('(');
        if number.contains('.') && number.parse::<f64>().is_ok() { word.replace(number, "N") } else { word.to_owned() }
    };
    lines.iter().map(|line| line.split(' ').map(word).collect::<Vec<_>>().join(" ")).collect()
}

fn assert_nothing_live(lines: &[String]) {
    let live = |line: &&String| line.starts_with("  | ") || line.contains(" steps, ") && !line.contains("note: ");
    assert_eq!(lines.iter().find(live), None, "{lines:#?}");
}

const STAGES: &str = "FROM base/busybox:1 AS one
ENV A=1
RUN printf '\\033]0;evil\\007\\033[2J\\033[?25l\\n'; for i in 1 2 3 4 5 6 7 8 9; do echo one says $i and this is a line that is cut on terminals of less than eighty columns; sleep 0.2; done; sleep 1; echo > /one
FROM base/busybox:1
RUN sleep 2; echo > /two
COPY --from=one /one /one
";

fn on_terminal(reflow: bool) {
    need!(root);
    let builder = Builder::new();
    let command = build(&builder, STAGES);
    let mut watch = Watch::start(&command);
    watch.pty.expect("one says 4");
    let lines = without_times(&watch.hold());
    let live = &lines[lines.iter().position(|line| line.starts_with("[one] RUN")).unwrap()..];
    assert!(lines.contains(&"[one] ENV A=1".to_owned()), "{lines:#?}");
    assert!(live[0].len() < 80 && live[0].ends_with("\u{2026}  N s"), "{live:#?}");
    assert!(live[1].starts_with("  | \\u{1b}]0;evil\\u{7}\\u{1b}[2J"), "{live:#?}");
    assert!(live[5].starts_with("  | one says 4") && live[5].len() < 82 && live[5].ends_with('\u{2026}'), "{live:#?}");
    assert_eq!(live[6..], ["[stage 1] RUN sleep 2; echo > /two  N s", "1 of 4 steps, 0 cached, N s"]);
    // The cursor is where the live part begins, and is not hidden.
    assert_eq!(watch.screen.cursor(), (lines.len() - live.len(), 0));
    for (rows, columns, last) in [(24, 40, 7), (5, 60, 9)] {
        watch.pty.resize(rows, columns);
        watch.screen.resize(rows, columns, reflow);
        watch.go_on();
        watch.pty.expect(&format!("one says {last}"));
        let lines = without_times(&watch.hold());
        let begin = lines.iter().position(|line| line.starts_with("[one] RUN")).unwrap();
        let live = &lines[begin..];
        assert_eq!(begin, watch.screen.cursor().0, "{lines:#?}");
        assert_eq!(lines.iter().filter(|line| line.contains("[one] RUN")).count(), 1, "{lines:#?}");
        assert!(live.len() < rows.into() && live.iter().all(|line| line.chars().count() < columns.into()), "{live:#?}");
        assert!(live.last().unwrap().ends_with(" of 4 steps, 0 cached, N s"), "{live:#?}");
    }
    watch.go_on();
    let (code, lines) = watch.end();
    assert_eq!(code, 0, "{lines:#?}");
    assert_nothing_live(&lines);
    let mut stays = without_times(&lines);
    let note = stays.iter().rposition(|line| line.starts_with("ctr-build: note: ")).unwrap();
    assert_eq!(stays[note], "ctr-build: note: 3 steps, 0 from the cache, N s (root)");
    assert!(stays[note + 1].contains("made:latest sha256:"), "{lines:#?}");
    stays.truncate(note);
    stays[1..3].sort();
    assert_eq!(stays[0], "[one] ENV A=1");
    assert!(stays[1].starts_with("[one] RUN printf") && stays[1].ends_with("\u{2026}  (N s)"), "{stays:#?}");
    assert_eq!(stays[2..], ["[stage 1] RUN sleep 2; echo > /two  (N s)", "[stage 1] COPY --from=one /one /one  (N s)"]);

    // All of it is cached now, and dim.
    let mut again = Watch::start(&command);
    let (code, lines) = again.end();
    assert_eq!((code, again.screen.colours), (0, 6), "{lines:#?}");
    assert!(lines.contains(&"[stage 1] COPY --from=one /one /one  (cached)".to_owned()), "{lines:#?}");
    let mut grey = Watch::start(&command.env("NO_COLOR", "1"));
    assert_eq!(without_times(&grey.end().1).len(), lines.len());
    assert_eq!(grey.screen.colours, 0);
}

#[test]
fn what_runs_is_redrawn_and_what_is_done_stays() {
    // spec: BUILD-119
    on_terminal(true);
}

#[test]
fn also_where_lines_are_cut_by_a_terminal() {
    // spec: BUILD-119
    on_terminal(false);
}

#[test]
fn a_step_that_fails_is_told_with_its_last_lines() {
    // spec: BUILD-60 BUILD-119
    need!(root);
    let builder = Builder::new();
    let text = "FROM base/busybox:1\nRUN for i in 1 2 3 4 5 6 7 8 9; do echo said $i; done; sleep 1; exit 7\n";
    let mut watch = Watch::start(&build(&builder, text));
    watch.pty.expect("  | said 4");
    let (code, lines) = watch.end();
    assert_eq!(code, 1);
    assert_nothing_live(&lines);
    let times = without_times(&lines);
    assert!(
        times[0].starts_with("[stage 0] RUN for i in") && times[0].ends_with("\u{2026}  (failed, N s)"),
        "{lines:#?}"
    );
    assert!(watch.pty.seen().contains("\u{1b}[31m[stage 0] RUN"));
    let (first, last) = ("    > said 1".to_owned(), "    > said 9".to_owned());
    assert!(lines.contains(&first) && lines.contains(&last), "{lines:#?}");
}

#[test]
fn a_step_that_is_silent_has_its_time() {
    // spec: BUILD-119
    need!(root);
    let builder = Builder::new();
    let mut watch = Watch::start(&build(&builder, "FROM base/busybox:1\nRUN sleep 1.2\n"));
    assert_eq!(watch.end().0, 0);
    let seen = watch.pty.seen();
    let mut times: Vec<&str> =
        seen.split("RUN sleep 1.2  ").skip(1).filter_map(|rest| rest.split(' ').next()).collect();
    times.dedup();
    assert!((3..=20).contains(&times.len()), "{times:?}");
}

#[test]
fn signals_leave_nothing_behind() {
    // spec: BUILD-119
    need!(root);
    let (builder, ordinary) = (Builder::new(), Builder::of_user(users::with_range()));
    let text = "FROM base/busybox:1\nENV A=1\nRUN echo begun; sleep 60\n";
    let signals = [(None, 130), (Some(Signal::SIGTERM), 143), (Some(Signal::SIGHUP), 129)];
    for (builder, (signal, code)) in [&builder, &ordinary].into_iter().flat_map(|who| signals.map(|one| (who, one))) {
        let mut watch = Watch::start(&build(builder, text));
        watch.pty.expect("  | begun");
        match signal {
            Some(signal) => watch.pty.signal(signal),
            None => watch.pty.write("\x03"),
        }
        let (ended, lines) = watch.end();
        assert_eq!((ended, lines), (code, vec!["[stage 0] ENV A=1".to_owned()]), "{signal:?}");
        assert_eq!(watch.screen.cursor(), (1, 0));
    }
}

#[test]
fn suspended_it_gives_the_terminal_back() {
    // spec: BUILD-119
    need!(root, "bash");
    let builder = Builder::new();
    let text = "FROM base/busybox:1\nRUN echo begun; sleep 4; echo > /a\n";
    let script = "set -m; \"$@\"; echo the shell; read word; fg >/dev/null; echo ended with $?";
    let mut watch = Watch::start(&build(&builder, text).under(["bash", "-c", script, "bash"]));
    watch.pty.expect("  | begun");
    watch.pty.write("\x1a");
    watch.pty.expect("the shell");
    watch.pty.settle();
    assert_nothing_live(&watch.look());
    watch.pty.line("");
    watch.pty.expect("  | begun");
    watch.pty.expect("ended with 0");
    let (_, lines) = watch.end();
    assert_nothing_live(&lines);
    assert!(without_times(&lines).iter().any(|line| line.ends_with("echo > /a  (N s)")), "{lines:#?}");
}

#[test]
fn a_shell_has_the_terminal_for_itself() {
    // spec: BUILD-60 BUILD-119
    need!(root);
    let builder = Builder::new();
    let text = "FROM base/busybox:1 AS other
RUN for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do echo other $i; sleep 0.2; done
FROM base/busybox:1
RUN echo left > /file; sleep 0.5; exit 3
COPY --from=other /bin/busybox /other
";
    let mut watch = Watch::start(&build(&builder, text).arg("--on-error=shell"));
    watch.pty.expect("  | other 1");
    watch.pty.expect("ctr-build: note: a shell where it failed");
    watch.pty.expect("# ");
    // The other stage goes on.
    watch.pty.expect_silence(Duration::from_millis(500));
    assert_nothing_live(&watch.look());
    // A terminal of its own: ^C ends what runs in it, and neither the shell nor the build.
    watch.pty.line("tty; echo $TERM");
    watch.pty.expect("/dev/pts/0");
    watch.pty.expect("xterm");
    watch.pty.line("sh -c 'echo begun $((40+2)); exec sleep 1000'; echo cut $((40+2))");
    watch.pty.expect("begun 42");
    watch.pty.write("\x03");
    watch.pty.expect("# ");
    watch.pty.line("cat /file; exit");
    watch.pty.expect("left");
    let (code, lines) = watch.end();
    assert_eq!(code, 1);
    assert!(!lines.iter().any(|line| line.contains("cut 42") || line.contains("job control")), "{lines:#?}");
    assert_nothing_live(&lines);
    let failed = without_times(&lines).iter().filter(|line| line.ends_with("exit 3  (failed, N s)")).count();
    assert_eq!(failed, 1, "{lines:#?}");
}

#[test]
fn ctr_fetch_has_the_terminal_for_itself() {
    // spec: BUILD-119
    need!(root);
    let (image, builder) = (sample(), Builder::new());
    let server = Server::start(Registry::with("demo", "1", image.layout()));
    let late = image.big_size() - 40;
    server.on(On::get(image.big()), move |call| call.ordinary().drip(late, Duration::from_millis(50)));
    // Nobody knows of this image before the trigger is carried out.
    let dir =
        context(&builder, &format!("FROM base/busybox:1\nONBUILD COPY --from={} / /demo\n", server.name("demo:1")));
    builder.ctr("build").args(["--pull=never", "--quiet", "--tag", "base/trigger:1"]).arg(dir).ok();
    let text = "FROM base/trigger:1 AS trigger
FROM base/busybox:1
RUN for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do echo other $i; sleep 0.2; done
COPY --from=trigger /demo /demo
";
    let command = builder.ctr("build").args(["--tag", "made"]).arg(context(&builder, text)).env("TERM", "xterm");
    let mut pty = Pty::start(&command);
    let big = format!("layer 2 {}", &image.big()[7..19]);
    pty.expect(&big);
    let begun = pty.bytes().len();
    pty.expect(&format!("{big}: "));
    let during = String::from_utf8_lossy(&pty.bytes()[begun..]).into_owned();
    assert!(during.contains("kB/s") && !during.contains(" steps, ") && !during.contains("other"), "{during:?}");
    // Then it goes on.
    pty.expect("[trigger] COPY --from=");
    pty.expect("made:latest sha256:");
    assert_eq!(pty.wait(), 0);
}

#[test]
fn elsewhere_there_are_lines() {
    // spec: BUILD-119
    need!(root);
    let builder = Builder::new();
    let text = "FROM base/busybox:1\nRUN echo said\n";
    for (how, term) in [("auto", "dumb"), ("plain", "xterm")] {
        let mut pty =
            Pty::start(&build(&builder, text).env("TERM", term).arg(format!("--progress={how}")).arg("--no-cache"));
        pty.expect("[stage 0] | said");
        assert_eq!(pty.wait(), 0);
        assert!(!pty.seen().contains('\u{1b}'), "{how}: {}", pty.seen());
    }
    for quiet in ["--quiet", "--progress=none", "--progress=quiet"] {
        let mut pty = Pty::start(&build(&builder, text).args([quiet, "--no-cache"]));
        pty.expect("sha256:");
        assert_eq!((pty.wait(), pty.seen().lines().count()), (0, 1), "{quiet}: {}", pty.seen());
    }
    build(&builder, text).arg("--progress=tty").fails(2).says("--progress=tty needs a terminal");
    assert!(!build(&builder, text).run().stderr.contains('\u{1b}'));
}
