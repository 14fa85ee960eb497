//! Extraction, beside `umoci unpack` of the same image.

use std::fs;
use std::path::{Path, PathBuf};

use ctr_tests::oci::{Layer, Layout, TAR_GZIP, TAR_ZSTD};
use ctr_tests::scratch::{Cmd, Root};
use ctr_tests::tarball::{Entry, Tar};
use ctr_tests::tree::{self, Listing};
use ctr_tests::{images, need, store_check};
use serde_json::json;

/// What ctr made of the image, seen through one overlay.
fn ours(root: &Root, source: &str) -> Listing {
    let digest = root.fetch(source, "x");
    assert_eq!(store_check::complaints(&root.store()), Vec::<String>::new());
    let merged = root.file("merged");
    tree::mount_layers(&store_check::layer_trees(&root.store(), &digest), &merged, "");
    tree::list(&merged)
}

fn umoci(root: &Root, layout: &Path) -> Listing {
    let bundle = root.file("bundle");
    Cmd::new("umoci").args(["unpack", "--image"]).arg(format!("{}:latest", layout.display())).arg(&bundle).ok();
    tree::list(&bundle.join("rootfs"))
}

/// Compares, without what `ignored` names (with the reason at the call).
#[track_caller]
fn assert_like_umoci(root: &Root, layout: &Path, ignored: &[&str]) {
    tree::own_mounts();
    let mut ours = ours(root, &format!("oci:{}:latest", layout.display()));
    let mut theirs = umoci(root, layout);
    for name in ignored {
        ours.remove(*name);
        theirs.remove(*name);
    }
    assert!(!ours.is_empty(), "nothing to compare");
    tree::assert_same(&theirs, &ours);
}

fn layout(root: &Root, layers: &[Tar]) -> PathBuf {
    let dir = root.file("layout");
    let mut layout = Layout::new(&dir);
    let layers: Vec<Layer> = layers.iter().map(|tar| Layer::plain(tar.clone().finish())).collect();
    let image = layout.image(&json!({}), &layers);
    layout.tag("latest", &image);
    dir
}

#[test]
fn an_image_that_umoci_made() {
    need!(root, "umoci");
    let root = Root::new();
    assert_like_umoci(&root, &images::umoci_layers(), &[]);
}

#[test]
fn a_debian_image() {
    need!(root, "umoci", "mmdebstrap");
    let root = Root::new();
    let source = images::debian();
    let dir = source.trim_start_matches("oci:").trim_end_matches(":latest");
    assert_like_umoci(&root, Path::new(dir), &[]);
}

#[test]
fn all_kinds_of_entries() {
    need!(root, "umoci");
    let root = Root::new();
    let long = format!("deep/{}", "n".repeat(200));
    let mut owned = Entry::new(b'0', "owned").owner(1234, 5678).mode(0o640);
    owned.content = b"owned".to_vec();
    let mut big_ids = Entry::new(b'0', "big-ids").pax("uid", "2000000000").pax("gid", "2000000001");
    big_ids.content = b"x".to_vec();
    let mut timed = Entry::new(b'0', "timed").pax("mtime", "1234567890.123456789");
    timed.content = b"t".to_vec();
    let mut capable = Entry::new(b'0', "capable").mode(0o755).pax("SCHILY.xattr.security.capability", capability());
    capable.content = b"c".to_vec();
    let mut noted = Entry::new(b'0', "noted")
        .pax("SCHILY.xattr.user.note", "hello")
        .pax("SCHILY.xattr.trusted.secret", [0, 1, 255]);
    noted.content = b"n".to_vec();
    let tar = Tar::new()
        .dir("deep", 0o700)
        .file(&long, 0o644, "long name")
        .file("setuid", 0o6755, "s")
        .dir("sticky", 0o1777)
        .add(owned)
        .add(big_ids)
        .add(timed)
        .add(capable)
        .add(noted)
        .symlink("link", "deep/nowhere")
        .symlink("dangling-absolute", "/etc/../../up")
        .symlink(&format!("{long}-link"), &"t/".repeat(120))
        .hardlink("hard", "setuid")
        .hardlink("hard-symlink", "link")
        .device("null", b'3', 1, 3)
        .device("block", b'4', 7, 0)
        .fifo("fifo")
        .file("empty", 0, "")
        .file("dotted/./x/../y", 0o644, "not one that is refused, or the same as dotted/y");
    let odd = Tar::new()
        .dir("./", 0o755)
        .file("./dot-slash", 0o644, "d")
        .file("sp ace\n", 0o644, "s")
        .file("ünï", 0o644, "u");
    // The one with `..` inside is compared on its own below: tools differ.
    let tar = strip_last(tar);
    assert_like_umoci(&root, &layout(&root, &[tar, odd]), &[]);
}

