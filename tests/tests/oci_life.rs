//! The life of a container of a bundle: created, started, ended, deleted, and broken off anywhere between.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use ctr_tests::bundle::Bundle;
use ctr_tests::need;
use ctr_tests::scratch::{Cmd, until};
use serde_json::{Value, json};

fn alive(pid: &Value) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn a_container_is_created_started_killed_and_deleted() {
    need!(root);
    let bundle = Bundle::new("echo hello; exec sleep 600");
    let pid_file = bundle.root().file("pid");
    bundle.oci().args(["create", "--pid-file"]).arg(&pid_file).arg("web").ok();
    let state = bundle.state("web");
    assert_eq!(state["status"], "created");
    assert_eq!(state["id"], "web");
    assert_eq!(state["ociVersion"], "1.2.0");
    assert_eq!(state["pid"].to_string(), fs::read_to_string(&pid_file).unwrap());
    assert_eq!(state["bundle"], json!(bundle.dir()));
    assert!(alive(&state["pid"]));
    bundle.oci().args(["delete", "web"]).fails(1).says("not stopped");
    bundle.oci().args(["start", "web"]).ok();
    assert_eq!(bundle.status("web"), "running");
    bundle.oci().args(["start", "web"]).fails(1).says("running");
    bundle.oci().args(["create", "web"]).fails(1).says("already exists");
    bundle.oci().args(["delete", "web"]).fails(1).says("running");
    bundle.oci().args(["kill", "web", "KILL"]).ok();
    until("it has ended", || bundle.status("web") == "stopped");
    assert_eq!(bundle.state("web")["pid"], 0);
    bundle.oci().args(["start", "web"]).fails(1).says("stopped");
    bundle.oci().args(["kill", "web", "TERM"]).fails(1).says("not running");
    bundle.oci().args(["delete", "web"]).ok();
    bundle.oci().args(["state", "web"]).fails(1).says("does not exist");
    bundle.oci().args(["delete", "web"]).fails(1).says("does not exist");
    bundle.oci().args(["delete", "--force", "web"]).ok();
    assert_eq!(bundle.kept(), Vec::<String>::new());
}

#[test]
fn run_stays_and_returns_the_status() {
    need!(root);
    let bundle = Bundle::new("echo out; echo err >&2; exit 7");
    let done = bundle.oci().args(["run", "once"]).fails(7);
    assert_eq!(done.stdout, "out\n");
    assert!(done.stderr.contains("err"), "{done:?}");
    assert_eq!(bundle.kept(), Vec::<String>::new());
    // PID 1 of a namespace cannot end itself by a signal, its shell's child can be ended.
    bundle.edit(|config| config["process"]["args"] = json!(["sh", "-c", "sh -c 'kill -9 $$'; exit $?"]));
    bundle.oci().args(["run", "once"]).fails(137);
    bundle.oci().args(["run", "--keep", "kept"]).fails(137);
    assert_eq!(bundle.status("kept"), "stopped");
}

#[test]
fn what_cannot_be_executed_is_told_by_create_and_leaves_nothing() {
    need!(root);
    let bundle = Bundle::new("true");
    for (args, words) in [
        (json!(["nosuch"]), "executable file not found in $PATH"),
        (json!(["/no/such"]), "no such file or directory"),
        (json!(["/etc/passwd"]), "permission denied"),
        (json!(["/etc"]), "permission denied"),
    ] {
        bundle.edit(|config| config["process"]["args"] = args.clone());
        bundle.oci().args(["create", "life-bad"]).fails(1).says(words);
        bundle.oci().args(["run", "life-bad"]).fails(1).says(words);
        assert_eq!(bundle.kept(), Vec::<String>::new(), "{args}");
    }
    // Only the exec itself can tell.
    bundle.edit(|config| config["process"]["args"] = json!(["/bin/script-without-interpreter"]));
    bundle.oci().args(["create", "life-bad"]).ok();
    bundle.oci().args(["start", "life-bad"]).fails(1).says("no such file or directory");
    until("it has ended", || bundle.status("life-bad") == "stopped");
    bundle.oci().args(["delete", "life-bad"]).ok();
}

#[test]
fn of_many_starts_one_wins() {
    need!(root);
    let bundle = Bundle::sleeping();
    bundle.oci().args(["create", "raced"]).ok();
    let starts: Vec<_> = (0..8).map(|_| bundle.oci().args(["start", "raced"]).start()).collect();
    let won = starts.into_iter().map(ctr_tests::scratch::Running::wait).filter(|done| done.code == 0).count();
    assert_eq!(won, 1);
    assert_eq!(bundle.status("raced"), "running");
}

#[test]
fn of_many_creates_of_one_id_one_wins() {
    need!(root);
    let bundle = Bundle::sleeping();
    for _ in 0..12 {
        let creates: Vec<_> = (0..8).map(|_| bundle.oci().args(["create", "raced"]).start()).collect();
        let done: Vec<_> = creates.into_iter().map(ctr_tests::scratch::Running::wait).collect();
        assert_eq!(done.iter().filter(|done| done.code == 0).count(), 1, "{done:?}");
        assert_eq!(bundle.kept(), ["raced"]);
        assert_eq!(bundle.status("raced"), "created");
        bundle.oci().args(["delete", "--force", "raced"]).ok();
    }
}

