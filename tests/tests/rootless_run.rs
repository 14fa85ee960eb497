//! `ctr-run` and what goes with it as an ordinary user, with and without subordinate ids.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use ctr_tests::private_host::{self, cover};
use ctr_tests::scratch::{Cmd, Done, Root, until};
use ctr_tests::users::{self, Ordinary};
use ctr_tests::{bins, images, leaks, need, probe, store_check, tree};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A user, a root with busybox and the probe that belongs to the user.
struct Home {
    user: Ordinary,
    root: Root,
}

impl Home {
    fn new(user: Ordinary) -> Self {
        let root = user.root();
        let layer = ctr_tests::tarball::Tar::new().file("probe", 0o755, fs::read(probe::program()).unwrap()).finish();
        images::busybox_with(&root.file("layout"), &[layer]);
        Cmd::new("chmod").args(["-R", "a+rX"]).arg(root.file("layout")).ok();
        let home = Self { user, root };
        let source = format!("oci:{}:latest", home.root.file("layout").display());
        home.ctr("fetch").args(["-q", &source, "--name", "busybox"]).ok();
        home
    }

    fn ctr(&self, name: &str) -> Cmd {
        self.user.ctr(&self.root, name)
    }

    fn run(&self, options: &[&str], command: &[&str]) -> Done {
        let args = ["--wait", "--rm", "--log=inherit"];
        let command = command.iter().copied();
        self.ctr("run").args(args).args(options.iter().copied()).arg("busybox").args(command).run()
    }

    #[track_caller]
    fn inside(&self, options: &[&str], script: &str) -> String {
        self.run(options, &["sh", "-c", script]).ok()
    }

    /// A directory of the user.
    fn volume(&self) -> PathBuf {
        let volume = self.root.file("volume");
        fs::create_dir(&volume).unwrap();
        chown(&volume, Some(self.user.uid), Some(self.user.gid)).unwrap();
        volume
    }

    fn pid_of(&self, id: &str) -> i32 {
        let record = self.root.path().join("containers/run").join(id).join("process");
        let record: serde_json::Value = serde_json::from_str(&fs::read_to_string(record).unwrap()).unwrap();
        record["pid"].as_i64().unwrap() as i32
    }
}

fn both(test: impl Fn(&Home, bool)) {
    for (user, ranges) in [(users::with_range(), true), (users::without_range(), false)] {
        test(&Home::new(user), ranges);
    }
}

#[test]
fn options_work_as_for_root() {
    // spec: EXEC-122, EXEC-123
    need!(root, "setpriv", "useradd", "newuidmap", "musl-gcc");
    both(|home, ranges| {
        assert_eq!(home.run(&[], &["sh", "-c", "exit 7"]).code, 7);
        assert_eq!(home.run(&[], &["/no/such"]).code, 127);
        assert_eq!(home.run(&[], &["/etc/not-executable"]).code, 126);
        assert_eq!(home.run(&[], &["sh", "-c", "kill -TERM $$"]).code, 143);
        assert_eq!(home.inside(&[], "id -u; id -g; stat -c %u:%g /etc/hosts /; umask"), "0\n0\n0:0\n0:0\n0022");
        let maps = home.inside(&[], "cat /proc/self/uid_map /proc/self/gid_map");
        let maps: Vec<&str> = maps.split_whitespace().collect();
        assert_eq!(maps[..3], ["0", "0", "1"], "{maps:?}");
        assert_eq!(maps.len(), if ranges { 12 } else { 6 }, "{maps:?}");
        let done = home.run(&["--user", "bob"], &["id", "-u"]);
        if ranges {
            assert_eq!(done.ok(), "1000");
            assert_eq!(home.inside(&["--user", "bob"], "id -G"), "1001 10 50");
        } else {
            assert_eq!(done.code, 125, "{done}");
            done.says("user 1000").says("/etc/subuid");
        }
        assert_eq!(home.inside(&["--network", "host"], "readlink /proc/self/ns/net"), own_net());
        assert_ne!(home.inside(&[], "readlink /proc/self/ns/net"), own_net());
        let script = "(: > /x) 2>/dev/null && echo wrote; touch /t/x && stat -c %u /t/x";
        assert_eq!(home.inside(&["--read-only", "--tmpfs", "/t"], script), "0");
        assert_eq!(home.inside(&["--no-init"], "echo $$"), "1");
        let caps = home.inside(&["--cap-add", "NET_ADMIN"], "grep CapEff /proc/self/status");
        assert!(u64::from_str_radix(caps.split_whitespace().nth(1).unwrap(), 16).unwrap() & 1 << 12 != 0, "{caps}");
        home.inside(&["--cap-add", "NET_ADMIN"], "ip link set lo down");
        for device in ["null", "zero", "full", "random", "urandom", "tty"] {
            assert_eq!(home.inside(&[], &format!("[ -c /dev/{device} ] && echo yes")), "yes", "{device}");
        }
        home.inside(&[], "echo x > /dev/null && head -c 3 /dev/zero | wc -c");
        assert_eq!(
            home.inside(&["--env", "A=b", "--workdir", "/tmp", "--hostname", "h"], "echo $A $PWD $(hostname)"),
            "b /tmp h"
        );
    });
}

