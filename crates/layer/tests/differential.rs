//! The same archives through ctr, GNU tar and umoci: path, type, mode, owner, size, digest, link, attributes, time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ctr_layer::pack::PackOptions;
use ctr_layer::unpack::XattrDialect;
use ctr_tests::tarball::{Entry, Tar};
use support::{Times, assert_same, merged, merged_as, options, packed, shell, snapshot, unpack_as, unpack_over};

/// All that a layer can hold, but attributes and names that only some formats have.
const TREE: &str = "
    mkdir -p etc bin 'sp ace' dev empty sticky closed/in
    echo root > etc/passwd; chmod 600 etc/passwd; : > etc/empty; printf 'x%.0s' $(seq 5000) > etc/big
    echo prog > bin/su; chown 0:12 bin/su; chmod 6755 bin/su
    echo cap > bin/ping; chmod 755 bin/ping
    ln etc/passwd etc/again; ln -s ../etc/passwd bin/soft; ln -s /nowhere/at/all bin/dangling; chown -h 7:8 bin/soft
    ln bin/soft bin/soft2
    mknod dev/null0 c 1 3; chmod 666 dev/null0; mknod dev/disk b 8 17; chown 0:6 dev/disk; mkfifo -m 640 dev/fifo
    echo u > 'sp ace/ünï'; echo n > \"$(printf 'sp ace/new\\nline')\"; echo b > \"$(printf 'sp ace/\\377\\200')\"
    chmod 1777 sticky; chmod 2755 empty; chown 1000:1000 sticky; echo in > closed/in/file; chmod 0 closed
    touch -h -d @1000000000 bin/soft etc/big; touch -d '1969-12-30 00:00:00 UTC' etc/empty
    touch -d @1234567890 etc bin dev 'sp ace' empty closed .
";

/// What needs extensions.
const EXTENDED: &str = "
    d=$(printf 'a-directory-with-a-long-name/%.0s' $(seq 8)); mkdir -p \"$d\"; echo deep > \"$d/file\"
    ln -s \"$d/file\" long-target; ln \"$d/file\" long-hard
    n=$(printf 'n%.0s' $(seq 255)); echo n > $n
    echo big > big-owner; chown 3000000000:4294967294 big-owner
    truncate -s 3M holes; printf data | dd of=holes bs=1 seek=1000000 conv=notrunc status=none; printf end >> holes
    truncate -s 1M all-hole
    i=0; truncate -s 4M many; while [ $i -lt 60 ]; do printf xx | dd of=many bs=1 seek=$((i * 65536)) conv=notrunc status=none; i=$((i + 1)); done
    touch -d '@1500000000.123456789' big-owner; touch -d '@1500000001.5' .
";

fn unpacked(work: &Path, name: &str, archive: &Path) -> PathBuf {
    let dir = work.join(name);
    let stats = unpack_over(&dir, &fs::read(archive).unwrap(), &[]).unwrap();
    assert!(stats.self_contained);
    dir
}

fn gnu_tar(work: &Path, source: &Path, args: &[&str]) -> PathBuf {
    let archive = work.join("archive.tar");
    let mut command = Command::new("tar");
    command.args(["-C", &source.display().to_string(), "--numeric-owner", "-cf", &archive.display().to_string()]);
    let output = command.args(args).arg(".").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    archive
}

#[test]
fn every_format_of_gnu_tar_gives_the_tree_back() {
    ctr_tests::need!(root, "tar");
    let scratch = tempfile::tempdir().unwrap();
    let (work, source) = (scratch.path(), scratch.path().join("source"));
    fs::create_dir(&source).unwrap();
    shell(&source, TREE);
    for format in ["v7", "ustar", "oldgnu", "gnu", "posix"] {
        // The oldest formats have no devices; v7 no fifos either, and times from 1970 on only.
        let reduced = work.join("reduced");
        shell(work, "rm -rf reduced; cp -a source reduced");
        if format == "v7" || format == "ustar" {
            shell(&reduced, "touch -d @1 etc/empty; touch -d @1234567890 etc");
        }
        if format == "v7" {
            shell(&reduced, "rm -r dev; touch -d @1234567890 .");
        }
        let archive = gnu_tar(work, &reduced, &["--format", format]);
        let ours = unpacked(work, format, &archive);
        assert_same(&snapshot(&reduced, Times::Seconds), &snapshot(&ours, Times::Seconds), format);
    }
}

