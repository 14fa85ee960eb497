//! What lies at a path, by its content and never by its name.

use std::fs::File;
use std::io::{BufReader, Read, Seek as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use ctr_cli::{Context as _, Failure};
use ctr_layer::codec::{self, Codec};
use ctr_layer::limits::Limits;

use super::Source;
use super::appc::AppcArchive;
use super::docker::DockerArchive;
use super::layout::Layout;
use super::members::{Members, Positioned};
use crate::argument::{Kind, Local};

/// Opens the source that `argument` names. A file that is compressed as a whole is unpacked into `scratch`, the
/// caller's own directory, without a name.
pub(crate) fn open(argument: &Local, scratch: &Path) -> Result<Box<dyn Source>, Failure> {
    let path = argument.path.as_path();
    let shown = path.display();
    let metadata = std::fs::metadata(path).context(|| format!("cannot open {shown}"))?;
    if metadata.is_dir() {
        return directory(argument);
    }
    if !metadata.is_file() {
        return Err(Failure::new(format!("{shown} is neither a file nor a directory"))
            .hint("a stream has to be saved to a file first: archives are read more than once"));
    }
    if argument.kind == Kind::OciDirectory {
        return Err(Failure::new(format!("{shown} is a file, no directory")).hint("for a file write oci-archive:FILE"));
    }
    let file = File::open(path).context(|| format!("cannot open {shown}"))?;
    let file = Arc::new(plain(file, path, scratch)?);
    other_format(&file, path)?;
    let members = Members::of_tar(Arc::clone(&file), path)?;
    let layout = members.has("oci-layout") && members.has("index.json");
    let docker = members.has("manifest.json");
    let appc = members.has("manifest") && members.has_below("rootfs");
    match argument.kind {
        Kind::OciArchive | Kind::Path if layout => Ok(Box::new(Layout::new(members))),
        Kind::DockerArchive | Kind::Path if docker => Ok(Box::new(DockerArchive::new(members))),
        Kind::Path if appc => Ok(Box::new(AppcArchive::new(file, members, scratch))),
        Kind::DockerArchive => Err(Failure::new(format!("{shown} is not a docker-archive: it has no manifest.json"))),
        Kind::OciArchive => {
            Err(Failure::new(format!("{shown} is not an OCI archive: it has no oci-layout and index.json")))
        }
        _ => {
            let failure = Failure::new(format!("{shown} is a tar archive, but of no image format that ctr knows"));
            let tree = ["bin", "usr", "etc"].iter().any(|name| members.has(name) || members.has_below(name));
            Err(if tree {
                failure.hint("it looks like a root filesystem: unpack it and make an image of it with `ctr-image pack`")
            } else {
                failure.hint("known are .aci, OCI archives, docker-archives and appc images")
            })
        }
    }
}

fn directory(argument: &Local) -> Result<Box<dyn Source>, Failure> {
    let path = argument.path.as_path();
    let shown = path.display();
    if !matches!(argument.kind, Kind::Path | Kind::OciDirectory) {
        return Err(Failure::new(format!("{shown} is a directory, no file")).hint("for a directory write oci:DIR"));
    }
    let members = Members::of_directory(path);
    if members.has("oci-layout") && members.has("index.json") {
        return Ok(Box::new(Layout::new(members)));
    }
    let failure = Failure::new(format!("{shown} is not an OCI image layout: it has no oci-layout and index.json"));
    Err(if members.has("manifest.json") && members.has("version") {
        failure.hint("it is a directory of skopeo's kind dir:; copy it to oci:DIR")
    } else {
        failure.hint("to make an image of a directory use `ctr-image pack`")
    })
}

/// `file` if it is not compressed, else a file without a name in `scratch` with what it holds.
fn plain(file: File, path: &Path, scratch: &Path) -> Result<File, Failure> {
    let failed = || format!("cannot read {}", path.display());
    let length = file.metadata().context(failed)?.len();
    let file = Arc::new(file);
    let (codec, mut decoder) = codec::open(BufReader::new(Positioned::new(&file, 0, length))).context(failed)?;
    if codec == Codec::Plain {
        drop(decoder);
        return Arc::try_unwrap(file).map_err(|_| Failure::new(failed()));
    }
    let name = scratch.join("unpacked");
    let mut out = File::options().read(true).write(true).create_new(true).open(&name).context(failed)?;
    std::fs::remove_file(&name).context(failed)?;
    let (limits, mut total) = (Limits::default(), 0_u64);
    let mut buffer = vec![0; 1 << 17];
    loop {
        let read = decoder
            .read(&mut buffer)
            .context(|| format!("the {} stream of {} is damaged", codec.name(), path.display()))?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        total += read as u64;
        if total > limits.layer_bytes || (total > limits.ratio_floor && total / limits.ratio > length) {
            return Err(
                Failure::new(failed()).because("so much comes out of it that it looks like a decompression bomb")
            );
        }
        out.write_all(bytes).context(|| format!("cannot unpack {}", path.display()))?;
    }
    out.rewind().context(failed)?;
    Ok(out)
}

/// Formats that people have and ctr does not read, told by name.
fn other_format(file: &Arc<File>, path: &Path) -> Result<(), Failure> {
    let mut head = Vec::new();
    let read = Positioned::new(file, 0, 1100).read_to_end(&mut head);
    read.context(|| format!("cannot read {}", path.display()))?;
    let at = |offset: usize, magic: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    let what = if head.is_empty() {
        "empty"
    } else if at(0, b"hsqs") {
        "a squashfs image"
    } else if at(1024, &[0xe2, 0xe1, 0xf5, 0xe0]) {
        "an EROFS image"
    } else if at(32, b"SIF_MAGIC") {
        "an Apptainer image (SIF)"
    } else if at(0, b"PK\x03\x04") {
        "a zip archive"
    } else if !at(257, b"ustar") {
        "no archive"
    } else {
        return Ok(());
    };
    Err(Failure::new(format!("{} is {what}, which ctr cannot import", path.display()))
        .hint("known are .aci, OCI archives and layouts, docker-archives and appc images"))
}
