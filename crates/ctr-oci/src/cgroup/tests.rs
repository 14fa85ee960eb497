//! The cgroupfs driver on this host's own hierarchies, in groups of our own naming.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::*;

/// A name of its own for each test; the groups below it go with it.
struct Named(String);

impl Named {
    /// `None`, with a note, where the host gives us no groups.
    fn new(name: &str) -> Option<Self> {
        let host = Hierarchies::of_host();
        let top = host.v1.first().map(|v1| v1.mount.clone()).or(host.unified.map(|unified| unified.mount))?;
        let name = format!("ctr-oci-unit-{name}-{}", std::process::id());
        if let Err(error) = fs::create_dir_all(top.join(&name)).and_then(|()| fs::remove_dir(top.join(&name))) {
            eprintln!("skipped: no control groups here: {error}");
            return None;
        }
        Some(Self(name))
    }

    fn create(&self, id: &str, resources: &str) -> Result<Groups, CgroupError> {
        let resources: Resources = serde_json::from_str(resources).unwrap();
        create(&Request {
            id,
            root_hash: "unit",
            path: &format!("/{}/{id}", self.0),
            resources: &resources,
            annotations: &BTreeMap::new(),
            systemd: false,
            owner: None,
            optional: false,
        })
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let host = Hierarchies::of_host();
        for mount in host.v1.iter().map(|v1| &v1.mount).chain(host.unified.iter().map(|unified| &unified.mount)) {
            let _ = ctr_core::container::groups::remove(&mount.join(&self.0));
        }
    }
}

/// A process in every group; ended when dropped.
struct Sleeper(Child);

impl Sleeper {
    fn in_groups(dirs: &[PathBuf]) -> Self {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        for dir in dirs {
            fs::write(dir.join("cgroup.procs"), child.id().to_string()).unwrap();
        }
        Self(child)
    }

    fn pid(&self) -> i32 {
        self.0.id().cast_signed()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn of<'a>(record: &'a CgroupRecord, controller: &str) -> Option<&'a Path> {
    let host = Hierarchies::of_host();
    let mount = &host.v1_of(controller)?.mount;
    record.dirs.iter().map(PathBuf::as_path).find(|dir| dir.starts_with(mount))
}

