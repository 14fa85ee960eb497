//! `ctr-run`: what is set for the program: kernel parameters, clocks, scheduling, limits, time zone, groups. Each option in
//! the three places where containers run: as root with a user namespace, as root without one, as an ordinary user.

use std::path::PathBuf;

use ctr_tests::scratch::{Cmd, Done, Root};
use ctr_tests::users::{self, Ordinary};
use ctr_tests::{images, need, schema};

/// Where a container is started from.
struct Place {
    name: &'static str,
    root: Root,
    user: Option<Ordinary>,
    options: &'static [&'static str],
}

impl Place {
    fn all() -> Vec<Self> {
        let user = users::with_range();
        let theirs = user.root();
        let layout = users::readable(&theirs, &images::busybox_dir(), "layout");
        let source = format!("oci:{}:latest", layout.display());
        user.ctr(&theirs, "fetch").args(["-q", &source, "--name", "busybox"]).ok();
        vec![
            Self { name: "root", root: Root::with_busybox(), user: None, options: &[] },
            Self { name: "host", root: Root::with_busybox(), user: None, options: &["--userns=host"] },
            Self { name: "rootless", root: theirs, user: Some(user), options: &[] },
        ]
    }

    fn ctr(&self, name: &str) -> Cmd {
        match &self.user {
            Some(user) => user.ctr(&self.root, name),
            None => self.root.ctr(name),
        }
    }

    fn cmd(&self, options: &[&str], command: &[&str]) -> Cmd {
        let args = ["--wait", "--rm", "--log=inherit"];
        let own = self.options.iter().chain(options).copied();
        self.ctr("run").args(args).args(own).arg("busybox").args(command.iter().copied())
    }

    fn run(&self, options: &[&str], script: &str) -> Done {
        self.cmd(options, &["sh", "-c", script]).run()
    }

    #[track_caller]
    fn inside(&self, options: &[&str], script: &str) -> String {
        let done = self.run(options, script);
        assert_eq!(done.code, 0, "{}: {done}", self.name);
        done.stdout.trim_end().to_owned()
    }
}

/// Field N (from 1) of `/proc/self/stat`, proc_pid_stat(5), of a shell.
fn stat(field: u32) -> String {
    format!("cut -d' ' -f{field} /proc/$$/stat")
}

#[test]
fn kernel_parameters_of_own_namespaces() {
    // spec: EXEC-90
    need!(root, "setpriv", "useradd", "newuidmap");
    let options = [
        ("--sysctl", "net.ipv4.ip_forward=1"),
        ("--sysctl", "net/ipv4/ping_group_range=0 0"),
        ("--sysctl", "kernel.shm_rmid_forced=1"),
        ("--sysctl", "kernel.sem=100 200 30 40"),
        ("--sysctl", "fs.mqueue.msg_max=5"),
        ("--sysctl", "fs.mqueue.msg_max=77"),
        ("--sysctl", "kernel.domainname=example.org"),
    ];
    let options: Vec<&str> = options.iter().flat_map(|(option, value)| [*option, *value]).collect();
    let host = std::fs::read_to_string("/proc/sys/fs/mqueue/msg_max").unwrap();
    for place in Place::all() {
        let script = "cd /proc/sys; cat net/ipv4/ip_forward net/ipv4/ping_group_range kernel/shm_rmid_forced kernel/sem \
                      fs/mqueue/msg_max kernel/domainname; echo 0 2>/dev/null > net/ipv4/ip_forward || echo read-only";
        let expected = "1\n0\t0\n1\n100\t200\t30\t40\n77\nexample.org\nread-only";
        assert_eq!(place.inside(&options, script), expected, "{}", place.name);
    }
    assert_eq!(std::fs::read_to_string("/proc/sys/fs/mqueue/msg_max").unwrap(), host);
}

