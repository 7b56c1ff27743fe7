// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The calls of one answer and their verdicts: a call that stands in an answer twice is judged and recorded once.

use std::collections::{BTreeMap, BTreeSet};

use super::found::Found;
use super::judge::{Calls, JudgedCall, Outcome};
use crate::mask::Masker;
use crate::model::limits::{TOOL_CALL_BYTES_MAX, TOOL_CALLS_MAX, TOOL_NAME_SHOWN_CHARS};
use crate::model::{Denied, ExchangeId, RuleId};

/// What becomes of a call.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// This text stands in its place.
    Deny(String),
    /// Its arguments are masked.
    Mask(Box<Masker>),
    /// It goes on as sent.
    Pass,
}

impl Verdict {
    pub(super) const fn is_denial(&self) -> bool {
        matches!(self, Self::Deny(_))
    }
}

/// The calls of one answer.
#[derive(Clone, Debug)]
pub(in crate::protocol::answer) struct Ledger {
    calls: Calls,
    verdicts: BTreeMap<[u8; 32], Verdict>,
    judged: Vec<JudgedCall>,
    /// Ids of calls that were denied: their results are hidden, too.
    denied: BTreeSet<String>,
}

impl Ledger {
    pub(in crate::protocol::answer) fn new(calls: Calls) -> Self {
        Self { calls, verdicts: BTreeMap::new(), judged: Vec::new(), denied: BTreeSet::new() }
    }

    pub(super) const fn are_held(&self) -> bool {
        self.calls.are_held()
    }

    /// What was judged since the last time.
    pub(in crate::protocol::answer) fn take(&mut self) -> Vec<JudgedCall> {
        std::mem::take(&mut self.judged)
    }

    /// Whether the result of a call is hidden.
    pub(super) fn hides_result(&self, id: &str) -> bool {
        self.denied.contains(id)
    }

    /// Judges a call.
    pub(super) fn verdict(&mut self, found: &Found) -> Verdict {
        let key = key(found);
        if let Some(verdict) = self.verdicts.get(&key) {
            return verdict.clone();
        }
        if found.call.arguments.len() > TOOL_CALL_BYTES_MAX || self.verdicts.len() >= TOOL_CALLS_MAX
        {
            return self.too_much(found);
        }
        let (Calls::Held { judge, .. } | Calls::Watched { judge }) = &self.calls else {
            return Verdict::Pass;
        };
        let decision = judge.judge(&found.call);
        let masks = &decision.obligations.mask_response;
        let is_masked = self.are_held() && !decision.is_refusal() && !masks.is_empty();
        let masker = is_masked.then(|| judge.masker(masks));
        let judged =
            JudgedCall { call: found.call.clone(), outcome: Outcome::Decided(Box::new(decision)) };
        let verdict = match masker {
            Some(masker) => Verdict::Mask(Box::new(masker)),
            None => self.of(&judged, &found.id),
        };
        self.judged.push(judged);
        self.verdicts.insert(key, verdict.clone());
        verdict
    }

    /// Denies a call that is not complete, or not to be judged: it is more than is held.
    pub(super) fn too_much(&mut self, found: &Found) -> Verdict {
        let mut call = found.call.clone();
        // SECURITY: a part of the arguments would be taken for all of them.
        (call.arguments, call.is_whole) = (String::new(), false);
        call.scalars.clear();
        let judged = JudgedCall { call, outcome: Outcome::TooMuch };
        let verdict = self.of(&judged, &found.id);
        // Of those that passed the bound no more is remembered than that there are some.
        if self.verdicts.len() <= TOOL_CALLS_MAX {
            self.verdicts.insert(key(found), verdict.clone());
            self.judged.push(judged);
        }
        verdict
    }

    fn of(&mut self, judged: &JudgedCall, id: &str) -> Verdict {
        let Calls::Held { exchange, .. } = &self.calls else { return Verdict::Pass };
        let Some(denied) = judged.denied() else { return Verdict::Pass };
        if !id.is_empty() && self.denied.len() <= TOOL_CALLS_MAX {
            self.denied.insert(id.to_owned());
        }
        Verdict::Deny(sentence(&judged.call.name, &denied, *exchange))
    }
}

fn key(found: &Found) -> [u8; 32] {
    let call = &found.call;
    let mut hasher = blake3::Hasher::new();
    let parts = [&found.id, call.kind.as_str(), &call.name, &call.server, &call.arguments];
    for part in parts {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// What stands in place of a call: who denied which, by which rules, and the operator's words.
fn sentence(name: &str, denied: &Denied, exchange: Option<ExchangeId>) -> String {
    let name: String = name.chars().take(TOOL_NAME_SHOWN_CHARS).collect();
    let mut text = format!("{}: the call of the tool `{name}`", denied.reason.lead());
    let rules: Vec<String> = denied.rules.iter().map(|rule: &RuleId| format!("`{rule}`")).collect();
    match rules.as_slice() {
        [] => {}
        [rule] => text.push_str(&format!(" (rule {rule})")),
        rules => text.push_str(&format!(" (rules {})", rules.join(", "))),
    }
    if let Some(message) = &denied.message {
        text.push_str(": ");
        text.push_str(message);
    }
    if let Some(exchange) = exchange {
        text.push_str(&format!(" [exchange {exchange}]"));
    }
    text
}
