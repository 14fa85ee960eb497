//! How far a command is: rows on a terminal, lines in a log, JSON for programs.

use std::time::Duration;

use ctr_tests::faults::{On, Registry, Sample, Server, sample};
use ctr_tests::pty::Pty;
use ctr_tests::scratch::{Cmd, Root};
use ctr_tests::{need, schema};
use serde_json::Value;

/// A registry that sends the end of the big layer so slowly that it takes some three seconds.
fn slow(image: &Sample) -> Server {
    let server = Server::start(Registry::with("demo", "1", image.layout()));
    let late = image.big_size() - 60;
    server.on(On::get(image.big()), move |call| call.ordinary().drip(late, Duration::from_millis(50)));
    server
}

fn fetch(root: &Root, server: &Server, how: &str) -> Cmd {
    root.ctr("fetch").arg(format!("--progress={how}")).arg(server.name("demo:1"))
}

#[test]
fn plain_lines_tell_what_is_finished() {
    // spec: CLI-12
    need!(root);
    let (image, root) = (sample(), Root::new());
    let server = Server::start(Registry::with("demo", "1", image.layout()));
    let done = fetch(&root, &server, "plain").run();
    assert_eq!(done.code, 0, "{done}");
    for (number, digest) in [(1, image.small()), (2, image.big())] {
        let begin = format!("layer {number} {}: ", &digest[7..19]);
        let line = done.stderr.lines().find(|line| line.starts_with(&begin));
        assert!(line.is_some_and(|line| line.ends_with("B)")), "{begin}: {done}");
    }
    let quiet = Root::new();
    assert_eq!(fetch(&quiet, &server, "none").run().stderr, "");
    assert_eq!(quiet.ctr("fetch").args(["-q", &server.name("demo:1")]).run().stderr, "");
}

#[test]
fn programs_read_objects() {
    // spec: CLI-13
    need!(root);
    let (image, root) = (sample(), Root::new());
    let server = slow(&image);
    let done = fetch(&root, &server, "json").args(["-q", "--format", "json"]).run();
    assert_eq!(done.code, 0, "{done}");
    let lines: Vec<Value> = done.stderr.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    lines.iter().for_each(|line| schema::check("progress.json", line));
    let label = format!("layer 2 {}", &image.big()[7..19]);
    let of_big: Vec<&Value> = lines.iter().filter(|line| line["item"] == *label).collect();
    let states: Vec<&str> = of_big.iter().map(|line| line["state"].as_str().unwrap()).collect();
    assert!(states.len() >= 3 && states.ends_with(&["running", "done"]), "{states:?}");
    assert_eq!(states.iter().filter(|state| **state == "done").count(), 1);
    let bytes: Vec<u64> = of_big.iter().map(|line| line["bytes"].as_u64().unwrap()).collect();
    assert!(bytes.is_sorted() && bytes[0] == 0 && bytes.last() == Some(&(image.big_size() as u64)), "{bytes:?}");
    assert!(of_big.iter().any(|line| line["rate"].as_u64() > Some(0)), "{of_big:?}");
    let total = lines.iter().rev().find(|line| line["progress"] == "total").unwrap();
    assert_eq!((&total["items"], &total["finished"]), (&2.into(), &2.into()));
    assert_eq!(total["bytes"], total["size"]);
}

#[test]
fn a_piece_that_fails_is_told_as_failed() {
    // spec: CLI-13
    need!(root);
    let (image, root) = (sample(), Root::new());
    let server = Server::start(Registry::with("demo", "1", image.layout()));
    server.on(On::get(image.big()), |call| {
        let mut wrong = call.ordinary();
        wrong.body[1000] ^= 1;
        wrong
    });
    let done = fetch(&root, &server, "json").args(["-q", "--format", "json"]).run();
    assert_eq!(done.code, 1, "{done}");
    let lines: Vec<Value> = done.stderr.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(lines.iter().any(|line| line["state"] == "failed"), "{done}");
    assert_eq!(lines.last().unwrap()["level"], "error", "{done}");
}

#[test]
fn plain_lines_do_not_come_among_json() {
    // spec: CLI-11
    let root = Root::new();
    let done = root.ctr("fetch").args(["--format", "json", "--progress=plain", "/no/such"]).run();
    assert!(done.code == 2 && done.stderr.contains("--progress=json"), "{done}");
}

#[test]
fn a_terminal_has_rows_and_a_total() {
    // spec: CLI-1, CLI-11
    need!(root);
    let (image, root) = (sample(), Root::new());
    let server = slow(&image);
    let big = format!("layer 2 {}", &image.big()[7..19]);
    let mut terminal = Pty::start(&fetch(&root, &server, "auto").env("TERM", "xterm"));
    terminal.expect(&big);
    terminal.expect("kB/s");
    // What is finished stays above, and the result is the last line.
    terminal.expect(&format!("{big}: "));
    terminal.expect("(");
    terminal.expect(image.digest());
    assert_eq!(terminal.wait(), 0);
    // No rows where they would be noise, and none of what was not there.
    let other = Root::new();
    let mut dumb = Pty::start(&fetch(&other, &server, "auto").env("TERM", "dumb"));
    dumb.expect(image.digest());
    assert_eq!(dumb.wait(), 0);
    assert!(!dumb.seen().contains("\x1b["), "{}", dumb.seen());
}
