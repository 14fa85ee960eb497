//! Archives that somebody made to do harm, beyond those of spec/vectors/archives.json: whatever they say, nothing outside
//! of the layer is made, changed or removed, and nothing panics. Needs no privilege.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::Path;

use ctr_layer::LayerError;
use ctr_layer::limits::{LimitError, Limits};
use ctr_layer::tar::TarReader;
use ctr_layer::unpack::{Ownership, UnpackOptions, Unpacked, Unpacker, XattrDialect};
use ctr_tests::tarball::{Entry, Tar};
use support::{Times, assert_same, snapshot};

fn unpack(dir: &Path, archive: &[u8], below: &[&Path]) -> Result<Unpacked, LayerError> {
    fs::create_dir_all(dir).unwrap();
    let below: Vec<File> = below.iter().map(|dir| File::open(dir).unwrap()).collect();
    let parents: Vec<_> = below.iter().map(AsFd::as_fd).collect();
    let limits = Limits { file_bytes: 1 << 20, layer_bytes: 4 << 20, ..Limits::default() };
    let options =
        UnpackOptions { dialect: XattrDialect::User, parents: &parents, ownership: Ownership::Record, limits };
    Unpacker::new(File::open(dir).unwrap(), options)?.unpack(archive)
}

/// A directory that attacks aim at, and the layer's beside it.
struct Target(tempfile::TempDir);

impl Target {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("outside/deep")).unwrap();
        fs::write(dir.path().join("outside/secret"), "secret").unwrap();
        fs::create_dir(dir.path().join("layers")).unwrap();
        Self(dir)
    }

    fn outside(&self) -> std::path::PathBuf {
        self.0.path().join("outside")
    }

    fn layer(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join("layers").join(name)
    }
}

#[test]
fn links_of_the_layers_below_lead_nowhere_outside() {
    let target = Target::new();
    let before = snapshot(&target.outside(), Times::Nanoseconds);
    let absolute = target.outside().display().to_string();
    let below = Tar::new()
        .dir("./", 0o755)
        .symlink("up", "../../outside")
        .symlink("far-up", "../../../../../../../../../../..")
        .symlink("absolute", &absolute)
        .symlink("root", "/")
        .symlink("chain", "absolute/..")
        .dir("d/", 0o755)
        .symlink("d/up", "../../outside")
        .finish();
    unpack(&target.layer("below"), &below, &[]).unwrap();
    let upper = Tar::new()
        .file("up/planted", 0o644, "x")
        .file(&format!("far-up{absolute}/planted"), 0o644, "x")
        .file("absolute/planted", 0o644, "x")
        .file("absolute/secret", 0o644, "overwritten")
        .whiteout("absolute", "deep")
        .whiteout("d/up", "secret")
        .opaque("up")
        .file("chain/outside/planted", 0o644, "x")
        .file("root/planted", 0o644, "x")
        .symlink("again", "up/../../..")
        .file("again/planted2", 0o644, "x");
    let dir = target.layer("upper");
    unpack(&dir, &upper.clone().finish(), &[&target.layer("below")]).unwrap();
    assert_same(&before, &snapshot(&target.outside(), Times::Nanoseconds), "outside");
    // They landed in the layer, where a container would see them.
    let inside = dir.join(absolute.trim_start_matches('/'));
    assert_eq!(fs::read_to_string(inside.join("secret")).unwrap(), "overwritten");
    assert!(inside.join("planted").exists() && dir.join("planted").exists() && dir.join("planted2").exists());
    assert!(dir.join("outside/planted").exists());
    let link = upper.hardlink("stolen", "absolute/deep/../../secret").finish();
    assert!(matches!(unpack(&target.layer("link"), &link, &[&target.layer("below")]), Err(LayerError::Refused { .. })));
    let link = Tar::new().hardlink("stolen", "up/secret").finish();
    assert!(matches!(
        unpack(&target.layer("link2"), &link, &[&target.layer("below")]),
        Err(LayerError::Refused { .. })
    ));
}

/// The size in the ustar header and the one in the PAX record disagree: every reader must skip the same bytes, or one
/// reads headers that the other takes for content (CVE-2026-33055, CVE-2025-62518).
#[test]
fn headers_hidden_in_content_stay_content() {
    let hidden = Tar::new().file("smuggled", 0o644, "x").finish();
    let mut carrier = Entry::new(b'0', "carrier").pax("size", hidden.len().to_string());
    carrier.size = Some(0);
    carrier.content.clone_from(&hidden);
    let archive = Tar::new().add(carrier).file("after", 0o644, "y").finish();
    let target = Target::new();
    let dir = target.layer("fs");
    assert_eq!(unpack(&dir, &archive, &[]).unwrap().entries, 2);
    assert_eq!(fs::read(dir.join("carrier")).unwrap(), hidden);
    assert!(dir.join("after").exists() && !dir.join("smuggled").exists());
}