#[test]
fn of_many_creates_over_a_killed_one_one_wins() {
    need!(root);
    let bundle = Bundle::sleeping();
    bundle.oci().args(["create", "first"]).ok();
    let embryo = bundle.root().path().join("containers/embryo/raced");
    for kept_of_it in [&["lock"][..], &[], &["lock", "container.json"]] {
        fs::create_dir_all(&embryo).unwrap();
        for file in kept_of_it {
            fs::write(embryo.join(file), "").unwrap();
        }
        let creates: Vec<_> = (0..8).map(|_| bundle.oci().args(["create", "raced"]).start()).collect();
        let done: Vec<_> = creates.into_iter().map(ctr_tests::scratch::Running::wait).collect();
        assert_eq!(done.iter().filter(|done| done.code == 0).count(), 1, "{kept_of_it:?} {done:?}");
        assert_eq!(bundle.status("raced"), "created");
        bundle.oci().args(["delete", "--force", "raced"]).ok();
    }
}

#[test]
fn what_a_killed_delete_left_is_not_in_the_way() {
    need!(root);
    let bundle = Bundle::sleeping();
    let garbage = bundle.root().path().join("containers/garbage/again");
    bundle.oci().args(["create", "again"]).ok();
    fs::create_dir_all(garbage.join("upper/dir")).unwrap();
    fs::write(garbage.join("upper/dir/file"), "").unwrap();
    bundle.oci().args(["delete", "--force", "again"]).ok();
    assert_eq!(bundle.kept(), Vec::<String>::new());
}

/// Writes a hook that appends its name, its arguments, its environment and the state's status to a file.
fn hook(bundle: &Bundle, name: &str, out: &str) -> Value {
    let path = bundle.dir().join(format!("hook-{name}"));
    let script = format!(
        "#!/bin/sh\nread state\nstatus=${{state#*\\\"status\\\":\\\"}}; status=${{status%%\\\"*}}\necho \"{name} $0 $1 $HOOKED $status\" >> {out}\n"
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    json!({"path": path, "args": [format!("as-{name}"), "one"], "env": ["HOOKED=yes"], "timeout": 20})
}

#[test]
fn hooks_are_executed_in_their_order() {
    need!(root);
    let bundle = Bundle::new("echo program >> /log");
    let (log, inner) = (bundle.root().file("log"), bundle.rootfs().join("log"));
    let outer = |name: &str| hook(&bundle, name, log.to_str().unwrap());
    let mut start = hook(&bundle, "startContainer", "/log");
    fs::copy(start["path"].as_str().unwrap(), bundle.rootfs().join("hook")).unwrap();
    start["path"] = json!("/hook");
    let hooks = json!({
        "prestart": [outer("prestart")],
        "createRuntime": [outer("createRuntime1"), outer("createRuntime2")],
        "createContainer": [outer("createContainer")],
        "startContainer": [start],
        "poststart": [outer("poststart")],
        "poststop": [outer("poststop")],
    });
    bundle.edit(|config| config["hooks"] = hooks);
    let line = |name: &str, status: &str| format!("{name} {}/hook-{name} one yes {status}\n", bundle.dir().display());
    bundle.oci().args(["create", "hooked"]).ok();
    let creating = ["createRuntime1", "createRuntime2", "createContainer"].map(|name| line(name, "creating"));
    let created = [line("prestart", "created"), creating.concat()];
    assert_eq!(fs::read_to_string(&log).unwrap(), created.concat());
    assert!(!inner.exists());
    bundle.oci().args(["start", "hooked"]).ok();
    until("the program has written", || fs::read_to_string(&inner).unwrap_or_default().contains("program"));
    assert_eq!(fs::read_to_string(&inner).unwrap(), "startContainer /hook one yes created\nprogram\n");
    until("it has ended", || bundle.status("hooked") == "stopped");
    bundle.oci().args(["delete", "hooked"]).ok();
    let all = [created.concat(), line("poststart", "running"), line("poststop", "stopped")].concat();
    assert_eq!(fs::read_to_string(&log).unwrap(), all);
}

#[test]
fn a_hook_that_fails_or_hangs_ends_the_creation() {
    need!(root);
    let bundle = Bundle::sleeping();
    for kind in ["prestart", "createRuntime", "createContainer"] {
        for (hook, words) in [
            (json!({"path": "/bin/false"}), ""),
            (json!({"path": "/no/such/hook"}), ""),
            (json!({"path": "/bin/sleep", "args": ["sleep", "60"], "timeout": 1}), "timeout"),
        ] {
            bundle.edit(|config| config["hooks"] = json!({kind: [hook.clone()]}));
            bundle.oci().args(["create", "life-bad"]).fails(1).says("hook").says(words);
            assert_eq!(bundle.kept(), Vec::<String>::new(), "{kind} {hook}");
        }
    }
    bundle.edit(|config| config["hooks"] = json!({"startContainer": [{"path": "/bin/false"}]}));
    bundle.oci().args(["run", "life-bad"]).fails(1).says("hook");
    // What has happened cannot be undone by a hook.
    bundle.edit(|config| {
        config["hooks"] = json!({"poststart": [{"path": "/bin/false"}], "poststop": [{"path": "/bin/false"}]})
    });
    bundle.oci().args(["run", "--detach", "life-good"]).ok();
    bundle.oci().args(["delete", "--force", "life-good"]).ok();
    assert_eq!(bundle.kept(), Vec::<String>::new());
}

#[test]
fn a_create_that_is_killed_anywhere_leaves_what_delete_removes() {
    need!(root);
    let bundle = Bundle::sleeping();
    for milliseconds in [0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20] {
        let creating = bundle.oci().args(["create", "broken"]).start();
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        Cmd::new("kill").args(["-9", &creating.pid().to_string()]).run();
        creating.wait();
        bundle.oci().args(["delete", "--force", "broken"]).ok();
        assert_eq!(bundle.kept(), Vec::<String>::new(), "after {milliseconds} ms");
        bundle.oci().args(["create", "broken"]).ok();
        bundle.oci().args(["delete", "--force", "broken"]).ok();
    }
}
