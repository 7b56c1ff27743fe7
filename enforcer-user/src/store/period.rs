// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One engine directory: append, range, last. The only file that says `sled`.
//!
//! The engine may panic on a damaged directory and stops for good after an I/O error, so every call
//! into it is guarded and the owner throws the whole value away after a failure.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use enforcer_core::model::SessionId;
use enforcer_core::model::limits::JOURNAL_CACHE_BYTES;
use enforcer_core::record::Frame;

use super::{Error, files};

/// Folder of the engine inside the folder of a period.
pub(super) const ENGINE_DIR: &str = "sled";
/// The file in it that holds the records.
pub(super) const DATA_FILE: &str = "db";
/// How often the engine cleans up behind itself, in milliseconds. Durability does not depend on it.
const ENGINE_FLUSH_MS: u64 = 2000;

/// An open engine directory.
pub(super) struct Period {
    path: PathBuf,
    db: sled::Db,
    data: File,
}

impl std::fmt::Debug for Period {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Period").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Period {
    /// Opens the engine of the period folder `path`.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let engine = path.join(ENGINE_DIR);
        files::make_dir(&engine)?;
        let db = guard("open", path, || {
            sled::Config::new()
                .path(&engine)
                .mode(sled::Mode::HighThroughput)
                .cache_capacity(JOURNAL_CACHE_BYTES)
                .flush_every_ms(Some(ENGINE_FLUSH_MS))
                .open()
        })?;
        let data = engine.join(DATA_FILE);
        let data = File::open(&data).map_err(|e| Error::disk("open", &data, e))?;
        files::sync_dir(&engine)?;
        Ok(Self { path: path.to_owned(), db, data })
    }

    /// Stores records, all or none, and returns when they are durable.
    pub(super) fn write(&self, frames: &[Frame]) -> Result<(), Error> {
        guard("write to", &self.path, || {
            let mut batch = sled::Batch::default();
            for frame in frames {
                batch.insert(&key(frame.session, frame.sequence), frame.to_bytes());
            }
            self.db.apply_batch(batch)?;
            self.db.flush().map(|_bytes| ())
        })?;
        self.sync_data()
    }

    /// Makes flushed records survive a power loss. The engine's own flush ends with `sync_file_range`,
    /// which neither flushes the drive's cache nor writes the file's length; `fdatasync` works on the
    /// inode, so a second descriptor of the same file does it. Costs about a tenth of the rate.
    fn sync_data(&self) -> Result<(), Error> {
        self.data.sync_data().map_err(|source| Error::disk("sync", &self.path, source))
    }

    /// Up to `limit` records from the place (`session`, `sequence`) on, in order. A stored value that is
    /// no record is left out: its absence is what verification reports.
    pub(super) fn frames(
        &self,
        session: SessionId,
        sequence: u64,
        limit: usize,
    ) -> Result<Vec<Frame>, Error> {
        guard("read", &self.path, || {
            let mut frames = Vec::new();
            for entry in self.db.range(key(session, sequence)..).take(limit) {
                frames.extend(placed(&entry?));
            }
            Ok(frames)
        })
    }

    /// The last record of each session. Jumps from session to session.
    pub(super) fn last_frames(&self) -> Result<Vec<Frame>, Error> {
        guard("read", &self.path, || {
            let (mut frames, mut end) = (Vec::new(), u64::MAX);
            loop {
                let to = key(SessionId::from_u64(end), u64::MAX);
                let Some(entry) = self.db.range(..=to).next_back() else { break };
                let (stored, value) = entry?;
                let Some(session) = stored.first_chunk::<8>().map(|b| u64::from_be_bytes(*b))
                else {
                    break;
                };
                frames.extend(placed(&(stored, value)));
                let Some(before) = session.checked_sub(1) else { break };
                end = before;
            }
            Ok(frames)
        })
    }

    /// Writes everything out, so that a file read afterwards is not in the middle of a write.
    pub(super) fn flush(&self) -> Result<(), Error> {
        guard("flush", &self.path, || self.db.flush().map(|_bytes| ()))
    }

    /// The folder of the period.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn key(session: SessionId, sequence: u64) -> [u8; 16] {
    ((u128::from(session.as_u64()) << 64) | u128::from(sequence)).to_be_bytes()
}

/// The record of an entry, if it stands under its own key.
fn placed((stored, value): &(sled::IVec, sled::IVec)) -> Option<Frame> {
    let (frame, len) = Frame::read(value).ok()?;
    let is_placed = len == value.len() && stored == &key(frame.session, frame.sequence);
    is_placed.then_some(frame)
}

fn guard<T>(
    operation: &'static str,
    path: &Path,
    call: impl FnOnce() -> sled::Result<T>,
) -> Result<T, Error> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| Error::engine(operation, path, error)),
        Err(_panic) => Err(Error::engine(operation, path, "the storage engine panicked")),
    }
}