#[test]
fn groups_are_made_in_every_hierarchy_limited_and_removed() {
    let Some(named) = Named::new("made") else { return };
    let host = Hierarchies::of_host();
    let mut groups =
        named.create("a", r#"{"memory":{"limit":67108864,"swap":134217728},"pids":{"limit":33}}"#).unwrap();
    let record = groups.record();
    assert_eq!(record.dirs.len(), host.v1.len() + usize::from(host.unified.is_some()));
    let joined = groups.take_joined();
    assert_eq!(joined.joins.len(), host.v1.len());
    assert_eq!(joined.unified.is_some(), host.unified.is_some());
    if let Some(memory) = of(&record, "memory") {
        assert_eq!(fs::read_to_string(memory.join("memory.limit_in_bytes")).unwrap().trim(), "67108864");
        assert_eq!(fs::read_to_string(memory.join("memory.memsw.limit_in_bytes")).unwrap().trim(), "134217728");
    }
    if let Some(devices) = of(&record, "devices") {
        let list = fs::read_to_string(devices.join("devices.list")).unwrap();
        assert!(list.contains("c 1:3 rwm") && !list.contains("a *:*"), "{list}");
    }
    if let Some(cpuset) = of(&record, "cpuset") {
        assert!(!fs::read_to_string(cpuset.join("cpuset.cpus")).unwrap().trim().is_empty());
    }
    groups.keep();
    drop(groups);
    assert!(record.dirs.iter().all(|dir| dir.is_dir()));
    // The container made some below.
    for dir in &record.dirs {
        let _ = fs::create_dir_all(dir.join("x/y"));
    }
    record.remove().unwrap();
    record.remove().unwrap();
    assert!(record.dirs.iter().all(|dir| !dir.exists()));
}

#[test]
fn a_failed_making_leaves_nothing() {
    let Some(named) = Named::new("failed") else { return };
    let error = named.create("a", r#"{"cpu":{"cpus":"4095"}}"#).unwrap_err();
    assert!(error.to_string().starts_with("linux.resources.cpu.cpus: "), "{error}");
    let host = Hierarchies::of_host();
    assert!(host.v1.iter().all(|v1| !v1.mount.join(&named.0).join("a").exists()));
}

#[test]
fn a_group_that_is_there_is_used_if_it_is_empty_and_stays() {
    let Some(named) = Named::new("there") else { return };
    let first = named.create("a", "{}").unwrap();
    let dirs = first.record().dirs.clone();
    {
        let _sleeper = Sleeper::in_groups(&dirs);
        let error = named.create("a", "{}").unwrap_err();
        assert!(matches!(error, CgroupError::Busy { count: 1, .. }), "{error}");
    }
    let second = named.create("a", "{}").unwrap();
    assert_eq!(second.record().made, Vec::<PathBuf>::new());
    drop(second);
    assert!(dirs.iter().all(|dir| dir.is_dir()));
    drop(first);
    assert!(dirs.iter().all(|dir| !dir.exists()));
}

#[test]
fn freezing_thawing_and_killing() {
    let Some(named) = Named::new("freeze") else { return };
    let groups = named.create("a", "{}").unwrap();
    let record = groups.record();
    let mut sleeper = Sleeper::in_groups(&record.dirs);
    assert_eq!(record.processes().unwrap(), [sleeper.pid()]);
    assert!(!record.is_frozen());
    record.freeze().unwrap();
    record.freeze().unwrap();
    assert!(record.is_frozen());
    let error = named.create("a/b", "{}").unwrap_err();
    assert!(matches!(error, CgroupError::Frozen { .. }), "{error}");
    record.thaw().unwrap();
    assert!(!record.is_frozen());
    assert_eq!(record.signal_all(0).unwrap(), 1);
    // Each way of freezing it, as the container or an engine may have done.
    for dir in &record.dirs {
        freeze::request(dir, true);
    }
    let start = Instant::now();
    record.kill_all().unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(record.processes().unwrap(), Vec::<i32>::new());
    assert!(!sleeper.0.wait().unwrap().success());
    drop(groups);
    assert!(record.dirs.iter().all(|dir| !dir.exists()));
}

#[test]
fn a_record_removes_no_roots_and_nothing_elsewhere() {
    let Some(named) = Named::new("record") else { return };
    let elsewhere = tempfile::tempdir().unwrap();
    let mount: PathBuf = Hierarchies::of_host().v1.first().map_or("/sys/fs/cgroup".into(), |v1| v1.mount.clone());
    let victim = mount.join(&named.0);
    fs::create_dir_all(&victim).unwrap();
    let made = vec![
        elsewhere.path().to_owned(),
        mount.clone(),
        "/sys/fs/cgroup".into(),
        mount.join("x/../../..").join(elsewhere.path().strip_prefix("/").unwrap()),
        mount.join("..").join(mount.file_name().unwrap()).join(&named.0),
    ];
    CgroupRecord { dirs: made.clone(), made, ..CgroupRecord::default() }.remove().unwrap();
    assert!(elsewhere.path().is_dir() && victim.is_dir());
}

#[test]
fn processes_are_found_deep_below() {
    let Some(named) = Named::new("deep") else { return };
    let groups = named.create("a", "{}").unwrap();
    let dir = groups.record().dirs[0].clone();
    let mut below = dir.clone();
    (0..20).for_each(|_| below.push("below"));
    fs::create_dir_all(&below).unwrap();
    let sleeper = Sleeper::in_groups(&[below]);
    assert_eq!(groups.record().processes().unwrap(), [sleeper.pid()]);
    assert!(matches!(named.create("a", "{}").unwrap_err(), CgroupError::Busy { count: 1, .. }));
    groups.record().kill_all().unwrap();
}
