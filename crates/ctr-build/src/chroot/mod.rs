//! RUN where nothing may be mounted: a copy of the stage's files with all that the command is to find put into it, and a
//! layer of what it changed there.

mod places;

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use ctr_cli::Failure;
use ctr_sandbox::step::{Step, StepIsolation};
use ctr_sys::files;
use ctr_sys::privilege::{self, CapSet};
use ctr_tree::TreePath;
use ctr_tree::changes::{self, Snapshot};

use crate::builder::{Builder, hinted};
use crate::copy::tree_failure;
use places::Placed;

/// Whether root can only build so: in most containers it may not mount, and an overlay cannot write to another one.
pub(crate) fn is_called_for(root: &Path) -> Result<bool, Failure> {
    let held = privilege::held_capabilities().unwrap_or(CapSet::ALL);
    let has = |wanted: CapSet| held.and(wanted) == wanted;
    if !has(CapSet::SYS_CHROOT) {
        return Ok(false);
    }
    if !has(CapSet::SYS_ADMIN) {
        return Ok(true);
    }
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
    /// Copies `base`, and puts what `step` mounts into the copy.
    pub(crate) fn make(builder: &Builder<'_>, base: &dyn ctr_tree::Tree, step: Step) -> Result<Self, Failure> {
        let root = builder.txn.layer_staging().map_err(hinted)?.fs();
        let dir = open(&root)?;
        changes::fill(base, &TreePath::root(), dir.as_fd()).map_err(|error| tree_failure(&error))?;
        let mut placed = Placed::new(root.clone(), step.scratch.clone())?;
        placed.all(builder, &step)?;
        let before = Snapshot::take(dir.as_fd(), placed.places(), open(&step.scratch)?.as_fd());
        let before = before.map_err(|error| tree_failure(&error))?;
        let step =
            Step { isolation: StepIsolation::Chroot, layers: Vec::new(), mounts: Vec::new(), upper: root, ..step };
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

fn remove(tree: &PathBuf) -> Result<(), Failure> {
    ctr_sys::tree::remove_tree(tree)
        .map_err(|error| Failure::new(format!("cannot remove {}", tree.display())).caused_by(&error))
}
