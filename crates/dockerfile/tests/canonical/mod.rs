//! The one text of a Dockerfile that is read: what it says, without how it is laid out. Also in the fuzz target.
//!
//! Directives first, each instruction on one line with its keyword in capitals, options without quotes, heredocs behind it. Comments
//! are gone.

use std::collections::BTreeMap;

use ctr_dockerfile::ast::Flag;
use ctr_dockerfile::{Dockerfile, Node};

/// The canonical text.
pub(crate) fn print(file: &Dockerfile) -> String {
    let directives = file.directives();
    let mut out = String::new();
    for (name, value) in [("syntax", &directives.syntax), ("check", &directives.check)] {
        out.extend(value.as_ref().map(|value| format!("# {name}={}\n", value.text)));
    }
    if directives.escape != '\\' {
        out.extend(["# escape=", directives.escape.to_string().as_str(), "\n"]);
    }
    for node in file.nodes() {
        let line = line(node, directives.escape);
        // A mark of the byte order in front of the file would not be the instruction's.
        if out.is_empty() && line.starts_with('\u{feff}') {
            out.push('\n');
        }
        out.push_str(&line);
        out.push('\n');
        for body in node.heredocs() {
            out.push_str(&body.content);
            out.push_str(&body.opened.name);
            out.push('\n');
        }
    }
    out
}

fn line(node: &Node, escape: char) -> String {
    let keyword = node.keyword().map_or_else(|_| node.keyword_text(), |keyword| keyword.name());
    let mut words = vec![keyword.to_owned()];
    words.extend(node.flags().iter().map(|flag| word_of(flag, escape)));
    if node.keyword().is_ok() && node.arguments().starts_with("--") {
        words.push("--".to_owned());
    }
    words.extend(Some(node.arguments()).filter(|arguments| !arguments.is_empty()).map(str::to_owned));
    let mut line = words.join(" ");
    // Blanks that do not hide the end of the line, so that it neither goes on nor loses what it ends with.
    let end = line.trim_end_matches([' ', '\t']);
    let goes_on = end.strip_suffix(escape).is_some_and(|rest| !rest.ends_with(escape));
    if goes_on || line.ends_with('\r') {
        line.push('\u{b}');
    }
    line
}

fn word_of(flag: &Flag, escape: char) -> String {
    let value = flag.value.as_ref().map_or_else(String::new, |value| format!("={value}"));
    let mut word = "--".to_owned();
    for c in format!("{}{value}", flag.name).chars() {
        if c == escape || matches!(c, ' ' | '\t' | '\r' | '\u{b}' | '\u{c}' | '"' | '\'') {
            word.push(escape);
        }
        word.push(c);
    }
    word
}

/// What a Dockerfile says, without places and spelling: instructions as they are written, and what they mean.
fn said(file: &Dockerfile) -> Vec<String> {
    let directives = file.directives();
    let text = |value: &Option<ctr_dockerfile::directive::Value>| value.as_ref().map(|value| value.text.clone());
    let head = format!("{:?} {:?} {:?}", text(&directives.syntax), text(&directives.check), directives.escape);
    let node = |node: &Node| {
        let keyword = node.keyword().map_or_else(|error| error.to_string(), |keyword| keyword.name().to_owned());
        let flags: Vec<_> = node.flags().iter().map(|flag| (&flag.name, &flag.value)).collect();
        let heredocs: Vec<_> = node.heredocs().iter().map(|body| (&body.opened, &body.content)).collect();
        let scope: BTreeMap<String, String> = [("v".to_owned(), "a 'b".to_owned())].into();
        let means = node.instruction(&scope, directives.escape).map_err(|error| error.kind().to_string());
        format!("{keyword} {flags:?} {:?} {heredocs:?} {means:?}", node.arguments())
    };
    std::iter::once(head).chain(file.nodes().iter().map(node)).collect()
}

/// Reading what was printed gives the same, and printing that the same text. Whether there was something to print.
pub(crate) fn check(text: &str) -> bool {
    let Ok(file) = ctr_dockerfile::parse(text) else { return false };
    let printed = print(&file);
    if printed.len() > ctr_dockerfile::lex::MAX_DOCKERFILE {
        return true;
    }
    let again =
        ctr_dockerfile::parse(&printed).unwrap_or_else(|error| panic!("{text:?} printed as {printed:?}: {error}"));
    assert_eq!(said(&again), said(&file), "{text:?} printed as {printed:?}");
    assert_eq!(print(&again), printed, "of {text:?}");
    true
}
