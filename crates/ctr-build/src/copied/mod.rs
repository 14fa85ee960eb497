//! RUN where no overlay is to be had: over a copy of the stage's files, and a layer of what it changed there. In a chroot,
//! where nothing may be mounted, all that the command is to find is put into the copy.

mod places;

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;

use ctr_cli::Failure;
use ctr_sandbox::step::{Step, StepIsolation};
use ctr_sys::files;
use ctr_sys::privilege::{self, CapSet};
use ctr_tree::TreePath;
use ctr_tree::changes::{self, Snapshot};

use crate::builder::{Builder, hinted};
use crate::copy::tree_failure;
use places::Placed;

/// Whether root can carry commands out in a chroot, and not otherwise: as in most containers, where it may not mount.
pub(crate) fn may_only_chroot() -> bool {
    let held = privilege::held_capabilities().unwrap_or(CapSet::ALL);
    held.and(CapSet::SYS_CHROOT.or(CapSet::SYS_ADMIN)) == CapSet::SYS_CHROOT
}

/// Whether the store, in `root`, is where an overlay cannot write: on another overlay.
pub(crate) fn is_called_for(root: &Path) -> Result<bool, Failure> {
    let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    let there = root.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    Ok(files::is_on_overlay(open(there)?.as_fd()))
}

fn open(dir: &Path) -> Result<File, Failure> {
    File::open(dir).map_err(|error| Failure::new(format!("cannot open {}", dir.display())).caused_by(&error))
}

/// The files of a stage, for one command.
pub(crate) struct Tree {
    step: Step,
    placed: Placed,
    before: Snapshot,
}

impl Tree {
    /// Copies `base`; in a chroot what `step` mounts is put into the copy.
    pub(crate) fn make(builder: &Builder<'_>, base: &dyn ctr_tree::Tree, step: Step) -> Result<Self, Failure> {
        let root = builder.txn.layer_staging().map_err(hinted)?.fs();
        let dir = open(&root)?;
        changes::fill(base, &TreePath::root(), dir.as_fd()).map_err(|error| tree_failure(&error))?;
        let mut placed = Placed::new(root.clone(), step.scratch.clone())?;
        if builder.in_chroot {
            placed.all(builder, &step)?;
        } else {
            placed.expect(&step)?;
        }
        let before = Snapshot::take(dir.as_fd(), placed.places(), open(&step.scratch)?.as_fd());
        let before = before.map_err(|error| tree_failure(&error))?;
        let mut step = Step { layers: Vec::new(), upper: root, ..step };
        if builder.in_chroot {
            step.isolation = StepIsolation::Chroot;
            step.mounts = Vec::new();
        }
        Ok(Self { step, placed, before })
    }

    /// The command in it.
    pub(crate) fn step(&self) -> &Step {
        &self.step
    }

    /// Takes back what was put there, and moves what the command changed to the layer's directory `upper`.
    pub(crate) fn into_layer(mut self, builder: &Builder<'_>, upper: &Path, has_lower: bool) -> Result<(), Failure> {
        self.placed.take_back()?;
        let (root, upper) = (open(&self.step.upper)?, open(upper)?);
        let layer = changes::Layer { upper: upper.as_fd(), dialect: builder.store.dialect(), has_lower };
        changes::collect(root.as_fd(), &self.before, self.placed.places(), layer)
            .map_err(|error| tree_failure(&error))?;
        remove(&self.step.upper)
    }
}

fn remove(tree: &Path) -> Result<(), Failure> {
    ctr_sys::tree::remove_tree(tree)
        .map_err(|error| Failure::new(format!("cannot remove {}", tree.display())).caused_by(&error))
}