#[test]
fn long_names_large_numbers_and_holes() {
    ctr_tests::need!(root, "tar");
    let scratch = tempfile::tempdir().unwrap();
    let (work, source) = (scratch.path(), scratch.path().join("source"));
    fs::create_dir(&source).unwrap();
    shell(&source, EXTENDED);
    for (args, times) in [
        (&["--format=gnu"][..], Times::Seconds),
        (&["--format=posix"], Times::Nanoseconds),
        (&["--format=gnu", "--sparse"], Times::Seconds),
        (&["--format=oldgnu", "--sparse"], Times::Seconds),
        (&["--format=posix", "--sparse", "--sparse-version=0.0"], Times::Nanoseconds),
        (&["--format=posix", "--sparse", "--sparse-version=0.1"], Times::Nanoseconds),
        (&["--format=posix", "--sparse", "--sparse-version=1.0"], Times::Nanoseconds),
    ] {
        let archive = gnu_tar(work, &source, args);
        let ours = unpacked(work, &args.join(""), &archive);
        assert_same(&snapshot(&source, times), &snapshot(&ours, times), &args.join(" "));
        if args.contains(&"--sparse") {
            use std::os::unix::fs::MetadataExt;
            let blocks = fs::metadata(ours.join("holes")).unwrap().blocks();
            assert!(blocks < 1024, "holes stay holes: {blocks} blocks");
        }
    }
}

#[test]
fn attributes_and_file_capabilities() {
    ctr_tests::need!(root, "tar", "setcap");
    let scratch = tempfile::tempdir().unwrap();
    let (work, source) = (scratch.path(), scratch.path().join("source"));
    fs::create_dir(&source).unwrap();
    shell(&source, "echo p > ping; chown 5:6 ping; chmod 4755 ping; setcap cap_net_raw+ep ping; mkdir d; echo f > f");
    xattr::set(source.join("f"), "user.binary", b"\0\n=\xff").unwrap();
    xattr::set(source.join("f"), "user.empty", b"").unwrap();
    xattr::set(source.join("d"), "user.on-directory", b"1").unwrap();
    xattr::set(source.join("d"), "trusted.mine", b"2").unwrap();
    let archive = gnu_tar(work, &source, &["--format=posix", "--xattrs", "--xattrs-include=*"]);
    let ours = unpacked(work, "ours", &archive);
    assert_same(&snapshot(&source, Times::Nanoseconds), &snapshot(&ours, Times::Nanoseconds), "attributes");
    assert!(xattr::get(ours.join("ping"), "security.capability").unwrap().is_some());
}

#[test]
fn gnu_tar_reads_what_ctr_packs() {
    ctr_tests::need!(root, "tar");
    let scratch = tempfile::tempdir().unwrap();
    let (work, source) = (scratch.path(), scratch.path().join("source"));
    fs::create_dir(&source).unwrap();
    shell(&source, TREE);
    shell(&source, EXTENDED);
    xattr::set(source.join("etc/big"), "user.note", b"a=b\n").unwrap();
    let archive = packed(&source, &PackOptions { nanoseconds: true, ..PackOptions::default() });
    fs::write(work.join("ours.tar"), &archive).unwrap();
    shell(work, "mkdir theirs; tar -C theirs --xattrs --xattrs-include='*' --numeric-owner --same-owner -pxf ours.tar");
    let wanted = snapshot(&source, Times::Nanoseconds);
    assert_same(&wanted, &snapshot(&work.join("theirs"), Times::Nanoseconds), "GNU tar");
    let ours = unpacked(work, "ours", &work.join("ours.tar"));
    assert_same(&wanted, &snapshot(&ours, Times::Nanoseconds), "ctr");
}

fn at(kind: u8, name: &str, mtime: u64) -> Entry {
    let mut entry = Entry::new(kind, name);
    entry.mtime = mtime;
    entry
}

/// Layers with everything that one can do to those below it.
fn layers() -> Vec<Vec<u8>> {
    let base = Tar::new()
        .dir("./", 0o755)
        .dir("etc/", 0o750)
        .file("etc/a", 0o640, "a")
        .file("etc/b", 0o644, "b")
        .dir("etc/d/", 0o711)
        .file("etc/d/x", 0o644, "x")
        .file("etc/d/y", 0o644, "y")
        .add(at(b'5', "usr/", 1_500_000_000).owner(3, 4).mode(0o2755))
        .add(at(b'5', "usr/lib/", 1_500_000_001).owner(5, 6).mode(0o1777))
        .file("usr/lib/libc", 0o755, "libc")
        .symlink("lib", "usr/lib")
        .symlink("abs", "/usr/lib")
        .dir("gone/", 0o755)
        .dir("gone/deep/", 0o755)
        .file("gone/deep/z", 0o644, "z")
        .file("becomes-dir", 0o644, "f")
        .dir("becomes-file/", 0o755)
        .file("becomes-file/in", 0o644, "in")
        .dir("becomes-link/", 0o755)
        .file("becomes-link/in", 0o644, "in")
        .dir("opaque/", 0o755)
        .file("opaque/old", 0o644, "old")
        .dir("opaque/sub/", 0o755)
        .file("opaque/sub/old", 0o644, "old")
        .file("first", 0o4755, "first")
        .hardlink("second", "first");
    let middle = Tar::new()
        .whiteout("etc", "a")
        .file("etc/new", 0o600, "new")
        .file("etc/d/x", 0o644, "changed")
        .whiteout("", "gone")
        .dir("becomes-dir/", 0o700)
        .file("becomes-dir/f", 0o644, "now in it")
        .file("becomes-file", 0o644, "now a file")
        .symlink("becomes-link", "etc")
        .file("lib/through-link", 0o644, "1")
        .file("abs/through-absolute-link", 0o644, "2")
        .opaque("opaque")
        .file("opaque/new", 0o644, "new")
        .hardlink("etc/hard", "usr/lib/libc")
        .file("implicit/parents/here", 0o644, "h")
        .dir("both/", 0o755)
        .file("both/f", 0o644, "one")
        .file("both", 0o644, "now a file")
        .dir("both/", 0o711)
        .file("both/g", 0o644, "two")
        .file("twice", 0o644, "one")
        .file("twice", 0o600, "two");
    let top = Tar::new()
        .dir("gone/", 0o701)
        .file("gone/fresh", 0o644, "fresh")
        .whiteout("etc/d", "y")
        .whiteout("usr/lib", "through-link")
        .file("becomes-link/in-etc", 0o644, "3")
        .dir("opaque/sub/", 0o755)
        .whiteout("", "first")
        .whiteout("opaque", "new");
    vec![base.finish(), middle.finish(), top.finish()]
}

