//! Databases of rpm that rpm made, whole and damaged; lock files in a tree.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use ctr_attest::inventory::{LOCK_FILE_MAX, LOCK_FILES_MAX, NOTES_MAX};
use ctr_attest::{Inventory, RPM_DATABASE_MAX, scan};
use ctr_tests::need;
use ctr_tests::scratch::Cmd;
use ctr_tree::{HostDir, Kind, Meta, Tree, TreeError, TreePath};

fn read(root: &Path) -> Inventory {
    scan(&HostDir::open(root).unwrap()).unwrap()
}

fn write(root: &Path, path: &str, text: impl AsRef<[u8]>) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn purls(inventory: &Inventory) -> Vec<&str> {
    inventory.packages.iter().map(|package| package.purl.as_str()).collect()
}

// spec: BUILD-121 BUILD-122 BUILD-128
#[test]
fn the_packages_of_a_database_are_those_that_rpm_lists() {
    need!("rpm", "rpmbuild");
    let (scratch, tree) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let place = tree.path().join("usr/lib/sysimage/rpm");
    let listed = ctr_tests::rpm::database(scratch.path(), &place);
    fs::create_dir_all(tree.path().join("var/lib")).unwrap();
    symlink("../../usr/lib/sysimage/rpm", tree.path().join("var/lib/rpm")).unwrap();
    write(tree.path(), "etc/os-release", "ID=fedora\nVERSION_ID=40\n");
    let found = read(tree.path());
    assert_eq!(
        purls(&found),
        [
            "pkg:rpm/fedora/hello-devel@1.2-3.fc40?arch=noarch&distro=fedora-40&epoch=4",
            "pkg:rpm/fedora/hello@1.2-3.fc40?arch=noarch&distro=fedora-40&epoch=4",
            "pkg:rpm/fedora/libhello%2B%2B@1.2~rc1%5Egit5-3.fc40?arch=noarch&distro=fedora-40&epoch=4",
        ]
    );
    let mut lines: Vec<String> = found
        .packages
        .iter()
        .map(|package| {
            let (epoch, rest) = package.version.split_once(':').unwrap();
            let (version, release) = rest.rsplit_once('-').unwrap();
            let (arch, licence) = (package.arch.as_deref().unwrap(), package.licence.as_deref().unwrap());
            format!("{} {epoch} {version} {release} {arch} {licence}", package.name)
        })
        .collect();
    lines.sort();
    assert_eq!(lines, listed);
    assert_eq!(found.notes, [""; 0]);

    // What was written since is in the log, and other formats are told of.
    fs::write(place.join("rpmdb.sqlite-wal"), "more").unwrap();
    fs::write(place.join("Packages"), "").unwrap();
    fs::write(place.join("Packages.db"), "").unwrap();
    let found = read(tree.path());
    assert_eq!(found.packages.len(), 3);
    assert_eq!(
        found.notes,
        [
            "The rpm database usr/lib/sysimage/rpm/Packages (in Berkeley DB) is not read; its packages are not listed.",
            "The rpm database usr/lib/sysimage/rpm/Packages.db (in ndb) is not read; its packages are not listed.",
            "usr/lib/sysimage/rpm/rpmdb.sqlite-wal is not read; the packages are those of the rpm database without it.",
        ]
        .map(|note| note.replace("usr/lib", "/usr/lib"))
    );
}

/// Makes a database by `SQLite` itself with headers of many sizes, some of them removed again, and prints the names that it has then.
const MANY: &str = r#"
import random, sqlite3, struct, sys

def header(name, padding):
    data, index = b"", b""
    for tag, text in [(1, "x" * padding), (1000, name), (1001, "1"), (1002, "2")]:
        index += struct.pack(">IIII", tag, 6, len(data), 1)
        data += text.encode() + b"\0"
    return struct.pack(">II", 4, len(data)) + index + data

