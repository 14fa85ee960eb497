//! Lock files that are lines of text: `Gemfile.lock`, `requirements.txt`.

use super::{Entries, Locked, Why};

/// Gems that come from elsewhere: those of `PATH` are part of the tree itself.
pub(super) fn gemfile(text: &str, locked: &mut Entries) -> Result<(), Why> {
    let (mut section, mut specs) = ("", false);
    let mut is_lock = false;
    for line in text.lines().map(str::trim_end) {
        let indent = line.len() - line.trim_start_matches(' ').len();
        match indent {
            0 => {
                section = line;
                specs = false;
                is_lock |= ["GEM", "GIT", "PATH", "DEPENDENCIES"].contains(&section);
            }
            2 => specs = line == "  specs:",
            // More indented are the dependencies of the gem above.
            4 if specs && ["GEM", "GIT", "PLUGIN SOURCE"].contains(&section) => {
                let Some((name, version)) = line.trim().split_once(" (") else { continue };
                let version = version.trim_end_matches(')');
                // A version has no dash: what is behind it is the platform.
                let (version, platform) = version.split_once('-').unwrap_or((version, ""));
                locked.push(Locked {
                    kind: "gem",
                    name: name.to_owned(),
                    version: version.to_owned(),
                    qualifiers: vec![("platform", platform.to_owned())],
                    ..Locked::default()
                });
            }
            _ => {}
        }
    }
    if is_lock || text.trim().is_empty() { Ok(()) } else { Err("it has no section of gems".to_owned()) }
}

/// Lines `name==version`; what else there may be names no version.
#[allow(clippy::unnecessary_wraps, reason = "the form of all readers")]
pub(super) fn requirements(text: &str, locked: &mut Entries) -> Result<(), Why> {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let is_version = |version: &str| {
        !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+!".contains(&byte))
    };
    for line in text.lines() {
        let Some((name, version)) = line.split_once("==") else { continue };
        // Extras, `name[one,two]`, are of the same distribution.
        let name = name.split('[').next().unwrap_or_default().trim();
        let version = version.trim_start().split([' ', '\t', ';', '\\', '#', ',']).next().unwrap_or_default();
        if is_name(name) && is_version(version) {
            locked.push(Locked::pypi(name, version));
        }
    }
    Ok(())
}
