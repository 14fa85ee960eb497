//! What a build that fails says: which instruction, of which file or base image, and that others leave it at that.

use std::fs;
use std::path::PathBuf;

use ctr_tests::build::Builder;
use ctr_tests::need;
use ctr_tests::pty::Pty;
use ctr_tests::scratch::{Cmd, Done};

fn context(builder: &Builder, dockerfile: &str) -> PathBuf {
    builder.context(&[("Dockerfile", dockerfile)])
}

fn build(builder: &Builder, dockerfile: &str) -> Cmd {
    let dir = context(builder, dockerfile);
    builder.ctr("build").args(["--pull=never", "--progress=none", "--tag", "made"]).arg(dir)
}

/// The error, without what comes before it.
fn error(done: &Done) -> String {
    let at = done.stderr.rfind("ctr-build: Dockerfile:").unwrap_or_else(|| panic!("no error with a place: {done}"));
    done.stderr[at..].to_owned()
}

fn is_there(builder: &Builder, name: &str) -> bool {
    builder.ctr("image").args(["inspect", name]).run().code == 0
}

// spec: BUILD-138
#[test]
fn an_error_of_a_trigger_says_whose_it_is() {
    need!(root);
    let builder = Builder::new();
    let below = |triggers: &str| {
        let dir = context(&builder, &format!("FROM base/busybox:1\n{triggers}"));
        builder.ctr("build").args(["--pull=never", "--quiet", "--tag", "base/below:1"]).arg(dir).ok();
    };
    // What is not there, behind a trigger that is carried out.
    below("ONBUILD RUN echo first\nONBUILD COPY nothing \\\n  /x\n");
    let done = build(&builder, "# the base\nFROM base/below:1 AS above\nRUN true\n").fails(1);
    let said = error(&done);
    assert!(said.starts_with("ctr-build: Dockerfile:2: in the ONBUILD trigger 2 of base/below:1: "), "{said}");
    let lines: Vec<&str> = said.lines().map(str::trim_end).collect();
    let excerpt = ["    2 | FROM base/below:1 AS above", "    ONBUILD trigger 2:", "    1 | COPY nothing   /x"];
    assert!(lines.windows(3).any(|three| three == excerpt), "{lines:#?}");

    // A variable: the mark stands in the trigger's own text.
    below("ONBUILD RUN echo first\nONBUILD ENV A=${NEEDED:?must_be}\n");
    let said = error(&build(&builder, "FROM base/below:1\n").fails(1));
    let excerpt = [
        "    1 | FROM base/below:1",
        "    ONBUILD trigger 2:",
        "    1 | ENV A=${NEEDED:?must_be}",
        "      |       ^^^^^^^^^^^^^^^^^^",
    ];
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.windows(4).any(|four| four == excerpt), "{lines:#?}");
    assert!(said.contains("the variable NEEDED is required: must_be"), "{said}");

    // A command: what it said last stands behind.
    below("ONBUILD RUN echo in the trigger; exit 3\n");
    let said = error(&build(&builder, "FROM base/below:1\n").fails(1));
    assert!(said.contains("trigger 1 of base/below:1: the command ended with status 3"), "{said}");
    let (trigger, last) = (said.find("1 | RUN echo in").unwrap(), said.rfind("in the trigger").unwrap());
    assert!(trigger < last, "{said}");
    assert!(!is_there(&builder, "made"));
}

