//! `ctr-run`: environments and users at their limits, and that every option is specified and tested.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ctr_tests::busybox::{assert_nothing_left, inside, run};
use ctr_tests::scratch::{Cmd, Root};
use ctr_tests::tarball::Tar;
use ctr_tests::users::{self, Ordinary};
use ctr_tests::{bins, images, need};

// ATTACK: huge environment: of the caller, of an image => refused with the sizes, nothing is left
#[test]
fn more_than_the_kernel_takes() {
    // spec: EXEC-82, EXEC-80
    need!(root);
    let root = Root::with_busybox();
    // execve(2): no string of 128 KiB, the NUL byte counted.
    let long = "x".repeat((128 << 10) - "LONG=".len());
    let env = root.write("one", format!("LONG={long}\n"));
    let file = env.display().to_string();
    run(&root, &["--env-file", &file], &["true"]).says("the variable LONG has 131072 bytes").says("131071 in one");
    let env = root.write("fits", format!("LONG={}\n", &long[1..]));
    assert_eq!(
        inside(&root, &["--env-file", &env.display().to_string()], "echo ${#LONG}"),
        (long.len() - 1).to_string()
    );
    // 64 of 100 KiB are more than the 6 MiB that all may have; with a small stack, a quarter of that.
    let lines = |count: usize| (0..count).map(|n| format!("V{n}={}\n", "y".repeat(100 << 10))).collect::<Vec<_>>();
    for (stack, count) in [("unlimited", 64), ("4000000", 10)] {
        let files: Vec<PathBuf> =
            lines(count).chunks(9).enumerate().map(|(n, part)| root.write(&format!("e{n}"), part.concat())).collect();
        let limit = format!("--ulimit=stack={stack}");
        let cmd = root.ctr("run").args(["--wait", "--rm", &limit]);
        let cmd = files.iter().fold(cmd, |cmd, file| cmd.arg("--env-file").arg(file));
        let done = cmd.args(["busybox", "true"]).fails(126);
        done.says("are too large").says("and environment (").says("a quarter of the stack limit");
    }
    assert_nothing_left(&root, "too large");
}

// ATTACK: odd environment: NUL bytes and newlines, empty names, in options and files of the caller => values are kept whole, what is none is refused
#[test]
fn odd_environments() {
    // spec: EXEC-42
    need!(root);
    let root = Root::with_busybox();
    let env = |options: &[&str]| run(&root, options, &["env"]);
    assert!(env(&["--env", "A=one\ntwo"]).ok().contains("A=one\ntwo"));
    assert!(env(&["--env", "A="]).ok().lines().any(|line| line == "A="));
    assert_eq!(inside(&root, &["--env", "A=b=c"], "echo $A"), "b=c");
    let file = root.write("env", b"A=b\0c\n");
    env(&["--env-file", &file.display().to_string()]).says("is not NAME=value");
    for bad in ["=x", "A B=x", ""] {
        assert_eq!(env(&["--env", bad]).code, 125, "{bad:?}");
    }
    let args = ["--wait", "--rm", "--log=inherit", "--env", "CTR_T_*", "--env", "ABSENT_*", "busybox", "env"];
    let run = root.ctr("run").env("CTR_T_ONE", "1").env("CTR_T_TWO", "2").env("CTR_U", "3").args(args);
    let text = run.ok();
    assert!(text.contains("CTR_T_ONE=1\nCTR_T_TWO=2") && !text.contains("CTR_U="), "{text}");
}

#[test]
fn users_that_the_user_namespace_does_not_have() {
    // spec: EXEC-44
    need!(root, "setpriv", "useradd", "newuidmap");
    let root = Root::with_busybox();
    run(&root, &["--user", "70000"], &["true"]).says("user 70000").says("65536 ids").says("--user");
    run(&root, &["--user", "5:70000"], &["true"]).says("group 70000");
    run(&root, &["--user", "5", "--group-add", "70000"], &["true"]).says("group 70000");
    assert_eq!(run(&root, &["--userns=host", "--user", "70000:70001"], &["id", "-u"]).ok(), "70000");
    let rootless = |user: &Ordinary, id: &str| {
        let theirs = user.root();
        let layout = users::readable(&theirs, &images::busybox_dir(), "layout");
        user.ctr(&theirs, "fetch").args(["-q", &format!("oci:{}:latest", layout.display()), "--name", "b"]).ok();
        user.ctr(&theirs, "run").args(["--wait", "--rm", "--user", id, "b", "true"]).fails(125)
    };
    rootless(&users::with_range(), "70000:0").says("user 70000").says("ids)");
    rootless(&users::without_range(), "1:0").says("user 1").says("(1 ids)").says("/etc/subuid");
}

