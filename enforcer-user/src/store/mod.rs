// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The journal: one chain of events for each session, and the bodies they refer to. The only place that
//! says `sled`.
//!
//! ```text
//! <dir>/checkpoint.key, checkpoint.pub    signs what was written (0600)
//! <dir>/latest                            how far the journal goes, signed with each checkpoint
//! <dir>/bodies/ab/cdef…                   a body: zstd, named by the BLAKE3 of its content
//! <dir>/periods/2026-11-22/checkpoint     signed heads; with the seal after a clean stop
//! <dir>/periods/2026-11-22/sled/          the records of that day (UTC), in one engine directory
//! <dir>/periods/2026-11-22.corrupt-1/     a day that could not be opened, or was altered, moved aside
//! ```
//! One thread writes; everybody else puts events into one bounded queue. A full queue, a full disk or a
//! broken engine is an error for the caller, who denies: nothing happens that is not written down.
//! Reading never writes: a stopped journal is read from its raw bytes, without the engine, so that
//! looking at evidence does not change it.
//!
//! Limits: whoever can read `checkpoint.key` can write history anew; whoever puts the whole
//! folder back as it was earlier, `latest` with it, is seen only with an anchor outside of it: a copy of
//! a later `latest`, or records that were exported.

mod body;
mod checkpoint;
mod error;
mod files;
mod heads;
mod journal;
mod latest;
mod live;
mod locate;
mod period;
mod reader;
mod resume;
mod scan;
mod summary;
mod unsealed;
mod verify;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use enforcer_core::model::UnixMillis;
use enforcer_core::record::AllowanceBounds;

pub use body::{AsyncBodyWriter, BodyWriter};
pub use error::Error;
pub use journal::{Durable, Health, Journal, Place};
pub use reader::{EventPage, Reader};
pub use summary::SessionSummary;
pub use verify::{Mismatch, Progress, VerifyReport};

use journal::Shared;

/// Where the journal is, and what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Its folder; made (0700) where it is missing.
    pub dir: PathBuf,
    /// How much an agent may have stored.
    pub stored: AllowanceBounds,
}

impl Config {
    /// A journal in this folder, with the bounds of the product.
    #[must_use]
    pub fn at(dir: PathBuf) -> Self {
        Self { dir, stored: AllowanceBounds::default() }
    }
}

/// The open journal of a running daemon. Dropped without [`Store::close`] it is left as after a crash.
#[derive(Debug)]
pub struct Store {
    journal: Journal,
    writer: std::thread::JoinHandle<()>,
}

impl Store {
    /// Opens the journal at `config`, continues the chains of sessions that are still open, and starts
    /// the writer. A journal that cannot be opened or was altered is moved aside, and that is recorded
    /// in the new one. Blocks on the disk: call it at start, or on a blocking thread.
    ///
    /// # Errors
    /// If the folder cannot be used, its key cannot be read, or another daemon has it open.
    pub fn open(config: &Config, now: UnixMillis) -> Result<Self, Error> {
        let resumed = resume::resume(&config.dir, now)?;
        let public = resumed.key.public().to_vec();
        let shared = Shared::new(config.clone(), public, &resumed.heads);
        let (journal, queue) = Journal::new(Arc::clone(&shared));
        let writer = writer::Writer::new(shared, resumed, queue);
        let writer = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| Error::disk("start the writer of", &config.dir, source))?;
        Ok(Self { journal, writer })
    }

    /// Looks whether the key of the journal in this folder can be used; changes nothing. A folder that is not there
    /// yet is fine.
    ///
    /// # Errors
    /// If [`Self::open`] would fail because of its key.
    pub fn examine(dir: &std::path::Path) -> Result<(), Error> {
        if dir.exists() { checkpoint::Key::examine(dir) } else { Ok(()) }
    }

    /// The end that events are put into.
    #[must_use]
    pub fn journal(&self) -> Journal {
        self.journal.clone()
    }

    /// A reader of everything that is durable. Blocks on the disk: call it on a blocking thread. It
    /// ends with an error when the journal closes.
    ///
    /// # Errors
    /// If a folder of the journal cannot be read.
    pub fn reader(&self) -> Result<Reader, Error> {
        self.journal.reader()
    }

    /// Takes no more events, writes those that wait, signs and seals. Events that come during this are
    /// refused.
    ///
    /// # Errors
    /// If the journal is failing, so that waiting events are lost, or it cannot be sealed.
    pub async fn close(self) -> Result<(), Error> {
        let closed = self.journal.close().await;
        let joined = tokio::task::spawn_blocking(move || self.writer.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            return Err(Error::Failing("the writer thread panicked".to_owned()));
        }
        closed
    }
}

#[cfg(test)]
mod tests;