// ATTACK: kernel parameters of the host: core_pattern, names that lead out of a directory, those of a namespace that the container shares => refused by name, nothing is written
#[test]
fn other_kernel_parameters_are_refused() {
    // spec: EXEC-90, EXEC-91
    need!(root, "setpriv", "useradd", "newuidmap");
    for place in Place::all() {
        let refused = |options: &[&str], why: &str| {
            let done = place.run(options, "true");
            assert_eq!(done.code, 125, "{}: {done}", place.name);
            done.says(why);
        };
        refused(&["--sysctl", "kernel.core_pattern=/x"], "kernel.core_pattern is not of a container alone");
        refused(&["--sysctl", "vm.swappiness=1"], "it would change the host");
        refused(&["--sysctl", "kernel.hostname=x"], "--hostname x");
        refused(&["--sysctl", "net/../kernel/core_pattern=x"], "it is NAME=VALUE");
        refused(&["--sysctl", "net.ipv4.absent=1"], "this kernel has no such parameter");
        refused(&["--sysctl", "net.ipv4.ip_forward=many"], "the kernel does not take this value");
        refused(&["--network", "host", "--sysctl", "net.ipv4.ip_forward=1"], "no net namespace of its own");
    }
}

#[test]
fn domain_name_and_clocks() {
    // spec: EXEC-92, EXEC-93
    need!(root, "setpriv", "useradd", "newuidmap");
    for place in Place::all() {
        let script = "cat /proc/sys/kernel/domainname; cut -d. -f1 /proc/uptime; readlink /proc/self/ns/time; \
                      readlink /proc/self/ns/time_for_children";
        let options = ["--domainname", "d.example", "--time-offset", "boottime=1000d,monotonic=2h"];
        let text = place.inside(&options, script);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "d.example", "{}", place.name);
        assert!(lines[1].parse::<u64>().unwrap() >= 86_400_000, "{}: {text}", place.name);
        assert_eq!(lines[2], lines[3], "{}", place.name);
        let host = std::fs::read_link("/proc/self/ns/time").unwrap();
        assert_ne!(lines[2], host.display().to_string(), "{}", place.name);
        assert_eq!(place.inside(&[], "readlink /proc/self/ns/time"), host.display().to_string(), "{}", place.name);
        place.cmd(&["--time-offset", "boottime=-1000d"], &["true"]).fails(125).says("before its beginning");
        place.cmd(&["--time-offset", "realtime=1s"], &["true"]).fails(125).says("monotonic and boottime");
        place.cmd(&["--domainname", "no name"], &["true"]).fails(125).says("is not a domain name");
    }
}

#[test]
fn the_program_of_exec_has_the_same() {
    // spec: EXEC-93, EXEC-95, LIFE-90
    need!(root, "setpriv", "useradd", "newuidmap");
    for place in Place::all() {
        let options = [
            "--name=c",
            "--oom-score-adj=321",
            "--nice=19",
            "--scheduler=batch",
            "--cpu-affinity=0",
            "--personality=linux32",
            "--time-offset=boottime=1000d",
            "--umask=0027",
        ];
        place.ctr("run").args(place.options.iter().copied()).args(options).args(["busybox", "sleep", "600"]).ok();
        let script = format!(
            "cat /proc/self/oom_score_adj; {}; {}; grep Cpus_allowed_list /proc/self/status; uname -m; umask; \
             readlink /proc/self/ns/time | grep -c \"$(readlink /proc/1/ns/time)\"",
            stat(19),
            stat(41)
        );
        let text = place.ctr("exec").args(["c", "sh", "-c", &script]).ok();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..4], ["321", "19", "3", "Cpus_allowed_list:\t0"], "{}: {text}", place.name);
        assert_ne!(lines[4], std::env::consts::ARCH, "{}: {text}", place.name);
        assert_eq!(lines[5], "0027", "{}: {text}", place.name);
        place.ctr("stop").args(["-t", "0", "c"]).ok();
    }
}