fn own_net() -> String {
    fs::read_link("/proc/self/ns/net").unwrap().display().to_string()
}

#[test]
fn volumes_belong_to_the_user() {
    // spec: EXEC-123
    need!(root, "setpriv", "useradd", "newuidmap", "musl-gcc");
    both(|home, ranges| {
        let volume = home.volume();
        let mount = format!("{}:/v", volume.display());
        assert_eq!(home.inside(&["-v", &mount], "stat -c %u:%g /v; echo x > /v/f; chmod 600 /v/f; cat /v/f"), "0:0\nx");
        let facts = fs::metadata(volume.join("f")).unwrap();
        assert_eq!((facts.uid(), facts.gid()), (home.user.uid, home.user.gid));
        if ranges {
            home.inside(&["-v", &mount], "touch /v/bobs; chown bob:bob /v/bobs");
            let facts = fs::metadata(volume.join("bobs")).unwrap();
            assert!(facts.uid() > 65536 && facts.gid() > 65536, "{facts:?}");
            assert_eq!(home.inside(&["-v", &mount, "--user", "bob"], "stat -c %u:%g /v/bobs"), "1000:1001");
        }
        assert_eq!(home.run(&["-v", &format!("{mount}:ro")], &["touch", "/v/no"]).code, 1);
        // Files of others are nobody's inside, and closed as they are to the user.
        let closed = home.root.write("volume/closed", "secret");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(
            home.inside(&["-v", &mount], "stat -c %u /v/closed; cat /v/closed 2>/dev/null || echo closed"),
            "65534\nclosed"
        );
        let done = home.run(&["-v", "/root:/v"], &["ls", "/v"]);
        assert_ne!(done.code, 0, "{done}");
    });
}

#[test]
fn a_whole_life() {
    // spec: EXEC-123, LIFE-60, LIFE-70
    need!(root, "setpriv", "useradd", "newuidmap", "musl-gcc");
    both(|home, _| {
        let script =
            "echo hello; echo oops >&2; mkdir /d; chown 0:0 /d; chmod 0 /d; trap 'exit 3' TERM; sleep 600 & wait";
        let id = home.ctr("run").args(["--name", "a", "busybox", "sh", "-c", script]).ok();
        until("it has written", || home.ctr("logs").arg("a").ok().contains("oops"));
        assert_eq!(home.ctr("logs").args(["--stdout", "a"]).ok(), "hello");
        let status = home.ctr("ps").args(["--format", "json", "a"]).ok();
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        assert_eq!((&status[0]["state"], &status[0]["id"]), (&"running".into(), &id.clone().into()));
        assert_eq!(status[0]["isolation"]["userns"], "same");
        assert!(home.ctr("ps").args(["--isolation"]).ok().contains("same 0:0:1"));
        let init = home.pid_of(&id);
        let facts = fs::metadata(format!("/proc/{init}/task/{init}/comm")).unwrap();
        assert!(facts.uid() == home.user.uid || facts.uid() == 0, "{facts:?}");
        assert_eq!(home.ctr("stop").arg("a").ok(), id);
        assert_eq!(leaks::state_and_parent(init).filter(|(state, _)| *state != 'Z'), None);
        let status: serde_json::Value =
            serde_json::from_str(&home.ctr("ps").args(["-a", "--format", "json"]).ok()).unwrap();
        assert_eq!((&status[0]["state"], &status[0]["exit"]["code"]), (&"exited".into(), &3.into()));
        // One that is killed with its init, and one that removes itself.
        let id = home.ctr("run").args(["busybox", "sleep", "600"]).ok();
        kill(Pid::from_raw(home.pid_of(&id)), Signal::SIGKILL).unwrap();
        home.ctr("run").args(["--rm", "busybox", "true"]).ok();
        until("all have ended", || home.ctr("ps").arg("-q").ok().is_empty());
        home.ctr("image").args(["rm", "busybox"]).ok();
        home.ctr("gc").args(["--grace", "0"]).ok();
        assert_eq!(store_check::remains(&home.root.path()), Vec::<String>::new());
        assert_eq!(leaks::outside(&home.root.path(), &[id]), Vec::<String>::new());
    });
}

