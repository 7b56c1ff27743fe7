// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a case went.

use serde::Serialize;

use crate::model::{Decision, Facts};

/// One expectation that was not met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// Which part of the decision.
    pub what: &'static str,
    /// What the case says.
    pub expected: String,
    /// What the policy says.
    pub found: String,
}

/// One case and how it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// File of the case, relative to the bundle.
    pub file: String,
    /// Its line, counted from 1.
    pub line: usize,
    /// Which case of its file, counted from 0.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// What was not as expected; empty if it passed.
    pub mismatches: Vec<Mismatch>,
    /// What was judged; nothing if the exchange that it names is not there.
    pub facts: Option<Facts>,
    /// What the policy decided.
    pub decision: Option<Decision>,
}

impl Outcome {
    /// Whether everything was as expected.
    #[must_use]
    pub fn has_passed(&self) -> bool {
        self.mismatches.is_empty()
    }
}
