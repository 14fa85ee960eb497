//! The program and its process.

use ctr_cli::Failure;
use ctr_sandbox::options::{ProgramOptions, Ulimit};
use ctr_sys::privilege::Resource;

use super::bad;
use crate::args::ProgramArgs;

/// `arguments` is what follows the image on the command line.
pub(super) fn request(args: &ProgramArgs, arguments: &[String]) -> Result<ProgramOptions, Failure> {
    let keep_groups = args.group_add.iter().any(|group| group == "keep-groups");
    if keep_groups && args.group_add.len() > 1 {
        return Err(bad(
            "--group-add",
            "keep-groups",
            "the kernel keeps all groups or takes a new list: no other goes with it",
        ));
    }
    Ok(ProgramOptions {
        args: arguments.to_vec(),
        // '' clears the image's entrypoint.
        entrypoint: args
            .entrypoint
            .as_ref()
            .map(|program| Some(program.clone()).filter(|program| !program.is_empty()).into_iter().collect()),
        env: ctr_cli::environment(&args.env_file, &args.env)?,
        workdir: args.workdir.clone(),
        user: args.user.clone(),
        groups: if keep_groups { Vec::new() } else { args.group_add.clone() },
        keep_groups,
        umask: args.umask.as_deref().map(umask).transpose()?,
        ulimits: args.ulimit.iter().map(|limit| ulimit(limit)).collect::<Result<_, _>>()?,
    })
}

fn ulimit(text: &str) -> Result<Ulimit, Failure> {
    let cannot = |why: &str| bad("--ulimit", text, why.to_owned());
    let (name, values) =
        text.split_once('=').ok_or_else(|| cannot("it is NAME=SOFT[:HARD], as in nofile=1024:4096"))?;
    let resource =
        Resource::by_name(name).ok_or_else(|| cannot("there is no such resource (getrlimit(2) lists them)"))?;
    let number = |text: &str| match text {
        "unlimited" | "-1" => Ok(u64::MAX),
        text => text.parse::<u64>().map_err(|_| cannot("a limit is a number or \"unlimited\"")),
    };
    let (soft, hard) = match values.split_once(':') {
        Some((soft, hard)) => (number(soft)?, number(hard)?),
        None => (number(values)?, number(values)?),
    };
    if soft > hard {
        return Err(cannot("the soft limit is above the hard one"));
    }
    Ok(Ulimit { resource, soft, hard })
}

fn umask(text: &str) -> Result<u32, Failure> {
    let mask = u32::from_str_radix(text, 8).ok().filter(|mask| *mask <= 0o777);
    mask.ok_or_else(|| bad("--umask", text, "it is an octal number up to 777"))
}
