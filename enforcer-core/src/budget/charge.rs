// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What an exchange did cost, from what is known of it when it is over.
//!
//! SECURITY: nothing that the agent does after a byte may have gone out makes it cheaper, and no report makes it
//! cheaper than what was seen. Where nobody knows, it costs what it may have cost.

use crate::model::limits::{
    REQUEST_TOKENS_EXCESS_MAX, TEXT_BYTES_PER_TOKEN_MAX, USAGE_FAR_FACTOR, USAGE_FAR_TOKENS,
};
use crate::model::{Passed, Usage};

use super::amount::Amount;
use super::cost::{Answer, Cost};

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// No byte of it can have reached the provider.
    Unsent,
    /// The answer came to its end.
    Whole {
        /// Its status is 400 or above.
        is_error: bool,
    },
    /// The provider may have it, and nobody saw the end of the answer: the agent left, it was cut, it broke.
    Broken,
}

/// What is known of an exchange when it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// What was seen of the answer.
    pub passed: Passed,
    /// What the provider reports.
    pub usage: Option<Usage>,
}

impl Outcome {
    /// It was not sent.
    pub const UNSENT: Self =
        Self { end: End::Unsent, passed: Passed { pieces: 0, text_bytes: 0 }, usage: None };

    /// What it cost, with what was reserved for its answer; nothing if it was not sent.
    #[must_use]
    pub fn charge(&self, cost: Cost, reserved: u64) -> Option<Amount> {
        let (seen, usage) = (self.seen(cost), self.usage.unwrap_or_default());
        let (request, answer) = match (self.end, self.usage) {
            (End::Unsent, _) => return None,
            (End::Whole { .. }, Some(usage)) => {
                let least = cost.request / REQUEST_TOKENS_EXCESS_MAX;
                (usage.input_tokens.max(least), usage.output_tokens.max(self.floor(cost)))
            }
            (End::Whole { is_error: true }, None) => (cost.request, seen),
            (End::Whole { is_error: false }, None) => (cost.request, seen.max(cost.answer.named())),
            // Some report how much it is so far: a report before the end says nothing about the end.
            (End::Broken, _) => {
                (cost.request.max(usage.input_tokens), seen.max(reserved).max(usage.output_tokens))
            }
        };
        Some(Amount { tokens: request.saturating_add(answer), requests: cost.requests })
    }

    /// Tokens that the provider reports and tokens that were counted, where it reports far more: what is hidden
    /// from the agent (reasoning), or a report that is false.
    #[must_use]
    pub fn far_above(&self, cost: Cost) -> Option<(u64, u64)> {
        let usage = self.usage?;
        let reported = usage.input_tokens.saturating_add(usage.output_tokens);
        let counted = cost.request.saturating_add(self.seen(cost));
        let is_far = reported > counted.saturating_mul(USAGE_FAR_FACTOR)
            && reported > counted.saturating_add(USAGE_FAR_TOKENS);
        is_far.then_some((reported, counted))
    }

    /// Tokens of the answer as they are estimated.
    const fn seen(&self, cost: Cost) -> u64 {
        match cost.answer {
            Answer::Nothing => 0,
            Answer::AtMost(_) | Answer::Open { .. } => self.passed.tokens(),
        }
    }

