//! What a step depends on is changed: a build from the cache gives what a build without it gives.

use std::fs;
use std::path::Path;

use ctr_tests::build::Builder;
use ctr_tests::build::image::Image;
use ctr_tests::need;
use ctr_tests::scratch::Cmd;

/// Whether the image is another one after the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Changed,
    Same,
}
use Then::{Changed, Same};

/// Name, Dockerfile behind `FROM base/busybox:1`, script before the first build, script before the second, what follows.
type Mutation = (&'static str, &'static str, &'static str, &'static str, Then);

const MUTATIONS: &[Mutation] = &[
    ("content", "COPY a /a", "echo 1 > a", "echo 2 > a", Changed),
    (
        "content of the same size and time",
        "COPY a /a",
        "echo 1 > a; touch -d @9 a",
        "echo 2 > a; touch -d @9 a",
        Changed,
    ),
    ("time", "COPY a /a\nRUN cat /a > /b", "echo 1 > a", "touch -d @9 a", Same),
    ("mode", "COPY a /a", "echo 1 > a", "chmod 755 a", Changed),
    ("target of a link", "COPY d /d", "mkdir d; ln -s x d/l", "ln -sfn y d/l", Changed),
    ("added file", "COPY d /d", "mkdir d; echo 1 > d/a", "echo 1 > d/b", Changed),
    ("removed file", "COPY d /d", "mkdir d; echo 1 > d/a; echo 2 > d/b", "rm d/b", Changed),
    ("renamed file", "COPY d /d", "mkdir d; echo 1 > d/a", "mv d/a d/b", Changed),
    ("empty directory", "COPY d /d", "mkdir d; echo 1 > d/a", "mkdir d/e", Changed),
    ("file becomes a directory", "COPY d /d", "mkdir d; echo 1 > d/a", "rm d/a; mkdir d/a", Changed),
    ("attribute", "COPY d /d", "mkdir d; echo 1 > d/a", "setfattr -n user.x -v 1 d/a", Changed),
    ("file that no step reads", "COPY a /a\nRUN echo > /t", "echo 1 > a; echo 1 > z", "echo 2 > z", Same),
    ("ignored file", "COPY . /d", "echo z > .dockerignore; echo 1 > z", "echo 2 > z", Same),
    ("rules of what is ignored", "COPY . /d", "echo z > .dockerignore; echo 1 > z", "echo y > .dockerignore", Changed),
    ("another match of a pattern", "COPY *.x /d/", "echo 1 > a.x", "echo 1 > b.x", Changed),
    ("mounted file", "RUN --mount=type=bind,source=a,target=/m cat /m > /o", "echo 1 > a", "echo 2 > a", Changed),
    (
        "file below a mount",
        "RUN --mount=type=bind,target=/m cat /m/d/a > /o",
        "mkdir d; echo 1 > d/a",
        "echo 2 > d/a",
        Changed,
    ),
    (
        "mode of a mounted file",
        "RUN --mount=type=bind,source=a,target=/m stat -c %a /m > /o",
        "echo > a",
        "chmod 600 a",
        Changed,
    ),
    (
        "file of a mounted stage",
        "COPY a /a\nFROM base/busybox:1\nRUN --mount=type=bind,from=0,source=/a,target=/m cat /m > /o",
        "echo 1 > a",
        "echo 2 > a",
        Changed,
    ),
    (
        "file of another stage",
        "COPY a /a\nFROM base/busybox:1\nCOPY --from=0 /a /b",
        "echo 1 > a",
        "echo 2 > a",
        Changed,
    ),
    (
        "file of a stage that is not copied",
        "COPY . /c\nFROM base/busybox:1\nCOPY --from=0 /c/a /b",
        "echo 1 > a; echo 1 > b",
        "echo 2 > b",
        Same,
    ),
    ("mode of a parent that is kept", "COPY --parents p/q/f /d/", "mkdir -p p/q; echo > p/q/f", "chmod 700 p", Changed),
    (
        "parents that are not kept",
        "COPY --parents p/./q/f /d/",
        "mkdir -p p/q; echo > p/q/f",
        "chmod 700 p; echo > p/other",
        Same,
    ),
    ("mode of a directory deep below", "COPY d /d", "mkdir -p d/e/f; echo > d/e/f/a", "chmod 700 d/e/f", Changed),
    (
        "file deep below what stages and mounts share",
        "COPY d /d\nFROM base/busybox:1\nCOPY d/e /e\nFROM base/busybox:1\nCOPY --from=0 /d /d\n\
         RUN --mount=type=bind,source=d,target=/m cat /m/e/f/a > /o",
        "mkdir -p d/e/f; echo 1 > d/e/f/a",
        "echo 2 > d/e/f/a",
        Changed,
    ),
    (
        "file that one of two leaves out",
        "COPY d /c\nCOPY --exclude=**/a d /d\nCOPY d /e",
        "mkdir -p d/e; echo 1 > d/e/a; echo 1 > d/b",
        "echo 2 > d/e/a",
        Changed,
    ),
    (
        "file that is left out",
        "COPY --exclude=**/a d /d",
        "mkdir -p d/e; echo 1 > d/e/a; echo 1 > d/b",
        "echo 2 > d/e/a; mkdir d/e/z; echo 1 > d/e/z/a; rm -r d/e/z",
        Same,
    ),
    ("named context", "COPY --from=other f /f", "mkdir other; echo 1 > other/f", "echo 2 > other/f", Changed),
    ("archive", "ADD x.tar /d/", "echo 1 > a; tar cf x.tar a", "echo 2 > a; tar cf x.tar a", Changed),
    (
        "accounts",
        "COPY p /etc/passwd\nCOPY --chown=me a /a",
        "echo > a; echo me:x:5:6::/:/ > p",
        "echo me:x:7:8::/:/ > p",
        Changed,
    ),
    (
        "link in the destination",
        "RUN mkdir /q /r && ln -s /q /l\nCOPY a /l/",
        "echo > a",
        "sed -i 's#-s /q#-s /r#' Dockerfile",
        Changed,
    ),
    ("command", "RUN echo 1 > /o", "", "sed -i 's/echo 1/echo 2/' Dockerfile", Changed),
    ("heredoc of COPY", "COPY <<E /o\n1\nE", "", "sed -i s/^1/2/ Dockerfile", Changed),
    ("heredoc of RUN", "RUN <<E\necho 1 > /o\nE", "", "sed -i 's/echo 1/echo 2/' Dockerfile", Changed),
    ("variable", "ENV A=1\nRUN echo $A > /o", "", "sed -i s/A=1/A=2/ Dockerfile", Changed),
    ("argument with a default", "ARG A=1\nRUN echo $A > /o", "", "sed -i s/A=1/A=2/ Dockerfile", Changed),
    ("user", "USER 1\nRUN id > /tmp/o", "", "sed -i 's/USER 1/USER 2/' Dockerfile", Changed),
    ("working directory", "WORKDIR /a\nRUN pwd > /o", "", "sed -i 's#/a#/b#' Dockerfile", Changed),
    ("shell", "SHELL [\"/bin/sh\", \"-c\"]\nRUN echo $- > /o", "", "sed -i 's/-c/-ec/' Dockerfile", Changed),
    ("owner", "COPY --chown=1 a /a", "echo > a", "sed -i s/=1/=2/ Dockerfile", Changed),
    ("network", "RUN ls /sys/class/net > /o", "", "sed -i 's/RUN/RUN --network=none/' Dockerfile", Changed),
    ("comment", "RUN echo 1 > /o", "", "echo '# no step' >> Dockerfile", Same),
];

