//! Each file of a context is looked at and hashed once in a build, whatever number of steps, stages and platforms want it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ctr_tests::build::Builder;
use ctr_tests::need;
use ctr_tests::scratch::{Cmd, names, until};

/// Directories of the context, and files of each.
const DIRS: usize = 6;
const FILES: usize = 20;

/// A context with `tree/dN/deep/merkle-fNN`, made long ago.
fn context(builder: &Builder, dockerfile: &str) -> PathBuf {
    let dir = builder.root.file("context");
    for at in 0..DIRS {
        let deep = dir.join(format!("tree/d{at}/deep"));
        fs::create_dir_all(&deep).unwrap();
        for file in 0..FILES {
            fs::write(deep.join(format!("merkle-f{file}")), format!("{at} {file}\n")).unwrap();
        }
    }
    fs::write(dir.join("Dockerfile"), dockerfile).unwrap();
    dir
}

fn build(builder: &Builder, context: &Path) -> Cmd {
    builder.ctr("build").args(["--pull=never", "--quiet", "--tag", "made"]).arg(context)
}

/// What a build asks the kernel of the context.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    /// Files that were looked at, each time counted.
    looks: usize,
    /// Files that were opened to be read.
    reads: usize,
    /// Directories that were listed.
    lists: usize,
}

fn asked(builder: &Builder, command: &Cmd) -> Asked {
    let log = builder.root.file("trace");
    let log = log.to_str().unwrap();
    let calls = "trace=newfstatat,statx,lstat,stat,openat,openat2";
    command.clone().under(["strace", "-f", "-y", "-e", calls, "-o", log]).ok();
    let text = fs::read_to_string(log).unwrap();
    // `-y` shows the directory behind each descriptor: the layers in the store have the same names.
    let context = builder.root.file("context").display().to_string();
    // A call that another thread's came between has two lines.
    let other = |line: &str| line.contains("O_PATH") || line.contains(" resumed>");
    let calls: Vec<&str> = text.lines().filter(|line| line.contains(&context) && !other(line)).collect();
    let of = |call: &str, file: &str| calls.iter().filter(|line| line.contains(call) && line.contains(file)).count();
    let lists = calls.iter().filter(|line| {
        let path = line.split('"').nth(1).unwrap_or_default();
        line.contains("openat") && line.contains("O_DIRECTORY") && (path == "tree" || path.starts_with("tree/"))
    });
    Asked { looks: of("fstatat(", "\"merkle-f"), reads: of("openat", "/merkle-f"), lists: lists.count() }
}

