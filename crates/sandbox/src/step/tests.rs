//! A step survives its way to another process, and shows no secret.

use super::*;

fn step() -> Step {
    Step {
        isolation: StepIsolation::Namespaces,
        layers: vec!["/s/layers/a/fs".into(), "/s/layers/b/fs".into()],
        upper: "/s/txn/upper".into(),
        scratch: "/s/txn/scratch".into(),
        user_xattrs: false,
        args: vec!["/bin/sh".to_owned(), "-c".to_owned(), "make \"all\"\n".to_owned()],
        env: vec!["PATH=/bin".to_owned()],
        cwd: "/src".to_owned(),
        user: "app:1000".to_owned(),
        groups: vec!["audio".to_owned()],
        mounts: vec![
            StepMount::Bind {
                source: BindSource::Layers(vec!["/s/layers/c/fs".into()]),
                subpath: "out".to_owned(),
                target: "/in".to_owned(),
                writable: true,
            },
            StepMount::Bind {
                source: BindSource::Host("/context".into()),
                subpath: String::new(),
                target: "/context".to_owned(),
                writable: false,
            },
            StepMount::Cache { source: "/s/cache/x".into(), target: "/var/cache".to_owned(), read_only: false },
            StepMount::Tmpfs { target: "/tmp".to_owned(), size: Some(4096) },
            StepMount::Secret {
                content: Content(b"\0\xffhunter2".to_vec()),
                target: "/run/secrets/token".to_owned(),
                mode: 0o400,
                uid: 0,
                gid: 0,
            },
            StepMount::Socket { source: "/run/agent".into(), target: "/run/ssh".to_owned() },
        ],
        network: StepNetwork::None,
        hostname: "build".to_owned(),
        hosts: vec![("::1".parse().unwrap(), "db".to_owned())],
        insecure: false,
        shm_size: 64 << 20,
        terminal: false,
    }
}

#[test]
fn json_keeps_everything() {
    let text = serde_json::to_string(&step()).unwrap();
    assert_eq!(serde_json::from_str::<Step>(&text).unwrap(), step());
}

#[test]
fn a_field_that_is_not_known_is_an_error() {
    let text = serde_json::to_string(&step()).unwrap().replacen("\"upper\"", "\"uper\"", 1);
    assert!(serde_json::from_str::<Step>(&text).is_err());
}

#[test]
fn no_secret_is_shown() {
    let shown = format!("{:?}", step());
    assert!(shown.contains("Content(9 bytes)"), "{shown}");
    assert!(!shown.contains("hunter2") && !shown.contains("104, 117"), "{shown}");
}
