// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ten thousand exchanges of agents that want more than their budget, and of providers that report anything.
//!
//! What providers generate is counted by what anybody could prove from its text: pieces, or bytes by the most
//! that a token has. It may exceed a budget by what one exchange may answer, and by no more.

use std::time::Duration;

use super::*;
use crate::model::limits::TEXT_BYTES_PER_TOKEN_MAX;
use crate::model::{Passed, Usage};

/// Exchanges of all windows together.
const ROUNDS: usize = 10_000;
/// Exchanges that are tried in one window.
const ROUNDS_OF_WINDOW: usize = 200;
/// Exchanges of one agent at once.
const AT_ONCE_MAX: usize = 24;
/// Choices that a request asks for at most.
const CHOICES_MAX: u64 = 4;
/// The most that a model answers where nobody bounds it, in tokens of one choice.
const ANSWER_TOKENS: u64 = 1_000;
const TOKENS: u64 = 20_000;
const REQUESTS: u64 = 60;
const WINDOW: u64 = 86_400_000;

/// Numbers that look random, and are the same each time (xorshift64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn place(&mut self, of: usize) -> usize {
        usize::try_from(self.below(of as u64)).unwrap()
    }

    fn is(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A text on its way from a provider.
#[derive(Clone, Copy, Debug, Default)]
struct Text {
    tokens: u64,
    passed: Passed,
}

impl Text {
    fn add(&mut self, more: Self) {
        self.tokens += more.tokens;
        self.passed.pieces += more.passed.pieces;
        self.passed.text_bytes += more.passed.text_bytes;
    }

    /// Tokens that can be proven from it.
    fn proven(self) -> u64 {
        self.passed.pieces.max(self.passed.text_bytes / TEXT_BYTES_PER_TOKEN_MAX)
    }
}

/// What the agents of one window are out for, and what their provider helps them with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plot {
    /// Anything.
    Anything,
    /// Nobody sees the end of an answer.
    Leave,
    /// The provider reports next to nothing.
    SmallReports,
    /// It reports nothing.
    NoReports,
    /// As many long answers as there can be, all at once.
    Many,
}

impl Plot {
    const ALL: [Self; 5] =
        [Self::Anything, Self::Leave, Self::SmallReports, Self::NoReports, Self::Many];
}

/// How an agent goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conduct {
    /// It is gone before the head of the answer.
    LeavesAtOnce,
    /// It is gone after some of the stream.
    LeavesMidway,
    /// It reads to the end.
    Stays,
}

/// An exchange that is under way.
struct Exchange {
    reserved: Vec<(Reserved, Budget)>,
    conduct: Conduct,
    is_streamed: bool,
    /// What the provider is going to say.
    rest: Vec<Text>,
    /// What went by.
    seen: Text,
}

struct World {
    dice: Dice,
    plot: Plot,
    ledger: Ledger,
    budgets: Vec<(Account, Budget)>,
    open: Vec<Exchange>,
    /// Tokens that were generated and could be proven, in this window.
    generated: u64,
    /// Requests that reached the provider, in this window.
    reached: u64,
    refused: usize,
    cut: usize,
    now: UnixMillis,
}

impl World {
    fn new() -> Self {
        let window = Duration::from_millis(WINDOW);
        let tokens = Budget {
            per: Per::Agent,
            tokens: Some(TOKENS),
            requests: None,
            answer_tokens: ANSWER_TOKENS,
            window,
        };
        // Wider in tokens, and every answer is taken for longer.
        let both = Budget {
            per: Per::Host,
            tokens: Some(3 * TOKENS),
            requests: Some(REQUESTS),
            answer_tokens: 2 * ANSWER_TOKENS,
            window,
        };
        let account = |name: &str, per| {
            let (agent, endpoint) = (AgentName::new("a"), EndpointName::new("e"));
            Account::of(&BudgetName::new(name), per, &agent, 0, &endpoint)
        };
        Self {
            dice: Dice(0x9e37_79b9_7f4a_7c15),
            plot: Plot::Anything,
            ledger: Ledger::default(),
            budgets: vec![
                (account("tokens", Per::Agent), tokens),
                (account("both", Per::Host), both),
            ],
            open: Vec::new(),
            generated: 0,
            reached: 0,
            refused: 0,
            cut: 0,
            now: UnixMillis(0),
        }
    }

