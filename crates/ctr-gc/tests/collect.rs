//! The binary against roots made by hand: what goes, what stays, what it says.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use ctr_core::container::{
    ContainerRecord, EXIT_RECORD_MAX, ExitRecord, ExitStatus, ImageRecord, IsolationRecord, LogMode, RECORD_VERSION,
};
use ctr_core::digest::Digest;
use ctr_core::launch::{LAUNCH_VERSION, LaunchRecord, LayerId};
use ctr_core::store::{LayerDone, Store};
use ctr_core::timestamp::Timestamp;
use serde_json::Value;

struct Root {
    dir: tempfile::TempDir,
    image: Digest,
    layer: LayerId,
}

impl Root {
    /// A store with one image of one layer, without a name, imported long ago.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_or_create(dir.path()).unwrap();
        let txn = store.begin().unwrap();
        let diff = Digest::of(b"layer");
        let staging = txn.layer_staging().unwrap();
        fs::write(staging.fs().join("file"), "content").unwrap();
        let done = LayerDone {
            diff_id: diff,
            chain_id: diff,
            self_contained: true,
            max_uid: 0,
            max_gid: 0,
            entries: 0,
            bytes: 0,
            counted: false,
        };
        let layer = txn.publish_layer(staging, done).unwrap();
        let (config, _) = txn.put_blob(b"{}", None).unwrap();
        let (image, _) = txn.put_blob(format!(r#"{{"config":{{"digest":"{config}"}}}}"#).as_bytes(), None).unwrap();
        let launch = LaunchRecord {
            version: LAUNCH_VERSION,
            image,
            config,
            os: "linux".into(),
            architecture: "amd64".into(),
            variant: String::new(),
            layers: vec![layer],
            max_uid: 0,
            max_gid: 0,
            entrypoint: Vec::new(),
            cmd: Vec::new(),
            env: Vec::new(),
            user: String::new(),
            working_dir: String::new(),
            stop_signal: String::new(),
            volumes: Vec::new(),
            exposed_ports: Vec::new(),
            labels: BTreeMap::new(),
        };
        txn.commit_image(&launch, &[]).unwrap();
        let record = dir.path().join("store/images").join(image.hex());
        File::open(record).unwrap().set_modified(SystemTime::now() - Duration::from_secs(7200)).unwrap();
        Self { dir, image, layer }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn store(&self) -> Store {
        Store::open(self.path()).unwrap()
    }

    /// Makes a container in `place` that uses the image.
    fn container(&self, place: &str, id: &str, change: impl FnOnce(&mut ContainerRecord)) -> PathBuf {
        let dir = self.path().join("containers").join(place).join(id);
        fs::create_dir_all(dir.join("upper/etc")).unwrap();
        fs::create_dir_all(dir.join("work/work")).unwrap();
        fs::set_permissions(dir.join("work/work"), fs::Permissions::from_mode(0o000)).unwrap();
        let mut record = ContainerRecord {
            version: RECORD_VERSION,
            id: id.into(),
            name: None,
            image: Some(ImageRecord { name: None, digest: self.image }),
            bundle: None,
            layers: vec![self.layer],
            command: vec!["/x".into()],
            created_at: Timestamp::now(),
            hostname: String::new(),
            labels: BTreeMap::new(),
            stop_signal: 15,
            stop_timeout: 10,
            log: LogMode::File,
            tty: false,
            stdin: false,
            journal: None,
            init: true,
            rm: false,
            cgroups: Vec::new(),
            volumes: Vec::new(),
            mounted_images: Vec::new(),
            isolation: IsolationRecord::default(),
        };
        change(&mut record);
        if let Some(name) = &record.name {
            fs::create_dir_all(self.path().join("containers/names")).unwrap();
            symlink(id, self.path().join("containers/names").join(name)).unwrap();
        }
        fs::write(dir.join("container.json"), serde_json::to_vec(&record).unwrap()).unwrap();
        fs::write(dir.join("lock"), "").unwrap();
        dir
    }

    fn gc(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ctr-gc"));
        command.arg("--root").arg(self.path()).args(arguments).output().unwrap()
    }

    /// Runs it, expects success, and returns `(kind, id) -> reason`.
    fn collected(&self, arguments: &[&str]) -> BTreeMap<(String, String), String> {
        let output = self.gc(&[arguments, &["--format", "json"]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |item: &Value, key: &str| item[key].as_str().unwrap().to_owned();
        let items = report["items"].as_array().unwrap();
        items.iter().map(|item| ((text(item, "kind"), text(item, "id")), text(item, "reason"))).collect()
    }

    fn containers(&self, place: &str) -> usize {
        fs::read_dir(self.path().join("containers").join(place)).map_or(0, Iterator::count)
    }
}

fn ended(dir: &Path, seconds_ago: u64) {
    let now = Timestamp::now().0;
    let record =
        ExitRecord { status: ExitStatus::Code(3), at: Timestamp(now - seconds_ago * 1_000_000_000), timed_out: false };
    let mut line = [0u8; EXIT_RECORD_MAX];
    let len = record.write(&mut line);
    fs::write(dir.join("exit"), &line[..len]).unwrap();
}

fn lock(dir: &Path) -> File {
    let file = File::options().read(true).write(true).open(dir.join("lock")).unwrap();
    assert!(ctr_sys::lock::try_exclusive(file.as_fd()).unwrap());
    file
}

fn key(kind: &str, id: impl Into<String>) -> (String, String) {
    (kind.to_owned(), id.into())
}

#[test]
fn nothing_there_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ctr-gc"));
    let output = command.arg("--root").arg(dir.path().join("none")).output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
}

#[test]
fn ended_containers_go_after_the_grace_and_their_image_with_the_last() {
    let root = Root::new();
    ended(&root.container("run", "old", |record| record.name = Some("web".into())), 4000);
    ended(&root.container("run", "young", |_| ()), 100);
    ended(&root.container("run", "removed", |record| record.rm = true), 1);
    let alive = root.container("run", "alive", |record| record.rm = true);
    ended(&alive, 5000);
    let held = lock(&alive);

    let planned = root.collected(&["--dry-run"]);
    assert_eq!(root.containers("run"), 4, "a dry run changes nothing");
    let done = root.collected(&[]);
    let ids: Vec<_> = done.keys().cloned().collect();
    assert_eq!(planned.keys().cloned().collect::<Vec<_>>(), ids, "a dry run says what happens");
    assert_eq!(ids, [key("container", "old"), key("container", "removed")]);
    assert!(done[&key("container", "old")].contains("ended 66 minutes ago"), "{done:?}");
    assert!(done[&key("container", "removed")].contains("--rm"));
    assert!(!root.path().join("containers/names/web").is_symlink(), "the name is free again");
    assert_eq!((root.containers("run"), root.containers("garbage")), (2, 0));

    let done = root.collected(&["--grace", "10s"]);
    assert_eq!(done.keys().cloned().collect::<Vec<_>>(), [key("container", "young")]);
    assert!(root.store().launch_record(&root.image).is_ok(), "a container uses it");
    drop(held);
    let done = root.collected(&["--grace", "0"]);
    assert!(done.contains_key(&key("image", root.image.to_string())), "{done:?}");
    assert!(done.contains_key(&key("layer", root.layer.to_string())), "{done:?}");
    for dir in ["layers", "images", "blobs/sha256", "tmp"] {
        assert_eq!(fs::read_dir(root.path().join("store").join(dir)).unwrap().count(), 0, "{dir}");
    }
    assert!(root.collected(&["--grace", "0"]).is_empty());
}

#[test]
fn leftovers_of_crashes_go_at_once_and_living_starts_stay() {
    let root = Root::new();
    root.container("embryo", "broken", |_| ());
    fs::create_dir_all(root.path().join("containers/embryo/empty")).unwrap();
    let living = lock(&root.container("embryo", "living", |_| ()));
    root.container("garbage", "half", |_| ());
    let removing = lock(&root.container("garbage", "removing", |_| ()));
    fs::create_dir_all(root.path().join("containers/names")).unwrap();
    symlink("nobody", root.path().join("containers/names/stale")).unwrap();
    let volume = root.path().join("volumes/data/file");
    fs::create_dir_all(volume.parent().unwrap()).unwrap();
    fs::write(&volume, "kept").unwrap();

    let planned = root.collected(&["--dry-run"]);
    let done = root.collected(&[]);
    let ids: Vec<_> = done.keys().cloned().collect();
    assert_eq!(planned.keys().cloned().collect::<Vec<_>>(), ids);
    let expected =
        [key("container", "broken"), key("container", "empty"), key("container", "half"), key("name", "stale")];
    assert_eq!(ids, expected);
    assert_eq!((root.containers("embryo"), root.containers("garbage"), root.containers("names")), (1, 1, 1));
    assert_eq!(fs::read(volume).unwrap(), b"kept");
    drop((living, removing));
    assert_eq!(root.collected(&[]).len(), 2 + 4, "now they are dead, and the image is not used any more");
}

#[test]
fn a_container_that_cannot_be_read_keeps_all_images_until_its_grace_is_over() {
    let root = Root::new();
    let dir = root.container("run", "torn", |_| ());
    fs::write(dir.join("container.json"), "").unwrap();
    let output = root.gc(&[]);
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no image, layer or blob was collected") && said.contains("container.json"), "{said}");
    assert!(root.store().launch_record(&root.image).is_ok());

    let held = lock(&dir);
    root.collected(&["--grace", "0"]);
    assert!(dir.exists(), "it lives");
    drop(held);
    let done = root.collected(&["--grace", "0"]);
    assert!(done.contains_key(&key("container", "torn")), "{done:?}");
    assert!(root.store().launch_record(&root.image).is_err());
}

#[test]
fn a_busy_store_is_left_alone() {
    let root = Root::new();
    ended(&root.container("run", "old", |_| ()), 4000);
    let gate = root.store().gate_shared().unwrap();
    let output = root.gc(&["--wait", "200ms"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("was in use for 200ms") && said.contains("hint: try again"), "{said}");
    assert_eq!(root.containers("run"), 1);
    assert_eq!(fs::read_dir(root.path().join("store/tmp")).unwrap().count(), 0);
    drop(gate);
    root.collected(&["--wait", "200ms"]);
    assert_eq!(root.containers("run"), 0);
}

#[test]
fn check_and_repair() {
    let root = Root::new();
    let store = root.store();
    store.tag(&"app".parse().unwrap(), &root.image).unwrap();
    assert!(root.gc(&["--check"]).status.success());
    fs::remove_file(store.layer_fs(&root.layer).join("file")).unwrap();
    let output = root.gc(&["--check"]);
    let (out, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1));
    assert!(out.contains("layer") && out.contains("0 entries"), "{out}");
    assert!(said.contains("ctr-fetch") && said.contains("docker.io/library/app:latest"), "{said}");
    assert!(store.find_image("app").is_ok(), "a check changes nothing");
    let output = root.gc(&["--check", "--repair"]);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("removed until it is fetched again"));
    assert!(store.find_image("app").is_err());
    assert!(root.gc(&["--check"]).status.success());
    assert_eq!(root.gc(&["--repair"]).status.code(), Some(2));
}

/// Hierarchies of both versions where this host lets us make control groups.
fn group_tops() -> Vec<PathBuf> {
    let all = ["", "unified", "pids"].map(|name| Path::new("/sys/fs/cgroup").join(name));
    all.into_iter().filter(|path| path.join("cgroup.procs").exists()).collect()
}

/// Control groups of this test alone, removed whatever becomes of it.
struct Groups(Vec<PathBuf>);

impl Groups {
    fn make(&mut self, group: &Path) -> bool {
        self.0.push(group.to_owned());
        fs::create_dir_all(group).is_ok()
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        // In reverse: what is below was made later. Most are gone already.
        for group in self.0.iter().rev() {
            let _ = fs::remove_dir(group);
        }
    }
}

#[test]
fn control_groups_of_this_root_go_and_no_others() {
    let root = Root::new();
    let ours = format!("ctr/{}", ctr_core::container::root_hash(root.path()));
    let mut groups = Groups(Vec::new());
    let tops: Vec<_> = group_tops().into_iter().filter(|top| groups.make(&top.join(&ours))).collect();
    if tops.is_empty() {
        eprintln!("skipped: control groups cannot be made here");
        return;
    }
    let recorded: Vec<PathBuf> = tops.iter().map(|top| top.join(&ours).join("dead")).collect();
    for group in &recorded {
        assert!(groups.make(group) && groups.make(&group.join("nested")));
    }
    let leftover = tops[0].join(&ours).join("leftover");
    // Another root's, whose containers we cannot see.
    let other = tops[0].join(format!("{ours}-other"));
    let foreign = other.join("leftover");
    assert!(groups.make(&leftover) && groups.make(&other) && groups.make(&foreign));
    let record = |record: &mut ContainerRecord| {
        record.cgroups = recorded.iter().map(|group| group.display().to_string()).collect();
    };
    ended(&root.container("run", "dead", record), 4000);
    let done = root.collected(&[]);
    assert!(done.contains_key(&key("cgroup", "leftover")) && done.contains_key(&key("container", "dead")), "{done:?}");
    assert!(tops.iter().all(|top| !top.join(&ours).exists()), "nothing of this root stays");
    assert!(foreign.exists(), "another root's stay");
}
