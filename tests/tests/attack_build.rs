//! Hostile contexts, archives, images and programs under `ctr-build`: each attack is tried.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ctr_tests::build::Builder;
use ctr_tests::need;
use ctr_tests::scratch::{Cmd, Done, names};

fn context(builder: &Builder, dockerfile: &str) -> PathBuf {
    builder.context(&[("Dockerfile", dockerfile)])
}

fn build(builder: &Builder, context: &Path) -> Done {
    builder.ctr("build").args(["--pull=never", "--tag", "made"]).arg(context).run()
}

/// What a program of the image prints.
fn inside(builder: &Builder, script: &str) -> String {
    builder.ctr("run").args(["--wait", "--rm", "made", "sh", "-c", script]).ok()
}

// ATTACK: CVE-2024-1753, CVE-2024-9675: sources of COPY and of a RUN's mounts lead out by links and `..` => refused, or what they mean inside
#[test]
fn no_link_of_a_context_leads_out_of_it() {
    // spec: BUILD-35 BUILD-40
    need!(root);
    let builder = Builder::new();
    let outside = builder.root.write("outside", "secret of the host\n");
    let dir = context(&builder, "FROM base/busybox:1\nCOPY . /c\n");
    symlink(&outside, dir.join("absolute")).unwrap();
    symlink("../outside", dir.join("relative")).unwrap();
    symlink("..", dir.join("up")).unwrap();
    assert_eq!(build(&builder, &dir).code, 0);
    // They are links still, which lead nowhere in the image.
    assert_eq!(
        inside(&builder, "cat /c/absolute /c/relative /c/up/outside 2>/dev/null; ls -l /c | grep -c -- '->'"),
        "3"
    );
    for source in ["absolute", "relative", "up/outside", "../outside", "./../../outside", "up/../outside"] {
        fs::write(dir.join("Dockerfile"), format!("FROM base/busybox:1\nCOPY {source} /x\n")).unwrap();
        let done = build(&builder, &dir);
        assert!(done.code == 1 && done.stderr.contains("the context has no"), "{source}: {done}");
        let mount = format!("FROM base/busybox:1\nRUN --mount=type=bind,source={source},target=/m true\n");
        fs::write(dir.join("Dockerfile"), mount).unwrap();
        assert_eq!(build(&builder, &dir).code, 1, "{source}");
    }
    // Links of another stage mean what they mean in that stage, ids of caches are no paths.
    let text = "FROM base/busybox:1 AS evil
RUN ln -s / /root-of-all; ln -s ../../../.. /up
FROM base/busybox:1
RUN --mount=type=bind,from=evil,source=/root-of-all,target=/a --mount=type=bind,from=evil,source=/up,target=/b \\
    --mount=type=cache,id=../../../..,target=/c test -L /a/up && test -L /b/up && ls -a /c > /seen
";
    fs::write(dir.join("Dockerfile"), text).unwrap();
    let done = build(&builder, &dir);
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(inside(&builder, "cat /seen"), ".\n..");
}

// ATTACK: CVE-2024-23652, CVE-2024-9407: targets of a RUN's mounts lie behind links of the image => mounted inside, nothing of the host is touched
#[test]
fn mounts_of_a_run_stay_in_an_image_whose_directories_are_links() {
    // spec: BUILD-56
    need!(root);
    let builder = Builder::new();
    let outside = builder.root.file("outside");
    fs::create_dir(&outside).unwrap();
    let host = outside.display();
    let secret = builder.root.write("secret", "0123456789abcdef");
    let text = "FROM scratch
COPY --from=base/busybox:1 /bin /bin
COPY tree /
RUN --mount=type=secret,id=s --mount=type=cache,target=/etc/cache cat /run/secrets/s > /dev/null; echo x > /etc/cache/x
RUN --mount=type=tmpfs,target=/run/t echo x > /run/t/x; test -e /etc/hosts
";
    let dir = context(&builder, text);
    fs::create_dir(dir.join("tree")).unwrap();
    symlink(&outside, dir.join("tree/etc")).unwrap();
    symlink(format!("../../../../../..{host}"), dir.join("tree/run")).unwrap();
    let given = format!("id=s,src={}", secret.display());
    let attempt = || builder.ctr("build").args(["--pull=never", "--tag", "made", "--secret", &given]).arg(&dir).run();
    // Nothing of what was mounted is in the image.
    let nothing_of_mounts = || {
        let tar = builder.root.file("made.tar");
        let output = format!("type=tar,dest={}", tar.display());
        builder.ctr("build").args(["--pull=never", "--secret", &given, "--output", &output]).arg(&dir).ok();
        let listed = Cmd::new("tar").arg("tf").arg(&tar).ok();
        let below: Vec<&str> =
            listed.lines().filter(|line| line.contains("outside/") && !line.ends_with("outside/")).collect();
        assert_eq!(below, Vec::<&str>::new());
    };
    // Where the links lead nowhere in the image there is a place of the image for the while.
    let done = attempt();
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(names(&outside), Vec::<String>::new());
    nothing_of_mounts();
    // The same path in the image is the image's.
    fs::create_dir_all(dir.join("tree").join(outside.strip_prefix("/").unwrap())).unwrap();
    let done = attempt();
    assert_eq!(done.code, 0, "{done}");
    assert_eq!(names(&outside), Vec::<String>::new());
    nothing_of_mounts();
}

