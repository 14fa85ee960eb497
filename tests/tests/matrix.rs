//! Every option of `ctr-run` as root, as root on the host's ids, as an ordinary user with subordinate ids and as one without:
//! run for real, and docs/option-matrix.md is made of the same table (`CTR_BLESS=1`).

use std::fs;
use std::path::PathBuf;

use ctr_tests::matrix::Expect::{Has, Other, Prints, Refused, Where};
use ctr_tests::matrix::{self, MODES, Row, Stage, all, each, rooted};
use ctr_tests::need;
use ctr_tests::scratch::Cmd;

/// What a user hears whose control groups are not delegated.
const NOT_DELEGATED: &str = "control group";

const LIFE: &[Row] = &[
    all(
        "--wait --rm",
        "ctr-run {options} busybox sh -c 'echo in; exit 7'; echo $?; ls $CTR_ROOT/containers/run | wc -l",
        Prints("in\n7\n0"),
    ),
    all(
        "--name m1 --label a=b",
        "ctr-run -q {options} busybox sleep 60 >/dev/null && ctr-ps --format json | grep -c -e '\"m1\"' -e '\"a\"'; ctr-stop -q --timeout 0 m1 >/dev/null",
        Prints("2"),
    ),
    all(
        "--label-file {dir}/env --name m6",
        "ctr-run -q {options} busybox sleep 60 >/dev/null && ctr-ps --format json | grep -c FROM_FILE; ctr-stop -q --timeout 0 m6 >/dev/null",
        Prints("1"),
    ),
    all(
        "--cidfile {dir}/cid --pidfile {dir}/pid",
        "ctr-run -q {options} busybox sleep 60 >/dev/null; cat {dir}/cid | wc -c; ls -d /proc/$(cat {dir}/pid) >/dev/null && echo lives; ctr-stop -q --timeout 0 $(cat {dir}/cid) >/dev/null",
        Prints("32\nlives"),
    ),
    all(
        "--log=file --name m2",
        "ctr-run -q {options} busybox echo logged >/dev/null; sleep 0.5; ctr-logs m2",
        Prints("logged"),
    ),
    all(
        "--log=none --name m3",
        "ctr-run -q {options} busybox echo logged >/dev/null; sleep 0.3; ctr-logs m3 2>/dev/null | wc -c",
        Prints("0"),
    ),
    all("--log=inherit", "ctr-run --wait --rm {options} busybox echo seen", Prints("seen")),
    all("--init", "cat /proc/1/comm", Prints("ctr-init")),
    all("--no-init", "echo $$", Prints("1")),
    all(
        "--stop-signal USR1 --stop-timeout 5s --name m4",
        "ctr-run -q {options} busybox sh -c 'trap \"echo got; exit 3\" USR1; echo up; while :; do sleep 0.1; done' >/dev/null; for n in $(seq 50); do ctr-logs m4 | grep -q up && break; sleep 0.1; done; ctr-stop -q m4 >/dev/null; ctr-logs m4 | tail -1",
        Prints("got"),
    ),
    all(
        "--pull=never",
        "ctr-run --wait --rm {options} busybox echo stored; ctr-run {options} {dir}/f >/dev/null 2>&1; echo $?",
        Prints("stored\n125"),
    ),
    all(
        "--explain",
        "ctr-run --wait --rm {options} busybox true 2>&1 | grep -c -i -e userns -e 'user ids' -e 'user namespace' | grep -q 0 || echo plan",
        Prints("plan"),
    ),
    all(
        "--dry-run --format=json",
        "ctr-run {options} busybox touch /x | grep -c '\"userns\"'; ls $CTR_ROOT/containers/run | wc -l",
        Has("1"),
    ),
    all(
        "--timeout 1s",
        "ctr-run --wait --rm {options} busybox sh -c 'trap \"exit 9\" TERM; while :; do sleep 0.1; done' 2>/dev/null; test $? -ne 0 && echo ended",
        Prints("ended"),
    ),
    all("--interactive", "echo typed | ctr-run --rm {options} busybox cat", Prints("typed")),
    all(
        "--tty --detach --name m5 --detach-keys ctrl-q",
        "ctr-run -q {options} busybox sh -c 'test -t 0 && echo terminal; sleep 60' >/dev/null; for n in $(seq 50); do ctr-logs m5 | grep -q terminal && break; sleep 0.1; done; ctr-logs m5 | tr -d '\\r'; ctr-stop -q --timeout 0 m5 >/dev/null",
        Prints("terminal"),
    ),
    all(
        "--wait-ready --health-cmd true --health-interval 1s --health-timeout 5s --health-retries 3 --health-start-period 0s --name ready",
        "ctr-run -q {options} busybox sleep 60 >/dev/null && echo ready; ctr-stop -q --timeout 0 ready >/dev/null",
        Prints("ready"),
    ),
];

