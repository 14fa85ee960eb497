//! A build that is killed, that fails, that has secrets; and what it leaves.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ctr_tests::build::Builder;
use ctr_tests::leaks::with_word;
use ctr_tests::scratch::{Cmd, names};
use ctr_tests::{need, schema, store_check, users};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn build(builder: &Builder, context: &Path) -> Cmd {
    builder.ctr("build").args(["--pull=never", "--quiet", "--tag", "made"]).arg(context)
}

/// Files below `dir` that have these bytes in them.
fn with_bytes(dir: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for name in names(dir) {
        let path = dir.join(name);
        let facts = fs::symlink_metadata(&path).unwrap();
        if facts.is_dir() {
            found.extend(with_bytes(&path, bytes));
        } else if facts.is_file() && fs::read(&path).unwrap().windows(bytes.len()).any(|window| window == bytes) {
            found.push(path);
        }
    }
    found
}

const STAGES: &str = "FROM base/busybox:1 AS one
COPY src /src
RUN cat /src/* > /all; sleep 0.02 MARK
FROM base/busybox:1 AS two
RUN sleep 0.03 MARK; echo two > /two
FROM base/busybox:1
COPY --from=one /all /all
COPY --from=two /two /two
RUN cat /all /two > /both; rm /two
";

/// Kills builds at 50 moments of their time, and goes on with each.
fn killed(seed: u32) {
    need!(root);
    let builder = Builder::new();
    let mark = format!("7{:07}", std::process::id());
    let dockerfile = STAGES.replace("MARK", &format!("; : {mark}"));
    let context = builder.context(&[("Dockerfile", &dockerfile), ("src/a", "a\n"), ("src/b", "b\n")]);
    let digest = build(&builder, &context).ok();
    let forget = || {
        // As on a machine that never saw it.
        let _ = fs::remove_dir_all(builder.root.path().join("build"));
    };
    forget();
    let begun = Instant::now();
    build(&builder, &context).ok();
    let mut whole = begun.elapsed();
    let mut random = seed;
    let (mut round, mut cut) = (0, 0);
    while cut < 50 {
        round += 1;
        assert!(round <= 250, "only {cut} of {round} builds were cut");
        // xorshift: where in a build's time the moments are is the same each time, what they meet is not.
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        let moment = whole.mul_f64(f64::from(random % 1000) / 1000.0);
        forget();
        let running = build(&builder, &context).start();
        std::thread::sleep(moment);
        let _ = kill(Pid::from_raw(running.pid()), Signal::SIGKILL);
        if running.wait().code == 0 {
            // It was done before: other work slowed the build that was measured.
            whole = moment;
        } else {
            cut += 1;
            whole = whole.mul_f64(1.02);
        }
        let until = Instant::now() + Duration::from_secs(5);
        while !with_word(&mark).is_empty() {
            assert!(Instant::now() < until, "round {round}: {:?}", with_word(&mark));
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(build(&builder, &context).ok(), digest, "round {round}, killed after {moment:?}");
    }
    assert_eq!(store_check::complaints(&builder.root.store()), Vec::<String>::new());
    builder.ctr("gc").args(["--grace", "0"]).ok();
    assert_eq!(names(&builder.root.store().join("tmp")), Vec::<String>::new());
}

// spec: BUILD-55 BUILD-90 BUILD-113
#[test]
fn killed_at_fifty_moments_a_build_goes_on_1() {
    killed(0x1234_5678);
}

#[test]
fn killed_at_fifty_moments_a_build_goes_on_2() {
    killed(0x2345_6789);
}

#[test]
fn killed_at_fifty_moments_a_build_goes_on_3() {
    killed(0x3456_789a);
}

#[test]
fn killed_at_fifty_moments_a_build_goes_on_4() {
    killed(0x4567_89ab);
}

// spec: BUILD-60 BUILD-90 BUILD-113
#[test]
fn a_build_that_fails_changes_no_name_and_is_gone_on_with() {
    need!(root);
    let builder = Builder::new();
    let dir = builder.context(&[("Dockerfile", "FROM base/busybox:1\nRUN echo 1 > /a\n")]);
    let first = build(&builder, &dir).ok();
    let failing = "FROM base/busybox:1\nRUN echo 2 > /a\nRUN echo said; echo more >&2; exit 7\n";
    fs::write(dir.join("Dockerfile"), failing).unwrap();
    let failed = build(&builder, &dir).fails(1);
    for words in ["Dockerfile:3: the command ended with status 7", "3 | RUN echo said", "> said", "> more"] {
        assert!(failed.stderr.contains(words), "{words}: {}", failed.stderr);
    }
    let refs = store_check::refs(&builder.root.store());
    assert!(refs.values().any(|digest| *digest == first.trim()), "{refs:?}");
    fs::write(dir.join("Dockerfile"), failing.replace("exit 7", "true")).unwrap();
    let json = builder.ctr("build").args(["--pull=never", "--format=json"]).arg(&dir).ok();
    schema::check_text("built.json", &json);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["steps"]["cached"], &json["steps"]["run"]), (&1.into(), &1.into()));
}

// spec: BUILD-58 BUILD-59 BUILD-86
#[test]
fn a_secret_is_nowhere() {
    need!(root);
    let builder = Builder::new();
    let secret = "correct-horse-battery";
    let file = builder.root.write("secret", secret);
    let given = format!("id=token,src={}", file.display());
    let uses = "FROM base/busybox:1\nRUN --mount=type=secret,id=token,env=TOKEN --mount=type=secret,id=token cat /run/secrets/token | wc -c > /size; test \"$TOKEN\" = \"$(cat /run/secrets/token)\"\n";
    let dir = builder.context(&[("Dockerfile", uses)]);
    build(&builder, &dir).args(["--secret", &given]).ok();
    fs::remove_file(&file).unwrap();
    assert_eq!(with_bytes(&builder.root.path(), secret.as_bytes()), Vec::<PathBuf>::new());
    fs::write(&file, secret).unwrap();
    let refs = store_check::refs(&builder.root.store());
    for leak in
        ["cat /run/secrets/token > /leak", "base64 /run/secrets/token > /leak", "ln -s $(cat /run/secrets/token) /leak"]
    {
        let text = format!("FROM base/busybox:1\nRUN --mount=type=secret,id=token {leak}\nRUN true\n");
        fs::write(dir.join("Dockerfile"), text).unwrap();
        let failed = build(&builder, &dir).args(["--secret", &given]).fails(1);
        let words = "Dockerfile:2: the command wrote the secret token into the image";
        assert!(failed.stderr.contains(words), "{leak}: {}", failed.stderr);
        assert!(!failed.stderr.contains(secret), "{}", failed.stderr);
        assert_eq!(store_check::refs(&builder.root.store()), refs);
    }
    fs::write(dir.join("Dockerfile"), "FROM base/busybox:1\nRUN --mount=type=secret,id=other,required=true true\n")
        .unwrap();
    build(&builder, &dir).fails(1).says("the secret other was not given");
}

// spec: BUILD-110
#[test]
fn the_same_image_wherever_and_however_it_is_built() {
    need!(root);
    let text = "FROM base/busybox:1 AS one\nCOPY src /src\nRUN date > /date; stat -c '%n %a %u %Y' /src /src/a /src/deep/b > /list; umask > /umask; : > /empty; rm /date\nFROM base/busybox:1\nCOPY --from=one / /all\nCOPY . /context\nRUN rm -r /all/dev /all/proc /all/sys 2>/dev/null; true\n";
    let mut digests = Vec::new();
    for (number, how) in [&[][..], &["--jobs=1"], &["--jobs=8", "--no-cache"]].iter().enumerate() {
        let builder = Builder::new();
        let dir = builder.context(&[("Dockerfile", text), ("src/a", "a\n"), ("src/deep/b", "b\n")]);
        let elsewhere = builder.root.file(&format!("elsewhere-{number}"));
        fs::rename(dir, &elsewhere).unwrap();
        let time = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 * (number as u64 + 1));
        fs::File::open(elsewhere.join("src/a")).unwrap().set_modified(time).unwrap();
        let zone = ["UTC", "Asia/Tokyo", "America/New_York"][number];
        let command = build(&builder, &elsewhere).args(*how).env("TZ", zone).env("LC_ALL", "C.UTF-8");
        digests.push(
            command.under(["sh", "-c", &format!("umask {}; exec \"$@\"", ["022", "077", "000"][number]), "sh"]).ok(),
        );
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
    // Another time is another image.
    let builder = Builder::new();
    let dir = builder.context(&[("Dockerfile", text), ("src/a", "a\n"), ("src/deep/b", "b\n")]);
    assert_ne!(build(&builder, &dir).env("SOURCE_DATE_EPOCH", "86400").ok(), digests[0]);
}

// spec: BUILD-115
#[test]
fn what_is_not_the_same_each_time_is_found() {
    need!(root);
    let builder = Builder::new();
    let dir = builder.context(&[("Dockerfile", "FROM base/busybox:1\nRUN echo 1 > /same\n")]);
    build(&builder, &dir).arg("--verify-reproducible").ok();
    let before = store_check::refs(&builder.root.store());
    let random = "FROM base/busybox:1\nRUN echo 1 > /same\nRUN cat /proc/sys/kernel/random/uuid > /other\n";
    fs::write(dir.join("Dockerfile"), random).unwrap();
    let failed = build(&builder, &dir).arg("--verify-reproducible").fails(1);
    assert!(failed.stderr.contains("other: ") && failed.stderr.contains("random/uuid"), "{}", failed.stderr);
    assert_eq!(store_check::refs(&builder.root.store()), before);
}

// spec: BUILD-117
#[test]
fn a_cache_is_carried_to_another_store() {
    need!(root);
    let text = "FROM base/busybox:1\nCOPY src /src\nRUN --mount=type=cache,target=/c echo x >> /c/log; cat /src/a > /b\nRUN rm /b\n";
    let (builder, other) = (Builder::new(), Builder::new());
    let dir = builder.context(&[("Dockerfile", text), ("src/a", "a\n")]);
    let cache = builder.root.file("cache").display().to_string();
    let first = build(&builder, &dir).args(["--cache-to", &cache]).ok();
    let steps = |builder: &Builder| {
        let command = builder.ctr("build").args(["--pull=never", "--format=json", "--cache-from", &cache]).arg(&dir);
        let json: serde_json::Value = serde_json::from_str(&command.ok()).unwrap();
        (json["digest"].as_str().unwrap().to_owned(), json["steps"]["run"].as_u64().unwrap())
    };
    assert_eq!(steps(&other), (first.trim().to_owned(), 0));
    // What is damaged is done again.
    let third = Builder::new();
    for name in names(&Path::new(&cache).join("blobs/sha256")) {
        fs::write(Path::new(&cache).join("blobs/sha256").join(name), "damaged").unwrap();
    }
    assert_eq!(steps(&third), (first.trim().to_owned(), 3));
    assert_eq!(store_check::complaints(&third.root.store()), Vec::<String>::new());
}

// spec: BUILD-114 BUILD-116 BUILD-118
#[test]
fn checks_statements_and_names() {
    need!(root);
    let builder = Builder::new();
    let dir = builder.context(&[
        ("Dockerfile", "FROM base/busybox:1\nCOPY a /a\n"),
        ("a", ""),
        ("ctr-build.toml", "[build.app]\ntags = ['app:1']\n[build.more]\ninherits = 'app'\ntags = ['more:1']\n"),
    ]);
    let check = |how: &str| builder.ctr("build").arg(how).arg(&dir);
    check("--check").ok();
    fs::write(dir.join("Dockerfile"), "FROM base/busybox:1 AS X\nCOPY a /a\n").unwrap();
    assert!(check("--check").fails(1).stdout.contains("StageNameCasing"));
    assert!(check("--check=json").fails(1).stdout.contains("\"ruleName\""));
    let sarif: serde_json::Value = serde_json::from_str(&check("--check=sarif").fails(1).stdout).unwrap();
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "StageNameCasing");
    let digest = build(&builder, &dir).args(["--sbom=spdx,cyclonedx", "--provenance=max"]).ok();
    let referrers =
        fs::read_to_string(builder.root.store().join("referrers").join(digest.trim().trim_start_matches("sha256:")));
    let referrers: serde_json::Value = serde_json::from_str(&referrers.unwrap()).unwrap();
    assert_eq!(referrers["manifests"].as_array().unwrap().len(), 3);
    let named = builder.ctr("build").args(["--named", "all", "--pull=never", "--quiet"]).dir(&dir).ok();
    assert_eq!(named.lines().collect::<Vec<_>>(), [&digest, &digest]);
    let refs = store_check::refs(&builder.root.store());
    for name in ["docker.io/library/app:1", "docker.io/library/more:1"] {
        assert!(refs.contains_key(name), "{refs:?}");
    }
    builder.ctr("build").args(["--named", "none"]).dir(&dir).fails(1).says("has no build none");
}

// spec: BUILD-91 BUILD-92 LIM-96
#[test]
fn the_collector_keeps_what_builds_remember_and_no_longer() {
    need!(root);
    let builder = Builder::new();
    let text = "FROM base/busybox:1\nRUN seq 100000 > /large\nCOPY a /a\nRUN --mount=type=cache,target=/c echo 1 >> /c/n; cat /a > /b\n";
    let dir = builder.context(&[("Dockerfile", text), ("a", "a\n")]);
    let build = || {
        let command = builder.ctr("build").args(["--pull=never", "--format=json"]).arg(&dir);
        let json: serde_json::Value = serde_json::from_str(&command.ok()).unwrap();
        json["steps"]["run"].as_u64().unwrap()
    };
    let gc = |options: &[&str]| {
        builder.ctr("gc").args(["--grace", "0", "--format", "json"]).args(options.iter().copied()).ok()
    };
    assert_eq!(build(), 3);
    fs::write(
        builder
            .root
            .path()
            .join("build/actions")
            .join(names(&builder.root.path().join("build/actions"))[0].clone())
            .join("1.2.new"),
        "",
    )
    .unwrap();
    let report = gc(&[]);
    schema::check_text("gc.json", &report);
    assert!(report.contains("the process that wrote it is gone"), "{report}");
    assert_eq!(build(), 0);
    // Of the three the first one is large, and was of use longest ago.
    gc(&["--build-cache-size", "100000"]);
    assert_eq!(build(), 1);
    let report = gc(&["--build-cache-size", "0", "--dry-run"]);
    assert_eq!(report.matches("build step").count(), 3, "{report}");
    let stat = builder.root.path().join("build/stat");
    fs::create_dir_all(&stat).unwrap();
    fs::write(stat.join("1-2"), "").unwrap();
    let report = gc(&["--build-cache-age", "0"]);
    for kind in ["build step", "build cache", "build file"] {
        assert!(report.contains(kind), "{kind}: {report}");
    }
    let caches = names(&builder.root.path().join("build/caches"));
    assert!(caches.iter().all(|name| Path::new(name).extension().is_some_and(|kind| kind == "lock")), "{caches:?}");
    assert_eq!(names(&builder.root.path().join("build/stat")), Vec::<String>::new());
    assert_eq!(build(), 3);
    assert_eq!(builder.remains(), Vec::<String>::new());
}

/// A web server that gives these bytes for everything, and says how often it was asked.
fn server(content: &'static [u8]) -> (String, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let asked = std::sync::Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
            asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", content.len());
            let _ = stream.write_all(&[head.as_bytes(), content].concat());
        }
    });
    (address, count)
}

// spec: BUILD-48 LIM-97
#[test]
fn files_of_web_servers_are_added() {
    need!(root);
    let builder = Builder::new();
    let (address, asked) = server(b"content\n");
    let sum = "sha256:434728a410a78f56fc1b5899c3593436e61ab0c731e9072d95e96db290205e53";
    let text = format!(
        "FROM base/busybox:1\nADD {address}/dir/file /a/\nADD --checksum={sum} {address}/other /b\nRUN cmp /a/file /b && test $(stat -c %a /b) = 600\n"
    );
    let dir = builder.context(&[("Dockerfile", &text)]);
    let digest = build(&builder, &dir).ok();
    let asks = || asked.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(asks(), 2);
    assert_eq!(build(&builder, &dir).ok(), digest);
    // What has a checksum is known without being asked for.
    assert_eq!(asks(), 3);
    fs::write(dir.join("Dockerfile"), text.replace("sha256:43", "sha256:44")).unwrap();
    build(&builder, &dir).fails(1).says("is not what --checksum says");
    let local = format!("FROM scratch\nADD --checksum={sum} Dockerfile /d\n");
    fs::write(dir.join("Dockerfile"), local).unwrap();
    build(&builder, &dir).fails(1).says("--checksum is for one source that is downloaded");
}

// spec: BUILD-80
#[test]
fn what_only_copies_is_built_without_any_namespace() {
    need!(root);
    let builder = Builder::new();
    let text =
        "FROM scratch AS one\nCOPY --chown=5:6 --chmod=4711 a /dir/a\nFROM scratch\nWORKDIR /w\nCOPY --from=one / /\n";
    let dir = builder.context(&[("Dockerfile", text), ("a", "a\n")]);
    let digest = build(&builder, &dir).ok();
    // One user namespace for the ids of an ordinary user, and none left for the build.
    let last = "echo 1 > /proc/sys/user/max_user_namespaces; exec unshare -U --map-user=1000 --map-group=1000 \"$@\"";
    let other = builder.root.file("other").display().to_string();
    let without = |dir: &Path| {
        let command = builder.ctr("build").args(["--root", &other, "--quiet", "--pull=never"]).arg(dir);
        command.under(["unshare", "-r", "sh", "-c", last, "sh"])
    };
    assert_eq!(without(&dir).ok(), digest);
    fs::write(dir.join("Dockerfile"), "FROM scratch\nRUN true\n").unwrap();
    without(&dir).fails(1).says("RUN needs a user namespace, or root");
}

// spec: BUILD-97
#[test]
fn rights_are_demanded() {
    need!(root, "setpriv", "useradd", "newuidmap");
    let copies = [("Dockerfile", "FROM scratch\nCOPY a /a\n"), ("a", "a\n")];
    let runs = [("Dockerfile", "FROM base/busybox:1\nRUN echo a > /a\n"), ("a", "a\n")];
    for (builder, own) in [
        (Builder::new(), "root"),
        (Builder::of_user(users::with_range()), "userns"),
        (Builder::of_user(users::without_range()), "single-id"),
    ] {
        // Root may have less than it has.
        let less = if own == "root" { "chroot" } else { own };
        for (files, possible) in [(&runs, &[own, "auto", less][..]), (&copies, &[own, "auto", less, "none"])] {
            let dir = builder.context(files);
            for rights in ["auto", "root", "userns", "single-id", "chroot", "none"] {
                let isolation = format!("--isolation={rights}");
                let done = builder.ctr("build").args(["--pull=never", "--format=json", &isolation]).arg(&dir).run();
                if possible.contains(&rights) {
                    let json: serde_json::Value = serde_json::from_str(&done.ok()).unwrap();
                    assert_eq!(json["isolation"], if rights == "auto" { own } else { rights });
                } else {
                    assert!(done.code == 2 && done.stderr.contains(&isolation), "{own}: {done}");
                }
            }
        }
    }
}

// spec: BUILD-49
#[test]
fn git_repositories_are_added() {
    need!(root, "git");
    let builder = Builder::new();
    let repository = builder.root.file("served/repo");
    fs::create_dir_all(repository.join("dir")).unwrap();
    let git = |args: &[&str]| {
        let who = ["-c", "user.name=n", "-c", "user.email=e@example.com", "-c", "init.defaultBranch=main"];
        Cmd::new("git").args(who).args(args.iter().copied()).dir(&repository).ok()
    };
    git(&["init", "-q"]);
    fs::write(repository.join("dir/file"), "one\n").unwrap();
    fs::write(repository.join("top"), "").unwrap();
    git(&["add", "."]);
    git(&["commit", "-qm", "one"]);
    git(&["tag", "-a", "-m", "v1", "v1"]);
    let first = git(&["rev-parse", "HEAD"]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let served = builder.root.file("served").display().to_string();
    // Not by `git daemon`, which would leave it behind when it is killed.
    let mut daemon = std::process::Command::new(format!("{}/git-daemon", git(&["--exec-path"])))
        .args(["--listen=127.0.0.1", "--reuseaddr", "--export-all"])
        .args([format!("--port={port}"), format!("--base-path={served}"), served.clone()])
        .spawn()
        .unwrap();
    ctr_tests::scratch::until("it listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let address = format!("git://127.0.0.1:{port}/repo");
    let text = format!(
        "FROM base/busybox:1\nADD {address} /all\nADD {address}#v1:dir /dir/\nADD --keep-git-dir=true {address}#{first} /kept\nRUN cat /all/dir/file /dir/file > /said; test -d /kept/.git; test ! -e /all/.git; stat -c %a:%u /dir/file >> /said\n"
    );
    let dir = builder.context(&[("Dockerfile", &text)]);
    let steps = || {
        let command = builder.ctr("build").args(["--pull=never", "--format=json", "--tag", "made"]).arg(&dir);
        let json: serde_json::Value = serde_json::from_str(&command.ok()).unwrap();
        json["steps"]["run"].as_u64().unwrap()
    };
    let said = || builder.ctr("run").args(["--wait", "--rm", "made", "cat", "/said"]).ok();
    assert_eq!((steps(), steps()), (4, 0));
    assert_eq!(said(), "one\none\n644:0");
    fs::write(repository.join("dir/file"), "two\n").unwrap();
    git(&["commit", "-qam", "two"]);
    assert!(steps() >= 2);
    assert_eq!(said(), "two\none\n644:0");
    for (wrong, why) in
        [("#nope", "has no nope"), ("#--upload-pack=x", "no address of a repository"), ("#v1:../..", "")]
    {
        fs::write(dir.join("Dockerfile"), format!("FROM scratch\nADD {address}{wrong} /x\n")).unwrap();
        let done = build(&builder, &dir).run();
        assert!(why.is_empty() || (done.code == 1 && done.stderr.contains(why)), "{wrong}: {done}");
    }
    fs::write(dir.join("Dockerfile"), "FROM scratch\nADD https://127.0.0.1:1/x.git /x\n").unwrap();
    build(&builder, &dir).fails(1).says("cannot get https://127.0.0.1:1/x.git by git");
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}
