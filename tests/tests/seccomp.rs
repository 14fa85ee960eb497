//! `ctr-run --seccomp`: the default profile and profiles of the caller's, on the real kernel, beside runc's and libseccomp's
//! reading of the same profile.

use std::fs;
use std::path::Path;

use ctr_tests::busybox::{inside, run};
use ctr_tests::need;
use ctr_tests::programs::{compiled, compiler, program};
use ctr_tests::scratch::{Cmd, Done, Root};
use ctr_tests::skip::skip;
use serde_json::{Value, json};

/// Numbers of x86-64 calls that the tests make.
const LSEEK: u32 = 8;
const SOCKET: u32 = 41;
const CLONE: u32 = 56;
const MOUNT: u32 = 165;
const PERSONALITY: u32 = 135;
const GETPID: u32 = 39;
const KEYCTL: u32 = 250;
const CLONE3: u32 = 435;
const CAPSET: u32 = 126;
const KEXEC_LOAD: u32 = 246;

/// What `tests/programs/calls.c` prints in a container for these calls.
#[track_caller]
fn calls(root: &Root, options: &[&str], calls: &[String]) -> Vec<String> {
    let volume = format!("{}:/calls", program("calls").display());
    let mut words = vec!["-v", &volume];
    words.extend(options);
    let mut command = vec!["/calls"];
    command.extend(calls.iter().map(String::as_str));
    run(root, &words, &command).ok().lines().map(str::to_owned).collect()
}

fn native(number: u32, arguments: &[u64]) -> String {
    arguments.iter().fold(format!("n:{number}"), |text, argument| format!("{text}:{argument:#x}"))
}

macro_rules! need_x86 {
    () => {
        need!(root);
        if compiler().is_none() || cfg!(not(target_arch = "x86_64")) {
            return skip("no C compiler, or not x86-64");
        }
    };
}

#[test]
fn the_default_profile_answers_as_specified() {
    // spec: EXEC-61
    need_x86!();
    let root = Root::with_busybox();
    let (eperm, enosys) = ("errno 1", "errno 38");
    let table: &[(String, &str)] = &[
        (native(GETPID, &[]), "ok"),
        (native(MOUNT, &[]), eperm),
        (native(KEYCTL, &[99_999]), eperm),
        (native(CLONE3, &[]), enosys),
        // CLONE_NEWNS with CLONE_FS is EINVAL to the kernel, CLONE_THREAD alone too.
        (native(CLONE, &[0x2_0200]), eperm),
        (native(CLONE, &[0x1_0000]), "errno 22"),
        (native(SOCKET, &[1, 1, 0]), "ok"),
        (native(SOCKET, &[40, 1, 0]), eperm),
        (native(SOCKET, &[38, 5, 0]), eperm),
        // The kernel takes the family for 32 bits wide.
        (native(SOCKET, &[0x1_0000_0028, 1, 0]), eperm),
        (native(PERSONALITY, &[0xffff_ffff]), "ok"),
        (native(PERSONALITY, &[0x4_0000]), eperm),
        (native(425, &[]), eperm),
        (native(600, &[]), enosys),
        // 32-bit programs run under the same rules: getpid, mount, socketcall(SYS_SOCKET), unshare.
        ("c:20".to_owned(), "ok"),
        ("c:21".to_owned(), eperm),
        ("c:102:1".to_owned(), eperm),
        ("c:310:0x10000000".to_owned(), eperm),
        ("x:39".to_owned(), enosys),
    ];
    let (asked, expected): (Vec<String>, Vec<&str>) = table.iter().cloned().unzip();
    assert_eq!(calls(&root, &[], &asked), expected);
    assert_eq!(calls(&root, &["--user", "1000:1000"], &asked), expected, "by a user that is not root");
    assert_eq!(calls(&root, &["--no-new-privileges"], &asked), expected);
    let unconfined = calls(&root, &["--seccomp", "unconfined"], &asked[2..3]);
    assert_ne!(unconfined, ["errno 1"], "no filter, no EPERM from it");
}