const PROGRAM: &[Row] = &[
    all("--env A=b", "echo $A", Prints("b")),
    all("--env-file {dir}/env", "echo $FROM_FILE", Prints("yes")),
    all("--entrypoint /bin/echo", "ctr-run --wait --rm {options} busybox said", Prints("said")),
    all("--workdir /tmp", "pwd", Prints("/tmp")),
    each(
        "--user 1000:1000",
        "id -u; id -g",
        [Prints("1000\n1000"), Prints("1000\n1000"), Prints("1000\n1000"), Refused("1000")],
    ),
    each("--user bob", "id -un", [Prints("bob"), Prints("bob"), Prints("bob"), Refused("1000")]),
    each("--group-add staff", "id -G", [Has("50"), Has("50"), Has("50"), Refused("50")]),
    each(
        "--group-add keep-groups",
        "echo ran",
        [Refused("ordinary users"), Refused("ordinary users"), Prints("ran"), Prints("ran")],
    ),
    all("--umask 077", "umask", Prints("0077")),
    all("--ulimit nofile=100:200", "ulimit -n; ulimit -Hn", Prints("100\n200")),
];

const FILESYSTEM: &[Row] = &[
    all("--volume {dir}:/v", "cat /v/f; echo new > /v/new && cat /v/new", Prints("content\nnew")),
    all("--volume {dir}:/v:ro", "cat /v/f; touch /v/x 2>&1 | grep -o Read-only", Prints("content\nRead-only")),
    all(
        "--volume {dir}:/v (what it makes is the caller's)",
        "ctr-run --wait --rm {options} busybox touch /v/mine; test \"$(stat -c %u {dir}/mine)\" = \"$(id -u)\" && echo own",
        Prints("own"),
    ),
    all(
        "--mount type=bind,source={dir},target=/v,ro",
        "cat /v/f; touch /v/x 2>&1 | grep -o Read-only",
        Prints("content\nRead-only"),
    ),
    all("--volume named:/v", "touch /v/x && echo kept", Prints("kept")),
    all("--volume /v", "touch /v/x && echo own", Prints("own")),
    all(
        "--mount type=image,source=busybox,target=/v",
        "ls /v/bin/busybox; touch /v/x 2>&1 | grep -o Read-only",
        Prints("/v/bin/busybox\nRead-only"),
    ),
    all("--no-image-volumes", "echo ran", Prints("ran")),
    all(
        "--secret name,source=/etc/passwd",
        "test -s /run/secrets/name && stat -c '%a %u' /run/secrets/name",
        Prints("400 0"),
    ),
    all("--shm-size 1M", "df -k /dev/shm | tail -1 | grep -o ' 1024 ' | head -1", Has("1024")),
    all("--tmpfs /t:size=1m", "touch /t/x && df -k /t | tail -1 | grep -o '1024'", Has("1024")),
    all(
        "--read-only --read-only-tmpfs",
        "touch /x 2>&1 | grep -o Read-only; touch /run/x /tmp/x /var/tmp/x && echo rest",
        Prints("Read-only\nrest"),
    ),
    all("--read-only", "touch /x 2>&1 | grep -o Read-only; touch /dev/shm/x && echo shm", Prints("Read-only\nshm")),
    all("--shm-size 1m", "df -k /dev/shm | tail -1 | grep -o 1024 | head -1", Prints("1024")),
    all("--no-image-volumes", "echo ran", Prints("ran")),
    all("--secret key,source={dir}/f", "cat /run/secrets/key", Prints("content")),
];

