//! What builds are given that is not as usual: Dockerfiles that are pipes, contexts with odd files, outputs that fail.

use std::ffi::OsStr;
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use ctr_tests::build::Builder;
use ctr_tests::scratch::Cmd;
use ctr_tests::{need, store_check, untar, users};

fn context(builder: &Builder, dockerfile: &str) -> PathBuf {
    builder.context(&[("Dockerfile", dockerfile)])
}

fn build(builder: &Builder, context: &Path) -> Cmd {
    builder.ctr("build").args(["--pull=never", "--quiet"]).arg(context)
}

/// Names of what an `--output type=tar` has.
fn listed(tar: &Path) -> Vec<Vec<u8>> {
    untar::read(&fs::read(tar).unwrap()).unwrap().into_iter().map(|entry| entry.name).collect()
}

fn to_tar(builder: &Builder, context: &Path) -> (Cmd, PathBuf) {
    let tar = builder.root.file("out.tar");
    (build(builder, context).args(["--output", &format!("type=tar,dest={}", tar.display())]), tar)
}

fn shell(command: &Cmd, script: &str) -> Cmd {
    command.clone().under(["bash", "-c", script, "bash"])
}

// spec: BUILD-140
#[test]
fn a_dockerfile_is_a_file_or_a_pipe_that_somebody_writes_to() {
    need!("bash");
    let builder = Builder::new();
    let text = format!("FROM scratch\n{}LABEL last=yes\n", "# a comment that takes some room\n".repeat(8000));
    let dir = context(&builder, &text);
    let digest = build(&builder, &dir).ok();
    let file = dir.join("Dockerfile");
    let script = format!("\"$@\" --file <(head -c 9 {0}; sleep 0.2; tail -c +10 {0})", file.display());
    assert_eq!(shell(&build(&builder, &dir), &script).ok(), digest);
    assert_eq!(build(&builder, &dir).args(["--file", "-"]).input(text.clone()).ok(), digest);
    assert_eq!(build(&builder, &dir).args(["--file", "/dev/stdin"]).input(text).ok(), digest);
    let pipe = builder.root.file("pipe");
    Cmd::new("mkfifo").arg(&pipe).ok();
    let named = build(&builder, &dir).arg("--file").arg(&pipe);
    let script = format!("(sleep 0.3; cat {} > {}) & \"$@\"", file.display(), pipe.display());
    assert_eq!(shell(&named, &script).ok(), digest);
    named.fails(1).says("it is a pipe that nobody writes to");
    build(&builder, &dir).args(["--file", "/dev/zero"]).fails(1).says("it is a device");
    build(&builder, &dir).arg("--file").arg(&dir).fails(1).says("it is a directory");
    let large = "#".repeat((1 << 20) + 1);
    build(&builder, &dir).args(["--file", "-"]).input(large).fails(1).says("more than 1048576 bytes");
}

// spec: BUILD-140
#[test]
fn a_secret_of_a_pipe_is_whole() {
    need!(root, "bash");
    let builder = Builder::new();
    let dir = context(&builder, "FROM base/busybox:1\nRUN --mount=type=secret,id=s wc -c < /run/secrets/s > /size\n");
    let (command, tar) = to_tar(&builder, &dir);
    let script = "\"$@\" --secret id=s,src=<(head -c 5000 /dev/zero; sleep 0.2; head -c 95000 /dev/zero)";
    shell(&command, script).ok();
    let entries = untar::read(&fs::read(tar).unwrap()).unwrap();
    let size = entries.iter().find(|entry| entry.name == b"size").unwrap();
    assert_eq!(size.content, b"100000\n");
}

// spec: BUILD-141
#[test]
fn a_link_that_leads_nowhere_is_no_obstacle_for_the_resolver() {
    need!(root, "setpriv");
    let links = ["../run/systemd/resolve/stub-resolv.conf", "/a/b", "../../../../elsewhere"];
    let builders = [Builder::new(), Builder::contained()];
    for (builder, to) in builders.iter().flat_map(|builder| links.map(|to| (builder, to))) {
        let dir = context(builder, "FROM base/busybox:1\nCOPY etc /etc\nRUN cat /etc/resolv.conf > /seen\n");
        fs::create_dir_all(dir.join("etc")).unwrap();
        let _ = fs::remove_file(dir.join("etc/resolv.conf"));
        std::os::unix::fs::symlink(to, dir.join("etc/resolv.conf")).unwrap();
        let (command, tar) = to_tar(builder, &dir);
        command.ok();
        let entries = untar::read(&fs::read(&tar).unwrap()).unwrap();
        let one = |path: &str| {
            entries.iter().find(|entry| entry.name.strip_suffix(b"/").unwrap_or(&entry.name) == path.as_bytes())
        };
        assert_eq!(one("seen").unwrap().content, fs::read("/etc/resolv.conf").unwrap(), "{to}");
        assert_eq!(one("etc/resolv.conf").unwrap().kind, b'2', "{to}");
        for gone in ["run/systemd", "a", "elsewhere"] {
            assert!(one(gone).is_none(), "{to}: {gone}");
        }
    }
}

