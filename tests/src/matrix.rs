//! The option matrix: every option of `ctr-run` in four situations, run for real. tests/tests/matrix.rs has the table; docs/option-matrix.md is made of it.

use std::fs;
use std::path::PathBuf;

use crate::scratch::{Cmd, Done, Root};
use crate::users::{self, Ordinary};
use crate::{bins, images};

/// Who starts the container, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Root, with the default user namespace.
    Root,
    /// Root with `--userns=host`.
    RootHost,
    /// An ordinary user with subordinate ids.
    User,
    /// An ordinary user without.
    UserAlone,
}

/// All, in the order of the page's columns.
pub const MODES: [Mode; 4] = [Mode::Root, Mode::RootHost, Mode::User, Mode::UserAlone];

/// What comes of it.
#[derive(Debug, Clone, Copy)]
pub enum Expect {
    /// Exactly this on standard output.
    Prints(&'static str),
    /// This in it.
    Has(&'static str),
    /// 125, and this in the message.
    Refused(&'static str),
    /// As the first, or refused with the second where this host does not give the caller what it takes: control groups, controllers.
    Where(&'static str, &'static str),
    /// The option means something else here; nothing is run.
    Other(&'static str),
}

/// One row: an option with arguments, and a program that shows that it holds.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// As the page shows it; its words that begin with `--` are the options that it covers.
    pub option: &'static str,
    /// A shell script in the container that is started with the option, or on the host if it calls `ctr-` itself.
    pub probe: &'static str,
    /// By mode.
    pub expect: [Expect; 4],
}

/// The same in all modes.
pub const fn all(option: &'static str, probe: &'static str, expect: Expect) -> Row {
    Row { option, probe, expect: [expect; 4] }
}

/// One for root, one for users.
pub const fn rooted(option: &'static str, probe: &'static str, root: Expect, user: Expect) -> Row {
    Row { option, probe, expect: [root, root, user, user] }
}

/// Each by itself.
pub const fn each(option: &'static str, probe: &'static str, expect: [Expect; 4]) -> Row {
    Row { option, probe, expect }
}

/// A store with busybox for one mode.
#[derive(Debug)]
pub struct Stage {
    mode: Mode,
    user: Option<Ordinary>,
    root: Root,
}

impl Stage {
    /// Makes it.
    pub fn new(mode: Mode) -> Self {
        let user = match mode {
            Mode::Root | Mode::RootHost => None,
            Mode::User => Some(users::with_range()),
            Mode::UserAlone => Some(users::without_range()),
        };
        let root = user.as_ref().map_or_else(Root::new, Ordinary::root);
        let stage = Self { mode, user, root };
        let image = users::readable(&stage.root, &images::busybox_dir(), "image");
        stage.ctr("fetch").args(["-q", &format!("oci:{}:latest", image.display()), "--name", "busybox"]).ok();
        stage
    }

    fn ctr(&self, name: &str) -> Cmd {
        self.user.as_ref().map_or_else(|| self.root.ctr(name), |user| user.ctr(&self.root, name))
    }

    /// A directory of the caller's own with a file `f`, a file `env` and a directory `d`.
    fn files(&self, number: usize) -> PathBuf {
        let dir = self.root.file(&format!("files-{number}"));
        fs::create_dir_all(dir.join("d")).expect("create");
        fs::write(dir.join("f"), "content\n").expect("write");
        fs::write(dir.join("env"), "FROM_FILE=yes\n").expect("write");
        if let Some(user) = &self.user {
            Cmd::new("chown").args(["-R", &format!("{}:{}", user.uid, user.gid)]).arg(&dir).ok();
        }
        dir
    }

    fn run(&self, number: usize, row: &Row) -> Done {
        let dir = self.files(number);
        let fill = |text: &str| text.replace("{dir}", &dir.display().to_string());
        let mode: &[&str] =
            if self.mode == Mode::RootHost && !row.option.contains("--userns") { &["--userns=host"] } else { &[] };
        let run = self.ctr("run");
        if row.probe.contains("ctr-") {
            let bin = self.user.as_ref().map_or_else(|| bins::dir().to_owned(), Ordinary::bin_dir);
            let option = row.option.split(" (").next().unwrap_or_default();
            let script = fill(&row.probe.replace("{options}", &format!("{} {option}", mode.join(" "))));
            let path = format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", bin.display());
            let shell = self.user.as_ref().map_or_else(|| Cmd::new("sh"), |user| user.command("sh"));
            return shell.args(["-c", &script]).dir(dir).env("CTR_ROOT", self.root.path()).env("PATH", path).run();
        }
        let words = fill(row.option.split(" (").next().unwrap_or_default());
        let words = words.split_whitespace().map(|word| word.replace('+', " "));
        run.args(["--wait", "--rm", "--log=inherit"])
            .args(mode.iter().copied())
            .args(words)
            .args(["busybox", "sh", "-c", row.probe])
            .run()
    }

    /// Runs the rows; what differs from what is expected, one line each.
    pub fn differences(&self, rows: &[Row]) -> Vec<String> {
        let column = MODES.iter().position(|mode| *mode == self.mode).expect("a mode");
        let mut found = Vec::new();
        for (number, row) in rows.iter().enumerate() {
            let expect = row.expect[column];
            if matches!(expect, Expect::Other(_)) {
                continue;
            }
            let done = self.run(number, row);
            let printed = done.stdout.trim_end();
            let refused = |text: &str| done.code == 125 && done.stderr.contains(text);
            let good = match expect {
                Expect::Prints(text) => done.code == 0 && printed == text,
                Expect::Has(text) => done.code == 0 && printed.contains(text),
                Expect::Refused(text) => refused(text),
                Expect::Where(text, why) => done.code == 0 && printed == text || refused(why),
                Expect::Other(_) => true,
            };
            if !good {
                let said = done.stderr.trim_end();
                found.push(format!(
                    "{:?} {}: {expect:?}, found {} {printed:?} {said:?}",
                    self.mode, row.option, done.code
                ));
            }
        }
        found
    }
}

/// The page's lines of these rows.
pub fn markdown(rows: &[Row]) -> String {
    let cell = |expect: Expect| match expect {
        Expect::Prints(_) | Expect::Has(_) => "yes".to_owned(),
        Expect::Refused(text) => format!("refused: {text}"),
        Expect::Where(_, why) => format!("yes, or refused: {why}"),
        Expect::Other(text) => text.to_owned(),
    };
    let line = |row: &Row| {
        let cells: Vec<String> = row.expect.iter().map(|expect| cell(*expect).replace('|', "\\|")).collect();
        format!("| `{}` | {} |\n", row.option.replace('+', " ").replace('|', "\\|"), cells.join(" | "))
    };
    rows.iter().map(line).collect()
}

/// True if `option` is among those that a row covers.
pub fn covers(row: &Row, option: &str) -> bool {
    let is = |word: &str| word == option || word.strip_prefix(option).is_some_and(|rest| rest.starts_with('='));
    row.option.split_whitespace().map(|word| word.trim_matches(|c| "(),'".contains(c))).any(is)
}
