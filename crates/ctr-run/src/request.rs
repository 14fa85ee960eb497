//! From the command line to one validated request, before any work starts.

use std::fs;
use std::path::Path;

use ctr_cli::Failure;
use ctr_core::container::LogMode;
use ctr_core::{name, quantity};
use ctr_sandbox::options::{Limits, Network, RunOptions, SeccompChoice, Ulimit};
use ctr_sys::privilege::{self, CapSet, Resource};

use crate::args::{Args, LogArg, NetworkArg, SeccompArg};
use crate::mounts;

/// The largest `--env-file`, in bytes (spec/limits.md).
const ENV_FILE_MAX: u64 = 1 << 20;

/// An option and its value that cannot be.
pub(crate) fn bad(option: &str, value: &str, why: impl std::fmt::Display) -> Failure {
    Failure::usage(format!("{option} {value}")).because(why)
}

/// Checks every option.
pub(crate) fn request(args: &Args) -> Result<RunOptions, Failure> {
    if let Some(name) = &args.name {
        name::check_container_name(name).map_err(|error| bad("--name", name, error))?;
    }
    let mut labels = std::collections::BTreeMap::new();
    for label in &args.label {
        let (key, value) = name::parse_label(label).map_err(|error| bad("--label", label, error))?;
        labels.insert(key, value);
    }
    let options = RunOptions {
        args: args.program().to_vec(),
        // '' clears the image's entrypoint.
        entrypoint: args
            .entrypoint
            .as_ref()
            .map(|program| Some(program.clone()).filter(|program| !program.is_empty()).into_iter().collect()),
        env: environment(args)?,
        workdir: args.workdir.clone(),
        user: args.user.clone(),
        groups: args.group_add.clone(),
        hostname: args.hostname.clone(),
        labels,
        name: args.name.clone(),
        read_only: args.read_only,
        mounts: mounts::requests(args)?,
        network: match args.network {
            NetworkArg::None => Network::None,
            NetworkArg::Host => Network::Host,
        },
        add_hosts: args.add_host.iter().map(|host| add_host(host)).collect::<Result<_, _>>()?,
        dns: args.dns.iter().map(|server| name_server(server)).collect::<Result<_, _>>()?,
        cap_drop_all: args.cap_drop.iter().any(|name| is_all(name)),
        cap_add: added_capabilities(&args.cap_add)?,
        cap_drop: capabilities("--cap-drop", &args.cap_drop)?,
        seccomp: match args.seccomp {
            SeccompArg::Default => SeccompChoice::Default,
            SeccompArg::Unconfined => SeccompChoice::Unconfined,
        },
        no_new_privileges: args.no_new_privileges,
        ulimits: args.ulimit.iter().map(|limit| ulimit(limit)).collect::<Result<_, _>>()?,
        limits: limits(args)?,
        umask: args.umask.as_deref().map(umask).transpose()?,
        stop_signal: args.stop_signal.as_deref().map(stop_signal).transpose()?,
        stop_timeout: args.stop_timeout.as_deref().map(stop_timeout).transpose()?,
        log: args.log.map(|log| match log {
            LogArg::File => LogMode::File,
            LogArg::Inherit => LogMode::Inherit,
            LogArg::None => LogMode::None,
        }),
        no_init: args.no_init,
        rm: args.rm,
        wait: args.wait,
    };
    Ok(options)
}

/// Files first, then `--env`; a name without a value has the caller's, or is left out if the caller has none.
fn environment(args: &Args) -> Result<Vec<String>, Failure> {
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

fn add_host(text: &str) -> Result<(String, String), Failure> {
    let why = "it is NAME:ADDRESS, as in db:10.0.0.5";
    let (name, address) = text.split_once(':').ok_or_else(|| bad("--add-host", text, why))?;
    let good = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    match address.trim_matches(['[', ']']).parse::<std::net::IpAddr>() {
        Ok(address) if good => Ok((address.to_string(), name.to_owned())),
        _ => Err(bad("--add-host", text, why)),
    }
}

fn name_server(text: &str) -> Result<String, Failure> {
    let address: Result<std::net::IpAddr, _> = text.parse();
    address.map(|address| address.to_string()).map_err(|_| bad("--dns", text, "it is the address of a name server"))
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

fn limits(args: &Args) -> Result<Limits, Failure> {
    /// The kernel rounds to pages and a program needs some: less cannot start.
    const MEMORY_MIN: u64 = 512 << 10;
    let memory =
        args.memory.as_deref().map(|text| quantity::parse_size(text).map_err(|error| bad("--memory", text, error)));
    let memory = memory.transpose()?;
    if let Some(memory) = memory.filter(|memory| *memory < MEMORY_MIN) {
        return Err(bad(
            "--memory",
            &memory.to_string(),
            format!("at least {MEMORY_MIN} bytes are needed to start a program"),
        ));
    }
    let cpus = args.cpus.as_deref().map(|text| quantity::parse_cpus(text).map_err(|error| bad("--cpus", text, error)));
    let cpu_millis = cpus.transpose()?.map(|cpus| cpus.nanos() / 1_000_000);
    if cpu_millis.is_some_and(|millis| millis < 10) {
        return Err(bad("--cpus", args.cpus.as_deref().unwrap_or_default(), "at least 0.01 is needed"));
    }
    Ok(Limits { memory, cpu_millis, pids: args.pids_limit })
}

fn umask(text: &str) -> Result<u32, Failure> {
    let mask = u32::from_str_radix(text, 8).ok().filter(|mask| *mask <= 0o777);
    mask.ok_or_else(|| bad("--umask", text, "it is an octal number up to 777"))
}

fn stop_signal(text: &str) -> Result<i32, Failure> {
    ctr_sys::signal::parse(text)
        .ok_or_else(|| bad("--stop-signal", text, "it is a name or number of signal(7), as TERM, SIGINT, RTMIN+3, 15"))
}

fn stop_timeout(text: &str) -> Result<u64, Failure> {
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    quantity::parse_duration(text).map(|time| time.as_secs()).map_err(|error| bad("--stop-timeout", text, error))
}
