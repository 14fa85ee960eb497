//! The manifests of the actool comparison (good and bad), as a table.

use super::*;

const HEAD: &str = r#""acKind":"ImageManifest","acVersion":"0.8.11","name":"example.com/worker""#;

fn with(fields: &str) -> String {
    format!("{{{HEAD}{}{fields}}}", if fields.is_empty() { "" } else { "," })
}

fn app(fields: &str) -> String {
    with(&format!(r#""app":{{"user":"0","group":"0"{}{fields}}}"#, if fields.is_empty() { "" } else { "," }))
}

#[test]
fn a_full_manifest_is_mapped() {
    let text = with(
        r#""labels":[{"name":"version","value":"1.2.3"},{"name":"os","value":"linux"},{"name":"arch","value":"aarch64"},
            {"name":"channel","value":"beta"}],
        "annotations":[{"name":"created","value":"2015-01-02T03:04:05Z"},{"name":"homepage","value":"https://example.com"}],
        "app":{"exec":["/bin/worker","-v"],"user":"100","group":"staff","workingDirectory":"/srv",
        "environment":[{"name":"A","value":"b=c"}],
        "mountPoints":[{"name":"data","path":"/data"},{"name":"conf","path":"/etc/w","readOnly":true}],
        "ports":[{"name":"web","protocol":"tcp","port":8000,"count":2,"socketActivated":true}],
        "isolators":[{"name":"resource/memory","value":{"limit":"1G"}}],
        "eventHandlers":[{"name":"pre-start","exec":["/x"]}],"userLabels":{"team":"x"}}"#,
    );
    let image = parse(text.as_bytes()).unwrap();
    assert_eq!((image.name.as_str(), image.version.as_deref()), ("example.com/worker", Some("1.2.3")));
    let config = &image.config;
    assert_eq!(config.platform.as_ref().unwrap().to_string(), "linux/arm64");
    assert_eq!(config.entrypoint, ["/bin/worker", "-v"]);
    assert_eq!((config.user.as_str(), config.working_dir.as_str()), ("100:staff", "/srv"));
    assert_eq!(config.env, ["A=b=c"]);
    assert_eq!(config.volumes, ["/data", "/etc/w"]);
    assert_eq!(config.exposed_ports, ["8000/tcp", "8001/tcp"]);
    assert_eq!(config.created, "2015-01-02T03:04:05Z");
    assert_eq!(config.labels["channel"], "beta");
    assert_eq!(config.labels["team"], "x");
    assert!(image.annotations[PORTS].contains("socketActivated\":true"));
    assert!(image.annotations[MOUNT_POINTS].contains("\"conf\""));
    assert_eq!(image.notes.len(), 2, "isolators and event handlers: {:?}", image.notes);
}

#[test]
fn what_is_good_is_taken() {
    for good in [
        with(""),
        with(r#""unknownField":{"a":1}"#),
        with(r#""labels":[{"name":"arch","value":"riscv64"}]"#),
        with(r#""labels":[{"name":"arch","value":"amd64"}]"#),
        with(r#""app":null,"dependencies":[],"pathWhitelist":null"#),
        app(""),
        app(r#""exec":["/bin/sh"],"user2":"x""#),
        app(r#""environment":[{"name":"a.b_C1","value":""}]"#),
    ] {
        assert!(parse(good.as_bytes()).is_ok(), "{good}: {:?}", parse(good.as_bytes()).err());
    }
}

#[test]
fn what_is_bad_is_refused_with_the_reason() {
    for (bad, reason) in [
        (with("").replace("ImageManifest", "PodManifest"), "acKind"),
        (with("").replace("0.8.11", "8"), "acVersion"),
        (with("").replace("example.com/worker", "Example"), "AC Identifier"),
        (with("").replace("example.com/worker", "a//b"), "AC Identifier"),
        (with(r#""labels":[{"name":"a","value":"1"},{"name":"a","value":"2"}]"#), "twice"),
        (with(r#""name":"x""#), "acceptable JSON"),
        (with(r#""dependencies":[{"imageName":"example.com/base"}]"#), "example.com/base"),
        (with(r#""pathWhitelist":["/a"]"#), "pathWhitelist"),
        (app(r#""exec":[]"#), "exec is empty"),
        (app(r#""exec":["bin/sh"]"#), "no absolute path"),
        (app("").replace(r#""user":"0""#, r#""user":"""#), "app.user"),
        (app("").replace(r#""user":"0""#, r#""user":"/etc/passwd""#), "owner of the file"),
        (app(r#""workingDirectory":"srv""#), "workingDirectory"),
        (app(r#""environment":[{"name":"1A","value":""}]"#), "environment"),
        (app(r#""environment":[{"name":"A","value":""},{"name":"A","value":""}]"#), "twice"),
        (app(r#""mountPoints":[{"name":"a","path":"/a"},{"name":"a","path":"/b"}]"#), "twice"),
        (app(r#""mountPoints":[{"name":"a","path":"a"}]"#), "not absolute"),
        (app(r#""mountPoints":[{"name":"a","path":"/x/../../etc"}]"#), "not absolute"),
        (app(r#""ports":[{"name":"a","protocol":"tcp","port":70000}]"#), "70000"),
        (app(r#""ports":[{"name":"a","protocol":"tcp","port":65535,"count":2}]"#), "65535"),
        (app(r#""ports":[{"name":"a","protocol":"tcp","port":4294967295,"count":4294967295}]"#), "4294967295"),
        (app(r#""isolators":[{"value":1}]"#), "without a name"),
        (
            app(
                r#""isolators":[{"name":"os/linux/capabilities-retain-set"},{"name":"os/linux/capabilities-remove-set"}]"#,
            ),
            "both",
        ),
        (app("\"exec\":[\"/a\\u0000b\"]"), "NUL"),
    ] {
        match parse(bad.as_bytes()) {
            Ok(_) => panic!("taken: {bad}"),
            Err(error) => assert!(error.to_string().contains(reason), "{bad}: {error}"),
        }
    }
}