/// A fresh user: a home and nothing else. The image is a file, so that `ctr-run` itself brings it in.
#[test]
fn no_setup_is_needed() {
    // spec: EXEC-123, CLI-34
    need!(root, "setpriv", "useradd", "newuidmap", "musl-gcc");
    both(|home, _| {
        let place = home.volume();
        let archive = place.join("app.aci");
        home.ctr("image").args(["export", "busybox"]).arg(&archive).ok();
        let mut command = Cmd::new("env").args(["-i", &format!("HOME={}", place.display())]);
        command = command.arg(home.user.bin_dir().join("ctr-run")).args(["-q", "--wait", "--rm"]);
        let done =
            command.arg(&archive).args(["sh", "-c", "id -u; exit 9"]).as_user(home.user.uid, home.user.gid).run();
        assert_eq!((done.code, done.stdout.as_str()), (9, "0\n"), "{done}");
        assert!(place.join(".local/share/ctr/store").is_dir());
        let ours = tree::list(&place.join(".local/share/ctr/containers"));
        assert!(ours.keys().all(|name| !name.starts_with("run/") && !name.starts_with("garbage/")), "{ours:?}");
        Cmd::new("rm").arg("-rf").arg(&place).ok();
    });
}

#[test]
fn what_an_ordinary_user_cannot_do_is_refused_by_name() {
    // spec: EXEC-122
    need!(root, "setpriv", "useradd", "newuidmap", "musl-gcc");
    both(|home, _| {
        for (options, what) in [
            (&["--userns=keep-id"][..], "--userns=keep-id"),
            (&["--userns=keep-id:uid=1000"], "--userns=keep-id"),
            (&["--userns=host"], "--userns=host"),
            (&["--userns=0:100000:65536"], "a map of ids"),
            (&["--uidmap", "0:1:1"], "a map of ids"),
            (&["--gidmap", "0:1:1"], "a map of ids"),
        ] {
            let done = home.run(options, &["true"]);
            assert_eq!(done.code, 125, "{options:?}: {done}");
            done.says(what).says("root on the host").says("hint");
        }
        let explained = home.ctr("run").args(["--dry-run", "--explain", "busybox", "true"]).ok();
        assert!(explained.contains("user ids    same"), "{explained}");
        assert_eq!(home.root.containers("run"), Vec::<String>::new());
        assert_eq!(home.root.containers("embryo"), Vec::<String>::new());
    });
}