/// The archive without its last entry of one content block.
fn strip_last(tar: Tar) -> Tar {
    let bytes = tar.finish();
    Tar::new().bytes(&bytes[..bytes.len() - 2048])
}

/// `cap_net_raw+ep` as VFS_CAP_REVISION_2 (capabilities(7), linux/capability.h).
fn capability() -> Vec<u8> {
    [0x0200_0001_u32, 1 << 13, 0, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn whiteouts_and_changes_of_kind() {
    need!(root, "umoci");
    let root = Root::new();
    let lower = Tar::new()
        .dir("d", 0o755)
        .file("d/kept", 0o644, "1")
        .file("d/gone", 0o644, "2")
        .dir("o", 0o755)
        .file("o/hidden", 0o644, "3")
        .dir("o/sub", 0o755)
        .file("o/sub/hidden", 0o644, "4")
        .dir("was-dir", 0o755)
        .file("was-dir/f", 0o644, "5")
        .file("was-file", 0o644, "6")
        .symlink("was-link", "d")
        .dir("removed", 0o755)
        .file("removed/f", 0o644, "7");
    let upper = Tar::new()
        .dir("d", 0o700)
        .whiteout("d", "gone")
        .dir("o", 0o755)
        .opaque("o")
        .file("o/new", 0o644, "8")
        .file("was-dir", 0o644, "9")
        .dir("was-file", 0o755)
        .file("was-file/in", 0o644, "10")
        .dir("was-link", 0o755)
        .file("was-link/in", 0o644, "11")
        .whiteout("", "removed");
    let again = Tar::new()
        .dir("removed", 0o711)
        .file("removed/new", 0o644, "12")
        .file("d/gone", 0o600, "back")
        .dir("was-dir", 0o755);
    assert_like_umoci(&root, &layout(&root, &[lower, upper, again]), &[]);
}

#[test]
fn whiteouts_do_not_hide_their_own_layer() {
    // spec: LAY-30, LAY-31
    need!(root);
    tree::own_mounts();
    let root = Root::new();
    let lower = Tar::new().dir("d", 0o755).file("d/a", 0o644, "old").file("d/b", 0o644, "old");
    // The order in the archive does not matter (OCI image-spec, layer.md "Whiteouts").
    let upper = Tar::new().dir("d", 0o755).file("d/a", 0o644, "new").opaque("d").file("d/c", 0o644, "new");
    let dir = layout(&root, &[lower, upper]);
    let seen = ours(&root, &format!("oci:{}:latest", dir.display()));
    let names: Vec<&str> = seen.keys().map(String::as_str).collect();
    assert_eq!(names, [".", "d", "d/a", "d/c"]);
}

#[test]
fn a_later_entry_wins() {
    // spec: LAY-15
    need!(root);
    tree::own_mounts();
    let root = Root::new();
    let tar = Tar::new()
        .file("f", 0o644, "first")
        .file("f", 0o600, "second")
        .dir("k", 0o755)
        .file("k/in", 0o644, "in")
        .file("k", 0o644, "now a file")
        .symlink("s", "f")
        .file("s", 0o644, "not through the link")
        .file("t", 0o644, "t")
        .dir("t", 0o755)
        .file("t/in", 0o644, "in");
    let dir = layout(&root, &[tar]);
    ours(&root, &format!("oci:{}:latest", dir.display()));
    let read = |name: &str| fs::read_to_string(root.file("merged").join(name)).unwrap();
    assert_eq!([read("f"), read("k"), read("s"), read("t/in")], ["second", "now a file", "not through the link", "in"]);
}

#[test]
fn directories_that_only_a_lower_layer_describes_keep_its_attributes() {
    // spec: LAY-20
    need!(root, "umoci");
    let root = Root::new();
    let mut below = Entry::new(b'5', "a").mode(0o711).owner(11, 12);
    below.pax.push(("SCHILY.xattr.user.from".to_owned(), b"below".to_vec()));
    let lower = Tar::new().add(below).add(Entry::new(b'5', "a/b").mode(0o1770).owner(21, 22)).file("a/b/x", 0o644, "x");
    let upper = Tar::new().file("a/b/y", 0o644, "y").file("brand/new/z", 0o644, "z");
    // umoci gives directories that nobody describes the mode 0777 less its umask, as do we; their time is no dir's.
    assert_like_umoci(&root, &layout(&root, &[lower, upper]), &[]);
}

#[test]
fn hard_links_into_a_lower_layer() {
    // spec: LAY-20
    need!(root, "umoci");
    let root = Root::new();
    let lower = Tar::new().dir("d", 0o755).file("d/target", 0o4711, "content").symlink("d/s", "target");
    let upper = Tar::new().hardlink("d/second", "d/target").hardlink("third", "d/second").hardlink("also-link", "d/s");
    assert_like_umoci(&root, &layout(&root, &[lower, upper]), &["d/target", "d/second", "third", "d/s", "also-link"]);
    // Through overlay the name of the lower layer may be another inode; content and attributes are the same.
    let merged = root.file("merged");
    for name in ["d/target", "d/second", "third"] {
        assert_eq!(fs::read_to_string(merged.join(name)).unwrap(), "content");
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(merged.join(name)).unwrap().permissions().mode() & 0o7777, 0o4711);
    }
    assert_eq!(fs::read_link(merged.join("also-link")).unwrap(), Path::new("target"));
}

#[test]
fn compressions_give_the_same_tree() {
    // spec: LAY-1
    need!(root, "gzip", "zstd");
    tree::own_mounts();
    let tar = Tar::new().dir("d", 0o755).file("d/f", 0o644, vec![7u8; 3_000_000]).file("d/g", 0o644, "g").finish();
    let half = tar.len() / 2;
    let two = |program: &str| [oci_filter(program, &tar[..half]), oci_filter(program, &tar[half..])].concat();
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4], &two("zstd")[..]].concat();
    let plain = Layer::plain(tar.clone());
    let variants = [
        plain.clone(),
        Layer::compressed(&tar, "gzip", TAR_GZIP),
        Layer::compressed(&tar, "zstd", TAR_ZSTD),
        Layer { blob: two("gzip"), media_type: TAR_GZIP, ..plain.clone() },
        Layer { blob: two("zstd"), media_type: TAR_ZSTD, ..plain.clone() },
        Layer { blob: skippable, media_type: TAR_ZSTD, ..plain.clone() },
    ];
    let mut seen: Vec<Listing> = Vec::new();
    for layer in variants {
        let root = Root::new();
        let mut layout = Layout::new(&root.file("layout"));
        let image = layout.image(&json!({}), &[layer]);
        layout.tag("latest", &image);
        seen.push(ours(&root, &layout.source("latest")));
    }
    for other in &seen[1..] {
        tree::assert_same(&seen[0], other);
    }
}