// ATTACK: build escape: a RUN leaves processes behind and signals those of others => they end with it, it sees its own alone
#[test]
fn what_a_command_leaves_running_ends_with_it_and_it_reaches_nobody_else() {
    // spec: BUILD-55
    need!(root);
    let builder = Builder::new();
    let mark = format!("3{:06}", std::process::id());
    let mut other = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let script = format!(
        "(sleep {mark} &) ; (setsid sleep {mark} &) ; ls /proc | grep -c '^[0-9]*$' > /seen; kill -9 {} 2>/dev/null; echo b > /proc/sysrq-trigger; mount -t tmpfs none /mnt; cat /proc/kcore | head -c 1; echo 1 > /proc/sys/vm/drop_caches; true",
        other.id()
    );
    let dir = context(&builder, &format!("FROM base/busybox:1\nRUN {script}\n"));
    let done = build(&builder, &dir);
    assert_eq!(done.code, 0, "{done}");
    for refused in ["sysrq-trigger", "mount: ", "drop_caches"] {
        assert!(done.stderr.contains(refused), "{refused}: {done}");
    }
    assert!(other.try_wait().unwrap().is_none());
    other.kill().unwrap();
    other.wait().unwrap();
    let until = Instant::now() + Duration::from_secs(5);
    let left = || Cmd::new("pgrep").args(["-f", &format!("sleep {mark}")]).run().stdout;
    while !left().is_empty() {
        assert!(Instant::now() < until, "{}", left());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(inside(&builder, "cat /seen").parse::<u32>().unwrap() < 10);
}

// ATTACK: terminal escape: a RUN prints control sequences and a line of 30 MB => shown, not done; memory is bounded
#[test]
fn what_programs_print_does_not_reach_the_terminal_as_it_is() {
    // spec: BUILD-112
    need!(root);
    let builder = Builder::new();
    let text = "FROM base/busybox:1\nRUN printf '\\033]0;title\\007\\033[2J\\n'; head -c 30000000 /dev/zero | tr '\\0' x; printf '\\033[31m' >&2; exit 3\n";
    let dir = context(&builder, text);
    let done = build(&builder, &dir);
    assert_eq!(done.code, 1);
    assert!(!done.stderr.contains('\u{1b}') && !done.stderr.contains('\u{7}'));
    assert!(done.stderr.contains("status 3"));
}

// ATTACK: zip slip: ADD of archives through links, and pipes in a context => refused, or kept inside; nothing hangs
#[test]
fn archives_and_pipes_do_no_harm() {
    // spec: BUILD-40 BUILD-48
    need!(root, "python3");
    let builder = Builder::new();
    let dir = context(&builder, "FROM base/busybox:1\nADD evil.tar /x/\n");
    let make = "import tarfile,io
t=tarfile.open('evil.tar','w')
def add(name, **kw):
    i=tarfile.TarInfo(name)
    for k,v in kw.items(): setattr(i,k,v)
    i.size=4 if i.type==tarfile.REGTYPE else 0
    t.addfile(i, io.BytesIO(b'evil') if i.size else None)
add('link', type=tarfile.SYMTYPE, linkname='OUT')
add('link/through')
t.close()
";
    let outside = builder.root.file("outside");
    fs::create_dir(&outside).unwrap();
    Cmd::new("python3").args(["-c", &make.replace("OUT", &outside.display().to_string())]).dir(&dir).ok();
    let done = build(&builder, &dir);
    assert!(done.code == 0 || done.stderr.contains("evil.tar"), "{done}");
    assert_eq!(names(&outside), Vec::<String>::new());
    // A pipe that nobody writes to is copied as one, and not waited for.
    Cmd::new("mkfifo").arg(dir.join("pipe")).ok();
    fs::write(dir.join("Dockerfile"), "FROM base/busybox:1\nCOPY pipe /pipe\nADD pipe /added\n").unwrap();
    let begun = Instant::now();
    let done = build(&builder, &dir);
    assert!(begun.elapsed() < Duration::from_secs(20), "{done}");
    fs::write(dir.join("Dockerfile"), vec![b'#'; (1 << 20) + 1]).unwrap();
    assert_eq!(build(&builder, &dir).code, 1);
}