// ATTACK: symlinked /etc/group: links to procfs, out of the image, in a loop, to a fifo, a directory => names are not found, numbers work, nothing hangs
#[test]
fn hostile_account_files() {
    // spec: EXEC-44, LIM-20
    type Make = fn(Tar, &str) -> Tar;
    /// Not id(1), which reads the files itself.
    const IDS: &str = "grep -E '^(Uid|Gid|Groups)' /proc/self/status; echo $HOME";
    need!(root);
    let root = Root::new();
    let without = Tar::new().dir("etc", 0o755).whiteout("etc", "group").whiteout("etc", "passwd").finish();
    let odd: [(&str, Make); 6] = [
        ("procfs", |tar, name| tar.symlink(name, "/proc/self/status")),
        ("outside", |tar, name| tar.symlink(name, &format!("{}{name}", "../".repeat(30)))),
        ("absolute", |tar, name| tar.symlink(name, &format!("/{name}"))),
        ("loop", |tar, name| {
            tar.symlink(name, &format!("/{name}.2")).symlink(&format!("{name}.2"), name.rsplit('/').next().unwrap())
        }),
        ("fifo", Tar::fifo),
        ("directory", |tar, name| tar.dir(name, 0o755)),
    ];
    for (what, make) in odd {
        let layer = make(make(Tar::new(), "etc/passwd"), "etc/group").finish();
        root.fetch(&images::busybox_with(&root.file(what), &[without.clone(), layer]), what);
        let start = |options: &[&str]| {
            let args = ["--wait", "--rm", "--log=inherit"];
            root.ctr("run").args(args).args(options.iter().copied()).args([what, "sh", "-c", IDS]).run()
        };
        assert_eq!(
            start(&["--user", "7:8", "--group-add", "9"]).ok(),
            "Uid:\t7\t7\t7\t7\nGid:\t8\t8\t8\t8\nGroups:\t9 \n/",
            "{what}"
        );
        let done = start(&["--user", "daemon"]);
        assert!(done.code == 125 && done.stderr.contains("no user \"daemon\""), "{what}: {done}");
        let done = start(&["--user", "7", "--group-add", "daemon"]);
        assert!(done.code == 125 && done.stderr.contains("no group \"daemon\""), "{what}: {done}");
    }
    assert_nothing_left(&root, "account files");
}

#[test]
fn small_options_of_the_root_filesystem() {
    // spec: EXEC-10, EXEC-30
    need!(root);
    let root = Root::with_busybox();
    let script =
        "touch /x 2>/dev/null || echo read-only; touch /run/x /tmp/x /var/tmp/x && stat -c %a /run /tmp /var/tmp";
    assert_eq!(inside(&root, &["--read-only", "--read-only-tmpfs"], script), "read-only\n755\n1777\n1777");
    let own = ["--read-only", "--read-only-tmpfs", "--tmpfs", "/tmp:mode=0711"];
    assert_eq!(inside(&root, &own, "stat -c %a /tmp /run"), "711\n755");
    run(&root, &["--read-only-tmpfs"], &["true"]).says("--read-only");
    assert_eq!(inside(&root, &["--no-hosts"], "test -e /etc/hosts || echo none"), "none");
    assert_eq!(run(&root, &["--no-hosts", "--add-host", "a:10.0.0.1"], &["true"]).code, 125);
}

#[test]
fn memory_and_secrets() {
    // spec: EXEC-10
    need!(root);
    let root = Root::with_busybox();
    let shm = "df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2";
    assert_eq!(inside(&root, &["--shm-size", "1M"], shm), "1024");
    let secret = root.write("secret", "hush\n");
    let option = format!("word,source={}", secret.display());
    assert_eq!(inside(&root, &["--secret", &option], "cat /run/secrets/word"), "hush");
    assert_eq!(inside(&root, &["--no-image-volumes"], "echo ran"), "ran");
}

fn text_below(dir: &Path, extension: &str) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &text_below(&path, extension);
        } else if path.extension().is_some_and(|found| found == extension) {
            text += &fs::read_to_string(&path).unwrap();
        }
    }
    text
}

/// Whether `text` has `option` as a word: what follows is no letter and no hyphen.
fn names(text: &str, option: &str) -> bool {
    let ends = |at: usize| !text[at + option.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
    text.match_indices(option).any(|(at, _)| ends(at))
}

#[test]
fn every_option_is_specified_and_tested() {
    // spec: CLI-7
    let help = Cmd::new(bins::binary("ctr-run")).arg("--help").ok();
    let lines = help.lines().map(str::trim).filter(|line| line.starts_with('-'));
    let options: BTreeSet<&str> =
        lines.filter_map(|line| line.split([' ', ',', '=']).find(|word| word.starts_with("--"))).collect();
    assert!(options.len() > 50, "{options:?}");
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let spec = fs::read_to_string(workspace.join("spec/08-commands.md")).unwrap();
    let tests = text_below(&workspace.join("tests"), "rs");
    let missing = |text: &str| options.iter().filter(|option| !names(text, option)).copied().collect::<Vec<_>>();
    assert_eq!(missing(&spec), ["--help"; 0], "not in spec/08-commands.md");
    assert_eq!(missing(&tests), ["--help"; 0], "in no test");
}