/// A profile that answers for lseek in every way, and for others by name.
fn many_answers() -> Value {
    let lseek = |errno: u32, args: Value| json!({"names": ["lseek"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno, "args": args});
    let arg = |index: u32, op: &str, value: u64, two: u64| json!({"index": index, "value": value, "valueTwo": two, "op": format!("SCMP_CMP_{op}")});
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [
            lseek(100, json!([arg(0, "EQ", 90, 0), arg(1, "GT", 0x1_0000_0005, 0)])),
            lseek(101, json!([arg(0, "EQ", 91, 0), arg(1, "GE", 0x1_0000_0005, 0)])),
            lseek(102, json!([arg(0, "EQ", 92, 0), arg(1, "LT", 0x1_0000_0005, 0)])),
            lseek(103, json!([arg(0, "EQ", 93, 0), arg(1, "LE", 0x1_0000_0005, 0)])),
            lseek(104, json!([arg(0, "EQ", 94, 0), arg(1, "NE", 0x1_0000_0005, 0)])),
            lseek(105, json!([arg(0, "EQ", 95, 0), arg(1, "MASKED_EQ", 0xff_0000_00f0, 0x10_0000_0050)])),
            lseek(106, json!([arg(0, "EQ", 0x60_0000_0001, 0)])),
            // Two conditions on one argument: any of them.
            lseek(107, json!([arg(0, "EQ", 96, 0), arg(0, "EQ", 97, 0)])),
            {"names": ["getppid"], "action": "SCMP_ACT_TRACE"},
            {"names": ["getpgrp"], "action": "SCMP_ACT_TRAP"},
            {"names": ["getuid"], "action": "SCMP_ACT_KILL_PROCESS"},
            {"names": ["getgid"], "action": "SCMP_ACT_KILL"},
            {"names": ["geteuid"], "action": "SCMP_ACT_LOG"},
            {"names": ["getegid", "no_such_call"], "action": "SCMP_ACT_ERRNO"},
            // An entry without arguments counts before those with.
            {"names": ["personality"], "action": "SCMP_ACT_ERRNO", "errnoRet": 3, "args": [arg(0, "EQ", 7, 0)]},
            {"names": ["personality"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4},
            {"names": ["sched_yield"], "action": "SCMP_ACT_ALLOW", "args": [arg(0, "EQ", 7, 0)]}
        ]
    })
}

/// Calls that meet and miss every condition of the profile above.
fn many_calls() -> Vec<String> {
    let mut all = Vec::new();
    for first in 90..98u64 {
        for second in [
            0,
            4,
            5,
            6,
            0x1_0000_0004,
            0x1_0000_0005,
            0x1_0000_0006,
            0x2_0000_0000,
            0x10_0000_0050,
            0x10_0000_0f5f,
            u64::MAX,
        ] {
            all.push(native(LSEEK, &[first, second, 0]));
        }
    }
    all.extend([
        native(LSEEK, &[0x60_0000_0001, 0, 0]),
        native(LSEEK, &[1, 0, 99]),
        native(LSEEK, &[0x60_0000_0060, 0, 99]),
    ]);
    // getppid, getpgrp, getuid, getgid, geteuid, getegid, sched_yield, and one that is newer than all.
    all.extend([110, 111, 102, 104, 107, 108, 24, 600].map(|number| native(number, &[])));
    all.extend([native(PERSONALITY, &[7]), native(PERSONALITY, &[8])]);
    // The same on 32-bit x86 (where libseccomp cuts what is compared with to 32 bits, and we do not) and on x32: lseek is 19, getegid 50, personality 136; getuid 24 kills.
    all.extend(["c:19:96", "c:19:97", "c:50", "c:136:9", "c:24", "x:8:96", "x:108"].map(str::to_owned));
    all
}

/// The same program under runc with this profile.
fn by_runc(root: &Root, profile: &Value, calls: &[String]) -> Done {
    let bundle = root.file("bundle");
    fs::create_dir_all(bundle.join("rootfs/proc")).unwrap();
    fs::copy(program("calls"), bundle.join("rootfs/calls")).unwrap();
    let mut args = vec!["/calls".to_owned()];
    args.extend(calls.iter().cloned());
    let caps = ["CAP_SETUID", "CAP_SETGID"];
    let namespaces = ["pid", "network", "ipc", "uts", "mount"].map(|kind| json!({"type": kind}));
    let config = json!({
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs"},
        "process": {
            "args": args, "cwd": "/", "user": {"uid": 0, "gid": 0}, "terminal": false, "noNewPrivileges": true,
            "capabilities": {"bounding": caps, "effective": caps, "permitted": caps}
        },
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {
            "namespaces": namespaces,
            "seccomp": profile
        }
    });
    fs::write(bundle.join("config.json"), config.to_string()).unwrap();
    let id = format!("ctr-test-{}", std::process::id());
    Cmd::new("runc").arg("--root").arg(root.file("runc")).args(["run", "--bundle"]).arg(&bundle).arg(id).run()
}

