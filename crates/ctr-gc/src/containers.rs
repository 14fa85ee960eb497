//! Which containers are dead, since when, and what the others use.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ctr_cli::{Context as _, Failure, human};
use ctr_core::container::{Container, Containers, Place, State};
use ctr_core::store::gc::ContainerRoots;

/// A container, or what is left of one, that goes.
#[derive(Debug)]
pub(crate) struct Dead {
    pub(crate) id: String,
    pub(crate) place: Place,
    pub(crate) dir: PathBuf,
    pub(crate) reason: String,
    /// Its name and control groups, as far as they were recorded.
    pub(crate) name: Option<String>,
    pub(crate) groups: Vec<String>,
}

/// What a look at all containers found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) roots: ContainerRoots,
    pub(crate) dead: Vec<Dead>,
}

/// Between making its directory and taking its lock a starting container looks like one that was broken off. Starts hold
/// the gate then; this is for starters that do not.
const START_MOMENT: Duration = Duration::from_millis(150);

/// Waits a moment if a container is just being made.
pub(crate) fn let_starts_pass(containers: &Containers) -> Result<(), Failure> {
    let embryos = names_in(&containers.place(Place::Embryo))?;
    if embryos.iter().any(|id| !containers.place(Place::Embryo).join(id).join("lock").exists()) {
        std::thread::sleep(START_MOMENT);
    }
    Ok(())
}

/// Looks at every container. Those that do not go are roots of the collection of images.
pub(crate) fn scan(containers: &Containers, grace: Duration, now: SystemTime) -> Result<Scan, Failure> {
    let mut scan = Scan::default();
    for place in Place::ALL {
        for id in names_in(&containers.place(place))? {
            look(containers, place, &id, grace, now, &mut scan)?;
        }
    }
    Ok(scan)
}

fn look(
    containers: &Containers,
    place: Place,
    id: &str,
    grace: Duration,
    now: SystemTime,
    scan: &mut Scan,
) -> Result<(), Failure> {
    let dir = containers.place(place).join(id);
    let loaded = containers.load(place, id);
    let held = is_held(&dir.join("lock"))?;
    let reason = match (&loaded, place) {
        // The engine that had it made deletes it, and would miss it before.
        (Ok(Some(container)), Place::Embryo | Place::Prepared | Place::Run) if container.record.bundle.is_some() => {
            None
        }
        (_, Place::Garbage) => (!held).then(|| "its removal did not come to its end".to_owned()),
        (_, Place::Embryo) => (!held).then(|| "its start was broken off".to_owned()),
        (Ok(Some(container)), _) => {
            let status = container.status().context(|| format!("cannot tell whether container {id} runs"))?;
            let alive = held || matches!(status.state, State::Running | State::Embryo);
            let finished = status.finished_at.map(|at| SystemTime::UNIX_EPOCH + Duration::from_nanos(at.0));
            let age = age(finished.or_else(|| last_change(&dir)), now);
            (!alive).then(|| why(container.record.rm, status.state, age, grace)).flatten()
        }
        (Ok(None), _) if !dir.is_dir() => return Ok(()),
        (broken, _) => {
            // Without its record nobody knows its control groups; its lock and the age of its files are all there is.
            let problem = broken.as_ref().err().map_or_else(|| "it has no record".to_owned(), ToString::to_string);
            let age = age(last_change(&dir), now);
            let goes = !held && age >= grace && !leaves_traces(&dir);
            goes.then(|| format!("{problem}, nothing holds its lock, and it was last changed {}", human::ago(age)))
        }
    };
    let record = loaded.as_ref().ok().and_then(Option::as_ref).map(|container| &container.record);
    if let Some(reason) = reason {
        let name = record.and_then(|record| record.name.clone());
        let groups = record.map(|record| record.cgroups.clone()).unwrap_or_default();
        scan.dead.push(Dead { id: id.to_owned(), place, dir, reason, name, groups });
    } else if place != Place::Garbage {
        keep(&loaded, id, &mut scan.roots);
    }
    Ok(())
}

/// What a container that stays keeps of the images.
fn keep(loaded: &Result<Option<Container>, ctr_core::container::ContainerError>, id: &str, roots: &mut ContainerRoots) {
    match loaded {
        Ok(Some(container)) => {
            if let Some(image) = &container.record.image {
                roots.images.insert(image.digest, id.to_owned());
            }
            roots.layers.extend(&container.record.layers);
            for mounted in &container.record.mounted_images {
                roots.images.insert(mounted.digest, id.to_owned());
                roots.layers.extend(&mounted.layers);
            }
        }
        Ok(None) => roots.unreadable.push(format!("container {id} has no record yet")),
        Err(error) => roots.unreadable.push(error.to_string()),
    }
}

fn why(rm: bool, state: State, age: Duration, grace: Duration) -> Option<String> {
    let ended = match state {
        State::Killed => "was killed",
        State::Prepared => "was made and never started",
        _ => "ended",
    };
    if rm {
        return Some(format!("started with --rm, {ended} {}", human::ago(age)));
    }
    let limit = if grace.is_zero() { String::new() } else { format!(", grace is {}", human::rough(grace)) };
    (age >= grace).then(|| format!("{ended} {}{limit}", human::ago(age)))
}

/// Whether the process that a container without a readable record noted is still there.
fn leaves_traces(dir: &Path) -> bool {
    let Ok(bytes) = fs::read(dir.join("process")) else { return false };
    let Ok(process) = serde_json::from_slice::<ctr_core::container::ProcessRecord>(&bytes) else { return false };
    let same_boot = ctr_sys::procfs::boot_id().is_ok_and(|boot| boot == process.boot_id);
    let stat = ctr_sys::procfs::process_stat(process.pid).ok().flatten();
    same_boot && stat.is_some_and(|stat| stat.start_time == process.start_time && !stat.is_zombie())
}

fn age(since: Option<SystemTime>, now: SystemTime) -> Duration {
    since.and_then(|since| now.duration_since(since).ok()).unwrap_or_default()
}

/// The latest change of the files that a container's processes write: the best guess when nobody recorded its end.
fn last_change(dir: &Path) -> Option<SystemTime> {
    let files = ["", "process", "exit", "log", "log.1", "container.json"];
    files.iter().filter_map(|name| fs::metadata(dir.join(name)).and_then(|meta| meta.modified()).ok()).max()
}

fn is_held(lock: &Path) -> Result<bool, Failure> {
    match File::open(lock) {
        Ok(file) => {
            ctr_sys::lock::is_locked(file.as_fd()).context(|| format!("cannot ask for the lock {}", lock.display()))
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(false),
        Err(error) => Err(error).context(|| format!("cannot open {}", lock.display())),
    }
}

/// Names that point to no container, with the ids that they point to.
pub(crate) fn stale_names(containers: &Containers) -> Result<Vec<(String, String)>, Failure> {
    let mut stale = Vec::new();
    for name in names_in(&containers.names())? {
        // The directory is made before the name is taken, so a name without one is not on its way.
        if let Some(id) = containers.id_of_name(&name).context(|| format!("cannot read the name {name}"))?
            && !Place::ALL.iter().any(|place| containers.place(*place).join(&id).exists())
        {
            stale.push((name, id));
        }
    }
    Ok(stale)
}

pub(crate) fn names_in(dir: &Path) -> Result<Vec<String>, Failure> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context(|| format!("cannot read {}", dir.display())),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.context(|| format!("cannot read {}", dir.display()))?;
        names.extend(entry.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}