#[test]
fn scheduling_that_everybody_may_have() {
    // spec: EXEC-95, EXEC-97
    need!(root, "setpriv", "useradd", "newuidmap");
    for place in Place::all() {
        let name = place.name;
        assert_eq!(place.inside(&["--oom-score-adj", "500"], "cat /proc/self/oom_score_adj"), "500", "{name}");
        assert_eq!(place.inside(&["--nice", "19"], &stat(19)), "19", "{name}");
        // sched(7): SCHED_BATCH is 3, SCHED_IDLE is 5.
        assert_eq!(
            place.inside(&["--scheduler", "batch", "--nice=19"], &format!("{}; {}", stat(41), stat(19))),
            "3\n19"
        );
        assert_eq!(place.inside(&["--scheduler", "idle"], &stat(41)), "5", "{name}");
        let allowed = "grep Cpus_allowed_list /proc/self/status";
        assert_eq!(place.inside(&["--cpu-affinity", "0"], allowed), "Cpus_allowed_list:\t0", "{name}");
        place.cmd(&["--cpu-affinity", "0,4000"], &["true"]).fails(125).says("are not there");
        place.cmd(&["--cpu-affinity", "3-1"], &["true"]).fails(125).says("a list of CPU numbers");
        assert_ne!(place.inside(&["--personality", "linux32"], "uname -m"), std::env::consts::ARCH, "{name}");
        let persona = "cat /proc/self/personality";
        assert_eq!(place.inside(&["--personality", "addr-no-randomize"], persona), "00040000", "{name}");
        for option in ["--ioprio=idle", "--ioprio=best-effort:6"] {
            place.inside(&[option], "true");
        }
        place.cmd(&["--ioprio", "idle:3"], &["true"]).fails(125).says("from 0 to 7");
        place.cmd(&["--oom-score-adj", "1001"], &["true"]).fails(125).says("1000");
        place.cmd(&["--nice", "20"], &["true"]).fails(125).says("19");
        place.cmd(&["--scheduler", "fifo"], &["true"]).fails(125).says("needs a priority");
    }
}

/// The nice value of the test itself: less than that needs a privilege.
fn own_nice() -> i32 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    stat.rsplit(')').next().unwrap().split(' ').nth(17).unwrap().parse().unwrap()
}

/// The permitted capabilities of the test itself.
fn holds(capability: u8) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let set = status.lines().find_map(|line| line.strip_prefix("CapPrm:")).unwrap().trim();
    u64::from_str_radix(set, 16).unwrap() >> capability & 1 == 1
}

#[test]
fn scheduling_that_needs_a_privilege_of_the_host() {
    // spec: EXEC-96
    const SYS_NICE: u8 = 23;
    const SYS_RESOURCE: u8 = 24;
    need!(root, "setpriv", "useradd", "newuidmap");
    for place in Place::all() {
        let is_root = place.user.is_none();
        let check = |options: &[&str], permitted: bool, script: &str, expected: &str, why: &str| {
            let done = place.run(options, script);
            if permitted {
                assert_eq!((done.code, done.stdout.trim_end()), (0, expected), "{} {options:?}: {done}", place.name);
            } else {
                assert_eq!(done.code, 125, "{} {options:?}: {done}", place.name);
                done.says(why);
            }
        };
        let nice = is_root && holds(SYS_NICE);
        let why = format!("--nice -3 is not permitted here: it is {} here", own_nice());
        check(&["--nice=-3"], nice, &stat(19), "-3", &why);
        check(&["--scheduler=fifo,priority=4"], nice, &stat(40), "4", "needs CAP_SYS_NICE");
        check(&["--scheduler=rr,priority=1"], nice, &stat(41), "2", "needs CAP_SYS_NICE");
        check(&["--ioprio=realtime:1"], nice, "true", "", "needs CAP_SYS_NICE");
        // A process with this policy cannot fork.
        let deadline =
            place.cmd(&["--scheduler=deadline,runtime=1ms,deadline=20ms"], &["cat", "/proc/self/stat"]).run();
        if place.name == "host" && nice {
            assert_eq!(deadline.stdout.split(' ').nth(40), Some("6"), "{deadline}");
        } else {
            assert_eq!(deadline.code, 125, "{}: {deadline}", place.name);
            deadline.says("--userns=host");
        }
        let resource = is_root && holds(SYS_RESOURCE);
        check(&["--oom-score-adj=-7"], resource, "cat /proc/self/oom_score_adj", "-7", "needs CAP_SYS_RESOURCE");
    }
}