// spec: BUILD-142
#[test]
fn a_circle_of_stages_is_told_where_it_closes() {
    let builder = Builder::new();
    let dir = context(&builder, "FROM scratch AS a\nCOPY --from=b / /\nFROM scratch AS b\nCOPY --from=a / /\n");
    let failed = build(&builder, &dir).fails(1);
    assert!(failed.stderr.contains("Dockerfile:4: stages need each other in a circle: a -> b -> a"), "{failed}");
    assert!(failed.stderr.contains("4 | COPY --from=a / /"), "{failed}");
}

// spec: BUILD-142 LIM-121
#[test]
fn stages_are_bounded_and_a_chain_of_them_takes_little_memory() {
    need!(root, "python3");
    let builder = Builder::new();
    let stage = |number: usize| {
        let base = if number == 0 { "scratch".to_owned() } else { format!("s{}", number - 1) };
        format!("FROM {base} AS s{number}\nENV V{number}={number}\n")
    };
    let dir = context(&builder, &(0..700).map(stage).collect::<String>());
    // Each stage's thread has a stack of 2 MiB that it does not use: what is measured is what is in memory.
    let measured = build(&builder, &dir).under(["python3", "-c", PEAK]).ok();
    let peak: u64 = measured.lines().last().unwrap().parse().unwrap();
    assert!(peak < 150 << 10, "{peak} KiB");
    let dir = context(&builder, &"FROM scratch\n".repeat(4097));
    build(&builder, &dir).fails(1).says("Dockerfile:4097: it has 4097 stages, more than 4096");
}

const PEAK: &str = "import resource, subprocess, sys\ncode = subprocess.run(sys.argv[1:]).returncode\n\
                    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\nsys.exit(code)";

// spec: BUILD-142
#[test]
fn the_layer_too_many_is_told_where_it_is_made() {
    let builder = Builder::new();
    let copies: String = (0..128).map(|number| format!("COPY Dockerfile /{number}\n")).collect();
    let dir = context(&builder, &format!("FROM scratch\n{copies}LABEL a=b\n"));
    let failed = build(&builder, &dir).args(["--tag", "deep"]).fails(1);
    assert!(failed.stderr.contains("Dockerfile:129: the image has more than 127 layers"), "{failed}");
    // A stage that is copied from may have more.
    let dir = context(&builder, &format!("FROM scratch AS deep\n{copies}FROM scratch\nCOPY --from=deep / /\n"));
    build(&builder, &dir).ok();
}

// spec: BUILD-143
#[test]
fn files_of_the_image_go_to_standard_output() {
    let builder = Builder::new();
    let dir = context(&builder, "FROM scratch\nCOPY Dockerfile /made\n");
    let out = builder.root.file("stdout");
    let script = format!("\"$@\" > {}", out.display());
    for output in ["type=tar,dest=-", "-"] {
        shell(&build(&builder, &dir).args(["--output", output]), &script).ok();
        assert_eq!(listed(&out), [b"made"]);
    }
    build(&builder, &dir).args(["--output", "type=oci,dest=-"]).fails(2).says("only a tar");
    build(&builder, &dir).args(["--output", "-", "--output", "-"]).fails(2).says("twice");
}

// spec: BUILD-143
#[test]
fn an_archive_has_all_names() {
    need!("skopeo");
    let builder = Builder::new();
    let dir = context(&builder, "FROM scratch\nCOPY Dockerfile /made\n");
    let file = builder.root.file("docker.tar");
    let layout = builder.root.file("layout");
    let tags = ["--tag", "example.com/a:1", "--tag", "example.com/a:2", "--tag", "example.com/b:1"];
    let outputs =
        [format!("type=docker-archive,dest={}", file.display()), format!("type=oci,dest={}", layout.display())];
    build(&builder, &dir).args(tags).args(["--output", &outputs[0], "--output", &outputs[1]]).ok();
    let mut manifest = String::new();
    let entries = untar::read(&fs::read(&file).unwrap()).unwrap();
    let found = entries.iter().find(|entry| entry.name == b"manifest.json").unwrap();
    found.content.as_slice().read_to_string(&mut manifest).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest[0]["RepoTags"], serde_json::json!(["example.com/a:1", "example.com/a:2", "example.com/b:1"]));
    assert_eq!(manifest.as_array().unwrap().len(), 1);
    for name in ["example.com/a:1", "example.com/a:2", "example.com/b:1"] {
        Cmd::new("skopeo").args(["inspect", "--raw", &format!("oci:{}:{name}", layout.display())]).ok();
        Cmd::new("skopeo").args(["inspect", "--raw", &format!("docker-archive:{}:{name}", file.display())]).ok();
    }
}

