use super::*;
use crate::digest::{Reading, digest};
use crate::host::HostDir;
use crate::layers::Empty;
use crate::select::{Rules, select};
use crate::stat_cache::StatCache;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

fn put(root: &Path, name: &str, content: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

static MODE: ModeChange = ModeChange::Octal(0o711);

/// The entries of the layer as `path mode uid:gid size`.
fn copied(
    context: &Path,
    base: &dyn Tree,
    sources: &[&str],
    destination: &str,
    change: impl Fn(&mut Placing<'_>),
) -> Result<Vec<String>, CopyError> {
    let tree = HostDir::open(context).unwrap();
    let rules = Rules { exclude: None, parents: false, devices: false };
    let sources: Vec<_> = sources.iter().flat_map(|source| select(&tree, source, rules).unwrap()).collect();
    let taken = [Taken { tree: &tree, sources: &sources, anonymous: true }];
    let path = TreePath::new(destination);
    let directory = destination.ends_with('/') || sources.len() > 1;
    let mut placing = Placing { base, destination: &path, directory, owner: None, mode: None, epoch: 100 };
    change(&mut placing);
    let mut writer = TarWriter::new(Vec::new());
    write(&taken, &[], placing, &mut writer)?;
    let bytes = writer.finish().unwrap();
    let mut reader = ctr_layer::tar::TarReader::new(bytes.as_slice(), Limits::default());
    let mut shown = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        assert_eq!(entry.mtime.secs, 100);
        let name = String::from_utf8(entry.name).unwrap();
        shown.push(format!("{name} {:o} {}:{} {}", entry.mode, entry.uid, entry.gid, entry.size));
    }
    Ok(shown)
}

// spec: BUILD-43 BUILD-44
#[test]
fn files_come_where_they_belong() {
    let dir = tempfile::tempdir().unwrap();
    let (context, base) = (dir.path().join("context"), dir.path().join("base"));
    put(&context, "src/a", "one");
    put(&context, "src/sub/b", "2");
    put(&context, "f", "file");
    for path in ["src", "src/sub"] {
        fs::set_permissions(context.join(path), fs::Permissions::from_mode(0o750)).unwrap();
    }
    for path in ["src/a", "src/sub/b", "f"] {
        fs::set_permissions(context.join(path), fs::Permissions::from_mode(0o640)).unwrap();
    }
    let go = |sources: &[&str], to: &str| copied(&context, &Empty, sources, to, |_| ()).unwrap().join(", ");
    assert_eq!(go(&["f"], "x"), "x 640 0:0 4");
    assert_eq!(go(&["f"], "x/"), "x/ 755 0:0 0, x/f 640 0:0 4");
    assert_eq!(go(&["src"], "d"), "d/ 755 0:0 0, d/a 640 0:0 3, d/sub/ 750 0:0 0, d/sub/b 640 0:0 1");
    assert_eq!(go(&["src"], "d/"), "d/ 755 0:0 0, d/a 640 0:0 3, d/sub/ 750 0:0 0, d/sub/b 640 0:0 1");
    assert_eq!(go(&["src"], "/"), "a 640 0:0 3, sub/ 750 0:0 0, sub/b 640 0:0 1");
    assert_eq!(go(&["f", "src/a"], "p/q"), "p/ 755 0:0 0, p/q/ 755 0:0 0, p/q/a 640 0:0 3, p/q/f 640 0:0 4");
    // The tree below has a say.
    put(&base, "d/sub/old", "");
    put(&base, "file", "");
    put(&base, "real/x", "");
    symlink("real", base.join("link")).unwrap();
    symlink("/../../..", base.join("up")).unwrap();
    fs::set_permissions(base.join("d/sub"), fs::Permissions::from_mode(0o700)).unwrap();
    for path in ["d", "d/sub", "real"] {
        fs::File::open(base.join(path))
            .unwrap()
            .set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(100))
            .unwrap();
    }
    let tree = HostDir::open(&base).unwrap();
    let go = |sources: &[&str], to: &str| {
        copied(&context, &tree, sources, to, |_| ()).map(|all| all.join(", ")).map_err(|error| error.to_string())
    };
    let real = format!(
        "{}:{}",
        ctr_sys::ids::effective_uid(),
        fs::metadata(&base).map(|m| std::os::unix::fs::MetadataExt::gid(&m)).unwrap()
    );
    assert_eq!(
        go(&["src"], "d").unwrap(),
        format!("d/ 755 {real} 0, d/a 640 0:0 3, d/sub/ 700 {real} 0, d/sub/b 640 0:0 1")
    );
    assert_eq!(go(&["f"], "link").unwrap(), format!("real/ 755 {real} 0, real/f 640 0:0 4"));
    assert_eq!(go(&["f"], "up/x").unwrap(), "x 640 0:0 4");
    assert_eq!(go(&["f"], "file").unwrap(), "file 640 0:0 4");
    assert_eq!(go(&["src"], "file").unwrap_err(), "/src cannot be copied to /file: that is no directory");
    assert_eq!(go(&["f"], "file/").unwrap_err(), "/f cannot be copied to /file: that is no directory");
    assert!(go(&["f"], "file/x").unwrap_err().contains("/file is not a directory"));
}