#[test]
fn the_caller_of_wait_goes_back_to_what_it_had() {
    // spec: EXEC-96
    need!(root);
    let root = Root::with_busybox();
    let run = root.ctr("run").args(["--wait", "--rm", "--oom-score-adj=700", "--nice=-2", "busybox", "sleep", "600"]);
    let running = run.start();
    let pid = running.pid();
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let child = || read(&format!("task/{pid}/children")).split_whitespace().next().map(str::to_owned);
    let score = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap_or_default();
    ctr_tests::scratch::until("the container's init to be there", || {
        child().is_some_and(|child| score(&child) == "700\n" && read("oom_score_adj") == "0\n")
    });
    ctr_tests::scratch::until("the nice value to be as before", || {
        read("stat").split(' ').nth(18) == Some(&own_nice().to_string())
    });
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(running.wait().code, 143);
}

#[test]
fn limits_by_every_name() {
    // spec: EXEC-48
    need!(root, "setpriv", "useradd", "newuidmap");
    let names = [
        ("cpu", "Max cpu time"),
        ("fsize", "Max file size"),
        ("data", "Max data size"),
        ("stack", "Max stack size"),
        ("core", "Max core file size"),
        ("rss", "Max resident set"),
        ("nproc", "Max processes"),
        ("nofile", "Max open files"),
        ("memlock", "Max locked memory"),
        ("as", "Max address space"),
        ("locks", "Max file locks"),
        ("sigpending", "Max pending signals"),
        ("msgqueue", "Max msgqueue size"),
        ("rttime", "Max realtime timeout"),
    ];
    let options: Vec<String> = names.iter().map(|(name, _)| format!("--ulimit={name}=800000:810000")).collect();
    let mut options: Vec<&str> = options.iter().map(String::as_str).collect();
    // These are small by default, and may only become less.
    for (name, small) in
        [("nproc", "400:500"), ("nofile", "400:500"), ("msgqueue", "400:500"), ("sigpending", "400:500")]
    {
        options.retain(|option| !option.starts_with(&format!("--ulimit={name}=")));
        options.push(Box::leak(format!("--ulimit={name}={small}").into_boxed_str()));
    }
    options
        .retain(|option| !["data", "as", "stack"].iter().any(|name| option.starts_with(&format!("--ulimit={name}="))));
    options.extend(["--ulimit=data=200000000:-1", "--ulimit=as=400000000:unlimited", "--ulimit=RLIMIT_STACK=4194304"]);
    options.extend(["--ulimit=nice=0", "--ulimit=rtprio=0"]);
    for place in Place::all() {
        let text = place.inside(&options, "cat /proc/self/limits");
        for (name, title) in names {
            let line = text.lines().find(|line| line.starts_with(title)).unwrap();
            let values: Vec<&str> = line[title.len()..].split_whitespace().take(2).collect();
            let expected = match name {
                "nproc" | "nofile" | "msgqueue" | "sigpending" => ["400", "500"],
                "data" => ["200000000", "unlimited"],
                "as" => ["400000000", "unlimited"],
                "stack" => ["4194304", "4194304"],
                _ => ["800000", "810000"],
            };
            assert_eq!(values, expected, "{} {name}", place.name);
        }
        place.cmd(&["--ulimit=nofiles=1"], &["true"]).fails(125).says("there is no such resource");
        place.cmd(&["--ulimit=nofile=5:4"], &["true"]).fails(125).says("the soft limit is above the hard one");
        place.cmd(&["--ulimit=nofile=x"], &["true"]).fails(125).says("a number or");
    }
}

