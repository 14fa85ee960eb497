//! Hostile archives: they reach out, lie, explode.

use std::fs;
use std::os::unix::fs::symlink;

use ctr_tests::attack::Sentinel;
use ctr_tests::oci::{self, Layer, Layout, TAR_GZIP};
use ctr_tests::scratch::{Done, Root, names};
use ctr_tests::tarball::{Entry, Tar};
use ctr_tests::{need, store_check};
use serde_json::json;

fn fetch_layers(root: &Root, layers: Vec<Layer>) -> Done {
    let dir = root.file("attack");
    if dir.exists() {
        fs::remove_dir_all(&dir).unwrap();
    }
    let mut layout = Layout::new(&dir);
    let image = layout.image(&json!({"Cmd": ["/x"]}), &layers);
    layout.tag("latest", &image);
    root.ctr("fetch").args(["-q", &layout.source("latest"), "--name", "attack"]).run()
}

// ATTACK: CVE-2018-15664, zip slip: archive entries with `..`, absolute names, and through links, hard links and whiteouts => refused, or kept inside
#[test]
fn archives_that_reach_out() {
    // spec: OVR-4, LAY-12
    need!(root);
    let root = Root::new();
    let sentinel = Sentinel::new(&root.file("sentinel"));
    let up = format!("{}{}", "../".repeat(30), sentinel.dir.strip_prefix("/").unwrap().display());
    let abs = sentinel.dir.display().to_string();
    let one = |tar: Tar| vec![tar];
    let attacks: Vec<(&str, Vec<Tar>)> = vec![
        ("dot dot", one(Tar::new().file(&format!("{up}/new"), 0o644, "x"))),
        ("dot dot inside", one(Tar::new().dir("a", 0o755).file(&format!("a/{up}/new"), 0o644, "x"))),
        ("dot dot directory", one(Tar::new().dir(&format!("{up}/sub"), 0o000))),
        ("absolute name", one(Tar::new().file(&format!("{abs}/new"), 0o644, "x"))),
        ("through an absolute link", one(Tar::new().symlink("l", &abs).file("l/new", 0o644, "x"))),
        ("through a relative link", one(Tar::new().symlink("l", &up).file("l/new", 0o644, "x"))),
        ("over an absolute link", one(Tar::new().symlink("l", &format!("{abs}/hosts")).file("l", 0o600, "x"))),
        ("mode of a link's target", one(Tar::new().symlink("l", &format!("{abs}/sub")).dir("l", 0o000))),
        ("mode through a link", one(Tar::new().symlink("l", &abs).dir("l/sub", 0o000))),
        ("hard link to an absolute name", one(Tar::new().hardlink("h", &format!("{abs}/hosts")).file("h", 0o600, "x"))),
        ("hard link upwards", one(Tar::new().hardlink("h", &format!("{up}/hosts")).file("h", 0o600, "x"))),
        ("hard link through a link", one(Tar::new().symlink("l", &abs).hardlink("h", "l/hosts").file("h", 0o600, "x"))),
        (
            "hard link to a link, then through it",
            one(Tar::new().symlink("l", &format!("{abs}/hosts")).hardlink("h", "l").file("h", 0o600, "x")),
        ),
        ("whiteout through a link", one(Tar::new().symlink("l", &abs).file("l/.wh.hosts", 0o644, ""))),
        ("whiteout upwards", one(Tar::new().file(&format!("{up}/.wh.hosts"), 0o644, ""))),
        ("whiteout of dot dot", one(Tar::new().dir("a", 0o755).file("a/.wh...", 0o644, ""))),
        ("whiteout of dot", one(Tar::new().dir("a", 0o755).file("a/.wh..", 0o644, ""))),
        ("whiteout without a name", one(Tar::new().dir("a", 0o755).file("a/.wh.", 0o644, ""))),
        ("opaque through a link", one(Tar::new().symlink("l", &abs).file("l/.wh..wh..opq", 0o644, ""))),
        ("a link in a lower layer", vec![Tar::new().symlink("l", &abs), Tar::new().file("l/new", 0o644, "x")]),
        (
            "a hard link into a lower layer's link",
            vec![Tar::new().symlink("l", &abs), Tar::new().hardlink("h", "l/hosts").file("h", 0o600, "x")],
        ),
        (
            "a hard link over a lower layer's file",
            vec![Tar::new().file("f", 0o644, "low"), Tar::new().hardlink("h", "f").file("h", 0o600, "x")],
        ),
        ("device through a link", one(Tar::new().symlink("l", &abs).device("l/dev", b'3', 1, 3))),
        (
            "attributes through a link",
            one(Tar::new()
                .symlink("l", &format!("{abs}/hosts"))
                .add(Entry::new(b'2', "l").pax("SCHILY.xattr.user.x", "y").pax("linkpath", format!("{abs}/hosts")))),
        ),
        (
            "owner through a link",
            one(Tar::new()
                .symlink("l", &format!("{abs}/hosts"))
                .add(Entry { link: format!("{abs}/hosts").into_bytes(), ..Entry::new(b'2', "l").owner(77, 77) })),
        ),
        ("a fifo that is written to", one(Tar::new().fifo("p").file("p", 0o644, "x"))),
        (
            "a directory replaced by a link",
            one(Tar::new().dir("d", 0o755).file("d/f", 0o644, "x").symlink("d", &abs).file("d/new", 0o644, "x")),
        ),
        (
            "overlay's own attribute",
            one(Tar::new().add(
                Entry::new(b'5', "d")
                    .pax("SCHILY.xattr.trusted.overlay.opaque", "y")
                    .pax("SCHILY.xattr.trusted.overlay.redirect", "/etc"),
            )),
        ),
        (
            "overlay's own user attribute",
            one(Tar::new().add(Entry::new(b'5', "d").pax("SCHILY.xattr.user.overlay.opaque", "y"))),
        ),
        ("overlay's own whiteout", vec![Tar::new().file("f", 0o644, "x"), Tar::new().device("f", b'3', 0, 0)]),
    ];
    for (what, layers) in attacks {
        let layers = layers.into_iter().map(|tar| Layer::plain(tar.finish())).collect();
        let done = fetch_layers(&root, layers);
        assert!(matches!(done.code, 0 | 1), "{what}: {done}");
        sentinel.assert_untouched(what);
        for attribute in overlay_attributes(&root) {
            // What overlay itself does with our whiteouts is no attack; a redirect is nobody's.
            assert!(!attribute.contains("redirect"), "{what}: {attribute}");
        }
        if what.starts_with("overlay's own") && what.contains("attribute") {
            assert_eq!(done.code, 1, "{what} must be refused: {done}");
        }
        assert_eq!(store_check::complaints(&root.store()), Vec::<String>::new(), "{what}");
        assert_eq!(names(&root.store().join("tmp")), Vec::<String>::new(), "{what}");
        println!(
            "{what}: {}",
            if done.code == 0 { "harmless" } else { done.stderr.lines().next().unwrap_or_default() }
        );
    }
}

