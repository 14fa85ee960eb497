//! `linux.seccomp` of bundles: what it answers, on the real kernel; filters that are kept; agents, those that hang too.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ctr_tests::bundle::Bundle;
use ctr_tests::need;
use ctr_tests::programs::{compiler, program};
use ctr_tests::scratch::{Cmd, Running, until};
use ctr_tests::skip::skip;
use serde_json::{Value, json};

macro_rules! need_x86 {
    () => {
        need!(root);
        if compiler().is_none() || cfg!(not(target_arch = "x86_64")) {
            return skip("no C compiler, or not x86-64");
        }
    };
}

const WRITE: u32 = 1;
const MKDIR: u32 = 83;
const GETPID: u32 = 39;
const PERSONALITY: u32 = 135;
const EXECVE: u32 = 59;

/// A bundle whose program makes `calls` (see tests/programs/calls.c) under the profile.
fn calling(profile: Value, calls: &[&str]) -> Bundle {
    let bundle = Bundle::new("");
    fs::copy(program("calls"), bundle.rootfs().join("bin/calls")).unwrap();
    let mut args = vec!["/bin/calls".to_owned()];
    args.extend(calls.iter().map(|call| (*call).to_owned()));
    bundle.edit(|config| {
        config["process"]["args"] = json!(args);
        config["linux"]["seccomp"] = profile;
    });
    bundle
}

fn rule(names: &[&str], action: &str, args: Value) -> Value {
    json!({"names": names, "action": action, "args": args})
}

fn arg(index: u32, value: u64, op: &str) -> Value {
    json!({"index": index, "value": value, "op": op})
}

#[test]
fn actions_and_arguments() {
    need_x86!();
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_AARCH64"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"],
        "syscalls": [
            {"names": ["getpid", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95},
            {"names": ["getppid"], "action": "SCMP_ACT_ERRNO"},
            {"names": ["getuid"], "action": "SCMP_ACT_TRAP"},
            {"names": ["geteuid"], "action": "SCMP_ACT_KILL_PROCESS"},
            {"names": ["getgid"], "action": "SCMP_ACT_KILL_THREAD"},
            {"names": ["getegid"], "action": "SCMP_ACT_TRACE", "errnoRet": 7},
            {"names": ["gettid"], "action": "SCMP_ACT_LOG"},
            rule(&["personality"], "SCMP_ACT_ERRNO", json!([arg(0, 8, "SCMP_CMP_EQ")])),
            // Two rules for one call: either of them.
            rule(&["personality"], "SCMP_ACT_ERRNO", json!([arg(0, 9, "SCMP_CMP_EQ")])),
            // Two arguments in one rule: both of them.
            rule(&["lseek"], "SCMP_ACT_ERRNO", json!([arg(0, 100, "SCMP_CMP_GE"), arg(1, 5, "SCMP_CMP_LT")])),
            // Two conditions on one argument: either of them.
            rule(&["dup"], "SCMP_ACT_ERRNO", json!([arg(0, 900, "SCMP_CMP_EQ"), arg(0, 901, "SCMP_CMP_EQ")])),
            rule(&["umask"], "SCMP_ACT_ERRNO", json!([{"index": 0, "value": 0xf0, "valueTwo": 0x10, "op": "SCMP_CMP_MASKED_EQ"}])),
        ],
    });
    let table = [
        ("n:39", "errno 95"),
        ("n:110", "errno 1"),
        ("n:102", "signal 31"),
        ("n:107", "signal 31"),
        ("n:104", "signal 31"),
        ("n:108", "errno 38"),
        ("n:186", "ok"),
        ("n:135:8", "errno 1"),
        ("n:135:9", "errno 1"),
        ("n:135:0xffffffff", "ok"),
        ("n:8:100:4", "errno 1"),
        ("n:8:100:5", "errno 9"),
        ("n:8:99:4", "errno 9"),
        ("n:32:900", "errno 1"),
        ("n:32:901", "errno 1"),
        ("n:32:902", "errno 9"),
        ("n:95:0x11", "errno 1"),
        ("n:95:0x12f", "ok"),
        // getpid of 32-bit programs, which the profile names, and of x32, which it does not.
        ("c:20", "errno 95"),
        ("x:39", "signal 31"),
    ];
    let (calls, expected): (Vec<&str>, Vec<&str>) = table.into_iter().unzip();
    let bundle = calling(profile, &calls);
    let out = bundle.oci().args(["run", "calls"]).ok();
    let found: Vec<&str> = out.lines().collect();
    for ((call, expected), found) in calls.iter().zip(&expected).zip(&found) {
        assert_eq!(found, expected, "{call}");
    }
    assert_eq!(found.len(), expected.len(), "{out}");
}

#[test]
fn the_default_can_have_an_errno_of_its_own() {
    need_x86!();
    let needed = [
        "execve",
        "exit_group",
        "brk",
        "mmap",
        "munmap",
        "arch_prctl",
        "set_tid_address",
        "rt_sigprocmask",
        "rt_sigaction",
        "clone",
        "fork",
        "vfork",
        "wait4",
        "pipe",
        "pipe2",
        "read",
        "write",
        "writev",
        "close",
        "dup2",
        "mprotect",
        "gettid",
        "ioctl",
        "set_robust_list",
        "rseq",
        "prlimit64",
        "readlink",
        "readlinkat",
        "getrandom",
        "newfstatat",
        "fstat",
    ];
    let profile = json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 71,
        "syscalls": [{"names": needed, "action": "SCMP_ACT_ALLOW"}],
    });
    let bundle = calling(profile, &["n:39", "n:900"]);
    assert_eq!(bundle.oci().args(["run", "calls"]).ok(), "errno 71\nerrno 38");
}

