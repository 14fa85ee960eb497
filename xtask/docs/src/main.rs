//! Writes the documentation that comes from the command lines themselves: `docs/cli/*.md`, man pages, completions.
//!
//! Called by `cargo xtask docs`: `xtask-docs MARKDOWN_DIR MAN_DIR COMPLETIONS_DIR`.
#![forbid(unsafe_code)]

mod markdown;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap_complete::Shell;

/// Every binary, by the function that describes its command line.
const BINARIES: &[fn() -> clap::Command] = &[
    ctr_attach::command,
    ctr_build::command,
    ctr_exec::command,
    ctr_fetch::command,
    ctr_gc::command,
    ctr_image::command,
    ctr_login::command,
    ctr_logs::command,
    ctr_oci::command,
    ctr_ps::command,
    ctr_push::command,
    ctr_rm::command,
    ctr_run::command,
    ctr_stop::command,
    ctr_volume::command,
];

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [markdown, man, completions] = arguments.as_slice() else {
        bail!("usage: xtask-docs MARKDOWN_DIR MAN_DIR COMPLETIONS_DIR");
    };
    for directory in [markdown, man, completions] {
        fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    }
    let mut index = Vec::new();
    for describe in BINARIES {
        // Every subcommand has --help; a page for `help` itself tells nothing.
        let mut command = describe().disable_help_subcommand(true);
        command.build();
        let name = command.get_name().to_owned();
        write(&markdown.join(format!("{name}.md")), markdown::page(&command).as_bytes())?;
        clap_mangen::generate_to(command.clone(), man).with_context(|| format!("man pages of {name}"))?;
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            clap_complete::generate_to(shell, &mut command, &name, completions)
                .with_context(|| format!("{shell} completions of {name}"))?;
        }
        index.push(command);
    }
    write(&markdown.join("README.md"), markdown::index(&index).as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("write {}", path.display()))
}
