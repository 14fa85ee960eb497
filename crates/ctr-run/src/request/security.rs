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
    let mut options = SecurityOptions {
        cap_drop_all: args.cap_drop.iter().any(|name| is_all(name)),
        cap_add_all: args.cap_add.iter().any(|name| is_all(name)),
        cap_add: capabilities("--cap-add", &args.cap_add)?,
        cap_drop: capabilities("--cap-drop", &args.cap_drop)?,
        seccomp: SeccompChoice::Default,
        no_new_privileges: args.no_new_privileges,
        privileged: args.privileged,
        ..SecurityOptions::default()
    };
    if let Some(value) = &args.seccomp {
        options.seccomp = seccomp(value).map_err(|why| bad("--seccomp", value, why))?;
    }
    for text in &args.security_opt {
        // Docker took a colon once; the key itself never has one.
        let (key, value) = text.split_once(['=', ':']).map_or((text.as_str(), None), |(key, value)| (key, Some(value)));
        security_option(key, value, args, &mut options).map_err(|why| bad("--security-opt", text, why))?;
    }
    Ok(options)
}

const KNOWN: &str = "known are seccomp=, apparmor=, label=, mask=, unmask=, systempaths=unconfined, no-new-privileges";

fn security_option(
    key: &str,
    value: Option<&str>,
    args: &SecurityArgs,
    options: &mut SecurityOptions,
) -> Result<(), String> {
    let paths = |value: &str| value.split(':').filter(|path| !path.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    match (key, value) {
        ("no-new-privileges", None | Some("true")) => options.no_new_privileges = true,
        ("no-new-privileges", Some("false")) if args.no_new_privileges => {
            return Err("--no-new-privileges says the opposite".to_owned());
        }
        ("no-new-privileges", Some("false")) => options.no_new_privileges = false,
        ("seccomp", Some(_)) if args.seccomp.is_some() => return Err("--seccomp is given too".to_owned()),
        ("seccomp", Some("builtin")) => options.seccomp = SeccompChoice::Default,
        ("seccomp", Some(value)) if !value.is_empty() => {
            options.seccomp = seccomp(value)?;
        }
        ("apparmor", Some(profile)) if !profile.is_empty() && !profile.contains(['\0', '\n']) => {
            options.apparmor = Some(profile.to_owned());
        }
        ("label", Some(value)) => label(value, options)?,
        ("mask", Some(value)) if !value.is_empty() => options.mask.extend(paths(value)),
        ("unmask", Some(value)) if is_all(value) => options.unmask_all = true,
        ("unmask", Some(value)) if !value.is_empty() => options.unmask.extend(paths(value)),
        ("systempaths", Some("unconfined")) => options.unmask_all = true,
        ("no-new-privileges" | "seccomp" | "apparmor" | "mask" | "unmask" | "systempaths", _) => {
            return Err(format!("this value cannot be; {KNOWN}"));
        }
        _ => return Err(KNOWN.to_owned()),
    }
    Ok(())
}

/// `disable`, or one part of a SELinux context.
fn label(value: &str, options: &mut SecurityOptions) -> Result<(), String> {
    if value == "disable" {
        options.selinux = None;
        return Ok(());
    }
    let (part, text) = value.split_once(':').unwrap_or((value, ""));
    if matches!(part, "filetype" | "nested") {
        return Err("labels of files are not supported: ctr gives labels to programs only".to_owned());
    }
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:,".contains(&b)) {
        return Err("it is label=user:USER, role:ROLE, type:TYPE, level:LEVEL, or label=disable".to_owned());
    }
    let request = options.selinux.get_or_insert_default();
    let slot = match part {
        "user" => &mut request.user,
        "role" => &mut request.role,
        "type" => &mut request.kind,
        "level" => &mut request.level,
        _ => return Err("it is label=user:USER, role:ROLE, type:TYPE, level:LEVEL, or label=disable".to_owned()),
    };
    *slot = Some(text.to_owned());
    Ok(())
}

/// `default`, `unconfined`, or the path of a profile.
fn seccomp(value: &str) -> Result<SeccompChoice, String> {
    match value {
        "default" => return Ok(SeccompChoice::Default),
        "unconfined" => return Ok(SeccompChoice::Unconfined),
        _ => {}
    }
    let mut bytes = Vec::new();
    // A byte more than a profile may have: the parser sees that there are too many.
    std::fs::File::open(value)
        .and_then(|file| file.take(PROFILE_MAX as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("the profile cannot be read: {error}"))?;
    let profile = Profile::parse(&bytes).map_err(|error| error.to_string())?;
    Ok(SeccompChoice::Profile { path: value.to_owned(), profile: Arc::new(profile) })
}

fn is_all(name: &str) -> bool {
    name.eq_ignore_ascii_case("ALL")
}

/// Those that are named; `ALL` is left out.
fn capabilities(option: &str, names: &[String]) -> Result<CapSet, Failure> {
    let mut set = CapSet::default();
    for name in names.iter().filter(|name| !is_all(name)) {
        let Some(number) = privilege::capability(name) else {
            let failure = bad(option, name, "there is no such capability (capabilities(7) lists them)");
            return Err(match privilege::nearest_capability(name) {
                Some(near) => failure.hint(format!("did you mean {near}?")),
                None => failure,
            });
        };
        set.0 |= 1 << number;
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(texts: &[&str]) -> Result<SecurityOptions, Failure> {
        let args = SecurityArgs {
            cap_add: Vec::new(),
            cap_drop: Vec::new(),
            seccomp: None,
            security_opt: texts.iter().map(|text| (*text).to_owned()).collect(),
            privileged: false,
            no_new_privileges: false,
        };
        request(&args)
    }

    #[test]
    fn security_options_are_read() {
        // spec: CLI-38
        let options =
            parsed(&["no-new-privileges", "mask=/a:/b", "unmask=/proc/*", "label=type:t_t", "label=level:s0:c1,c2"]);
        let options = options.unwrap();
        assert!(options.no_new_privileges && !options.unmask_all);
        assert_eq!(
            (options.mask, options.unmask),
            (vec!["/a".to_owned(), "/b".to_owned()], vec!["/proc/*".to_owned()])
        );
        let label = options.selinux.unwrap();
        assert_eq!((label.kind.as_deref(), label.level.as_deref()), (Some("t_t"), Some("s0:c1,c2")));
        assert!(parsed(&["systempaths=unconfined"]).unwrap().unmask_all && parsed(&["unmask=ALL"]).unwrap().unmask_all);
        assert!(!parsed(&["no-new-privileges:false"]).unwrap().no_new_privileges);
        assert_eq!(parsed(&["apparmor:docker-default"]).unwrap().apparmor.as_deref(), Some("docker-default"));
        assert!(parsed(&["label=type:x", "label=disable"]).unwrap().selinux.is_none());
        for bad in [
            "",
            "x",
            "mask",
            "mask=",
            "seccomp",
            "seccomp=/no/such",
            "label=filetype:x",
            "label=type:",
            "label=a b",
            "no-new-privileges=maybe",
            "systempaths=all",
            "apparmor=",
        ] {
            assert!(parsed(&[bad]).is_err(), "{bad}");
        }
    }
}