    fn cost(&mut self) -> Cost {
        if self.plot == Plot::Many {
            return Cost {
                requests: 1,
                request: 10,
                answer: Answer::Open { choices: CHOICES_MAX },
            };
        }
        let choices = if self.dice.is(30) { 1 + self.dice.below(CHOICES_MAX) } else { 1 };
        let request = 1 + self.dice.below(if self.plot == Plot::Anything { 400 } else { 40 });
        let answer = match self.dice.below(10) {
            0 => Answer::AtMost(choices),
            1 => Answer::AtMost(u64::MAX / choices),
            2..5 => Answer::AtMost(choices * (1 + self.dice.below(ANSWER_TOKENS))),
            _ => Answer::Open { choices },
        };
        Cost { requests: 1, request, answer }
    }

    /// What the provider is going to say: no more than the request allows, in pieces of any size.
    fn answer(&mut self, cost: Cost) -> Vec<Text> {
        let most = match cost.answer {
            Answer::Nothing => 0,
            Answer::AtMost(most) => most,
            Answer::Open { choices } => choices * ANSWER_TOKENS,
        };
        let mut left = match self.dice.below(4) {
            _ if self.plot == Plot::Many => most,
            0 => most,
            _ => self.dice.below(most.saturating_add(1)),
        };
        let widest = [1, 1, 4, 5_000][self.dice.place(4)];
        let mut pieces = Vec::new();
        while left > 0 {
            let tokens = left.min(1 + self.dice.below(widest));
            let text_bytes = tokens * (1 + self.dice.below(TEXT_BYTES_PER_TOKEN_MAX));
            pieces.push(Text { tokens, passed: Passed { pieces: 1, text_bytes } });
            left -= tokens;
            if self.dice.is(5) {
                // An event without text.
                pieces.push(Text::default());
            }
        }
        pieces
    }

    /// What the provider reports of all that it said.
    fn usage(&mut self, cost: Cost, said: Text) -> Option<Usage> {
        let usage = |input_tokens, output_tokens| Usage { input_tokens, output_tokens };
        match self.dice.below(8) {
            _ if self.plot == Plot::SmallReports => Some(usage(0, 1)),
            _ if self.plot == Plot::NoReports => None,
            0 => None,
            1 => Some(usage(0, 1)),
            2 => Some(usage(1, 0)),
            3 => Some(usage(cost.request, said.tokens / 10)),
            4 if self.dice.is(2) => Some(usage(u64::MAX, u64::MAX)),
            _ => Some(usage(cost.request, said.tokens)),
        }
    }

    /// One agent tries one request.
    fn begin(&mut self) {
        if self.open.len() >= AT_ONCE_MAX {
            return;
        }
        let cost = self.cost();
        let mut reserved = Vec::new();
        // Where requests are counted, too, tokens are rarely what refuses.
        let budgets = if self.plot == Plot::Anything { 2 } else { 1 };
        for (account, budget) in self.budgets.iter().take(budgets) {
            match self.ledger.reserve(account, budget, cost, self.now) {
                Ok(one) => reserved.push((one, *budget)),
                Err(_spent) => {
                    reserved.into_iter().for_each(|(one, _)| self.ledger.give_back(one));
                    self.refused += 1;
                    return;
                }
            }
        }
        if self.dice.is(10) {
            // The provider was not reached.
            reserved.into_iter().for_each(|(one, _)| self.ledger.give_back(one));
            return;
        }
        self.reached += 1;
        let most = if self.plot == Plot::Anything { REQUESTS } else { u64::MAX };
        assert!(self.reached <= most, "{} requests reached the provider", self.reached);
        let conduct = match self.dice.below(4) {
            _ if self.plot == Plot::Leave => Conduct::LeavesAtOnce,
            _ if matches!(self.plot, Plot::SmallReports | Plot::NoReports) => Conduct::Stays,
            0 => Conduct::LeavesAtOnce,
            1 => Conduct::LeavesMidway,
            _ => Conduct::Stays,
        };
        let is_streamed = self.dice.is(70);
        if self.dice.is(10) {
            // An error: a few words, and nothing is generated.
            let passed = Passed { pieces: 0, text_bytes: self.dice.below(400) };
            let end = match conduct {
                Conduct::Stays => End::Whole { is_error: true },
                Conduct::LeavesAtOnce | Conduct::LeavesMidway => End::Broken,
            };
            return self.settle(reserved, &Outcome { end, passed, usage: None });
        }
        let rest = self.answer(cost);
        self.open.push(Exchange { reserved, conduct, is_streamed, rest, seen: Text::default() });
    }

