//! Equal steps: one is carried out at a time.

use std::sync::{Condvar, Mutex, PoisonError};

use ctr_core::digest::Digest;

/// Steps that several stages have alike are carried out once: the others wait and find the result.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    keys: Mutex<Vec<Digest>>,
    landed: Condvar,
}

/// A step that this thread carries out.
pub(crate) struct Flight<'a> {
    flights: &'a Flights,
    key: Digest,
}

impl Flights {
    /// Waits until nobody else carries the step out.
    pub(crate) fn take(&self, key: Digest) -> Flight<'_> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        while keys.contains(&key) {
            keys = self.landed.wait(keys).unwrap_or_else(PoisonError::into_inner);
        }
        keys.push(key);
        Flight { flights: self, key }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.flights.keys.lock().unwrap_or_else(PoisonError::into_inner).retain(|key| *key != self.key);
        self.flights.landed.notify_all();
    }
}
