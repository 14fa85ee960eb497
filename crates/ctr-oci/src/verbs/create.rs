//! `create`: a container from a bundle, up to the point before its program.
//!
//! The story: read config.json → translate it → take the id → make the control groups → record → prepare and clone
//! (`ctr_sandbox::bundle`), hooks on the way → pass the terminal on → publish.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ctr_cli::{Context as _, Failure};
use ctr_core::container::{ContainerRecord, Embryo, IsolationRecord, LogMode, Place, RECORD_VERSION};
use ctr_core::timestamp::Timestamp;
use ctr_sandbox::SandboxError;
use ctr_sandbox::bundle::{self, Bundle, Created};
use ctr_sandbox::idmap::Extent;
use ctr_sys::process;

use crate::args::{self, Global, NewContainer};
use crate::cgroup::{self, Groups};
use crate::config::{self, Config};
use crate::console::Console;
use crate::pid_file::PidFile;
use crate::state::{OciRecord, StateDocument, StateError, States, Status, Written};
use crate::{hooks, report, translate};

/// `ctr-oci create`.
pub(crate) fn create(global: &Global, args: &args::Create) -> Result<ExitCode, Failure> {
    let states = States::open(global)?;
    let made = make(global, &states, &args.container, false)?;
    // The engine reads the pid file and waits for this process: nothing is left to do.
    drop(made);
    Ok(ExitCode::SUCCESS)
}

/// A container that was created, for `run` to go on with.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) created: Created,
    /// Nobody else gets its terminal.
    pub(crate) own_terminal: bool,
}

/// Creates the container of `args`; the caller `stays` with it, or ends.
pub(crate) fn make(global: &Global, states: &States, args: &NewContainer, stays: bool) -> Result<Made, Failure> {
    let dir = bundle_dir(args)?;
    let config = config::load(&dir.join("config.json")).map_err(|error| Failure::hinted(error, hint_of_config))?;
    let own_userns = config.linux.iter().flat_map(|linux| &linux.namespaces).any(|namespace| namespace.kind == "user");
    // With the host's ids the container has them all.
    super::seal(|uid| uid != 0 || !own_userns)?;
    let mut translated = translated(args, &dir, &config)?;
    let profile = config.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
    crate::seccomp::apply(states.root(), profile, &mut translated.process)?;
    let umask = process::umask(0);
    let mut embryo = reserve(states, args)?;
    let mut groups = cgroup::make(global, states, &args.id, &config, args)?;
    let oci = OciRecord {
        version: config.oci_version.clone(),
        bundle: dir.clone(),
        rootfs: translated.rootfs.path.clone(),
        annotations: config.annotations.clone(),
        hooks: config.hooks.clone(),
        cgroup: groups.record(),
        owner: ctr_sys::ids::effective_uid(),
    };
    let container = record(args, &dir, &config, &translated, &groups);
    let created_at = container.created_at;
    embryo
        .write_record(&Written { container, process: &translated.process, oci: &oci })
        .map_err(|error| Failure::hinted(error, ctr_core::container::ContainerError::hint))?;
    let console = args.console_socket.as_deref().map(Console::connect).transpose()?;
    check_terminal(&translated, console.is_some(), stays)?;
    let outside = Outside { args, oci: &oci, created_at, umask };
    let created = bundle::create(&translated, embryo.dir(), groups.take_joined(), &mut |pid| outside.hooks(pid))
        .map_err(sandbox_failure)?;
    let own_terminal = created.terminal.is_some() && console.is_none();
    let finished = finish(args, &mut embryo, console, &created);
    if let Err(error) = finished {
        created.kill();
        return Err(error);
    }
    groups.keep();
    embryo.keep();
    Ok(Made { created, own_terminal })
}

/// The bundle, absolute and without links: hooks and `state` name it.
fn bundle_dir(args: &NewContainer) -> Result<PathBuf, Failure> {
    let dir = args.bundle.as_deref().unwrap_or(Path::new("."));
    ctr_sys::small::real_path(dir).context(|| format!("cannot find the bundle {}", dir.display()))
}

fn hint_of_config(error: &config::ConfigError) -> Option<String> {
    matches!(error, config::ConfigError::Read { .. })
        .then(|| "a bundle is a directory with a config.json: --bundle names it, ctr-oci spec writes one".to_owned())
}

fn translated(args: &NewContainer, dir: &Path, config: &Config) -> Result<Bundle, Failure> {
    let options = translate::Options {
        no_pivot: args.no_pivot,
        keep_keyring: args.no_new_keyring,
        preserve_fds: args.preserve_fds,
    };
    let translated = translate::bundle(config, dir, &options, &translate::Facts::of_host(config))
        .map_err(|error| Failure::hinted(error, |error| error.hint().map(str::to_owned)))?;
    for warning in &translated.warnings {
        report::warn(warning);
    }
    Ok(translated.plan)
}