#[test]
fn limits_above_the_callers() {
    // spec: EXEC-48, EXEC-96
    need!(root, "setpriv", "useradd", "newuidmap");
    for place in Place::all() {
        // A launcher with a low hard limit, as a unit may have it: the default is that limit, and no error.
        let low = |options: &[&str]| {
            let cmd = place.cmd(options, &["sh", "-c", "grep 'open files' /proc/self/limits"]);
            cmd.under(["prlimit", "--nofile=300:600"]).run()
        };
        let done = low(&[]);
        assert_eq!(done.code, 0, "{}: {done}", place.name);
        let values: Vec<&str> = done.stdout.split_whitespace().rev().skip(1).take(2).collect();
        assert_eq!(values, ["600", "300"], "{}", place.name);
        let done = low(&["--ulimit=nofile=300:700"]);
        if place.user.is_none() && holds(24) {
            assert_eq!(done.code, 0, "{}: {done}", place.name);
            assert!(done.stdout.contains("700"), "{done}");
        } else {
            assert_eq!(done.code, 125, "{}: {done}", place.name);
            done.says("--ulimit nofile=700 is above the hard limit here, which is 600").says("CAP_SYS_RESOURCE");
        }
    }
}

#[test]
fn the_time_zone_is_the_hosts_database() {
    // spec: EXEC-94
    need!(root, "setpriv", "useradd", "newuidmap");
    for place in Place::all() {
        let zone = |zone: &str| place.inside(&["--tz", zone], "date -d @1700000000 +%H%Z");
        assert_eq!(zone("Asia/Tokyo"), "07JST", "{}", place.name);
        assert_eq!(zone("Etc/UTC"), "22UTC", "{}", place.name);
        let copied = place.inside(&["--tz", "local"], "sha256sum < /etc/localtime");
        let host = Cmd::new("sh").args(["-c", "sha256sum < /etc/localtime"]).ok();
        assert_eq!(copied, host.trim_end(), "{}", place.name);
        for bad in ["Nowhere/City", "../../../etc/passwd", "/etc/passwd", "Asia", "tzdata.zi", "localtime"] {
            place.cmd(&["--tz", bad], &["true"]).fails(125).says("--tz");
        }
        assert_eq!(place.inside(&["--tz", "Asia/Tokyo", "--env", "TZ=XYZ-3"], "date +%Z"), "XYZ", "{}", place.name);
    }
}

#[test]
fn groups_and_umask() {
    // spec: EXEC-49, EXEC-47
    need!(root, "setpriv", "useradd", "newuidmap");
    for place in Place::all() {
        let script = "id -G; umask";
        let options = ["--user", "bob", "--group-add", "wheel", "--group-add", "1234", "--umask", "0077"];
        assert_eq!(place.inside(&options, script), "1001 10 50 1234\n0077", "{}", place.name);
        place.cmd(&["--group-add", "absent"], &["true"]).fails(125).says("no group \"absent\"");
        place
            .cmd(&["--group-add", "keep-groups", "--group-add", "5"], &["true"])
            .fails(125)
            .says("no other goes with it");
        place.cmd(&["--umask", "1777"], &["true"]).fails(125).says("octal");
        let Some(user) = &place.user else {
            place.cmd(&["--group-add", "keep-groups"], &["true"]).fails(125).says("for containers of ordinary users");
            continue;
        };
        // A file that only a group may read of which the user is a member, by the machine's root.
        let dir = place.root.file("shared");
        std::fs::create_dir(&dir).unwrap();
        let file = dir.join("file");
        std::fs::write(&file, "for the group\n").unwrap();
        std::os::unix::fs::chown(&file, Some(0), Some(54_321)).unwrap();
        Cmd::new("chmod").args(["0640", &file.display().to_string()]).ok();
        let volume = format!("{}:/shared", dir.display());
        let read = |options: &[&str]| {
            let groups = format!("--groups={}", 54_321);
            let uid = format!("--reuid={}", user.uid);
            let gid = format!("--regid={}", user.gid);
            let run = Cmd::new("setpriv").args([uid, gid, groups]).arg(user.program("ctr-run"));
            let run = run.env("CTR_ROOT", place.root.path()).env("HOME", format!("/home/{}", user.name));
            let run = run.args(["--wait", "--rm", "--log=inherit", "-v", &volume]).args(options.iter().copied());
            run.args(["busybox", "cat", "/shared/file"]).run()
        };
        assert_ne!(read(&[]).code, 0);
        assert_eq!(read(&["--group-add", "keep-groups"]).ok(), "for the group");
    }
}

