//! Files and programs with credentials.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

/// base64 of `NAME:pw`.
fn auth(name: &str) -> String {
    use base64::Engine as _;
    format!(r#"{{"auth":"{}"}}"#, base64::engine::general_purpose::STANDARD.encode(format!("{name}:pw")))
}

struct Home {
    dir: tempfile::TempDir,
    places: Places,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| Some(dir.path().join(name));
        let places = Places {
            service: at("service"),
            runtime: at("runtime"),
            home: at("home"),
            uid: 12_345,
            ..Places::default()
        };
        Self { dir, places }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// `USER KEY` of the credential for `registry/path`, or the error.
    fn find(&self, registry: &str, path: &str) -> String {
        show(CredentialStore::new(&self.places).find(registry, path))
    }
}

fn show(found: Result<Option<Credential>, CredentialError>) -> String {
    match found {
        Ok(None) => "none".to_owned(),
        Ok(Some(Credential { kind, source })) => {
            let key = match source {
                Source::File { key, .. } => key,
                Source::Program { program, .. } => program,
                Source::Given => "given".to_owned(),
            };
            format!("{} {key}", kind.user().unwrap_or(&format!("{kind:?}")))
        }
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            format!("{error}{}", cause.unwrap_or_default())
        }
    }
}

#[test]
fn files_count_in_their_order() {
    // spec: REG-20, REG-21
    let home = Home::new();
    let files = [
        "service/ctr.auth.json",
        "runtime/containers/auth.json",
        "home/.config/containers/auth.json",
        "home/.docker/config.json",
        "home/.dockercfg",
    ];
    for (at, file) in files.iter().enumerate().rev() {
        let entry = auth(&format!("user{at}"));
        let text = format!(r#"{{"example.com":{entry}}}"#);
        home.write(file, &if at == 4 { text } else { format!(r#"{{"auths":{text}}}"#) });
        assert_eq!(home.find("example.com", "app"), format!("user{at} example.com"));
    }
    assert_eq!(home.find("other.example", "app"), "none");
    // A file that was named is the only one, and has to be there.
    let named = home.write("named.json", &format!(r#"{{"auths":{{"other.example":{}}}}}"#, auth("named")));
    let mut places = home.places.clone();
    places.authfile = Some(named.clone());
    let find = |places: &Places, registry| show(CredentialStore::new(places).find(registry, "app"));
    assert_eq!(
        (find(&places, "other.example"), find(&places, "example.com")),
        ("named other.example".into(), "none".into())
    );
    assert_eq!(places.primary(), named);
    places.authfile = Some(home.dir.path().join("missing.json"));
    assert!(find(&places, "example.com").contains("missing.json"));
    places.authfile = None;
    assert_eq!(places.primary(), home.dir.path().join("runtime/containers/auth.json"));
    places.runtime = None;
    assert_eq!(places.primary(), Path::new("/run/containers/12345/auth.json"));
    // $DOCKER_CONFIG and $XDG_CONFIG_HOME take the places of the directories below the home.
    let mut moved =
        Places { docker: Some(home.dir.path().join("d")), config: Some(home.dir.path().join("c")), ..places };
    home.write("d/config.json", &format!(r#"{{"auths":{{"d.example":{}}}}}"#, auth("d")));
    home.write("c/containers/auth.json", &format!(r#"{{"auths":{{"c.example":{}}}}}"#, auth("c")));
    moved.service = None;
    assert_eq!((find(&moved, "d.example"), find(&moved, "c.example")), ("d d.example".into(), "c c.example".into()));
    assert_eq!(find(&moved, "example.com"), "user4 example.com");
}

#[test]
fn the_longest_namespace_counts() {
    // spec: REG-22, REG-23
    let home = Home::new();
    let entries = [
        ("example.com", "host"),
        ("example.com/a", "a"),
        ("example.com/a/b/c", "c"),
        ("example.com:5000", "port"),
        ("https://index.docker.io/v1/", "hub"),
        ("docker.io/me", "me"),
        ("https://old.example/v1/", "old"),
        ("http://older.example/v2/x", "older"),
        ("slash.example/", "slash"),
        ("empty.example/a", ""),
        ("empty.example", "empty"),
    ];
    let entry = |name: &str| if name.is_empty() { "{}".to_owned() } else { auth(name) };
    let text = entries.map(|(key, name)| format!(r#""{key}":{}"#, entry(name))).join(",");
    home.write("runtime/containers/auth.json", &format!(r#"{{"auths":{{{text}}}}}"#));
    for (registry, path, expected) in [
        ("example.com", "a/b/c", "c example.com/a/b/c"),
        ("example.com", "a/b/c/d", "c example.com/a/b/c"),
        ("example.com", "a/b/cd", "a example.com/a"),
        ("example.com", "ab", "host example.com"),
        ("example.com", "", "host example.com"),
        ("example.com:5000", "a", "port example.com:5000"),
        ("example.com:5001", "a", "none"),
        ("sub.example.com", "a", "none"),
        ("docker.io", "library/debian", "hub https://index.docker.io/v1/"),
        ("docker.io", "me/app", "me docker.io/me"),
        ("old.example", "x", "old https://old.example/v1/"),
        ("older.example", "y", "older http://older.example/v2/x"),
        ("slash.example", "y", "slash slash.example/"),
        ("empty.example", "a", "empty empty.example"),
    ] {
        assert_eq!(home.find(registry, path), expected, "{registry}/{path}");
    }
}

#[test]
fn entries_have_several_forms() {
    // spec: REG-24
    let home = Home::new();
    for (entry, expected) in [
        (r#"{"auth":"bWU6cHc="}"#, "me k.example"),
        (r#"{"auth":"bWU6cHc"}"#, "me k.example"),
        (r#"{"auth":"bWU6cHc=\n"}"#, "me k.example"),
        (r#"{"username":"me","password":"pw"}"#, "me k.example"),
        (r#"{"auth":"bWU6cHc=","identitytoken":"x"}"#, "IdentityToken(***) k.example"),
        (r#"{"registrytoken":"x","identitytoken":"y"}"#, "RegistryToken(***) k.example"),
        (r#"{"auth":"","email":"x"}"#, "none"),
        ("{}", "none"),
    ] {
        home.write("runtime/containers/auth.json", &format!(r#"{{"auths":{{"k.example":{entry}}},"more":1}}"#));
        assert_eq!(home.find("k.example", "a"), expected, "{entry}");
    }
    let store = CredentialStore::new(&home.places);
    home.write("runtime/containers/auth.json", r#"{"auths":{"k.example":{"auth":"bWU6YTpi"}}}"#);
    let Some(Credential { kind: CredentialKind::Password { password, .. }, .. }) = store.find("k.example", "").unwrap()
    else {
        panic!("no password");
    };
    assert_eq!(password.expose(), "a:b", "the first colon ends the user");
}

#[test]
fn a_bad_file_is_named_and_not_quoted() {
    // spec: REG-25, REG-30
    let home = Home::new();
    for text in [
        "{",
        "[]",
        r#"{"auths":{"k.example":"c2VjcmV0"}}"#,
        r#"{"auths":{"k.example":{"auth":["c2VjcmV0"]}}}"#,
        r#"{"auths":{"k.example":{"auth":"c2VjcmV0"}}}"#,
        r#"{"auths":{"k.example":{"auth":"!c2VjcmV0"}}}"#,
        r#"{"auths":{"k.example":{"auth":"Og=="}}}"#,
        &" ".repeat((1 << 20) + 1),
    ] {
        let path = home.write("runtime/containers/auth.json", text);
        let error = home.find("k.example", "a");
        assert!(error.contains(&path.display().to_string()), "{error}");
        assert!(!error.contains("c2VjcmV0") && !error.contains("secret"), "{error}");
    }
    home.write("runtime/containers/auth.json", "\n");
    assert_eq!(home.find("k.example", "a"), "none", "an empty file says nothing");
    fs::remove_file(home.dir.path().join("runtime/containers/auth.json")).unwrap();
    fs::create_dir(home.dir.path().join("runtime/containers/auth.json")).unwrap();
    assert!(home.find("k.example", "a").contains("auth.json"));
}

/// A credential program, called by its path below `PATH`: unit tests run in threads of one process, so `PATH` itself stays.
fn program(dir: &Path, script: &str) -> Program {
    let path = dir.join("docker-credential-x");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    Program::at(&path, Duration::from_secs(10))
}

#[test]
fn programs_speak_their_protocol() {
    // spec: REG-26
    let dir = tempfile::tempdir().unwrap();
    let get = |script: &str| {
        let got = program(dir.path(), script).get("example.com");
        got.map(|got| got.map(|(user, secret)| format!("{user} {}", secret.expose())))
            .map_err(|error| error.to_string())
    };
    let good = r#"read server; printf '{"ServerURL":"%s","Username":"me","Secret":"%s"}' "$server" "$1-$server""#;
    assert_eq!(get(good).unwrap().unwrap(), "me get-example.com");
    assert_eq!(get("echo 'credentials not found in native keychain'; exit 1").unwrap(), None);
    assert_eq!(get(r#"echo '{"Username":"","Secret":""}'"#).unwrap(), None);
    // It leaves a process behind that has its pipes: nobody waits for that.
    assert_eq!(get(&format!("{good}; sleep 600 & ")).unwrap().unwrap(), "me get-example.com");
    let failed = |script: &str| get(script).unwrap_err();
    assert!(failed("echo locked; echo why >&2; exit 1").contains("locked; why"));
    assert!(failed("kill -9 $$").contains("signal: 9"));
    let junk = failed("echo 'hunter2'");
    assert!(junk.contains("not the JSON") && !junk.contains("hunter2"), "{junk}");
    let leak = failed(r#"echo '{"Secret":"hunter2"}'; exit 1"#);
    assert!(!leak.contains("hunter2"), "{leak}");
    assert!(failed("yes").contains("more than"));
    assert!(failed("exec 1>&-; printf '\\377' >&2; exit 3").contains("exit status: 3"));

    let kept = dir.path().join("kept");
    let keep = program(dir.path(), &format!("cat > {}", kept.display()));
    keep.store("example.com", "me", &Secret::new("p\"w")).unwrap();
    let stored: serde_json::Value = serde_json::from_slice(&fs::read(&kept).unwrap()).unwrap();
    assert_eq!(stored, serde_json::json!({"ServerURL": "example.com", "Username": "me", "Secret": "p\"w"}));
    assert!(keep.erase("example.com").unwrap());
    assert_eq!(fs::read(&kept).unwrap(), b"example.com");
    let list = program(dir.path(), r#"echo '{"https://a.example":"me"}'"#).list().unwrap();
    assert_eq!(list.into_iter().collect::<Vec<_>>(), [("https://a.example".to_owned(), "me".to_owned())]);
}

#[test]
fn programs_that_hang_or_are_not_there_are_errors() {
    // spec: REG-27
    let dir = tempfile::tempdir().unwrap();
    program(dir.path(), "sleep 600");
    let hangs = Program::at(&dir.path().join("docker-credential-x"), Duration::from_millis(200));
    assert!(hangs.get("example.com").unwrap_err().to_string().contains("did not end within"));
    let missing = Program::new("ctr-none", PROGRAM_TIME).unwrap().get("example.com").unwrap_err();
    assert_eq!(missing.to_string(), "docker-credential-ctr-none is not in PATH");
    fs::set_permissions(dir.path().join("docker-credential-x"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(hangs.get("example.com").unwrap_err().to_string().contains("cannot be executed"));
    for name in ["", "../x", "a b", "a/b", "x;y", ".x", &"n".repeat(65)] {
        assert!(Program::new(name, PROGRAM_TIME).is_err(), "{name}");
    }
    let home = Home::new();
    for text in [r#"{"credHelpers":{"k.example":"ctr-none"}}"#, r#"{"credsStore":"ctr-none"}"#] {
        let path = home.write("runtime/containers/auth.json", text);
        let error = home.find("k.example", "a");
        assert!(error.contains("docker-credential-ctr-none") && error.contains(&path.display().to_string()), "{error}");
    }
    let text = format!(
        r#"{{"credsStore":"ctr-none","credHelpers":{{"k.example":""}},"auths":{{"k.example":{}}}}}"#,
        auth("me")
    );
    home.write("runtime/containers/auth.json", &text);
    assert_eq!(home.find("k.example", "a"), "me k.example", "an empty name is the file itself");
}

#[test]
fn a_list_shows_no_secrets() {
    // spec: REG-30
    let home = Home::new();
    let text = format!(
        r#"{{"credsStore":"s","credHelpers":{{"h.example":"h"}},"auths":{{"k.example":{},"e.example":{{}}}}}}"#,
        auth("me")
    );
    home.write("runtime/containers/auth.json", &text);
    let list = CredentialStore::new(&home.places).list().unwrap();
    let keys: Vec<_> = list.iter().map(|known| known.key.as_deref()).collect();
    assert_eq!(keys, [Some("h.example"), None, Some("k.example")]);
    // The directory has a name by chance.
    let shown = format!("{list:?}").replace(&home.dir.path().display().to_string(), "");
    assert!(!shown.contains("pw"), "{shown}");
}
