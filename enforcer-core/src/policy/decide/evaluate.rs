// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From the facts of one thing that is asked to a decision.
//!
//! Asks about the conditions of the rules of one slice, and joins what the satisfied permits oblige to. That
//! this is what Cedar answers about all rules as a whole is a property test.

use std::collections::BTreeSet;

use crate::model::{Decision, Effect, Facts, Obligations, RecordDepth, RuleId, Would, limits};

use super::super::load::diagnostic::Place;
use super::super::load::rules::Rule;
use super::policy::Policy;
use super::question::Question;

/// What the rules of one slice said.
#[derive(Debug, Default)]
struct Verdict<'p> {
    is_allowed: bool,
    /// No permit is needed: what permitted the exchange covers it.
    is_covered: bool,
    because: Vec<&'p Rule>,
    errors: Vec<&'p Rule>,
    observed: Vec<&'p Rule>,
    /// Of the observed rules those whose evaluation erred.
    observed_errors: bool,
}

impl Verdict<'_> {
    /// What would be decided if the rules in observe mode counted.
    fn would(&self) -> Option<Would> {
        if self.observed.is_empty() {
            return None;
        }
        let (permits, forbids): (Vec<&Rule>, Vec<&Rule>) =
            self.because.iter().chain(&self.observed).partition(|rule| rule.is_permit);
        let is_allowed = self.errors.is_empty()
            && !self.observed_errors
            && forbids.is_empty()
            && (self.is_covered || !permits.is_empty());
        let effect = if is_allowed { Effect::Allow } else { Effect::Deny };
        let obligations = if is_allowed { join(&permits) } else { Obligations::default() };
        Some(Would { effect, obligations })
    }
}

impl Policy {
    /// Decides what a request itself asks, without what it asks with that.
    pub(super) fn decide_one(&self, facts: &Facts) -> Decision {
        let verdict = self.verdict(facts);
        let is_allowed = verdict.is_allowed && verdict.errors.is_empty();
        let ids = |rules: &[&Rule]| {
            let ids: BTreeSet<RuleId> = rules.iter().map(|rule| rule.id.clone()).collect();
            ids.into_iter().collect::<Vec<_>>()
        };
        // A permit that an error overrides did not decide.
        let because =
            if is_allowed == verdict.is_allowed { ids(&verdict.because) } else { Vec::new() };
        let forbids = verdict.because.iter().filter(|rule| !rule.is_permit);
        let message = message(forbids.copied());
        Decision {
            effect: if is_allowed { Effect::Allow } else { Effect::Deny },
            obligations: if is_allowed {
                join(&verdict.because)
            } else {
                Obligations::keeping(self.denied_record(facts))
            },
            because,
            errors: ids(&verdict.errors),
            observed: ids(&verdict.observed),
            would: verdict.would().map(Box::new),
            mode: self.inventory.mode,
            message,
            policy: self.version.clone(),
        }
    }

    /// How much of an exchange is kept that is denied.
    fn denied_record(&self, facts: &Facts) -> RecordDepth {
        let slice = self.slices.find(&facts.agent, facts.operation.action(), &facts.endpoint);
        slice.map_or(self.inventory.record, |slice| slice.denied_record)
    }

    fn verdict(&self, facts: &Facts) -> Verdict<'_> {
        let action = facts.operation.action();
        let slice = self.slices.find(&facts.agent, action, &facts.endpoint);
        let Some(slice) = slice else { return Verdict::default() };
        let is_covered = facts.operation.is_asked_call();
        if slice.is_empty {
            return Verdict { is_allowed: is_covered, is_covered, ..Verdict::default() };
        }
        let question = Question::new(self, facts, slice.facts.as_ref());
        let mut verdict = Verdict { is_covered, ..Verdict::default() };
        let counts = |rule: &&Rule| rule.decides_asked || !is_covered;
        let (mut permits, mut forbids) = (Vec::new(), Vec::new());
        for rule in slice.enforced.iter().filter_map(|index| self.rules.get(*index)).filter(counts)
        {
            match question.holds(rule) {
                Ok(true) if rule.is_permit => permits.push(rule),
                Ok(true) => forbids.push(rule),
                Ok(false) => {}
                Err(_erred) => verdict.errors.push(rule),
            }
        }
        // Cedar's own answer: a forbid wins, and without a permit it is denied, unless another one covers it.
        verdict.is_allowed = forbids.is_empty() && (is_covered || !permits.is_empty());
        verdict.because = if verdict.is_allowed { permits } else { forbids };
        for rule in slice.observed.iter().filter_map(|index| self.rules.get(*index)).filter(counts)
        {
            let holds = question.holds(rule);
            verdict.observed_errors |= holds.is_err();
            // One that errs would deny, so it counts, too.
            if holds.unwrap_or(true) {
                verdict.observed.push(rule);
            }
        }
        verdict
    }
}

/// What the rules that deny say to the agent, in the order of files and places: each sentence once, and no more of
/// them than [`limits::DENIAL_MESSAGE_CHARS_MAX`] leaves room for. A sentence is given whole or not at all; the first
/// one always is.
fn message<'r>(forbids: impl Iterator<Item = &'r Rule>) -> Option<String> {
    let mut placed: Vec<(&str, Place, &str)> = forbids
        .filter_map(|rule| Some((rule.file.as_str(), rule.place, rule.message.as_deref()?)))
        .collect();
    placed.sort_unstable();
    let mut said: Vec<&str> = Vec::new();
    let mut length = 0;
    for (_, _, sentence) in placed {
        let grown = length + sentence.chars().count() + SENTENCE_END.len();
        let has_room = said.is_empty() || grown <= limits::DENIAL_MESSAGE_CHARS_MAX;
        if has_room && !said.contains(&sentence) {
            said.push(sentence);
            length = grown;
        }
    }
    let (last, others) = said.split_last()?;
    let ended = |sentence: &&str| {
        let end = if sentence.ends_with(['.', '!', '?']) { " " } else { SENTENCE_END };
        format!("{sentence}{end}")
    };
    Some(others.iter().map(ended).collect::<String>() + last)
}

/// Ends a sentence before the next one, where it has no end of its own.
const SENTENCE_END: &str = "; ";

/// The join of what all satisfied permits oblige to.
fn join(permits: &[&Rule]) -> Obligations {
    permits.iter().fold(Obligations::none(), |joined, rule| joined.join(&rule.obligations))
}
