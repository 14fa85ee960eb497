//! One collection.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use ctr_cli::Failure;
use ctr_core::container::{Containers, Place};
use ctr_core::store::gc::{Item, Plan, Policy, Reach};
use ctr_core::store::{Store, Txn};

use crate::containers::{self, Dead, Scan, names_in};
use crate::report::Report;
use crate::{Options, failure, groups};

pub(crate) fn run(store: &Store, options: &Options) -> Result<ExitCode, Failure> {
    let containers = Containers::open(store.root());
    let now = SystemTime::now();
    let policy = Policy {
        grace: options.image_grace(),
        names: options.names(),
        build_age: options.build_cache_age,
        build_size: options.build_cache_size,
        now,
    };
    let collection = Collection { store, containers: &containers, options, policy, now };
    let report = if options.dry_run { collection.look()? } else { collection.sweep()? };
    report.print(&options.global)?;
    Ok(if report.errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Collection<'a> {
    store: &'a Store,
    containers: &'a Containers,
    options: &'a Options,
    policy: Policy,
    now: SystemTime,
}

impl Collection<'_> {
    fn scan(&self) -> Result<Scan, Failure> {
        containers::scan(self.containers, self.options.grace, self.now)
    }

    fn plan(&self, scan: &Scan, reach: &mut Reach) -> Result<Plan, Failure> {
        self.store.plan_collection(&scan.roots, &self.policy, reach).map_err(failure)
    }

    /// What a sweep would do now.
    fn look(&self) -> Result<Report, Failure> {
        containers::let_starts_pass(self.containers)?;
        let mut report = Report { dry_run: true, ..Report::default() };
        let (scan, plan) = {
            let _gate = self.store.gate_shared().map_err(failure)?;
            let scan = self.scan()?;
            let plan = self.plan(&scan, &mut Reach::default())?;
            (scan, plan)
        };
        for dead in &scan.dead {
            add_container(&mut report, dead, &dead.dir);
        }
        self.add_leftovers(&mut report, |_| Ok(()))?;
        for item in &plan.items {
            add_item(&mut report, item, &item.path);
        }
        report.kept_because = plan.kept_because;
        Ok(report)
    }

    fn sweep(&self) -> Result<Report, Failure> {
        containers::let_starts_pass(self.containers)?;
        let trash = self.store.begin().map_err(failure)?;
        // Manifests are read before anybody has to wait for us.
        let mut reach = Reach::default();
        let first = self.scan()?;
        self.plan(&first, &mut reach)?;

        let gate = self.store.gate_exclusive(self.options.wait).map_err(failure)?;
        let mut report = Report::default();
        let mut scan = self.scan()?;
        let buried = self.bury(&mut scan, &mut report);
        let plan = self.plan(&scan, &mut reach)?;
        let (moved, failed) = self.store.sweep(&plan, &trash);
        drop(gate);

        report.errors.extend(failed.iter().map(ToString::to_string));
        for (dead, garbage) in &buried {
            self.remove_container(dead, garbage, &mut report);
        }
        self.add_leftovers(&mut report, |leftover| leftover.remove(self.containers))?;
        self.remove_group_parents();
        delete(moved, trash, &mut report);
        report.kept_because = plan.kept_because;
        Ok(report)
    }

    /// Moves the dead to `garbage/`, where nobody finds them any more. One that cannot be moved keeps what it uses.
    fn bury(&self, scan: &mut Scan, report: &mut Report) -> Vec<(Dead, PathBuf)> {
        let mut buried = Vec::new();
        let place = self.containers.place(Place::Garbage);
        let made = DirBuilder::new().mode(0o700).recursive(true).create(&place);
        report.errors.extend(made.err().map(|error| format!("cannot create {}: {error}", place.display())));
        for dead in std::mem::take(&mut scan.dead) {
            let garbage = place.join(&dead.id);
            let moved = if dead.place == Place::Garbage { Ok(()) } else { fs::rename(&dead.dir, &garbage) };
            match moved {
                Ok(()) => buried.push((dead, garbage)),
                // ctr-stop or ctr-run --rm was first.
                Err(error) if error.kind() == ErrorKind::NotFound && !dead.dir.exists() => {}
                Err(error) => {
                    let problem = format!("cannot move container {} to garbage/: {error}", dead.id);
                    scan.roots.unreadable.push(problem.clone());
                    report.errors.push(problem);
                }
            }
        }
        buried
    }

    /// Name, control groups, directory: in this order, so that what is left after a crash still tells of the rest.
    fn remove_container(&self, dead: &Dead, garbage: &Path, report: &mut Report) {
        let mut problems = Vec::new();
        if let Some(name) = &dead.name
            && let Err(error) = self.containers.release_name(name, &dead.id)
        {
            problems.push(error.to_string());
        }
        problems.extend(groups::remove_all(&dead.id, &self.root_hash(), &dead.groups).err());
        let bytes = disk_use(garbage);
        if problems.is_empty() {
            problems.extend(ctr_sys::tree::remove_tree(garbage).err().map(|error| error.to_string()));
        }
        if problems.is_empty() {
            report.add("container", dead.id.clone(), dead.dir.display().to_string(), bytes, dead.reason.clone());
        }
        report.errors.extend(problems.into_iter().map(|problem| format!("container {}: {problem}", dead.id)));
    }

    /// Without any container our part of the control group trees goes too.
    fn remove_group_parents(&self) {
        let none = || {
            let living = Place::ALL.iter().filter(|place| **place != Place::Garbage);
            living.map(|place| self.containers.place(*place)).all(|dir| names_in(&dir).is_ok_and(|ids| ids.is_empty()))
        };
        if none() {
            // A busy store is none without containers.
            if let Ok(_gate) = self.store.gate_exclusive(Duration::from_millis(200))
                && none()
            {
                groups::remove_parents(&self.root_hash());
            }
        }
    }

    fn root_hash(&self) -> String {
        ctr_core::container::root_hash(self.store.root())
    }

    /// Names and control groups that belong to no container.
    fn add_leftovers(&self, report: &mut Report, act: impl Fn(&Leftover) -> Result<(), String>) -> Result<(), Failure> {
        let stale = containers::stale_names(self.containers)?.into_iter();
        let mut leftovers: Vec<Leftover> = stale.map(|(name, id)| Leftover::Name { name, id }).collect();
        leftovers.extend(
            groups::leftover(self.containers, &self.root_hash())
                .into_iter()
                .map(|(id, path)| Leftover::Group { id, path }),
        );
        for leftover in leftovers {
            if let Err(error) = act(&leftover) {
                report.errors.push(error);
                continue;
            }
            match leftover {
                Leftover::Name { name, id } => {
                    let path = self.containers.names().join(&name).display().to_string();
                    report.add("name", name, path, None, format!("it points to container {id}, which is gone"));
                }
                Leftover::Group { id, path } => {
                    let reason = format!("there is no container {id}");
                    report.add("cgroup", id, path.display().to_string(), None, reason);
                }
            }
        }
        Ok(())
    }
}