const NAMESPACES: &[Row] = &[
    each(
        "--userns=auto",
        "awk '{print ($2 > 65535) ? \"own\" : \"same\", $3}' /proc/self/uid_map | head -1",
        [Prints("own 65536"), Other("-"), Has("same"), Prints("same 1")],
    ),
    each(
        "--userns=host",
        "awk '{print $1, $2}' /proc/self/uid_map | head -1",
        [Other("the next column"), Prints("0 0"), Refused("needs root on the host"), Refused("needs root on the host")],
    ),
    each(
        "--userns=keep-id:uid=1000,gid=1000",
        "id -u; grep -c ' 1000 *1000 *1$' /proc/self/uid_map",
        [Prints("1000\n1"), Other("-"), Refused("needs root on the host"), Refused("needs root on the host")],
    ),
    each(
        "--userns=0:700000:65536",
        "awk '{print $2}' /proc/self/uid_map",
        [Prints("700000"), Other("-"), Refused("needs root on the host"), Refused("needs root on the host")],
    ),
    each(
        "--uidmap 0:700000:65536 --gidmap 0:800000:65536",
        "awk '{print $2}' /proc/self/uid_map /proc/self/gid_map",
        [Prints("700000\n800000"), Other("-"), Refused("needs root on the host"), Refused("needs root on the host")],
    ),
    all("--network none", "ls /sys/class/net", Prints("lo")),
    all(
        "--network host",
        "test $(ls /sys/class/net | wc -l) -gt 1 && echo more; readlink /proc/self/ns/net | grep -c net",
        Has("1"),
    ),
    all("--hostname here", "hostname", Prints("here")),
    all("--add-host there:10.1.2.3", "grep there /etc/hosts", Has("10.1.2.3")),
    all("--dns 10.9.8.7", "cat /etc/resolv.conf", Has("10.9.8.7")),
    all(
        "--ipc=own --pid=own --uts=own --cgroupns=own",
        "echo $(ls -d /proc/[0-9]* | wc -l) | grep -c '^[1-9]$'",
        Prints("1"),
    ),
    all("--ipc=host", "readlink /proc/self/ns/ipc | grep -c ipc", Prints("1")),
    all("--pid=host", "test $(ls -d /proc/[0-9]* | wc -l) -gt 10 && echo many", Prints("many")),
    all("--uts=host", "hostname | wc -l", Prints("1")),
    all("--cgroupns=host", "echo ran", Prints("ran")),
];

const KERNEL: &[Row] = &[
    all("--no-hosts", "test -e /etc/hosts || echo \"the image's\"", Prints("the image's")),
    all("--sysctl net.ipv4.ip_forward=1", "cat /proc/sys/net/ipv4/ip_forward", Prints("1")),
    all("--sysctl kernel.shm_rmid_forced=1", "cat /proc/sys/kernel/shm_rmid_forced", Prints("1")),
    all("--sysctl fs.mqueue.msg_max=77", "cat /proc/sys/fs/mqueue/msg_max", Prints("77")),
    all("--sysctl vm.swappiness=1", "true", Refused("would change the host")),
    all("--domainname d.example", "cat /proc/sys/kernel/domainname", Prints("d.example")),
    all(
        "--time-offset boottime=5000d",
        "test $(cut -d. -f1 /proc/uptime) -gt 432000000 && echo later",
        Prints("later"),
    ),
    all("--tz Asia/Tokyo", "date -d @0 +%H%Z", Prints("09JST")),
    all("--pull never --platform linux/s390x", "true", Refused("not for linux/s390x")),
];

const SCHEDULING: &[Row] = &[
    all("--oom-score-adj 300", "cat /proc/self/oom_score_adj", Prints("300")),
    rooted(
        "--oom-score-adj -300",
        "cat /proc/self/oom_score_adj",
        Where("-300", "CAP_SYS_RESOURCE"),
        Refused("CAP_SYS_RESOURCE"),
    ),
    all("--nice 19", "cut -d' ' -f19 /proc/$$/stat", Prints("19")),
    rooted("--nice -5", "cut -d' ' -f19 /proc/$$/stat", Where("-5", "CAP_SYS_NICE"), Refused("CAP_SYS_NICE")),
    all("--scheduler batch", "cut -d' ' -f41 /proc/$$/stat", Prints("3")),
    rooted(
        "--scheduler rr,priority=5",
        "cut -d' ' -f40,41 /proc/$$/stat",
        Where("5 2", "CAP_SYS_NICE"),
        Refused("CAP_SYS_NICE"),
    ),
    each(
        "--scheduler deadline,runtime=1ms,deadline=50ms",
        "read line < /proc/$$/stat; set -- $line; echo ${41}",
        [Refused("--userns=host"), Where("6", "CAP_SYS_NICE"), Refused("--userns=host"), Refused("--userns=host")],
    ),
    all("--ioprio best-effort:6", "echo ran", Prints("ran")),
    rooted("--ioprio realtime:1", "echo ran", Where("ran", "CAP_SYS_NICE"), Refused("CAP_SYS_NICE")),
    all("--cpu-affinity 0", "grep -c 'Cpus_allowed_list:.0$' /proc/self/status", Prints("1")),
    all("--personality addr-no-randomize", "cat /proc/self/personality", Prints("00040000")),
];