/// A small generator (xorshift64), so that a failure comes again.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % below
    }
}

fn everything(outside: &str) -> Vec<u8> {
    let long = format!("d/{}", "n".repeat(180));
    Tar::new()
        .dir("./", 0o755)
        .dir("d/", 0o755)
        .file("d/f", 0o4755, vec![b'f'; 700])
        .symlink("d/up", outside)
        .file("d/up/x", 0o644, "x")
        .hardlink("d/hard", "d/f")
        .file(&long, 0o600, "long")
        .whiteout("d", "gone")
        .opaque("d")
        .device("null", b'3', 1, 3)
        .fifo("fifo")
        .add(Entry::new(b'0', "attributes").pax("SCHILY.xattr.user.a", "b").pax("mtime", "1.5").pax("uid", "70000"))
        .add(Entry::new(b'0', "sparse").pax("GNU.sparse.map", "0,0").pax("GNU.sparse.size", "100"))
        .file("d", 0o644, "now a file")
        .dir("d/", 0o700)
        .finish()
}

/// Sums right again, so that what was changed is read and not just refused.
fn mend_checksums(archive: &mut [u8]) {
    for block in archive.chunks_exact_mut(512).filter(|block| &block[257..262] == b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

#[test]
fn damaged_archives_neither_panic_nor_escape() {
    let target = Target::new();
    let before = snapshot(&target.outside(), Times::Nanoseconds);
    let original = everything(&target.outside().display().to_string());
    let dir = target.layer("fs");
    unpack(&target.layer("original"), &original, &[]).unwrap();
    let names =
        [&b"../../outside/secret"[..], b"/", b"..", b".wh.", b".wh..wh..opq", b"d/up/secret", b"\xff\0", b"././d"];
    let mut random = Random(0x5eed);
    let (mut taken, mut refused) = (0, 0);
    for round in 0..1000 {
        let mut archive = original.clone();
        let blocks = archive.len() / 512;
        for _ in 0..=random.next(4) {
            let block = random.next(blocks) * 512;
            match random.next(5) {
                // A type of entry, a name, a link target, a number, any byte.
                0 => archive[block + 156] = b"01234567xgLKSVM\0"[random.next(16)],
                1 => {
                    archive[block..block + 20].iter_mut().zip(names[random.next(8)]).for_each(|(to, from)| *to = *from);
                }
                2 => archive[block + 157..block + 190]
                    .iter_mut()
                    .zip(names[random.next(8)])
                    .for_each(|(to, from)| *to = *from),
                3 => archive[block + 100 + random.next(48)] = b"0178\xff\x80 -"[random.next(8)],
                _ => archive[block + random.next(512)] = u8::try_from(random.next(256)).unwrap(),
            }
        }
        if random.next(8) != 0 {
            mend_checksums(&mut archive);
        }
        if random.next(10) == 0 {
            archive.truncate(random.next(archive.len()));
        }
        match unpack(&dir, &archive, &[]) {
            Ok(_) => taken += 1,
            Err(LayerError::Stage(stage)) => panic!("round {round}: {stage}"),
            Err(_) => refused += 1,
        }
        // The same with the reader alone, which has no file system to stop it.
        let mut reader = TarReader::new(archive.as_slice(), Limits::default());
        while let Ok(Some(_)) = reader.next_entry() {}
        ctr_sys::tree::remove_tree(&dir).unwrap();
    }
    assert_same(&before, &snapshot(&target.outside(), Times::Nanoseconds), "outside");
    assert!(fs::read_dir(target.0.path()).unwrap().count() == 2, "nothing beside the layer");
    // Both must happen, or the damage is none or too much.
    assert!(taken > 100 && refused > 100, "{taken} taken, {refused} refused");
}

#[test]
fn names_that_make_many_directories_meet_a_limit() {
    let target = Target::new();
    let mut archive = Tar::new();
    for index in 0..40 {
        archive = archive.file(&format!("{index}/{}f", "d/".repeat(100)), 0o644, "");
    }
    let below_limit = unpack(&target.layer("all"), &archive.clone().finish(), &[]).unwrap();
    assert_eq!(below_limit.entries, 40);
    let dir = target.layer("limited");
    fs::create_dir(&dir).unwrap();
    let limits = Limits { directory_bytes: 100_000, ..Limits::default() };
    let options = UnpackOptions { dialect: XattrDialect::User, parents: &[], ownership: Ownership::Record, limits };
    let error = Unpacker::new(File::open(&dir).unwrap(), options).unwrap().unpack(archive.finish().as_slice());
    assert!(matches!(error, Err(LayerError::Limit { limit: LimitError::DirectoryBytes(100_000), .. })), "{error:?}");
}
