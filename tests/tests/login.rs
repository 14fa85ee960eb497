//! `ctr-login`, and what `ctr-fetch` does with the credentials that there are.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use ctr_tests::faults::sample;
use ctr_tests::pty::Pty;
use ctr_tests::scratch::{Cmd, Done, Root, names};
use ctr_tests::servers::{DockerRegistry, Login, RunningRegistry, TokenServer};
use ctr_tests::{images, need, schema, users};

const PASSWORD: &str = "correct-horse";

/// A registry with the sample image `demo:1`, and a user `bob`.
fn registry() -> RunningRegistry {
    filled(DockerRegistry::new().login(Login::Basic("bob", PASSWORD)).start())
}

fn filled(registry: RunningRegistry) -> RunningRegistry {
    let to = format!("docker://{}", registry.name("demo:1"));
    let from = format!("oci:{}:latest", sample().layout().display());
    let credentials = format!("--dest-creds=bob:{PASSWORD}");
    images::skopeo_copy(&["--preserve-digests", "--dest-tls-verify=false", &credentials], &from, &to);
    registry
}

/// The commands of one user with a home of its own.
struct User {
    root: Root,
}

impl User {
    fn new() -> Self {
        Self { root: Root::new() }
    }

    fn ctr(&self, name: &str) -> Cmd {
        let path = format!("{}:{}", self.root.file("bin").display(), std::env::var("PATH").unwrap());
        let dir = |name: &str| self.root.file(name).display().to_string();
        let cmd = self.root.ctr(name).env("HOME", dir("home")).env("XDG_RUNTIME_DIR", dir("run"));
        cmd.env("PATH", path)
    }

    fn login(&self, registry: &RunningRegistry, user: &str, password: &str) -> Done {
        let args = ["-u", user, "--password-stdin", &registry.host()].map(str::to_owned);
        self.ctr("login").args(args).input(password).run()
    }

    fn fetch(&self, registry: &RunningRegistry) -> Done {
        self.ctr("fetch").arg(registry.name("demo:1")).run()
    }

    fn authfile(&self) -> PathBuf {
        self.root.file("run/containers/auth.json")
    }

