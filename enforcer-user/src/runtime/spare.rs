// SPDX-License-Identifier: Apache-2.0 OR MIT
//! File descriptors that are held for the moment in which there are no others: given up, they let one more
//! connection be accepted, if only to be told no.

use std::fs::File;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a spare descriptor points at.
const NOTHING: &str = "/dev/null";

/// Descriptors that can be given up.
#[derive(Debug)]
pub struct Spares {
    count: usize,
    held: Mutex<Vec<File>>,
}

impl Spares {
    /// Holds `count` descriptors, or as many as there are.
    #[must_use]
    pub fn hold(count: usize) -> Self {
        let spares = Self { count, held: Mutex::default() };
        spares.refill();
        spares
    }

    /// Gives all of them up.
    pub fn release(&self) {
        self.held().clear();
    }

    /// Takes back what was given up. False if not all could be had.
    pub fn refill(&self) -> bool {
        let mut held = self.held();
        while held.len() < self.count {
            let Ok(file) = File::open(NOTHING) else { return false };
            held.push(file);
        }
        true
    }

    fn held(&self) -> MutexGuard<'_, Vec<File>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// True if an operation failed because this process or this host has no descriptors left.
#[must_use]
pub fn is_out_of_descriptors(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// True if this many descriptors can be had now.
#[must_use]
pub fn has_descriptors(count: usize) -> bool {
    Spares { count, held: Mutex::default() }.refill()
}
