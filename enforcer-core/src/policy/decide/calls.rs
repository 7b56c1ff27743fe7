// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The one function from facts to a decision: many calls, one verdict.
//!
//! A request may ask several things. Each is decided for itself; one that is denied denies all of them, and the
//! refusal names it. What the permits oblige to is joined over all.

use std::collections::BTreeSet;

use crate::model::{Decision, Effect, Facts, Obligations, RuleId, Would, limits};

use super::policy::Policy;

/// A decision about one of several things that are asked, with the name of that; the request itself has none.
type Part<'f> = (Option<&'f str>, Decision);

impl Policy {
    /// Decides one exchange. Pure: the same facts give the same decision.
    #[must_use]
    pub fn decide(&self, facts: &Facts) -> Decision {
        let own = self.decide_one(facts);
        if facts.calls.is_empty() {
            return own;
        }
        let decide = |call| self.decide_one(&facts.of_call(call));
        let calls = facts.calls.iter().map(|call| (Some(call.name.as_str()), decide(call)));
        let parts: Vec<Part<'_>> = std::iter::once((None, own)).chain(calls).collect();
        self.joined(&parts)
    }

    /// Decides facts of a record; nothing comes back if they lack what this policy asks for.
    #[must_use]
    pub fn decide_again(&self, facts: &Facts) -> Option<Decision> {
        let is_known =
            |facts: &Facts| self.lacks(facts).is_empty() && self.lacks_hidden(facts).is_empty();
        let are_known =
            is_known(facts) && facts.calls.iter().all(|call| is_known(&facts.of_call(call)));
        are_known.then(|| self.decide(facts))
    }

    fn joined(&self, parts: &[Part<'_>]) -> Decision {
        let is_denied = |part: &&Part<'_>| part.1.effect == Effect::Deny;
        let is_allowed = !parts.iter().any(|part| is_denied(&part));
        let effect = if is_allowed { Effect::Allow } else { Effect::Deny };
        // What was allowed had no part in a denial.
        let decided: Vec<&Part<'_>> =
            parts.iter().filter(|part| is_allowed || is_denied(part)).collect();
        let ids = |of: fn(&Decision) -> &[RuleId]| {
            let all: BTreeSet<&RuleId> = decided.iter().flat_map(|(_, it)| of(it)).collect();
            all.into_iter().cloned().collect::<Vec<_>>()
        };
        let obligations = decided
            .iter()
            .fold(Obligations::none(), |joined, (_, decision)| joined.join(&decision.obligations));
        Decision {
            effect,
            obligations,
            because: ids(|it| &it.because),
            errors: ids(|it| &it.errors),
            observed: ids(|it| &it.observed),
            would: would(parts).map(Box::new),
            mode: self.mode(),
            message: if is_allowed { None } else { self.message_of(&decided) },
            policy: self.version().clone(),
        }
    }

    /// What a refused client reads: which of its requests was denied, and what the rules say about the first one.
    fn message_of(&self, denied: &[&Part<'_>]) -> Option<String> {
        let ((name, first), others) = denied.split_first()?;
        let Some(name) = name else { return first.message.clone() };
        // The agent chose the name, and the message is stored.
        let name = self.masker_of_everything().mask_text(name).text.into_owned();
        let more = match others.len() {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        let said = first.message.as_deref().map(|said| format!(": {said}")).unwrap_or_default();
        let message = format!("request `{name}`{more}{said}");
        Some(message.chars().take(limits::DENIAL_MESSAGE_CHARS_MAX).collect())
    }
}

/// What would be decided if the rules in observe mode counted; nothing if none of them matters.
fn would(parts: &[Part<'_>]) -> Option<Would> {
    if parts.iter().all(|(_, decision)| decision.would.is_none()) {
        return None;
    }
    let each = parts.iter().map(|(_, decision)| match &decision.would {
        Some(would) => (would.effect, &would.obligations),
        None => (decision.effect, &decision.obligations),
    });
    let is_allowed = each.clone().all(|(effect, _)| effect == Effect::Allow);
    let joined = || each.fold(Obligations::none(), |joined, (_, owed)| joined.join(owed));
    Some(if is_allowed {
        Would { effect: Effect::Allow, obligations: joined() }
    } else {
        Would { effect: Effect::Deny, obligations: Obligations::default() }
    })
}