// spec: BUILD-138
#[test]
fn triggers_are_read_before_the_first_is_carried_out() {
    need!(root, "skopeo");
    let builder = Builder::new();
    let ran = builder.root.file("ran");
    fs::create_dir_all(&ran).unwrap();
    // Only another builder lets such triggers through: they are written into its image.
    for (trigger, what) in [
        ("RUN --nothing true", "there is no option --nothing"),
        ("WHAT x", "there is no instruction \"WHAT\""),
        ("FROM scratch", "FROM cannot be an ONBUILD trigger"),
        ("RUN true\nRUN true", "an ONBUILD trigger is one instruction"),
        ("", "has no instruction"),
    ] {
        let layout = builder.root.file("layout");
        let _ = fs::remove_dir_all(&layout);
        let dir = context(&builder, "FROM base/busybox:1\nONBUILD RUN echo carried-out\nONBUILD RUN placeholder\n");
        let output = format!("type=oci,dest={}", layout.display());
        builder.ctr("build").args(["--pull=never", "--quiet", "--output", &output]).arg(dir).ok();
        let script = "
import hashlib, json, sys
layout, trigger = sys.argv[1:]
def put(value):
    text = json.dumps(value).encode()
    name = hashlib.sha256(text).hexdigest()
    open(f'{layout}/blobs/sha256/{name}', 'wb').write(text)
    return {'digest': 'sha256:' + name, 'size': len(text)}
read = lambda one: json.load(open(f\"{layout}/blobs/{one['digest'].replace(':', '/')}\"))
index = json.load(open(layout + '/index.json'))
manifest = read(index['manifests'][0])
config = read(manifest['config'])
config['config']['OnBuild'][1] = trigger
manifest['config'].update(put(config))
index['manifests'][0].update(put(manifest))
json.dump(index, open(layout + '/index.json', 'w'))
";
        Cmd::new("python3").args(["-c", script]).arg(&layout).arg(trigger).ok();
        builder
            .ctr("fetch")
            .args(["--quiet", "--pull=always", "--name", "base/hostile:1", &format!("oci:{}", layout.display())])
            .ok();
        let dir = context(&builder, "FROM base/hostile:1\n");
        let done = builder.ctr("build").args(["--pull=never", "--progress=plain", "--no-cache"]).arg(dir).fails(1);
        let said = error(&done);
        let expected = format!("Dockerfile:1: in the ONBUILD trigger 2 of base/hostile:1: {what}");
        assert!(said.contains(&expected) || said.contains(what) && trigger.is_empty(), "{trigger:?}: {said}");
        assert!(!done.stderr.contains("| carried-out"), "{trigger:?}: {done}");
    }
}

// spec: BUILD-135
#[test]
fn what_is_no_instruction_is_told_whatever_is_built() {
    need!(root);
    let builder = Builder::new();
    for (text, place, what) in [
        ("FROM base/busybox:1 AS a\nRUN true\nFROM scratch\nCOPY --wrong a b\n", "4:6", "no option --wrong"),
        ("FROM base/busybox:1 AS a\nRUN true\nFROM scratch\nENV a\n", "4:1", "ENV takes KEY=VALUE"),
        ("FROM base/busybox:1 AS a\nRUN true\nFROM scratch\nRUN --network=x y\n", "4:5", "default, none or host"),
        ("FROM base/busybox:1 AS a\nRUN true\nFROM scratch\nNOTHING\n", "4:1", "no instruction \"NOTHING\""),
        ("FROM base/busybox:1 AS a\nRUN true\nFROM scratch\nRUN --mount=a\\\"b y\n", "4:5", "quote within a field"),
        ("FROM base/busybox:1 AS a\nRUN true\nFROM $empty AS 1\n", "3:1", "no name of a stage"),
        ("FROM base/busybox:1 AS a\nONBUILD RUN \nFROM scratch\nARG =\n", "4:1", "a name is empty"),
    ] {
        for option in ["--target=a", "--check"] {
            let done = build(&builder, text).arg(option).fails(1);
            assert!(error(&done).starts_with(&format!("ctr-build: Dockerfile:{place}: ")), "{option} {text:?}: {done}");
            done.says(what);
        }
    }
    // What only values make wrong is told where it is due.
    let text = "FROM base/busybox:1 AS a\nFROM scratch\nCOPY nothing ${x!}\nEXPOSE nothing\nSTOPSIGNAL x\nUSER $x\n";
    build(&builder, text).arg("--target=a").ok();
    assert!(error(&build(&builder, text).fails(1)).contains("Dockerfile:3:"));
}

// spec: BUILD-94
#[test]
fn a_base_of_another_platform_is_an_error() {
    need!(root);
    let builder = Builder::new();
    let other = if cfg!(target_arch = "x86_64") { "linux/s390x" } else { "linux/amd64" };
    let layout = builder.root.file("other");
    let output = format!("type=oci,dest={}", layout.display());
    let dir = context(&builder, "FROM scratch\nCOPY Dockerfile /\n");
    builder.ctr("build").args(["--quiet", "--platform", other, "--output", &output]).arg(dir).ok();
    builder
        .ctr("fetch")
        .args(["--platform", other, "--name", "base/other:1"])
        .arg(format!("oci:{}", layout.display()))
        .ok();
    let done = build(&builder, "FROM base/other:1\nENV A=b\n").fails(1);
    assert!(error(&done).contains("the store has base/other:1, but not for linux/"), "{done}");
    let done = build(&builder, &format!("FROM oci:{}\nENV A=b\n", layout.display())).fails(1);
    let done = done.says(&format!("is an image for {other}, not for linux/"));
    assert!(!done.stderr.contains("InvalidDefaultArgInFrom"), "{done}");
    assert!(!is_there(&builder, "made"));
    // Who asks for it has it.
    let text = format!("FROM --platform={other} base/other:1\nENV A=b\n");
    build(&builder, &text).ok();
}

// spec: BUILD-139
#[test]
fn only_the_first_failure_has_a_shell() {
    need!(root);
    let builder = Builder::new();
    let cache = "--mount=type=cache,target=/c";
    let wait = |name: &str| format!("until [ -e /c/{name} ]; do sleep 0.1; done");
    let text = format!(
        "FROM base/busybox:1 AS one
RUN {cache} {two_begun}; exit 3
FROM base/busybox:1 AS two
RUN {cache} touch /c/two-begun; {shell}; touch /c/two-ends; exit 4
FROM base/busybox:1
COPY --from=one /bin/busybox /one
COPY --from=two /bin/busybox /two
",
        two_begun = wait("two-begun"),
        shell = wait("shell"),
    );
    let command = build(&builder, &text).args(["--on-error=shell", "--jobs=4"]).env("TERM", "xterm");
    let mut pty = Pty::start(&command);
    pty.expect("a shell where it failed");
    pty.expect("# ");
    // The other one fails while this shell is there.
    pty.line(&format!("touch /c/shell; {}; sleep 1; echo looked $((40+2)); exit", wait("two-ends")));
    pty.expect("looked 42");
    assert_eq!(pty.wait(), 1);
    let seen = pty.seen();
    assert_eq!(seen.matches("a shell where it failed").count(), 1, "{seen}");
    assert!(seen.contains("Dockerfile:2: the command ended with status 3"), "{seen}");
    assert!(!seen.contains("ended with status 4"), "{seen}");
}