path, page, vacuum = sys.argv[1:]
random.seed(int(page))
db = sqlite3.connect(path, isolation_level=None)
db.execute(f"PRAGMA page_size = {page}")
db.execute(f"PRAGMA auto_vacuum = {vacuum}")
db.execute("CREATE TABLE other (a TEXT, b BLOB)")
db.execute("CREATE TABLE IF NOT EXISTS 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
for number in range(40):
    db.execute(f"CREATE INDEX i{number} ON other (a, b)")
db.execute("BEGIN")
for number in range(1500):
    size = random.choice([0, 10, 300, int(page) - random.randrange(130), random.randrange(3 * int(page))])
    db.execute("INSERT INTO Packages (blob) VALUES (?)", [header(f"p{number}", size)])
    db.execute("INSERT INTO other VALUES (?, ?)", [str(number), b"x" * 50])
db.execute("COMMIT")
db.execute("DELETE FROM Packages WHERE hnum % 7 = 0")
print("\n".join(f"p{hnum - 1}" for hnum, in db.execute("SELECT hnum FROM Packages")))
"#;

// spec: BUILD-128
#[test]
fn what_sqlite_wrote_is_read_whatever_its_pages_are() {
    need!("python3");
    for (page, vacuum) in [("512", "0"), ("1024", "1"), ("4096", "0"), ("8192", "2"), ("65536", "1")] {
        let tree = tempfile::tempdir().unwrap();
        let place = tree.path().join("var/lib/rpm");
        fs::create_dir_all(&place).unwrap();
        let made = Cmd::new("python3").args(["-c", MANY]).arg(place.join("rpmdb.sqlite")).args([page, vacuum]).ok();
        let mut expected: Vec<&str> = made.lines().collect();
        expected.sort_unstable();
        let found = read(tree.path());
        let mut names: Vec<&str> = found.packages.iter().map(|package| package.name.as_str()).collect();
        names.sort_unstable();
        assert!(expected.len() > 1_200);
        assert_eq!(names, expected, "{page}");
        assert_eq!(found.notes, [""; 0], "{page}");
        assert_eq!(found.packages[0].purl, format!("pkg:rpm/{}@1-2", found.packages[0].name));
    }
}

// spec: BUILD-124 BUILD-128 LIM-99
#[test]
fn damaged_databases_are_read_or_told_of() {
    need!("rpm", "rpmbuild");
    let (scratch, tree) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let place = tree.path().join("var/lib/rpm");
    ctr_tests::rpm::database(scratch.path(), &place);
    let file = place.join("rpmdb.sqlite");
    let whole = fs::read(&file).unwrap();
    // Pages without content tell nothing: bytes that say something are changed, and most often those that begin a page.
    let said: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0 || at % 4_096 < 16).collect();
    let firsts: Vec<usize> = said.iter().copied().filter(|at| at % 4_096 < 64 || *at < 200).collect();
    let mut random = 0x2545_f491_u32;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        random as usize
    };
    let (mut as_before, mut noted) = (0, 0);
    for round in 0..3_000 {
        let mut bytes = whole.clone();
        for _ in 0..=next() % 4 {
            let from = if next() % 3 == 0 { &said } else { &firsts };
            let at = from[next() % from.len()];
            bytes[at] = match next() % 4 {
                0 => 0,
                1 => 0xff,
                2 => bytes[at] ^ (1 << (next() % 8)),
                _ => u8::try_from(next() % 256).unwrap(),
            };
        }
        if round % 10 == 0 {
            bytes.truncate(next() % bytes.len());
        }
        fs::write(&file, &bytes).unwrap();
        let found = read(tree.path());
        assert!(found.packages.len() <= 3 && found.notes.len() <= 1, "{round}: {found:?}");
        as_before += usize::from(found.packages.len() == 3);
        noted += usize::from(!found.notes.is_empty());
    }
    assert!(as_before > 100 && noted > 500, "{as_before} {noted}");

    fs::File::options().write(true).open(&file).unwrap().set_len(RPM_DATABASE_MAX + 1).unwrap();
    let found = read(tree.path());
    assert!(found.packages.is_empty() && found.notes[0].contains("more than"), "{found:?}");
}

/// A tree without end: a thousand directories in each.
struct Endless;

impl Tree for Endless {
    fn look(&self, path: &TreePath) -> Result<Option<Meta>, TreeError> {
        let (kind, time) = (Kind::Directory, (0, 0));
        let number = path.name().iter().all(u8::is_ascii_digit);
        let meta = Meta {
            kind,
            mode: 0o755,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: time,
            ctime: time,
            inode: (0, 0),
            links: 1,
            device: (0, 0),
        };
        Ok(number.then_some(meta))
    }

    fn list(&self, path: &TreePath) -> Result<Vec<(Vec<u8>, Meta)>, TreeError> {
        assert!(path.as_bytes().len() < 4_096);
        let meta = self.look(&TreePath::root())?.unwrap();
        Ok((0..1_000).map(|number| (format!("{number:03}").into_bytes(), meta.clone())).collect())
    }

    fn read_link(&self, _: &TreePath) -> Result<Vec<u8>, TreeError> {
        unreachable!("there are no links")
    }

    fn open(&self, _: &TreePath) -> Result<fs::File, TreeError> {
        unreachable!("there are no files")
    }

    fn attributes(&self, _: &TreePath) -> Result<Vec<(Vec<u8>, Vec<u8>)>, TreeError> {
        Ok(Vec::new())
    }
}

// spec: BUILD-129 LIM-120
#[test]
fn a_tree_without_end_is_gone_through_in_part() {
    let found = scan(&Endless).unwrap();
    assert!(found.packages.is_empty());
    let notes: Vec<&str> =
        found.notes.iter().map(|note| note.trim_start_matches(|c: char| c.is_ascii_digit())).collect();
    assert_eq!(
        notes,
        [
            "There are more than 4194304 files; not all were searched for lock files.",
            " directories with too long paths were not searched for lock files.",
        ]
    );
}

const CARGO: &str = "[[package]]\nname = \"NAME\"\nversion = \"1.0.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n";

