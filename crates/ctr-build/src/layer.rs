//! Layers that a build uses or makes. One that a RUN made is a tree at once, for the next step to stand on, while another
//! thread still packs it.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use ctr_cli::Failure;
use ctr_core::digest::Digest;
use ctr_core::launch::LayerId;
use ctr_core::store::{LayerDone, Txn};

use crate::actions::LayerAction;

/// A layer, done or in the making.
#[derive(Debug)]
pub(crate) struct Layer {
    /// Where its tree is until it is sealed.
    staging: Option<PathBuf>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
enum State {
    Packing,
    Sealed(Sealed),
    Failed(String),
}

/// A layer whose content is known.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    /// Its directory.
    pub(crate) id: LayerId,
    /// What images say of it.
    pub(crate) blob: LayerAction,
    /// The largest user id in it.
    pub(crate) max_uid: u32,
    /// The largest group id in it.
    pub(crate) max_gid: u32,
}

impl Sealed {
    /// From what the store has on record.
    pub(crate) fn new(blob: LayerAction, done: &LayerDone) -> Self {
        Self { id: done.id(), blob, max_uid: done.max_uid, max_gid: done.max_gid }
    }
}

impl Layer {
    /// One that is there.
    pub(crate) fn sealed(sealed: Sealed) -> Arc<Self> {
        Arc::new(Self { staging: None, state: Mutex::new(State::Sealed(sealed)), changed: Condvar::new() })
    }

    /// One whose tree is at `staging`, and that [`Layer::seal`] is to be called for.
    pub(crate) fn packing(staging: PathBuf) -> Arc<Self> {
        Arc::new(Self { staging: Some(staging), state: Mutex::new(State::Packing), changed: Condvar::new() })
    }

    /// It is packed, or could not be.
    pub(crate) fn seal(&self, result: Result<Sealed, &Failure>) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = match result {
            Ok(sealed) => State::Sealed(sealed),
            Err(failure) => State::Failed(failure.one_line()),
        };
        self.changed.notify_all();
    }

    /// Waits until its content is known.
    pub(crate) fn wait(&self) -> Result<Sealed, Failure> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &*state {
                State::Sealed(sealed) => return Ok(sealed.clone()),
                State::Failed(reason) => return Err(Failure::new(reason.clone())),
                State::Packing => {}
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Where its tree is now. It can move when the transaction publishes what it has.
    pub(crate) fn dir(&self, txn: &Txn) -> PathBuf {
        match (&*self.state.lock().unwrap_or_else(PoisonError::into_inner), &self.staging) {
            (State::Sealed(sealed), _) => txn.layer_fs(&sealed.id),
            (_, Some(staging)) => staging.clone(),
            // Only what has a staging directory is ever not sealed.
            (_, None) => PathBuf::new(),
        }
    }
}

/// Digest of a layer together with all below it (OCI image-spec config.md, "Layer ChainID").
pub(crate) fn chain_id(below: Option<Digest>, diff_id: &Digest) -> Digest {
    below.map_or(*diff_id, |below| Digest::of(format!("{below} {diff_id}").as_bytes()))
}

/// The chain id of layers; none of no layers.
pub(crate) fn chain_of(layers: &[Arc<Layer>]) -> Result<Option<Digest>, Failure> {
    layers.last().map(|layer| layer.wait().map(|sealed| sealed.blob.chain_id)).transpose()
}
