// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A period that takes no more records and is not sealed yet, because somebody may still read it.
//!
//! A seal is about files that nobody has open: the engine writes to them when it is closed, and possibly
//! before. Errs towards leaving a period unsealed: its records are signed anyway.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Error;
use super::checkpoint::{Key, Seal, Statement};
use super::period::{DATA_FILE, ENGINE_DIR, Period};

/// A past period on its way to its seal.
#[derive(Debug)]
pub(super) struct Unsealed {
    path: PathBuf,
    /// What was signed about it last.
    statement: Statement,
    /// Its engine, until nobody else has it.
    period: Option<Arc<Period>>,
}

impl Unsealed {
    pub(super) const fn new(
        path: PathBuf,
        statement: Statement,
        period: Option<Arc<Period>>,
    ) -> Self {
        Self { path, statement, period }
    }

    /// Its folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Closes and seals it if nobody else has it open. False if somebody has.
    pub(super) fn try_seal(&mut self, key: &Key) -> Result<bool, Error> {
        if let Some(period) = self.period.take() {
            match Arc::try_unwrap(period) {
                Ok(period) => drop(period),
                Err(held) => {
                    self.period = Some(held);
                    return Ok(false);
                }
            }
        }
        let engine = self.path.join(ENGINE_DIR);
        // An engine that was thrown away after an error may still be in a reader's hands.
        if is_locked(&engine) {
            return Ok(false);
        }
        let seal = Some(Seal::of(&engine)?);
        key.write(&self.path, &Statement { seal, ..self.statement.clone() })?;
        Ok(true)
    }
}

/// True if somebody has the engine in this folder open. It takes the same lock and keeps it.
pub(super) fn is_locked(engine: &Path) -> bool {
    let locked = File::open(engine.join(DATA_FILE)).map(|file| file.try_lock_shared());
    matches!(locked, Ok(Err(TryLockError::WouldBlock)))
}
