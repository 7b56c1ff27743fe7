// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A refusal on its way to the agent and into the record: each gets its part of it.

use enforcer_core::model::{Decision, Denied, DenyReason, Operation, WhyOpaque};
use enforcer_core::policy::Policy;
use enforcer_core::record::{AnswerFault, Cause, Recorded};

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

    /// A refusal of a body that cannot be read. The agent learns what is wrong with its own body, and the record.
    pub(super) fn of_body(reason: DenyReason, why: WhyOpaque, policy: &Policy) -> Self {
        let everything = policy.masker_of_everything();
        let message = Recorded::of(&why.explained(), &everything);
        let detail = why.detail.map(|detail| Recorded::of(&detail, &everything));
        let refusal = Self::of(reason, Cause::Body { opaque: Some(why.cause), detail });
        refusal.message(message.as_str())
    }

    /// The refusal by the rules. Where they could not judge the body, the agent learns why, before the operator's own
    /// words.
    pub(super) fn by_rules(decision: &Decision, asked: &Operation, policy: &Policy) -> Self {
        let denied = decision.denied();
        let Operation::Opaque(opaque) = asked else { return denied.into() };
        let why = Recorded::of(&opaque.explained(), &policy.masker_of_everything());
        let message = match &denied.message {
            Some(own) => format!("{why}. {own}"),
            None => why.to_string(),
        };
        Self::from(denied).message(message)
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
