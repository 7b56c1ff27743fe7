// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Judges stored records: is each one what was written, in its place, and is none missing or added?
//!
//! Pure: records and signed heads in, findings out. What the chain alone cannot see (the end of a
//! session cut off, everything rewritten from some record on) the heads show.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::SessionId;
use crate::model::limits::JOURNAL_FINDINGS_MAX;

use super::{Chain, Frame, Hash, Head};

/// One thing that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// The session that is touched.
    pub session: SessionId,
    /// The record that is touched.
    pub sequence: u64,
    /// What is wrong with it.
    pub kind: FindingKind,
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// Its bytes are not those that were hashed.
    Altered,
    /// It is there once more, or stands where another record belongs.
    Inserted,
    /// It is not there, although a record after it or a signed head says it was.
    Missing,
    /// It does not follow the record that stands before it.
    Unlinked,
    /// It is whole, but not the record that a signed head names: the session was written anew.
    Rewritten,
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Altered => "was altered",
            Self::Inserted => "was inserted or moved",
            Self::Missing => "is missing",
            Self::Unlinked => "does not follow the record before it",
            Self::Rewritten => "is not the record that was signed",
        })
    }
}

/// Takes records in ascending order, session by session, and collects what is wrong.
#[derive(Debug)]
pub struct Verifier<'a> {
    heads: &'a BTreeMap<SessionId, Head>,
    ends: BTreeMap<SessionId, End>,
    findings: Vec<Finding>,
}

/// What the next record of a session has to follow.
#[derive(Clone, Copy, Debug)]
struct End {
    head: Head,
    /// Of an altered record both the stored and the computed hash are accepted: which of its bytes were
    /// altered is not known, and the record after it is not to blame.
    altered: Option<Hash>,
}

impl<'a> Verifier<'a> {
    /// A verifier that knows what was signed about each session: where its stored records start (absent
    /// for a session that is there from its first record) and how far they must reach. A session
    /// without a head is judged by its chain alone.
    #[must_use]
    pub fn new(starts: &BTreeMap<SessionId, Head>, heads: &'a BTreeMap<SessionId, Head>) -> Self {
        let ends = starts.iter().map(|(id, head)| (*id, End { head: *head, altered: None }));
        Self { heads, ends: ends.collect(), findings: Vec::new() }
    }

    /// Judges the next record.
    pub fn push(&mut self, frame: &Frame) {
        let (session, sequence) = (frame.session, frame.sequence);
        let expected = self
            .ends
            .get(&session)
            .copied()
            .unwrap_or_else(|| End { head: Chain::new(session).head(), altered: None });
        let computed = frame.computed_hash();
        let altered = (computed != frame.hash).then_some(computed);
        if altered.is_some() {
            self.find(session, sequence, FindingKind::Altered);
            if sequence != expected.head.count {
                // Its number cannot be trusted, so nothing follows from it.
                return;
            }
        }
        if sequence < expected.head.count {
            self.find(session, sequence, FindingKind::Inserted);
            return;
        }
        self.find_missing(session, expected.head.count, sequence);
        let follows = frame.prev == expected.head.hash || Some(frame.prev) == expected.altered;
        if sequence == expected.head.count && !follows && altered.is_none() {
            self.find(session, sequence, FindingKind::Unlinked);
        }
        let head = Head { count: sequence.saturating_add(1), hash: frame.hash };
        self.ends.insert(session, End { head, altered });
        let signed = self.heads.get(&session).filter(|signed| signed.count == head.count);
        if signed.is_some_and(|signed| signed.hash != head.hash) && altered.is_none() {
            self.find(session, sequence, FindingKind::Rewritten);
        }
    }

    /// Compares the ends with the signed heads and returns all findings, sorted.
    #[must_use]
    pub fn finish(mut self) -> Vec<Finding> {
        for (session, head) in self.heads {
            let seen = self.ends.get(session).map_or(0, |seen| seen.head.count);
            self.find_missing(*session, seen, head.count);
        }
        self.findings.sort();
        self.findings.dedup();
        self.findings
    }

    fn find_missing(&mut self, session: SessionId, from: u64, to: u64) {
        for missing in (from..to).take(JOURNAL_FINDINGS_MAX) {
            self.find(session, missing, FindingKind::Missing);
        }
    }

    fn find(&mut self, session: SessionId, sequence: u64, kind: FindingKind) {
        if self.findings.len() < JOURNAL_FINDINGS_MAX {
            self.findings.push(Finding { session, sequence, kind });
        }
    }
}

/// All findings about `records`, which come in ascending order, given what was signed.
pub fn verify<'a>(
    records: impl IntoIterator<Item = &'a Frame>,
    heads: &BTreeMap<SessionId, Head>,
) -> Vec<Finding> {
    let mut verifier = Verifier::new(&BTreeMap::new(), heads);
    for record in records {
        verifier.push(record);
    }
    verifier.finish()
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