#[test]
fn a_profile_means_what_it_means_to_runc() {
    // spec: EXEC-63
    need!(root, "runc");
    need_x86!();
    let root = Root::with_busybox();
    let mut closed = many_answers();
    // The other way round: what is not named is refused, newer calls are not there.
    closed["defaultAction"] = json!("SCMP_ACT_ERRNO");
    closed["defaultErrnoRet"] = json!(95);
    let needed = [
        "execve",
        "brk",
        "mmap",
        "munmap",
        "mprotect",
        "arch_prctl",
        "set_tid_address",
        "pipe",
        "pipe2",
        "fork",
        "clone",
        "read",
        "write",
        "writev",
        "close",
        "wait4",
        "exit",
        "exit_group",
        "rt_sigprocmask",
        "rt_sigaction",
        "ioctl",
        "gettid",
        // What runc itself still does under the filter.
        "futex",
        "openat",
        "open",
        "fcntl",
        "epoll_ctl",
        "epoll_pwait",
        "capget",
        "capset",
        "prctl",
        "setgid",
        "setuid",
        "setgroups",
        "fstat",
        "newfstatat",
        "stat",
        "chdir",
        "getcwd",
        "getppid",
        "getdents64",
        "close_range",
        "statfs",
        "fstatfs",
        "nanosleep",
        "sigaltstack",
        "tgkill",
        "getpid",
        "rt_sigreturn",
        "readlinkat",
        "madvise",
        "sched_getaffinity",
        "faccessat",
        "faccessat2",
        "fstatat64",
        "openat2",
        "lstat",
        "getrandom",
        "dup3",
        "eventfd2",
        "epoll_create1",
    ];
    let entries = closed["syscalls"].as_array_mut().unwrap();
    entries.retain(|entry| entry["names"][0] != "getppid");
    entries.push(json!({"names": needed.to_vec(), "action": "SCMP_ACT_ALLOW"}));
    for (name, profile) in [("open", many_answers()), ("closed", closed)] {
        let asked = many_calls();
        let path = root.write(&format!("{name}.json"), profile.to_string());
        let ours = calls(&root, &["--seccomp", &path.display().to_string()], &asked);
        let theirs = by_runc(&root, &profile, &asked).ok();
        let theirs: Vec<&str> = theirs.lines().collect();
        assert_eq!(ours.len(), asked.len());
        for ((call, ours), theirs) in asked.iter().zip(&ours).zip(&theirs) {
            assert_eq!(ours, theirs, "{name}: {call}");
        }
        assert_eq!(ours.len(), theirs.len());
        assert!(ours.iter().any(|answer| answer == "signal 31") && ours.iter().any(|answer| answer == "errno 107"));
    }
}

