//! Layer archives, unpacked for real below a temporary directory.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use ctr_layer::limits::Limits;
use ctr_layer::unpack::{Ownership, UnpackOptions, Unpacker, XattrDialect};

use crate::Target;

/// The bytes are a layer: it is unpacked on top of a parent full of traps, and nothing may land outside of its own directory.
pub(crate) const TAR_EXTRACT: Target = Target {
    name: "tar_extract",
    run,
    vectors: &["archives.json"],
    data: None,
    seeds: &[
        b"d dir\nf dir/file\nl link dir/file\nh hard dir/file\nw dir/.wh.gone\nw .wh..wh..opq\n",
        b"l up ../..\nf up/outside\nl abs /tmp\nf abs/outside\nf ../outside\nf /outside\n",
        b"f a\nd a\nf a\nl a b\nd a/b/c\nh x a\nh y parent-file\nd parent-up/dir\nf parent-abs/file\n",
        b"p fifo\nc device\nf .\nd ..\nf dir/../../outside\nw .wh.parent-file\nw .wh.parent-dir\nh up parent-up\n",
    ],
};

const BLOCK: usize = 512;

fn run(bytes: &[u8]) {
    let stage = tempfile::Builder::new().prefix("ctr-fuzz-").tempdir_in(memory()).expect("a temporary directory");
    let layer = stage.path().join("layer");
    fs::create_dir(&layer).expect("the layer");
    fs::write(stage.path().join("outside"), "untouched").expect("the canary");
    let parent = parent(stage.path());
    let options = UnpackOptions {
        dialect: XattrDialect::User,
        parents: &[parent.as_fd()],
        ownership: Ownership::Record,
        limits: Limits { entries: 500, layer_bytes: 1 << 20, file_bytes: 1 << 20, ..Limits::PROMISED },
    };
    let archive = if bytes.get(257..262) == Some(b"ustar") { with_checksums(bytes) } else { from_script(bytes) };
    let unpacker = Unpacker::new(directory(&layer), options).expect("an empty directory takes a layer");
    drop(unpacker.unpack(archive.as_slice()));

    let mut names: Vec<_> = fs::read_dir(stage.path()).expect("the stage").flatten().map(|e| e.file_name()).collect();
    names.sort();
    assert_eq!(names, ["layer", "outside", "parent"], "something landed outside of the layer");
    assert_eq!(fs::read(stage.path().join("outside")).expect("the canary"), b"untouched");
    let mut names: Vec<_> =
        fs::read_dir(stage.path().join("parent")).expect("it").flatten().map(|e| e.file_name()).collect();
    names.sort();
    assert_eq!(names, ["parent-abs", "parent-dir", "parent-file", "parent-up"], "the parent layer changed");
    ctr_sys::tree::remove_tree(&layer).expect("the layer can be removed");
}

/// A layer below, with links that lead out of it.
fn parent(stage: &Path) -> OwnedFd {
    let path = stage.join("parent");
    fs::create_dir_all(path.join("parent-dir")).expect("a directory");
    fs::write(path.join("parent-file"), "below").expect("a file");
    std::os::unix::fs::symlink("../..", path.join("parent-up")).expect("a link");
    std::os::unix::fs::symlink("/", path.join("parent-abs")).expect("a link");
    directory(&path)
}

fn directory(path: &Path) -> OwnedFd {
    fs::File::open(path).expect("a directory").into()
}

/// A filesystem in memory where there is one: thousands of small trees a second.
fn memory() -> PathBuf {
    let shared = PathBuf::from("/dev/shm");
    if shared.is_dir() { shared } else { std::env::temp_dir() }
}

/// Almost no mutation keeps a header's checksum, so it is put right: what lies behind that check is what is looked at.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut archive = bytes.to_vec();
    archive.resize(bytes.len().next_multiple_of(BLOCK) + 2 * BLOCK, 0);
    for block in archive.chunks_exact_mut(BLOCK) {
        if &block[257..262] == b"ustar" {
            checksum(block);
        }
    }
    archive
}

fn checksum(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}

/// An archive from lines of `KIND NAME [TARGET]`: mutations of these lines are sequences of entries that are well formed one by one.
fn from_script(script: &[u8]) -> Vec<u8> {
    let mut archive = Vec::new();
    for line in script.split(|&byte| byte == b'\n').take(200) {
        let mut words = line.splitn(3, |&byte| byte == b' ');
        let kind = words.next().and_then(|word| word.first()).copied().unwrap_or(b'f');
        let name = words.next().unwrap_or_default();
        let target = words.next().unwrap_or_default();
        let (flag, size) = match kind {
            b'd' => (b'5', 0),
            b'l' => (b'2', 0),
            b'h' => (b'1', 0),
            b'p' => (b'6', 0),
            b'c' => (b'3', 0),
            b'b' => (b'4', 0),
            b'L' | b'K' => (kind, target.len()),
            b'x' | b'g' => (kind, target.len()),
            b'w' => (b'0', 0),
            _ => (b'0', name.len()),
        };
        let mut header = [0; BLOCK];
        put(&mut header[..100], name);
        put(&mut header[100..107], format!("{:07o}", 0o755).as_bytes());
        put(&mut header[124..135], format!("{size:011o}").as_bytes());
        put(&mut header[136..147], b"00000000001");
        header[156] = flag;
        put(&mut header[157..257], target);
        header[257..265].copy_from_slice(b"ustar\x0000");
        checksum(&mut header);
        archive.extend_from_slice(&header);
        let body = if matches!(flag, b'0') { name } else { target };
        archive.extend_from_slice(&body[..size]);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

fn put(field: &mut [u8], bytes: &[u8]) {
    let length = bytes.len().min(field.len());
    field[..length].copy_from_slice(&bytes[..length]);
}
