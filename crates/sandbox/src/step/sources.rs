//! Where the mounts of a step come from: files in memory, overlays of layers, directories whose changes are thrown away.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use ctr_core::container::ContainerError;
use ctr_sys::Errno;
use ctr_sys::files::{self, OpenAs};
use ctr_sys::mount::{self, MountAttr};
use std::os::fd::{AsFd as _, AsRawFd as _};

use super::carry_out::{bind, made, overlay, text};
use super::{BindSource, Step, StepMount};
use crate::bundle::{BundleMount, BundleShown, NO_SUCH_ID};
use crate::error::SandboxError;
use crate::prepare::c_string;

/// Makes what is mounted.
pub(super) struct Sources<'a> {
    step: &'a Step,
    /// A file system in memory for secrets and the like, once there is one.
    memory: Option<PathBuf>,
    count: u32,
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> SandboxError {
    let path = path.to_owned();
    move |source| ContainerError::Io { action, path, source }.into()
}

impl<'a> Sources<'a> {
    /// For a step.
    pub(super) fn new(step: &'a Step) -> Self {
        Self { step, memory: None, count: 0 }
    }

    fn fresh(&mut self, kind: &str) -> Result<PathBuf, SandboxError> {
        self.count += 1;
        made(self.step.scratch.join(format!("{kind}-{}", self.count)))
    }

    /// The mount of a bundle that shows it.
    pub(super) fn mount(&mut self, wanted: &StepMount) -> Result<BundleMount, SandboxError> {
        let closed = MountAttr::NOSUID.and(MountAttr::NODEV);
        let read_only = closed.and(MountAttr::RDONLY);
        Ok(match wanted {
            StepMount::Bind { source, subpath, target, writable } => {
                let path = self.bound(source, subpath)?;
                if *writable {
                    return Ok(bind(target, self.thrown_away(&path)?, closed));
                }
                bind(target, path, read_only)
            }
            StepMount::Cache { source, target, read_only: fixed } => {
                bind(target, source.clone(), if *fixed { read_only } else { closed })
            }
            StepMount::Tmpfs { target, size } => {
                let mut options = vec![(c_string("mode")?, c_string("1777")?)];
                if let Some(size) = size {
                    options.push((c_string("size")?, c_string(&size.to_string())?));
                }
                let shown = BundleShown::Filesystem { kind: c"tmpfs".to_owned(), options, copy_up: false };
                BundleMount { shown, ..bind(target, PathBuf::new(), closed) }
            }
            StepMount::Secret { content, target, mode, uid, gid } => {
                let path = self.file(&content.0, *mode, (*uid, *gid))?;
                // A script that is shown so can be executed.
                bind(target, path, read_only)
            }
            StepMount::Socket { source, target } => bind(target, source.clone(), closed),
        })
    }

    /// The file or directory that a bind mount shows.
    fn bound(&mut self, source: &BindSource, subpath: &str) -> Result<PathBuf, SandboxError> {
        let root = match source {
            BindSource::Host(path) => path.clone(),
            BindSource::Layers(layers) => match layers.as_slice() {
                [] => self.fresh("empty")?,
                [only] => only.clone(),
                several => {
                    let place = self.fresh("layers")?;
                    overlay(several, None, self.step.user_xattrs, &place)?;
                    place
                }
            },
        };
        let subpath = subpath.trim_matches('/');
        if subpath.is_empty() {
            return Ok(root);
        }
        let dir = ctr_sys::small::open_location(&root).map_err(io("open", &root))?;
        let found =
            files::open_in_root(dir.as_fd(), &c_string(subpath)?, OpenAs::LocationFollow, 0).map_err(|errno| {
                SandboxError::host(format!("find the source /{subpath} of a mount"), "openat2", subpath, errno)
            })?;
        let link = format!("/proc/self/fd/{}", found.as_raw_fd());
        std::fs::read_link(&link).map_err(io("read", Path::new(&link)))
    }

    /// The same with changes that nobody keeps.
    fn thrown_away(&mut self, path: &Path) -> Result<PathBuf, SandboxError> {
        let facts = std::fs::metadata(path).map_err(io("look at", path))?;
        if !facts.is_dir() {
            let bytes = std::fs::read(path).map_err(io("read", path))?;
            return self.file(&bytes, facts.permissions().mode() & 0o7777, (facts.uid(), facts.gid()));
        }
        let (upper, work, place) = (self.fresh("upper")?, self.fresh("work")?, self.fresh("merged")?);
        // An overlay shows the topmost.
        chown(&upper, Some(facts.uid()), Some(facts.gid())).map_err(io("change the owner of", &upper))?;
        std::fs::set_permissions(&upper, facts.permissions()).map_err(io("set the mode of", &upper))?;
        let lower = [path.to_owned()];
        if overlay(&lower, Some((&upper, &work)), self.step.user_xattrs, &place).is_err() {
            // The store's file system cannot take the changes: they are thrown away, so memory will do.
            let memory = self.in_memory()?;
            let [upper, work] = ["upper", "work"].map(|name| memory.join(format!("{name}-{}", self.count)));
            let (upper, work) = (made(upper)?, made(work)?);
            std::fs::set_permissions(&upper, facts.permissions()).map_err(io("set the mode of", &upper))?;
            overlay(&lower, Some((&upper, &work)), self.step.user_xattrs, &place)?;
        }
        Ok(place)
    }

    /// A file system in memory.
    fn in_memory(&mut self) -> Result<PathBuf, SandboxError> {
        if let Some(dir) = &self.memory {
            return Ok(dir.clone());
        }
        let dir = self.fresh("memory")?;
        let target = c_string(text(&dir))?;
        // Without swap where the kernel can (6.4).
        let mounted = mount::mount_old(c"tmpfs", &target, c"tmpfs", mount::MS_NODEV, c"mode=700,noswap")
            .or_else(|_| mount::mount_old(c"tmpfs", &target, c"tmpfs", mount::MS_NODEV, c"mode=700"));
        mounted.map_err(|errno| SandboxError::host("keep files in memory", "mount", "tmpfs", errno))?;
        self.memory = Some(dir.clone());
        Ok(dir)
    }

    /// A file that is never on a disk of ours.
    fn file(&mut self, bytes: &[u8], mode: u32, (uid, gid): (u32, u32)) -> Result<PathBuf, SandboxError> {
        let dir = self.in_memory()?;
        self.count += 1;
        let path = dir.join(self.count.to_string());
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let mut file = file.map_err(io("create", &path))?;
        file.write_all(bytes).map_err(io("write", &path))?;
        ctr_sys::dirfd::fchown(file.as_fd(), uid, gid).map_err(|cause| {
            let hint = (cause.errno == Errno::EINVAL).then(|| NO_SUCH_ID.to_owned());
            SandboxError::Host { action: format!("give a mounted file to {uid}:{gid}"), cause, hint }
        })?;
        let permissions = std::fs::Permissions::from_mode(mode & 0o7777);
        std::fs::set_permissions(&path, permissions).map_err(io("set the mode of", &path))?;
        Ok(path)
    }
}