#[test]
fn dockers_form_follows_the_capabilities() {
    // spec: EXEC-63
    need_x86!();
    let root = Root::with_busybox();
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [
            {"names": ["getpid"], "action": "SCMP_ACT_ERRNO", "errno": "ENOTTY", "includes": {"caps": ["CAP_NET_RAW"]}},
            {"names": ["getuid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 26, "excludes": {"caps": ["CAP_NET_RAW"]}},
            {"name": "getgid", "action": "SCMP_ACT_ERRNO", "errnoRet": 27, "includes": {"minKernel": "4.8", "arches": ["amd64"]}},
            {"names": ["geteuid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28, "includes": {"arches": ["s390x"]}},
            {"names": ["getegid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 29, "excludes": {"minKernel": "4.8"}}
        ]
    });
    let path = root.write("docker.json", profile.to_string()).display().to_string();
    let asked = [GETPID, 102, 104, 107, 108].map(|number| native(number, &[]));
    assert_eq!(calls(&root, &["--seccomp", &path], &asked), ["ok", "errno 26", "errno 27", "ok", "ok"]);
    let with = calls(&root, &["--seccomp", &path, "--cap-add", "NET_RAW"], &asked);
    assert_eq!(with, ["errno 25", "ok", "errno 27", "ok", "ok"]);
    let podmans = Path::new("/usr/share/containers/seccomp.json");
    if podmans.exists() {
        let asked = [native(GETPID, &[]), native(KEXEC_LOAD, &[]), native(SOCKET, &[16, 3, 9]), native(600, &[])];
        let answers = calls(&root, &["--seccomp", &podmans.display().to_string()], &asked);
        assert_eq!(answers, ["ok", "errno 1", "errno 22", "errno 38"]);
    }
}

#[test]
fn the_start_itself_needs_nothing_of_a_profile_but_execve() {
    // spec: EXEC-64
    need_x86!();
    let root = Root::with_busybox();
    // What ctr-run does before the exec is not held up by the profile: ids, capabilities, signals.
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["setgroups", "setresuid", "setresgid", "capset", "prctl", "rt_sigaction", "umask", "chdir"],
                      "action": "SCMP_ACT_KILL_PROCESS"}]
    });
    let path = root.write("late.json", profile.to_string()).display().to_string();
    let asked = [native(CAPSET, &[]), native(GETPID, &[])];
    for options in [&[][..], &["--user", "1000:1000"], &["--no-new-privileges"], &["--cap-drop", "ALL"]] {
        let mut words = vec!["--seccomp", path.as_str()];
        words.extend(options);
        assert_eq!(calls(&root, &words, &asked), ["signal 31", "ok"], "{options:?}");
        // The capability that loads the filter is not the program's.
        let status = inside(&root, options, "grep -E '^Cap(Prm|Eff|Inh|Amb)' /proc/self/status");
        assert!(!status.contains("00000000a82425fb") && !status.contains("2000"), "{options:?}: {status}");
    }
}

#[test]
fn profiles_that_cannot_be_are_refused_by_name() {
    // spec: EXEC-63
    need!(root);
    let root = Root::with_busybox();
    for (text, says) in [
        (r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#, "SCMP_ACT_NOTIFY"),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscals": []}"#, "syscals"),
        ("\u{1b}[31m", "no seccomp profile"),
        ("", "no seccomp profile"),
    ] {
        let path = root.write("bad.json", text).display().to_string();
        let done = run(&root, &["--seccomp", &path], &["true"]);
        assert_eq!(done.code, 125, "{done}");
        assert!(done.stderr.contains(says) && !done.stderr.contains('\u{1b}'), "{done}");
    }
    let done = run(&root, &["--seccomp", "/no/such/profile"], &["true"]).says("cannot be read");
    assert_eq!(done.code, 125, "{done}");
    let long: Vec<Value> = (0..2500)
        .map(|n| json!({"names": ["lseek"], "action": "SCMP_ACT_LOG", "args": [{"index": 1, "value": n, "op": "SCMP_CMP_EQ"}]}))
        .collect();
    let path = root.write("long.json", json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": long}).to_string());
    run(&root, &["--seccomp", &path.display().to_string()], &["true"]).says("instructions");
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
        "syscalls": [{"names": ["no_such_call", "read"], "action": "SCMP_ACT_LOG"}]});
    let path = root.write("good.json", profile.to_string()).display().to_string();
    let done = run(&root, &["--explain", "--seccomp", &path], &["true"]).says("no_such_call").says("good.json");
    assert_eq!(done.code, 0, "{done}");
}

#[test]
fn numbers_are_those_of_libseccomp() {
    need!("cc");
    if !Path::new("/usr/include/seccomp.h").exists() {
        return skip("no libseccomp-dev");
    }
    let names: Vec<&str> = ctr_sys::syscalls::all().map(ctr_sys::syscalls::Call::name).collect();
    let resolver = compiled("cc", &["-lseccomp"], "numbers");
    let answers = Cmd::new(resolver).args(names.iter().copied()).ok();
    let mut compared = 0;
    for (name, line) in names.iter().zip(answers.lines()) {
        let call = ctr_sys::syscalls::call(name).unwrap();
        for (arch, theirs) in ctr_sys::syscalls::Arch::ALL.into_iter().zip(line.split_whitespace()) {
            // Negative: unknown to it, or only behind socketcall and ipc as it sees 32-bit x86.
            if let Ok(theirs) = theirs.parse::<u32>() {
                assert_eq!(call.on(arch), Some(theirs), "{name} on {arch:?}");
                compared += 1;
            }
        }
    }
    assert!(compared > 1600, "{compared}");
}
