// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The open period as a reader sees it: through the engine while it is open, from its raw bytes once
//! the next one was started.
//!
//! The engine is held for one page at a time, so that a slow reader keeps nothing from being closed.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use super::journal::{Shared, lock};
use super::period::Period;
use super::scan::Scan;
use super::{Error, checkpoint, files};

/// The period that was open when its reader was made.
#[derive(Debug)]
pub(super) struct Live {
    shared: Arc<Shared>,
    /// Its name.
    pub(super) name: String,
    path: PathBuf,
    past: OnceLock<Arc<Scan>>,
}

/// What to read it from.
#[derive(Debug)]
pub(super) enum LiveContent {
    /// The engine has it open. Not to be kept.
    Open(Arc<Period>),
    /// It is not open any more.
    Past(Arc<Scan>),
}

impl Live {
    /// The open period, if there is one.
    pub(super) fn of(shared: &Arc<Shared>) -> Option<Self> {
        let path = shared.live()?.path().to_owned();
        let name = path.file_name()?.to_str()?.to_owned();
        Some(Self { shared: Arc::clone(shared), name, path, past: OnceLock::new() })
    }

    /// The key that signs.
    pub(super) fn public(&self) -> &[u8] {
        &self.shared.public
    }

    /// What to read the next page from.
    ///
    /// # Errors
    /// If the journal closes, or the bytes of a past period cannot be read.
    pub(super) fn content(&self) -> Result<LiveContent, Error> {
        if self.shared.is_closing.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        if let Some(period) = self.shared.live().filter(|period| period.path() == self.path) {
            return Ok(LiveContent::Open(period));
        }
        if let Some(scan) = self.past.get() {
            return Ok(LiveContent::Past(Arc::clone(scan)));
        }
        let scan = scan_past(&self.shared, &self.name)?;
        Ok(LiveContent::Past(Arc::clone(self.past.get_or_init(|| scan))))
    }
}

/// The records of a period that is not open. One scan serves all readers once it is sealed: before,
/// its bytes may still move.
pub(super) fn scan_past(shared: &Shared, name: &str) -> Result<Arc<Scan>, Error> {
    if let Some(known) = lock(&shared.archive).get(name) {
        return Ok(Arc::clone(known));
    }
    let (scan, is_sealed) = scan(&shared.dir, name)?;
    let scan = Arc::new(scan);
    if is_sealed {
        lock(&shared.archive).insert(name.to_owned(), Arc::clone(&scan));
    }
    Ok(scan)
}

/// The records of a period that is not open, without those that a crash lost; and whether it was sealed
/// before it was looked at.
pub(super) fn scan(dir: &Path, name: &str) -> Result<(Scan, bool), Error> {
    let path = files::period_dir(dir, name);
    // A checkpoint that cannot be trusted is a finding of the verification; here it changes nothing.
    let statement = checkpoint::public_key(dir).and_then(|key| checkpoint::read(&path, name, &key));
    let mut scan = Scan::of(&path)?;
    let Ok(Some(statement)) = statement else { return Ok((scan, false)) };
    scan.forget_lost(&statement);
    Ok((scan, statement.seal.is_some()))
}