/// Names of overlay's attributes on anything in the layers.
fn overlay_attributes(root: &Root) -> Vec<String> {
    let mut stack = vec![root.store().join("layers")];
    let mut found = Vec::new();
    while let Some(path) = stack.pop() {
        for name in xattr::list(&path).unwrap() {
            if name.to_string_lossy().contains("overlay") {
                found.push(format!("{}: {}", path.display(), name.display()));
            }
        }
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            stack.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found
}

// ATTACK: lying archives: sizes, headers, sparse maps and streams that are wrong, endless or cut => refused, nothing is left in the store
#[test]
fn archives_that_lie_or_explode() {
    // spec: OVR-4, LAY-8
    need!(root, "gzip");
    let mut huge = Entry::new(b'0', "huge");
    huge.size = Some(1 << 50);
    let mut negative = Entry::new(b'0', "negative");
    negative.size = Some(u64::MAX);
    let zeroes = vec![0u8; 64 << 20];
    let bomb = oci::filter("gzip", &["-9", "-c"], &oci::filter("gzip", &["-9", "-c"], &zeroes));
    let deep = (0..3000).fold(String::new(), |path, _| path + "d/");
    let attacks: Vec<(&str, Layer)> = vec![
        ("a file larger than the archive", Layer::plain(Tar::new().add(huge).finish())),
        ("a negative size", Layer::plain(Tar::new().add(negative).finish())),
        (
            "a PAX size that differs",
            Layer::plain(Tar::new().add(Entry::new(b'0', "f").pax("size", "99999999999")).finish()),
        ),
        (
            "a PAX size that is no number",
            Layer::plain(Tar::new().add(Entry::new(b'0', "f").pax("size", "-1")).finish()),
        ),
        (
            "a PAX header of a gigabyte",
            Layer::plain(Tar::new().add(Entry { size: Some(1 << 30), ..Entry::new(b'x', "p") }).finish()),
        ),
        (
            "a GNU long name of a gigabyte",
            Layer::plain(Tar::new().add(Entry { size: Some(1 << 30), ..Entry::new(b'L', "p") }).finish()),
        ),
        ("a path of 3000 directories", Layer::plain(Tar::new().file(&format!("{deep}f"), 0o644, "x").finish())),
        ("a name with NUL", Layer::plain(Tar::new().add(Entry::new(b'0', "x").pax("path", b"a\0b")).finish())),
        ("a name too long for any filesystem", Layer::plain(Tar::new().file(&"n".repeat(5000), 0o644, "x").finish())),
        (
            "a bad checksum",
            Layer::plain({
                let mut tar = Tar::new().file("f", 0o644, "x").finish();
                tar[148] ^= 1;
                tar
            }),
        ),
        ("no archive at all", Layer::plain(b"this is not an archive, but it is longer than nothing".repeat(40))),
        (
            "an archive cut in a file",
            Layer::plain(Tar::new().file("f", 0o644, vec![1u8; 5000]).finish()[..2048].to_vec()),
        ),
        (
            "a gzip stream with garbage behind",
            Layer {
                blob: [oci::filter("gzip", &["-c"], &Tar::new().file("f", 0o644, "x").finish()), b"garbage".to_vec()]
                    .concat(),
                ..Layer::compressed(&Tar::new().file("f", 0o644, "x").finish(), "gzip", TAR_GZIP)
            },
        ),
        ("a gzip stream in a gzip stream", Layer { diff_id: oci::digest(&zeroes), blob: bomb, media_type: TAR_GZIP }),
        (
            "sparse parts that overlap",
            Layer::plain(
                Tar::new()
                    .add(Entry {
                        content: b"2\n0\n512\n0\n512\n".iter().copied().chain([0; 498]).chain([1; 1024]).collect(),
                        ..Entry::new(b'0', "s")
                            .pax("GNU.sparse.major", "1")
                            .pax("GNU.sparse.minor", "0")
                            .pax("GNU.sparse.realsize", "512")
                    })
                    .finish(),
            ),
        ),
        (
            "a sparse file of an exabyte",
            Layer::plain(
                Tar::new()
                    .add(
                        Entry::new(b'0', "s")
                            .pax("GNU.sparse.major", "1")
                            .pax("GNU.sparse.minor", "0")
                            .pax("GNU.sparse.realsize", "1152921504606846976"),
                    )
                    .finish(),
            ),
        ),
    ];
    for (what, layer) in attacks {
        let root = Root::new();
        let done = fetch_layers(&root, vec![layer]);
        assert_eq!(done.code, 1, "{what}: {done}");
        assert!(!done.stderr.contains("panicked"), "{what}: {done}");
        assert_eq!(store_check::complaints(&root.store()), Vec::<String>::new(), "{what}");
        assert_eq!(store_check::refs(&root.store()).len(), 0, "{what}");
        assert_eq!(names(&root.store().join("tmp")), Vec::<String>::new(), "{what}");
        println!("{what}: {}", done.stderr.lines().take(2).collect::<Vec<_>>().join(" "));
    }
}

// ATTACK: compression bomb: 2 GiB in 2 MiB => stopped by the limit of the ratio
#[test]
fn a_compression_bomb_meets_the_limit() {
    // spec: LIM-4
    need!(root, "gzip", "sh");
    let root = Root::new();
    // A tar with one file of 2 GiB of zeroes, compressed to less than a hundredth of a part (spec/limits.md LIM-4).
    let dir = root.file("attack");
    let mut layout = Layout::new(&dir);
    let header = Tar::new().add(Entry { size: Some(2 << 30), ..Entry::new(b'0', "zeroes") }).finish()[..512].to_vec();
    let head = root.write("head", header);
    let script = format!("(cat {}; head -c 2G /dev/zero; head -c 1024 /dev/zero) | gzip -6 -c", head.display());
    let blob = oci::filter("sh", &["-c", &script], b"");
    let layer = Layer { blob, media_type: TAR_GZIP, diff_id: oci::digest(b"never reached") };
    let image = layout.image(&json!({}), &[layer]);
    layout.tag("latest", &image);
    let start = std::time::Instant::now();
    let done = root.ctr("fetch").args(["-q", &layout.source("latest"), "--name", "attack"]).fails(1);
    assert!(!done.stderr.contains("diff"), "stopped before the end, not by the digest: {done}");
    assert!(start.elapsed().as_secs() < 60);
    assert_eq!(names(&root.store().join("tmp")), Vec::<String>::new());
}

// ATTACK: image archives that link out: a layer that is a link to a file of the host, a device, a fifo => not followed, not read
#[test]
fn archives_of_images_that_link_out() {
    need!(root);
    let root = Root::new();
    let sentinel = Sentinel::new(&root.file("sentinel"));
    // A docker-archive whose layer is a link to a file of the host: it must not be read.
    let secret = Tar::new().file("secret", 0o600, "secret").finish();
    fs::write(sentinel.dir.join("hosts"), &secret).unwrap();
    let sentinel = sentinel.again();
    let config = json!({"architecture": oci::architecture(), "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [oci::digest(&secret)]}}).to_string();
    for target in [
        sentinel.path("hosts"),
        format!("{}{}", "../".repeat(20), sentinel.path("hosts")),
        "layer.tar".to_owned(),
        "a/../../../layer.tar".to_owned(),
    ] {
        let manifest = json!([{"Config": "c.json", "RepoTags": null, "Layers": ["layer.tar"]}]).to_string();
        let archive = Tar::new()
            .file("c.json", 0o644, &config)
            .symlink("layer.tar", &target)
            .file("manifest.json", 0o644, manifest)
            .finish();
        let file = root.write("evil.tar", archive);
        root.ctr("fetch").args([&format!("docker-archive:{}", file.display()), "--name", "x"]).fails(1);
    }
    // A layout directory whose blob is a link to the host's file is a directory that the caller chose; a link out of it is not followed blindly.
    let mut layout = Layout::new(&root.file("layout"));
    let image = layout.image(&json!({}), &[Layer::plain(Tar::new().file("f", 0o644, "f").finish())]);
    layout.tag("latest", &image);
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(layout.blob_path(image["digest"].as_str().unwrap())).unwrap()).unwrap();
    let layer = layout.blob_path(manifest["layers"][0]["digest"].as_str().unwrap());
    fs::remove_file(&layer).unwrap();
    symlink("/dev/zero", &layer).unwrap();
    let done = root.ctr("fetch").args([&layout.source("latest"), "--name", "x"]).fails(1);
    assert!(!done.stderr.contains("panicked"), "{done}");
    fs::remove_file(&layer).unwrap();
    nix::unistd::mkfifo(&layer, nix::sys::stat::Mode::S_IRWXU).unwrap();
    root.ctr("fetch").args([&layout.source("latest"), "--name", "x"]).fails(1);
    sentinel.assert_untouched("archives");
}
