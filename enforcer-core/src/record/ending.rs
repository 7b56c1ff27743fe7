// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What became of an exchange, by its events: the one answer that every surface gives.

use super::{Cause, EventBody, ExchangeClosed, ExchangeOpened, ExchangeOutcome};
use crate::model::Denied;

/// What became of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending<'e> {
    /// The agent left before the whole answer had reached it.
    AgentLeft {
        /// True if the head of an answer had reached it.
        is_begun: bool,
    },
    /// The whole answer reached the agent, or the tunnel ended.
    Answered,
    /// It was refused when a part of its answer was with the agent already.
    Cut(Refused<'e>),
    /// It was refused before anything of an answer reached the agent.
    Denied(Refused<'e>),
    /// Its end is not recorded, and nobody is left to record it: the daemon ended before it.
    Lost,
    /// Its end is not recorded yet.
    UnderWay,
}

/// A refusal as the record has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused<'e> {
    /// As the agent received it.
    pub denied: &'e Denied,
    /// What it is about, where that is recorded.
    pub cause: Option<&'e Cause>,
}

impl<'e> Ending<'e> {
    /// What became of the exchange that `opened` and, where it is recorded, `end` are about. `is_over`: nothing more
    /// will be recorded of it.
    #[must_use]
    pub fn of(opened: &'e ExchangeOpened, end: Option<&'e EventBody>, is_over: bool) -> Self {
        // Nothing of it went out, so nothing that came later changes it.
        if let Some(denied) = &opened.denied {
            return Self::Denied(Refused { denied, cause: opened.cause.as_ref() });
        }
        match end {
            Some(EventBody::ExchangeClosed(closed)) => match &closed.outcome {
                ExchangeOutcome::Aborted => Self::AgentLeft { is_begun: closed.status.is_some() },
                ExchangeOutcome::Completed => Self::Answered,
                ExchangeOutcome::Denied(denied) => {
                    let refused = Refused { denied, cause: closed.cause.as_ref() };
                    if Self::is_cut(closed) { Self::Cut(refused) } else { Self::Denied(refused) }
                }
            },
            Some(EventBody::TunnelClosed { denied, .. }) => match denied {
                Some(denied) => Self::Denied(Refused { denied, cause: None }),
                None => Self::Answered,
            },
            Some(_) | None if is_over => Self::Lost,
            Some(_) | None => Self::UnderWay,
        }
    }

    /// Whether an exchange that ended like this was refused when a part of its answer was with the agent: it had
    /// another status than that of the refusal, or bytes of the body.
    #[must_use]
    pub fn is_cut(closed: &ExchangeClosed) -> bool {
        let ExchangeOutcome::Denied(denied) = &closed.outcome else { return false };
        let is_ours = closed.status.is_none_or(|status| status == denied.reason.http_status());
        !is_ours || closed.bytes_down > 0
    }

    /// The refusal, before or within the answer.
    #[must_use]
    pub const fn refused(self) -> Option<Refused<'e>> {
        match self {
            Self::Cut(refused) | Self::Denied(refused) => Some(refused),
            Self::AgentLeft { .. } | Self::Answered | Self::Lost | Self::UnderWay => None,
        }
    }

    /// The ending as it is written in JSON.
    #[must_use]
    pub const fn outcome(self) -> &'static str {
        match self {
            Self::AgentLeft { .. } => "agent_left",
            Self::Answered => "answered",
            Self::Cut(_) => "cut",
            Self::Denied(_) => "denied",
            Self::Lost => "lost",
            Self::UnderWay => "under_way",
        }
    }
}