/// `newuidmap` is not searched on `PATH`: it is hidden in a mount namespace of the test's own.
#[test]
fn without_the_programs_for_ranges_there_is_one_id_and_it_is_told() {
    // spec: EXEC-123
    need!(root, "setpriv", "useradd", "newuidmap", "musl-gcc");
    let user = users::with_range();
    let root = Root::new();
    let lines = |file: &str| fs::read_to_string(file).unwrap();
    private_host::enter(&root, &lines("/etc/subuid"), &lines("/etc/subgid"));
    // A file that may not be executed: found, and of no use. And none at all: covered by a directory.
    let broken = root.write("broken", "");
    for dir in ["/usr/bin", "/bin"] {
        let program = format!("{dir}/newuidmap");
        if Path::new(&program).exists() && fs::canonicalize(&program).unwrap() == Path::new(&program) {
            cover(&broken, &program);
        }
    }
    let home = Home::new(user);
    let seen = home.inside(&[], "cat /proc/self/uid_map; id -u; touch /x && stat -c %u /x");
    assert_eq!(seen.split_whitespace().collect::<Vec<_>>(), ["0", "0", "1", "0", "0"]);
    let done = home.ctr("run").args(["--explain", "--wait", "--rm", "busybox", "true"]).run();
    assert_eq!(done.code, 0, "{done}");
    done.says("one id only, the caller's own, because").says("newuidmap");
}

#[test]
fn a_host_that_forbids_user_namespaces_is_told() {
    // spec: EXEC-110
    need!(root, "setpriv", "useradd", "unshare", "musl-gcc");
    // The limit of a user namespace of the test's own; the host's is left alone.
    let script = "unshare -U sleep 60 & p=$!; while [ $(readlink /proc/$p/ns/user) = $(readlink /proc/self/ns/user) ]; do :; done
        echo 0 0 4000000 > /proc/$p/uid_map && echo 0 0 4000000 > /proc/$p/gid_map &&
        nsenter -U -t $p -S 0 -G 0 sh -c 'echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"' sh \"$@\"; c=$?; kill $p; exit $c";
    for user in [users::with_range(), users::without_range()] {
        let home = Home::new(user);
        let done = home.ctr("run").args(["--wait", "--rm", "busybox", "true"]).under(["sh", "-c", script, "sh"]).run();
        assert_eq!(done.code, 125, "{done}");
        done.says("user namespace").says("max_user_namespaces");
    }
    // Root of another user namespace, with a store of such.
    let root = Root::new();
    root.ctr("fetch").args(["-q", &images::busybox(), "--name", "busybox"]).under(["unshare", "-Ur"]).ok();
    let done = root.ctr("run").args(["--wait", "--rm", "busybox", "true"]).under(["sh", "-c", script, "sh"]).run();
    assert_eq!(done.code, 125, "{done}");
    done.says("user namespace").says("max_user_namespaces");
    assert_eq!(root.containers("embryo"), Vec::<String>::new());
}

// ATTACK: CVE-2019-5736 without root: the user's own ctr-run, which the container's root owns too, is written through /proc/PID/exe, by /proc/self/exe as entrypoint and by init => it runs from where nobody can write it
#[test]
fn the_users_own_binary_cannot_be_written() {
    // spec: EXEC-124, LIFE-41
    need!(root, "setpriv", "useradd", "newuidmap", "musl-gcc");
    both(|home, _| {
        let bin = home.volume();
        for name in ["ctr-run", "ctr-fetch", "ctr-exec"] {
            fs::copy(bins::binary(name), bin.join(name)).unwrap();
            chown(bin.join(name), Some(home.user.uid), Some(home.user.gid)).unwrap();
        }
        let before = fs::read(bin.join("ctr-run")).unwrap();
        let own = |options: &[&str], command: &[&str]| {
            let program = home.user.command(&bin.join("ctr-run").display().to_string());
            let args = ["--wait", "--rm", "--log=inherit"];
            let all = program.env("CTR_ROOT", home.root.path()).args(args).args(options.iter().copied());
            all.arg("busybox").args(command.iter().copied()).run()
        };
        let script = "for f in /proc/1/exe /proc/self/exe /proc/*/exe; do [ $f = /proc/self/exe ] || (: >> $f) 2>/dev/null; \
            (echo evil > $f) 2>/dev/null && echo wrote $f; cp /bin/true $f 2>/dev/null; done; readlink /proc/1/exe; true";
        for options in
            [&[][..], &["--cap-add", "SYS_PTRACE"], &["--cap-add", "ALL", "--seccomp", "unconfined"], &["--no-init"]]
        {
            let done = own(options, &["sh", "-c", script]);
            assert!(!done.stdout.contains("wrote /proc/1") && !done.stdout.contains("ctr-run"), "{options:?}: {done}");
            for entry in ["/proc/self/exe", "/proc/1/exe", "/proc/self/fd/3", "/proc/self/fd/5"] {
                let done = own(&[options, &["--entrypoint", entry]].concat(), &["--version"]);
                println!("{options:?} {entry}: {done}");
                assert!(fs::read(bin.join("ctr-run")).unwrap() == before, "{options:?} {entry}");
            }
        }
        assert!(fs::read(bin.join("ctr-run")).unwrap() == before);
    });
}

