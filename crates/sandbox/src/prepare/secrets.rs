//! Secrets: one tmpfs, filled by the parent through its descriptor before anything else can see it, and read-only after.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

use ctr_sys::dirfd::{self, OpenFlags};
use ctr_sys::mount::{self, MountAttr};
use ctr_sys::{RawResult, SysError};

use super::{c_string, userns};
use crate::error::SandboxError;
use crate::options::SecretPlace;
use crate::plan::{Plan, SECRETS_DIR, SecretPlan};
use crate::script::{Base, Leaf, Links, Step, Target};

/// What each file takes beside its bytes: pages are whole.
const SLACK: u64 = 8192;

/// The steps that mount the files of `plan.secrets`; none if there are none.
pub(super) fn steps(plan: &Plan) -> Result<Vec<Step>, SandboxError> {
    let files: Vec<_> = plan.secrets.iter().filter(|secret| secret.place.is_file()).collect();
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let failed = |cause| SandboxError::Host { action: "make the tmpfs for the secrets".to_owned(), cause, hint: None };
    let raw = |call| move |errno| failed(SysError::new(call, "tmpfs", errno));
    let size = files.iter().map(|secret| secret.content.0.len() as u64 + SLACK).sum::<u64>() + SLACK;
    let made = tmpfs(size, userns::outside(&plan.userns, 0, 0)).map_err(raw("fsmount"))?;
    let mut steps = Vec::new();
    let mut elsewhere = Vec::new();
    for secret in files {
        let SecretPlace::File { target, uid, gid, mode } = &secret.place else { continue };
        let name = file_name(secret);
        write(plan, &made, name, secret, (*uid, *gid), *mode).map_err(failed)?;
        if below(target).is_none() {
            elsewhere.push(Step::AttachSecret { name: c_string(name)?, target: place(target, Leaf::File)? });
        }
    }
    let attributes = MountAttr::RDONLY.and(MountAttr::NOSUID).and(MountAttr::NODEV).and(MountAttr::NOEXEC);
    mount::mount_setattr(made.as_fd(), false, attributes, MountAttr::NONE, None).map_err(raw("mount_setattr"))?;
    steps.push(Step::Attach {
        mount: made,
        target: place(SECRETS_DIR, Leaf::Dir)?,
        keep: Some(Base::Secrets),
        in_turn: false,
    });
    steps.extend(elsewhere);
    Ok(steps)
}

/// Its name below `/run/secrets`: what the target says, else the secret's.
fn file_name(secret: &SecretPlan) -> &str {
    match &secret.place {
        SecretPlace::File { target, .. } => below(target).unwrap_or(&secret.name),
        SecretPlace::Env { .. } => &secret.name,
    }
}

fn below(target: &str) -> Option<&str> {
    target.strip_prefix(SECRETS_DIR)?.strip_prefix('/')
}

fn place(path: &str, leaf: Leaf) -> Result<Target, SandboxError> {
    Target::new(Base::Root, path, leaf, Links::Follow)
        .ok_or_else(|| SandboxError::request(format!("the path \"{}\" holds a NUL byte", path.escape_debug())))
}

/// Not to be swapped out, where the kernel knows that (Linux 6.4) and lets us.
fn tmpfs(size: u64, (uid, gid): (u32, u32)) -> RawResult<OwnedFd> {
    let attempt = |noswap: bool| {
        let fs = mount::fsopen(c"tmpfs")?;
        mount::fsconfig_string(fs.as_fd(), c"mode", c"755")?;
        for (key, value) in [(c"size", size), (c"uid", uid.into()), (c"gid", gid.into())] {
            let value = std::ffi::CString::new(value.to_string()).unwrap_or_default();
            mount::fsconfig_string(fs.as_fd(), key, &value)?;
        }
        if noswap {
            mount::fsconfig_flag(fs.as_fd(), c"noswap")?;
        }
        mount::fsconfig_create(fs.as_fd())?;
        mount::fsmount(fs.as_fd(), MountAttr::NONE)
    };
    attempt(true).or_else(|_| attempt(false))
}

fn write(
    plan: &Plan,
    dir: &OwnedFd,
    name: &str,
    secret: &SecretPlan,
    (uid, gid): (u32, u32),
    mode: u32,
) -> Result<(), SysError> {
    let flags = OpenFlags::O_WRONLY | OpenFlags::O_CREAT | OpenFlags::O_EXCL;
    let file = dirfd::open_child(dir.as_fd(), name.as_bytes(), flags, 0o400)?;
    let mut file = File::from(file);
    file.write_all(&secret.content.0).map_err(|error| SysError::from_io("write", name, &error))?;
    let (uid, gid) = userns::outside(&plan.userns, uid, gid);
    dirfd::fchown(file.as_fd(), uid, gid)?;
    dirfd::fchmod(file.as_fd(), mode)
}