const LIMITS: &[Row] = &[
    rooted("--memory 64m", "echo ran", Prints("ran"), Where("ran", NOT_DELEGATED)),
    rooted("--memory 64m --memory-swap 64m", "echo ran", Prints("ran"), Where("ran", NOT_DELEGATED)),
    rooted("--memory-reservation 32m", "echo ran", Prints("ran"), Where("ran", NOT_DELEGATED)),
    rooted("--oom-kill-disable --memory 64m", "echo ran", Where("ran", "v1"), Where("ran", NOT_DELEGATED)),
    rooted("--cpus 0.5", "echo ran", Prints("ran"), Where("ran", NOT_DELEGATED)),
    rooted("--cpu-quota 50000 --cpu-period 100000", "echo ran", Prints("ran"), Where("ran", NOT_DELEGATED)),
    rooted("--cpu-shares 512", "echo ran", Prints("ran"), Where("ran", NOT_DELEGATED)),
    rooted("--cpu-weight 50", "echo ran", Prints("ran"), Where("ran", NOT_DELEGATED)),
    rooted(
        "--cpuset-cpus 0 --cpuset-mems 0",
        "grep Cpus_allowed_list /proc/self/status | grep -o '[0-9].*'",
        Prints("0"),
        Where("0", NOT_DELEGATED),
    ),
    rooted("--pids-limit 20", "echo ran", Prints("ran"), Where("ran", NOT_DELEGATED)),
    rooted("--blkio-weight 500", "echo ran", Where("ran", "weight"), Where("ran", NOT_DELEGATED)),
    rooted("--io-weight 50", "echo ran", Where("ran", "weight"), Where("ran", NOT_DELEGATED)),
    rooted(
        "--device-read-bps /dev/vda:10M --device-write-bps /dev/vda:10M",
        "echo ran",
        Where("ran", "device"),
        Where("ran", NOT_DELEGATED),
    ),
    rooted(
        "--device-read-iops /dev/vda:100 --device-write-iops /dev/vda:100",
        "echo ran",
        Where("ran", "device"),
        Where("ran", NOT_DELEGATED),
    ),
    rooted("--hugetlb 2M=4M", "echo ran", Where("ran", "huge"), Where("ran", NOT_DELEGATED)),
    rooted("--cgroup-conf pids.max=100", "echo ran", Where("ran", "cgroup"), Where("ran", NOT_DELEGATED)),
    rooted(
        "--cgroup-delegate",
        "mkdir /sys/fs/cgroup/mine && echo ran",
        Where("ran", "cgroup v2 alone"),
        Where("ran", "cgroup v2 alone"),
    ),
];

const DEVICES: &[Row] = &[
    all("--device /dev/full:/dev/mine", "ls -l /dev/mine | grep -o '1,   7'", Prints("1,   7")),
    each(
        "--device /dev/net/tun:/dev/mine:r",
        "(: < /dev/mine) && echo read; (: > /dev/mine) 2>&1 | grep -o 'not permitted'",
        [
            Prints("read\nnot permitted"),
            Prints("read\nnot permitted"),
            Refused("need device rules"),
            Refused("need device rules"),
        ],
    ),
    all("--device-cgroup-rule c+10:200+rw", "echo ran", Prints("ran")),
];