// spec: BUILD-129 LIM-120
#[test]
fn lock_files_are_found_where_they_tell_of_this_tree() {
    let tree = tempfile::tempdir().unwrap();
    let root = tree.path();
    let lock = |path: &str, name: &str| write(root, path, CARGO.replace("NAME", name));
    lock("Cargo.lock", "top");
    lock("srv/app/deep/Cargo.lock", "deep");
    lock("srv/proc/Cargo.lock", "no-kernel");
    for directory in ["proc", "sys", "dev", "a/node_modules/b", "go/vendor", "root/.cargo/registry/src", "go/pkg/mod/x"]
    {
        lock(&format!("{directory}/Cargo.lock"), "other");
    }
    symlink("/srv", root.join("link")).unwrap();
    symlink("/Cargo.lock", root.join("srv/Cargo.lock")).unwrap();
    fs::create_dir(root.join("srv/go.mod")).unwrap();
    write(root, "srv/wrong/Cargo.lock", "[[package]]\nname = 1\n");
    write(root, "srv/bytes/yarn.lock", b"\xff\n");
    let found = read(root);
    assert_eq!(purls(&found), ["pkg:cargo/deep@1.0.0", "pkg:cargo/no-kernel@1.0.0", "pkg:cargo/top@1.0.0"]);
    assert_eq!(found.packages[0].found_in.to_string(), "/srv/app/deep/Cargo.lock");
    assert_eq!(found.notes.len(), 2, "{:?}", found.notes);
    assert_eq!(
        found.notes[0],
        "The lock file /srv/bytes/yarn.lock is not read: it is not UTF-8; its packages are not listed."
    );
    assert!(found.notes[1].starts_with("The lock file /srv/wrong/Cargo.lock is not read: "), "{:?}", found.notes);

    let large = |path: &str, size: u64| {
        write(root, path, "");
        fs::File::options().write(true).open(root.join(path)).unwrap().set_len(size).unwrap();
    };
    large("large/go.mod", LOCK_FILE_MAX + 1);
    let found = read(root);
    assert!(found.notes[0].contains("/large/go.mod is not read: it is too large: more than"), "{:?}", found.notes);
    large("large/go.mod", LOCK_FILES_MAX + 1);
    let found = read(root);
    assert_eq!(purls(&found), ["pkg:cargo/top@1.0.0"]);
    assert!(found.notes[0].contains("/large/go.mod and those after it are not read"), "{:?}", found.notes);
    fs::remove_dir_all(root.join("large")).unwrap();

    for number in 0..=NOTES_MAX {
        write(root, &format!("many/{number:04}/go.mod"), "no");
    }
    let found = read(root);
    assert_eq!(found.notes.len(), NOTES_MAX);
    assert!(found.notes[NOTES_MAX - 1].starts_with("There are more notes"));
    assert_eq!(found.packages.len(), 3);
}

/// Hostile text up to the size that is read.
fn hostile(before: &str, one: impl Fn(usize) -> String, behind: &str) -> String {
    let mut text = before.to_owned();
    let most = usize::try_from(LOCK_FILE_MAX).unwrap() - behind.len() - 64;
    for number in 0.. {
        if text.len() > most {
            break;
        }
        text.push_str(&one(number));
    }
    if text.ends_with(',') {
        text.pop();
    }
    text + behind
}

// spec: BUILD-129 BUILD-137 LIM-120
#[test]
fn hostile_lock_files_take_little_room_and_fail_nothing() {
    let peak = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
    };
    let dir = tempfile::tempdir().unwrap();
    let long = format!("\"name\":\"{}", "x".repeat(60));
    for (name, text, why) in [
        ("requirements.txt", hostile("", |n| format!("{n:x}==1\n"), ""), "separators"),
        ("Gemfile.lock", hostile("GEM\n  specs:\n", |n| format!("    {n:x} (1)\n"), ""), "packages"),
        ("Cargo.lock", hostile("a=[", |_| "0,".into(), "]\n"), "separators"),
        ("poetry.lock", hostile("a=", |_| "[".into(), ""), "separators"),
        ("uv.lock", hostile("", |_| "a.".into(), "b=1\n"), "separators"),
        ("package-lock.json", hostile("", |_| "[".into(), ""), "separators"),
        (
            "composer.lock",
            hostile("{\"packages\":[", |n| format!("{{{long}{n}\",\"version\":\"1\"}},"), "]}"),
            "packages",
        ),
        ("Pipfile.lock", hostile("{\"_meta\":{},\"a\":{\"", |_| "long".into(), "\":{}}}"), ""),
    ] {
        write(dir.path(), name, text);
        let before = peak();
        let found = read(dir.path());
        let room = peak() - before;
        assert!(room < 200, "{name}: {room} MiB");
        match why {
            "" => assert_eq!(found.notes, Vec::<String>::new(), "{name}"),
            why => {
                let note = found.notes.concat();
                assert!(
                    note.contains("is not read: it is too large: more than") && note.contains(why),
                    "{name}: {note}"
                );
            }
        }
        assert_eq!(found.packages.len(), 0);
        fs::remove_file(dir.path().join(name)).unwrap();
    }
}