enum Leftover {
    Name { name: String, id: String },
    Group { id: String, path: PathBuf },
}

impl Leftover {
    fn remove(&self, containers: &Containers) -> Result<(), String> {
        match self {
            Self::Name { name, id } => containers.release_name(name, id).map_err(|error| error.to_string()),
            Self::Group { path, .. } => groups::remove(path),
        }
    }
}

/// Deletes what was swept. A part that cannot be deleted stays in the transaction's directory, for the next collection.
fn delete(moved: Vec<(Item, PathBuf)>, trash: Txn, report: &mut Report) {
    for (item, place) in moved {
        let bytes = disk_use(&place);
        match ctr_sys::tree::remove_tree(&place) {
            Ok(()) => add_item_of(report, &item, bytes),
            Err(error) => report.errors.push(format!("cannot delete {} {}: {error}", item.kind.name(), item.id)),
        }
    }
    drop(trash);
}

fn add_container(report: &mut Report, dead: &Dead, at: &Path) {
    let path = dead.dir.display().to_string();
    report.add("container", dead.id.clone(), path, disk_use(at), dead.reason.clone());
}

fn add_item(report: &mut Report, item: &Item, at: &Path) {
    add_item_of(report, item, disk_use(at));
}

fn add_item_of(report: &mut Report, item: &Item, bytes: Option<u64>) {
    report.add(item.kind.name(), item.id.clone(), item.path.display().to_string(), bytes, item.reason.clone());
}

/// Bytes on the disk; none where they cannot be counted.
fn disk_use(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let meta = fs::symlink_metadata(path).ok()?;
    if !meta.is_dir() {
        return Some(meta.blocks() * 512);
    }
    ctr_sys::tree::measure_tree(path).ok().map(|size| size.disk + meta.blocks() * 512)
}