const SECURITY: &[Row] = &[
    all(
        "--cap-drop ALL --cap-add CHOWN",
        "grep CapEff /proc/self/status | grep -o '[0-9a-f]*$'",
        Prints("0000000000000001"),
    ),
    all("--seccomp default", "grep Seccomp: /proc/self/status | tr -d '\\t'", Prints("Seccomp:2")),
    all("--seccomp unconfined", "grep Seccomp: /proc/self/status | tr -d '\\t'", Prints("Seccomp:0")),
    all("--no-new-privileges", "grep NoNewPrivs /proc/self/status | tr -d '\\t'", Prints("NoNewPrivs:1")),
    all("--security-opt no-new-privileges", "grep NoNewPrivs /proc/self/status | tr -d '\\t'", Prints("NoNewPrivs:1")),
    all("--security-opt seccomp=unconfined", "grep Seccomp: /proc/self/status | tr -d '\\t'", Prints("Seccomp:0")),
    all("--security-opt unmask=ALL", "grep -c ' /proc/kcore ' /proc/self/mountinfo; true", Prints("0")),
    rooted(
        "--privileged",
        "grep Seccomp: /proc/self/status | tr -d '\\t'",
        Prints("Seccomp:0"),
        Where("Seccomp:0", "cannot be opened by your user"),
    ),
];

const THEMES: &[(&str, &[Row])] = &[
    ("Life", LIFE),
    ("Program", PROGRAM),
    ("Filesystem", FILESYSTEM),
    ("Devices", DEVICES),
    ("Namespaces", NAMESPACES),
    ("Kernel", KERNEL),
    ("Scheduling", SCHEDULING),
    ("Limits", LIMITS),
    ("Security", SECURITY),
];

/// Options that change what is printed, not what a container is, and those of every ctr binary.
const ELSEWHERE: &[&str] = &["--help", "--version", "--root", "--quiet"];

fn check(rows: &[Row]) {
    let found: Vec<String> = MODES.iter().flat_map(|mode| Stage::new(*mode).differences(rows)).collect();
    assert!(found.is_empty(), "{} differ:\n{}", found.len(), found.join("\n"));
}

macro_rules! themes {
    ($($test:ident: $rows:ident),+ $(,)?) => { $(
        #[test]
        fn $test() {
            need!(root, "setpriv", "useradd", "newuidmap");
            check($rows);
        }
    )+ };
}

themes! { life: LIFE, program: PROGRAM, filesystem: FILESYSTEM, devices: DEVICES, namespaces: NAMESPACES, kernel: KERNEL, scheduling: SCHEDULING, limits: LIMITS, security: SECURITY }

#[test]
fn every_option_has_a_row() {
    let help = Cmd::new(ctr_tests::bins::binary("ctr-run")).arg("--help").ok();
    let options = help.lines().map(str::trim).filter(|line| line.starts_with('-'));
    let options = options.filter_map(|line| line.split([' ', ',']).find(|word| word.starts_with("--")));
    let rows = || THEMES.iter().flat_map(|(_, rows)| rows.iter());
    let missing: Vec<&str> = options
        .filter(|option| !ELSEWHERE.contains(option) && !rows().any(|row| matrix::covers(row, option)))
        .collect();
    assert!(missing.is_empty(), "no row in tests/tests/matrix.rs for: {missing:?}");
}

const HEAD: &str = "# Options of ctr-run, by who starts

Each line was run for real in all four columns, and a program in the container showed that the option holds, or the refusal was read (`tests/tests/matrix.rs`; this page is made of that
table: `CTR_BLESS=1 cargo nextest run -p ctr-tests --test matrix`). *refused* is exit code 125 with that text in the message: nothing is started with less than what was asked for.

Columns: **root** with the default, a user namespace of the container's own; **root, host ids** with `--userns=host`; a **user** with lines in /etc/subuid and /etc/subgid; a **user
without** them, who has a single id.
";

#[test]
fn the_page_is_that_of_the_table() {
    let columns = "| option | root | root, host ids | user | user without ids |\n|---|---|---|---|---|\n";
    let parts = THEMES.iter().map(|(theme, rows)| format!("\n## {theme}\n{columns}{}", matrix::markdown(rows)));
    let text = format!("{HEAD}{}", parts.collect::<String>());
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/option-matrix.md");
    if std::env::var_os("CTR_BLESS").is_some_and(|set| set == "1") {
        fs::write(&path, &text).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == text,
        "docs/option-matrix.md is stale: CTR_BLESS=1 cargo nextest run -p ctr-tests --test matrix"
    );
}
