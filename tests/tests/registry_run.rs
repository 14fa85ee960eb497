//! `ctr-run` of names that the store lacks.

use ctr_tests::faults::{Guard, Registry, Server};
use ctr_tests::scratch::{Cmd, Root};
use ctr_tests::{images, need, store_check, users};

/// A registry with busybox as `box:1`.
fn server() -> Server {
    Server::start(Registry::with("box", "1", &images::busybox_dir()))
}

/// `ctr-run --wait --rm OPTIONS IMAGE echo hello`.
fn run(root: &Root, options: &[&str], image: &str) -> Cmd {
    root.ctr("run").args(["--wait", "--rm"]).args(options.iter().copied()).args([image, "echo", "hello"])
}

#[test]
fn a_name_that_the_store_lacks_is_fetched() {
    // spec: CLI-30, CLI-34, REG-55
    need!(root);
    let (root, server) = (Root::new(), server());
    let name = server.name("box:1");
    let done = run(&root, &["--pull=never"], &name).fails(125);
    assert!(done.stderr.contains("hint: ") && server.log().is_empty(), "{done}");
    assert_eq!(run(&root, &[], &name).ok(), "hello");
    assert_eq!(store_check::refs(&root.store()).keys().collect::<Vec<_>>(), [&name]);
    let asked = server.seen().len();
    for pull in ["--pull=missing", "--pull=never"] {
        assert_eq!(run(&root, &[pull], &name).ok(), "hello");
    }
    assert_eq!(server.seen().len(), asked, "what is there is not asked for");
    for pull in ["--pull=always", "--pull=newer"] {
        assert_eq!(run(&root, &[pull], &name).ok(), "hello");
    }
    assert_eq!(server.log()[asked..], ["HEAD /v2/box/manifests/1", "HEAD /v2/box/manifests/1"]);
    drop(server);
    let done = run(&root, &["--pull=newer"], &name).run();
    assert_eq!((done.code, done.stdout.as_str()), (0, "hello\n"), "{done}");
    assert!(done.stderr.contains("it may be old"), "{done}");
    run(&root, &["--pull=always"], &name).fails(125);
}

#[test]
fn what_ctr_fetch_says_comes_through() {
    // spec: CLI-34
    need!(root);
    let (root, server) = (Root::new(), server());
    let name = server.name("box:nowhere");
    let done = run(&root, &[], &name).fails(125);
    for part in ["ctr-fetch: ", "hint: ", "ctr-run: ", "could not be fetched"] {
        assert!(done.stderr.contains(part), "{done}");
    }
    let asked = server.seen().len();
    // Names that are none, and what is rather the beginning of a digest.
    for image in ["Box", "deadbeefdeadbeef", &format!("sha256:{}", "0".repeat(64)), "./box:1", "a b"] {
        run(&root, &[], image).fails(125);
    }
    let blocked = run(&root, &[], "box").fails(125);
    assert!(blocked.stderr.contains("docker.io/library/box:latest is blocked"), "{blocked}");
    assert_eq!(server.seen().len(), asked);
}

#[test]
fn configuration_reaches_ctr_fetch() {
    // spec: CLI-34
    need!(root);
    let (root, server) = (Root::new(), server());
    let config = root.write("own.conf", format!("[aliases]\n'short' = '{}/box'\n", server.host()));
    let short = || run(&root, &[], "short:1").env("CONTAINERS_REGISTRIES_CONF", &config);
    let done = short().run();
    assert_eq!((done.code, done.stdout.as_str()), (0, "hello\n"), "{done}");
    assert!(done.stderr.contains("short:1 is"), "{done}");
    // The alias is looked up by ctr-fetch, which finds the image in the store then.
    let asked = server.seen().len();
    assert_eq!(short().ok(), "hello");
    assert_eq!(server.seen().len(), asked);
}