    /// One of those under way goes on.
    fn go_on(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let place = self.dice.place(self.open.len());
        let mut exchange = self.open.swap_remove(place);
        let midway = exchange.conduct == Conduct::LeavesMidway && self.dice.is(20);
        if exchange.conduct == Conduct::LeavesAtOnce || midway {
            return self.finish(exchange, End::Broken);
        }
        if exchange.rest.is_empty() || !exchange.is_streamed {
            return self.finish(exchange, End::Whole { is_error: false });
        }
        for _ in 0..50 {
            let Some(piece) = exchange.rest.pop() else { break };
            exchange.seen.add(piece);
            let tokens = exchange.seen.passed.tokens();
            for (reserved, budget) in &mut exchange.reserved {
                if self.ledger.cover(reserved, budget, tokens).is_err() {
                    self.cut += 1;
                    // What follows may be generated already.
                    return self.finish(exchange, End::Broken);
                }
            }
        }
        self.open.push(exchange);
    }

    /// The provider says all of it, whoever listens.
    fn finish(&mut self, exchange: Exchange, end: End) {
        let Exchange { reserved, rest, seen, .. } = exchange;
        let mut said = seen;
        rest.into_iter().for_each(|piece| said.add(piece));
        self.generated += said.proven();
        let cost = reserved[0].0.cost;
        let whole = match end {
            End::Whole { .. } => said,
            End::Broken | End::Unsent => seen,
        };
        // Some report early how much it is so far.
        let usage = match end {
            End::Whole { .. } => self.usage(cost, said),
            End::Broken | End::Unsent => self.dice.is(20).then_some(Usage::default()),
        };
        self.settle(reserved, &Outcome { end, passed: whole.passed, usage });
    }

    fn settle(&mut self, reserved: Vec<(Reserved, Budget)>, outcome: &Outcome) {
        reserved.into_iter().for_each(|(one, _)| drop(self.ledger.settle(one, outcome)));
    }

    /// Tokens that were generated and those that still may be.
    fn possible(&self) -> u64 {
        let under_way = self.open.iter().map(|exchange| {
            let mut said = exchange.seen;
            exchange.rest.iter().for_each(|piece| said.add(*piece));
            said.proven()
        });
        self.generated + under_way.sum::<u64>()
    }

    fn end_window(&mut self, number: usize) {
        while !self.open.is_empty() {
            self.go_on();
        }
        for (_, count) in self.ledger.counts(self.now) {
            assert_eq!(count.reserved, Amount::default(), "nothing stays reserved");
            assert_eq!(count.used.requests, self.reached, "who reached the provider is charged");
        }
        (self.generated, self.reached) = (0, 0);
        self.now = UnixMillis(self.now.0 + WINDOW);
        self.plot = Plot::ALL[number % Plot::ALL.len()];
    }
}

#[test]
fn whatever_agents_and_providers_do_a_budget_is_exceeded_by_one_answer_at_most() {
    let mut world = World::new();
    let mut most = 0;
    for round in 1..=ROUNDS {
        world.begin();
        for _ in 0..world.dice.below(4) {
            world.go_on();
        }
        let possible = world.possible();
        most = most.max(possible);
        let bound = TOKENS + CHOICES_MAX * ANSWER_TOKENS;
        assert!(possible <= bound, "round {round}, {:?}: {possible} of {bound}", world.plot);
        if round % ROUNDS_OF_WINDOW == 0 {
            world.end_window(round / ROUNDS_OF_WINDOW);
        }
    }
    // What never happens proves nothing.
    assert!(most > TOKENS, "{most}");
    assert!(
        world.refused > 1_000 && world.cut > 20,
        "{} refused, {} cut",
        world.refused,
        world.cut
    );
}
