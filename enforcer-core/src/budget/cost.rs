// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What an exchange may cost, as far as its request says.

use crate::model::{Facts, Operation};
use crate::policy::Budget;

/// What an exchange may cost, as far as its request says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Requests that it is: as many as a batch holds.
    pub requests: u64,
    /// Tokens of the request, as they were counted.
    pub request: u64,
    /// Its answer.
    pub answer: Answer,
}

/// How long the answer may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// No text is generated: embeddings, pictures, speech.
    Nothing,
    /// The request names a bound: tokens of all choices together.
    AtMost(u64),
    /// It names none.
    Open {
        /// Choices that it asks for.
        choices: u64,
    },
}

impl Cost {
    /// What an exchange may cost: the calls that it holds together, and itself unless it only carries them.
    #[must_use]
    pub fn of(facts: &Facts) -> Self {
        let own = Self::of_operation(&facts.operation);
        let mut calls = facts.calls.iter().map(|call| Self::of_operation(&call.operation));
        if matches!(facts.operation, Operation::Batch(_) | Operation::FileUpload(_)) {
            return calls.next().map_or(own, |first| calls.fold(first, Self::and));
        }
        // Another model may answer in place of the first one, or beside it: one request all the same.
        Self { requests: own.requests, ..calls.fold(own, Self::and) }
    }

    fn and(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            request: self.request.saturating_add(other.request),
            answer: self.answer.and(other.answer),
        }
    }

    /// What an operation may cost. What cannot be known counts as an open answer.
    fn of_operation(operation: &Operation) -> Self {
        let answer = match operation {
            Operation::Chat(chat) => Answer::bound(chat.max_tokens, operation.answer_count()),
            Operation::Embed(_) | Operation::Image(_) | Operation::Speech(_) => Answer::Nothing,
            Operation::CountTokens(_) | Operation::ListModels(_) | Operation::Moderate(_) => {
                Answer::Nothing
            }
            Operation::Administer(_)
            | Operation::AgentRun(_)
            | Operation::Batch(_)
            | Operation::Connect(_)
            | Operation::FileRead(_)
            | Operation::FileUpload(_)
            | Operation::FineTune(_)
            | Operation::Http(_)
            | Operation::Opaque(_)
            | Operation::Realtime(_)
            | Operation::Search(_)
            | Operation::StoredRead(_)
            | Operation::StoredWrite(_)
            | Operation::ToolCall(_)
            | Operation::TraceExport(_)
            | Operation::Transcribe(_)
            | Operation::Video(_) => Answer::Open { choices: 1 },
        };
        Self { requests: 1, request: tokens(operation.request_tokens()), answer }
    }
}

impl Answer {
    /// By the bound that is named for each choice. Servers take nothing, or a negative one, for none.
    pub(super) fn bound(named: Option<i64>, choices: u64) -> Self {
        match named.filter(|most| *most > 0) {
            Some(most) => Self::AtMost(tokens(most).saturating_mul(choices)),
            None => Self::Open { choices },
        }
    }

    /// Both of them.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, one) | (one, Self::Nothing) => one,
            (Self::AtMost(one), Self::AtMost(other)) => Self::AtMost(one.saturating_add(other)),
            (Self::Open { choices }, Self::Open { choices: more }) => {
                Self::Open { choices: choices.saturating_add(more) }
            }
            (Self::AtMost(_), Self::Open { choices })
            | (Self::Open { choices }, Self::AtMost(_)) => {
                Self::Open { choices: choices.saturating_add(1) }
            }
        }
    }

    /// Tokens that are reserved for it.
    pub(super) const fn reserves(self, budget: &Budget) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::AtMost(most) => most,
            Self::Open { choices } if budget.tokens.is_some() => {
                budget.answer_tokens.saturating_mul(choices)
            }
            // A budget of requests has no room that an answer could take from others.
            Self::Open { .. } => 0,
        }
    }

    /// Tokens of `reserved` that a budget must have room for.
    pub(super) fn needs(self, reserved: u64) -> u64 {
        match self {
            Self::Nothing | Self::AtMost(_) => reserved,
            Self::Open { .. } => reserved.min(1),
        }
    }

    /// Tokens that the request itself allows.
    pub(super) const fn named(self) -> u64 {
        match self {
            Self::AtMost(most) => most,
            Self::Nothing | Self::Open { .. } => 0,
        }
    }
}

fn tokens(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
