//! `ctr-oci exec`: documents and options, identities, terminals, words and codes; and containers that are hostile to whoever
//! enters them.

use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixListener;

use ctr_tests::bundle::Bundle;
use ctr_tests::need;
use ctr_tests::programs::{compiler, program};
use ctr_tests::scratch::{Cmd, until};
use ctr_tests::skip::skip;
use serde_json::{Value, json};

fn running(script: &str) -> Bundle {
    let bundle = Bundle::new(script);
    bundle.oci().args(["run", "--detach", "web"]).ok();
    bundle
}

fn document(bundle: &Bundle, process: Value) -> String {
    bundle.root().write("process.json", process.to_string()).display().to_string()
}

#[test]
fn a_program_has_what_the_container_has() {
    need!(root);
    let bundle = running("exec sleep 600");
    let out = bundle.oci().args(["exec", "web", "sh", "-c", "hostname; pwd; echo $PATH; cat /proc/1/comm; id -u"]).ok();
    assert_eq!(out, "bundle\n/\n/bin\nsleep\n0");
    let status = bundle
        .oci()
        .args(["exec", "web", "grep", "-E", "^(CapBnd|CapEff|CapInh|NoNewPrivs)", "/proc/self/status"])
        .ok();
    assert_eq!(
        status,
        "CapInh:\t0000000000000000\nCapEff:\t0000000020000420\nCapBnd:\t0000000020000420\nNoNewPrivs:\t1"
    );
    // It is in every namespace and control group of the container.
    let of = |path: &str| bundle.oci().args(["exec", "web", "readlink", path]).ok();
    for kind in ["mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        assert_eq!(of(&format!("/proc/self/ns/{kind}")), of(&format!("/proc/1/ns/{kind}")), "{kind}");
    }
}

#[test]
fn options_change_what_they_name() {
    need!(root);
    let bundle = running("exec sleep 600");
    let script = "id -u; id -g; id -G; pwd; echo $A $PATH; grep -E '^Cap(Bnd|Inh|Amb)' /proc/self/status";
    let out = bundle.oci();
    let out = out.args(["exec", "--user", "5:6", "-g", "7", "--cwd", "/tmp", "-e", "A=b", "--cap", "CAP_CHOWN"]);
    let out = out.args(["web", "sh", "-c", script]).ok();
    assert_eq!(
        out,
        "5\n6\n6 7\n/tmp\nb /bin\nCapInh:\t0000000000000000\nCapBnd:\t0000000020000421\nCapAmb:\t0000000000000000"
    );
    for (options, says) in [
        (&["--user", "web"][..], "--user web"),
        (&["--cap", "CAP_NOPE"], "--cap CAP_NOPE"),
        (&["--cwd", "tmp"], "--cwd tmp"),
        (&["--env", "A"], "--env A"),
        (&["--cgroup", "../.."], "--cgroup"),
        (&["--console-socket", "x"], "no terminal"),
    ] {
        bundle.oci().arg("exec").args(options.iter().copied()).args(["web", "true"]).fails(1).says(says);
    }
}

#[test]
fn a_document_says_all() {
    need!(root);
    let bundle = running("exec sleep 600");
    let process = json!({
        "user": {"uid": 1000, "gid": 1001, "additionalGids": [7], "umask": 0o27},
        "args": ["sh", "-c", "id -u; id -g; id -G; umask; pwd; echo $A; ulimit -n; grep Cap /proc/self/status"],
        "env": ["PATH=/bin", "A=b"], "cwd": "/bin",
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 78}],
        "capabilities": {
            "bounding": ["CAP_KILL", "CAP_CHOWN"], "permitted": ["CAP_KILL", "CAP_CHOWN"], "effective": ["CAP_KILL"],
            "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"],
        },
        "noNewPrivileges": false,
    });
    let out = bundle.oci().args(["exec", "--process", &document(&bundle, process), "web"]).ok();
    let expected = "1000\n1001\n1001 7\n0027\n/bin\nb\n77\nCapInh:\t0000000000000020\nCapPrm:\t0000000000000020\n\
                    CapEff:\t0000000000000020\nCapBnd:\t0000000000000021\nCapAmb:\t0000000000000020";
    assert_eq!(out, expected);
    for (process, says) in [
        (json!({"cwd": "/"}), "process.args"),
        (json!({"args": ["true"], "cwd": "x"}), "process.cwd"),
        (
            json!({"args": ["true"], "cwd": "/", "rlimits": [{"type": "RLIMIT_X", "soft": 1, "hard": 1}]}),
            "process.rlimits",
        ),
        (json!({"args": 5, "cwd": "/"}), "args"),
    ] {
        bundle.oci().args(["exec", "--process", &document(&bundle, process), "web"]).fails(1).says(says);
    }
    bundle.oci().args(["exec", "--process", "/nonexistent", "web"]).fails(1).says("/nonexistent");
}

