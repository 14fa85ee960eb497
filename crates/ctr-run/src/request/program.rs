//! The program and its process.

use std::fs;
use std::path::Path;

use ctr_cli::Failure;
use ctr_sandbox::options::{ProgramOptions, Ulimit};
use ctr_sys::privilege::Resource;

use super::bad;
use crate::args::ProgramArgs;

/// The largest `--env-file`, in bytes (spec/limits.md).
const ENV_FILE_MAX: u64 = 1 << 20;

/// `arguments` is what follows the image on the command line.
pub(super) fn request(args: &ProgramArgs, arguments: &[String]) -> Result<ProgramOptions, Failure> {
    Ok(ProgramOptions {
        args: arguments.to_vec(),
        // '' clears the image's entrypoint.
        entrypoint: args
            .entrypoint
            .as_ref()
            .map(|program| Some(program.clone()).filter(|program| !program.is_empty()).into_iter().collect()),
        env: environment(args)?,
        workdir: args.workdir.clone(),
        user: args.user.clone(),
        groups: args.group_add.clone(),
        umask: args.umask.as_deref().map(umask).transpose()?,
        ulimits: args.ulimit.iter().map(|limit| ulimit(limit)).collect::<Result<_, _>>()?,
    })
}

/// Files first, then `--env`; a name without a value has the caller's, or is left out if the caller has none.
fn environment(args: &ProgramArgs) -> Result<Vec<String>, Failure> {
    let mut env = Vec::new();
    for file in &args.env_file {
        read_env_file(file, &mut env)?;
    }
    for variable in &args.env {
        add_variable(variable, &mut env).map_err(|why| bad("--env", variable, why))?;
    }
    Ok(env)
}

fn add_variable(variable: &str, env: &mut Vec<String>) -> Result<(), &'static str> {
    let name = variable.split_once('=').map_or(variable, |(name, _)| name);
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err("a variable is NAME=VALUE or NAME, without blanks in the name");
    }
    if variable.contains('=') {
        env.push(variable.to_owned());
        return Ok(());
    }
    match std::env::var_os(name).map(std::ffi::OsString::into_string) {
        Some(Ok(value)) => env.push(format!("{name}={value}")),
        Some(Err(_)) => return Err("the caller's value is not UTF-8"),
        None => {}
    }
    Ok(())
}

fn read_env_file(path: &Path, env: &mut Vec<String>) -> Result<(), Failure> {
    let shown = path.display().to_string();
    let cannot = |why: String| bad("--env-file", &shown, why);
    let size = fs::metadata(path).map_err(|error| cannot(error.to_string()))?.len();
    if size > ENV_FILE_MAX {
        return Err(cannot(format!("it has {size} bytes, more than the {ENV_FILE_MAX} that are read")));
    }
    let text = fs::read_to_string(path).map_err(|error| cannot(error.to_string()))?;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        add_variable(line, env).map_err(|why| cannot(format!("line {}: {why}", number + 1)))?;
    }
    Ok(())
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
