// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names the record at a changed place of a sealed file.
//!
//! The seal knows the block, not the byte. A record of the block that does not prove itself is the one
//! that was hit; one whose mark was hit is found by a mark that is one byte off. Where all records of
//! the block are whole, the change is in bytes between them, and the record next to it is named so.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use enforcer_core::model::SessionId;
use enforcer_core::model::limits::JOURNAL_RECORD_BYTES_MAX;
use enforcer_core::record::{Frame, Hash, MAGIC, frames_in};

use super::Error;
use super::checkpoint::{Change, SEAL_BLOCK_BYTES};
use super::scan::Scan;

/// A record, or none where a change touches the period as a whole; and what is wrong with it.
pub(super) type Located = (Option<(SessionId, u64)>, String);

/// More than a frame can be long.
const MARGIN_BYTES: usize = JOURNAL_RECORD_BYTES_MAX + 256;

pub(super) struct Locator<'a> {
    engine: PathBuf,
    scan: &'a Scan,
    /// Which record has which hash: tells what a damaged one was.
    known: HashMap<Hash, (SessionId, u64)>,
}

impl<'a> Locator<'a> {
    pub(super) fn new(engine: &Path, scan: &'a Scan) -> Self {
        let frames = scan.records.values().filter_map(|place| scan.read(place).ok().flatten());
        let known = frames.map(|frame| (frame.hash, (frame.session, frame.sequence))).collect();
        Self { engine: engine.to_owned(), scan, known }
    }

    /// The records that `change` touches.
    pub(super) fn locate(&self, change: &Change) -> Result<Vec<Located>, Error> {
        let file = change.path.display();
        let Some(block) = change.block else {
            return Ok(vec![(None, format!("the journal file `{file}` {}", change.what))]);
        };
        let margin = u64::try_from(MARGIN_BYTES).unwrap_or(u64::MAX);
        let start = block.saturating_sub(margin);
        let bytes = self.region(&change.path, start)?;
        let from = usize::try_from(block.saturating_sub(start)).unwrap_or(usize::MAX);
        let to = from.saturating_add(SEAL_BLOCK_BYTES);
        let mut hit = Vec::new();
        let mut nearest = None;
        for (at, len, frame) in frames_in(&bytes) {
            let touches = at < to && at.saturating_add(len) > from;
            if frame.is_intact() {
                if nearest.is_none() || at < to {
                    nearest = Some((frame.session, frame.sequence));
                }
            } else if touches {
                hit.push((Some(self.name(&frame)), "was altered".to_owned()));
            }
        }
        for frame in frames_with_damaged_mark(&bytes, from, to) {
            hit.push((Some((frame.session, frame.sequence)), "its mark was altered".to_owned()));
        }
        if hit.is_empty() {
            let nearest = nearest.or_else(|| self.scan.records.keys().next_back().copied());
            let at = format!("the block at byte {block} of `{file}`");
            let what = format!("no byte of it, but bytes in {at} near it were changed");
            hit.push((nearest, what));
        }
        Ok(hit)
    }

    /// The changed block with what may begin before it and end behind it.
    fn region(&self, path: &Path, start: u64) -> Result<Vec<u8>, Error> {
        let path = self.engine.join(path);
        let fail = |source| Error::disk("read", &path, source);
        let limit = u64::try_from(SEAL_BLOCK_BYTES + 2 * MARGIN_BYTES).unwrap_or(u64::MAX);
        let mut file = File::open(&path).map_err(fail)?;
        file.seek(SeekFrom::Start(start)).map_err(fail)?;
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes).map_err(fail)?;
        Ok(bytes)
    }

    /// What a damaged record was: by its own hash if another copy is whole, by the hash before it, or by
    /// what it still says.
    fn name(&self, frame: &Frame) -> (SessionId, u64) {
        let by_hash = self.known.get(&frame.hash).copied();
        let before = self.known.get(&frame.prev);
        let by_prev = before.map(|(session, sequence)| (*session, sequence.saturating_add(1)));
        by_hash.or(by_prev).unwrap_or((frame.session, frame.sequence))
    }
}

/// Whole records between `from` and `to` whose mark has exactly one wrong byte.
fn frames_with_damaged_mark(
    bytes: &[u8],
    from: usize,
    to: usize,
) -> impl Iterator<Item = Frame> + '_ {
    let first = from.saturating_sub(MAGIC.len());
    let windows =
        bytes.windows(MAGIC.len()).enumerate().skip(first).take_while(move |(at, _)| *at < to);
    windows.filter_map(|(at, window)| {
        let wrong = window.iter().zip(MAGIC).filter(|(byte, mark)| **byte != *mark).count();
        if wrong != 1 {
            return None;
        }
        let end = at.saturating_add(MARGIN_BYTES).min(bytes.len());
        let mut repaired = bytes.get(at..end)?.to_vec();
        repaired.get_mut(..MAGIC.len())?.copy_from_slice(&MAGIC);
        Frame::read(&repaired).ok().map(|(frame, _)| frame).filter(Frame::is_intact)
    })
}