    /// Writes a file of the user's.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.root.file(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// A credential program `docker-credential-x`.
    fn program(&self, script: &str) {
        let path = self.write("bin/docker-credential-x", &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// Success, and nothing secret on either stream.
#[track_caller]
fn fine(done: Done) -> String {
    assert!(!format!("{done}").contains(PASSWORD), "{done}");
    done.ok()
}

#[test]
fn from_login_to_logout() {
    // spec: REG-20, REG-28, REG-29, CLI-140 to CLI-143
    need!(root, "docker-registry", "htpasswd", "skopeo");
    let (registry, user) = (registry(), User::new());
    let host = registry.host();
    user.fetch(&registry).says("refuses access to demo").says(&format!("hint: ctr-login {host}"));
    let refused = user.login(&registry, "bob", "hunter2").says("does not take this user and password");
    assert!(refused.code == 1 && !format!("{refused}").contains("hunter2"), "{refused}");
    assert!(!user.authfile().exists(), "nothing is written before the registry has said yes");

    assert_eq!(fine(user.login(&registry, "bob", &format!("{PASSWORD}\n"))), host);
    assert_eq!(fs::metadata(user.authfile()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names(user.authfile().parent().unwrap()), ["auth.json"]);
    assert!(fine(user.fetch(&registry)).contains(sample().digest()));
    // Other tools read the file.
    let inspect = Cmd::new("skopeo").args(["inspect", "--raw", "--tls-verify=false", "--authfile"]);
    inspect.arg(user.authfile()).arg(format!("docker://{}", registry.name("demo:1"))).ok();

    let which = fine(user.ctr("login").args(["--which", &registry.name("demo")]).run());
    let line = which.lines().last().unwrap().split_whitespace().collect::<Vec<_>>();
    let file = user.authfile().display().to_string();
    assert_eq!(line, [&registry.name("demo"), &host, "bob", &file]);
    let list = fine(user.ctr("login").arg("--list").run());
    assert!(list.lines().count() == 2 && list.contains("bob"), "{list}");
    assert_eq!(fine(user.ctr("login").args(["-q", "--list"]).run()), host);

    let other = user.ctr("login").args(["--remove", "other.example"]).fails(1);
    assert!(other.stderr.contains("no credential for other.example"), "{other}");
    assert_eq!(user.ctr("login").args(["--remove", &host]).ok(), host);
    let gone = user.ctr("fetch").args(["--name", "again", &registry.name("demo:1")]).fails(1);
    assert!(gone.stderr.contains("refuses access"), "{gone}");
}

#[test]
fn what_skopeo_wrote_is_used() {
    // spec: REG-20
    need!(root, "docker-registry", "htpasswd", "skopeo");
    let (registry, user) = (registry(), User::new());
    let login = Cmd::new("skopeo").args(["login", "--tls-verify=false", "-u", "bob", "--password-stdin", "--authfile"]);
    let path = user.write("home/.config/containers/auth.json", "{}");
    login.arg(&path).arg(registry.host()).input(PASSWORD).ok();
    assert!(fine(user.fetch(&registry)).contains(sample().digest()));
    // A file of a systemd unit goes before it, one that was named before all.
    let wrong = r#"{"auths":{"127.0.0.1":{},"HOST":{"auth":"Ym9iOndyb25n"}}}"#.replace("HOST", &registry.host());
    let unit = user.write("unit/ctr.auth.json", &wrong);
    let fetch = || user.ctr("fetch").args(["--name", "again", &registry.name("demo:1")]);
    let refused = fetch().env("CREDENTIALS_DIRECTORY", unit.parent().unwrap()).fails(1);
    refused.says(&format!("with the credential of \"{}\" in {}", registry.host(), unit.display()));
    let named = fetch().env("CREDENTIALS_DIRECTORY", unit.parent().unwrap()).env("REGISTRY_AUTH_FILE", &path);
    fine(named.run());
    let missing = fetch().args(["--authfile", "/no/such/file"]).fails(1);
    assert!(missing.stderr.contains("/no/such/file"), "{missing}");
}

#[test]
fn a_stale_credential_does_not_hide_a_public_image() {
    // spec: REG-30, REG-38
    need!(root, "docker-registry", "skopeo");
    let tokens = TokenServer::start("bob", PASSWORD);
    let registry = filled(DockerRegistry::new().login(Login::Token(&tokens)).start());
    let user = User::new();
    fine(user.login(&registry, "bob", PASSWORD));
    let done = user.fetch(&registry);
    assert!(!done.stderr.contains("warning"), "{done}");
    fine(done);
    // The password was changed meanwhile.
    let file = user.authfile();
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("Ym9iOmNvcnJlY3QtaG9yc2U=", "Ym9iOndyb25n")).unwrap();
    let user = User { root: Root::new() };
    let fetch = user.ctr("fetch").arg("--authfile").arg(&file).arg(registry.name("demo:1")).run();
    assert!(fetch.stderr.contains("warning: ") && fetch.stderr.contains(&file.display().to_string()), "{fetch}");
    assert!(!fetch.stderr.contains("wrong") && !fetch.stderr.contains("Ym9i"), "{fetch}");
    fetch.ok();
    user.login(&registry, "bob", "wrong").says("does not take");
}

#[test]
fn a_program_keeps_the_password() {
    // spec: REG-26, REG-27, REG-28
    need!(root, "docker-registry", "htpasswd", "skopeo");
    let (registry, user) = (registry(), User::new());
    let kept = user.root.file("kept").display().to_string();
    user.program(&format!(
        "case $1 in store) cat > {kept};; get) test -e {kept} && cat {kept} && exit; \
         echo credentials not found in native keychain; exit 1;; \
         list) echo '{{\"a.example\":\"ann\"}}';; erase) rm {kept};; esac"
    ));
    let file =
        user.write("run/containers/auth.json", &format!(r#"{{"credHelpers":{{"{}":"x"}},"more":1}}"#, registry.host()));
    user.fetch(&registry).says("refuses access to demo");
    fine(user.login(&registry, "bob", PASSWORD));
    assert!(fs::read_to_string(&kept).unwrap().contains(PASSWORD));
    assert!(!fs::read_to_string(&file).unwrap().contains("auths"));
    fine(user.fetch(&registry));
    let which = fine(user.ctr("login").args(["--which", &registry.name("demo")]).run());
    assert!(which.contains("docker-credential-x") && which.contains("bob"), "{which}");
    let namespace = format!("{}/team", registry.host());
    user.ctr("login")
        .args(["-u", "bob", "--password-stdin", &namespace])
        .input(PASSWORD)
        .fails(1)
        .says("whole registries");
    user.ctr("login").args(["--remove", &registry.host()]).ok();
    assert!(!PathBuf::from(&kept).exists());
    user.ctr("login").args(["--remove", &registry.host()]).fails(1);

    fs::write(&file, r#"{"credsStore":"x"}"#).unwrap();
    let list = fine(user.ctr("login").arg("--list").run());
    assert!(list.contains("a.example") && list.contains("ann"), "{list}");
}

#[test]
fn a_program_that_fails_is_named() {
    // spec: REG-27, REG-30
    need!(root);
    let user = User::new();
    let file = user.write("run/containers/auth.json", r#"{"credsStore":"x"}"#);
    let fetch = || {
        let cmd = user.ctr("fetch").arg("127.0.0.1:9/demo:1").env("CTR_CREDENTIAL_TIMEOUT", "300ms");
        let done = cmd.fails(1).says(&file.display().to_string());
        assert!(!done.stderr.contains("hunter2") && !done.stderr.contains('\x1b'), "{done}");
        done
    };
    fetch().says("docker-credential-x is not in PATH");
    user.program("sleep 600");
    fetch().says("did not end within 300ms");
    user.program("echo hunter2");
    fetch().says("printed something else than a credential");
    user.program("printf 'locked \\033[31m' >&2; exit 1");
    fetch().says("failed (exit status: 1)").says("locked \\x1b[31m");
    user.program("cat /dev/zero");
    fetch().says("printed more than");
    user.write("run/containers/auth.json", r#"{"credsStore":"../x"}"#);
    fetch().says("is not the name of a program");
}

#[test]
fn an_ordinary_user_s_program_runs_as_that_user() {
    // spec: REG-21
    need!(root, "docker-registry", "htpasswd", "skopeo", "setpriv", "useradd", "newuidmap");
    let registry = registry();
    let user = users::with_range();
    let (root, other) = (user.root(), User::new());
    let dir = root.file("user");
    fs::create_dir_all(dir.join("run/containers")).unwrap();
    let text = format!(r#"{{"credHelpers":{{"{}":"x"}}}}"#, registry.host());
    fs::write(dir.join("run/containers/auth.json"), text).unwrap();
    let seen = dir.join("seen").display().to_string();
    let script =
        format!("(id -u; cat /proc/self/uid_map) > {seen}; echo '{{\"Username\":\"bob\",\"Secret\":\"{PASSWORD}\"}}'");
    fs::create_dir(dir.join("bin")).unwrap();
    fs::write(dir.join("bin/docker-credential-x"), format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(dir.join("bin/docker-credential-x"), fs::Permissions::from_mode(0o755)).unwrap();
    Cmd::new("chown").args(["-R", &user.uid.to_string()]).arg(&dir).ok();
    let path = format!("{}:{}", dir.join("bin").display(), std::env::var("PATH").unwrap());
    let fetch = user.ctr(&root, "fetch").arg(registry.name("demo:1")).env("PATH", path);
    let done = fetch.env("XDG_RUNTIME_DIR", dir.join("run")).run();
    assert!(fine(done).contains(sample().digest()));
    let seen = fs::read_to_string(seen).unwrap();
    let mut lines = seen.lines();
    assert_eq!(lines.next(), Some(user.uid.to_string().as_str()));
    assert!(lines.next().is_some_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"])), "{seen}");
    assert!(other.fetch(&registry).code != 0, "without it nobody gets in");
}

#[test]
fn a_terminal_is_asked_and_shows_no_password() {
    // spec: CLI-140, REG-30
    need!(root, "docker-registry", "htpasswd", "skopeo");
    let (registry, user) = (registry(), User::new());
    let mut terminal = Pty::start(&user.ctr("login").arg(registry.host()));
    terminal.expect("User name for");
    let before = terminal.modes();
    terminal.line("bobx\x7f");
    terminal.expect("Password: ");
    terminal.line(&format!("wrong\x15{PASSWORD}x\x7f"));
    terminal.expect("logged in as bob");
    assert_eq!(terminal.wait(), 0);
    assert!(!terminal.seen().contains("correct") && !terminal.seen().contains("wrong"), "{}", terminal.seen());
    fine(user.fetch(&registry));
    // Given up: the terminal is as it was.
    let mut terminal = Pty::start(&user.ctr("login").args(["-u", "bob", &registry.host()]));
    let modes = terminal.modes();
    terminal.expect("Password: ");
    terminal.write("abc\x03");
    assert_eq!(terminal.wait(), 130);
    assert_ne!(before, modes, "the first one was taken while the terminal was raw");
    assert_eq!(terminal.modes(), modes);
    let nobody = user.ctr("login").arg(registry.host()).fails(1);
    assert!(nobody.stderr.contains("--password-stdin"), "{nobody}");
}

#[test]
fn output_is_as_its_schemas_say() {
    // spec: CLI-140 to CLI-143
    need!(root);
    let user = User::new();
    let conf = user.write("registries.conf", "");
    let json = |args: &[&str]| {
        let cmd = user.ctr("login").args(["--format", "json"]).args(args.iter().copied());
        let cmd = cmd.env("CONTAINERS_REGISTRIES_CONF", &conf);
        cmd.input("secret word").ok()
    };
    let login = json(&["-u", "bob", "--password-stdin", "--no-verify", "https://index.docker.io/v1/"]);
    schema::check_text("logged-in.json", &login);
    assert!(login.contains("docker.io") && !login.contains("secret"), "{login}");
    json(&["-u", "ann", "--password-stdin", "--no-verify", "registry.example.com/team"]);
    user.write("home/.docker/config.json", r#"{"auths":{"t.example":{"identitytoken":"secret"}}}"#);
    for args in
        [&["--list"][..], &["--which", "debian"], &["--which", "registry.example.com/a"], &["--which", "t.example/a"]]
    {
        let printed = json(args);
        let schema = if args.len() == 1 { "credentials.json" } else { "credential-which.json" };
        schema::check_text(schema, &printed);
        assert!(!printed.contains("secret"), "{printed}");
    }
    schema::check_text("logged-out.json", &json(&["--remove", "registry.example.com/team"]));
    for bad in [&["registry.example.com", "--list"][..], &["--password-stdin", "x"], &["x", "--which", "y"], &[]] {
        user.ctr("login").args(bad.iter().copied()).fails(2);
    }
    user.ctr("login").arg("registry.example.com/A").fails(2).says("lower case");
}