#[test]
fn words_and_codes_are_those_that_engines_look_for() {
    need!(root);
    let bundle = running("exec sleep 600");
    let exec = |id: &str, args: &[&str]| bundle.oci().args(["exec", id]).args(args.iter().copied()).run();
    assert_eq!(exec("web", &["sh", "-c", "exit 42"]).code, 42);
    assert_eq!(exec("web", &["sh", "-c", "kill -KILL $$"]).code, 137);
    for (args, says) in [
        (&["nope"][..], "executable file not found in $PATH"),
        (&["/nope"], "no such file or directory"),
        (&["/etc"], "permission denied"),
    ] {
        bundle.oci().args(["exec", "web"]).args(args.iter().copied()).fails(1).says(says);
    }
    bundle.oci().args(["exec", "other", "true"]).fails(1).says("does not exist");
    bundle.oci().args(["kill", "web", "KILL"]).ok();
    until("it has ended", || bundle.status("web") == "stopped");
    bundle.oci().args(["exec", "web", "true"]).fails(1).says("cannot exec in a stopped container").says("not running");
}

#[test]
fn a_created_container_can_be_entered() {
    need!(root);
    let bundle = Bundle::new("exec sleep 600");
    bundle.oci().args(["create", "web"]).ok();
    let out = bundle
        .oci()
        .args(["exec", "web", "sh", "-c", "hostname; tr '\\0' ' ' </proc/1/cmdline; cat /proc/1/environ"])
        .run();
    assert!(out.stdout.starts_with("bundle\n"), "{}", out.stdout);
    assert!(!out.stdout.contains("--root") && !out.stdout.contains("create"), "{}", out.stdout);
    bundle.oci().args(["start", "web"]).ok();
    assert_eq!(bundle.status("web"), "running");
}

#[test]
fn a_detached_program_belongs_to_the_callers_reaper() {
    need!(root);
    let bundle = running("exec sleep 600");
    let pid_file = bundle.root().file("pid");
    bundle.oci().args(["exec", "--detach", "--pid-file"]).arg(&pid_file).args(["web", "sleep", "601"]).ok();
    let pid = fs::read_to_string(&pid_file).unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    // Seen from outside its parent is no process of the container.
    assert_ne!(field("PPid:")[0], bundle.state("web")["pid"].to_string());
    assert_eq!(field("NSpid:").len(), 2);
    let bad = bundle.root().file("no/such/dir");
    bundle
        .oci()
        .args(["exec", "--detach", "--pid-file"])
        .arg(bad)
        .args(["web", "sleep", "602"])
        .fails(1)
        .says("pid file");
    let left = bundle.oci().args(["exec", "web", "ps"]).ok();
    assert!(left.contains("sleep 601") && !left.contains("sleep 602"), "{left}");
}

#[test]
fn a_terminal_is_passed_on() {
    need!(root);
    let bundle = running("exec sleep 600");
    let socket = bundle.root().file("console");
    let listener = UnixListener::bind(&socket).unwrap();
    let process = json!({
        "terminal": true, "consoleSize": {"height": 33, "width": 99}, "args": ["sh", "-c", "tty; stty size"],
        "env": ["PATH=/bin"], "cwd": "/",
    });
    let process = document(&bundle, process);
    bundle.oci().args(["exec", "--detach", "--process", &process, "web"]).fails(1).says("--console-socket");
    let console = bundle.oci().args(["exec", "--detach", "--process", &process, "--console-socket"]);
    console.arg(&socket).arg("web").ok();
    let (connection, _) = listener.accept().unwrap();
    let (_, master) = ctr_sys::socket::receive(connection.as_fd()).unwrap().unwrap();
    let master = master.unwrap();
    let mut shown = String::new();
    until("it has written", || {
        let mut text = [0u8; 256];
        let count = ctr_sys::files::read(master.as_fd(), &mut text).unwrap_or(0);
        shown.push_str(&String::from_utf8_lossy(&text[..count]));
        shown.contains("33 99")
    });
    assert!(shown.contains("/dev/pts/"), "{shown}");
    // Without a socket, and typed at by nobody.
    let out = bundle.oci().args(["exec", "--tty", "web", "sh", "-c", "tty; echo to >/dev/tty"]).ok();
    assert!(out.contains("/dev/pts/") && out.contains("to"), "{out}");
}

