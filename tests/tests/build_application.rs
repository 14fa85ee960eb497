//! A real application: Debian with Python, several stages, built, run, pushed, and pulled by another tool.

use std::fs;

use ctr_tests::scratch::{Cmd, Root};
use ctr_tests::servers::DockerRegistry;
use ctr_tests::{images, need};

const DOCKERFILE: &str = r#"# syntax=docker/dockerfile:1
ARG BASE=debian:app
FROM ${BASE} AS base
RUN useradd --create-home --uid 1234 app

FROM base AS assets
WORKDIR /assets
COPY words.txt .
RUN <<EOF
set -e
sort -u words.txt > sorted.txt
python3 - <<PYTHON
lines = open("sorted.txt").read().split()
open("count.txt", "w").write(str(len(lines)))
PYTHON
EOF

FROM base AS test
COPY app.py /
RUN python3 -m py_compile /app.py

FROM base
ENV GREETING="good day"
WORKDIR /srv/app
COPY --chown=app --chmod=0755 app.py ./
COPY --from=assets --chown=app /assets/*.txt data/
USER app
HEALTHCHECK --interval=30s CMD ["python3", "/srv/app/app.py", "--check"]
EXPOSE 8000
ENTRYPOINT ["python3", "app.py"]
"#;

const APP: &str = r#"import os, sys
count = open("data/count.txt").read()
print(os.environ["GREETING"], os.getuid(), os.getcwd(), count, *sys.argv[1:])
"#;

#[test]
fn an_application_is_built_run_pushed_and_pulled() {
    // spec: BUILD-80 BUILD-111
    need!(root, "mmdebstrap", "podman");
    let root = Root::new();
    root.fetch(&images::debian(), "debian:app");
    let context = root.file("context");
    fs::create_dir(&context).unwrap();
    for (name, text) in [("Dockerfile", DOCKERFILE), ("app.py", APP), ("words.txt", "b\na\nb\nc\n")] {
        fs::write(context.join(name), text).unwrap();
    }
    let registry = DockerRegistry::new().start();
    let name = registry.name("team/app:1");
    let build = |options: &[&str]| {
        let command = root.ctr("build").args(["--pull=never", "--quiet", "--tag", &name]);
        command.args(options.iter().copied()).arg(&context).ok()
    };
    let digest = build(&["--push", "--sbom=spdx", "--provenance"]);
    assert_eq!(build(&[]), digest);
    let printed = root.ctr("run").args(["--wait", "--rm", &name, "more"]).ok();
    assert_eq!(printed, "good day 1234 /srv/app 3 more");
    // What pip and compilers leave is no part of what a stage does not hand on.
    let tar = root.file("app.tar");
    build(&["--output", &format!("type=tar,dest={}", tar.display())]);
    let listed = Cmd::new("tar").args(["tf"]).arg(&tar).ok();
    assert!(listed.lines().any(|line| line == "srv/app/data/sorted.txt"), "{listed}");
    assert!(!listed.contains("__pycache__/app.") && !listed.contains("assets/"), "{listed}");
    let (storage, run) = (root.file("podman").display().to_string(), root.file("podman-run").display().to_string());
    let podman = |args: &[&str]| {
        let own = ["--root", &storage, "--runroot", &run, "--storage-driver", "vfs"];
        Cmd::new("podman").args(own).args(args.iter().copied()).ok()
    };
    podman(&["pull", "-q", "--tls-verify=false", &name]);
    assert_eq!(podman(&["image", "inspect", "--format", "{{.Digest}}", &name]), digest);
    assert_eq!(podman(&["image", "inspect", "--format", "{{.User}} {{.Config.WorkingDir}}", &name]), "app /srv/app");
}

const COMPILED: &str = "FROM debian:app AS toolchain
COPY --from=rust bin/rustc /opt/rust/bin/rustc
COPY --from=rust lib/librustc_driver-* lib/libLLVM* /opt/rust/lib/
COPY --from=rust lib/rustlib/x86_64-unknown-linux-musl /opt/rust/lib/rustlib/x86_64-unknown-linux-musl
COPY --from=rust lib/rustlib/x86_64-unknown-linux-gnu /opt/rust/lib/rustlib/x86_64-unknown-linux-gnu
ENV PATH=/opt/rust/bin:/usr/bin:/bin

FROM toolchain AS build
WORKDIR /src
COPY main.rs .
RUN rustc -O --target x86_64-unknown-linux-musl -C linker=rust-lld -C link-self-contained=yes main.rs -o /app

FROM scratch
COPY --from=build /app /app
ENTRYPOINT [\"/app\"]
";

#[test]
#[cfg(target_arch = "x86_64")]
fn a_program_is_compiled_in_one_stage_and_shipped_in_another() {
    // spec: BUILD-80 BUILD-87
    need!(root, "mmdebstrap");
    let root = Root::new();
    root.fetch(&images::debian(), "debian:app");
    let context = root.file("context");
    fs::create_dir(&context).unwrap();
    fs::write(context.join("Dockerfile"), COMPILED).unwrap();
    let program = "fn main() { println!(\"{} words\", std::env::args().count() - 1); }\n";
    fs::write(context.join("main.rs"), program).unwrap();
    let toolchain = format!("rust={}", Cmd::new("rustc").args(["--print", "sysroot"]).ok());
    let build = |more: &str| {
        let command = root.ctr("build").args(["--pull=never", "--tag", "compiled", "--build-context", &toolchain]);
        command.arg(more).arg(&context).ok()
    };
    let digest = build("--quiet");
    assert_eq!(root.ctr("run").args(["--wait", "--rm", "compiled", "a", "b"]).ok(), "2 words");
    // The program alone changes: the toolchain is not copied again.
    fs::write(context.join("main.rs"), program.replace("words", "arguments")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&build("--format=json")).unwrap();
    assert_eq!((&json["steps"]["cached"], &json["steps"]["run"]), (&5.into(), &3.into()));
    assert_ne!(json["digest"], digest.trim());
}
