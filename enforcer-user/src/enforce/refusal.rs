// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A refusal on its way to the agent and into the record: each gets its part of it.

use enforcer_core::model::{Denied, DenyReason};
use enforcer_core::record::{AnswerFault, Cause};

/// A refusal for its two audiences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// For the agent, and for the record.
    pub(super) denied: Denied,
    /// For the record alone.
    pub(super) cause: Option<Cause>,
}

impl Refusal {
    /// A refusal of which the record says more than the agent learns.
    pub(super) const fn of(reason: DenyReason, cause: Cause) -> Self {
        Self { denied: Denied::because(reason), cause: Some(cause) }
    }

    /// A refusal of an answer that cannot be read. What is wrong with it is no content, so the agent learns it.
    pub(super) fn of_answer(fault: AnswerFault) -> Self {
        let refusal = Self::of(DenyReason::ResponseUndecodable, Cause::Answer { fault });
        refusal.message(fault.sentence())
    }

    /// The same with words for the agent.
    pub(super) fn message(mut self, message: impl Into<String>) -> Self {
        self.denied.message = Some(message.into());
        self
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        Self { denied, cause: None }
    }
}

impl From<DenyReason> for Refusal {
    fn from(reason: DenyReason) -> Self {
        Denied::because(reason).into()
    }
}