    /// Tokens that the answer has at least.
    fn floor(&self, cost: Cost) -> u64 {
        match cost.answer {
            Answer::Nothing => 0,
            Answer::AtMost(_) | Answer::Open { .. } => {
                self.passed.pieces.max(self.passed.text_bytes / TEXT_BYTES_PER_TOKEN_MAX)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn passed(pieces: u64, text_bytes: u64) -> Passed {
        Passed { pieces, text_bytes }
    }

    const fn usage(input_tokens: u64, output_tokens: u64) -> Option<Usage> {
        Some(Usage { input_tokens, output_tokens })
    }

    const WHOLE: End = End::Whole { is_error: false };
    const ERROR: End = End::Whole { is_error: true };
    const NOTHING: Passed = passed(0, 0);
    const OPEN: Answer = Answer::Open { choices: 1 };
    const BOUND: Answer = Answer::AtMost(300);
    /// Tokens of every request here.
    const REQUEST: u64 = 40;

    /// Tokens reserved for such an answer here.
    const fn reserved(answer: Answer) -> u64 {
        match answer {
            Answer::Nothing => 0,
            Answer::AtMost(most) => most,
            Answer::Open { .. } => 500,
        }
    }

    #[test]
    fn an_exchange_costs_what_it_may_have_cost_and_a_report_never_makes_it_cheaper_than_what_was_seen()
     {
        let table = [
            ("not sent", OPEN, End::Unsent, NOTHING, None, None),
            ("not sent, whatever is said", BOUND, End::Unsent, passed(9, 9), usage(9, 9), None),
            ("left before the head", OPEN, End::Broken, NOTHING, None, Some(540)),
            ("left before the head of a bounded one", BOUND, End::Broken, NOTHING, None, Some(340)),
            (
                "left in one event of 4,000 words",
                OPEN,
                End::Broken,
                passed(1, 20_000),
                None,
                Some(5_040),
            ),
            (
                "cut after more than was reserved",
                OPEN,
                End::Broken,
                passed(700, 2_000),
                None,
                Some(740),
            ),
            ("left after a first report", OPEN, End::Broken, passed(3, 9), usage(20, 1), Some(540)),
            ("left after a great report", OPEN, End::Broken, NOTHING, usage(90, 900), Some(990)),
            ("left an embedding", Answer::Nothing, End::Broken, passed(0, 9_000), None, Some(40)),
            ("whole, honest", OPEN, WHOLE, passed(10, 40), usage(20, 12), Some(32)),
            (
                "whole, reasoning is hidden",
                OPEN,
                WHOLE,
                passed(10, 40),
                usage(20, 9_000),
                Some(9_020),
            ),
            ("whole, tiny report", OPEN, WHOLE, passed(100, 8_000), usage(1, 1), Some(1_010)),
            (
                "whole, tiny report of many pieces",
                BOUND,
                WHOLE,
                passed(90, 80),
                usage(1, 1),
                Some(100),
            ),
            ("whole, no report", OPEN, WHOLE, passed(5, 400), None, Some(140)),
            ("whole, no report, bounded", BOUND, WHOLE, passed(5, 400), None, Some(340)),
            (
                "whole, no report, beyond its bound",
                BOUND,
                WHOLE,
                passed(1, 4_000),
                None,
                Some(1_040),
            ),
            (
                "an embedding without a report",
                Answer::Nothing,
                WHOLE,
                passed(0, 9_000),
                None,
                Some(40),
            ),
            (
                "an embedding in base64",
                Answer::Nothing,
                WHOLE,
                passed(0, 9_000),
                usage(38, 0),
                Some(38),
            ),
            ("an error", BOUND, ERROR, passed(0, 80), None, Some(60)),
            ("an error with a report", BOUND, ERROR, passed(0, 80), usage(500, 0), Some(510)),
            ("all that there is", OPEN, WHOLE, NOTHING, usage(u64::MAX, u64::MAX), Some(u64::MAX)),
        ];
        for (what, answer, end, passed, usage, tokens) in table {
            let cost = Cost { requests: 1, request: REQUEST, answer };
            let charged = Outcome { end, passed, usage }.charge(cost, reserved(answer));
            let expected = tokens.map(|tokens| Amount { tokens, requests: 1 });
            assert_eq!(charged, expected, "{what}");
        }
    }

    #[test]
    fn a_report_far_above_what_passed_is_told() {
        let cost = Cost { requests: 1, request: REQUEST, answer: OPEN };
        let told = |usage| Outcome { end: WHOLE, passed: passed(10, 40), usage }.far_above(cost);
        assert_eq!(told(usage(0, 70_000)), Some((70_000, 50)));
        assert_eq!(told(usage(40, 1_010)), None, "not a thousand more");
        assert_eq!(told(usage(40, 1_011)), Some((1_051, 50)));
        assert_eq!(told(None), None);
        let long = Outcome { end: WHOLE, passed: passed(500, 0), usage: usage(40, 5_360) };
        assert_eq!(long.far_above(cost), None, "not ten times as much");
    }
}
