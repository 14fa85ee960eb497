//! Where an image goes besides the store: `--output`.

use std::fs::File;
use std::io::BufReader;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use ctr_cli::{Context as _, Failure, Progress};
use ctr_core::digest::Digest;
use ctr_core::reference::Reference;
use ctr_core::store::XattrDialect;
use ctr_export::{Destination, Export, Item, Type};
use ctr_layer::LayerError;
use ctr_layer::limits::Limits;
use ctr_layer::tar::TarWriter;
use ctr_layer::unpack::{Ownership, UnpackOptions, Unpacker};
use ctr_tree::copy::{Placing, Taken};
use ctr_tree::select::{Rules, select};
use ctr_tree::{Empty, Tree, TreePath};

use crate::builder::{Builder, Built};
use crate::copy::copy_failure;
use crate::finish::Whole;
use crate::plan::Done;

/// One `--output`.
#[derive(Debug)]
pub(crate) struct Output {
    kind: Kind,
    pub(crate) path: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An image.
    Image(Type),
    /// Its files as a tar.
    Tar,
    /// Its files.
    Dir,
}

impl Output {
    /// Reads `type=TYPE,dest=PATH`; a path alone is a directory of files, as docker has it.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = |reason: &str| {
            Failure::usage(format!("--output {text}: {reason}"))
                .hint("it is type=oci|oci-archive|docker-archive|aci|tar|dir,dest=PATH")
        };
        if text == "-" {
            return Ok(Self { kind: Kind::Tar, path: PathBuf::from(text) });
        }
        if !text.contains('=') {
            return Ok(Self { kind: Kind::Dir, path: PathBuf::from(text) });
        }
        let (mut kind, mut path) = (None, None);
        for part in text.split(',') {
            let (key, value) = part.split_once('=').ok_or_else(|| wrong("a part has no ="))?;
            match (key, value) {
                ("type", "oci") => kind = Some(Kind::Image(Type::Oci)),
                ("type", "oci-archive") => kind = Some(Kind::Image(Type::OciArchive)),
                ("type", "docker-archive" | "docker") => kind = Some(Kind::Image(Type::DockerArchive)),
                ("type", "aci") => kind = Some(Kind::Image(Type::Aci)),
                ("type", "tar") => kind = Some(Kind::Tar),
                ("type", "dir" | "local") => kind = Some(Kind::Dir),
                ("type", other) => return Err(wrong(&format!("the type {other} is not known"))),
                ("dest", path_) if !path_.is_empty() => path = Some(PathBuf::from(path_)),
                _ => return Err(wrong(&format!("{key} is not known"))),
            }
        }
        let kind = kind.ok_or_else(|| wrong("it has no type"))?;
        let path = path.ok_or_else(|| wrong("it has no dest"))?;
        if path.as_os_str() == "-" {
            if kind != Kind::Tar {
                return Err(wrong("only a tar goes to standard output"));
            }
            return Ok(Self { kind, path });
        }
        let path = std::path::absolute(&path).context(|| format!("--output {text}"))?;
        Ok(Self { kind, path })
    }

    /// Whether it is standard output, where nothing else is written then.
    pub(crate) fn is_stdout(&self) -> bool {
        self.path.as_os_str() == "-"
    }

    /// Whether images of several platforms can go there.
    pub(crate) fn holds_several(&self) -> bool {
        matches!(self.kind, Kind::Dir | Kind::Image(Type::Oci | Type::OciArchive))
    }

    /// Writes it. In a directory each of several platforms has one of its own, `OS_ARCH[_VARIANT]`.
    pub(crate) fn write(&self, done: &[Done<'_>], whole: &Whole) -> Result<(), Failure> {
        let write = |one: &Done<'_>| match self.kind {
            Kind::Image(kind) => self.image(kind, &one.builder, &whole.descriptor.digest),
            Kind::Tar => self.tar(&one.builder, &one.built),
            Kind::Dir if done.len() == 1 => Self::dir(&self.path, &one.builder, &one.built),
            Kind::Dir => {
                let platform = one.builder.request.platform.to_string().replace('/', "_");
                Self::dir(&self.path.join(platform), &one.builder, &one.built)
            }
        };
        // Of several platforms an image is their index.
        let times = if matches!(self.kind, Kind::Image(_)) { 1 } else { done.len() };
        let written = done.iter().take(times).try_for_each(write);
        written.map_err(|failure| failure.within(format!("cannot write {}", self.path.display())))
    }

    fn image(&self, kind: Type, builder: &Builder<'_>, top: &Digest) -> Result<(), Failure> {
        let tree = ctr_export::Tree::load(&builder.store, &builder.txn, top).map_err(Failure::from)?;
        let item = |name: Option<&Reference>| Item { tree: tree.clone(), name: name.cloned(), tag: None };
        let mut items: Vec<Item> = builder.request.tags.iter().map(|name| item(Some(name))).collect();
        if items.is_empty() {
            items.push(item(None));
        }
        // One image is in it (spec/02-image-file.md).
        if kind == Type::Aci {
            items.truncate(1);
        }
        let destination = Destination { kind, path: self.path.clone(), tag: None };
        Export { store: &builder.store, items: &items, progress: Progress::new() }.to(&destination)
    }

    /// All files of the image, merged.
    fn archive(
        builder: &Builder<'_>,
        built: &Built,
        owner: Option<(u32, u32)>,
        file: &mut File,
    ) -> Result<(), Failure> {
        let layers = builder.tree(&built.layers)?;
        let tree: &dyn Tree = &layers;
        let rules = Rules { exclude: None, parents: false, devices: true };
        let sources = select(tree, "/", rules).map_err(|error| Failure::new(error.to_string()))?;
        let taken = [Taken { tree, sources: &sources, anonymous: false }];
        let (destination, epoch) = (TreePath::root(), i64::MAX);
        let placing = Placing { base: &Empty, destination: &destination, directory: false, owner, mode: None, epoch };
        let mut writer = TarWriter::new(std::io::BufWriter::with_capacity(128 << 10, file));
        ctr_tree::copy::write(&taken, &[], placing, &mut writer).map_err(copy_failure)?;
        writer.finish().context(|| "cannot write the archive".to_owned())?;
        Ok(())
    }

    fn tar(&self, builder: &Builder<'_>, built: &Built) -> Result<(), Failure> {
        if self.is_stdout() {
            let mut out = File::from(
                std::io::stdout()
                    .as_fd()
                    .try_clone_to_owned()
                    .context(|| "cannot write to standard output".to_owned())?,
            );
            return Self::archive(builder, built, None, &mut out);
        }
        let mut staged = self.path.clone().into_os_string();
        staged.push(format!(".{}.new", std::process::id()));
        let failed = || format!("cannot create {}", staged.display());
        let mut file = File::create(&staged).context(failed)?;
        let written = Self::archive(builder, built, None, &mut file);
        if written.is_err() {
            let _ = std::fs::remove_file(&staged);
        }
        written?;
        std::fs::rename(&staged, &self.path).context(|| format!("cannot create {}", self.path.display()))
    }

    /// Files that belong to the caller, in a directory that is new or empty.
    fn dir(path: &Path, builder: &Builder<'_>, built: &Built) -> Result<(), Failure> {
        let failed = || format!("cannot create {}", path.display());
        std::fs::create_dir_all(path).context(failed)?;
        if !crate::pack::is_empty(path)? {
            return Err(Failure::new(format!("{} is not empty", path.display())).hint("name a new directory"));
        }
        let scratch = builder.txn.dir().join(format!("dir-{}", std::process::id()));
        let mut archive = ctr_sys::small::create(&scratch, 0o600).map(File::from).context(failed)?;
        Self::archive(builder, built, Some((0, 0)), &mut archive)?;
        std::io::Seek::rewind(&mut archive).context(failed)?;
        let target = File::open(path).context(failed)?;
        let options = UnpackOptions {
            dialect: XattrDialect::User,
            parents: &[],
            ownership: Ownership::Chown,
            limits: Limits::default(),
        };
        let failure = |error: LayerError| Failure::hinted(error, LayerError::hint);
        let unpacker = Unpacker::new(target.as_fd(), options).map_err(failure)?;
        unpacker.unpack(BufReader::with_capacity(128 << 10, archive)).map_err(failure)?;
        let _ = std::fs::remove_file(&scratch);
        Ok(())
    }
}