#[test]
fn layers_of_an_image_merge_as_umoci_applies_them() {
    ctr_tests::need!(root, "umoci", "unshare");
    let scratch = tempfile::tempdir().unwrap();
    let work = scratch.path();
    shell(work, "umoci init --layout image; umoci new --image image:t");
    let dialects = [(XattrDialect::Trusted, "trusted"), (XattrDialect::User, "user")];
    let mut dirs: [Vec<PathBuf>; 2] = Default::default();
    for (index, archive) in layers().iter().enumerate() {
        fs::write(work.join(format!("{index}.tar")), archive).unwrap();
        shell(work, &format!("umoci raw add-layer --image image:t {index}.tar"));
        for ((dialect, name), dirs) in dialects.iter().zip(&mut dirs) {
            let dir = work.join(format!("{name}{index}"));
            let stats = unpack_as(*dialect, &dir, archive, dirs).unwrap();
            assert_eq!(stats.self_contained, index == 0, "layer {index}");
            dirs.push(dir);
        }
    }
    shell(work, "umoci raw unpack --image image:t theirs");
    let theirs = without_made_up_times(snapshot(&work.join("theirs"), Times::Seconds));
    for ((dialect, name), dirs) in dialects.iter().zip(&dirs) {
        merged_as(*dialect, work, dirs, &work.join(name));
        let ours = without_made_up_times(snapshot(&work.join(name), Times::Seconds));
        // `user.overlay.opaque` is hidden by overlay in a mount that reads it.
        assert_same(&theirs, &ours, &format!("umoci and ctr, {name}"));
    }
}

/// Directories that no layer has an entry for get the time of the unpacking from umoci, and so does the root when a layer
/// without an entry for it changes something in it.
fn without_made_up_times(mut files: BTreeMap<String, String>) -> BTreeMap<String, String> {
    for made_up in ["", "implicit", "implicit/parents"] {
        let text = files.get_mut(made_up).unwrap();
        *text = text.split(" at ").next().unwrap().to_owned();
    }
    files
}

#[test]
fn an_overlay_upper_becomes_a_layer_that_makes_the_same_change() {
    ctr_tests::need!(root, "unshare");
    let scratch = tempfile::tempdir().unwrap();
    let work = scratch.path();
    let base = work.join("base");
    unpack_over(&base, &layers()[0], &[]).unwrap();
    let change = "
        rm etc/a; rm -r gone; echo new > etc/d/x; rm -r opaque; mkdir opaque; echo n > opaque/n; rm becomes-dir; mkdir becomes-dir
        chmod 700 usr; ln etc/b etc/c; touch -d @1600000000 etc/d/x etc opaque/n opaque becomes-dir usr .";
    let script = format!(
        "mkdir upper wk m; mount -t overlay overlay -o lowerdir=base,upperdir=upper,workdir=wk m; (cd m; {change}); cp -a m changed"
    );
    let output = Command::new("unshare").args(["-m", "sh", "-euc", &script]).current_dir(work).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let upper = PackOptions { upper: Some(options().dialect), nanoseconds: true, ..PackOptions::default() };
    let layer = packed(&work.join("upper"), &upper);
    let again = work.join("again");
    unpack_over(&again, &layer, std::slice::from_ref(&base)).unwrap();
    merged(work, &[base, again], &work.join("ours"));
    let changed = snapshot(&work.join("changed"), Times::Nanoseconds);
    assert_same(&changed, &snapshot(&work.join("ours"), Times::Nanoseconds), "upper, packed and unpacked");
}
