//! Privileges.

use std::io::Read;
use std::sync::Arc;

use ctr_cli::Failure;
use ctr_sandbox::options::{SeccompChoice, SecurityOptions};
use ctr_sandbox::seccomp::{PROFILE_MAX, Profile};
use ctr_sys::privilege::{self, CapSet};

use super::bad;
use crate::args::SecurityArgs;

pub(super) fn request(args: &SecurityArgs) -> Result<SecurityOptions, Failure> {
    Ok(SecurityOptions {
        cap_drop_all: args.cap_drop.iter().any(|name| is_all(name)),
        cap_add: added_capabilities(&args.cap_add)?,
        cap_drop: capabilities("--cap-drop", &args.cap_drop)?,
        seccomp: seccomp("--seccomp", args.seccomp.as_deref().unwrap_or("default"))?,
        no_new_privileges: args.no_new_privileges,
    })
}

/// `default`, `unconfined`, or the path of a profile.
fn seccomp(option: &str, value: &str) -> Result<SeccompChoice, Failure> {
    match value {
        "default" => return Ok(SeccompChoice::Default),
        "unconfined" => return Ok(SeccompChoice::Unconfined),
        _ => {}
    }
    let cannot = |why: String| bad(option, value, why);
    let mut bytes = Vec::new();
    // A byte more than a profile may have: the parser sees that there are too many.
    std::fs::File::open(value)
        .and_then(|file| file.take(PROFILE_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| cannot(format!("the profile cannot be read: {error}")))?;
    let profile = Profile::parse(&bytes).map_err(|error| cannot(error.to_string()))?;
    Ok(SeccompChoice::Profile { path: value.to_owned(), profile: Arc::new(profile) })
}

fn is_all(name: &str) -> bool {
    name.eq_ignore_ascii_case("ALL")
}

/// `ALL` is all that ctr-run has itself; one by name must be among them.
fn added_capabilities(names: &[String]) -> Result<CapSet, Failure> {
    let mut set = capabilities("--cap-add", names)?;
    if names.is_empty() {
        return Ok(set);
    }
    let held =
        privilege::held_capabilities().map_err(|error| Failure::new("cannot read capabilities").caused_by(&error))?;
    if let Some(missing) = CapSet(set.0 & !held.0).names().first() {
        return Err(bad("--cap-add", missing, "ctr-run itself does not have this capability, so it cannot give it"));
    }
    if names.iter().any(|name| is_all(name)) {
        set = held;
    }
    Ok(set)
}

/// Those that are named; `ALL` is left out.
fn capabilities(option: &str, names: &[String]) -> Result<CapSet, Failure> {
    let mut set = CapSet::default();
    for name in names.iter().filter(|name| !is_all(name)) {
        let number = privilege::capability(name)
            .ok_or_else(|| bad(option, name, "there is no such capability (capabilities(7) lists them)"))?;
        set.0 |= 1 << number;
    }
    Ok(set)
}