// ATTACK: processes of the same user: signals, ptrace, /proc, by a rootless container with every capability => not seen, not reached
#[test]
fn processes_of_the_same_user_are_out_of_reach() {
    // spec: EXEC-124
    need!(root, "setpriv", "useradd", "newuidmap", "musl-gcc");
    both(|home, _| {
        let victim = home.user.command("sleep").arg("600").start();
        until("it runs", || {
            fs::read_to_string(format!("/proc/{}/comm", victim.pid())).unwrap_or_default() == "sleep\n"
        });
        let pid = victim.pid().to_string();
        for options in [&[][..], &["--cap-add", "ALL", "--seccomp", "unconfined"]] {
            let found = home.run(options, &["/probe", "trace", &pid]);
            assert_eq!(found.stdout, "", "{options:?}: {found}");
            home.run(options, &["sh", "-c", &format!("/probe signals {pid}; kill -9 -1")]);
            assert_eq!(
                home.inside(options, &format!("[ -e /proc/{pid}/status ] && grep -c sleep /proc/{pid}/status; true")),
                ""
            );
            // Init has the user's id outside, and memory that is the user's, not the container's.
            let found = home.run(options, &["/probe", "trace", "1"]);
            let reached: Vec<&str> = found.stdout.lines().filter(|line| !line.contains("namespace")).collect();
            assert_eq!(reached, Vec::<&str>::new(), "{options:?}");
        }
        assert!(leaks::state_and_parent(victim.pid()).is_some_and(|(state, _)| state != 'Z'), "the victim lives");
        kill(Pid::from_raw(victim.pid()), Signal::SIGKILL).unwrap();
        victim.wait();
    });
}

// ATTACK: the user's secrets: keys in session and user keyrings, files of the home directory, by a rootless container => no key, no file
#[test]
fn the_users_secrets_are_out_of_reach() {
    // spec: EXEC-5
    need!(root, "setpriv", "useradd", "newuidmap", "musl-gcc");
    both(|home, _| {
        let name = format!("ctr-test-{}-{}", home.user.uid, std::process::id());
        let binary = home.user.bin_dir().join("ctr-run").display().to_string();
        let copy = home.volume().join("probe");
        fs::copy(probe::program(), &copy).unwrap();
        for filter in [&[][..], &["--seccomp", "unconfined"]] {
            let run = |words: &[&str]| {
                let command = home.user.command(&copy.display().to_string()).env("CTR_ROOT", home.root.path());
                let command = command.args(["addkey", &name, "swordfish", &binary, "--wait", "--rm", "--log=inherit"]);
                command.args(filter.iter().copied()).args(["busybox", "/probe"]).args(words.iter().copied()).run()
            };
            let done = run(&["keys", &name]);
            assert_eq!((done.code, done.stdout.as_str()), (0, ""), "{filter:?}: {done}");
            let keys = fs::read_to_string("/proc/keys").unwrap_or_default();
            for line in keys.lines().filter(|line| line.contains(&name)) {
                let number = i64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap().to_string();
                let done = run(&["readkey", &number]);
                assert_eq!((done.code, done.stdout.as_str()), (0, ""), "{filter:?} {line}: {done}");
            }
        }
        let path = format!("/home/{}/secret-{}", home.user.name, std::process::id());
        fs::write(&path, "secret").unwrap();
        chown(&path, Some(home.user.uid), None).unwrap();
        let script = format!(
            "cat {path} /proc/1/root{path} /proc/1/cwd{path} /proc/self/root/../..{path} 2>/dev/null; env | grep /home; true"
        );
        let seen = home.inside(&["--cap-add", "ALL", "--seccomp", "unconfined"], &script);
        fs::remove_file(&path).unwrap();
        assert_eq!(seen, "");
    });
}
