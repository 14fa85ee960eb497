//! One Markdown page per binary, from its `clap::Command`.

use std::fmt::Write as _;

use clap::{Arg, Command};

const HEAD: &str = "<!-- Written by `cargo xtask docs` from the binary's own command line. Do not edit. -->\n";

/// The page that lists all binaries.
pub(crate) fn index(commands: &[Command]) -> String {
    let mut page = format!("{HEAD}\n# Command lines\n\n| binary | job |\n|---|---|\n");
    for command in commands {
        let name = command.get_name();
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(page, "| [`{name}`]({name}.md) | {} |", cell(&about));
    }
    page
}

/// The page of one binary, its subcommands included.
pub(crate) fn page(command: &Command) -> String {
    let mut page = HEAD.to_owned();
    section(&mut page, command, command.get_name(), 1);
    page
}

fn section(page: &mut String, command: &Command, path: &str, depth: usize) {
    let hashes = "#".repeat(depth);
    let _ = writeln!(page, "\n{hashes} {path}\n");
    if let Some(about) = command.get_long_about().or(command.get_about()) {
        let _ = writeln!(page, "{}\n", trimmed(&about.to_string()));
    }
    let usage = command.clone().render_usage().to_string();
    let _ = writeln!(page, "```text\n{}\n```", usage.trim_start_matches("Usage: ").trim());
    arguments(page, command, &hashes);
    options(page, command, &hashes, depth == 1);
    if let Some(after) = command.get_after_long_help().or(command.get_after_help()) {
        let _ = writeln!(page, "\n```text\n{}\n```", trimmed(&after.to_string()));
    }
    for child in command.get_subcommands().filter(|child| !child.is_hide_set() && child.get_name() != "help") {
        section(page, child, &format!("{path} {}", child.get_name()), depth + 1);
    }
}

fn arguments(page: &mut String, command: &Command, hashes: &str) {
    let visible: Vec<&Arg> = command.get_positionals().filter(|arg| !arg.is_hide_set()).collect();
    if visible.is_empty() {
        return;
    }
    let _ = writeln!(page, "\n{hashes}# Arguments\n");
    for arg in visible {
        let _ = writeln!(page, "- `{}`{}", values(arg).trim(), described(arg));
    }
}

/// Options that every subcommand takes are told once, at the top.
fn options(page: &mut String, command: &Command, hashes: &str, top: bool) {
    let mut headings: Vec<Option<&str>> = Vec::new();
    let shown = |arg: &&Arg| !arg.is_hide_set() && (top || !arg.is_global_set());
    let visible: Vec<&Arg> = command.get_opts().chain(flags(command)).filter(shown).collect();
    for arg in &visible {
        if !headings.contains(&arg.get_help_heading()) {
            headings.push(arg.get_help_heading());
        }
    }
    for heading in headings {
        let _ = writeln!(page, "\n{hashes}# {}\n", heading.unwrap_or("Options"));
        for arg in visible.iter().filter(|arg| arg.get_help_heading() == heading) {
            let _ = writeln!(page, "- `{}`{}", option_name(arg), described(arg));
        }
    }
}

/// Switches: what is neither positional nor takes a value.
fn flags(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| !arg.is_positional() && !arg.get_action().takes_values())
}

fn option_name(arg: &Arg) -> String {
    let long = arg.get_long().map(|long| format!("--{long}"));
    let short = arg.get_short().map(|short| format!("-{short}"));
    let names: Vec<String> = short.into_iter().chain(long).collect();
    let value = if arg.get_action().takes_values() { values(arg) } else { String::new() };
    format!("{}{value}", names.join(", "))
}

fn values(arg: &Arg) -> String {
    let names = match arg.get_value_names() {
        Some(names) => names.iter().map(ToString::to_string).collect(),
        None => vec![arg.get_id().as_str().to_uppercase()],
    };
    let optional = arg.get_num_args().is_some_and(|range| range.min_values() == 0) && !arg.is_positional();
    let many = arg.get_num_args().is_some_and(|range| range.max_values() > names.len());
    let dots = if many { "..." } else { "" };
    let joined = names.iter().map(|name| format!("<{name}>")).collect::<Vec<_>>().join(" ");
    let joined = if arg.is_positional() && !arg.is_required_set() { format!("[{joined}]") } else { joined };
    if optional { format!("[={joined}]{dots}") } else { format!(" {joined}{dots}") }
}

fn described(arg: &Arg) -> String {
    let help = arg.get_long_help().or(arg.get_help()).map(|help| trimmed(&help.to_string())).unwrap_or_default();
    let mut text = if help.is_empty() { String::new() } else { format!(": {}", indent(&help)) };
    if !arg.is_hide_possible_values_set() && arg.get_action().takes_values() {
        let names: Vec<String> = arg.get_possible_values().iter().map(|v| format!("`{}`", v.get_name())).collect();
        if !names.is_empty() {
            let _ = write!(text, " (one of {})", names.join(", "));
        }
    }
    let defaults: Vec<String> = arg.get_default_values().iter().map(|v| format!("`{}`", v.display())).collect();
    if !defaults.is_empty() && arg.get_action().takes_values() && !arg.is_hide_default_value_set() {
        let _ = write!(text, " (default {})", defaults.join(", "));
    }
    text
}

/// Trailing blanks make Markdown break lines; they are never meant.
fn trimmed(text: &str) -> String {
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim().to_owned()
}

fn indent(text: &str) -> String {
    text.replace('\n', "\n  ")
}

fn cell(text: &str) -> String {
    trimmed(text).replace('\n', " ").replace('|', "\\|")
}
