// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Calls of tools that a model asks for in an answer: each is judged when its name and arguments are complete.
//!
//! Stands between the framing of an answer and its masks, so that masks, record and agent see the same. A call is
//! found by its form, wherever it stands. One that is denied is replaced in the form of its API; a stream waits for
//! the calls in it, in order. Errs to denying: what cannot be followed ends the answer.

mod arguments;
mod choices;
mod found;
mod gate;
mod items;
mod judge;
mod ledger;
mod plain;
mod replaced;
#[cfg(test)]
mod tests;

pub(super) use gate::Gate;
pub use judge::{Calls, Judge, JudgedCall, Outcome};
pub(super) use ledger::Ledger;
pub(super) use plain::judge_all;

/// Calls of an answer that cannot be followed or replaced, so that the answer must not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unclear;