// spec: BUILD-45 BUILD-46
#[test]
fn owners_and_modes_can_be_given() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "s/a", "x");
    symlink("a", dir.path().join("s/l")).unwrap();
    let all = copied(dir.path(), &Empty, &["s"], "p/d", |placing| {
        placing.owner = Some((5, 6));
        placing.mode = Some(&MODE);
    });
    assert_eq!(all.unwrap(), ["p/ 755 5:6 0", "p/d/ 711 5:6 0", "p/d/a 711 5:6 1", "p/d/l 777 5:6 0"]);
}

// spec: BUILD-43
#[test]
fn what_layers_give_another_meaning_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "s/.wh.a", "x");
    let error = copied(dir.path(), &Empty, &["s"], "d", |_| ()).unwrap_err();
    assert!(matches!(error, CopyError::Reserved(_)));
}

// spec: BUILD-47
#[test]
fn digests_are_of_content_alone() {
    let dir = tempfile::tempdir().unwrap();
    let of = |name: &str, cache: Option<(&StatCache, i64)>| {
        let tree = HostDir::open(&dir.path().join(name)).unwrap();
        let rules = Rules { exclude: None, parents: false, devices: false };
        let sources = select(&tree, "s", rules).unwrap();
        digest(&tree, &sources, rules, Reading { threads: 4, cache, owners: false }).unwrap()
    };
    for name in ["one", "two"] {
        for at in 0..300 {
            put(&dir.path().join(name), &format!("s/d{}/f{at}", at % 7), &format!("content {at}"));
        }
        symlink("f1", dir.path().join(name).join("s/l")).unwrap();
    }
    let first = of("one", None);
    assert_eq!(of("two", None), first);
    let two = dir.path().join("two/s");
    let changes: [(&str, &dyn Fn()); 5] = [
        ("content", &|| fs::write(two.join("d1/f1"), "content 2").unwrap()),
        ("mode", &|| fs::set_permissions(two.join("d1/f1"), fs::Permissions::from_mode(0o700)).unwrap()),
        ("name", &|| fs::rename(two.join("d1/f1"), two.join("d1/g1")).unwrap()),
        ("new", &|| fs::write(two.join("new"), "").unwrap()),
        ("link", &|| {
            fs::remove_file(two.join("l")).unwrap();
            symlink("f2", two.join("l")).unwrap();
        }),
    ];
    let mut last = first;
    for (name, change) in changes {
        change();
        let now = of("two", None);
        assert_ne!(now, last, "{name}");
        last = now;
    }
    // Known files are not read again: their content could have changed without a trace only.
    let file = dir.path().join("cache");
    let cache = StatCache::load(&file);
    assert_eq!(of("one", Some((&cache, i64::MAX))), first);
    cache.save(&file).unwrap();
    let cache = StatCache::load(&file);
    assert_eq!(of("one", Some((&cache, 0))), first);
    let tree = HostDir::open(&dir.path().join("one")).unwrap();
    assert!(cache.get(&tree.look(&TreePath::new("s/d1/f1")).unwrap().unwrap()).is_some());
    fs::write(dir.path().join("one/s/d1/f1"), "Content 1").unwrap();
    assert_ne!(of("one", Some((&cache, 0))), first);
    fs::write(&file, "ctr stat cache 1\nx y z\n1 2\n").unwrap();
    assert!(StatCache::load(&file).get(&tree.look(&TreePath::new("s/d2/f2")).unwrap().unwrap()).is_none());
}