// spec: BUILD-144
#[test]
fn names_move_when_all_else_is_done() {
    let builder = Builder::new();
    let dir = context(&builder, "FROM scratch\nCOPY Dockerfile /made\n");
    let file = builder.root.write("file", "");
    let below = file.join("x").display().to_string();
    let good = builder.root.file("good.tar").display().to_string();
    let before = store_check::refs(&builder.root.store());
    for options in [
        vec![
            "--output".to_owned(),
            format!("type=tar,dest={good}"),
            "--output".to_owned(),
            format!("type=tar,dest={below}"),
        ],
        vec!["--iidfile".to_owned(), below.clone()],
        vec!["--metadata-file".to_owned(), below],
        vec!["--tag".to_owned(), "localhost:1/nobody:1".to_owned(), "--push".to_owned()],
    ] {
        build(&builder, &dir).args(["--tag", "made"]).args(options.clone()).fails(1);
        assert_eq!(store_check::refs(&builder.root.store()), before, "{options:?}");
    }
}

#[test]
fn contexts_that_are_none() {
    need!(root);
    let builder = Builder::new();
    let dir = context(&builder, "FROM scratch\nCOPY . /all\n");
    let text = dir.join("Dockerfile");
    let empty = builder.root.file("empty");
    fs::create_dir(&empty).unwrap();
    build(&builder, &empty).arg("--file").arg(&text).ok();
    build(&builder, &empty).fails(1).says("name the Dockerfile with --file");
    build(&builder, &text).fails(1).says("is no directory");
    build(&builder, Path::new("-")).fails(1).says("standard input with --file -");
    build(&builder, Path::new("https://example.com/a.git")).fails(1).says("git clone");
    build(&builder, &text).arg("--file").arg(&text).fails(1).says("the context is a directory");
    let user = users::with_range();
    let closed = Builder::of_user(user);
    let dir = context(&closed, "FROM scratch\nCOPY . /all\n");
    Cmd::new("chmod").args(["-R", "a+rX"]).arg(&dir).ok();
    let private = dir.join("private");
    fs::write(&private, "").unwrap();
    Cmd::new("chmod").arg("600").arg(&private).ok();
    build(&closed, &dir).fails(1).says("private");
}

#[test]
fn files_of_every_name_and_kind() {
    need!(root, "python3");
    let builder = Builder::new();
    let dir = context(&builder, "FROM scratch\nCOPY odd /odd\n");
    let odd = dir.join("odd");
    fs::create_dir(&odd).unwrap();
    let mut names: Vec<Vec<u8>> = vec![b"new\nline".to_vec(), b"\xff\xfe".to_vec(), vec![b'x'; 255], b" * ".to_vec()];
    names.extend((0..10_000).map(|number| format!("many{number}").into_bytes()));
    for name in &names {
        fs::write(odd.join(OsStr::from_bytes(name)), "").unwrap();
    }
    Cmd::new("mkfifo").arg(odd.join("fifo")).ok();
    let (command, tar) = to_tar(&builder, &dir);
    let done = command.run();
    if done.code == 0 {
        let listed = listed(&tar);
        for name in &names {
            let path = [b"odd/", name.as_slice()].concat();
            assert!(listed.contains(&path), "{}", path.escape_ascii());
        }
    }
    assert_eq!(done.code, 0, "{done}");
}

#[test]
fn directories_deeper_than_a_path_can_be() {
    need!(root, "python3");
    let builder = Builder::new();
    let dir = context(&builder, "FROM scratch\nCOPY . /all\n");
    let script = "import os, sys\nos.chdir(sys.argv[1])\nfor _ in range(60):\n os.mkdir('d' * 100); os.chdir('d' * 100)\nopen('end', 'w')";
    Cmd::new("python3").args(["-c", script]).arg(&dir).ok();
    let done = build(&builder, &dir).run();
    // Paths of an archive are bounded, and this one is over the bound.
    assert!(done.code == 1 && done.stderr.contains("ddd") && !done.stderr.contains("panicked"), "{done}");
}

#[test]
fn two_builds_at_once_under_one_name() {
    need!(root);
    let builder = Builder::new();
    let dir = context(&builder, "FROM base/busybox:1\nRUN sleep 0.2; echo made > /made\n");
    let start = || build(&builder, &dir).args(["--tag", "both"]).start();
    let running = [start(), start(), start()];
    let digests = running.map(|one| one.wait().ok());
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
    assert_eq!(store_check::complaints(&builder.root.store()), Vec::<String>::new());
    assert!(store_check::refs(&builder.root.store()).values().any(|digest| *digest == digests[0]));
}