fn build(builder: &Builder, context: &Path, name: &str, options: &[&str]) -> Result<Image, String> {
    let layout = context.with_added_extension(name);
    let output = format!("type=oci,dest={}", layout.display());
    let other = format!("other={}", context.join("other").display());
    let named: &[&str] = if context.join("other").is_dir() { &["--build-context", &other] } else { &[] };
    let command = builder.ctr("build").args(["--pull=never", "--output", &output]);
    let done = command.args(named.iter().chain(options).copied()).arg(context).run();
    if done.code == 0 { Image::of_layout(&layout) } else { Err(done.to_string()) }
}

fn check(builder: &Builder, number: usize, (_, dockerfile, before, change, then): &Mutation) -> Result<(), String> {
    let context = builder.root.file(&format!("mutation-{number}"));
    fs::create_dir(&context).expect("context");
    fs::write(context.join("Dockerfile"), format!("FROM base/busybox:1\n{dockerfile}\n")).expect("Dockerfile");
    let script = |text: &str| Cmd::new("sh").args(["-euc", text]).dir(&context).ok();
    script(before);
    let first = build(builder, &context, "first", &[])?;
    script(change);
    let second = build(builder, &context, "second", &[])?;
    let whole = build(builder, &context, "whole", &["--no-cache"])?;
    let wrong = whole.is_not(&second);
    if !wrong.is_empty() {
        return Err(format!("the cache is stale\n{}", wrong.join("\n")));
    }
    let found = if first.digest == second.digest { Same } else { Changed };
    if found == *then { Ok(()) } else { Err(format!("{found:?}, not {then:?}")) }
}

#[test]
fn no_step_is_taken_from_the_cache_when_what_it_depends_on_has_changed() {
    need!(root, "zstd", "setfattr");
    let builder = Builder::new();
    let numbered = MUTATIONS.iter().enumerate();
    let failed: Vec<String> = numbered
        .filter_map(|(number, mutation)| {
            check(&builder, number, mutation).err().map(|why| format!("== {}\n{why}", mutation.0))
        })
        .collect();
    assert!(failed.is_empty(), "{} of {} mutations:\n{}", failed.len(), MUTATIONS.len(), failed.join("\n"));
    assert_eq!(builder.remains(), Vec::<String>::new());
}
