//! Dockerfiles, and what a build and its checks make of them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ctr_dockerfile::ignore::Ignore;
use ctr_dockerfile::lint::{self, Context};
use ctr_dockerfile::span::Span;
use ctr_dockerfile::{Dockerfile, Error, Expander, Node, Scope};

use crate::Target;

/// The printer is in the tests of the crate: no program prints Dockerfiles.
#[path = "../../../crates/dockerfile/tests/canonical/mod.rs"]
mod canonical;

/// A Dockerfile is read or refused, and so is each of its instructions, with no variables and with hostile ones; the rules and
/// their renderings take it. Every place lies in the file, between characters. What is printed and read again says the same. None of it
/// takes long.
pub(crate) const DOCKERFILE: Target = Target {
    name: "dockerfile",
    run,
    vectors: &[],
    data: Some(("tests/data/build", "Dockerfile")),
    seeds: &[
        b"# syntax=x\n# escape=`\n# check=skip=all;experimental=all;error=true\n\nFROM a `\n  # c\n\n  AS b\n",
        b"RUN <<A 3<<-'B' cat\none $x\nA\n\ttwo\n\tB\nONBUILD COPY <<E /x\nE\nCOPY --from=a [\"b c\", \"d\"]\n",
        b"ARG v=${a:-${b#*/}}\nFROM --platform=$P i:${v%%?*} AS n\nENV K v w\nLABEL a=\"b \\\" c\" d='e'\nCOPY ${x/a*/b} ${y//c/$z} /\n",
        b"FROM a\nRUN --mount=type=cache,target=/c,id=$v,sharing=locked,mode=0700 --mount=type=secret,id=s,env=E --network=none x\nHEALTHCHECK --interval=1m30s --retries=3 CMD [\"a\"]\nSHELL [\"/s\"]\nEXPOSE 1:2/TCP\nONBUILD ADD --checksum=sha256:0 u /v\nMAINTAINER \xc3\xa4\n",
    ],
};

/// Far above what the largest input of the drivers takes without optimisation of its shape.
const MOST: Duration = Duration::from_secs(5);

fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let start = Instant::now();
    read(text);
    assert!(start.elapsed() < MOST, "{} bytes took {:?}", bytes.len(), start.elapsed());
}

/// Every variable has a value that means something wherever it gets to.
struct Hostile;

impl Scope for Hostile {
    fn get(&self, name: &str) -> Option<String> {
        Some(format!("[\"{name}\", '$x' \\ ${{y:-\u{e4}}} <<E =,"))
    }
}

fn read(text: &str) {
    let dockerfile = match ctr_dockerfile::parse(text) {
        Ok(dockerfile) => dockerfile,
        Err(error) => return refused(&error, text),
    };
    drop(ctr_dockerfile::parse_trigger(text));
    let directives = dockerfile.directives();
    for value in [&directives.syntax, &directives.check].into_iter().flatten() {
        assert_eq!(within(value.span, text), value.text);
    }
    let mut before = 0;
    for node in dockerfile.nodes() {
        assert!(node.span().start >= before, "instructions overlap");
        before = node.span().end;
        places(node, text);
        drop(node.sources());
        if let Err(error) = node.form(directives.escape) {
            refused(&error, text);
        }
        for scope in [&BTreeMap::new() as &dyn Scope, &Hostile] {
            match node.instruction(scope, directives.escape) {
                Ok(instruction) => drop(serde_json::to_string(&instruction).expect("an instruction as JSON")),
                Err(error) => refused(&error, text),
            }
            let expander = Expander::new(scope, directives.escape);
            drop(expander.word(node.arguments()));
            drop(expander.words(node.arguments()));
        }
    }
    check(&dockerfile, text);
    canonical::check(text);
}

fn places(node: &Node, text: &str) {
    let whole = node.span();
    let inside = |span: Span| {
        within(span, text);
        assert!(span.start >= whole.start && span.end <= whole.end, "{span:?} is not in {whole:?}");
    };
    inside(whole);
    inside(node.keyword_span());
    node.flags().iter().for_each(|flag| inside(flag.span));
    node.heredocs().iter().for_each(|body| inside(body.span));
    node.empty_lines().iter().copied().for_each(inside);
    let arguments = node.arguments();
    for (at, c) in arguments.char_indices() {
        let span = node.place(at, at + c.len_utf8());
        inside(span);
        assert_eq!(within(span, text), c.to_string(), "a character is where it is said to be");
    }
    inside(node.place(0, arguments.len()));
}

fn refused(error: &Error, text: &str) {
    within(error.span(), text);
    drop(error.render("Dockerfile", text));
}

fn within(span: Span, text: &str) -> &str {
    text.get(span.start..span.end).unwrap_or_else(|| panic!("{span:?} is no place of {text:?}"))
}

fn check(dockerfile: &Dockerfile, text: &str) {
    let ignore = Ignore::parse(b"*\n!a\n").expect("patterns");
    let build_args = [("v".to_owned(), "a".to_owned())].into();
    let context = Context { ignore: Some(&ignore), build_args, base_env: vec!["HOME".to_owned()] };
    let findings = lint::check(dockerfile, &context);
    for finding in &findings {
        within(finding.span, text);
    }
    drop(lint::render_text(&findings, "Dockerfile", text));
    for document in [lint::to_json(&findings, "Dockerfile", text), lint::to_sarif(&findings, "Dockerfile", text)] {
        drop(document.to_string());
    }
}