const ONE: &str = "FROM scratch\nCOPY tree /one\n";
const THREE: &str = "FROM scratch AS a
COPY tree /one
FROM scratch AS b
COPY tree/ /two
FROM base/busybox:1
COPY tree/d0 /part
COPY . /three
RUN --mount=type=bind,source=tree,target=/mnt cat /mnt/d1/deep/* > /all
RUN --mount=type=bind,target=/mnt cat /mnt/tree/d2/deep/* > /more
COPY --from=a /one /one
COPY --from=b /two /two
";

// spec: BUILD-130
#[test]
fn three_copies_and_mounts_look_at_the_context_as_one_copy_does() {
    need!(root, "strace");
    let builder = Builder::new();
    let dir = context(&builder, THREE);
    let once = Asked { looks: DIRS * FILES, reads: 0, lists: 1 + 2 * DIRS };
    let first = asked(&builder, &build(&builder, &dir));
    assert_eq!((first.looks, first.lists), (once.looks, once.lists), "not in the cache");
    // The digests of files that changed just now are not kept.
    std::thread::sleep(Duration::from_millis(3100));
    build(&builder, &dir).ok();
    assert_eq!(asked(&builder, &build(&builder, &dir)), once, "three steps and two mounts, from the cache");
    fs::write(dir.join("Dockerfile"), ONE).unwrap();
    build(&builder, &dir).ok();
    assert_eq!(asked(&builder, &build(&builder, &dir)), once, "one step");
}

// spec: BUILD-130
#[test]
fn two_platforms_and_a_named_context_look_once_too() {
    need!(root, "strace");
    let builder = Builder::new();
    let dir = context(&builder, "FROM scratch\nARG TARGETARCH\nLABEL arch=$TARGETARCH\nCOPY --from=named tree /one\n");
    let named = format!("named={}", dir.display());
    let build = |platforms: &str| {
        builder
            .ctr("build")
            .args(["--pull=never", "--quiet", "--platform", platforms, "--build-context", &named])
            .arg(&dir)
    };
    let first = asked(&builder, &build("linux/amd64,linux/arm64"));
    // Read for the digest, and for the one layer that both have.
    assert_eq!(first, Asked { looks: DIRS * FILES, reads: 2 * DIRS * FILES, lists: 1 + 2 * DIRS });
    std::thread::sleep(Duration::from_millis(3100));
    build("linux/amd64").ok();
    let again = asked(&builder, &build("linux/amd64,linux/arm64"));
    assert_eq!(again, Asked { looks: DIRS * FILES, reads: 0, lists: 1 + 2 * DIRS });
}

// spec: BUILD-130 BUILD-47
#[test]
fn a_change_deep_below_is_seen_by_all_of_them() {
    need!(root);
    let builder = Builder::new();
    let dir = context(&builder, THREE);
    let changed = dir.join("tree/d1/deep/merkle-f3");
    let past = SystemTime::now() - Duration::from_secs(1000);
    let mut last = String::new();
    for content in ["1 a\n", "1 b\n"] {
        fs::write(&changed, content).unwrap();
        // Of the same size, and the same time.
        fs::File::open(&changed).unwrap().set_modified(past).unwrap();
        let files = builder.root.file("files");
        let _ = fs::remove_dir_all(&files);
        let output = format!("type=dir,dest={}", files.display());
        let digest = build(&builder, &dir).args(["--output", &output]).ok();
        assert_ne!(digest, last);
        for path in ["one/d1/deep/merkle-f3", "two/d1/deep/merkle-f3", "three/tree/d1/deep/merkle-f3"] {
            assert_eq!(fs::read_to_string(files.join(path)).unwrap(), content, "{path}");
        }
        assert!(fs::read_to_string(files.join("all")).unwrap().contains(content));
        assert_eq!(build(&builder, &dir).arg("--no-cache").ok(), digest);
        last = digest;
    }
}

// spec: BUILD-131
#[test]
fn files_that_are_edited_during_a_build_are_as_their_keys_say() {
    need!(root);
    let builder = Builder::new();
    let dockerfile = "FROM base/busybox:1
COPY tree /one
RUN --mount=type=cache,id=gate,target=/gate touch /gate/begun; until [ -e /gate/go ]; do sleep 0.02; done
COPY tree /two
COPY tree/new /new
RUN --mount=type=bind,source=tree,target=/mnt cat /mnt/d0/deep/merkle-f0 > /three
";
    let dir = context(&builder, dockerfile);
    let edited = dir.join("tree/d0/deep/merkle-f0");
    let files = builder.root.file("files");
    let output = format!("type=dir,dest={}", files.display());
    let running = build(&builder, &dir).args(["--output", &output]).start();
    let caches = builder.root.path().join("build/caches");
    let gate = || {
        let all = names(&caches).into_iter().map(|name| caches.join(name).join("dir"));
        all.into_iter().find(|dir| dir.join("begun").exists())
    };
    until("the command runs", || caches.is_dir() && gate().is_some());
    fs::write(&edited, "x x\n").unwrap();
    fs::write(dir.join("tree/new"), "new\n").unwrap();
    fs::write(gate().unwrap().join("go"), "").unwrap();
    let done = running.wait();
    assert_eq!(done.code, 0, "{done}");
    let read = |path: &str| fs::read_to_string(files.join(path)).unwrap();
    assert_eq!(read("one/d0/deep/merkle-f0"), "0 0\n");
    for path in ["two/d0/deep/merkle-f0", "three"] {
        assert_eq!(read(path), "x x\n", "{path}");
    }
    assert_eq!((read("new").as_str(), read("two/new").as_str()), ("new\n", "new\n"));
    // The next build finds what it would make without the cache.
    let next = build(&builder, &dir).ok();
    assert_eq!(build(&builder, &dir).arg("--no-cache").ok(), next);
}
