//! Secrets: where the program finds them, and where nobody does.

use std::fs;

use ctr_tests::busybox::{inside, run};
use ctr_tests::need;
use ctr_tests::scratch::{Cmd, Root};

const SECRET: &str = "correct-horse-battery-staple";

#[test]
fn a_secret_is_a_file_in_memory_or_a_variable() {
    // spec: EXEC-125, EXEC-126
    need!(root);
    let root = Root::with_busybox();
    let file = root.write("file", SECRET).display().to_string();
    let from_file = format!("key,source={file}");
    for userns in ["auto", "host"] {
        let inside = |options: &[&str], script: &str| inside(&root, &[&["--userns", userns], options].concat(), script);
        let seen = inside(
            &["--secret", &from_file],
            "cat /run/secrets/key; stat -c ' %a %u:%g' /run/secrets/key; touch /run/secrets/x 2>/dev/null || echo refused; grep -o ' /run/secrets ro,[^ ]*' /proc/self/mountinfo",
        );
        assert_eq!(
            seen,
            format!("{SECRET} 400 0:0\nrefused\n /run/secrets ro,nosuid,nodev,noexec,relatime"),
            "{userns}"
        );
        let elsewhere = format!("{from_file},target=/etc/key,uid=1000,gid=50,mode=440");
        assert_eq!(
            inside(&["--secret", &elsewhere], "cat /etc/key; stat -c ' %a %u:%g' /etc/key"),
            format!("{SECRET} 440 1000:50")
        );
        let renamed = format!("{from_file},target=other");
        assert_eq!(inside(&["--secret", &renamed, "--user", "0:0"], "ls /run/secrets"), "other");
    }
    let as_other = run(&root, &["--user", "bob", "--secret", &from_file], &["cat", "/run/secrets/key"]);
    assert!(as_other.code != 0 && !as_other.stdout.contains(SECRET), "{as_other}");
    let args =
        ["--wait", "--rm", "--log=inherit", "--secret", "a,env=IT", "--secret", "b,env=IT,type=env,target=TOKEN"];
    let seen =
        root.ctr("run").env("IT", SECRET).args(args).args(["busybox", "sh", "-c", "cat /run/secrets/a; echo $TOKEN"]);
    assert_eq!(seen.ok(), format!("{SECRET}{SECRET}"));
    let seen = root.ctr("run").env("CREDENTIALS_DIRECTORY", root.file(".").display().to_string());
    let seen =
        seen.args(["--wait", "--rm", "--log=inherit", "--secret", "file", "busybox", "cat", "/run/secrets/file"]);
    assert_eq!(seen.ok(), SECRET);
}

#[test]
fn what_is_no_secret_is_refused() {
    // spec: EXEC-125, CLI-7
    need!(root);
    let root = Root::with_busybox();
    fs::write(root.file("large"), vec![b'x'; 512_001]).unwrap();
    let large = format!("x,source={}", root.file("large").display());
    for (secret, word) in [
        ("x,source=/no/such/file", "/no/such/file"),
        ("x,env=NOT_SET", "NOT_SET"),
        ("x", "source="),
        (&*large, "512000"),
        ("x,source=/etc/hostname,target=/proc/x", "/proc/x"),
        ("x,source=/etc/hostname,target=/run/secrets/a/b", "files only"),
        ("x,source=/etc/hostname,uid=100000000", "ids"),
        ("x,sorce=/etc/hostname", "source"),
        ("../x,source=/etc/hostname", "secret name"),
        ("x,source=/etc/hostname,type=env,mode=400", "mode"),
    ] {
        let done = run(&root, &["--secret", secret], &["true"]);
        assert!(done.code == 125 && done.stderr.contains(word), "{secret}: {done}");
    }
}

#[test]
fn nobody_else_has_it() {
    // spec: EXEC-127
    need!(root);
    let root = Root::with_busybox();
    let file = root.write("file", SECRET).display().to_string();
    let args =
        ["--secret", &format!("key,source={file}"), "--secret", &format!("v,source={file},type=env,target=TOKEN")];
    for options in [&["--dry-run"][..], &["--dry-run", "--format", "json"], &["--explain", "--wait"]] {
        let done = root.ctr("run").args(options.iter().copied()).args(args).args(["busybox", "true"]).run();
        assert!(done.code == 0 && !done.stdout.contains(SECRET) && !done.stderr.contains(SECRET), "{done}");
        assert!(format!("{}{}", done.stdout, done.stderr).contains("key"), "its name is told: {done}");
    }
    root.ctr("run").args(args).args(["--name", "holder", "busybox", "sleep", "600"]).ok();
    let found = Cmd::new("grep").args(["-rl", SECRET]).arg(root.path()).run();
    assert_eq!((found.code, found.stdout.as_str()), (1, ""), "nothing below --root has it");
    let pid = root.ctr("ps").args(["--format", "json", "holder"]).ok();
    let pid: serde_json::Value = serde_json::from_str(&pid).unwrap();
    for name in ["cmdline", "environ"] {
        let text = fs::read(format!("/proc/{}/{name}", pid[0]["pid"])).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains(SECRET), "{name} of init");
    }
    // What ctr-exec starts finds the file, and not the variable: it is in no record.
    let seen = root.ctr("exec").args(["holder", "sh", "-c", "cat /run/secrets/key; echo .$TOKEN"]).ok();
    assert_eq!(seen, format!("{SECRET}."));
    root.ctr("stop").args(["-t", "0", "holder"]).ok();
}