#[test]
fn a_platform_that_the_store_lacks_is_asked_for() {
    need!(root);
    let (root, server) = (Root::new(), server());
    let name = server.name("box:1");
    run(&root, &[], &name).ok();
    let asked = server.seen().len();
    let done = run(&root, &["--platform", "linux/s390x"], &name).fails(125);
    assert!(server.seen().len() > asked && done.stderr.contains("linux/s390x"), "{done}");
    let done = run(&root, &["--platform", "linux/s390x", "--pull=never"], &name).fails(125);
    assert!(done.stderr.contains("linux/s390x"), "{done}");
}

#[test]
fn credentials_reach_ctr_fetch() {
    // spec: CLI-34
    need!(root);
    let guard = Guard::Basic("bob".into(), "secret".into());
    let guarded = || Server::start(Registry::with("box", "1", &images::busybox_dir()).guarded(guard.clone()));
    let server = guarded();
    let root = Root::new();
    let auth = format!("{{\"auths\":{{\"{}\":{{\"auth\":\"Ym9iOnNlY3JldA==\"}}}}}}", server.host());
    let auth = root.write("auth.json", auth);
    let config = root.write("own.conf", format!("[aliases]\n'short' = '{}/box'\n", server.host()));
    let short = || run(&root, &[], "short:1").env("CONTAINERS_REGISTRIES_CONF", &config);
    let done = short().fails(125);
    assert!(done.stderr.contains("ctr-login"), "{done}");
    let done = short().env("REGISTRY_AUTH_FILE", &auth).run();
    assert_eq!((done.code, done.stdout.as_str()), (0, "hello\n"), "{done}");
    assert!(!done.stderr.contains("secret"), "{done}");
    // A credential program of the caller's PATH.
    let server = guarded();
    let bin = root.file("bin");
    std::fs::create_dir(&bin).unwrap();
    let program = bin.join("docker-credential-test");
    let answer = "#!/bin/sh\nread host; echo '{\"Username\":\"bob\",\"Secret\":\"secret\"}'\n";
    std::fs::write(&program, answer).unwrap();
    Cmd::new("chmod").arg("755").arg(&program).ok();
    let helpers = root.write("helpers.conf", "credential-helpers = ['test']\n");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let fetched = run(&root, &[], &server.name("box:1")).env("CONTAINERS_REGISTRIES_CONF", &helpers).env("PATH", path);
    assert_eq!(fetched.ok(), "hello");
}

#[test]
fn a_user_without_a_runtime_directory_has_the_file_of_the_own_id() {
    // spec: REG-20, REG-21, CLI-34
    need!(root, "useradd", "newuidmap", "unshare", "setpriv");
    let (user, server) = (users::with_range(), server());
    let root = user.root();
    let run = |setting: &str| {
        let script =
            format!("unset XDG_RUNTIME_DIR; mount -t tmpfs -o mode=755 t /run && {setting} && exec setpriv \"$@\"");
        let ids = [format!("--reuid={}", user.uid), format!("--regid={}", user.gid), "--clear-groups".to_owned()];
        let run = Cmd::new("unshare").args(["-m", "sh", "-c", &script, "sh"]).args(ids).arg(user.program("ctr-run"));
        let run = run.env("CTR_ROOT", root.path()).env("HOME", "/nonexistent");
        run.args(["--wait", "--rm", "--log=inherit", "--pull=always", &server.name("box:1"), "echo", "hello"]).run()
    };
    // Closed to users as root's containers leave it.
    let done = run("mkdir -m 700 /run/containers");
    assert_eq!((done.code, done.stdout.as_str()), (0, "hello\n"), "{done}");
    let own = format!("/run/containers/{}", user.uid);
    let done = run(&format!("mkdir -p {own} && echo nonsense > {own}/auth.json"));
    assert!(done.code == 125 && done.stderr.contains(&format!("{own}/auth.json")), "{done}");
    let done = run(&format!("mkdir -p {own} && touch {own}/auth.json && chmod 0 {own}/auth.json"));
    assert!(done.code == 125 && done.stderr.contains(&format!("{own}/auth.json")), "{done}");
}
