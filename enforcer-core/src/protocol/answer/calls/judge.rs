// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who judges calls, and what became of them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::mask::Masker;
use crate::model::limits::{TOOL_CALL_BYTES_MAX, TOOL_CALLS_MAX};
use crate::model::{Decision, Denied, DenyReason, ExchangeId, MaskName, ToolCall};

/// Judges calls of one exchange. Pure: the same call gets the same decision.
pub trait Judge: fmt::Debug + Send + Sync {
    /// Decides about a call.
    fn judge(&self, call: &ToolCall) -> Decision;

    /// The union of some masks.
    fn masker(&self, masks: &BTreeSet<MaskName>) -> Masker;
}

/// What is done with the calls of an answer.
#[derive(Clone, Debug, Default)]
pub enum Calls {
    /// Each is held until it is judged, and what is denied does not reach the agent.
    Held {
        /// Who judges.
        judge: Arc<dyn Judge>,
        /// Which exchange a refusal names.
        exchange: Option<ExchangeId>,
    },
    /// Nothing.
    #[default]
    Unjudged,
    /// Each is judged, and the agent gets it whatever was decided.
    Watched {
        /// Who judges.
        judge: Arc<dyn Judge>,
    },
}

impl Calls {
    /// True if what is denied does not reach the agent.
    #[must_use]
    pub const fn are_held(&self) -> bool {
        matches!(self, Self::Held { .. })
    }

    /// True if calls are judged at all.
    #[must_use]
    pub const fn are_judged(&self) -> bool {
        !matches!(self, Self::Unjudged)
    }
}

/// A call and what was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedCall {
    /// The call.
    pub call: ToolCall,
    /// What was decided.
    pub outcome: Outcome,
}

/// What was decided about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The policy's decision.
    Decided(Box<Decision>),
    /// It was denied before it was complete: its arguments, all that is held, or the number of calls passed a limit.
    TooMuch,
}

impl JudgedCall {
    /// The denial, if it was denied.
    #[must_use]
    pub fn denied(&self) -> Option<Denied> {
        match &self.outcome {
            Outcome::Decided(decision) => decision.is_refusal().then(|| decision.denied()),
            Outcome::TooMuch => Some(Denied {
                message: Some(format!(
                    "an answer has at most {TOOL_CALLS_MAX} calls that can be judged, of {TOOL_CALL_BYTES_MAX} bytes each"
                )),
                ..Denied::because(DenyReason::Limit)
            }),
        }
    }
}