fn oci_filter(program: &str, bytes: &[u8]) -> Vec<u8> {
    ctr_tests::oci::filter(program, &["-c"], bytes)
}

#[test]
fn gnu_and_sparse_archives_of_tar_itself() {
    need!(root, "umoci", "tar");
    let root = Root::new();
    let source = root.file("source");
    fs::create_dir_all(source.join("d")).unwrap();
    let long = "x".repeat(150);
    let script = format!(
        "truncate -s 5M sparse; printf tail >> sparse; dd if=/dev/urandom of=holes bs=4096 count=1 seek=300 2>/dev/null; echo l > d/{long}; ln -s {long} d/link; ln -s {long}{long} d/longlink"
    );
    Cmd::new("sh").args(["-euc", &script]).dir(&source).ok();
    for (n, format) in [
        ["--format=gnu", "--sparse"].as_slice(),
        &["--format=posix", "--sparse"],
        &["--format=posix", "--sparse", "--sparse-version=0.1"],
        &["--format=oldgnu", "--sparse"],
    ]
    .iter()
    .enumerate()
    {
        let each = Root::new();
        let tar = each.file("layer.tar");
        Cmd::new("tar")
            .args(format.iter().copied())
            .args(["--numeric-owner", "-cf"])
            .arg(&tar)
            .arg("-C")
            .arg(&source)
            .arg(".")
            .ok();
        let mut layout = Layout::new(&each.file("layout"));
        let image = layout.image(&json!({}), &[Layer::plain(fs::read(&tar).unwrap())]);
        layout.tag("latest", &image);
        tree::own_mounts();
        let seen = ours(&each, &layout.source("latest"));
        let mut wanted = tree::list(&source);
        // GNU format stores whole seconds.
        let coarse = |listing: &mut Listing| {
            listing.values_mut().for_each(|line| *line = line.split(" mtime=").next().unwrap().to_owned())
        };
        let mut seen = seen;
        coarse(&mut wanted);
        coarse(&mut seen);
        assert!(wanted.len() == 7, "{wanted:?}");
        tree::assert_same(&wanted, &seen);
        println!("format {n} is the same");
    }
}
