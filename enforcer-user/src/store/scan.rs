// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finds records in the raw bytes of a period, without the engine and without changing anything.
//!
//! The engine keeps values whole and uncompressed, often several copies of one (a page is written anew
//! when it grows), and old copies until their place is used again. Any intact copy is the record: it
//! proves itself. Of two different intact ones for the same place the later run of the writer counts,
//! because the earlier one was lost in a crash.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use enforcer_core::model::SessionId;
use enforcer_core::model::limits::JOURNAL_RECORD_BYTES_MAX;
use enforcer_core::record::{Frame, frames_in};

use super::period::ENGINE_DIR;
use super::{Error, files};

const CHUNK_BYTES: usize = 1024 * 1024;
/// More than a frame can be long: what one chunk cuts off the next one has whole.
const OVERLAP_BYTES: usize = JOURNAL_RECORD_BYTES_MAX + 256;

/// Where a copy of a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Index of its file in the scan.
    pub(super) file: usize,
    /// Where it starts in the file.
    pub(super) offset: u64,
    /// Its length.
    pub(super) bytes: usize,
    /// The run that wrote it.
    pub(super) epoch: u32,
}

/// A copy of a record that does not prove itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Broken {
    /// The session it claims.
    pub(super) session: SessionId,
    /// The place it claims.
    pub(super) sequence: u64,
    /// The run it claims.
    pub(super) epoch: u32,
}

/// The records of one period.
#[derive(Debug, Default)]
pub(super) struct Scan {
    files: Vec<PathBuf>,
    /// The counting copy of each record.
    pub(super) records: BTreeMap<(SessionId, u64), Place>,
    /// Copies that were altered.
    pub(super) broken: Vec<Broken>,
}

impl Scan {
    /// Scans the period folder `period`.
    pub(super) fn of(period: &Path) -> Result<Self, Error> {
        let engine = period.join(ENGINE_DIR);
        let mut scan = Self::default();
        for file in files::files_below(&engine)? {
            scan.add(&engine.join(file))?;
        }
        scan.broken.sort();
        scan.broken.dedup();
        Ok(scan)
    }

    fn add(&mut self, path: &Path) -> Result<(), Error> {
        let fail = |source| Error::disk("read", path, source);
        let mut file = match File::open(path) {
            // The engine of a running daemon removes files of its own.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(fail)?,
        };
        let index = self.files.len();
        self.files.push(path.to_owned());
        let (mut buffer, mut start) = (Vec::new(), 0_u64);
        loop {
            let limit = u64::try_from(CHUNK_BYTES).unwrap_or(u64::MAX);
            let read = file.by_ref().take(limit).read_to_end(&mut buffer).map_err(fail)?;
            let is_last = read < CHUNK_BYTES;
            // A frame that begins in the overlap is left to the next chunk, which has it whole.
            let end =
                if is_last { buffer.len() } else { buffer.len().saturating_sub(OVERLAP_BYTES) };
            for (at, bytes, frame) in frames_in(&buffer).take_while(|(at, _, _)| *at < end) {
                let offset = start.saturating_add(u64::try_from(at).unwrap_or(u64::MAX));
                self.note(&frame, Place { file: index, offset, bytes, epoch: frame.epoch });
            }
            if is_last {
                return Ok(());
            }
            start = start.saturating_add(u64::try_from(end).unwrap_or(u64::MAX));
            buffer.drain(..end);
        }
    }

    fn note(&mut self, frame: &Frame, place: Place) {
        let (session, sequence) = (frame.session, frame.sequence);
        if !frame.is_intact() {
            self.broken.push(Broken { session, sequence, epoch: frame.epoch });
            return;
        }
        let known = self.records.entry((session, sequence)).or_insert(place);
        if known.epoch < place.epoch {
            *known = place;
        }
    }

    /// Reads the record at `place` again.
    pub(super) fn read(&self, place: &Place) -> Result<Option<Frame>, Error> {
        let Some(path) = self.files.get(place.file) else { return Ok(None) };
        let fail = |source| Error::disk("read", path, source);
        let mut bytes = vec![0; place.bytes];
        let file = File::open(path).map_err(fail)?;
        file.read_exact_at(&mut bytes, place.offset).map_err(fail)?;
        Ok(Frame::read(&bytes).ok().map(|(frame, _)| frame))
    }

    /// Leaves out what a crash lost: records beyond a signed head that an earlier run wrote.
    pub(super) fn forget_lost(&mut self, statement: &super::checkpoint::Statement) {
        let is_lost = |session: &SessionId, sequence: u64, epoch: u32| {
            let count = statement.heads.next_sequence(*session);
            epoch < statement.epoch && sequence >= count
        };
        self.records.retain(|(session, sequence), p| !is_lost(session, *sequence, p.epoch));
        self.broken.retain(|b| !is_lost(&b.session, b.sequence, b.epoch));
    }
}