#[test]
fn platform_and_labels_of_a_file() {
    // spec: EXEC-81, CLI-30
    need!(root, "setpriv", "useradd", "newuidmap");
    let native = if std::env::consts::ARCH == "aarch64" { "linux/arm64" } else { "linux/amd64" };
    for place in Place::all() {
        place.inside(&["--platform", native], "true");
        place.cmd(&["--pull=never", "--platform", "linux/s390x"], &["true"]).fails(125).says("not for linux/s390x");
        place.cmd(&["--platform", "x y"], &["true"]).fails(125).says("OS/ARCHITECTURE");
    }
    let root = Root::with_busybox();
    let file: PathBuf = root.write("labels", "# ours\n\na=1\n  b=two words\n");
    root.ctr("run").arg("--name=c").arg("--label-file").arg(&file).args(["-l", "a=2", "busybox", "true"]).ok();
    let id = root.containers("run").remove(0);
    let record = std::fs::read_to_string(root.path().join("containers/run").join(id).join("container.json")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert_eq!((record["labels"]["a"].as_str(), record["labels"]["b"].as_str()), (Some("2"), Some("two words")));
    let bad = root.write("bad", "a=1\n=x\n");
    root.ctr("run").arg("--label-file").arg(bad).args(["busybox", "true"]).fails(125).says("line 2");
    root.ctr("run").args(["--label-file", "/dev/zero", "busybox", "true"]).fails(125).says("more than");
}

#[test]
fn the_plan_tells_all_of_it() {
    // spec: CLI-35
    need!(root);
    let root = Root::with_busybox();
    let options = [
        "--dry-run",
        "--sysctl=net.ipv4.conf.all/x.forwarding=1",
        "--domainname=d.example",
        "--tz=Asia/Tokyo",
        "--time-offset=monotonic=1s,boottime=-1s",
        "--oom-score-adj=5",
        "--nice=6",
        "--scheduler=rr,priority=7",
        "--ioprio=be:3",
        "--cpu-affinity=0-1",
        "--personality=linux32",
        "--ulimit=core=-1",
    ];
    let json = root.ctr("run").args(options).args(["--format", "json", "busybox"]).ok();
    schema::check_text("plan.json", &json);
    let plan: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(plan["sysctls"][0]["path"], "net/ipv4/conf/all.x/forwarding");
    assert_eq!(plan["clocks"]["boottime"], -1_000_000_000);
    assert_eq!(plan["process"]["scheduling"]["scheduler"]["priority"], 7);
    let text = root.ctr("run").args(options).arg("busybox").ok();
    for line in [
        "sysctl      net.ipv4.conf.all/x.forwarding = 1",
        "domainname  d.example",
        "time zone   Asia/Tokyo",
        "clock       boottime is -1000000000 ns ahead",
        "oom score   5",
        "nice        6",
        "scheduler   rr, priority 7",
        "io priority best-effort, level 3",
        "on CPUs     0-1",
        "personality 0x0000008",
        "ulimit      core unlimited:unlimited",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}