/// Takes the id. What a killed `create` left of it is in the way only as long as it has a process.
fn reserve(states: &States, args: &NewContainer) -> Result<Embryo, Failure> {
    let id = &args.id;
    let exists = |status: &str| {
        Failure::new(format!("container with given ID already exists: \"{id}\" ({status})"))
            .hint(format!("choose another id, or remove it: ctr-oci delete --force {id}"))
    };
    let broken = |error| Failure::hinted(error, ctr_core::container::ContainerError::hint);
    let containers = states.containers();
    let ids = containers.lock_ids().map_err(broken)?;
    let is_in = |place: &Place| containers.place(*place).join(id.as_str()).exists();
    // In the order in which a container moves. What comes later is told by the name that is taken.
    if [Place::Embryo, Place::Prepared, Place::Run].iter().any(is_in) {
        let known = || match states.find(id) {
            Ok(known) => Err(exists(known.status.name())),
            Err(StateError::Missing(_)) => Ok(()),
            Err(error) => Err(Failure::new(error.to_string())),
        };
        known()?;
        super::delete::clear_embryo_locked(states, id, &ids)?;
        if [Place::Prepared, Place::Run].iter().any(is_in) {
            // Perhaps its creation has just ended.
            known()?;
            return Err(exists("damaged"));
        }
    }
    containers.create(id).map_err(broken)
}

/// A terminal needs somebody who takes it, and a socket for one needs a terminal.
fn check_terminal(bundle: &Bundle, has_socket: bool, stays: bool) -> Result<(), Failure> {
    match (bundle.terminal.is_some(), has_socket) {
        (true, false) if !stays => {
            Err(Failure::new("the program has a terminal, and nobody would hold it when this command has ended")
                .hint("give --console-socket, or set process.terminal to false"))
        }
        (false, true) => Err(Failure::new("--console-socket is given, and the program has no terminal")
            .hint("set process.terminal in config.json, or leave --console-socket out")),
        _ => Ok(()),
    }
}

/// What every ctr command reads of the container.
fn record(args: &NewContainer, dir: &Path, config: &Config, bundle: &Bundle, groups: &Groups) -> ContainerRecord {
    let plan = &bundle.process;
    ContainerRecord {
        version: RECORD_VERSION,
        id: args.id.to_string(),
        name: None,
        image: None,
        bundle: Some(dir.display().to_string()),
        layers: Vec::new(),
        command: plan.args.clone(),
        created_at: Timestamp::now(),
        hostname: config.hostname.clone(),
        labels: std::collections::BTreeMap::new(),
        stop_signal: ctr_sys::signal::SIGTERM,
        stop_timeout: ctr_sandbox::plan::STOP_TIMEOUT,
        log: LogMode::Inherit,
        tty: bundle.terminal.is_some(),
        stdin: false,
        journal: None,
        init: false,
        rm: false,
        cgroups: groups.dirs().iter().map(|dir| dir.display().to_string()).collect(),
        volumes: Vec::new(),
        mounted_images: Vec::new(),
        isolation: IsolationRecord {
            namespaces: bundle.namespaces.iter().map(|kind| (*kind).to_owned()).collect(),
            userns: if bundle.namespaces.contains(&"user") { "map" } else { "host" }.to_owned(),
            uid_map: Extent::lines(&bundle.map.uids),
            gid_map: Extent::lines(&bundle.map.gids),
            network: if bundle.namespaces.contains(&"net") { "none" } else { "host" }.to_owned(),
            capabilities: plan.capabilities.clone(),
            seccomp: plan.seccomp.name().to_owned(),
            no_new_privileges: plan.no_new_privileges,
            read_only: bundle.rootfs.read_only,
            memory: None,
            cpu_millis: None,
            pids: None,
        },
    }
}

/// What happens outside while the container is being created.
struct Outside<'a> {
    args: &'a NewContainer,
    oci: &'a OciRecord,
    created_at: Timestamp,
    /// The caller's, for hooks.
    umask: u32,
}

impl Outside<'_> {
    fn state(&self, pid: i32, status: Status) -> Vec<u8> {
        let document = StateDocument {
            oci_version: &self.oci.version,
            id: &self.args.id,
            pid,
            status,
            bundle: &self.oci.bundle,
            rootfs: &self.oci.rootfs,
            created: self.created_at,
            annotations: &self.oci.annotations,
            owner: String::new(),
        };
        ctr_cli::to_json(&document, false).unwrap_or_default().into_bytes()
    }

    /// Those of the container that belong to the runtime's namespaces.
    fn hooks(&self, pid: i32) -> Result<[Vec<u8>; 2], SandboxError> {
        let creating = self.state(pid, Status::Creating);
        process::umask(self.umask);
        let all = &self.oci.hooks;
        // Deprecated hooks are told what the version of the specification that had them meant by it: it called them when the
        // container was created.
        let created = self.state(pid, Status::Created);
        let ran = hooks::run("prestart", &all.prestart, &created)
            .and_then(|()| hooks::run("createRuntime", &all.create_runtime, &creating));
        process::umask(0);
        ran.map_err(|failure| SandboxError::request(failure.one_line()))?;
        Ok([creating, created])
    }
}

/// What the engine waits for: the terminal, the pid file, and that the container can be found.
fn finish(
    args: &NewContainer,
    embryo: &mut Embryo,
    console: Option<Console>,
    created: &Created,
) -> Result<(), Failure> {
    if let (Some(console), Some(terminal)) = (console, &created.terminal) {
        console.send(terminal)?;
    }
    embryo
        .publish_as(Place::Prepared)
        .map_err(|error| Failure::hinted(error, ctr_core::container::ContainerError::hint))?;
    args.pid_file.as_deref().map_or(Ok(()), |path| PidFile::open(path)?.write(created.pid))
}

/// An error of the launcher: exit code 1, whatever it is for `ctr-run`.
pub(crate) fn sandbox_failure(error: SandboxError) -> Failure {
    Failure::hinted(error, |error| error.hint().map(str::to_owned))
}