#[test]
fn a_filter_is_kept_by_its_digest() {
    need_x86!();
    let profile =
        json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["getpid"], "action": "SCMP_ACT_ERRNO"}]});
    let bundle = calling(profile, &["n:39"]);
    let kept = || -> Vec<PathBuf> {
        let files = fs::read_dir(bundle.root().path().join("seccomp")).unwrap();
        files.map(|file| file.unwrap().path()).collect()
    };
    for _ in 0..2 {
        assert_eq!(bundle.oci().args(["run", "calls"]).ok(), "errno 1");
        assert_eq!(kept().len(), 1);
    }
    // One that allows everything, and whose digest is not that of its content.
    let file = kept().remove(0);
    let mut bytes = fs::read(&file).unwrap();
    bytes[16] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert_eq!(bundle.oci().args(["run", "calls"]).ok(), "errno 1");
}

#[test]
fn a_profile_that_cannot_be_is_refused_by_name() {
    need!(root);
    let bundle = Bundle::new("true");
    for (profile, says) in [
        (json!({"defaultAction": "SCMP_ACT_NOPE"}), "linux.seccomp: defaultAction"),
        (json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_X"]}), "linux.seccomp: flags"),
        (
            json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_Z80"]}),
            "linux.seccomp: architectures",
        ),
        (
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]}),
            "linux.seccomp: syscalls[0].args[0]",
        ),
        (json!({"defaultAction": "SCMP_ACT_NOTIFY"}), "linux.seccomp.listenerPath"),
        (json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x"}), "listenerMetadata"),
    ] {
        bundle.edit(|config| config["linux"]["seccomp"] = profile);
        bundle.oci().args(["run", "bad"]).fails(1).says(says);
        assert!(bundle.kept().is_empty());
    }
}

/// An agent at `agent.sock` beside the bundle.
fn agent(bundle: &Bundle, answers: &[&str]) -> (PathBuf, Running) {
    let socket = bundle.root().file("agent.sock");
    let out = bundle.root().file("agent.out");
    let script = r#"exec "$0" "$@" >"$OUT""#;
    let command = Cmd::new("sh").args(["-c", script]).arg(program("agent")).arg(&socket).args(answers.iter().copied());
    let running = command.env("OUT", &out).start();
    until("the agent listens", || fs::read_to_string(&out).is_ok_and(|text| text.contains("ready")));
    (socket, running)
}

fn stop(agent: &Running) {
    let _ = Cmd::new("kill").arg(agent.pid().to_string()).run();
}

fn told(bundle: &Bundle) -> String {
    fs::read_to_string(bundle.root().file("agent.out")).unwrap_or_default()
}

#[test]
fn an_agent_answers() {
    need_x86!();
    for names in
        [&["mkdir", "personality"][..], &["mkdir", "write", "writev", "sendmsg", "read", "close", "execve", "poll"]]
    {
        let bundle = calling(json!({"defaultAction": "SCMP_ACT_ALLOW"}), &["n:83", "n:39"]);
        let (socket, running) = agent(&bundle, &[&format!("95:{MKDIR}"), "go"]);
        bundle.edit(|config| {
            config["annotations"] = json!({"a": "b"});
            config["linux"]["seccomp"] = json!({
                "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": socket, "listenerMetadata": "meta",
                "syscalls": [{"names": names, "action": "SCMP_ACT_NOTIFY"}],
            });
        });
        assert_eq!(bundle.oci().args(["run", "calls"]).ok(), "errno 95\nok");
        stop(&running);
        let told = told(&bundle);
        let state: Value = serde_json::from_str(told.lines().nth(1).unwrap()).unwrap();
        assert_eq!(state["fds"], json!(["seccompFd"]));
        assert_eq!(state["metadata"], "meta");
        assert_eq!(state["pid"], state["state"]["pid"]);
        assert_eq!(state["state"]["id"], "calls");
        assert_eq!(state["state"]["annotations"], json!({"a": "b"}));
        assert!(told.contains(&format!("call {MKDIR}\n")), "{told}");
        assert_eq!(told.contains(&format!("call {WRITE}\n")), names.contains(&"write"), "{told}");
        assert_eq!(told.contains(&format!("call {EXECVE}\n")), names.contains(&"execve"), "{told}");
        assert!(!told.contains(&format!("call {GETPID}\n")) && !told.contains(&format!("call {PERSONALITY}\n")));
    }
}

#[test]
fn an_agent_that_is_not_there_or_hangs_is_an_error_in_time() {
    need_x86!();
    let bundle = calling(json!({"defaultAction": "SCMP_ACT_ALLOW"}), &["n:39"]);
    let profile = |socket: &PathBuf, names: &[&str]| {
        json!({
            "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": socket,
            "syscalls": [{"names": names, "action": "SCMP_ACT_NOTIFY"}],
        })
    };
    let refused = |says: &str| {
        let begin = Instant::now();
        bundle.oci().args(["run", "calls"]).fails(1).says("linux.seccomp.listenerPath").says(says);
        assert!(begin.elapsed() < Duration::from_secs(25));
        assert!(bundle.kept().is_empty());
    };
    bundle.edit(|config| config["linux"]["seccomp"] = profile(&bundle.root().file("nobody"), &["mkdir"]));
    refused("No such file");
    let (socket, deaf) = agent(&bundle, &["deaf"]);
    bundle.edit(|config| config["linux"]["seccomp"] = profile(&socket, &["mkdir"]));
    refused("does not accept");
    stop(&deaf);
    fs::remove_file(&socket).unwrap();
    let (socket, mute) = agent(&bundle, &["mute"]);
    bundle.edit(|config| config["linux"]["seccomp"] = profile(&socket, &["execve"]));
    refused("did not let");
    stop(&mute);
}