#[test]
fn nothing_of_the_caller_is_left_in_the_program() {
    need!(root);
    let bundle = running("exec sleep 600");
    let list = "for fd in /proc/self/fd/*; do readlink $fd; done 2>/dev/null; cat /proc/self/environ | tr '\\0' '\\n'";
    let run = |options: &str| {
        let script = format!(
            r#"exec "$OCI" --root "$ROOT" --log "$LOG" exec {options} web sh -c "$LIST" 5</etc/hostname 3</etc/passwd"#
        );
        let command = Cmd::new("sh").args(["-c", &script]).env("OCI", ctr_tests::bins::binary("ctr-oci"));
        let command = command.env("ROOT", bundle.root().path()).env("LOG", bundle.root().file("log"));
        command.env("LIST", list).env("SECRET", "of-the-caller").ok()
    };
    let out = run("");
    assert!(!out.contains("passwd") && !out.contains("hostname") && !out.contains("SECRET"), "{out}");
    assert!(!out.contains("/log") && !out.contains("anon_inode") && !out.contains("socket:"), "{out}");
    let out = run("--preserve-fds 1");
    assert!(out.contains("/etc/passwd") && !out.contains("/etc/hostname"), "{out}");
    bundle.oci().args(["exec", "--preserve-fds", "9", "web", "true"]).fails(1).says("--preserve-fds 9");
}

#[test]
fn a_hostile_container_leads_nobody_out() {
    need!(root);
    let hostile = "mkdir /out; for n in 3 4 5 6 7 8 9 10 11 12; do ln -s /proc/self/fd/$n /out/$n; done; ln -s /proc/1/root /out/r; \
                   ln -s /proc/self/cwd /out/cwd; touch /ready; exec sleep 600";
    let bundle = running(hostile);
    until("it is ready", || bundle.rootfs().join("ready").exists());
    let marker = bundle.root().write("marker-of-the-host", "x");
    for name in ["3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "r", "cwd"] {
        let cwd = format!("/out/{name}");
        let done =
            bundle.oci().args(["exec", "--cwd", &cwd, "web", "sh", "-c", "pwd -P; ls -a . ..; ls ../../../.."]).run();
        assert!(done.code != 0 || !done.stdout.contains("marker-of-the-host"), "{cwd}: {}", done.stdout);
        assert!(!done.stdout.contains("work"), "{cwd}: {}", done.stdout);
    }
    assert!(marker.exists());
    // What stands in place of its terminals is not opened.
    let place = "umount /dev/pts; rmdir /dev/pts; ln -s /tmp /dev/pts; mkfifo /tmp/ptmx";
    let _ = bundle.oci().args(["exec", "--cap", "CAP_SYS_ADMIN", "web", "sh", "-c", place]).run();
    bundle.oci().args(["exec", "--tty", "web", "true"]).fails(1).says("terminal");
}

#[test]
fn an_agent_answers_for_a_program_that_joins() {
    need!(root);
    if compiler().is_none() || cfg!(not(target_arch = "x86_64")) {
        return skip("no C compiler, or not x86-64");
    }
    for userns in [false, true] {
        let bundle = Bundle::new("exec sleep 600");
        let (socket, out) = (bundle.root().file("agent.sock"), bundle.root().file("agent.out"));
        let script = r#"exec "$0" "$@" >"$OUT""#;
        let agent = Cmd::new("sh").args(["-c", script]).arg(program("agent")).arg(&socket).args(["95:83", "go"]);
        let agent = agent.env("OUT", &out).start();
        let told = || fs::read_to_string(&out).unwrap_or_default();
        until("the agent listens", || told().contains("ready"));
        bundle.edit(|config| {
            config["linux"]["seccomp"] = json!({
                "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": socket, "listenerMetadata": "meta",
                "syscalls": [{"names": ["mkdir", "execve", "write", "clone"], "action": "SCMP_ACT_NOTIFY"}],
            });
            if userns {
                config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
                let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
                config["linux"]["uidMappings"] = map.clone();
                config["linux"]["gidMappings"] = map;
            }
        });
        bundle.oci().args(["run", "--detach", "web"]).ok();
        let done = bundle.oci().args(["exec", "web", "sh", "-c", "mkdir /tmp/x; echo $?"]).run();
        assert!(done.stdout.contains('1'), "{} {}", done.stdout, done.stderr);
        assert!(done.stderr.contains("not supported"), "{}", done.stderr);
        let states: Vec<Value> = told().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        assert_eq!(states.len(), 2, "{}", told());
        assert_eq!(states[1]["state"]["status"], "running");
        assert_ne!(states[1]["pid"], states[1]["state"]["pid"]);
        assert_eq!(states[1]["fds"], json!(["seccompFd"]));
        let _ = Cmd::new("kill").arg(agent.pid().to_string()).run();
        fs::remove_file(&socket).unwrap();
        bundle.oci().args(["exec", "web", "true"]).fails(1).says("linux.seccomp.listenerPath");
    }
}
